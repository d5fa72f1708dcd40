"""Commands: the only module that starts a process.

Here belong `run` (to the end, under a deadline), `streaming` (talk to a child through its pipes, under a deadline) and
`start` (a long-lived child of ours). What the output means does not: that is the boundary module of the tool.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from harness.core.errors import CommandFailed, CommandTimeout, ToolError, ToolMissing

# What a child inherits. Everything else of the user's environment stays out, so that a KUBECONFIG, an ARGOCD_SERVER
# or a HELM_* of theirs can never steer one of our commands to one of their clusters.
_INHERITED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TERM", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DEBIAN_FRONTEND",
    "GOPROXY", "GOFLAGS", "GOSUMDB", "GOMODCACHE", "GOCACHE", "GOPATH", "GONOSUMDB", "GOPRIVATE",
    "PIP_INDEX_URL", "PIP_CERT", "PIP_CONFIG_FILE", "PIP_EXTRA_INDEX_URL",
)  # fmt: skip
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL when a deadline passes
_GRACE_OF_THE_REST = 0.5  # the same for what outlives the leader of its group


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    elapsed: timedelta


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment our children get: a short list of what is inherited, plus `extra`."""
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    env.update(extra or {})
    return env


def which(tool: str) -> Path | None:
    """Where `tool` is on PATH, or None. The system folders are searched too: /usr/sbin is not on everybody's PATH."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = shutil.which(tool, path=path)
    return Path(found) if found else None


def run(
    argv: Sequence[str],
    *,
    timeout: timedelta,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    nice: int = 0,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run `argv` to its end and capture what it printed.

    `env` is added to the short inherited environment. `log` also receives both streams as they come, `on_line` every
    line of either. The child leads its own process group, and the whole group is killed when the deadline passes or
    when we are interrupted, so that nothing it started survives us.

    Raises ToolMissing, ToolError when it cannot be started, CommandTimeout, and, with `check`, CommandFailed.
    """
    begun = time.monotonic_ns()
    child = _open(argv, env, cwd, nice=nice, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    sink = log.open("ab") if log else None
    out, err = _Pump(child.stdout, sink, on_line), _Pump(child.stderr, sink, on_line)
    feeder = _feed(child, stdin)
    try:
        returncode = child.wait(timeout.total_seconds())
    except subprocess.TimeoutExpired:
        _end_group(child)
        raise CommandTimeout(argv, timeout, out.finish(), err.finish()) from None
    except BaseException:
        _end_group(child)
        raise
    finally:
        if feeder:
            feeder.join(1)
        texts = out.finish(), err.finish()
        if sink:
            sink.close()
    elapsed = timedelta(microseconds=(time.monotonic_ns() - begun) / 1000)
    if check and returncode != 0:
        raise CommandFailed(argv, returncode, *texts)
    return Completed(tuple(argv), returncode, *texts, elapsed)


@contextmanager
def streaming(
    argv: Sequence[str], *, timeout: timedelta, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child whose binary `stdin` and `stdout` are ours for the time of the block; its stderr is thrown away.

    The child and all that it started are ended with the block, or when `timeout` passes: its output then just ends.

    Raises ToolMissing, and ToolError when it cannot be started.
    """
    child = _open(argv, env, cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = threading.Timer(timeout.total_seconds(), _end_group, (child,))
    deadline.daemon = True
    deadline.start()
    try:
        yield child
    finally:
        deadline.cancel()
        stop(child)
        for pipe in (child.stdin, child.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()


def start(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None, log: Path
) -> subprocess.Popen[bytes]:
    """Start a long-lived child in its own session, both streams into `log`. End it with `stop`.

    Raises ToolMissing, and ToolError when it cannot be started.
    """
    with log.open("ab") as sink:
        return _open(argv, env, cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)


def launch(argv: Sequence[str], *, log: Path) -> None:
    """Start a daemon that is nobody's child and outlives us (a Docker engine), both streams into `log`.

    Raises ToolMissing, CommandFailed.
    """
    if which(argv[0]) is None:
        raise ToolMissing(argv[0])
    # The shell is replaced by the daemon; its arguments never pass through the shell's own parsing.
    script = 'log=$1; shift; exec "$@" </dev/null >>"$log" 2>&1'
    run(["setsid", "--fork", "sh", "-c", script, "sh", str(log), *argv], timeout=timedelta(seconds=10))


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a child of `start` and everything it started: SIGTERM, then SIGKILL after 5 s."""
    if child.poll() is None:
        _end_group(child)


def _open(
    argv: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, *, nice: int = 0, **streams: Any
) -> subprocess.Popen[bytes]:
    tool = argv[0] if "/" in argv[0] else which(argv[0])
    if tool is None or not ((cwd or Path()) / tool).exists():
        raise ToolMissing(argv[0])
    full = [*(["nice", "-n", str(nice)] if nice else []), str(tool), *argv[1:]]
    try:
        return subprocess.Popen(full, env=clean_environment(env), cwd=cwd, start_new_session=True, **streams)
    except OSError as error:  # no such working folder, not executable, not a program for this machine
        raise ToolError(f"`{shlex.join(argv)}` could not be started: {error}") from error


class _Pump:
    """Reads one stream to its end in a thread: a full pipe must never block the child."""

    def __init__(self, stream: IO[bytes] | None, sink: IO[bytes] | None, on_line: Callable[[str], None] | None) -> None:
        self._chunks: list[bytes] = []
        self._thread = threading.Thread(target=self._copy, args=(stream, sink, on_line), daemon=True)
        self._thread.start()

    def _copy(self, stream: IO[bytes] | None, sink: IO[bytes] | None, on_line: Callable[[str], None] | None) -> None:
        with stream or io.BytesIO() as lines:
            for line in lines:
                self._chunks.append(line)
                if sink and not sink.closed:
                    sink.write(line)
                    sink.flush()
                if on_line:
                    on_line(line.decode(errors="replace").rstrip("\n"))

    def finish(self) -> str:
        # A grandchild that kept the pipe open must not hang us: what was read so far is what there is.
        self._thread.join(2)
        return b"".join(self._chunks).decode(errors="replace")


def _feed(child: subprocess.Popen[bytes], data: bytes | None) -> threading.Thread | None:
    if data is None or child.stdin is None:
        return None
    pipe = child.stdin

    def write() -> None:
        try:
            pipe.write(data)
        except BrokenPipeError:
            pass  # the child ended without reading its input; its return code says why
        finally:
            with suppress(BrokenPipeError):
                pipe.close()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, time to tidy up, then SIGKILL for whatever is left: what the leader started may outlive the leader."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
            _wait_for_the_rest(child.pid)
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)


def _wait_for_the_rest(group: int) -> None:
    deadline = time.monotonic() + _GRACE_OF_THE_REST
    pause = threading.Event()
    while time.monotonic() < deadline:
        os.killpg(group, 0)  # raises ProcessLookupError when nobody is left
        pause.wait(0.02)
