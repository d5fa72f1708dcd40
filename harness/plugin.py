"""The pytest plugin: the door through which scenarios run.

Here belong options, fixtures and hooks; the only module that imports pytest. What a run is made of is in
`harness.session`. Nothing is imported from there, and nothing is started, before the first drill asks for a platform:
collection stays fast and touches nothing.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Generator, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.core.errors import ConfigError, DrillFailed, ExitCode, HarnessError

if TYPE_CHECKING:
    from harness.core.timeline import Event
    from harness.drill import Drill
    from harness.gitops.platform import Platform
    from harness.session import Session

MARKER = (
    "drill(blast_radius, objective=None, twin_of=None): a disaster-recovery drill; blast_radius is namespace, node or "
    "cluster; objective is a timedelta; twin_of names the scenario whose sabotaged twin this is"
)
SUBJECTS = (
    "drift: what was changed by hand on the live cluster",
    "commit: what follows from a commit",
    "rollback: `git revert` of a bad commit",
    "node_loss: nodes that crash, freeze, or are lost",
    "cluster_loss: the whole cluster is lost and rebuilt from Git",
    "data_loss: what Git does not bring back",
    "engine_loss: Argo CD or its Git server is lost",
    "smoke: one drill for each class of fault, and a twin or two: what CI runs on every change",
    "slow: takes over 90 s, or makes sense with long timings only",
    "twin: a sabotaged twin; set by `twin_of`",
)
EXIT_CODES = (
    "drill exit codes: 0 every promise held; 1 a promise was broken (REFUTED); 2 interrupted; 4 bad usage (option, "
    "scenario, repository); 5 no scenario selected; 11 harness or environment trouble (INCONCLUSIVE); "
    "12 refused for safety."
)
SESSION = pytest.StashKey["Session"]()
OUTCOMES = pytest.StashKey[list[BaseException]]()
IMPATIENCE = 3.0  # seconds
TEARING_DOWN = "\ntearing down; a moment (kill -9 leaves work for `drill clean`)\n"
LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drill", "disaster-recovery drills. " + EXIT_CODES)
    add = group.addoption
    add("--repo", metavar="PATH|URL", help="the GitOps repository to drill (default: the sample repository 'cortex')")
    add("--rev", metavar="REV", help="branch, tag or commit of it (default: its HEAD, with uncommitted changes)")
    add("--images", default="auto", metavar="SOURCE", help="auto, pull, build or bundle (default: auto)")
    add("--bundle", metavar="FILE", help="the bundle for --images bundle")
    add(
        "--timing",
        default="default",
        metavar="PROFILE",
        help="timing profile: default (upstream's own settings) or fast (default: default)",
    )
    add("--agents", type=int, default=2, help="agent nodes of a cluster (default: 2)")
    add("--servers", type=int, default=1, help="server nodes of a cluster (default: 1)")
    add("--keep-cluster", default="never", metavar="WHEN", help="never, on-failure or always (default: never)")
    add(
        "--egress",
        default="deny",
        metavar="deny|allow",
        help="may the cluster reach beyond this machine (default: deny)",
    )
    add("--provision", action="store_true", help="where no Docker engine answers (root, Debian or Ubuntu): install one")
    add("--require-runtime", action="store_true", help="tests marked cluster: fail instead of skip without Docker (CI)")
    add("--reports", default="reports", metavar="DIR", help="where run folders are written (default: reports)")


def pytest_configure(config: pytest.Config) -> None:
    for line in (MARKER, *SUBJECTS):
        config.addinivalue_line("markers", line)
    config.stash[OUTCOMES] = []
    config.stash[LEFT_OUT] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A wrong marker is an error of collection, not of the tenth minute."""
    from harness.drill import blast_radius

    for item in items:
        for mark in item.iter_markers("drill"):
            try:
                blast_radius(str(mark.kwargs.get("blast_radius", "")))
            except ConfigError as error:
                raise pytest.UsageError(f"{item.nodeid}: {error}") from error
            if mark.kwargs.get("twin_of"):
                item.add_marker("twin")


