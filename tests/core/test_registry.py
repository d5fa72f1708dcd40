"""Every public claim can be made again from what is stored of it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

import harness.core.checks as home
from harness.core.checks import CHECKS, Check
from harness.core.checks.registry import made_again, restorable, spec_of
from harness.core.timeline import History
from harness.core.verdict import Finding, Verdict

NOTHING = History(())
EXAMPLES: Mapping[Any, Any] = {
    "timedelta": timedelta(seconds=90),
    "str": "converged",
    "int": 7,
    "bool": True,
    "float": 0.5,
}


def example(parameter: inspect.Parameter) -> Any:
    """An argument that fits what the parameter says of itself."""
    kinds = [k.strip() for k in str(parameter.annotation).split("|")]
    return next((EXAMPLES[k] for k in kinds if k in EXAMPLES), ("a", "b"))


def test_every_public_claim_is_known() -> None:
    claims = [n for n in home.__all__ if inspect.isfunction(getattr(home, n))
              and getattr(home, n).__annotations__.get("return") == "Check"]  # fmt: skip
    assert len(claims) > 5
    assert sorted(CHECKS) == sorted(claims)


@pytest.mark.parametrize("name", sorted(CHECKS))
@pytest.mark.parametrize("fully", [False, True])
def test_a_claim_goes_through_json_and_back(name: str, fully: bool) -> None:
    needed, given = [], {}
    for parameter in inspect.signature(CHECKS[name]).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            needed += list(example(parameter))
        elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            needed.append(example(parameter))
        elif parameter.default is parameter.empty or fully:
            given[parameter.name] = example(parameter)
    check = CHECKS[name](*needed, **given)
    spec = json.loads(json.dumps(dict(spec_of(check))))
    again = made_again(spec, CHECKS)
    assert (again.claim, again.spec) == (check.claim, check.spec)
    assert again(NOTHING) == check(NOTHING)


def holds(
    *names: str, limits: Mapping[str, timedelta] | None = None, of: Check | None = None, odd: Any = None
) -> Check:
    claim = f"{names} {limits} {of.claim if of else odd}"
    return Check(claim, lambda _: Finding(claim, Verdict.HELD, "e", "a"))


def test_lists_mappings_and_checks_are_arguments_too() -> None:
    made = restorable(holds)
    check = made("a", "b", limits={"rto": timedelta(minutes=2)}, of=made("inner"))
    again = made_again(json.loads(json.dumps(spec_of(check))), {"holds": made})
    assert again.claim == check.claim


def test_what_cannot_be_stored_is_told_by_name() -> None:
    check = restorable(holds)(odd=object())
    finding = made_again(json.loads(json.dumps(spec_of(check))), {"holds": restorable(holds)})(NOTHING)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert (finding.claim, finding.actual) == ("the check 'holds' can be made again", "object is no plain value")


@pytest.mark.parametrize(
    ("spec", "claim", "why"),
    [
        ({"name": "moon_is_full", "args": {}}, "moon_is_full", "no check of that name is known here"),
        ({"claim": "mine", "unstorable": "it is no claim of x"}, "mine", "it is no claim of x"),
        ({"name": "recovered_within", "args": {"height": 3}}, "recovered_within", "its arguments do not fit"),
        (
            {"name": "recovered_within", "args": {"objective": {"parsecs": 3}}},
            "recovered_within",
            "'parsecs' is unknown",
        ),
        ({"name": "recovered_within", "args": {"objective": {}}}, "recovered_within", "its arguments do not fit"),
        ({"name": "recovered_within", "args": 7}, "recovered_within", "its arguments do not fit"),
        ("nonsense", "nonsense", "no check of that name"),
        (None, "None", "no check of that name"),
    ],
)
def test_a_check_that_cannot_be_made_again_is_inconclusive(spec: Any, claim: str, why: str) -> None:
    finding = made_again(spec, CHECKS)(NOTHING)
    assert (finding.claim, finding.verdict) == (f"the check '{claim}' can be made again", Verdict.INCONCLUSIVE)
    assert why in finding.actual


def test_a_check_made_by_hand_is_stored_by_its_claim() -> None:
    assert spec_of(holds()) == {"claim": "() None None", "unstorable": "it is no claim of harness.core.checks"}
