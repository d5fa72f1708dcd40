"""What a controller's message means: the cause it names, and whether waiting can help.

Here belong pure functions from messages, Pods, ReplicaSets, claims and Namespaces to a cause. Which object of which
Application is at fault is in `harness.gitops.diagnosis`.

Final is only what no amount of waiting can change: when nothing is being applied any more, and neither a registry, a
node, a webhook nor another workload could still bring it about. Everything else is told and waited for. Facts: the
kubelet's container states (pkg/kubelet/images, /container), the admission plugins ResourceQuota, LimitRanger and
PodSecurity, the namespace controller's conditions, and messages seen on a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from harness.core.objects import Object, dig


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something is not as it should be: `kind` for programs, `words` for people, and the controller's `message`.

    `final`: as long as Git and the cluster are left alone it stays so.
    """

    kind: str
    words: str
    message: str = ""
    final: bool = False

    def sentence(self) -> str:
        """The words, and the message after a colon."""
        return f"{self.words}: {short(self.message)}" if self.message else self.words


_IMAGE = "an image cannot be had"
# A message, and what it means. The first that fits is taken: the more special ones come first.
_SAID = tuple(
    (kind, words, re.compile(pattern, re.IGNORECASE))
    for kind, words, pattern in (
        ("quota", "a ResourceQuota does not allow it", r"exceeded quota|failed quota"),
        ("limit range", "a LimitRange does not allow it",
         r"(maximum|minimum) \S+ usage per |limit to request ratio|maximum storage|minimum storage"),
        ("pod security", "Pod Security does not allow it", r"violates PodSecurity"),
        ("webhook", "an admission webhook cannot be asked", r"fail(ed|ure) (to call|calling) webhook"),
        ("webhook", "an admission webhook denies it", r"admission webhook .* denied the request"
                                                      r"|ValidatingAdmissionPolicy .* denied"),
        ("namespace", "its namespace is being deleted", r"is being terminated|namespace \S+ is terminating"),
        ("crd", "the cluster does not know its kind, the CRD is missing",
         r"could not find the requested resource|no matches for kind|CRD is installed|could not find \S+/\S+ for req"),
        ("service account", "its ServiceAccount is missing", r"error looking up service account|serviceaccount .* not"),
        ("namespace", "its namespace does not exist", r"namespaces? \"[^\"]+\" not found"),
        ("immutable", "Git changes what cannot be changed", r"field is immutable|updates to \S+ spec for fields other"
                                                            r"|may not change once set|cannot be changed"),
        ("invalid", "the API refuses the manifest",
         r"is invalid: |strict decoding error|unknown field|ValidationError|cannot unmarshal|typed patch object"
         r"|json: cannot|error validating|unrecognized type|\(BadRequest\)"),
        ("rbac", "it is not allowed (RBAC)", r"is forbidden: User |cannot \w+ resource|RBAC: "),
        ("project", "its AppProject does not allow it or is missing",
         r"not permitted in project|referencing project .* which does not exist|is not allowed in project"),
        ("forbidden", "the API forbids it", r"is forbidden: "),
        ("prune", "Argo CD does not remove everything by itself", r"will wipe out all resources"),
        ("repository", "the repository cannot be read",
         r"failed to list refs|repository not found|unable to resolve|app path does not exist|revision .* not found"
         r"|authentication required|failed to fetch|Failed to load target state|Manifest generation error"),
    )
)  # fmt: skip
_NEVER_BY_WAITING = ("immutable", "invalid")  # the API judges the same text the same way, however often it is asked
# Namespace conditions, the one that holds up the others first.
_HOLDING = ("NamespaceDeletionDiscoveryFailure", "NamespaceDeletionGroupVersionParsingFailure",
            "NamespaceDeletionContentFailure", "NamespaceFinalizersRemaining", "NamespaceContentRemaining")  # fmt: skip
_BUSY = ("", "PodInitializing", "ContainerCreating")
_PULL = ("ImagePullBackOff", "ErrImagePull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed")


