"""Serving a bare repository by smart HTTP, from outside every cluster.

Here belongs the HTTP side of `git http-backend`: one address that stays the same while clusters come and go, and an
outage on demand. What is in the repository does not: that is `harness.gitops.repo`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

from harness.core.clock import MINUTE
from harness.core.errors import ConfigError, ProvisionFailed, ToolMissing
from harness.effects import proc

ANSWER_WITHIN = 2 * MINUTE  # one request, from its first byte to the last byte of the answer
_IDLE = 60  # seconds a connection may be silent
_CHUNK = 64 * 1024


class GitServer:
    """Smart HTTP for the one bare repository `repository`, served under its folder's name.

    Anybody who reaches the address may read. Only this machine may push: connections from loopback, or from the very
    address that is served. Pods come from other addresses.
    """

    def __init__(
        self, repository: Path, env: Mapping[str, str], *, within: timedelta = ANSWER_WITHIN,
        on_push: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._repository, self._env, self._within, self._on_push = repository, dict(env), within, on_push
        self._server: _Server | None = None
        self._address: tuple[str, int] | None = None
        self.requests = 0

    @property
    def serving(self) -> bool:
        return self._server is not None

    @property
    def url(self) -> str:
        """The address to clone from. Raises ConfigError before the first `start`."""
        if self._address is None:
            raise ConfigError("a repository that is served", "one that never was", "call serve() first")
        host, port = self._address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/{self._repository.name}"

    def start(self, host: str, port: int = 0) -> str:
        """Listen on `host`; port 0 takes a free one. The address to clone from.

        Raises ConfigError (the port is taken, the address is not this machine's).
        """
        if self._server is not None:
            raise ConfigError("a repository that is not served yet", f"one served at {self.url}", "close it first")
        try:
            server = _Server((host, port), self._handler())
        except OSError as error:
            raise ConfigError(
                f"a free port {port or '(any)'} on an address of this machine",
                f"{host}: {error.strerror or error}",
                "choose another port, or make the network first",
            ) from error
        self._server, self._address = server, (host, int(server.server_address[1]))
        threading.Thread(target=server.serve_forever, args=(0.05,), name="git-http", daemon=True).start()
        return self.url

    def stop(self) -> None:
        """Refuse connections and cut those that exist, as a Git server that went down. `resume` brings it back."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut()
            self._server = None

    def resume(self) -> None:
        """Serve again at the same address. Raises ProvisionFailed if somebody took it meanwhile."""
        if self._server is None and self._address is not None:
            try:
                self.start(*self._address)
            except ConfigError as error:
                raise ProvisionFailed(f"the Git server could not come back: {error}") from error

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        def make(*args: Any) -> BaseHTTPRequestHandler:
            return _Handler(*args, owner=self)

        return make

    def environment(self, handler: BaseHTTPRequestHandler, path: str, query: str) -> dict[str, str]:
        """The CGI environment of one request (RFC 3875, git-http-backend(1))."""
        peer, here = handler.client_address[0], self._address
        ourselves = peer in ("127.0.0.1", "::1") or (here is not None and peer == here[0])
        env = {
            **self._env,
            "GIT_PROJECT_ROOT": str(self._repository.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "REQUEST_METHOD": handler.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "REMOTE_ADDR": peer,
            # git-receive-pack is off unless the request is authenticated: this is how we let ourselves in.
            **({"REMOTE_USER": "drill"} if ourselves else {}),
        }
        for header, name in (
            ("Content-Length", "CONTENT_LENGTH"),
            ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
            ("Git-Protocol", "GIT_PROTOCOL"),
        ):
            if value := handler.headers.get(header):
                env[name] = value
        return env

    def answer(self, handler: _Handler) -> None:
        """Run one request through `git http-backend`."""
        self.requests += 1
        path, _, query = handler.path.partition("?")
        if not path.startswith(f"/{self._repository.name}/") or ".." in path:
            handler.send_error(404, "no such repository")
            return
        env = self.environment(handler, path, query)
        with proc.streaming(["git", "http-backend"], timeout=self._within, env=env) as child:
            assert child.stdin
            assert child.stdout
            feeder = threading.Thread(target=_feed, args=(handler.body(), child.stdin), daemon=True)
            feeder.start()
            try:
                _relay(child.stdout, handler)
            finally:
                if path.endswith("/git-receive-pack"):
                    self._on_push()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for this machine's name: slow, and of no use to us.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is its own business."""

    def cut(self) -> None:
        with self._lock:
            doomed = list(self._open)
        for connection in doomed:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "drill", ""
    timeout = _IDLE
    # An answer is written in small pieces; with Nagle's algorithm each would wait for the other side's delayed ACK.
    disable_nagle_algorithm = True

    def __init__(self, *args: Any, owner: GitServer) -> None:
        self._owner = owner
        super().__init__(*args)

    def do_GET(self) -> None:
        self._owner.answer(self)

    def do_POST(self) -> None:
        self._owner.answer(self)

    def log_message(self, format: str, *args: Any) -> None:
        """The access log would be noise; `GitServer.requests` counts."""

    def body(self) -> Iterator[bytes]:
        """The request's body in pieces; git sends large ones chunked."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                continue  # trailers
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (piece := self.rfile.read(min(left, _CHUNK))):
            left -= len(piece)
            yield piece


def _feed(pieces: Iterator[bytes], pipe: IO[bytes]) -> None:
    alive = True
    with contextlib.suppress(OSError, ValueError):
        for piece in pieces:
            try:
                if alive:
                    pipe.write(piece)
            except OSError:
                alive = False  # the backend has heard enough; the rest must still be read off the connection
    with contextlib.suppress(OSError, ValueError):
        pipe.close()


def _relay(output: IO[bytes], handler: _Handler) -> None:
    status, headers = 200, []
    while line := output.readline().rstrip(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif name.lower() != "content-length":
            headers.append((name, value.strip()))
    if not headers and status == 200:
        handler.send_error(502, "git http-backend gave no answer")
        return
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while piece := output.read1(_CHUNK):  # type: ignore[attr-defined]  # a BufferedReader
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


@cache
def check_git() -> None:
    """Raises ToolMissing unless git and its http-backend are there."""
    if proc.which("git") is None:
        raise ToolMissing("git", "install git")
    place = proc.run(["git", "--exec-path"], timeout=MINUTE).stdout.strip()
    if not (Path(place) / "git-http-backend").exists():
        raise ToolMissing("git http-backend", "install the full git package of your distribution")
