"""Is the node away, do its workloads run elsewhere, is it back, and is what we see of it news?

Here belong the questions about one harmed node that are asked of the API, each with the moment at which it became so.
What is read inside a node is `harness.probes.node_facts`; harming it is `harness.faults.node`.

Facts: the node controller writes Ready=Unknown when the lease was not renewed for the grace period, and taints the
Node; its Pods are deleted when their toleration of that has passed, and stay, terminating, until their kubelet is back.
Pods of a StatefulSet are not replaced meanwhile, and a Pod whose volume lies on the node's disk can run nowhere else
(kubernetes/kubernetes#72226, #74689).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from harness.cluster.health import health
from harness.cluster.readiness import node_problem
from harness.core.clock import SECOND, Clock, between_ns
from harness.core.errors import ApiRefused, ApiUnreachable, ProvisionFailed
from harness.core.objects import CLAIM, POD, REPLICA_SET, Object, Ref, condition, dig, owned_by, ref_of
from harness.core.observation import Observation, Probe, State
from harness.core.text import first_line, some
from harness.gitops.argocd import APPLICATION, DEPLOYMENT, STATEFUL_SET
from harness.gitops.convergence import Moment, latest
from harness.gitops.platform import Platform

NUDGE_EVERY = 3 * SECOND
_SELECTED = "volume.kubernetes.io/selected-node"  # on a claim: the node whose disk the volume is on


class Away(Protocol):
    """A node that is, or was, away: a fault of `harness.faults.node`, or the replacement of a lost one."""

    @property
    def platform(self) -> Platform: ...
    @property
    def node(self) -> str: ...
    @property
    def ref(self) -> Ref: ...
    @property
    def away_ns(self) -> int | None: ...
    @property
    def back_ns(self) -> int | None: ...
    @property
    def restarts_pods(self) -> bool: ...


@dataclass(slots=True)
class Since:
    """Since when each of several things holds, as far as it was looked at."""

    _since: dict[str, Moment] = field(default_factory=dict)
    _otherwise: dict[str, int] = field(default_factory=dict)

    def learn(self, key: str, holds: bool, seen: Any, now: int, told_ns: int | None = None) -> Moment | None:
        """`seen` (None: it is not there) says now whether `key` holds. The moment since when, None if it does not.

        Not before `told_ns`, if the API itself says since when: a watch may have been quiet for long.
        """
        at = seen.received_ns if seen is not None else now
        if not holds:
            self._since.pop(key, None)
            self._otherwise[key] = max(at, self._otherwise.get(key, 0))
        elif key not in self._since:
            before = self._otherwise.get(key)
            if before is None or before > at:
                before = seen.previous_ns if seen is not None else None
            bounds = [ns for ns in (before, told_ns) if ns is not None]
            self._since[key] = Moment(min(max(bounds), at) if bounds else None, at)
        return self._since.get(key)


@dataclass(slots=True)
class _OfNode:
    """What these probes share."""

    away: Away
    word: str
    expected: str

    @property
    def subject(self) -> str:
        return f"{self.word}({self.away.node})"

    @property
    def signal(self) -> Any:
        try:
            return self.away.platform.view.signal
        except ProvisionFailed:
            return None

    @property
    def clock(self) -> Clock:
        return self.away.platform.clock

    def pending(self, actual: str) -> Observation:
        return Observation(State.PENDING, self.subject, self.expected, actual, self.clock.now_ns())

    def met(self, actual: str, moment: Moment, **detail: Any) -> Observation:
        return Observation(State.MET, self.subject, self.expected, actual, moment.at_ns, moment.not_before_ns,
                           detail=detail)  # fmt: skip

    def states(self, since_ns: int) -> Iterator[Any]:
        """The states of the Node object that were seen after a moment, oldest first."""
        return (seen for seen in self.away.platform.view.history(self.away.ref) if seen.received_ns > since_ns)


# --- away ------------------------------------------------------------------------------------------------------------


class _NotReady(_OfNode):
    def observe(self) -> Observation:
        if self.away.away_ns is None:
            return self.pending("nothing was done to it yet")
        told = "still shown as Ready"
        for seen in self.states(self.away.away_ns):
            ready = condition(seen.object, "Ready")
            if not seen.deleted and ready.get("status") != "True":
                return self.met(f"NotReady ({ready.get('reason', 'no condition')})", self._moment(seen, ready))
            told = "its Node object is gone" if seen.deleted else told
        return self.pending(told if self.away.platform.view.answering else "the API does not answer")

    def _moment(self, seen: Any, ready: Mapping[str, Any]) -> Moment:
        """The API writes down to the second when it turned; the watch may have been quiet for much longer."""
        bounds = [ns for ns in (self.away.away_ns, seen.previous_ns) if ns is not None]
        if turned := _monotonic(self.clock, ready.get("lastTransitionTime")):
            bounds.append(turned)
        return Moment(min(max(bounds), seen.received_ns), seen.received_ns)


def not_ready(away: Away) -> Probe:
    """The API has noticed: the Node was shown as NotReady after it was sent away."""
    return _NotReady(away, "not ready", "the API to show the Node as NotReady")


class _StillReady(_OfNode):
    def observe(self) -> Observation:
        view, away_ns = self.away.platform.view, self.away.away_ns
        if away_ns is None or not view.answering:
            raise ApiUnreachable("the API does not answer" if away_ns else "nothing was done to it yet")
        for seen in self.states(away_ns):
            if seen.deleted or node_problem(seen.object):
                told = "deleted" if seen.deleted else node_problem(seen.object)
                return Observation(State.BROKEN, self.subject, self.expected, told, seen.received_ns)
        return Observation(State.MET, self.subject, self.expected, "shown as Ready all the time", away_ns)


def still_ready(away: Away) -> Probe:
    """The API has noticed nothing: the Node was shown as Ready in every state since it was sent away. BROKEN once not.

    Raises ApiUnreachable while it cannot be seen.
    """
    return _StillReady(away, "still ready", "the Node shown as Ready")


class _AvailableElsewhere(_OfNode):
    """Counts Pods, not what a Deployment's status says: that is from before the loss until the Node is NotReady."""

    def __init__(self, away: Away) -> None:
        super().__init__(away, "available elsewhere", "every workload fully available on other nodes")
        self._ready, self._available = Since(), Since()

    def observe(self) -> Observation:
        view, now = self.away.platform.view, self.clock.now_ns()
        if self.away.away_ns is None or not view.answering:
            return self.pending("the API does not answer" if self.away.away_ns else "nothing was done to it yet")
        pods = _pods_by_owner(view)
        held = self._held(pods)
        moments, problems, total = [], [], 0
        for seen in (*view.all(DEPLOYMENT), *view.all(STATEFUL_SET)):
            waiting = len(held.get(str(ref_of(seen.object)), ()))
            wanted = int(dig(seen.object, "spec", "replicas", default=1)) - waiting
            total += wanted > 0
            found = self._judge(seen, wanted, pods.get(dig(seen.object, "metadata", "uid"), []), now)
            if isinstance(found, str):
                problems.append(found)
            elif found is not None:
                moments.append(found)
        waiting_pods = sorted(name for names in held.values() for name in names)
        tail = f"; waiting for their disk: {some(waiting_pods)}" if waiting_pods else ""
        if problems or not moments:
            problems.sort(key=lambda said: "not scheduled" not in said)  # what can go nowhere before what is on its way
            done = total - len(problems)
            return Observation(State.PENDING, self.subject, self.expected, (some(problems, 3) or "no workload") + tail,
                               now, done=done, total=total)  # fmt: skip
        told = f"{total} workloads available on other nodes{tail}"
        return self.met(told, latest(moments), waiting_for_their_node=waiting_pods)

    def _judge(self, seen: Any, wanted: int, pods: list[Any], now: int) -> str | Moment | None:
        """Since when enough of its Pods are ready elsewhere and its controller says so; or what is missing."""
        if wanted <= 0:
            return None
        name, ready = str(ref_of(seen.object)), []
        for pod in pods:
            turned = _monotonic(self.clock, condition(pod.object, "Ready").get("lastTransitionTime"))
            moment = self._ready.learn(dig(pod.object, "metadata", "uid"), self._good(pod.object), pod, now, turned)
            if moment is not None:
                ready.append(moment)
        says = int(dig(seen.object, "status", "availableReplicas", default=0)) >= wanted
        said = self._available.learn(name, says, seen, now)
        if len(ready) >= wanted and said is not None:
            return latest([said, *sorted(ready, key=lambda m: m.at_ns)[:wanted]])
        coming = [pod.object for pod in pods if not self._good(pod.object) and not self._lost(pod.object)]
        why = f" ({coming[0]['metadata']['name']}: {health(coming[0]).text})" if coming else ""
        return f"{name}: {len(ready)} of {wanted} Pods ready elsewhere{why}"

    def _good(self, pod: Object) -> bool:
        return not self._lost(pod) and dig(pod, "status", "phase") == "Running" and bool(health(pod).ok)

    def _lost(self, pod: Object) -> bool:
        return dig(pod, "spec", "nodeName") == self.away.node or bool(dig(pod, "metadata", "deletionTimestamp"))

    def _held(self, pods: dict[str, list[Any]]) -> dict[str, list[str]]:
        """Pods of StatefulSets that wait for a volume on the node's disk, by workload: they can run nowhere else."""
        view, held = self.away.platform.view, dict[str, list[str]]()
        local = {str(ref_of(seen.object)) for seen in view.all(CLAIM)
                 if dig(seen.object, "metadata", "annotations", _SELECTED) == self.away.node}  # fmt: skip
        for workload in view.all(STATEFUL_SET):
            for pod in pods.get(dig(workload.object, "metadata", "uid"), []):
                if local.intersection(_claims(pod.object)):
                    name = f"{pod.object['metadata']['namespace']}/{pod.object['metadata']['name']}"
                    held.setdefault(str(ref_of(workload.object)), []).append(name)
        return held


