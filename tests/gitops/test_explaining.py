"""When a cause is sought: not at once, not often, and with few questions."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import SECOND
from harness.core.errors import ApiRefused, ApiUnreachable
from harness.core.objects import Kind, Object, Ref, ref_of
from harness.core.observation import State
from harness.gitops.diagnosis import Case
from harness.gitops.explaining import WATCHED, Explainer, watched_kinds
from harness.gitops.judgement import Judgement
from harness.gitops.render import DesiredApplication, DesiredObject
from harness.testing import FakeClock

CLAIM: Object = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": {},
                 "metadata": {"name": "c", "namespace": "shop", "uid": "u"},
                 "status": {"phase": "Pending"}}  # fmt: skip
WIDGET = Kind("example.org", "v1", "Widget", "widgets", namespaced=True)


class World:
    """A view of one claim, and an API that counts what it is asked."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.clock.sleep(SECOND)
        self.kinds: tuple[Kind, ...] = WATCHED
        self.asked: list[str] = []
        self.served: tuple[Kind, ...] = ()
        self.away: Exception | None = None
        self.message = "no volume"
        self.api = SimpleNamespace(list=self.list, kind=self.kind)
        self.explainer = Explainer(self, self.clock)
        self.made = 0

    def get(self, ref: Ref) -> Any:
        return SimpleNamespace(object=CLAIM) if ref == ref_of(CLAIM) else None

    def all(self, kind: Kind, namespace: str | None = None) -> Any:
        return ()

    def add(self, kinds: Iterable[Kind]) -> None:
        self.kinds = tuple(dict.fromkeys((*self.kinds, *kinds)))

    def list(self, kind: Kind, namespace: str) -> Any:
        self.asked.append(f"{kind} {namespace}")
        if self.away:
            raise self.away
        event = {"involvedObject": {"uid": "u"}, "message": self.message}
        return SimpleNamespace(items=(event,))

    def kind(self, group: str, name: str) -> Kind:
        self.asked.append(name)
        if self.away:
            raise self.away
        for kind in self.served:
            if (kind.group, kind.kind) == (group, name):
                return kind
        raise ApiRefused(404, "NotFound", name)

    def _make(self, case: Case) -> Case:
        self.made += 1
        return case

    def explain(self, *cases: Case) -> str:
        unmet = [(c.app.name, c.found.state is State.BROKEN) for c in cases]
        makers = [lambda made=made: self._make(made) for made in cases]  # type: ignore[misc]
        chain = self.explainer.explain(self, unmet, makers, self.clock.now_ns())
        return chain.sentence() if chain else ""


def case(name: str = "shop", state: State = State.PENDING, item: str = "health") -> Case:
    obj = DesiredObject(name, ref_of(CLAIM), "v1", "x.yaml", CLAIM)
    app = DesiredApplication(name, "argocd", "a.yaml", "", ("cafe",), {}, (obj,))
    found = Judgement(state, item, "Healthy", "Progressing")
    return Case(app, None, found, ((obj, Judgement(State.PENDING, "object", "bound", "is Pending")),), calm=True)


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_on_its_way_is_left_alone_for_three_seconds(world: World) -> None:
    assert world.explain(case()) == ""
    world.clock.sleep(2.9 * SECOND)
    assert world.explain(case()) == ""
    assert world.made == 0
    world.clock.sleep(0.2 * SECOND)
    assert "its claim is not bound to a volume: no volume" in world.explain(case())


def test_what_came_in_between_begins_anew(world: World) -> None:
    world.explain(case())
    world.clock.sleep(3 * SECOND)
    assert world.explain() == ""
    assert world.explain(case()) == ""


def test_what_is_broken_is_explained_at_once(world: World) -> None:
    assert world.explain(case(state=State.BROKEN)) != ""


def test_a_cause_is_sought_once_a_second_and_events_every_ten(world: World) -> None:
    world.explain(case())
    world.clock.sleep(3 * SECOND)
    for _ in range(50):
        assert "no volume" in world.explain(case())
        world.clock.sleep(0.1 * SECOND)
    assert world.asked == ["Event shop"]
    assert world.made <= 6
    world.message = "still none"
    world.clock.sleep(6 * SECOND)
    assert "still none" in world.explain(case())
    assert world.asked == ["Event shop"] * 2


@pytest.mark.parametrize("away", [ApiUnreachable("refused"), ApiRefused(403, "Forbidden", "no")])
def test_events_that_cannot_be_had_cost_nothing_but_themselves(world: World, away: Exception) -> None:
    world.explain(case())
    world.clock.sleep(3 * SECOND)
    world.away = away
    assert world.explain(case()).endswith("its claim is not bound to a volume")


def test_a_final_chain_comes_before_an_earlier_one(world: World) -> None:
    world.explain(case("one"), case("two"))
    world.clock.sleep(3 * SECOND)
    broken = case("two", State.BROKEN, "error")
    broken = Case(broken.app, None, broken.found, (), calm=True)
    assert world.explain(case("one"), broken).startswith("two: ")
    world.clock.sleep(SECOND)
    assert world.explain(case("one"), case("two")).startswith("one, wave 0: ")


def widget(kind: str = "Widget") -> DesiredObject:
    manifest = {"apiVersion": "example.org/v1", "kind": kind, "metadata": {"name": "w", "namespace": "shop"}}
    return DesiredObject("shop", ref_of(manifest), "v1", "x.yaml", manifest)


def test_a_kind_that_appears_later_is_observed_from_then_on(world: World) -> None:
    for _ in range(10):
        world.explainer.watch_more(world, [widget()], world.clock.now_ns())
        world.clock.sleep(0.5 * SECOND)
    assert world.asked == ["Widget"] * 3  # every 2 s
    assert WIDGET not in world.kinds
    world.served = (WIDGET,)
    world.clock.sleep(2 * SECOND)
    world.explainer.watch_more(world, [widget()], world.clock.now_ns())
    assert WIDGET in world.kinds
    world.clock.sleep(9 * SECOND)
    world.explainer.watch_more(world, [widget()], world.clock.now_ns())
    assert world.asked == ["Widget"] * 4


def test_kinds_cannot_be_asked_for_while_the_api_is_away(world: World) -> None:
    world.away = ApiUnreachable("refused")
    world.explainer.watch_more(world, [widget()], world.clock.now_ns())
    assert world.kinds == WATCHED


def test_what_is_observed_already_is_not_asked_for(world: World) -> None:
    claim = DesiredObject("shop", ref_of(CLAIM), "v1", "x.yaml", CLAIM)
    world.explainer.watch_more(world, [claim], world.clock.now_ns())
    assert world.asked == []
    assert watched_kinds(world.kind, [claim]) == WATCHED
