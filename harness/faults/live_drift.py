"""Drift: changes made by hand to live objects.

Here belong faults that write to the API as a person with kubectl would: each is one write under a field manager of
its own, so that managedFields prove who wrote what. How a write is made, found again on the watch and told from what
follows is in `harness.faults.hand`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.kube import Ref
from harness.cluster.live import Seen
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, HealFailed, InjectFailed
from harness.core.faults import BlastRadius, Injected
from harness.core.objects import Object, dig, identified, placed
from harness.core.observation import Observation
from harness.faults.hand import MANAGER, Extra, Field, Gone, Hand, uid
from harness.gitops.platform import Platform


@dataclass(slots=True)
class ScaleDeployment:
    """`kubectl scale deployment`: the replica count of a live Deployment is changed by hand."""

    platform: Platform
    target: str  # namespace/name
    replicas: int
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        self.hand = Hand(self.platform, Ref("apps", "Deployment", *placed(self.target, "Deployment")))

    @property
    def ref(self) -> Ref:
        return self.hand.ref

    @property
    def subject(self) -> str:
        return f"ScaleDeployment({self.target} to {self.replicas})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (str(self.ref),)

    def inject(self) -> Injected:
        """Raises InjectFailed: no such Deployment, that many replicas already, or the API does not take it."""
        before = int(dig(self.hand.look(), "spec", "replicas", default=1))
        if before == self.replicas:
            raise InjectFailed(f"{self.ref} already has {self.replicas} replicas: scaling it to that is no drift")
        self.hand.mark = Field("spec.replicas", lambda obj: dig(obj, "spec", "replicas"), before, self.replicas)
        # The scale subresource is what `kubectl scale` writes.
        self.hand.patch(f"scaling {self.target}", {"spec": {"replicas": self.replicas}}, subresource="scale")
        return self.hand.injected(f"replicas of {self.ref}: {before} to {self.replicas}", {"before": before})

    def accepted(self) -> Seen | None:
        """The watch event of our own write; None while it has not come."""
        return self.hand.receipt()

    def confirm(self) -> Observation:
        return self.hand.confirm(self.subject, f"spec.replicas {self.replicas} accepted by the API")


@dataclass(slots=True)
class SwapImage:
    """`kubectl set image`: a container of a live Deployment runs another image. The first container by default."""

    platform: Platform
    target: str  # namespace/name of a Deployment
    image: str
    container: str = ""
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        self.hand = Hand(self.platform, Ref("apps", "Deployment", *placed(self.target, "Deployment")))

    @property
    def subject(self) -> str:
        return f"SwapImage({self.target} to {self.image})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (str(self.hand.ref),)

    def inject(self) -> Injected:
        """Raises InjectFailed: no such Deployment or container, that image already, or the API does not take it."""
        images = _images(self.hand.look())
        name = self.container or next(iter(images), "")
        before = images.get(name)
        if before is None:
            raise InjectFailed(f"{self.hand.ref} has no container {name!r}, only {', '.join(images) or 'none'}")
        if before == self.image:
            raise InjectFailed(f"container {name} of {self.hand.ref} already runs {self.image}: that is no drift")
        self.hand.mark = Field(f"image of {name}", lambda obj: _images(obj).get(name), before, self.image)
        body = {"spec": {"template": {"spec": {"containers": [{"name": name, "image": self.image}]}}}}
        self.hand.patch(f"swapping the image of {self.target}", body, type="strategic")
        return self.hand.injected(f"image of {name} in {self.hand.ref}: {before} to {self.image}", {"before": before})

    def confirm(self) -> Observation:
        return self.hand.confirm(self.subject, f"image {self.image} accepted by the API")


@dataclass(slots=True)
class EditConfigMap:
    """`kubectl edit configmap`: one value of a live ConfigMap is changed by hand."""

    platform: Platform
    target: str  # namespace/name
    key: str
    value: str
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        self.hand = Hand(self.platform, Ref("", "ConfigMap", *placed(self.target, "ConfigMap")))

    @property
    def subject(self) -> str:
        return f"EditConfigMap({self.target} {self.key})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (str(self.hand.ref),)

    def inject(self) -> Injected:
        """Raises InjectFailed: no such ConfigMap or key, that value already, or the API does not take it."""
        before = dig(self.hand.look(), "data", self.key)
        if before is None:  # a key that Git does not set may stay: that would be no drift
            raise InjectFailed(f"{self.hand.ref} has no key {self.key!r} to change")
        if before == self.value:
            raise InjectFailed(f"{self.key} of {self.hand.ref} already is {self.value!r}: that is no drift")
        self.hand.mark = Field(f"data.{self.key}", lambda obj: dig(obj, "data", self.key), before, self.value)
        self.hand.patch(f"editing {self.target}", {"data": {self.key: self.value}})
        return self.hand.injected(f"{self.key} of {self.hand.ref}: {before} to {self.value}", {"before": before})

    def confirm(self) -> Observation:
        return self.hand.confirm(self.subject, f"data.{self.key} {self.value} accepted by the API")


@dataclass(slots=True)
class DeleteObject:
    """`kubectl delete`: an object that Git describes is gone, and with it what it owns."""

    platform: Platform
    target: str  # as in `Deployment shop/api`
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        self.hand = Hand(self.platform, in_git(self.platform, self.target))

    @property
    def subject(self) -> str:
        return f"DeleteObject({self.target})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (str(self.hand.ref),)

    def inject(self) -> Injected:
        """Raises InjectFailed: it is not there, or the API does not take it."""
        ref, before = self.hand.ref, uid(self.hand.look())
        self.hand.mark = Gone(before)
        # Background is what kubectl asks for: what is owned goes afterwards.
        self.hand.write(
            f"deleting {ref}", lambda api, kind: api.delete(kind, ref.name, ref.namespace, propagation="Background")
        )
        return self.hand.injected(f"{ref} deleted", {"before": before})

    def confirm(self) -> Observation:
        return self.hand.confirm(self.subject, "the object deleted")


@dataclass(slots=True)
class DeleteNamespace:
    """`kubectl delete namespace`: everything in it goes with it."""

    platform: Platform
    name: str
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        used = sorted({ref.namespace for ref in self.platform.refs() if ref.namespace})
        if self.name not in used:
            remedy = f"choose one of {', '.join(used) or 'none'}"
            raise ConfigError("a namespace that Git fills", repr(self.name), remedy)
        self.hand = Hand(self.platform, Ref("", "Namespace", "", self.name))

    @property
    def subject(self) -> str:
        return f"DeleteNamespace({self.name})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (str(self.hand.ref), f"* {self.name}/*")

    def inject(self) -> Injected:
        """Raises InjectFailed: it is not there, is being deleted already, or the API does not take it."""
        live = self.hand.look()
        if dig(live, "metadata", "deletionTimestamp"):
            raise InjectFailed(f"{self.hand.ref} is being deleted already")
        self.hand.mark = Gone(uid(live), f"a Namespace {self.name} with a new UID")
        self.hand.write(f"deleting {self.hand.ref}", lambda api, kind: api.delete(kind, self.name))
        return self.hand.injected(f"{self.hand.ref} deleted, with all that is in it", {"before": uid(live)})

    def confirm(self) -> Observation:
        return self.hand.confirm(self.subject, "the deletion of the namespace under way")


@dataclass(slots=True)
class AddLabel:
    """`kubectl label`: a label that Git does not mention. No drift: Git's fields are as Git says."""

    platform: Platform
    target: str  # as in `Service shop/api`
    label: str
    value: str = "by-hand"
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    touches: tuple[str, ...] = ()  # nothing may be deleted, recreated or restarted by it, not even its target
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        self.hand = Hand(self.platform, in_git(self.platform, self.target))

    @property
    def subject(self) -> str:
        return f"AddLabel({self.target} {self.label})"

    def inject(self) -> Injected:
        """Raises InjectFailed: no such object, it has the label already, or the API does not take it."""
        if _labels(self.hand.look()).get(self.label) is not None:
            raise InjectFailed(f"{self.hand.ref} already has a label {self.label}")
        self.hand.mark = Field(f"label {self.label}", lambda obj: _labels(obj).get(self.label), None, self.value)
        self.hand.patch(f"labelling {self.target}", {"metadata": {"labels": {self.label: self.value}}})
        return self.hand.injected(f"label {self.label} on {self.hand.ref}: absent to {self.value}")

    def confirm(self) -> Observation:
        return self.hand.confirm(self.subject, f"label {self.label} {self.value} accepted by the API", drift=False)

    def heal(self) -> None:
        """Take the label away. Raises HealFailed."""
        ref = self.hand.ref
        try:
            body = {"metadata": {"labels": {self.label: None}}}
            self.platform.api.patch(self.hand.kind(), ref.name, ref.namespace, body, manager=MANAGER)
        except (ApiRefused, ApiUnreachable) as error:
            raise HealFailed(f"the label {self.label} could not be taken from {ref}: {error}") from error