def available_elsewhere(away: Away) -> Probe:
    """Every Deployment and StatefulSet, Argo CD's own too, has all its Pods ready, none of them on the lost node.

    A Pod whose volume lies on that node's disk is left out, and named: it has to wait for the node.
    """
    return _AvailableElsewhere(away)


# --- back ------------------------------------------------------------------------------------------------------------


class _ApiAnswering(_OfNode):
    def observe(self) -> Observation:
        view, away_ns = self.away.platform.view, self.away.away_ns
        outages = [
            o for o in view.outages if away_ns is not None and (o.answered_ns is None or o.answered_ns > away_ns)
        ]
        if not outages:
            return self.pending("it was never seen silent")
        last = outages[-1]
        if last.answered_ns is None or not view.answering:
            return self.pending(f"silent: {first_line(last.reason)[:120] or 'no reason'}")
        return self.met("it answers again", Moment(last.last_failure_ns, last.answered_ns))


def api_answering(away: Away) -> Probe:
    """The API answers again, after it was silent."""
    return _ApiAnswering(away, "api answering", "an API that answers again")


class _ReadyAgain(_OfNode):
    def observe(self) -> Observation:
        back_ns = self.away.back_ns
        if back_ns is None:
            return self.pending("it was not brought back yet")
        view, first, told = self.away.platform.view, None, "not seen since it was brought back"
        for seen in self.states(back_ns):
            problem = "not there" if seen.deleted else node_problem(seen.object) or self._stale(seen.object, back_ns)
            first = None if problem else first or seen
            told = problem or "Ready"
        if first is None or not view.answering:
            return self.pending(told if view.answering else "the API does not answer")
        moment = Moment(max(first.previous_ns or 0, back_ns), first.received_ns)
        return self.met("Ready and schedulable", moment, nodes_ns={self.away.node: first.received_ns})

    def _stale(self, node: Object, back_ns: int) -> str:
        """A Node that was never called NotReady is shown as Ready all the time: only its kubelet's own word counts."""
        beat = _monotonic(self.clock, condition(node, "Ready").get("lastHeartbeatTime"))
        return "" if beat is not None and beat + _ns(SECOND) > back_ns else "its kubelet has said nothing since"


