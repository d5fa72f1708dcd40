"""One run: the machine, the images, the network, the repository, the platform, and the drills on it.

Here belongs what is shared by the drills of a run and the order in which it is made and taken down. It knows nothing of
pytest; `harness.plugin` and the benchmarks drive it.
"""

from __future__ import annotations

import platform as machine
import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cluster import clean, host, provision
from harness.cluster.clusters import Clusters, ClusterSpec, Network
from harness.cluster.docker import Docker
from harness.cluster.images import ImageSet, ImageSource, cache_folder, prepare
from harness.core.checks.again import RAN, RECORDED
from harness.core.clock import Clock, SystemClock
from harness.core.errors import ConfigError, DrillFailed, HarnessError, ProvisionFailed
from harness.core.faults import BlastRadius
from harness.core.profile import profile
from harness.core.text import first_line
from harness.core.timeline import Event, Journal, Timeline
from harness.core.verdict import Finding, Verdict
from harness.diagnostics import collect, learn
from harness.diagnostics.known import address_secrets
from harness.drill import Drill
from harness.effects.store import DrillFolder, RunFolder, load_drill
from harness.facts import git_state, tool_versions
from harness.gitops.plan import BootstrapPlan, read_plan
from harness.gitops.platform import Platform
from harness.gitops.repo import ServedRepo
from harness.handover import Handover
from harness.probes.census import census
from harness.report import junit
from harness.report.model import build_drill

