"""Is the state of before back, after a bad commit was reverted?

Here belongs comparing readings named `state` (see `harness.probes.state`): the last before the first fault, the last
before the second (while the bad commit was in force), the last of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.checks.check import Check
from harness.core.drift import difference
from harness.core.text import some
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

Reading = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Readings:
    """The readings of a rollback; `between` is one of the time in which the bad commit was in force."""

    before: Event | None
    between: Event | None
    after: Event | None


def state_is_as_before() -> Check:
    """Git's tree, what it renders to, every live object and the images that run are what they were before."""
    claim = "state equals the state before"

    def judge(history: History) -> Finding:
        told = _readings(history)
        expected = "the same tree, manifests, live objects and running images"
        if told.before is None or told.after is None:
            return _without(claim, "a reading of the state before the fault and one at the end")
        old, new, evidence = _value(told.before), _value(told.after), (told.before.seq, told.after.seq)
        figures = {"rendered": float(len(new["rendered"])), "live": float(len(new["live"]))}
        wrong = []
        if new["tree"] != old["tree"]:
            wrong.append(f"Git's tree is {new['tree'][:10]}, was {old['tree'][:10]}")
        wrong += [f"rendered {text}" for text in _differences(old["rendered"], new["rendered"])]
        wrong += [f"live {text}" for text in _differences(_objects(old), _objects(new))]
        wrong += [f"running: {text}" for text in _images(old, new)]
        if wrong:
            return Finding(claim, Verdict.REFUTED, expected, some(wrong), evidence, figures)
        same = (
            f"tree {new['tree'][:10]}, {len(new['rendered'])} manifests and {len(new['live'])} live objects as before"
        )
        return Finding(claim, Verdict.HELD, expected, same, evidence, figures)

    return Check(claim, judge)


def apply_was_refused(*, saying: str) -> Check:
    """The commit was refused, with a message that holds `saying`: for the reason that was meant."""
    claim = "the commit was refused"

    def judge(history: History) -> Finding:
        waits = [e for e in history.of("until.ended") if e.subject.startswith("apply_failed(")]
        expected = f"a refusal that says '{saying}'"
        if not waits or waits[-1].data["state"] != "MET":
            return Finding(claim, Verdict.INCONCLUSIVE, expected, "no refusal was seen")
        said = waits[-1].data["actual"]
        return Finding(claim, Verdict.HELD if saying in said else Verdict.REFUTED, expected, said, (waits[-1].seq,))

    return Check(claim, judge)


def live_was_left_alone() -> Check:
    """While a commit was in force that the API refused, every live object stayed as it was: content and UID."""
    claim = "the refused commit changed nothing live"

    def judge(history: History) -> Finding:
        told = _readings(history)
        if told.before is None or told.between is None:
            return _without(claim, "a reading of the state before the commit and one before its revert")
        old, new, evidence = _value(told.before), _value(told.between), (told.before.seq, told.between.seq)
        wrong = [*_differences(_objects(old), _objects(new)), *_replaced(old, new), *_images(old, new)]
        expected = f"{len(old['live'])} live objects as before"
        if new["revision"] == old["revision"]:
            return Finding(claim, Verdict.INCONCLUSIVE, expected, "Git had not changed at that time", evidence)
        verdict = Verdict.REFUTED if wrong else Verdict.HELD
        return Finding(claim, verdict, expected, some(wrong) or expected, evidence)

    return Check(claim, judge)


def nothing_was_replaced() -> Check:
    """Every object that was live before is the same one at the end: the same UID."""
    claim = "no object was replaced"

    def judge(history: History) -> Finding:
        told = _readings(history)
        if told.before is None or told.after is None:
            return _without(claim, "a reading of the state before the fault and one at the end")
        old, new = _value(told.before), _value(told.after)
        wrong = [f"{ref} is gone" for ref in sorted(old["live"].keys() - new["live"].keys())] + _replaced(old, new)
        expected = f"{len(old['live'])} objects with the UIDs of before"
        return Finding(claim, Verdict.REFUTED if wrong else Verdict.HELD, expected, some(wrong) or expected,
                       (told.before.seq, told.after.seq))  # fmt: skip

    return Check(claim, judge)


def deletion_was_undone() -> Check:
    """What a commit deleted is back as Git says, and what cannot come back is named: UIDs, addresses, pods."""
    claim = "what was deleted came back"

    def judge(history: History) -> Finding:
        told = _readings(history)
        if told.before is None or told.between is None or told.after is None:
            return _without(claim, "a reading of the state before the deletion, one before its revert, one at the end")
        old, gap, new = _value(told.before), _value(told.between), _value(told.after)
        evidence = (told.before.seq, told.between.seq, told.after.seq)
        deleted = sorted(old["live"].keys() - gap["live"].keys())
        expected = "every deleted object back, with the same content"
        if not deleted:
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one object that was deleted", "none was", evidence)
        before = {ref: old["live"][ref]["object"] for ref in deleted}
        wrong = _differences(before, {r: o["object"] for r, o in new["live"].items() if r in before})
        lost = _lost(deleted, old, new)
        figures = {"deleted": float(len(deleted)), "back": float(sum(ref in new["live"] for ref in deleted)),
                   "pods_lost": float(len(old["pods"].keys() - _kept(old, new)))}  # fmt: skip
        if wrong:
            return Finding(claim, Verdict.REFUTED, expected, some(wrong), evidence, figures)
        told_back = f"{some(deleted)} came back; what did not: {some(lost, 12) or 'nothing'}"
        return Finding(claim, Verdict.HELD, expected, told_back, evidence, figures)

    return Check(claim, judge)


