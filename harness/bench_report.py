"""The measured series of reports: rendering a large one, judging a stored run again.

Here belong the stored runs that are measured and the measuring; `harness.bench` owns the table. Nothing here needs an
engine. Every measurement is the command as people type it, in a fresh interpreter.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from harness.core.checks import fault_landed, recovered_within, stayed_within_blast_radius, waits_ended_met
from harness.core.checks.registry import spec_of
from harness.core.clock import MINUTE
from harness.core.timeline import Event, History
from harness.core.verdict import join
from harness.effects.proc import run
from harness.effects.store import RunFolder

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = 10_000
DRILLS, OBJECTS = 80, 400  # a whole mission, twins included; what a census counts
TIMES = 7


@dataclass(slots=True)
class Measured:
    """Repeated measurements of one thing, in `unit`, with what was promised."""

    key: str
    name: str
    unit: str
    goal: str
    note: str = ""
    values: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # seconds of the same processes: a busy machine does not change it

    def row(self) -> tuple[str, ...]:
        """As a row of the table: name, n, median, spread, goal, note."""
        if not self.values:
            return (self.name, "-", "not measured", "", self.goal, self.note)
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        middle = f"{median(self.values):.3g} {self.unit}"
        note = f"{self.note}, CPU {median(self.cpu):.2g} s" if self.cpu else self.note
        return (self.name, str(len(self.values)), middle, spread, self.goal, note)


def rows(times: int = TIMES) -> tuple[Measured, ...]:
    """Measure, each `times` times. Writes only below the system's folder for temporary files."""
    started = "in a fresh interpreter"
    render = Measured("render", f"rendering every report of a drill with {EVENTS:,} events", "s", "<= 1", started)
    size = Measured("size", "the largest page of that", "MB", "<= 1")
    again = Measured("judge", f"re-judging that ({EVENTS:,} events)", "s", "<= 0.5", started)
    mission = Measured("judge_all", f"re-judging a whole mission ({DRILLS} drills)", "s", "<= 0.5", started)
    with tempfile.TemporaryDirectory(prefix="drill-bench-") as folder:
        large, whole = Path(folder) / "large", Path(folder) / "whole"
        one = store(large, drills=1, events=EVENTS)
        many = store(whole, drills=DRILLS, events=120)
        for _ in range(times):
            for series, command, stored in ((render, "report", one), (again, "judge", one), (mission, "judge", many)):
                _measure(series, command, stored)
        size.values.append(max(p.stat().st_size for p in one.rglob("*.html")) / 1e6)
    return render, size, again, mission


def _measure(series: Measured, command: str, folder: Path) -> None:
    program = "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"  # as the installed command does
    before = _cpu_s()
    done = run([sys.executable, "-c", program, command, str(folder)], timeout=MINUTE)
    series.cpu.append(_cpu_s() - before)
    series.values.append(done.elapsed.total_seconds())


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def store(root: Path, *, drills: int, events: int) -> Path:
    """A run folder below `root` with `drills` drills of `events` events each, as a session writes it."""
    folder = RunFolder(root, "bench000", BEGUN)
    folder.write_run({"command_line": "pytest scenarios", "begun": BEGUN, "timing": "fast", "egress": "closed"})
    for number in range(drills):
        name = f"test_story_{number}"
        made = folder.drill(name)
        plan = {"name": name, "promise": f"Promise {number} is kept.", "blast_radius": "node", "objective_s": 300.0}
        made.save_plan({**plan, "scenario": f"scenarios/test_bench.py::{name}", "timing": "fast"})
        told = list(_story(events))
        found = _judged(told)
        for event in told:
            made.append(event)
        made.save_findings(join(f.verdict for f in found).value, found, {"name": name})
        made.close()
    return folder.path


def _story(count: int) -> Iterator[Event]:
    """A node loss: a census, a fault, one wait that sees many changes, a census."""
    script = _Script()
    census = {f"Pod shop/pod-{i}": {"uid": f"{i:08x}", "node": f"agent-{i % 3}"} for i in range(OBJECTS)}
    pending = {"state": "PENDING", "expected": "every Application at ce44ad13e4, its objects live and rolled out"}
    yield script.say("drill.begun", "x", promise="Promise.", blast_radius="node")
    yield script.say("observed", "census", reading="census", value=census)
    us = script.at // timedelta(microseconds=1)
    yield script.say("fault.injected", "KillNode(agent-0)", what="killed", sent_us=us, accepted_us=us,
                     touches=["Node agent-0", "Pod shop/*"])  # fmt: skip
    yield script.say("fault.confirmed", "KillNode(agent-0)", state="MET", actual="exited", expected="exited")
    yield script.say("until.begun", "converged", within_s=900.0, settle_s=3.0)
    for number in range(count - 13):
        actual = f"shop-{number % 7}: Deployment shop/api-{number} has {number % 3} of 3 replicas available"
        if number % 20 == 19:
            yield script.say("heartbeat", "converged", **pending, actual=actual, done=3, total=9, left_s=600.0)
        else:
            yield script.say("probe.changed", "converged", **pending, actual=actual, done=number % 120, total=120)
    met = script.at // timedelta(microseconds=1)
    applications = {f"shop-{i}": met - 1000 * i for i in range(7)}
    yield script.say("until.ended", "converged", state="MET", expected="all", actual="120 objects", met_us=met,
                     not_before_us=met - 900, flaps=0, within_s=900.0, settle_s=3.0, waited_s=60.0,
                     detail={"applications": applications})  # fmt: skip
    yield script.say("observed", "census", reading="census", value=census)


@dataclass(slots=True)
class _Script:
    at: timedelta = timedelta(0)
    count: int = 0

    def say(self, kind: str, subject: str, **data: Any) -> Event:
        self.at += timedelta(milliseconds=7)
        self.count += 1
        return Event(self.count - 1, self.at, BEGUN + self.at, kind, subject, data)


def _judged(told: list[Event]) -> list[Any]:
    checks = (fault_landed(), waits_ended_met(), recovered_within(5 * MINUTE), stayed_within_blast_radius())
    script = _Script(told[-1].at, len(told))
    told.append(script.say("judging", "x", checks=[dict(spec_of(check)) for check in checks]))
    found = [check(History(tuple(told))) for check in checks]
    told += [script.say("finding", f.claim, **f.to_record()) for f in found]
    told.append(script.say("drill.ended", "x", verdict=join(f.verdict for f in found).value))
    return found


if __name__ == "__main__":
    for measured in rows():
        sys.stdout.write("  ".join(measured.row()) + "\n")