def short(text: str, length: int = 300) -> str:
    """One line of at most `length` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else f"{flat[: length - 3]}..."


def said(message: str, *, attempts: int = 1, calm: bool = False) -> Cause | None:
    """What a message means, or None.

    `attempts` is how often the same was refused at the commit that is wanted; `calm` that nothing else is being
    applied. A manifest that the API refuses twice it refuses for ever, unless a CRD or an object of another
    Application were still to come.
    """
    for kind, words, pattern in _SAID:
        if pattern.search(message):
            final = calm and attempts > 1 and kind in _NEVER_BY_WAITING
            return Cause(kind, words, message, final)
    return None


def refused_pod(message: str, *, calm: bool) -> Cause:
    """Why a controller could not create a Pod.

    A LimitRange and Pod Security compare the template with an object that only a commit changes: final once all is
    applied. A quota may be freed by others, unless the Pod alone asks for more than there is of it. A webhook may come
    up, a ServiceAccount appear.
    """
    found = said(message) or Cause("forbidden", "a Pod cannot be created", message)
    final = found.kind in ("limit range", "pod security") or (found.kind == "quota" and _never_fits(message))
    return replace(found, final=calm and final)


def _never_fits(message: str) -> bool:
    """Whether "requested: limits.memory=2Gi, used: ..., limited: limits.memory=1Gi" asks for more than the whole."""
    if "must specify" in message:
        return True  # the quota counts what the template does not say
    requested = re.search(r"requested: (.*?), used:", message)
    limited = re.search(r"limited: (.*)$", message)
    if not requested or not limited:
        return False
    ask, have = _amounts(requested.group(1)), _amounts(limited.group(1))
    return any(name in have and amount > have[name] for name, amount in ask.items())


def _amounts(text: str) -> dict[str, Fraction]:
    found = {}
    for name, number, unit in re.findall(r"([\w./-]+)=([0-9.]+)([a-zA-Z]*)", text):
        if unit in _UNITS:
            found[name] = Fraction(number) * _UNITS[unit]
    return found


_UNITS = {"": Fraction(1), "m": Fraction(1, 1000), "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9),
          "T": Fraction(10**12), "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30),
          "Ti": Fraction(2**40)}  # fmt: skip


def pod_cause(pod: Object, images: Mapping[str, str]) -> Cause | None:
    """Why a Pod is not ready. `images` are those that Git wants, by container: only of them an image can be final."""
    for condition in dig(pod, "status", "conditions", default=[]):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _unschedulable(str(condition.get("message", "")), str(condition.get("reason", "")))
    statuses = [*dig(pod, "status", "initContainerStatuses", default=[]),
                *dig(pod, "status", "containerStatuses", default=[])]  # fmt: skip
    present = images_of(dig(pod, "spec", default={}))
    for status in statuses:
        name = str(status.get("name", ""))
        if found := _container(status, as_in_git=name in images and images[name] == present.get(name)):
            return found
    if dig(pod, "status", "phase") == "Failed":
        ended = [_ending(dig(s, "state", "terminated", default={})) for s in statuses]
        message = dig(pod, "status", "message") or "; ".join(text for text in ended if text)
        return Cause("pod failed", f"a Pod failed ({dig(pod, 'status', 'reason', default='Error')})", message)
    return None


def images_of(spec: Object) -> dict[str, str]:
    """The image of each container of a Pod's spec."""
    containers = [*dig(spec, "initContainers", default=[]), *dig(spec, "containers", default=[])]
    return {str(c.get("name")): str(c.get("image")) for c in containers}


