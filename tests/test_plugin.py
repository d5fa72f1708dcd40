"""What bad input gets at the pytest door: one clear message, nothing touched, and the exit code of its class."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness.reporting
import harness.session  # noqa: F401  # pytester drops what a run imported; loaded here, it stays, and is loaded once
from harness.core.errors import ExitCode

pytest_plugins = ["pytester"]

SCENARIO = """
import pytest

@pytest.mark.drill(blast_radius="namespace")
def test_story(drill, platform):
    '''A promise.'''
    drill.conclude()
"""
APPLICATION = """apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: web}
spec:
  project: default
  source: {repoURL: "https://example.invalid/gitops.git", targetRevision: main, path: apps/web}
  destination: {server: "https://kubernetes.default.svc", namespace: web}
"""


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test here may reach a Docker engine, whatever this machine has."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals reach the runs started here, also where this suite was started in the background, deaf to Ctrl-C."""
    before = {sign: signal.signal(sign, signal.default_int_handler) for sign in (signal.SIGINT, signal.SIGHUP)}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


def drill(pytester: pytest.Pytester, *options: str, scenario: str = SCENARIO) -> pytest.RunResult:
    pytester.makepyfile(test_scenario=scenario)
    return pytester.runpytest("-p", "no:cacheprovider", "--reports", str(pytester.path / "reports"), *options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--images", "nonsense"], "auto, pull, build, bundle"),
        (["--images", "bundle"], "together with --bundle FILE"),
        (["--bundle", "x.tar"], "together with --bundle FILE"),
        (["--timing", "slow"], "one of default, fast"),
        (["--keep-cluster", "sometimes"], "never|on-failure|always"),
        (["--egress", "maybe"], "deny|allow"),
        (["--servers", "3"], "several servers are not supported yet"),
        (["--agents", "99"], "0 to 8 agents"),
    ],
)
def test_a_wrong_option_is_refused_before_a_run_folder_is_made(
    pytester: pytest.Pytester, options: list[str], told: str
) -> None:
    result = drill(pytester, *options)
    assert result.ret == ExitCode.USAGE
    assert told in "\n".join([*result.outlines, *result.errlines])
    assert not (pytester.path / "reports").exists()


def test_an_unknown_option_and_an_unknown_scenario_are_usage_errors(pytester: pytest.Pytester) -> None:
    assert drill(pytester, "--no-such-option").ret == ExitCode.USAGE
    assert pytester.runpytest("test_nothing_of_that_name.py").ret == ExitCode.USAGE


def test_selecting_nothing_is_not_a_pass(pytester: pytest.Pytester) -> None:
    assert drill(pytester, "-k", "no_such_story").ret == ExitCode.NOTHING_SELECTED


def test_selecting_nothing_says_what_there_is(pytester: pytest.Pytester) -> None:
    assert any("choose among: test_story" in line for line in drill(pytester, "-k", "no_such_story").outlines)


def test_what_stops_every_drill_is_told_once(pytester: pytest.Pytester) -> None:
    result = drill(pytester, scenario=SCENARIO + SCENARIO.replace("test_story", "test_other"))
    assert result.ret == ExitCode.ENVIRONMENT
    text = "\n".join(result.outlines)
    assert text.count("ERROR at setup") == 2
    assert text.count("\nINCONCLUSIVE: EnvironmentUnfit: expected a Docker engine") == 1
    assert "INCONCLUSIVE: the same again" in text


