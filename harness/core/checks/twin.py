"""Did a sabotaged story fail, for the reason that was planted?

Here belongs what a twin's own finding is made of: the findings of its story. The sabotage itself is `harness.drill`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.timeline import History
from harness.core.verdict import Finding, Verdict

LANDED = "the fault landed"


def sabotage_caught(story: Sequence[Finding], *, expect: str, naming: str = "") -> Finding:
    """The twin's finding: HELD if the claim that begins with `expect` is REFUTED and names `naming`.

    INCONCLUSIVE where the story's fault did not land: the story failed, but nothing is shown by it.
    """
    claim = f"the sabotaged story is REFUTED by '{expect}'"
    expected = f"REFUTED{f', naming {naming}' if naming else ''}"
    told = "; ".join(f"{f.claim}: {f.verdict}" for f in story) or "nothing was judged"
    landed = [f for f in story if f.claim == LANDED]
    if not landed or landed[0].verdict is not Verdict.HELD:
        why = f"the twin proves nothing: its fault did not land ({told})"
        return Finding(claim, Verdict.INCONCLUSIVE, expected, why)
    refuted = [f for f in story if f.verdict is Verdict.REFUTED and f.claim.startswith(expect)]
    named = [f for f in refuted if naming in f.actual]
    if named:
        return Finding(claim, Verdict.HELD, expected, named[0].actual, named[0].evidence)
    return Finding(claim, Verdict.REFUTED, expected, told)


def open_end(history: History, expect: str) -> Finding | None:
    """What a story that ended in a wait, before its conclusion, would have claimed of it; None without such an end."""
    last = history.last("until.ended")
    if last is None or last.data["state"] == "MET" or not expect.startswith(last.subject.split("(")[0]):
        return None
    told = f"{last.subject}: {last.data['state']}: should be {last.data['expected']}, is {last.data['actual']}"
    return Finding(expect, Verdict.REFUTED, last.data["expected"], told, (last.seq,))
