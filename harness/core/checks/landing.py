"""Did the fault land, and did what was waited for come?

Here belong the checks that every drill makes by itself.
"""

from __future__ import annotations

from harness.core.checks.check import Check
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict


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
            "; ".join(e.data["actual"] for e in confirmed),
            evidence,
        )

    return Check(claim, judge)


def _confirmation(history: History, injected: Event) -> Event | None:
    """The answer to this injection, if it was MET: the first that follows, not one to an earlier fault of that name."""
    answers = [e for e in history.of("fault.confirmed", injected.subject) if e.seq > injected.seq]
    return answers[0] if answers and answers[0].data["state"] == "MET" else None


def waits_ended_met() -> Check:
    """Every wait of the drill ended as asked. One that ran out of patience after the fault is a broken promise.

    One that ran out of patience before any fault proves nothing: the steady state was not there.
    """
    claim = "what was waited for came"

    def judge(history: History) -> Finding:
        ended = history.of("until.ended")
        if not ended and not history.of("hold.ended"):
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one wait", "nothing was waited for")
        failed = [e for e in ended if e.data["state"] != "MET"]
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
