"""Objects put in by hand: only what is not in Git, and taken away only where it is still ours."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from harness.cluster.kube import Written
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, InjectFailed, ProvisionFailed
from harness.core.objects import Kind, Object, Ref
from harness.core.timeline import Journal, Timeline
from harness.faults.by_hand import by_hand
from harness.testing import FakeClock

KEY, NOTES = "Secret shop/key", "ConfigMap shop/notes"


@dataclass
class Shop:
    """A platform with an API that keeps objects."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    refuses: dict[str, Exception] = field(default_factory=dict)
    alive: bool = True
    tainted: str = ""
    managers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.journal = Journal(Timeline(FakeClock()))

    @property
    def api(self) -> Shop:
        if not self.alive:
            raise ProvisionFailed("no cluster")
        return self

    def refs(self) -> tuple[Ref, ...]:
        return (Ref("", "ConfigMap", "shop", "in-git"),)

    def kind_of_ref(self, ref: Ref) -> Kind:
        return Kind("", "v1", ref.kind, f"{ref.kind.lower()}s", True)

    def create(self, obj: Object, *, manager: str) -> Written:
        if error := self.refuses.get(obj["kind"]):
            raise error
        self.managers.add(manager)
        made = {**obj, "metadata": {**obj["metadata"], "uid": f"uid-{obj['metadata']['name']}"}}
        self.objects[obj["kind"], obj["metadata"]["name"]] = made
        return Written(made, 0, 1)

    def get(self, kind: Kind, name: str, namespace: str) -> Object | None:
        if error := self.refuses.get("get"):
            raise error
        return self.objects.get((kind.kind, name))

    def delete(self, kind: Kind, name: str, namespace: str) -> None:
        del self.objects[kind.kind, name]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_they_are_there_for_the_time_of_the_block(shop: Shop) -> None:
    with by_hand(shop, KEY, NOTES):  # type: ignore[arg-type]
        assert set(shop.objects) == {("Secret", "key"), ("ConfigMap", "notes")}
        assert shop.managers == {"drill-by-hand"}  # not the one that bootstraps: these are nobody's
    assert shop.objects == {}
    assert shop.tainted == ""


def test_the_timeline_has_their_names_and_no_value(shop: Shop) -> None:
    with by_hand(shop, KEY):  # type: ignore[arg-type]
        value = shop.objects["Secret", "key"]["stringData"]["value"]
    (event,) = shop.journal.timeline.history().of("by_hand.made")
    assert event.data == {"identities": [KEY]}
    assert value not in json.dumps([e.to_json() for e in shop.journal.timeline.events])


def test_what_is_gone_needs_no_taking_away(shop: Shop) -> None:
    with by_hand(shop, KEY):  # type: ignore[arg-type]
        shop.objects.clear()
    with by_hand(shop, NOTES):  # type: ignore[arg-type]
        shop.alive = False
    assert shop.tainted == ""


def test_one_of_the_same_name_made_by_somebody_else_is_left_alone(shop: Shop) -> None:
    with by_hand(shop, NOTES):  # type: ignore[arg-type]
        shop.objects["ConfigMap", "notes"] = {"metadata": {"uid": "of Git"}}
    assert shop.objects["ConfigMap", "notes"] == {"metadata": {"uid": "of Git"}}


def test_what_cannot_be_taken_away_taints(shop: Shop) -> None:
    with by_hand(shop, KEY):  # type: ignore[arg-type]
        shop.refuses["get"] = ApiUnreachable("reset")
    assert shop.tainted == "Secret shop/key, put in by hand, could not be taken away: reset"


def test_the_story_may_fail_and_they_go_all_the_same(shop: Shop) -> None:
    with pytest.raises(KeyError), by_hand(shop, KEY):  # type: ignore[arg-type]
        raise KeyError
    assert shop.objects == {}


def test_one_that_is_refused_takes_the_others_with_it(shop: Shop) -> None:
    shop.refuses["ConfigMap"] = ApiRefused(403, "Forbidden", "quota")
    with pytest.raises(InjectFailed, match="ConfigMap shop/notes could not be put in by hand"):
        by_hand(shop, KEY, NOTES).__enter__()  # type: ignore[arg-type]
    assert shop.objects == {}


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [("Deployment shop/api", "Secret namespace/name"), ("Secret key", "found 'Secret key'"), ("", "found ''"),
     ("Secret shop/", "found 'Secret shop/'"), ("ConfigMap shop/in-git", "objects that are not in Git")],
)  # fmt: skip
def test_nonsense_is_refused_before_anything_is_made(shop: Shop, identity: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        by_hand(shop, KEY, identity).__enter__()  # type: ignore[arg-type]
    assert shop.objects == {}
