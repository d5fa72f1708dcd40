"""The join of verdicts is a lattice, and findings survive their record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.verdict import Finding, Verdict, join

verdicts = st.sampled_from(Verdict)
findings = st.builds(
    Finding, st.text(), verdicts, st.text(), st.text(), st.lists(st.integers(0)).map(tuple),
    st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
)  # fmt: skip


@given(verdicts, verdicts)
def test_join_does_not_care_for_order(a: Verdict, b: Verdict) -> None:
    assert join([a, b]) is join([b, a])


@given(verdicts, verdicts, verdicts)
def test_join_does_not_care_for_grouping(a: Verdict, b: Verdict, c: Verdict) -> None:
    assert join([join([a, b]), c]) is join([a, join([b, c])]) is join([a, b, c])


@given(verdicts, st.integers(1, 5))
def test_join_of_the_same_is_the_same(a: Verdict, times: int) -> None:
    assert join([a] * times) is a


@given(st.lists(verdicts))
def test_refuted_absorbs_everything(others: list[Verdict]) -> None:
    assert join([*others, Verdict.REFUTED]) is Verdict.REFUTED


@given(st.lists(verdicts, min_size=1))
def test_held_only_where_everything_held(found: list[Verdict]) -> None:
    assert (join(found) is Verdict.HELD) == all(v is Verdict.HELD for v in found)


def test_nothing_checked_is_inconclusive() -> None:
    assert join([]) is Verdict.INCONCLUSIVE


def test_inconclusive_outweighs_held() -> None:
    assert join([Verdict.HELD, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE


@given(findings)
def test_a_finding_survives_its_record(finding: Finding) -> None:
    assert Finding.from_record(json.loads(json.dumps(finding.to_record()))) == finding


@pytest.mark.parametrize("damage", [{"verdict": "FINE"}, {"verdict": None}])
def test_a_record_with_an_unknown_verdict_is_refused(damage: dict[str, object]) -> None:
    record = Finding("c", Verdict.HELD, "e", "a").to_record() | damage
    with pytest.raises(ValueError, match="is not a valid Verdict"):
        Finding.from_record(record)


def test_sentences_say_what_was_expected_only_where_it_was_not_so() -> None:
    assert Finding("it heals", Verdict.HELD, "at most 1 s", "0.4 s").sentence() == "it heals: HELD, 0.4 s"
    refuted = Finding("it heals", Verdict.REFUTED, "at most 1 s", "9 s").sentence()
    assert refuted == "it heals: REFUTED, expected at most 1 s, found 9 s"
