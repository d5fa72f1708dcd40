"""The benchmark: what this project promises about speed and memory, measured.

Here belong the measured series and the table. A figure is never a test: it is written into `reports/` with its n, its
median and its spread. Run it with `nox -s bench`, or `nox -s bench -- --cycles 2 --drifts 5` for a short look.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median

import yaml

from harness import bench_drills, bench_report
from harness.bench_report import Measured
from harness.cluster import labels
from harness.cluster.images import ImageSource
from harness.cluster.spec import free_port, k3d_config
from harness.core.checks import interval
from harness.core.clock import MINUTE, SECOND, SystemClock, between_ns
from harness.core.faults import BlastRadius
from harness.core.profile import DEFAULT
from harness.core.timeline import Event, History
from harness.drill import Drill
from harness.effects.proc import run
from harness.effects.store import write_json, write_text
from harness.fixtures import fixtures_folder, sample_repository
from harness.gitops.argocd_manifests import Fitting, fit
from harness.gitops.platform import Platform
from harness.session import Options, Session

FRONT_DOOR = "cortex-chat/chat-api"


class Bench:
    """One benchmark run: a session in the `fast` profile, cycles of loss and rebuild, heals, and the plain twin."""

    def __init__(self, session: Session, clock: SystemClock) -> None:
        self.session, self.clock = session, clock
        make = self._series = {}  # type: dict[str, Measured]

        def series(key: str, name: str, unit: str, goal: str, note: str = "") -> None:
            make[key] = Measured(key, name, unit, goal, note)

        series("create", "k3d create called, to nodes Ready, DNS answering, a pod running (1+2)", "s", "<= 15")
        series("argocd", "Argo CD core applied, to ready", "s", "<= 12")
        series("loss", "cluster loss, to all converged and a Service answering", "s", "<= 90")
        series("plain", "the same by plain script (bash, k3d, kubectl)", "s", "")
        series("ratio", "plain script / drill, medians of this run", "x", ">= 1.5")
        series("heal", "drift accepted, to heal accepted, first on a revision", "s", "median <= 1")
        series("resolution", "resolution of that", "ms", "<= 20")
        series(
            "share",
            "harness CPU time / wall time of a rebuild",
            "%",
            "<= 5",
            "CPU of this process, an upper bound of its own share",
        )
        series("memory", "harness peak memory", "MB", "<= 200")
        series("collect", "pytest scenarios --collect-only", "s", "<= 1")
        for row in bench_drills.SERIES:
            series(*row)

    def loss_cycle(self, platform: Platform, number: int) -> None:
        """Lose the cluster, rebuild it from Git, wait until all is back; decompose."""
        from harness import DestroyCluster, answers, converged

        cpu, begun = _cpu_s(), self.clock.now_ns()
        with self._drilling(f"loss-{number}", BlastRadius.CLUSTER) as drill:
            drill.inject(DestroyCluster(platform))
            drill.rebuild(platform)
            drill.until(converged(platform), answers(platform, FRONT_DOOR), within=10 * MINUTE, settle=3 * SECOND)
            drill.judge([])
        history = drill.timeline.history()
        fault, wait = history.first("fault.injected"), history.last("until.ended")
        assert fault is not None
        assert wait is not None
        self._series["loss"].values.append(interval(fault, wait).value.total_seconds())
        self._series["create"].values.append(_between_s(history, "cluster", "cluster"))
        self._series["argocd"].values.append(_between_s(history, "argocd.apply", "argocd"))
        wall = between_ns(begun, self.clock.now_ns()).total_seconds()
        self._series["share"].values.append(100 * (_cpu_s() - cpu) / wall)

    def heal_once(self, platform: Platform, number: int) -> None:
        """One heal, the first on its revision: a commit that touches nothing comes before it."""
        from harness import ScaleDeployment, converged, healed

        platform.repo.commit({}, f"bench: revision {number}")
        with self._drilling(f"heal-{number}", BlastRadius.NAMESPACE) as drill:
            drill.require(converged(platform))
            drift = drill.inject(ScaleDeployment(platform, FRONT_DOOR, replicas=3))
            drill.until(healed(drift), within=2 * MINUTE)
            drill.until(converged(platform), within=2 * MINUTE)
            drill.judge([])
        history = drill.timeline.history()
        fault, wait = history.first("fault.injected"), history.of("until.ended")[0]
        assert fault is not None
        time = interval(fault, wait)
        self._series["heal"].values.append(time.value.total_seconds())
        self._series["resolution"].values.append(time.resolution.total_seconds() * 1000)

    def shared(self, platform: Platform, times: int, say: Callable[[str], object]) -> None:
        """The drills that share a cluster, each `times` times."""
        for part in (bench_drills.push_and_revert, bench_drills.deletion, bench_drills.server_crash,
                     bench_drills.agent_crash):  # fmt: skip
            for number in range(times):
                part(platform, self._drilling, self._record, number)
            say(f"{part.__name__}: {times} times")

    def _record(self, key: str, value: float) -> None:
        self._series[key].values.append(value)

    def plain_cycles(self, platform: Platform, times: int) -> None:
        """The same loss and rebuild by the plain script: the same name, network, images and repository."""
        private = self.session.folder.path / "private"
        cluster, clusters = platform.let_go(), platform.clusters
        marks = labels.labels(self.session.run_id, clusters.owner, self.clock.utc())
        config, manifests, root = private / "plain.k3d.yaml", private / "plain.argocd.yaml", private / "plain.root.yaml"
        write_text(config, yaml.safe_dump(k3d_config(platform.spec, platform.images, marks, free_port(None))))
        # Upstream's manifests as people apply them; only the images and their pull policy are ours.
        asis = Fitting(platform.images.argocd.reference, platform.images.redis.reference, DEFAULT, {}, lean=False)
        objects = fit(platform.images.argocd_manifests, asis)[0]
        # kubectl cannot apply an AppProject in the same call as its CRD: people apply it with the Applications.
        projects = [o for o in objects if o["kind"] == "AppProject"]
        write_text(manifests, yaml.safe_dump_all([o for o in objects if o not in projects]))
        write_text(root, yaml.safe_dump_all([*projects, *platform.plan.root_objects(platform.repo)]))
        argv = [
            str(fixtures_folder() / "bench" / "plain.sh"),
            cluster.name,
            str(config),
            str(manifests),
            str(root),
            f"k3d-{cluster.name}-server-0",
            "600",
        ]
        try:
            for _ in range(times):
                done = run(
                    argv, timeout=15 * MINUTE, env={**clusters.k3d.environment(), "K3D": str(clusters.k3d.binary)}
                )
                self.series("plain").values.append(float(done.stdout.strip().splitlines()[-1]))
        finally:
            clusters.k3d.delete(cluster.name)
        ratio = median(self.series("plain").values) / median(self.series("loss").values)
        self.series("ratio").values.append(ratio)

    def collect(self, times: int) -> None:
        """Collection alone, in a fresh interpreter each time."""
        for _ in range(times):
            done = run(
                [sys.executable, "-m", "pytest", "scenarios", "--collect-only", "-q", "-p", "no:cacheprovider"],
                timeout=MINUTE,
            )
            self._series["collect"].values.append(done.elapsed.total_seconds())

    def reports(self) -> None:
        """Rendering and judging again, from stored files alone."""
        self._series |= {measured.key: measured for measured in bench_report.rows()}

    def finish(self) -> str:
        """Write the results and return the table."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self._series["memory"].values.append(peak)
        rows = [("figure", "n", "median", "spread", "goal", "note"), *(s.row() for s in self._series.values())]
        text = _table(rows)
        write_json(
            self.session.folder.path / "bench.json",
            {
                key: {"name": s.name, "unit": s.unit, "goal": s.goal, "values": s.values}
                for key, s in self._series.items()
            },
        )
        write_text(self.session.folder.path / "bench.txt", text)
        return text

    def _drilling(self, name: str, radius: BlastRadius) -> AbstractContextManager[Drill]:
        return self.session.drilling(name, f"benchmark: {name}", radius, {"twin_of": None})

    def series(self, key: str) -> Measured:
        return self._series[key]


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _between_s(history: History, first: str, last: str) -> float:
    """Seconds from the beginning of one phase to the end of another."""
    begun, ended = history.last("phase.begun", first), history.last("phase.ended", last)
    return (ended.at - begun.at).total_seconds() if begun and ended else float("nan")


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return (
        "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
        + "\n"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more; found {number}; a median needs a measurement")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Measure. Needs prepared images; makes and removes its own cluster."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure what drill promises about speed and memory.")
    parser.add_argument("--cycles", type=_positive, default=5, help="rebuilds, and plain-script twins (default: 5)")
    parser.add_argument("--drifts", type=_positive, default=20, help="heals (default: 20)")
    parser.add_argument("--images", default="auto", type=ImageSource)
    parser.add_argument("--reports", default="reports", type=Path)
    chosen = parser.parse_args(argv)
    clock = SystemClock()
    say: Callable[[str], object] = lambda text: sys.stdout.write(text + "\n")  # noqa: E731
    options = Options(
        repo=str(sample_repository()),
        images=chosen.images,
        timing="fast",
        reports=chosen.reports.absolute(),
        worker="bench",
        command_line=shlex.join(["bench", *(argv or sys.argv[1:])]),
    )
    session = Session(options, clock=clock, listeners=(_progress(say),))
    bench = Bench(session, clock)
    try:
        bench.collect(chosen.cycles)
        bench.reports()
        platform = session.platform()
        for number in range(chosen.cycles):
            bench.loss_cycle(platform, number)
            say(f"cycle {number}: {bench.series('loss').values[-1]:.1f} s")
        for number in range(chosen.drifts):
            bench.heal_once(platform, number)
        bench.shared(platform, chosen.cycles, say)
        bench.plain_cycles(platform, chosen.cycles)
    finally:
        try:
            say(bench.finish())
        finally:
            session.close()
    say(f"written to {session.folder.path}")
    return 0


def _progress(say: Callable[[str], object]) -> Callable[[Event], None]:
    from harness.report.console import Console

    console = Console(colour=False)

    def hear(event: Event) -> None:
        text = console.line(event)
        if text is not None and event.kind in ("phase.ended", "until.ended", "heartbeat"):
            say(text)

    return hear


if __name__ == "__main__":
    raise SystemExit(main())
