from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_sample import bad_run, cluster_loss, facts, good_run, inconclusive, preparation, refuted, self_heal, twin

from harness.core.timeline import Event, History
from harness.core.verdict import Verdict
from harness.report import html, junit, markdown, openmetrics, table
from harness.report.console import Console
from harness.report.model import build_drill, build_run


def test_recovery_is_an_interval_taken_from_the_cited_events() -> None:
    found = self_heal().recovery
    assert found is not None
    assert found.value == timedelta(milliseconds=319)
    assert (found.earliest, found.latest) == (timedelta(milliseconds=311), timedelta(milliseconds=327))
    assert found.resolution == timedelta(milliseconds=16)
    assert found.objective == timedelta(minutes=3)
    assert found.at == timedelta(seconds=0.731)


def test_a_recovery_of_several_phases_is_as_narrow_as_its_finding_says() -> None:
    drill = self_heal()
    narrow = [replace(f, figures={**f.figures, "resolution_s": 0.002} if "recovery_s" in f.figures else f.figures)
              for f in drill.findings]  # fmt: skip
    records = {"verdict": "HELD", "findings": [f.to_record() for f in narrow]}
    found = build_drill(drill.plan, drill.history, records).recovery
    assert found is not None
    assert (found.resolution, found.latest) == (timedelta(milliseconds=2), timedelta(milliseconds=327))


def test_recovery_of_a_timeline_without_its_evidence_rests_on_the_figures() -> None:
    drill = self_heal()
    records = {"verdict": "HELD", "findings": [f.to_record() for f in drill.findings]}
    found = build_drill(drill.plan, History(()), records).recovery
    assert found is not None
    assert (found.value, found.at) == (timedelta(milliseconds=319), None)


def test_a_drill_that_did_not_recover_says_how_long_it_was_waited_for() -> None:
    drill = refuted()
    assert drill.recovery is None
    assert drill.without is not None
    assert timedelta(minutes=3) < drill.without < timedelta(minutes=3, seconds=1)
    assert self_heal().without is None


def test_the_missing_object_is_named_and_the_twin_tells_its_story() -> None:
    drill = twin()
    assert drill.missing == ("Service cortex-dev/code-formatter",)
    assert drill.inventory == (120, 119)
    assert (drill.verdict, drill.story) == (Verdict.HELD, "REFUTED")
    assert drill.twin_of == "test_cluster_is_rebuilt_from_git_alone"


def test_reasons_are_the_findings_that_are_not_held() -> None:
    assert self_heal().reasons == ()
    assert [r.partition(":")[0] for r in inconclusive().reasons] == [
        "the fault landed",
        "what was waited for came",
        "the drill ran to its end",
    ]


def test_a_drill_that_was_killed_is_inconclusive_and_says_so() -> None:
    whole = cluster_loss()
    text = History(whole.history.events[:12]).to_lines()[:-20]
    drill = build_drill(whole.plan, History.from_lines(text), {})
    assert drill.verdict is Verdict.INCONCLUSIVE
    assert drill.reasons == (
        "no findings were written: the run ended before this drill was judged",
        "the timeline is cut off in the middle of a line: what came after it is lost",
    )


def test_an_undo_that_failed_is_told_although_the_verdict_stands() -> None:
    drill = self_heal()
    failed = Event(
        99, timedelta(seconds=6), datetime.now(UTC), "heal.failed", "SelfHealOff(x)", {"error": "API is gone"}
    )
    records = {"verdict": "HELD", "findings": [f.to_record() for f in drill.findings]}
    again = build_drill(drill.plan, History((*drill.history.events, failed)), records)
    assert again.verdict is Verdict.HELD
    assert again.reasons == ("SelfHealOff(x) could not be undone: API is gone",)


def test_a_damaged_finding_is_never_a_pass() -> None:
    drill = build_drill({"name": "x"}, History(()), {"findings": [{"claim": "half a record"}]})
    assert drill.verdict is Verdict.INCONCLUSIVE


def test_the_run_joins_its_drills_and_tells_twins_from_stories() -> None:
    assert good_run().verdict is Verdict.HELD
    assert bad_run().verdict is Verdict.REFUTED
    assert [d.title for d in good_run().twins] == ["cluster_loss_with_a_manifest_missing"]
    assert build_run({}, []).verdict is Verdict.INCONCLUSIVE


def test_a_drill_without_a_timing_profile_takes_that_of_the_run() -> None:
    bare = build_drill({"name": "x"}, History(()), {})
    assert build_run(facts(), [bare], preparation()).drills[0].profile == "fast"
    assert build_run({}, [bare]).drills[0].profile == "unknown"


KINDS = ["fault.injected", "fault.confirmed", "until.begun", "until.ended", "require.ended", "probe.changed",
         "hold.begun", "hold.ended", "heal.ended", "heal.failed", "judging", "heartbeat", "phase.begun", "phase.ended",
         "observed", "finding", "gap", "twin.story", "drill.begun", "other"]  # fmt: skip
FIELDS = ["state", "accepted_us", "sent_us", "met_us", "not_before_us", "detail", "begun_seq", "begun_us", "value",
          "done", "touches", "checks", "lasting_s", "waited_s", "reading", "total", "within_s", "left_s", "figures",
          "evidence", "start_us", "end_us", "text"]  # fmt: skip
NESTED = st.dictionaries(st.text(max_size=3), st.integers(0, 10**8), max_size=2)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.text(max_size=8),
    st.sampled_from(("MET", "inventory", "census", "loss")),
    st.lists(st.sampled_from(("Node a", "Node *", "x")), max_size=2),
    st.dictionaries(st.sampled_from(("applications", "answers", "nodes", "a")), NESTED, max_size=2),
)
DATA = st.dictionaries(st.sampled_from(FIELDS), VALUES)
EVENTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(-(10**6), 10**8), DATA), max_size=12)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, st.dictionaries(st.sampled_from(("verdict", "findings", "name")), VALUES))
def test_any_stored_run_can_be_rendered(made: list[tuple[str, int, dict[str, Any]]], findings: dict[str, Any]) -> None:
    """A run that went wrong in a way nobody foresaw needs its report most."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    events = tuple(
        Event(i, timedelta(microseconds=at), begun, kind, "x", data) for i, (kind, at, data) in enumerate(made)
    )
    drill = build_drill({"name": "x"}, History(events), findings)
    run = build_run({"run_id": "r"}, [drill], History(events))
    console = Console()
    for text in (
        html.suite(run),
        html.page(run, drill),
        table.render(run),
        markdown.render(run),
        openmetrics.render(run),
    ):
        assert drill.verdict.value in text
    assert dict(junit.properties(drill))["drill.verdict"] == drill.verdict.value
    for event in events:
        line = console.line(event)
        assert line is None or "\n" not in line