def volumes_outlived_it() -> Check:
    """Every PersistentVolumeClaim of before is still the same claim on the same volume: the data on it was kept."""
    claim = "the volumes outlived the deletion"

    def judge(history: History) -> Finding:
        told = _readings(history)
        if told.before is None or told.after is None:
            return _without(claim, "a reading of the state before the deletion and one at the end")
        old, new = _claims(_value(told.before)), _claims(_value(told.after))
        evidence = (told.before.seq, told.after.seq)
        if not old:
            return Finding(claim, Verdict.INCONCLUSIVE, "at least one claim before", "none", evidence)
        wrong = [f"{ref} is gone" for ref in sorted(old.keys() - new.keys())]
        wrong += [f"{ref} is another claim, on volume {new[ref][1] or 'none'} instead of {old[ref][1]}: what was "
                  "written is lost" for ref in sorted(old.keys() & new.keys()) if old[ref] != new[ref]]  # fmt: skip
        expected = f"{len(old)} claims on the volumes of before"
        return Finding(claim, Verdict.REFUTED if wrong else Verdict.HELD, expected, some(wrong) or expected, evidence,
                       {"claims": float(len(old)), "claims_lost": float(len(wrong))})  # fmt: skip

    return Check(claim, judge)


# --- how -------------------------------------------------------------------------------------------------------------


def _readings(history: History) -> _Readings:
    taken = [e for e in history.of("observed") if e.data["reading"] == "state"]
    faults = history.of("fault.injected")
    if not faults:
        return _Readings(None, None, None)
    first, last = faults[0].seq, faults[-1].seq
    return _Readings(
        _last(e for e in taken if e.seq < first and e.data["value"]["live"]),  # of nothing, nothing can be harmed
        _last(e for e in taken if first < e.seq < last),
        _last(e for e in taken if e.seq > last),
    )


def _last(events: Iterable[Event]) -> Event | None:
    found = list(events)
    return found[-1] if found else None


def _value(event: Event) -> Reading:
    found: Reading = event.data["value"]
    return found


def _without(claim: str, expected: str) -> Finding:
    return Finding(claim, Verdict.INCONCLUSIVE, expected, "not all of them were taken, or nothing was live before")


def _objects(reading: Reading) -> dict[str, Any]:
    return {ref: entry["object"] for ref, entry in reading["live"].items()}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = [f"{ref} is missing" for ref in sorted(old.keys() - new.keys())]
    found += [f"{ref} was not there before" for ref in sorted(new.keys() - old.keys())]
    for ref in sorted(old.keys() & new.keys()):
        if isinstance(old[ref], str) or isinstance(new[ref], str):
            found += [f"{ref} differs"] if old[ref] != new[ref] else []
        elif changes := difference(old[ref], new[ref]):
            found.append(f"{ref}: {changes[0].sentence()}")
    return found


def _replaced(old: Reading, new: Reading) -> list[str]:
    both = sorted(old["live"].keys() & new["live"].keys())
    return [f"{ref} is another object with that name" for ref in both
            if old["live"][ref]["uid"] != new["live"][ref]["uid"]]  # fmt: skip


def _images(old: Reading, new: Reading) -> list[str]:
    """How many pods run which images, by what they belong to: names and UIDs of pods are not part of a state."""
    before, after = (Counter((p["of"], ", ".join(p["images"])) for p in r["pods"].values()) for r in (old, new))
    found = [f"{n} pods of {of} with {images} more than before" for (of, images), n in sorted((after - before).items())]
    return found + [f"{n} pods of {of} with {images} fewer" for (of, images), n in sorted((before - after).items())]


def _lost(deleted: list[str], old: Reading, new: Reading) -> list[str]:
    found = []
    for ref in deleted:
        was, now = old["live"][ref], new["live"].get(ref, {})
        if was["uid"] != now.get("uid"):
            found.append(f"the UID of {ref}")
        if "address" in was and was["address"] != now.get("address"):
            found.append(f"the address {was['address']} of {ref} (now {now.get('address')})")
    return found + [f"Pod {name}" for name in sorted(old["pods"].keys() - _kept(old, new))]


def _kept(old: Reading, new: Reading) -> set[str]:
    return {name for name, pod in old["pods"].items() if new["pods"].get(name, {}).get("uid") == pod["uid"]}


def _claims(reading: Reading) -> dict[str, tuple[str, str]]:
    return {ref: (entry["uid"], entry.get("volume", "")) for ref, entry in reading["live"].items()
            if ref.startswith("PersistentVolumeClaim ")}  # fmt: skip