def ready_again(away: Away) -> Probe:
    """The Node is Ready, neither cordoned nor tainted, and its kubelet has said so since it was brought back."""
    return _ReadyAgain(away, "ready again", "the Node Ready and schedulable, by its kubelet's own word")


class _Fresh(_OfNode):
    def __init__(self, away: Away) -> None:
        super().__init__(away, "fresh", "everything looked at anew since the node is back")
        self._facts, self._nudged, self._nudges = Since(), dict[str, int](), 0

    def observe(self) -> Observation:
        back_ns, view, now = self.away.back_ns, self.away.platform.view, self.clock.now_ns()
        if back_ns is None or not view.answering:
            return self.pending("the API does not answer" if back_ns else "it was not brought back yet")
        moments, problems = [Moment(back_ns, back_ns)], list[str]()
        for seen in view.all(APPLICATION):
            name = seen.object["metadata"]["name"]
            compared = _monotonic(self.clock, dig(seen.object, "status", "reconciledAt"))
            fresh = self._facts.learn(name, compared is not None and compared > back_ns, seen, now, compared)
            if fresh is None:
                self._nudge(name, now)
                problems.append(f"Argo CD has not compared {name} since")
            else:
                moments.append(fresh)
        for seen in _of_pods(view, self.away.node):
            problem = self._pod(seen.object, back_ns)
            began = max(self._began(seen.object), default=None)
            fresh = self._facts.learn(f"Pod {dig(seen.object, 'metadata', 'uid')}", not problem, seen, now, began)
            if fresh is None:
                problems.append(f"Pod {dig(seen.object, 'metadata', 'name')} {problem}")
            else:
                moments.append(fresh)
        if problems:
            return self.pending(some(problems, 3))
        return self.met("all compared, all reported", latest(moments), refreshes=self._nudges)

    def _pod(self, pod: Object, back_ns: int) -> str:
        """Why what the API shows of a Pod on the node may be from before; "" if it is not."""
        if dig(pod, "metadata", "deletionTimestamp"):
            return "is still being deleted"
        if not self.away.restarts_pods or dig(pod, "status", "phase") != "Running":
            return ""
        began = self._began(pod)
        old = not began or any(moment + _ns(SECOND) <= back_ns for moment in began)
        return "is shown as it was before" if old else ""

    def _began(self, pod: Object) -> list[int]:
        """When each of its containers began; 0 for one that does not run."""
        statuses = dig(pod, "status", "containerStatuses", default=[])
        return [_monotonic(self.clock, dig(status, "state", "running", "startedAt")) or 0 for status in statuses]

    def _nudge(self, name: str, now: int) -> None:
        """Argo CD looks by itself as often as its settings say; asked, it looks now. What is asked is counted."""
        last = self._nudged.get(name)
        if last is not None and between_ns(last, now) < NUDGE_EVERY:
            return
        self._nudged[name] = now
        try:
            self.away.platform.engine.refresh(name)
            self._nudges += 1
        except (ApiUnreachable, ApiRefused, ProvisionFailed):
            return  # not there, or not answering: the next observation says so


