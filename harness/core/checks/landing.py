"""Did the fault land, and did what was waited for come?

Here belong the checks that every drill makes by itself.
"""

from __future__ import annotations

from harness.core.checks.check import Check
from harness.core.faults import BlastRadius
from harness.core.observation import UNREACHABLE
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

WAITED_FOR = "what was waited for came"


def fault_landed() -> Check:
    """Every fault that was injected was also seen to have landed. A drill without a fault proves nothing."""
    claim = "the fault landed"

    def judge(history: History) -> Finding:
        injected = history.of("fault.injected")
        if not injected:
            return Finding(claim, Verdict.INCONCLUSIVE, "a fault", "none was injected")
        confirmations = [_confirmation(history, e) for e in injected]
        confirmed = [e for e in confirmations if e is not None]
        missing = [e.subject for e, answer in zip(injected, confirmations, strict=True) if answer is None]
        evidence = tuple(e.seq for e in (*injected, *confirmed))
        if missing:
            return Finding(
                claim, Verdict.INCONCLUSIVE, "every fault confirmed", f"not confirmed: {', '.join(missing)}", evidence
            )
        return Finding(
            claim,
            Verdict.HELD,
            "every fault confirmed",
            "; ".join(dict.fromkeys(e.data["actual"] for e in confirmed)),
            evidence,
        )

    return Check(claim, judge)


def _confirmation(history: History, injected: Event) -> Event | None:
    """The answer to this injection, if it was MET: the first that follows, not one to an earlier fault of that name."""
    answers = [e for e in history.of("fault.confirmed", injected.subject) if e.seq > injected.seq]
    return answers[0] if answers and answers[0].data["state"] == "MET" else None


def waits_ended_met() -> Check:
    """Every wait of the drill ended as asked. One that ran out of patience after the fault is a broken promise.

    One that ran out of patience before any fault proves nothing: the steady state was not there. Nor does one that got
    no answer (its probe failed, or we did), or could not see at the end where no fault of the drill explains that.
    """
    claim = WAITED_FOR

    def judge(history: History) -> Finding:
        ended = history.of("until.ended")
        if (unanswered := _unanswered(history)) is not None:
            return unanswered
        if not ended and not history.of("hold.ended"):
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one wait", "nothing was waited for")
        failed = [e for e in ended if e.data["state"] != "MET"]
        if failed and _unseen(history, failed[0]):
            why = f"{failed[0].data['actual']}, which no fault of this drill explains"
            return Finding(claim, Verdict.INCONCLUSIVE, f"{failed[0].subject}: {failed[0].data['expected']}", why,
                           (failed[0].seq,))  # fmt: skip
        if failed:
            first, fault = failed[0], history.first("fault.injected")
            harmed = fault is not None and fault.seq < first.seq
            why = (f"{first.data['actual']}, which waiting does not mend" if first.data["state"] == "BROKEN"
                   else f"{first.data['actual']} after {first.data['within_s']:g} s of patience")  # fmt: skip
            return Finding(claim, Verdict.REFUTED if harmed else Verdict.INCONCLUSIVE,
                           f"{first.subject}: {first.data['expected']}", why, (first.seq,))  # fmt: skip
        return Finding(
            claim, Verdict.HELD, "every wait MET", f"{len(ended)} of {len(ended)} MET", tuple(e.seq for e in ended)
        )

    return Check(claim, judge)


def _unanswered(history: History) -> Finding | None:
    """The first wait that began and never ended: its probe failed, or the timeline ends in the middle of it."""
    for begun in (*history.of("until.begun"), *history.of("hold.begun")):
        kind = begun.kind.split(".")[0]
        if any(e.seq > begun.seq for e in history.of(f"{kind}.ended", begun.subject)):
            continue
        failures = [e for e in history.of(f"{kind}.failed", begun.subject) if e.seq > begun.seq]
        why = f"no answer: {failures[0].data['error']}" if failures else "no answer is recorded"
        return Finding(WAITED_FOR, Verdict.INCONCLUSIVE, f"an answer to {begun.subject}", why,
                       (begun.seq, *(e.seq for e in failures[:1])))  # fmt: skip
    return None


def _unseen(history: History, ended: Event) -> bool:
    """Whether the wait ended blind, in a drill that may only touch a namespace: no such fault takes an API away."""
    begun = history.first("drill.begun")
    blind = bool((ended.data.get("detail") or {}).get(UNREACHABLE))
    return blind and begun is not None and begun.data.get("blast_radius") == BlastRadius.NAMESPACE.name.lower()


def stayed_so() -> Check:
    """What had to be left alone was so all the time. What could not be seen at the end is INCONCLUSIVE."""
    claim = "what had to stay so stayed so"

    def judge(history: History) -> Finding:
        ended = history.of("hold.ended")
        evidence = tuple(e.seq for e in ended)
        if not ended:
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one hold", "nothing was held")
        for event in ended:
            if event.data["state"] != "MET":
                lost = Verdict.REFUTED if event.data["state"] == "BROKEN" else Verdict.INCONCLUSIVE
                expected = f"{event.subject}: {event.data['expected']} for {event.data['lasting_s']:g} s"
                return Finding(claim, lost, expected, event.data["actual"], (event.seq,))
        told = "; ".join(f"{e.subject} for {e.data['lasting_s']:g} s" for e in ended)
        return Finding(claim, Verdict.HELD, "so all the time", told, evidence)

    return Check(claim, judge)
