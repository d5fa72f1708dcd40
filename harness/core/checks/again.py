"""A stored timeline, judged again with today's checks.

Here belongs what a drill's findings are made of once it is over: its checks, its twin's own finding, and what the
harness itself found, which no check can find again. Reading and writing files is `harness.rejudging`.

Events read here: judging (checks: how to make each again), finding, sabotage.begun (expect, naming), twin.story,
drill.ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.checks.landing import fault_landed, waits_ended_met
from harness.core.checks.registry import Factory, made_again
from harness.core.checks.twin import open_end, sabotage_caught
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict, join

RAN = "the drill ran to its end"
_UNSETTLED = Finding("the sabotage was judged", Verdict.INCONCLUSIVE, "a judgement of the sabotaged story",
                     "none: it ended before")  # fmt: skip
RECORDED = "everything was recorded"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a timeline comes to."""

    findings: tuple[Finding, ...]
    verdict: Verdict


def judge_again(history: History, known: Mapping[str, Factory]) -> Judgement:
    """Judge a stored timeline. What is missing in it makes it INCONCLUSIVE, with the reason; it never raises."""
    judging = history.last("judging")
    specs = judging.data.get("checks") if judging is not None else None
    if judging is None or not isinstance(specs, list):
        found = [check(history) for check in (fault_landed(), waits_ended_met())]
        found.append(_unjudged(history))
        return Judgement((*found, *_unfinished(history)), Verdict.INCONCLUSIVE)
    past = History(tuple(e for e in history if e.seq < judging.seq), history.truncated)
    story = [made_again(spec, known)(past) for spec in specs]
    twin, settled = _as_twin(past, history, story)
    own = {f.claim for f in (*story, *twin)} | {str(e.data.get("expect")) for e in history.of("sabotage.begun")}
    findings = (*twin, *_carried(history, judging, len(specs), own), *_unfinished(history))
    if not settled and Verdict.INCONCLUSIVE not in {f.verdict for f in findings}:
        findings += (_UNSETTLED,)
    lost = any(f.claim in (RAN, RECORDED) and f.verdict is Verdict.INCONCLUSIVE for f in findings)
    return Judgement(findings, Verdict.INCONCLUSIVE if lost or not settled else join(f.verdict for f in findings))


def _as_twin(past: History, history: History, story: list[Finding]) -> tuple[list[Finding], bool]:
    """The findings of a story or of its twin, and whether they settle anything: a twin's story alone does not."""
    begun = history.last("sabotage.begun")
    if begun is None:
        return story, True
    expect, naming = str(begun.data.get("expect")), str(begun.data.get("naming") or "")
    if history.first("twin.story") is None:
        return story, False
    end = _safely(past, expect)
    return [sabotage_caught([*story, *([end] if end else [])], expect=expect, naming=naming)], True


def _safely(past: History, expect: str) -> Finding | None:
    try:
        return open_end(past, expect)
    except (KeyError, TypeError):  # an event of another time, without what is read here
        return None


def _carried(history: History, judging: Event, made: int, own: set[str]) -> list[Finding]:
    """What the harness itself found after judging (an error of the story, what it left behind): it stands."""
    found: list[Finding] = []
    for event in [e for e in history.of("finding") if e.seq > judging.seq][made:]:
        try:
            finding = Finding.from_record(event.data)
        except (KeyError, ValueError, TypeError) as error:
            finding = Finding(RAN, Verdict.INCONCLUSIVE, "a readable finding", f"event {event.seq}: {error!r}")
        if finding.claim not in own:
            found.append(finding)
    return found


def _unjudged(history: History) -> Finding:
    old = history.first("finding") is not None
    found = "none: it was written by a drill that did not store them" if old else "none: it ended before it was judged"
    return Finding("the conclusion is on the timeline", Verdict.INCONCLUSIVE, "the checks to judge it by", found)


def _unfinished(history: History) -> list[Finding]:
    if history.last("drill.ended") is not None:
        return []
    last = history.events[-1] if history.events else None
    after = f"after event {last.seq} ({last.kind})" if last else "before its first event"
    how = "is cut off in the middle of a line" if history.truncated else "ends"
    return [Finding("the timeline is whole", Verdict.INCONCLUSIVE, "the end of the drill", f"it {how} {after}")]