@dataclass(slots=True)
class CreateByHand:
    """`kubectl create`: a ConfigMap or a Secret that Git knows nothing of."""

    platform: Platform
    target: str  # as in `ConfigMap shop/by-hand`
    data: Mapping[str, str] = field(default_factory=lambda: {"note": "put here by hand"})
    blast_radius: BlastRadius = BlastRadius.NAMESPACE
    hand: Hand = field(init=False)

    def __post_init__(self) -> None:
        kind, namespace, name = identified(self.target)
        if kind not in ("ConfigMap", "Secret"):
            raise ConfigError("a ConfigMap or a Secret", self.target, "correct the scenario")
        ref = Ref("", kind, namespace, name)
        if ref in self.platform.refs():
            raise ConfigError("an object that Git does not describe", self.target, "give it another name")
        self.hand = Hand(self.platform, ref)

    @property
    def ref(self) -> Ref:
        return self.hand.ref

    @property
    def subject(self) -> str:
        return f"CreateByHand({self.target})"

    @property
    def touches(self) -> tuple[str, ...]:
        return (str(self.ref),)

    def inject(self) -> Injected:
        """Raises InjectFailed: it is there already, or the API does not take it."""
        if self.hand.find() is not None:
            raise InjectFailed(f"{self.ref} is there already")
        metadata = {"namespace": self.ref.namespace, "name": self.ref.name}
        values = "stringData" if self.ref.kind == "Secret" else "data"
        body = {"apiVersion": "v1", "kind": self.ref.kind, "metadata": metadata, values: dict(self.data)}
        written = self.hand.write(f"creating {self.ref}", lambda api, _: api.create(body, manager=MANAGER))
        self.hand.mark = Extra(uid(written.object))
        return self.hand.injected(f"{self.ref} put in by hand")

    def confirm(self) -> Observation:
        return self.hand.confirm(self.subject, "the object created", drift=False)

    def heal(self) -> None:
        """Delete it; if somebody was faster, that is well. Raises HealFailed."""
        try:
            self.platform.api.delete(self.hand.kind(), self.ref.name, self.ref.namespace)
        except (ApiRefused, ApiUnreachable) as error:
            if not isinstance(error, ApiRefused) or error.status != 404:
                raise HealFailed(f"{self.ref} could not be deleted: {error}") from error


def in_git(platform: Platform, text: str) -> Ref:
    """The reference of an object that Git describes, by its identity. Raises ConfigError."""
    identified(text)
    found = [ref for ref in platform.refs() if str(ref) == text]
    if not found:
        raise ConfigError("an object that Git describes", repr(text), "name one, as in `Deployment shop/api`")
    return found[0]


def _images(deployment: Object) -> dict[str, str]:
    containers: list[Any] = dig(deployment, "spec", "template", "spec", "containers", default=[])
    return {str(c.get("name")): str(c.get("image")) for c in containers}


def _labels(obj: Object) -> Mapping[str, Any]:
    found: Mapping[str, Any] = dig(obj, "metadata", "labels", default={})
    return found