def pytest_collection_finish(session: pytest.Session) -> None:
    """A wrong option ends the run before anything is touched, also before the first fixture."""
    config = session.config
    if config.option.collectonly or not any(item.get_closest_marker("drill") for item in session.items):
        return
    try:
        _options(config).checked()
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error
    for category in ("PytestUnraisableExceptionWarning", "PytestUnhandledThreadExceptionWarning"):
        config.addinivalue_line("filterwarnings", f"default::pytest.{category}")


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """An interrupt that lands in a thread or a callback is a warning; as an error it would end the run with 1, REFUTED.

    pytest collects those a last time after this hook, where only the process's own filters count.
    """
    if config.stash.get(SESSION, None) is not None:
        for category in (pytest.PytestUnraisableExceptionWarning, pytest.PytestUnhandledThreadExceptionWarning):
            warnings.filterwarnings("ignore", category=category)


@pytest.fixture(scope="session")
def drill_session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The run that all drills of this pytest session share."""
    from harness.session import Session

    config = request.config
    console = _Console(config)
    _terminate_like_interrupt()
    session = Session(_options(config), listeners=(console,))
    config.stash[SESSION] = session
    yield session
    console.quietly(session.close)


@pytest.fixture
def platform(drill_session: Session) -> Platform:
    """A cluster that follows the repository under test. Drills share it while they leave it clean."""
    return drill_session.platform()


@pytest.fixture
def drill(request: pytest.FixtureRequest, drill_session: Session, platform: Platform) -> Iterator[Drill]:
    """The drill of this scenario: its own timeline, judged at its end."""
    from harness.drill import blast_radius

    mark = request.node.get_closest_marker("drill")
    if mark is None:
        raise ConfigError("a scenario marked @pytest.mark.drill(blast_radius=...)", request.node.name, "add the marker")
    promise = " ".join((request.node.function.__doc__ or request.node.name).split())
    objective: timedelta | None = mark.kwargs.get("objective")
    facts = {
        "twin_of": mark.kwargs.get("twin_of"),
        "scenario": request.node.nodeid,
        "objective_s": objective.total_seconds() if objective else None,
    }
    radius = blast_radius(mark.kwargs["blast_radius"])
    request.node.drill_error = None
    context = drill_session.drilling(request.node.name, promise, radius, facts)
    made = context.__enter__()
    made.objective = objective
    yield made
    error = request.node.drill_error
    if error is None and made.verdict is None:
        error = HarnessError("the scenario ended without drill.conclude(...): nothing was judged")
    try:
        context.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
    except BaseException as raised:
        if raised is not error or request.node.drill_error is None:
            raise
    finally:
        request.node.user_properties += drill_session.figures(request.node.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Keep what a scenario raised: the drill fixture needs it to explain itself.

    What could not be recorded proves nothing, whatever was found: the disk was full, say.
    """
    session = item.config.stash.get(SESSION, None)
    drilled = "drill" in getattr(item, "fixturenames", ()) and session is not None
    try:
        result = yield
        if drilled and session and (lost := session.unrecorded(item.name)):
            raise HarnessError(lost)
        return result
    except BaseException as raised:
        error = raised
        if drilled and session and isinstance(raised, DrillFailed) and (lost := session.unrecorded(item.name)):
            error = HarnessError(f"{lost} (until then: {raised})")
        if drilled:
            item.drill_error = error  # type: ignore[attr-defined]
        if error is raised:
            raise
        raise error from raised


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Our own errors are messages for people, not tracebacks; figures go to JUnit as properties."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if error is None or not item.get_closest_marker("drill"):
        return report
    known = item.config.stash[OUTCOMES]
    if isinstance(error, HarnessError | DrillFailed):
        blame = "REFUTED" if isinstance(error, DrillFailed) else "INCONCLUSIVE"
        again = any(error is before for before in known)
        report.longrepr = f"{blame}: {'the same again' if again else f'{type(error).__name__}: {error}'}"
    elif isinstance(error, Exception) and not isinstance(error, AssertionError):
        # Trouble that nobody foresaw: its class, its words and its place; the whole of it is in artifacts/error.txt.
        place = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
        where = f" ({Path(place.filename).name}:{place.lineno})" if place else ""
        report.longrepr = f"INCONCLUSIVE: {type(error).__name__}: {error}{where}"
    known.append(error)
    return report


