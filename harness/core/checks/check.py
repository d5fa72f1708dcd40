"""What a check is: a claim, and the judge that decides it.

Here belongs the type. The claims themselves are in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.timeline import History
from harness.core.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True)
class Check:
    """A claim and the judge that decides it."""

    claim: str
    judge: Callable[[History], Finding]
    spec: Mapping[str, Any] | None = None  # how to make it again from a stored run: name and args

    def __call__(self, history: History) -> Finding:
        """Judge. A judge that throws says INCONCLUSIVE with its error: never a pass, never a crash."""
        try:
            return self.judge(history)
        except Exception as error:  # noqa: BLE001 - one of the three named places: a broken judge must not look like a verdict
            return Finding(self.claim, Verdict.INCONCLUSIVE, "a judgement", f"the judge failed: {error!r}")