def _unschedulable(message: str, reason: str) -> Cause:
    """Never final: a node may come, come back or be emptied, a claim be bound."""
    if reason == "SchedulingGated":
        return Cause("unschedulable", "its Pod is held by a scheduling gate", message)
    for pattern, words in (
        (r"volume node affinity", "the node that has its volume is not there"),
        (r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim", "its volume is not there"),
        (r"Insufficient (\S+?)[.,\s]", "no node has enough"),
        (r"node affinity|node selector", "no node fits its selector or affinity"),
        (r"untolerated taint|had taint", "every node has a taint that it does not tolerate"),
    ):
        if found := re.search(pattern, message, re.IGNORECASE):
            what = f" {found.group(1)}" if found.groups() else ""
            return Cause("unschedulable", f"no node takes its Pod, {words}{what}", message)
    return Cause("unschedulable", "no node takes its Pod", message)


def _container(status: Mapping[str, object], *, as_in_git: bool) -> Cause | None:
    name = str(status.get("name", ""))
    waiting = dig(status, "state", "waiting", default={})
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    if reason in _BUSY:
        return None
    if reason == "InvalidImageName":  # no registry and no node can ever make a name of it
        return Cause("image", f"{_IMAGE}, its name is none ({reason})", message, final=as_in_git)
    if reason == "ErrImageNeverPull":  # it is not on the node, and imagePullPolicy Never says that nobody fetches it
        return Cause("image", f"{_IMAGE}, it is not on the node and may not be pulled ({reason})", message, as_in_git)
    if reason in _PULL:  # a registry may come back, and then the kubelet tries by itself
        return Cause("image", f"{_IMAGE} ({reason})", message or str(status.get("image", "")))
    if reason == "CrashLoopBackOff":  # what it needs may come up later, and then it stays up
        return Cause("crash", f"container {name} starts and ends again and again ({reason})", _last_words(status))
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return Cause("container", f"container {name} cannot be started ({reason})", message)
    return Cause("container", f"container {name} waits ({reason})", message)


def _last_words(status: Mapping[str, object]) -> str:
    return _ending(dig(status, "lastState", "terminated", default={}))


def _ending(ended: Mapping[str, object]) -> str:
    told = ended.get("message") or ended.get("reason") or ""
    return f"exit code {ended['exitCode']} {told}".strip() if "exitCode" in ended else str(told)


def claim_cause(claim: Object, events: Iterable[Object]) -> Cause | None:
    """Why a claim is not bound. Never final: a volume, a class or a first consumer may come."""
    phase = dig(claim, "status", "phase", default="Pending")
    if phase == "Bound":
        return None
    message = latest_message(events, (str(dig(claim, "metadata", "uid", default="")),), warnings_only=False)
    if phase == "Lost":
        return Cause("volume", "the volume of its claim is lost", message)
    return Cause("volume", "its claim is not bound to a volume", message)


def namespace_cause(namespace: Object | None) -> Cause | None:
    """Why a namespace is still being deleted: the condition that says which finalizer or resource holds it.

    Never final: who put the finalizer may still take it away.
    """
    if namespace is None or not dig(namespace, "metadata", "deletionTimestamp"):
        return None
    conditions = {c.get("type"): c for c in dig(namespace, "status", "conditions", default=[])}
    name = dig(namespace, "metadata", "name")
    since = dig(namespace, "metadata", "deletionTimestamp")
    holding = [conditions[k] for k in _HOLDING if k in conditions and conditions[k].get("status") == "True"]
    message = str(holding[0].get("message", "")) if holding else ""
    return Cause("namespace", f"namespace {name} is being deleted since {since}", message)


def latest_message(events: Iterable[Object], uids: Iterable[str], *, warnings_only: bool = True) -> str:
    """What was said last about one of the objects; "" if nothing."""
    wanted = {uid for uid in uids if uid}
    ours = [e for e in events if dig(e, "involvedObject", "uid") in wanted
            and (not warnings_only or e.get("type") == "Warning")]  # fmt: skip
    return str(max(ours, key=_when).get("message", "")) if ours else ""


def _when(event: Object) -> str:
    # RFC 3339 in UTC: text order is time order (fractions apart, which do not matter here).
    return str(dig(event, "series", "lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
               or dig(event, "metadata", "creationTimestamp", default=""))  # fmt: skip
