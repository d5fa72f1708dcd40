"""What is known to be secret: the values that Secrets, environments and addresses hold.

Here belongs finding them, in memory only, so that they can be covered wherever they turn up. Covering is
`harness.core.redaction`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.core.objects import Object, dig, group_of
from harness.core.redaction import telling

_LINE = 12  # of a longer text, lines of at least this many characters are secret by themselves


def secrets_in(objects: Iterable[Object]) -> Iterator[str]:
    """The values of Secrets, and of environment variables whose names tell that they are secret."""
    for obj in objects:
        if obj.get("kind") == "Secret" and group_of(str(obj.get("apiVersion") or "")) == "":
            yield from _secret(obj)
        else:
            yield from _environment(dig(obj, "spec", default={}))


def address_secrets(address: str) -> Iterator[str]:
    """The password in an address, or the token in place of a user."""
    found = re.match(r"[a-z+]+://([^/@]+(?:@[^/@]+)*)@", address)
    if found:
        user, _, password = found.group(1).partition(":")
        yield password or user


def _secret(obj: Object) -> Iterator[str]:
    for value in dig(obj, "stringData", default={}).values():
        yield from _texts(str(value))
    for value in dig(obj, "data", default={}).values():
        try:
            yield from _texts(base64.b64decode(str(value), validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            yield str(value)  # bytes that are no text, or not base64 at all: as it is written


def _texts(value: str) -> Iterator[str]:
    yield value
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line.strip()) >= _LINE and not line.startswith("-----"))


def _environment(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("value"), str) and telling(value.get("name")):
            yield value["value"]
        for held in value.values():
            yield from _environment(held)
    elif isinstance(value, list):
        for item in value:
            yield from _environment(item)
