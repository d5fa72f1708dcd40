"""What a contributor can run: `nox -l` is the menu."""

from __future__ import annotations

from typing import Any

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

# nox gives a child 0.3 s after Ctrl-C by default. Taking down a cluster needs longer, and must not be cut short.
TEARDOWN: dict[str, Any] = {"interrupt_timeout": 180.0, "terminate_timeout": 60.0}


def _install(session: nox.Session, requirements: str) -> None:
    session.install("--require-hashes", "-r", f"requirements/{requirements}.txt")
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


@nox.session(name="dr-drill", default=False)
def dr_drill(session: nox.Session) -> None:
    """Run the drills on a real cluster: `nox -s dr-drill -- [--provision] [-k NAME] [--repo PATH] ...`."""
    _install(session, "drill")
    # With upstream's own timeouts the whole mission takes hours: a lost node alone is missed for six minutes.
    chosen = any(argument.startswith("--timing") for argument in session.posargs)
    timing = [] if chosen else ["--timing=fast"]
    # A warning of a library is no news about the system under test; in the tests of drill itself it is an error.
    options = ["-p", "no:cacheprovider", "--no-header", "-W", "default"]
    session.run("pytest", "scenarios", *options, *timing, *session.posargs, **TEARDOWN)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the fast suite: no Docker, no browser, under a minute."""
    _install(session, "tests")
    session.run("pytest", "tests", "-m", "not cluster and not browser", "-n", "auto", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Look at the report's pages in headless Chromium."""
    _install(session, "tests")
    session.run("pytest", "tests", "-m", "browser", "--require-runtime", *session.posargs)


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """Run the tests that need a Docker engine, on real clusters."""
    _install(session, "tests")
    session.run("pytest", "tests", "-m", "cluster", "--require-runtime", *session.posargs, **TEARDOWN)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    session.install("--require-hashes", "-r", "requirements/lint.txt")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy --strict."""
    session.install("--require-hashes", "-r", "requirements/lint.txt")
    session.run("mypy")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what the README promises, beside a plain-script twin, into reports/."""
    _install(session, "drill")
    session.run("python", "-m", "harness.bench", *session.posargs, **TEARDOWN)


@nox.session(default=False)
def doctor(session: nox.Session) -> None:
    """Say what this machine has and what it lacks for a drill."""
    _install(session, "drill")
    session.run("drill", "doctor")


@nox.session(default=False)
def clean(session: nox.Session) -> None:
    """Remove what runs that are gone have left behind."""
    _install(session, "drill")
    session.run("drill", "clean")


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Pin the dependencies anew, with hashes."""
    session.install("--require-hashes", "-r", "requirements/nox.txt")
    compile_ = ("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--quiet",
                "--no-header", "--no-emit-index-url", *session.posargs)  # fmt: skip
    ourselves = ("pyproject.toml", "--group", "build")
    session.run(*compile_, *ourselves, "-o", "requirements/drill.txt")
    session.run(*compile_, *ourselves, "--group", "test", "-o", "requirements/tests.txt")
    session.run(*compile_, "pyproject.toml", "--group", "lint", "-o", "requirements/lint.txt")
    session.run(*compile_, "--group", "nox", "-o", "requirements/nox.txt")