def test_what_is_lost_in_a_thread_or_a_callback_refutes_nothing(pytester: pytest.Pytester) -> None:
    """An interrupt lands wherever Python is just then; with warnings as errors the run would end with 1, REFUTED."""
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.makeconftest(
        """
        import threading

        class Lost:
            def __del__(self):
                raise KeyboardInterrupt

        def lose():
            Lost()
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()

        def pytest_sessionfinish():
            lose()
        """
    )
    scenario = """
        import pytest
        from conftest import lose

        @pytest.mark.drill(blast_radius="namespace")
        def test_story(drill_session):
            lose()
            raise KeyboardInterrupt
        """
    pytester.makepyfile(test_scenario=scenario)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--reports", str(pytester.path / "reports"))
    assert result.ret == ExitCode.INTERRUPTED


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("sign", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_impatient_second_signal_does_not_cut_the_end_short(pytester: pytest.Pytester, sign: str) -> None:
    pytester.makeconftest(
        f"""
        import os, pytest, signal

        @pytest.hookimpl(tryfirst=True)
        def pytest_keyboard_interrupt():
            os.kill(os.getpid(), signal.{sign})
        """
    )
    scenario = f"""
        import os, pytest, signal

        @pytest.mark.drill(blast_radius="namespace")
        def test_story(drill_session):
            os.kill(os.getpid(), signal.{sign})
        """
    pytester.makepyfile(test_scenario=scenario)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--reports", str(pytester.path / "reports"))
    assert result.ret == ExitCode.INTERRUPTED
    assert any("tearing down" in line for line in result.errlines)
    assert (pytester.path / "reports/latest/report.html").exists()


@pytest.mark.usefixtures("heard")
def test_a_teardown_that_fails_after_an_interrupt_is_told_and_costs_no_report(pytester: pytest.Pytester) -> None:
    scenario = """
        import os, pytest, signal
        from harness.core.errors import ProvisionFailed

        def fail():
            raise ProvisionFailed("the Docker daemon is gone")

        @pytest.fixture
        def other():
            yield
            raise KeyError("and something else")

        @pytest.mark.drill(blast_radius="namespace")
        def test_story(drill_session, other):
            drill_session._at_close(fail)
            os.kill(os.getpid(), signal.SIGINT)
        """
    pytester.makepyfile(test_scenario=scenario)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--reports", str(pytester.path / "reports"))
    assert result.ret == ExitCode.INTERRUPTED
    (told,) = [line for line in result.errlines if line.startswith("teardown: ")]
    assert "KeyError: 'and something else'" in told
    assert "ProvisionFailed: the Docker daemon is gone" in told
    assert "`drill clean`" in told
    assert not any("Traceback" in line for line in [*result.outlines, *result.errlines])
    assert (pytester.path / "reports/latest/report.html").exists()


def test_a_marker_with_an_unknown_blast_radius_is_an_error_of_collection(pytester: pytest.Pytester) -> None:
    result = drill(pytester, scenario=SCENARIO.replace('"namespace"', '"planet"'))
    assert result.ret == ExitCode.USAGE
    assert any("namespace, node, cluster" in line for line in result.errlines)


def git(folder: Path, *argv: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    subprocess.run(["git", *who, *argv], cwd=folder, check=True, capture_output=True)


def repository(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it is")
    return folder


WEB = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {a: '1'}\n"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"README.md": "nothing here\n"}, "at least one Argo CD Application"),
        ({"argocd-apps/web.yaml": APPLICATION, "apps/web/a.yaml": "kind: [\n"}, "apps/web/a.yaml"),
        ({"argocd-apps/web.yaml": APPLICATION, "apps/web/a.yaml": WEB.replace("data:", "kind: Secret\ndata:")}, "kind"),
        (
            {"argocd-apps/web.yaml": APPLICATION, "apps/web/a.yaml": WEB, "drill.yaml": "rooot: [x]\n"},
            "did you mean 'root'",
        ),
        (
            {
                "argocd-apps/web.yaml": APPLICATION,
                "apps/web/a.yaml": WEB,
                "drill.yaml": "front_doors: [web]\n",
            },
            "Services in Git",
        ),
    ],
)
def test_an_unusable_repository_is_a_usage_error_that_names_the_place(
    pytester: pytest.Pytester, tmp_path: Path, files: dict[str, str], told: str
) -> None:
    result = drill(pytester, "--repo", str(repository(tmp_path, files)))
    assert result.ret == ExitCode.USAGE
    text = "\n".join(result.outlines)
    assert told in text
    assert "Traceback" not in text


def test_a_repository_that_is_not_there_or_empty_is_a_usage_error(pytester: pytest.Pytester, tmp_path: Path) -> None:
    assert drill(pytester, "--repo", "/no/such/repository").ret == ExitCode.USAGE
    (tmp_path / "empty").mkdir()
    assert drill(pytester, "--repo", str(tmp_path / "empty")).ret == ExitCode.USAGE


def test_a_revision_that_is_not_there_is_a_usage_error(pytester: pytest.Pytester, tmp_path: Path) -> None:
    repo = repository(tmp_path, {"argocd-apps/web.yaml": APPLICATION, "apps/web/a.yaml": WEB})
    result = drill(pytester, "--repo", str(repo), "--rev", "no-such-branch")
    assert result.ret == ExitCode.USAGE
    assert "no-such-branch" in "\n".join(result.outlines)


def test_a_dirty_repository_gets_as_far_as_a_clean_one(pytester: pytest.Pytester, tmp_path: Path) -> None:
    repo = repository(tmp_path, {"argocd-apps/web.yaml": APPLICATION, "apps/web/a.yaml": WEB})
    (repo / "apps/web/b.yaml").write_text(WEB.replace("name: web", "name: other"))
    result = drill(pytester, "--repo", str(repo))
    assert result.ret == ExitCode.ENVIRONMENT  # the repository is fine; there is no engine
    assert "1 uncommitted files" in "\n".join(result.outlines)


def test_no_engine_is_trouble_of_the_environment_and_proves_nothing(pytester: pytest.Pytester) -> None:
    result = drill(pytester)
    assert result.ret == ExitCode.ENVIRONMENT
    text = "\n".join(result.outlines)
    assert "INCONCLUSIVE" in text
    assert "drill provision" in text or "--provision" in text


@pytest.mark.parametrize("address", ["tcp://192.0.2.10:2375", "ssh://somebody@192.0.2.10"])
def test_a_remote_engine_is_refused_for_safety(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert drill(pytester).ret == ExitCode.UNSAFE


def test_help_documents_the_exit_codes(pytester: pytest.Pytester) -> None:
    text = " ".join(" ".join(pytester.runpytest("--help").outlines).split())
    assert "11 harness or environment trouble" in text
    assert "12 refused for safety" in text
