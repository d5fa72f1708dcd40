"""The metrics, read back by the grammar of OpenMetrics 1.0 (and of the older text format, which it is kept to)."""

from __future__ import annotations

import re
from dataclasses import replace

from report_sample import data_loss, facts, many, twin, whole_run
from test_html import hostile_drill

from harness.report import openmetrics
from harness.report.model import RunReport, build_run

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
META = re.compile(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)")


def parsed(text: str) -> dict[str, float]:
    """Series -> value. Fails on whatever a strict reader would refuse."""
    assert text.endswith("# EOF\n")
    found: dict[str, float] = {}
    seen: list[str] = []
    units: dict[str, str] = {}
    for line in text.removesuffix("# EOF\n").split("\n")[:-1]:
        if meta := META.fullmatch(line):
            kind, name, told = meta.groups()
            if kind == "TYPE":
                assert told == "gauge"
                assert name not in seen, "a family must not come twice"
                seen.append(name)
            assert name == seen[-1]
            if kind == "UNIT":
                assert name.endswith(f"_{told}")
                units[name] = told
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        assert sample[1] == seen[-1], "samples stand below their family"
        series = line.rpartition(" ")[0]
        assert series not in found, "the same series twice"
        found[series] = float(sample[3])
    assert {n for n in seen if n.endswith("_seconds")} == set(units)
    return found


def of(series: dict[str, float], name: str, drill: str = "") -> list[float]:
    wanted = f'{{drill="{drill}",' if drill else ""
    return [value for key, value in series.items() if key.startswith(name + wanted)]


def test_every_figure_of_a_run() -> None:
    series = parsed(openmetrics.render(whole_run()))
    heal, loss = "test_scaled_deployment_is_healed_back", "test_git_alone_brings_back_no_data"
    assert of(series, "drill_recovery_seconds", heal) == [0.319]
    assert of(series, "drill_resolution_seconds", heal) == [0.016]
    assert of(series, "drill_objective_seconds", heal) == [180]
    assert of(series, "drill_lost_writes", loss) == [37]
    assert of(series, "drill_acknowledged_writes", loss) == [412]
    assert of(series, "drill_lost_oldest_age_seconds", loss) == [12.4]
    assert of(series, "drill_objects_not_in_git", loss) == [3]
    assert of(series, "drill_objects_missing", "test_cluster_loss_with_a_manifest_missing") == [1]
    assert of(series, "drill_run_timestamp_seconds") == [1786702320]
    assert of(series, "drill_lost_writes", heal) == []  # what was not counted is not zero
    assert any('phase="argocd"' in key and value == 10.5 for key, value in series.items())


def test_exactly_one_verdict_is_true() -> None:
    series = parsed(openmetrics.render(whole_run()))
    for drill in whole_run().drills:
        told = {k: v for k, v in series.items() if k.startswith(f'drill_verdict{{drill="{drill.name}"')}
        assert sorted(told.values()) == [0, 0, 1]
        assert told[next(k for k in told if f'verdict="{drill.verdict}"' in k)] == 1
    assert of(series, "drill_run_verdict") == [0, 0, 1]


def test_a_twin_has_no_recovery_time() -> None:
    series = parsed(openmetrics.render(build_run(facts(), [twin()])))
    assert of(series, "drill_recovery_seconds") == []
    assert any('twin="true"' in key for key in series)


def test_runs_do_not_begin_new_series() -> None:
    """Only the one sample that is there to tell the run has its number."""
    text = openmetrics.render(whole_run())
    assert [
        line for line in text.splitlines() if "4f1c09aa" in line and not line.startswith("drill_run_information")
    ] == []
    assert text.count('run="4f1c09aa"') == 1


def test_hostile_names_are_escaped() -> None:
    drill = replace(hostile_drill(), name='a"b\\c\nd{},=\u2028#')
    evil = {**facts(), "run_id": '"\\\n', "begun": "nonsense", "harness": 7}
    series = parsed(openmetrics.render(build_run(evil, [drill])))
    assert [key for key in series if 'drill="a\\"b\\\\c d{},= #"' in key]
    assert of(series, "drill_run_timestamp_seconds") == []


def test_two_drills_of_one_name_are_no_series_twice() -> None:
    assert parsed(openmetrics.render(build_run(facts(), [data_loss(), data_loss()])))


def test_an_empty_run_is_valid_too() -> None:
    series = parsed(openmetrics.render(RunReport({}, ())))
    assert of(series, "drill_run_verdict") == [0, 1, 0]


def test_figures_that_are_no_numbers_are_left_out() -> None:
    drill = many(60)
    broken = replace(drill, recovery=None, objective=None)
    assert of(parsed(openmetrics.render(build_run({}, [broken]))), "drill_recovery_seconds") == []