@pytest.hookimpl(wrapper=True, trylast=True)  # the innermost: what is raised inside must not cost the summary
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
    """Exit by class of failure. A broken promise outranks trouble of our own: it is the news.

    After an interrupt the fixtures end in here: what one of them raised would be a traceback, and an exit code that
    means something else.
    """
    try:
        yield
    except Exception as error:
        if exitstatus in (ExitCode.OK, ExitCode.PROMISE_BROKEN, ExitCode.USAGE, ExitCode.NOTHING_SELECTED):
            raise
        sys.stderr.write(f"teardown: {_told(error)}; `drill clean` removes what this run may have left\n")
    outcomes = session.config.stash[OUTCOMES]
    if exitstatus != ExitCode.PROMISE_BROKEN or not outcomes:
        return
    if any(isinstance(e, AssertionError) for e in outcomes):
        return
    session.exitstatus = max(getattr(e, "exit_code", ExitCode.ENVIRONMENT) for e in outcomes)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember the drills that -k or -m left out: when none is left, say which there are."""
    for item in items:
        if item.get_closest_marker("drill"):
            item.config.stash[LEFT_OUT].append(item.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """The table and the report's path."""
    left_out = config.stash[LEFT_OUT]
    if exitstatus == ExitCode.NOTHING_SELECTED and left_out:
        terminalreporter.write_line(
            f"expected a scenario that fits the selection; found none; choose among: {', '.join(left_out)}"
        )
    session = config.stash.get(SESSION, None)
    if session is None:
        return
    from harness.reporting import write_reports

    terminalreporter.section("drill")
    try:
        summary = write_reports(session.folder.path)
    except (OSError, HarnessError) as error:  # a full disk, say: what was recorded can be rendered later
        folder = session.folder.path
        terminalreporter.write_line(f"no report: {error}; make room, then `drill report {folder}` renders it")
        return
    terminalreporter.write_line(summary.table)
    terminalreporter.write_line(f"report: {summary.page}")


def _told(error: BaseException) -> str:
    """What went wrong, and each of several."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"


def _options(config: pytest.Config) -> Any:
    from harness.cluster.images import ImageSource
    from harness.fixtures import sample_repository
    from harness.session import Options

    get = config.getoption
    if get("--egress") not in ("deny", "allow"):
        raise ConfigError("--egress deny|allow", repr(get("--egress")), "choose one of these")
    return Options(
        repo=get("--repo") or str(sample_repository()),
        revision=get("--rev"),
        images=ImageSource.named(get("--images")),
        bundle=Path(get("--bundle")) if get("--bundle") else None,
        timing=get("--timing"),
        keep=get("--keep-cluster"),
        egress_allowed=get("--egress") == "allow",
        provision=get("--provision"),
        servers=get("--servers"),
        agents=get("--agents"),
        reports=Path(get("--reports")).absolute(),
        worker=getattr(config, "workerinput", {}).get("workerid", "main"),
        command_line=shlex.join(["pytest", *config.invocation_params.args]),
    )


def _terminate_like_interrupt() -> None:
    """SIGTERM and SIGHUP must tear down as Ctrl-C does; by default Python dies without running one finaliser.

    An impatient second signal right after the first is not raised: it would hit pytest while that handles the first.
    A later one is, for Python may have lost the first (in a callback, say).
    """
    raised = -IMPATIENCE

    def interrupt(signum: int, _frame: object) -> None:
        nonlocal raised
        now = time.monotonic()
        if now - raised < IMPATIENCE:
            sys.stderr.write(TEARING_DOWN)
            return
        raised = now
        raise KeyboardInterrupt(signal.Signals(signum).name)

    if threading.current_thread() is threading.main_thread():
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(sign) is not signal.SIG_IGN:  # as `nohup` and background jobs want it
                signal.signal(sign, interrupt)


class _Console:
    """Live lines of what happens, past pytest's capture. Only the main thread writes; others leave it their lines."""

    def __init__(self, config: pytest.Config) -> None:
        from harness.report.console import Console, colour_wanted

        self._capture = config.pluginmanager.getplugin("capturemanager")
        self._lines = Console(colour=colour_wanted(sys.stdout.isatty(), os.environ))
        self._waiting: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        text = self._lines.line(event)
        if text is None:
            return
        with self._lock:
            self._waiting.append(text)
        if threading.current_thread() is threading.main_thread():
            self.flush()

    def flush(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        # A closed pipe, or a full disk behind it, costs the lines and nothing else.
        with self._capture.global_and_fixture_disabled(), suppress(OSError):
            for line in lines:
                sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def quietly(self, action: Any) -> None:
        """Run a teardown whose second Ctrl-C must not cut it short halfway through a deletion."""
        before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if main:
            signal.signal(
                signal.SIGINT,
                lambda *_: sys.stderr.write(TEARING_DOWN),
            )
        try:
            action()
        finally:
            if main:
                signal.signal(signal.SIGINT, before)
