"""Credentials in plain data; those in text are listed in tests/test_diagnostics.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.redaction import redact, redact_data

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
