"""Stages: what is done in which order, side by side where lanes allow, with an estimate that is always there.

Here belong the scheduling of named stages and the arithmetic of "how long still". What a stage does does not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from harness.core.clock import Clock, between_ns, seconds

HEARTBEAT = seconds(10)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step. At most `lanes[lane]` stages of a lane run at once. `expected` comes from the past or a default."""

    name: str
    lane: str
    expected: timedelta
    action: Callable[[], None] = field(compare=False)
    needs: frozenset[str] = frozenset()


def remaining(
    stages: Sequence[Stage], lanes: Mapping[str, int], done: Iterable[str], running: Mapping[str, timedelta]
) -> timedelta:
    """How long the rest will take if every stage takes what is expected of it.

    `running` says how long each running stage has been at it; one that overran counts one second more. Plays the
    schedule through: the sum would be too much, since lanes run side by side, and the longest lane too little.
    """
    finished = set(done)
    now = 0.0
    at: dict[str, float] = {}
    for stage in stages:
        if stage.name in running:
            at[stage.name] = max(1.0, (stage.expected - running[stage.name]).total_seconds())
    while True:
        for stage in _startable(stages, lanes, finished, at):
            at[stage.name] = now + stage.expected.total_seconds()
        if not at:
            return seconds(now)
        now = min(at.values())
        ended = [name for name, end in at.items() if end <= now]
        finished.update(ended)
        for name in ended:
            del at[name]


def clock_text(duration: timedelta) -> str:
    """Minutes and seconds, such as 04:05."""
    total = int(duration.total_seconds())
    return f"{total // 60:02d}:{total % 60:02d}"


@contextmanager
def beating(progress: Callable[[str], None], clock: Clock, text: str) -> Iterator[None]:
    """Say `text` now, and every 10 s how long it has been, while the body runs."""
    progress(text)
    begun, over = clock.now_ns(), threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT.total_seconds()):
            progress(f"{text}: {clock_text(between_ns(begun, clock.now_ns()))} so far")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run_stages(
    stages: Sequence[Stage],
    lanes: Mapping[str, int],
    *,
    clock: Clock,
    progress: Callable[[str], None],
    cancel: threading.Event,
    record: Callable[[str, timedelta], None] = lambda name, took: None,
) -> None:
    """Run every stage, those first that come first in `stages`; raise the first error after stopping the others.

    `cancel` is set as soon as anything fails or we are interrupted: stages that run commands watch it. `record` is
    told how long each stage really took. Progress: a line when a stage starts and ends, a heartbeat every 10 s.
    """
    order: dict[str, int] = {}
    done: set[str] = set()
    begun = clock.now_ns()
    running: dict[Future[None], tuple[Stage, int]] = {}

    def left() -> timedelta:
        spent = {stage.name: between_ns(since, clock.now_ns()) for stage, since in running.values()}
        return remaining(stages, lanes, done, spent)

    with ThreadPoolExecutor(max_workers=max(1, sum(lanes.values()))) as pool:
        try:
            while len(done) < len(stages):
                for stage in _startable(stages, lanes, done, {item[0].name for item in running.values()}):
                    running[pool.submit(stage.action)] = (stage, clock.now_ns())
                    order[stage.name] = len(order) + 1
                    head = f"[{order[stage.name]}/{len(stages)}] {stage.name}"
                    progress(f"{head}: started, about {clock_text(stage.expected)}; all: {clock_text(left())} left")
                ended, _ = wait(running, HEARTBEAT.total_seconds(), FIRST_COMPLETED)
                if not ended:
                    progress(_beat(running.values(), between_ns(begun, clock.now_ns()), left(), clock))
                for future in ended:
                    stage, since = running.pop(future)
                    future.result()
                    took = between_ns(since, clock.now_ns())
                    record(stage.name, took)
                    done.add(stage.name)
                    progress(f"[{order[stage.name]}/{len(stages)}] {stage.name}: done in {clock_text(took)}")
        except BaseException:
            cancel.set()
            raise


def _startable(
    stages: Sequence[Stage], lanes: Mapping[str, int], done: set[str], running: Iterable[str]
) -> list[Stage]:
    busy = set(running)
    free = dict(lanes)
    for stage in stages:
        if stage.name in busy:
            free[stage.lane] -= 1
    chosen = []
    for stage in stages:
        if stage.name not in busy and stage.name not in done and stage.needs <= done and free[stage.lane] > 0:
            free[stage.lane] -= 1
            chosen.append(stage)
    return chosen


def _beat(running: Iterable[tuple[Stage, int]], elapsed: timedelta, left: timedelta, clock: Clock) -> str:
    parts = [
        f"{stage.name} {clock_text(between_ns(since, clock.now_ns()))}/{clock_text(stage.expected)}"
        for stage, since in running
    ]
    return f"images: {clock_text(elapsed)} elapsed, about {clock_text(left)} left; now: {', '.join(parts)}"
