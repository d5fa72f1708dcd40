"""HTTP to one API server: credentials, TLS, deadlines, and the one place where foreign errors become ours.

Here belongs how a request travels. What is asked does not: that is `harness.cluster.kube`.

The `kubernetes` package reads the kubeconfig and brings urllib3; its generated client is not used, because versions 36
and 37 differ in it and because a request must be stamped where it leaves and where its answer arrives. It is imported
late: it takes half a second and 50 MB, which collecting the scenarios must not pay.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml
from urllib3.connection import HTTPConnection, HTTPSConnection

from harness.core.clock import SECOND, Clock
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError
from harness.core.objects import Object

CONNECT = 2 * SECOND  # loopback and Docker networks: longer means that nobody is there
POOL = 64  # connections kept open: one for each watched kind, and some for callers
_CHUNK = 1 << 16
Query = Sequence[tuple[str, str]]

# Everything that urllib3, TLS, sockets and the standard library's HTTP raise; tests enumerate urllib3's own.
FOREIGN = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. `sent_ns`: just before the request left; `answered_ns`: when the status line had arrived."""

    status: int
    body: bytes
    sent_ns: int
    answered_ns: int

    def json(self) -> Object:
        """The body as an object. Raises ApiUnreachable: who answers something else is not the API."""
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise ApiUnreachable(f"an answer that is no JSON: {self.body[:80]!r}") from error
        if not isinstance(found, dict):
            raise ApiUnreachable(f"an answer that is no object: {self.body[:80]!r}")
        return found


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Turn every foreign transport error into ApiUnreachable, which names what was asked and keeps the cause."""
    try:
        yield
    except FOREIGN as error:
        raise ApiUnreachable(f"{what}: {_plain(error)}") from error


class Transport:
    """Requests to the server of one kubeconfig. Safe to use from several threads.

    Never retries and never uses a proxy: a retry hides an outage, and our servers are on this machine.
    """

    def __init__(self, kubeconfig: Path, clock: Clock, timeout: timedelta) -> None:
        """Raises ConfigError if `kubeconfig` cannot be read or would start commands."""
        self.kubeconfig, self.clock, self.timeout = kubeconfig, clock, timeout
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._closed = False
        self.server, self.tls, self._pool, self._auth = self._connectable()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: timedelta | None = None,
    ) -> Answer:
        """One request and its whole answer. `timeout` bounds each wait for bytes, twice of it the whole answer.

        Raises ApiUnreachable, and ApiRefused for a status of 400 and more.
        """
        what, limit = f"{method} {path}", timeout or self.timeout
        sent = self.clock.now_ns()
        with mapped(what), self._open(method, path, query, body, content_type, accept, limit) as response:
            answered = self.clock.now_ns()
            latest = answered + 2 * int(limit.total_seconds() * 1e9)
            chunks = []
            for chunk in response.stream(_CHUNK, decode_content=True):
                chunks.append(chunk)
                if self.clock.now_ns() > latest:
                    raise TimeoutError("the answer trickles in and did not end in time")
        answer = Answer(response.status, b"".join(chunks), sent, answered)
        if answer.status >= 400:
            raise refusal(what, answer.status, answer.body)
        return answer

    def lines(self, path: str, query: Query, timeout: timedelta) -> Generator[tuple[bytes, int], None, None]:
        """Open a stream and return its lines, each with the moment of its receipt (monotonic ns, before any parsing).

        The stream is open, and the server has said 200, when this returns. `timeout` bounds every silence. Raises
        ApiUnreachable and ApiRefused, also while iterating.
        """
        what = f"GET {path}"
        with mapped(what):
            opened = self._open("GET", path, query, None, "", "application/json", timeout)
            if opened.status >= 400:
                with opened:
                    raise refusal(what, opened.status, opened.read(_CHUNK))
        return self._lines(what, opened)

    def _lines(self, what: str, response: urllib3.BaseHTTPResponse) -> Generator[tuple[bytes, int], None, None]:
        rest = bytearray()
        with mapped(what), response:
            for chunk in response.stream(None, decode_content=False):
                received = self.clock.now_ns()
                rest += chunk
                if b"\n" not in chunk:
                    continue
                *whole, tail = bytes(rest).split(b"\n")
                rest = bytearray(tail)
                for line in whole:
                    if line.strip():
                        yield line, received

    def websocket_options(self) -> tuple[str, list[str], dict[str, Any]]:
        """What a websocket to the same server needs: its base URL, headers and TLS options."""
        base = self.server.replace("http", "ws", 1)
        headers = [f"{name}: {value}" for name, value in self._headers().items()]
        return base, headers, {"context": self.tls} if self.tls else {}

    def forget(self) -> None:
        """Drop idle connections: after an outage they may lead nowhere without saying so."""
        self._pool.clear()

    def close(self) -> None:
        """End every request under way, in whatever thread, and refuse new ones."""
        with self._lock:
            self._closed = True
            sockets = list(self._sockets)
        for each in sockets:
            try:
                # Not SSLSocket.shutdown: that takes the TLS state away from under the thread that reads.
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            except OSError:
                continue  # it had ended by itself
        self._pool.clear()

    def _open(
        self, method: str, path: str, query: Query, body: Any, content_type: str, accept: str, timeout: timedelta
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": accept, "User-Agent": "drill", **self._headers()}
        if body is not None:
            headers["Content-Type"] = content_type
        url = self.server + path + (("&" if "?" in path else "?") + urlencode(query) if query else "")
        connect = min(CONNECT, timeout)
        try:
            opened: urllib3.BaseHTTPResponse = self._pool.request(
                method, url,
                body=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
                headers=headers, retries=False, redirect=False, preload_content=False,
                timeout=urllib3.Timeout(connect=connect.total_seconds(), read=timeout.total_seconds()),
            )  # fmt: skip
        except FOREIGN:
            self.forget()
            raise
        return opened

    def _headers(self) -> Mapping[str, str]:
        token = self._auth.auth_settings().get("BearerToken", {}).get("value")
        return {"authorization": token} if token else {}

    def _connectable(self) -> tuple[str, ssl.SSLContext | None, Any, Any]:
        described = _read(self.kubeconfig)
        from kubernetes import config
        from kubernetes.client import Configuration

        load: Any = config.new_client_from_config_dict  # untyped in one of the two versions
        auth = Configuration()
        auth.retries, auth.proxy, auth.connection_pool_maxsize = False, None, POOL
        try:
            # Certificates go beside the kubeconfig that holds them already, not into the system's /tmp.
            client = load(
                described, persist_config=False, client_configuration=auth, temp_file_path=str(self.kubeconfig.parent)
            )
        except (config.ConfigException, ValueError, KeyError) as error:
            raise _unusable(self.kubeconfig, str(error)) from error
        tls = _tls_context(auth, self.kubeconfig) if urlsplit(auth.host).scheme == "https" else None
        pool = client.rest_client.pool_manager
        pool.pool_classes_by_scheme = _tracking(self._track)
        for name in ("ca_certs", "cert_file", "key_file", "ca_cert_data"):
            pool.connection_pool_kw.pop(name, None)  # else every new connection reads these files again
        if tls:
            pool.connection_pool_kw["ssl_context"] = tls
        return auth.host.rstrip("/"), tls, pool, auth

    def _track(self, opened: socket.socket) -> None:
        with self._lock:
            if not self._closed:
                self._sockets.add(opened)
                return
        opened.close()
        raise ConnectionAbortedError("this client is closed")


def refusal(what: str, status: int, body: bytes) -> ApiRefused:
    """The error for an answer with a bad status; the API explains itself in a Status object, others in plain text."""
    try:
        said = json.loads(body)
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    text = said.get("message") or body[:300].decode(errors="replace").strip() or http.client.responses.get(status, "")
    return ApiRefused(int(said.get("code") or status), said.get("reason") or "", f"{what}: {text}")


def _tracking(track: Any) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Connection pools that tell `track` every socket they open, so that `close` can end a read in another thread."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            track(self.sock)

    class Tls(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            track(self.sock)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


def _tls_context(auth: Any, kubeconfig: Path) -> ssl.SSLContext:
    """One context for all connections. Without VERIFY_X509_STRICT, which refuses CAs as k3s makes them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if auth.verify_ssl:
            context.load_verify_locations(cafile=auth.ssl_ca_cert) if auth.ssl_ca_cert else context.load_default_certs()
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if auth.cert_file:
            context.load_cert_chain(auth.cert_file, auth.key_file)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(kubeconfig, f"its certificates do not load: {error}") from error
    return context


def _read(kubeconfig: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(kubeconfig.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unusable(kubeconfig, str(error)) from error
    if not isinstance(found, dict) or not found.get("clusters") or not found.get("current-context"):
        raise _unusable(kubeconfig, "no cluster and current-context in it")
    for user in found.get("users") or ():
        if {"exec", "auth-provider"} & set(user.get("user") or {}):
            raise _unusable(kubeconfig, "a user that is authenticated by running a command")
    return found


def _unusable(kubeconfig: Path, found: str) -> ConfigError:
    return ConfigError(
        f"a kubeconfig of one of our clusters at {kubeconfig}", found, "make the cluster anew, or name its kubeconfig"
    )


def _plain(error: BaseException) -> str:
    """What went wrong in words; urllib3 wraps a wrapped error in its own repr."""
    inner = error
    while inner.__cause__ is not None and isinstance(inner.__cause__, FOREIGN):
        inner = inner.__cause__
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"the server's certificate is not one that this kubeconfig trusts: {inner.verify_message}"
    if isinstance(inner, urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return f"no answer in time ({inner})" if str(inner) else "no answer in time"
    return str(inner) or type(inner).__name__
