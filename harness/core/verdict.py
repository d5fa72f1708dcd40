"""Verdicts and findings.

Here belong the three-valued verdict, its join, and the finding that carries it. The judges are in `core.checks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """HELD: the promise was kept. REFUTED: it was broken. INCONCLUSIVE: we cannot tell, and that is never a pass."""

    HELD = "HELD"
    INCONCLUSIVE = "INCONCLUSIVE"
    REFUTED = "REFUTED"


_WORSE = (Verdict.HELD, Verdict.INCONCLUSIVE, Verdict.REFUTED)


def join(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; REFUTED is worse than INCONCLUSIVE. Nothing checked joins to INCONCLUSIVE."""
    return max(verdicts, key=_WORSE.index, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says: the claim, the verdict, what was expected, what was found, and the events that show it."""

    claim: str
    verdict: Verdict
    expected: str
    actual: str
    evidence: tuple[int, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"claim": self.claim, "verdict": self.verdict.value, "expected": self.expected, "actual": self.actual,
                "evidence": list(self.evidence), "figures": dict(self.figures)}  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Finding:
        """The finding that `to_record` wrote. Raises KeyError or ValueError for anything else."""
        return cls(record["claim"], Verdict(record["verdict"]), record["expected"], record["actual"],
                   tuple(record["evidence"]), dict(record["figures"]))  # fmt: skip

    def sentence(self) -> str:
        if self.verdict is Verdict.HELD:
            return f"{self.claim}: HELD, {self.actual}"
        return f"{self.claim}: {self.verdict}, expected {self.expected}, found {self.actual}"