def fresh(away: Away) -> Probe:
    """What is shown is news: Argo CD has compared every Application since the node is back, and every Pod on the node
    was reported anew by its kubelet, none is on its way out.

    "Synced, Healthy, Ready" is what a restarted API shows at once, of the time before. Applications that Argo CD has
    not compared yet are nudged by a refresh, each at most every 3 s; `refreshes` counts that.
    """
    return _Fresh(away)


# --- reading ---------------------------------------------------------------------------------------------------------


def _monotonic(clock: Clock, text: Any) -> int | None:
    """The beginning of the second that a timestamp of the API names, on our clock; nodes share this machine's."""
    if not text:
        return None
    now_ns, now = clock.now_ns(), clock.utc()
    return now_ns - _ns(now - datetime.fromisoformat(str(text)))


def _ns(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000


def _pods_by_owner(view: Any) -> dict[str, list[Any]]:
    """The Pods of each workload, by its UID: those of a Deployment belong to its ReplicaSets."""
    sets = {dig(s.object, "metadata", "uid"): _owner(s.object) for s in view.all(REPLICA_SET)}
    found: dict[str, list[Any]] = {}
    for pod in view.all(POD):
        owner = _owner(pod.object)
        found.setdefault(sets.get(owner, owner), []).append(pod)
    return found


def _owner(obj: Object) -> str:
    owners = dig(obj, "metadata", "ownerReferences", default=[])
    return str(next((o.get("uid") for o in owners if o.get("controller")), ""))


def _of_pods(view: Any, node: str) -> Iterator[Any]:
    """The Pods of a node, but for those of Jobs: they end."""
    for seen in view.all(POD):
        if dig(seen.object, "spec", "nodeName") == node and not owned_by(seen.object, "Job"):
            yield seen


def _claims(pod: Object) -> set[str]:
    namespace = pod["metadata"].get("namespace") or ""
    names = (dig(v, "persistentVolumeClaim", "claimName") for v in dig(pod, "spec", "volumes", default=[]))
    return {str(Ref("", CLAIM.kind, namespace, name)) for name in names if name}
