"""Commands inside a container, through the API.

Here belongs the websocket conversation of `pods/exec`. Commands on this machine do not: see `harness.effects.proc`.
Facts: Kubernetes, `k8s.io/apimachinery/pkg/util/remotecommand`: subprotocol v4.channel.k8s.io, the first byte of a
frame is its channel (1 stdout, 2 stderr, 3 a Status object with the exit code).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from harness.cluster.transport import CONNECT, Transport, mapped, refusal
from harness.core.clock import between_ns
from harness.core.errors import ApiUnreachable
from harness.core.objects import Object, dig

_PROTOCOL = "v4.channel.k8s.io"


def execute(
    transport: Transport, namespace: str, pod: str, argv: Sequence[str], container: str | None, timeout: timedelta
) -> tuple[str, str, int]:
    """Run `argv` to its end: standard output, standard error, return code.

    Raises ApiUnreachable (also when it has not ended after `timeout`) and ApiRefused (no such pod, not running).
    """
    import websocket  # late, like everything that the kubernetes package brings

    query = [("stdout", "1"), ("stderr", "1"), *(("command", word) for word in argv)]
    if container:
        query.append(("container", container))
    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/exec"
    base, headers, tls = transport.websocket_options()
    what = f"exec {argv[0]} in {namespace}/{pod}"
    deadline = transport.clock.now_ns() + int(timeout.total_seconds() * 1e9)
    channels: dict[int, bytearray] = {1: bytearray(), 2: bytearray(), 3: bytearray()}
    with mapped(what):
        try:
            link: Any = websocket.create_connection(
                f"{base}{path}?{urlencode(query)}", timeout=min(timeout, CONNECT * 2).total_seconds(), header=headers,
                sslopt=tls, subprotocols=[_PROTOCOL], http_no_proxy=["*"], suppress_origin=True,
            )  # fmt: skip
        except websocket.WebSocketBadStatusException as error:
            raise refusal(what, error.status_code, error.resp_body or b"") from error
        except websocket.WebSocketException as error:
            raise ApiUnreachable(f"{what}: {error}") from error
        try:
            while True:
                left = between_ns(transport.clock.now_ns(), deadline).total_seconds()
                if left <= 0:
                    raise TimeoutError(f"not ended after {timeout.total_seconds():g} s")
                link.settimeout(left)
                opcode, data = link.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    break
                if data:
                    channels.setdefault(data[0], bytearray()).extend(data[1:])
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError(f"not ended after {timeout.total_seconds():g} s") from error
        except websocket.WebSocketConnectionClosedException:
            if not channels[3]:
                raise ApiUnreachable(f"{what}: the connection broke before the command ended") from None
        finally:
            link.shutdown()
    return channels[1].decode(errors="replace"), channels[2].decode(errors="replace"), _returncode(what, channels[3])


def _returncode(what: str, said: bytes | bytearray) -> int:
    try:
        status: Object = json.loads(bytes(said))
    except ValueError as error:
        raise ApiUnreachable(f"{what}: the connection ended without a return code") from error
    if status.get("status") == "Success":
        return 0
    for cause in dig(status, "details", "causes", default=[]):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise refusal(what, int(status.get("code") or 500), bytes(said))
