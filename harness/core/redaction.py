"""What looks like a credential, and text without it.

Here belong the patterns and their use on text and on plain data. Everything that is written or shown by this project
passes here: what is collected, what is stored, what is rendered. Where it is written does not belong here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
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
        if len(value) <= 3 and isinstance(value.get("value"), str) and telling(value.get("name")):
            return {**value, "value": _digest(value["value"])}  # an environment variable, as Kubernetes writes it
        return {key: _digest(held) if isinstance(held, str) and telling(key) else redact_data(held)
                for key, held in value.items()}  # fmt: skip
    if isinstance(value, list | tuple):
        return [redact_data(item) for item in value]
    return value


def telling(name: object) -> bool:
    """Whether a name such as DB_PASSWORD says that what it holds is secret."""
    return isinstance(name, str) and _NAMED.search(name) is not None


def _digest(value: str) -> str:
    if not value or _DIGEST.fullmatch(value):
        return value
    return f"[redacted {hashlib.sha256(value.encode(errors='backslashreplace')).hexdigest()[:12]}]"


class Veil:
    """Covers what looks like a credential, and every value that is known to be one, however it is written.

    A password inside a log line looks like any other word: only who knows it can cover it. Values of fewer than 6
    characters are too common to be covered by what they are; those of fewer than 12 only as whole words. Of more than
    4096 nobody writes the whole: of such the lines are to be learned.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._forms: tuple[tuple[str, re.Pattern[str] | None], ...] = ()  # a pattern where only a whole word counts

    def learn(self, values: Iterable[str]) -> None:
        """Cover these from now on, also in base64, in a URL, and inside JSON (inside JSON)."""
        fresh = {v.strip() for v in values if _SHORTEST <= len(v.strip()) <= _LONGEST} - self._known
        if not fresh:
            return
        self._known |= fresh
        forms = sorted({form for value in self._known for form in _forms(value)}, key=len, reverse=True)
        self._forms = tuple((form, None if len(form) >= _WORDLIKE else _word(form)) for form in forms)

    def text(self, text: str) -> str:
        """`text` without credentials."""
        return redact(self._without(text))

    def data(self, value: Any) -> Any:
        """Plain data without credentials; see `redact_data`."""
        return redact_data(self._covered(value) if self._forms else value)

    def _without(self, text: str) -> str:
        # One look for each form: an alternation of many is far slower, and most texts hold none.
        for form, word in self._forms:
            if form in text:
                text = text.replace(form, "[redacted]") if word is None else word.sub("[redacted]", text)
        return text

    def _covered(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._without(value)
        if isinstance(value, Mapping):
            return {self._covered(key): self._covered(held) for key, held in value.items()}
        if isinstance(value, list | tuple):
            return [self._covered(item) for item in value]
        return value


_SHORTEST, _WORDLIKE, _LONGEST = 6, 12, 4096


def _forms(value: str) -> Iterable[str]:
    inside = json.dumps(value, ensure_ascii=False)[1:-1]
    encoded = base64.b64encode(value.encode(errors="backslashreplace")).decode()
    # base64 of a longer text that begins with the value differs only in the last characters.
    yield from (value, inside, json.dumps(inside, ensure_ascii=False)[1:-1], _in_url(value), encoded.rstrip("="))


def _in_url(value: str) -> str:
    return "".join(f"%{byte:02X}" if not re.match(rb"[A-Za-z0-9._~-]", bytes([byte])) else chr(byte)
                   for byte in value.encode(errors="backslashreplace"))  # fmt: skip


def _word(form: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(form)}(?![\w-])")
