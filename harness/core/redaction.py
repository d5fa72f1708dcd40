"""What looks like a credential, and text without it.

Here belong the patterns and their use on text and on plain data. Everything that is written or shown by this project
passes here: what is collected, what is stored, what is rendered. Where it is written does not belong here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

_WORD = r"token|password|passwd|secret|api[-_]?key|access[-_]?key|private[-_]?key|client-key-data|authorization"
_QUOTE = r"\\*[\"']?"  # also as it is inside a string inside JSON
_SECRETS = tuple(
    (re.compile(pattern), cover)
    for pattern, cover in (
        (r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|$)", r"\1[redacted]\2"),
        (r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{6,}", "[redacted]"),
        (r"K10[0-9a-f]{32,}::[^\s\"']+", "[redacted]"),  # how k3s nodes join
        (r"(://)[^/\s\"'@]+(?:@[^/\s\"'@]+)*@", r"\1[redacted]@"),
        (r"(?i)\b(bearer|basic)(\s+)[^\s\"',\\]{6,}", r"\1\2[redacted]"),
        # An environment variable, as Kubernetes writes it.
        (rf"(?i)(\"name\": *\"[^\"]*(?:{_WORD})[^\"]*\",\s*\"value\": *\")[^\"]*", r"\1[redacted]"),
        (
            rf"(?i)((?:{_WORD}){_QUOTE}\s*[:=]\s*{_QUOTE})(?!bearer\b|basic\b|\[redacted)[^\s\"',\\{{\[]+",
            r"\1[redacted]",
        ),
    )
)
# Most text holds nothing of the kind: one look for what any of the patterns needs is cheaper than seven searches.
_SUSPICIOUS = re.compile(rf"(?i){_WORD}|PRIVATE KEY|eyJ|K10|://[^/]*@|bearer|basic")
_NAMED = re.compile(rf"(?i)(?:{_WORD})$")  # a key such as DB_PASSWORD or apiKey
_DIGEST = re.compile(r"sha256:[0-9a-f]{16,}|\[redacted[^\]]*\]")


def redact(text: str) -> str:
    """`text` without what looks like a credential."""
    if _SUSPICIOUS.search(text) is None:
        return text
    for pattern, cover in _SECRETS:
        text = pattern.sub(cover, text)
    return text


def redact_data(value: Any) -> Any:
    """Plain data (mappings, sequences, scalars) without credentials; anything else is returned as it is.

    What a telling name holds becomes a short digest, so that a stored run still shows whether it changed.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        if len(value) <= 3 and isinstance(value.get("value"), str) and _telling(value.get("name")):
            return {**value, "value": _digest(value["value"])}  # an environment variable, as Kubernetes writes it
        return {key: _digest(held) if isinstance(held, str) and _telling(key) else redact_data(held)
                for key, held in value.items()}  # fmt: skip
    if isinstance(value, list | tuple):
        return [redact_data(item) for item in value]
    return value


def _telling(name: object) -> bool:
    return isinstance(name, str) and _NAMED.search(name) is not None


def _digest(value: str) -> str:
    if not value or _DIGEST.fullmatch(value):
        return value
    return f"[redacted {hashlib.sha256(value.encode(errors='backslashreplace')).hexdigest()[:12]}]"
