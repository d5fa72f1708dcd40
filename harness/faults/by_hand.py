"""Objects that somebody put into the cluster and nowhere else, for the time of a story.

Here belongs what is to be on the loss list. Putting one in as drift, with the engine's answer to it, does not: that is
`harness.faults.live_drift`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, InjectFailed, ProvisionFailed
from harness.core.objects import Object, Ref, dig
from harness.gitops.platform import Platform

MANAGER = "drill-by-hand"  # a writer that is nobody's controller, as `kubectl create` would be
_KINDS = ("ConfigMap", "Secret")


@contextmanager
def by_hand(platform: Platform, *identities: str) -> Iterator[None]:
    """Make Secrets and ConfigMaps ("Secret shop/key") that are not in Git; take away at the end what is left of them.

    Only objects that we made are taken away: one of the same name in a cluster made since is somebody else's. A Secret
    holds a random value that is written nowhere else. Raises ConfigError before anything is made, and InjectFailed.
    """
    refs = tuple(_ref(identity) for identity in identities)
    if known := [str(ref) for ref in refs if ref in set(platform.refs())]:
        raise ConfigError("objects that are not in Git", known[0], "name others")
    made: dict[Ref, str] = {}
    try:
        for ref in refs:
            made[ref] = _make(platform, ref)
        platform.journal.add("by_hand.made", "by hand", identities=[str(ref) for ref in refs])
        yield
    finally:
        for ref, uid in made.items():
            _take_away(platform, ref, uid)


def _ref(identity: str) -> Ref:
    kind, _, target = identity.partition(" ")
    namespace, _, name = target.partition("/")
    if kind not in _KINDS or not namespace or not name or "/" in name:
        raise ConfigError(f"{' or '.join(_KINDS)} namespace/name", repr(identity), "correct the scenario")
    return Ref("", kind, namespace, name)


def _make(platform: Platform, ref: Ref) -> str:
    obj: Object = {"apiVersion": "v1", "kind": ref.kind, "metadata": {"name": ref.name, "namespace": ref.namespace}}
    value = secrets.token_hex(16)
    obj |= {"stringData": {"value": value}} if ref.kind == "Secret" else {"data": {"note": "put in by hand"}}
    try:
        return str(platform.api.create(obj, manager=MANAGER).object["metadata"]["uid"])
    except (ApiRefused, ApiUnreachable) as error:
        raise InjectFailed(f"{ref} could not be put in by hand: {error}") from error


def _take_away(platform: Platform, ref: Ref, uid: str) -> None:
    try:
        api = platform.api
        kind = api.kind_of_ref(ref)
        if dig(api.get(kind, ref.name, ref.namespace), "metadata", "uid") == uid:
            api.delete(kind, ref.name, ref.namespace)
    except ProvisionFailed:
        return  # there is no cluster, and so no object
    except (ApiRefused, ApiUnreachable) as error:
        platform.tainted = platform.tainted or f"{ref}, put in by hand, could not be taken away: {error}"