KEEP = ("never", "on-failure", "always")


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose, checked."""

    repo: str
    revision: str | None = None
    images: ImageSource = ImageSource.AUTO
    bundle: Path | None = None
    timing: str = "default"
    keep: str = "never"
    egress_allowed: bool = False
    provision: bool = False
    servers: int = 1
    agents: int = 2
    reports: Path = Path("reports")
    worker: str = "main"
    command_line: str = ""

    def checked(self) -> Options:
        """These options, or ConfigError that says which one cannot be."""
        profile(self.timing)
        if self.keep not in KEEP:
            raise ConfigError(f"--keep-cluster {'|'.join(KEEP)}", repr(self.keep), "choose one of these")
        if self.servers != 1:
            raise ConfigError("one server (--servers 1)", str(self.servers), "several servers are not supported yet")
        if not 0 <= self.agents <= 8:
            raise ConfigError("0 to 8 agents", str(self.agents), "choose --agents within that")
        if (self.images is ImageSource.BUNDLE) != (self.bundle is not None):
            raise ConfigError("--images bundle together with --bundle FILE", "one without the other", "give both")
        if self.bundle is not None and not self.bundle.is_file():
            raise ConfigError(
                "--bundle FILE, as `drill bundle create FILE` made it", f"no file {self.bundle}", "mend the path"
            )
        return self


@dataclass(slots=True)
class Session:
    """A run. `close` must be called, whatever happened; it takes down what was made, last first."""

    options: Options
    clock: Clock = field(default_factory=SystemClock)
    listeners: tuple[Callable[[Event], None], ...] = ()
    run_id: str = field(default_factory=lambda: secrets.token_hex(4))
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    folder: RunFolder = field(init=False)
    journal: Journal = field(init=False)
    facts: dict[str, Any] = field(default_factory=dict)
    _platform: Platform | None = None
    _handover: Handover | None = None
    _hopeless: HarnessError | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _trouble: Exception | None = None  # the first one of the teardown
    _run_log: DrillFolder = field(init=False)
    _folders: dict[str, DrillFolder] = field(default_factory=dict)
    _lost: dict[str, str] = field(default_factory=dict)  # drill -> why it could not be recorded

    def __post_init__(self) -> None:
        self.options = self.options.checked()
        self.folder = RunFolder(self.options.reports, self.run_id, self.clock.utc())
        self._run_log = self.folder.drill("run")
        self.journal = Journal(Timeline(self.clock, (self._run_log.append, *self.listeners)))
        self.facts = {
            "command_line": self.options.command_line,
            "begun": self.clock.utc(),
            "harness": git_state(),
            "machine": {"system": machine.platform(), "python": machine.python_version()},
            "timing": profile(self.options.timing).describe(),
            "keep_cluster": self.options.keep,
            "egress": "allowed" if self.options.egress_allowed else "closed",
            "repository": {"source": self.options.repo},
            "nodes": {"servers": self.options.servers, "agents": self.options.agents},
        }
        self.folder.veil.learn(address_secrets(self.options.repo))
        self.folder.write_run(self.facts)
        self.journal.add("run.begun", self.run_id, folder=str(self.folder.path), command_line=self.options.command_line)

    def platform(self) -> Platform:
        """The platform, started. One that a drill tainted, or left without a cluster, is made anew."""
        if self._hopeless is not None:
            raise self._hopeless  # what failed once fails for every drill of the run: say it again, do not try again
        if self._platform is None:
            try:
                self._platform = self._make()
            except HarnessError as error:
                self._hopeless = error
                raise
        found = self._platform
        if found.tainted:
            self.journal.add("note", found.name, text=f"the cluster is tainted ({found.tainted}): it is made anew")
            found.destroy()
            found.tainted = ""
            if self._handover is not None:
                self._handover.restore_git()
        if not found.alive:
            self._start(found)
        self.facts["deviations"] = [str(deviation) for deviation in found.engine.deviations]
        self.folder.write_run(self.facts)
        return found

    def _start(self, made: Platform) -> None:
        """A cluster for the next drill. What an attempt before has left behind is removed first."""
        made.discard()
        made.tainted = "it did not come up"
        made.start()
        made.tainted = ""

    def _make(self) -> Platform:
        repo, plan = self._repository()
        with self.journal.phase("machine"):
            docker = self._machine()
        with self.journal.phase("images"):
            images = prepare(
                self.options.images, cache=cache_folder(), progress=self._note("images"), clock=self.clock,
                bundle=self.options.bundle,
            )  # fmt: skip
        clusters = Clusters(
            docker, images, run_id=self.run_id, run_dir=self.folder.path / "private", clock=self.clock,
            journal=self.journal, egress_allowed=self.options.egress_allowed,
        )  # fmt: skip
        self._at_close(clusters.close)
        with self.journal.phase("network"):
            network = clusters.make_network()
            url = repo.serve(network.gateway)
        self._record(images, network, repo, url)
        spec = ClusterSpec(
            name=f"dr-{self.options.worker}-{self.run_id}", network=network, servers=self.options.servers,
            agents=self.options.agents, profile=profile(self.options.timing),
        )  # fmt: skip
        made = Platform(
            name=spec.name, clusters=clusters, spec=spec, repo=repo, plan=plan, images=images, profile=spec.profile,
            journal=self.journal, clock=self.clock,
        )  # fmt: skip
        self._at_close(self._part_with, made)
        self._handover = Handover(made)
        return made

    def _repository(self) -> tuple[ServedRepo, BootstrapPlan]:
        with self.journal.phase("repository"):
            repo = ServedRepo.from_path(
                self.options.repo, scratch=self.folder.path / "private" / "repo", revision=self.options.revision,
                on_event=self._note("repository"),
            )  # fmt: skip
            self._at_close(self.folder.forget, "repo")
            self._at_close(self.folder.forget, "copies")  # of volumes: what is in them is nobody's business afterwards
            self._at_close(repo.close)
            return repo, read_plan(repo)

    def _machine(self) -> Docker:
        if self.options.provision:
            provision.provision(self._note("provision"))
        docker = Docker.connect()
        clean.clean(docker, on_removed=self._note("left by a run that is gone, removed"))
        host.require_fit(docker)
        return docker

    def _record(self, images: ImageSet, network: Network, repo: ServedRepo, url: str) -> None:
        self.facts["images"] = images.describe()
        self.facts["repository"] |= {"head": repo.head, "served_at": url, "rewrites": [str(r) for r in repo.rewrites]}
        self.facts["network"] = {"name": network.name, "subnet": network.subnet}
        self.facts["tools"] = tool_versions(images.k3d)
        self.folder.write_run(self.facts)

    @contextmanager
    def drilling(self, name: str, promise: str, radius: BlastRadius, facts: Mapping[str, Any]) -> Iterator[Drill]:
        """One drill: its folder, its timeline, and findings whatever happens inside."""
        if self._handover is not None:
            self._handover.begin()
        folder = self._folders[name] = self.folder.drill(name)
        timeline = Timeline(self.clock, (folder.append, *self.listeners))
        drill = Drill(name, promise, radius, timeline, self.clock)
        drill.answering = self._answering
        drill.lost = self._lost_for_good
        drill.census = census(self._platform) if self._handover is not None and self._platform is not None else None
        folder.save_plan(
            {
                "name": name,
                "promise": promise,
                "blast_radius": radius.name.lower(),
                "timing": self.facts["timing"],
                **facts,
            }
        )
        timeline.add(
            "drill.begun", name, promise=promise, blast_radius=radius.name.lower(), timing=self.facts["timing"]
        )
        with self.journal.writing_to(timeline):
            learn(self._platform, self.folder.veil)
            try:
                yield drill
            except BaseException as error:
                self._explain(drill, error, folder)
                raise
            finally:
                self._finish(drill, folder)

    def _lost_for_good(self) -> str:
        return "" if self._platform is None else self._platform.lost()

    def _answering(self) -> bool:
        try:
            return self._platform is None or bool(self._platform.view.answering)
        except ProvisionFailed:  # there is no cluster
            return False

    def _explain(self, drill: Drill, error: BaseException, folder: DrillFolder) -> None:
        """The findings of a drill that did not reach its conclusion, and diagnostics while the cluster still stands."""
        folder.save_artifact("error.txt", "".join(traceback.format_exception(error)))
        if drill.verdict in (None, Verdict.HELD):  # also one that went wrong after its conclusion: no pass
            if drill.verdict is None:
                self._judge_what_there_is(drill)
            blame = Verdict.REFUTED if isinstance(error, DrillFailed) else Verdict.INCONCLUSIVE
            self._find(drill, RAN, blame, "a conclusion", first_line(error)[:400])
            drill.verdict = (
                Verdict.REFUTED
                if any(f.verdict is Verdict.REFUTED for f in drill.findings) and isinstance(error, DrillFailed)
                else blame
            )
        if self._platform is not None:
            for problem in collect(self._platform, folder.artifacts, self.folder.veil):
                drill.timeline.add("note", "diagnostics", text=problem)
            if self._platform.alive and drill.timeline.history().first("fault.injected"):
                self._platform.tainted = f"drill {drill.name} did not end well"

    def _judge_what_there_is(self, drill: Drill) -> None:
        try:
            drill.judge([])
        except Exception as error:  # noqa: BLE001 - a census or a check that fails now must not hide what went wrong first
            drill.timeline.add("note", "judging", text=first_line(error))

    def _find(self, drill: Drill, claim: str, verdict: Verdict, expected: str, actual: str) -> None:
        finding = Finding(claim, verdict, expected, actual)
        drill.findings = [*drill.findings, finding]
        drill.timeline.add("finding", finding.claim, **finding.to_record())

    def _finish(self, drill: Drill, folder: DrillFolder) -> None:
        """Findings first: what comes after (is the cluster still good for the next drill?) must not cost them."""
        self._save(drill, folder)
        if self._platform is not None:
            made = self._platform
            made.tainted = made.tainted or drill.tainted
            if self._handover is not None and not made.tainted:
                made.tainted = self._handed_over(self._handover)
                if made.alive or made.tainted:  # of a cluster that is gone there is nothing to hand over
                    drill.timeline.add("handed.over", drill.name, clean=not made.tainted, why=made.tainted)
        drill.timeline.add("drill.ended", drill.name, verdict=self.verdicts[drill.name].value)
        folder.close()
        if folder.trouble and self.verdicts[drill.name] is not Verdict.INCONCLUSIVE:
            self._save(drill, folder)

    def _save(self, drill: Drill, folder: DrillFolder) -> None:
        if folder.trouble:  # whatever was judged: it cannot be shown, and a full disk harms a cluster as well
            self._find(drill, RECORDED, Verdict.INCONCLUSIVE, "every event on disk", folder.trouble)
            drill.verdict = Verdict.INCONCLUSIVE
            self._lost[drill.name] = f"{folder.trouble}; make room, and run it again"
        verdict = self.verdicts[drill.name] = drill.verdict or Verdict.INCONCLUSIVE
        folder.save_findings(verdict.value, drill.findings, {"name": drill.name})

    def _handed_over(self, handover: Handover) -> str:
        try:
            return handover.check()
        except Exception as error:  # noqa: BLE001 - the teardown stack: a cluster that cannot be looked at is not reused
            return f"it could not be looked at: {first_line(error)}"

    def unrecorded(self, name: str) -> str:
        """Why what a drill found could not be written down; "" where it could."""
        folder = self._folders.get(name)
        return self._lost.get(name) or (folder.trouble if folder else "")

    def figures(self, name: str) -> list[tuple[str, str]]:
        """The figures of a finished drill, for JUnit properties; none where its files cannot be read."""
        try:
            return junit.properties(build_drill(*load_drill(self.folder.path / name)))
        except (OSError, HarnessError) as error:
            self.journal.add("note", name, text=f"no figures: {first_line(error)}")
            return []

    def close(self) -> None:
        """Take down what was made, unless the user asked to keep it. Errors are recorded; the first one is raised."""
        try:
            self._stack.close()
        finally:
            self.facts["ended"] = self.clock.utc()
            self.facts["verdicts"] = {name: v.value for name, v in self.verdicts.items()}
            self.folder.write_run(self.facts)
            self.journal.add("run.ended", self.run_id)
            self._run_log.close()
        if self._trouble is not None:
            raise self._trouble

    def _at_close(self, action: Callable[..., object], *given: Any) -> None:
        """Have `action` done at `close`, whatever the others come to: an ExitStack alone would raise the last error."""

        def act() -> None:
            try:
                action(*given)
            except Exception as error:  # noqa: BLE001 - the teardown stack: recorded here, the first is raised by close
                self._trouble = self._trouble or error
                told = f"{type(error).__name__}: {error}; `drill clean` removes what this run may have left"
                self.journal.add("note", "teardown", text=told)

        self._stack.callback(act)

    def _part_with(self, made: Platform) -> None:
        failed = any(v is not Verdict.HELD for v in self.verdicts.values())
        if made.alive and (self.options.keep == "always" or (self.options.keep == "on-failure" and failed)):
            made.clusters.keep()
            self.journal.add("note", "kept", text=made.how_to_reach())
            return
        with self.journal.phase("teardown"):
            made.destroy()

    def _note(self, subject: str) -> Callable[[str], None]:
        def note(text: str) -> None:
            self.journal.add("note", subject, text=text)

        return note
