"""How diagnostics read: Applications as trees, events as lines in order.

Here belong pure functions from what the API says to text. Collecting is `harness.diagnostics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from harness.core.objects import Object, Ref, dig
from harness.gitops.argocd import APPLICATION
from harness.gitops.diagnosis import wave_of
from harness.gitops.render import DesiredObject

_MOST_LOGS = 12  # containers that are read


def applications_text(
    applications: Iterable[Object], desired: Iterable[DesiredObject], health: Callable[[Ref], str]
) -> str:
    """Each Application: where it is, its conditions, its last operation, and its resources by wave.

    `health` says what is known of an object: Argo CD does not keep that in the Application (since 3.0).
    """
    waves = {obj.ref: wave_of(obj.manifest) for obj in desired}
    ordered = sorted(applications, key=lambda app: str(dig(app, "metadata", "name")))
    return "\n".join("\n".join(_application(app, waves, health)) for app in ordered) + "\n"


def _application(app: Object, waves: dict[Ref, int], health: Callable[[Ref], str]) -> Iterator[str]:
    sync, overall = dig(app, "status", "sync", default={}), dig(app, "status", "health", "status")
    revision = sync.get("revision") or ", ".join(sync.get("revisions") or []) or "no revision"
    name = dig(app, "metadata", "name")
    yield f"{APPLICATION.kind} {name}: {sync.get('status')}, {overall} at {revision}"
    if dig(app, "metadata", "deletionTimestamp"):
        yield f"  is being deleted, held by {dig(app, 'metadata', 'finalizers', default=[])}"
    for condition in dig(app, "status", "conditions", default=[]):
        yield f"  {condition.get('type')} since {condition.get('lastTransitionTime')}: {condition.get('message')}"
    state = dig(app, "status", "operationState", default={})
    if state:
        again = f", {state['retryCount']} retries" if state.get("retryCount") else ""
        when = f"{state.get('startedAt')} to {state.get('finishedAt') or 'now'}"
        yield f"  last sync {state.get('phase')}{again}, {when}: {state.get('message')}"
    failed = {_ref(r): r.get("message") for r in dig(state, "syncResult", "resources", default=[])
              if r.get("status") == "SyncFailed"}  # fmt: skip
    resources = {_ref(r): r for r in dig(app, "status", "resources", default=[])}
    for ref in sorted({*failed, *resources}, key=lambda ref: (waves.get(ref, 0), ref)):
        why = f"; {failed[ref]}" if ref in failed else ""
        status = resources.get(ref, {}).get("status", "not applied")
        yield f"  wave {waves.get(ref, 0)}  {status}  {ref} {health(ref)}{why}"


def _ref(resource: Object) -> Ref:
    return Ref(resource.get("group") or "", str(resource.get("kind")), resource.get("namespace") or "",
               str(resource.get("name")))  # fmt: skip


def events_text(events: Iterable[Object]) -> str:
    """Events in order of time, one a line."""
    return "".join(f"{line}\n" for line in sorted(map(_event, events)))


def _event(event: Object) -> str:
    when = (dig(event, "series", "lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
            or dig(event, "metadata", "creationTimestamp") or "")  # fmt: skip
    about = dig(event, "involvedObject", default={})
    place = f"{about['namespace']}/" if about.get("namespace") else ""
    times = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
    message = " ".join(str(event.get("message") or "").split())
    who = f"{about.get('kind')} {place}{about.get('name')}"
    return f"{when} {event.get('type')} {who} {event.get('reason')}{times}: {message}"


def pods_to_read(pods: Sequence[Object]) -> list[tuple[Object, str, bool]]:
    """Whose logs to keep: Pod, container, and whether of its previous run. Argo CD's, and of what is not ready."""
    found: list[tuple[Object, str, bool]] = []
    engines = [p for p in pods if str(dig(p, "metadata", "name")).startswith("argocd-")]
    for pod in (*(p for p in pods if p not in engines), *engines):
        for status in dig(pod, "status", "containerStatuses", default=[]):
            began = dig(status, "state", "running") or dig(status, "state", "terminated")
            if (began and (pod in engines or not status.get("ready"))) and dig(pod, "status", "phase") != "Succeeded":
                found.append((pod, str(status.get("name")), False))
            if status.get("restartCount") and not status.get("ready"):
                found.append((pod, str(status.get("name")), True))
    return found[:_MOST_LOGS]
