"""Credentials in plain data; those in text are listed in tests/test_diagnostics.py."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.core.redaction import Veil, redact, redact_data

CANARY = "canary-0123456789"


@pytest.mark.parametrize(
    "data",
    [
        {"password": CANARY},
        {"DB_PASSWORD": CANARY},
        {"nested": [{"apiKey": CANARY}]},
        {"env": [{"name": "API_TOKEN", "value": CANARY}]},
        {"actual": f"the server said: token={CANARY}"},
        {"argv": ["git", "clone", f"https://bob:{CANARY}@git.example.org/x.git"]},
        [f"Bearer {CANARY}"],
    ],
)
def test_no_credential_stays_in_data(data: Any) -> None:
    covered = redact_data(data)
    assert CANARY in str(data)
    assert CANARY not in str(covered)
    assert "redacted" in str(covered)


def test_a_changed_credential_is_still_a_change() -> None:
    before, again, after = (redact_data({"password": value}) for value in ("one", "one", "two"))
    assert before == again
    assert before != after


@pytest.mark.parametrize(
    "data",
    [
        {"secretName": "db-credentials", "count": 3, "none": None, "flag": True, "text": "12 of 14"},
        {"password": "sha256:0123456789abcdef"},  # a digest already
        {"password": ""},
        {"token": {"kind": "bound"}, "secret": ["a"]},
        {"name": "LOG_LEVEL", "value": "debug"},
    ],
)
def test_what_is_no_credential_stays_as_it_is(data: Any) -> None:
    assert redact_data(data) == data


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_doing_it_twice_changes_nothing(data: Any) -> None:
    once = redact_data(data)
    assert redact_data(once) == once


@given(st.text(alphabet="abc :=/@{}[]\"'\\\n", max_size=60), st.sampled_from(["token: ", "password=", "://u:"]))
def test_redacting_text_twice_changes_nothing(text: str, lead: str) -> None:
    once = redact(f"{text}{lead}{CANARY}")
    assert redact(once) == once


KNOWN = 'pa"ss wörd/1234'


@pytest.mark.parametrize(
    "text",
    [
        f"logged in with {KNOWN} at noon",
        json.dumps({"said": KNOWN}, ensure_ascii=False),
        json.dumps({"said": json.dumps({"said": KNOWN}, ensure_ascii=False)}, ensure_ascii=False),
        base64.b64encode(KNOWN.encode()).decode(),
        f"https://git.example.org/?key={quote(KNOWN, safe='')}",
        f"x{KNOWN}x",
    ],
    ids=["plain", "JSON", "JSON in JSON", "base64", "URL", "inside a word"],
)
def test_what_is_known_is_covered_however_it_is_written(text: str) -> None:
    veil = Veil()
    veil.learn([KNOWN])
    covered = veil.text(text)
    assert "[redacted]" in covered
    assert "1234" not in covered


def test_short_values_are_covered_as_whole_words_and_common_ones_not_at_all() -> None:
    veil = Veil()
    veil.learn(["postgres", "true", "", "  \n"])
    assert veil.text("user postgres of postgresql is true") == "user [redacted] of postgresql is true"


def test_a_veil_that_knows_nothing_still_covers_what_looks_like_a_credential() -> None:
    assert Veil().text("token: abc") == "token: [redacted]"
    assert Veil().data({"a": ["Bearer 0123456789"]}) == {"a": ["Bearer [redacted]"]}


def test_known_values_are_covered_in_data_also_as_keys() -> None:
    veil = Veil()
    veil.learn(["canary-0123456789"])
    veil.learn(["another-9876543210"])
    data = {"canary-0123456789": [("x another-9876543210", 7)], "when": None}
    assert veil.data(data) == {"[redacted]": [["x [redacted]", 7]], "when": None}


@given(st.text(min_size=6).filter(lambda t: len(t.strip()) >= 6), st.text(), st.text())
def test_no_known_value_survives_between_blanks(value: str, before: str, after: str) -> None:
    veil = Veil()
    veil.learn([value])
    assume(value.strip() not in f"{before} {after}[redacted]" and value.strip() not in "[redacted]")
    assert value.strip() not in veil.text(f"{before} {value} {after}")
