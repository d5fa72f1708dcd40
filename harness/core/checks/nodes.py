"""What one node's loss did: inside the node that came back, to the Pods that ran on it, and whether it is a fresh one.

Here belongs judging the readings of `harness.probes.node_facts`.

Events read here:
  fault.injected          touches; of a node lost for ever, detail: container, identity, volumes
  observed (node)         value: node, container, identity, listens, mounts, volumes, running, ghosts, absent
  observed (node pods)    value: {namespace/name: {uid, restarts}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.checks.check import Check
from harness.core.text import some
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

MARK = ".drill-mark"  # what a node that is lost for ever had in each of its volumes


def node_works() -> Check:
    """Inside the node that is back, everything listens and is mounted, and exactly the Pods run that the API knows."""
    claim = "the node works again, and nothing runs twice"
    expected = "its ports open, its folders mounted, the Pods running in it those of the API"

    def judge(history: History) -> Finding:
        fault = history.first("fault.injected")
        later = [e for e in history.of("observed") if e.data["reading"] == "node" and fault and e.seq > fault.seq]
        if not later:
            return Finding(claim, Verdict.INCONCLUSIVE, expected, "nobody looked into the node after the fault")
        seen = later[-1].data["value"]
        if not seen["listens"] or not seen["mounts"]:
            told = f"{seen['node']}: no port or no folder was asked for"
            return Finding(claim, Verdict.INCONCLUSIVE, expected, told, (later[-1].seq,))
        wrong = [f"nothing listens on {port}" for port, open_ in seen["listens"].items() if not open_]
        wrong += [f"{folder} is not mounted" for folder, there in seen["mounts"].items() if not there]
        wrong += [f"runs though the API does not know it: Pod {uid}" for uid in seen["ghosts"]]
        wrong += [f"does not run though the API says so: Pod {uid}" for uid in seen["absent"]]
        figures = {"pods_running": float(seen["running"])}
        if wrong:
            return Finding(
                claim, Verdict.REFUTED, expected, f"{seen['node']}: {some(wrong)}", (later[-1].seq,), figures
            )
        told = f"{seen['node']}: {len(seen['listens'])} ports open, {len(seen['mounts'])} folders mounted, " \
               f"{seen['running']} Pods running, all of them the API's"  # fmt: skip
        return Finding(claim, Verdict.HELD, expected, told, (later[-1].seq,), figures)

    return Check(claim, judge)


def no_pod_replaced() -> Check:
    """Every Pod that ran on the node before the fault is there, the same one, and none of its containers began anew."""
    claim = "no Pod of the node was replaced or restarted"

    def judge(history: History) -> Finding:
        before, after = _around(history, "node pods")
        if before is None or after is None or not before.data["value"]:
            return Finding(
                claim, Verdict.INCONCLUSIVE, "the node's Pods before the fault and after", "not read, or none"
            )
        old, new = before.data["value"], after.data["value"]
        wrong = [f"Pod {name} {how}" for name, pod in old.items() if (how := _how(pod, new.get(name)))]
        evidence, expected = (before.seq, after.seq), f"the same {len(old)} Pods"
        if wrong:
            return Finding(claim, Verdict.REFUTED, expected, some(wrong), evidence)
        return Finding(claim, Verdict.HELD, expected, f"{len(old)} Pods, the same", evidence, {"pods": float(len(old))})

    return Check(claim, judge)


def node_is_fresh() -> Check:
    """What replaced the lost node is another one: other container, other identity, nothing of the old disk on it.

    What was in its volumes is lost; that is no failure, it is what a node's own disk promises. It is said, and counted.
    """
    claim = "the replacement is a fresh node, and what is lost with the old one is known"

    def judge(history: History) -> Finding:
        fault, (_, after) = history.first("fault.injected"), _around(history, "node")
        lost: Mapping[str, Any] = fault.data.get("detail") or {} if fault else {}
        if fault is None or after is None or not lost.get("container") or not lost.get("identity"):
            expected = "a lost node known by container and identity, and a look at the replacement"
            return Finding(claim, Verdict.INCONCLUSIVE, expected, "not there")
        new, evidence = after.data["value"], (fault.seq, after.seq)
        wrong = [f"the same {what}" for what in ("container", "identity") if new[what] in (lost[what], "")]
        wrong += [f"{folder} still holds what was on the old disk"
                  for folder, entries in new["volumes"].items() if MARK in entries]  # fmt: skip
        missing = [folder for folder in lost["volumes"] if folder not in new["volumes"]]
        figures = {"volumes_lost": float(len(lost["volumes"])), "volumes_not_made_anew": float(len(missing))}
        expected = "another container and identity, no volume with its old content"
        if wrong:
            return Finding(claim, Verdict.REFUTED, expected, some(wrong), evidence, figures)
        told = f"container {new['container']} instead of {lost['container']}; lost: "
        told += f"the content of {len(lost['volumes'])} volumes ({some(_names(lost['volumes']))})" if lost["volumes"] \
            else "nothing, it had no volumes"  # fmt: skip
        return Finding(claim, Verdict.HELD, expected, told, evidence, figures)

    return Check(claim, judge)


def _around(history: History, reading: str) -> tuple[Event | None, Event | None]:
    """The last reading of that name before the first fault, and the last one after it."""
    fault = history.first("fault.injected")
    found = [e for e in history.of("observed") if e.data["reading"] == reading]
    before = [e for e in found if fault and e.seq < fault.seq]
    after = [e for e in found if fault and e.seq > fault.seq]
    return (before[-1] if before else None), (after[-1] if after else None)


def _how(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> str:
    if new is None:
        return "is gone"
    if new["uid"] != old["uid"]:
        return "was replaced"
    more = int(new["restarts"]) - int(old["restarts"])
    return f"was restarted {more} times" if more > 0 else ""


def _names(folders: list[str]) -> list[str]:
    """The claim in the name of a local-path folder: pvc-<uid>_<namespace>_<claim>."""
    return ["/".join(folder.split("_")[1:3]) for folder in folders]
