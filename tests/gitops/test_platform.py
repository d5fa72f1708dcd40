"""A platform: in which order its parts are put together and taken apart. The parts have tests of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.live import Gap
from harness.core.clock import MINUTE, SECOND
from harness.core.errors import ProvisionFailed
from harness.core.objects import Kind, Ref
from harness.core.observation import State
from harness.core.profile import DEFAULT
from harness.core.timeline import Journal, Timeline
from harness.effects.waiting import until
from harness.gitops import platform as module
from harness.gitops.explaining import WATCHED
from harness.gitops.platform import Engine, Platform
from harness.testing import FakeClock, FakeProbe, Script
from tests.stage import desired, kind
from tests.worlds import NOW

POD = Kind("", "v1", "Pod", "pods", True)


@dataclass
class Workshop:
    """Stand-ins for what a platform puts together, which all write into one diary."""

    clock: FakeClock = field(default_factory=FakeClock)
    diary: list[str] = field(default_factory=list)
    ready: Script = ((NOW, State.MET),)
    sets: bool = False
    failure: Exception | None = None
    silent: bool = False  # the Docker engine
    views: list[FakeView] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = Journal(Timeline(self.clock))
        repo, plan = SimpleNamespace(head="cafe"), SimpleNamespace(
            settings={"a": "b"}, has_application_sets=lambda repo: self.sets, root_objects=lambda repo: ("root",),
            expected_resources=7,
        )  # fmt: skip
        clusters: Any = SimpleNamespace(create=self.create, destroy=self.destroy, discard=self.discard)
        given: dict[str, Any] = {"clusters": clusters, "spec": "spec", "repo": repo, "plan": plan, "images": "images"}
        self.platform = Platform("dr-x", profile=DEFAULT, journal=self.journal, clock=self.clock, **given)

    def create(self, spec: str, *, meanwhile: Callable[[Any], None]) -> Any:
        self.diary.append(f"create {spec}")
        if self.failure:
            raise self.failure
        api = SimpleNamespace(kind=kind, apply_many=lambda objects: self.diary.append(f"apply {', '.join(objects)}"))
        docker = SimpleNamespace(silence=self.docker)
        made = SimpleNamespace(api=api, destroyed=False, how_to_reach=lambda: "this way", docker=docker)
        meanwhile(made)
        self.diary.append("created")
        return made

    def docker(self) -> str:
        self.diary.append("ask docker")
        return "no engine" if self.silent else ""

    def discard(self, spec: str) -> tuple[str, ...]:
        self.diary.append(f"discard {spec}")
        return ("s0",)

    def destroy(self, cluster: Any) -> None:
        self.diary.append("destroy")
        if self.failure:
            raise self.failure

    def told(self, event: str) -> list[str]:
        return [e.subject for e in self.journal.timeline.history().of(event)]


@dataclass
class FakeView:
    shop: Workshop
    kinds: tuple[Kind, ...]
    on_gap: Callable[[Gap], None]
    answering: bool = True

    def start(self) -> FakeView:
        self.shop.diary.append("look")
        return self

    def stop(self) -> None:
        self.shop.diary.append("look away")


@dataclass
class FakeEngine:
    shop: Workshop

    def install(self, images: str, profile: Any, *, settings: Any, application_sets: bool) -> None:
        self.shop.diary.append(f"install {images} {profile.name} {settings} sets={application_sets}")

    def ready(self, view: Any) -> FakeProbe:
        assert view is self.shop.views[-1]
        self.shop.diary.append("await engine")
        return FakeProbe(self.shop.clock, self.shop.ready, subject="argocd")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()

    def view(api: Any, kinds: tuple[Kind, ...], clock: Any, on_gap: Callable[[Gap], None]) -> FakeView:
        made.views.append(FakeView(made, kinds, on_gap))
        return made.views[-1]

    # The boundaries: the API's watches, Argo CD, and the rendering of the repository.
    monkeypatch.setattr(module, "LiveView", view)
    monkeypatch.setattr(module, "ArgoCd", lambda api, clock: FakeEngine(made))
    wanted = (desired(Ref("apps", "Deployment", "s", "a")), desired(Ref("", "Service", "s", "a")))
    monkeypatch.setattr(module, "desired_objects", lambda repo, plan: wanted)
    return made


STARTED = ["create spec", "install images default {'a': 'b'} sets=False", "apply root", "created", "look",
           "await engine"]  # fmt: skip


def test_it_is_bootstrapped_while_it_comes_up_and_returns_when_the_engine_is_ready(shop: Workshop) -> None:
    shop.platform.start()
    assert shop.diary == STARTED
    assert shop.told("phase.begun") == ["cluster", "argocd.apply", "root", "argocd"]
    assert shop.told("phase.ended") == ["argocd.apply", "root", "cluster", "argocd"]


def test_the_controller_of_application_sets_comes_when_the_repository_has_some(shop: Workshop) -> None:
    shop.sets = True
    shop.platform.start()
    assert shop.diary[1].endswith("sets=True")


def test_it_watches_each_kind_in_git_once_and_what_runs_the_engine(shop: Workshop) -> None:
    shop.platform.start()
    kinds = [k.kind for k in shop.views[0].kinds]
    assert kinds == [*(k.kind for k in WATCHED), "Service"]


def test_an_engine_that_comes_late_is_waited_for_and_shown(shop: Workshop) -> None:
    shop.ready = ((NOW, State.PENDING), (25 * SECOND, State.MET))
    shop.platform.start()
    assert shop.clock.now_ns() == 25 * 10**9
    assert shop.told("probe.changed") == ["argocd", "argocd"]
    assert len(shop.told("heartbeat")) >= 2


def test_an_engine_that_does_not_come_is_no_platform(shop: Workshop) -> None:
    shop.ready = ((NOW, State.PENDING),)
    with pytest.raises(ProvisionFailed, match="Argo CD did not become ready: PENDING: should be as asked, is pending"):
        shop.platform.start()
    assert shop.clock.now_ns() == 5 * (MINUTE // SECOND) * 10**9


def test_a_rebuild_beside_the_old_cluster_is_refused(shop: Workshop) -> None:
    shop.platform.start()
    with pytest.raises(ProvisionFailed, match="dr-x still has its cluster: destroy it before it is rebuilt"):
        shop.platform.rebuild()
    assert shop.diary == STARTED


def test_a_rebuild_does_all_of_it_again_with_a_new_view(shop: Workshop) -> None:
    shop.platform.start()
    first = shop.platform.view
    shop.platform.destroy()
    shop.platform.rebuild()
    assert shop.diary == [*STARTED, "look away", "destroy", *STARTED]
    assert shop.platform.view is not first


def test_destroying_twice_destroys_once(shop: Workshop) -> None:
    shop.platform.destroy()
    shop.platform.start()
    shop.platform.destroy()
    shop.platform.destroy()
    assert shop.diary[len(STARTED) :] == ["look away", "destroy"]
    assert not shop.platform.alive


@pytest.mark.parametrize("part", ["cluster", "view", "engine", "api"])
def test_without_a_cluster_there_is_nothing_to_ask(shop: Workshop, part: str) -> None:
    with pytest.raises(ProvisionFailed, match="platform dr-x has no"):
        getattr(shop.platform, part)


def test_a_deletion_that_fails_is_told_and_the_old_parts_are_not_used_again(shop: Workshop) -> None:
    shop.platform.start()
    shop.failure = ProvisionFailed("stuck")
    with pytest.raises(ProvisionFailed, match="stuck"):
        shop.platform.destroy()
    assert not shop.platform.alive
    with pytest.raises(ProvisionFailed, match="no cluster to look at"):
        shop.platform.view  # noqa: B018 - asking is the test


def test_a_creation_that_fails_leaves_no_cluster(shop: Workshop) -> None:
    shop.failure = ProvisionFailed("no room")
    with pytest.raises(ProvisionFailed, match="no room"):
        shop.platform.start()
    assert not shop.platform.alive


def test_a_cluster_that_was_let_go_is_nobodys_to_destroy(shop: Workshop) -> None:
    shop.platform.start()
    cluster = shop.platform.let_go()
    assert cluster.destroyed
    shop.platform.destroy()
    assert shop.diary[len(STARTED) :] == ["look away"]


def test_a_gap_is_told_once_when_it_has_ended(shop: Workshop) -> None:
    shop.clock.sleep(SECOND)
    shop.platform.start()
    tell = shop.views[0].on_gap
    tell(Gap(POD, 2_000_000_000, None, "refused"))
    assert shop.told("gap") == []
    tell(Gap(POD, 2_000_000_000, 3_500_000_000, "refused"))
    (gap,) = shop.journal.timeline.history().of("gap")
    assert gap.subject == "Pod"
    assert gap.data == {"start_us": 2_000_000, "end_us": 3_500_000, "reason": "refused"}


def test_a_gap_is_placed_on_the_timeline_of_the_running_drill(shop: Workshop) -> None:
    shop.platform.start()
    shop.clock.sleep(10 * SECOND)
    drill = Timeline(shop.clock)
    with shop.journal.writing_to(drill):
        shop.views[0].on_gap(Gap(POD, 11 * 10**9, 12 * 10**9, "reset"))
    assert drill.events[0].data["start_us"] == 1_000_000
    assert shop.told("gap") == []


def test_what_the_repository_promises_is_passed_on(shop: Workshop) -> None:
    assert shop.platform.promised == 7
    assert [str(r) for r in shop.platform.refs()] == ["Deployment s/a", "Service s/a"]


def test_what_stands_of_a_cluster_that_did_not_come_up_is_discarded_and_told(shop: Workshop) -> None:
    shop.platform.discard()
    assert shop.diary == ["discard spec"]
    (note,) = shop.journal.timeline.history().of("note")
    assert note.data["text"] == "a cluster did not come up; removed: s0"


def test_a_cluster_that_came_up_is_never_discarded(shop: Workshop) -> None:
    shop.platform.start()
    shop.platform.discard()
    assert "discard spec" not in shop.diary


def test_the_engine_alone_is_bootstrapped_again_on_the_cluster_that_is_there(shop: Workshop) -> None:
    shop.platform.start()
    view, engine, told = shop.platform.view, shop.platform.engine, len(shop.diary)
    Engine(shop.platform).rebuild()
    assert shop.diary[told:] == ["install images default {'a': 'b'} sets=False", "apply root", "await engine"]
    assert shop.platform.view is view
    assert shop.platform.engine is not engine
    assert shop.told("phase.begun")[-3:] == ["argocd.apply", "root", "argocd"]


def test_without_a_cluster_there_is_nothing_to_bootstrap(shop: Workshop) -> None:
    with pytest.raises(ProvisionFailed, match="platform dr-x has no cluster"):
        shop.platform.rebootstrap()


def test_an_engine_that_does_not_come_back_is_told(shop: Workshop) -> None:
    shop.platform.start()
    shop.ready = ((NOW, State.PENDING),)
    with pytest.raises(ProvisionFailed, match="Argo CD did not become ready"):
        shop.platform.rebootstrap()


def test_docker_is_asked_only_while_the_api_is_silent_and_a_short_silence_may_be_a_restart(shop: Workshop) -> None:
    def after(wait: float) -> str:
        shop.clock.sleep(wait * SECOND)
        return shop.platform.lost()

    assert after(0) == ""  # no cluster at all
    shop.platform.start()
    assert after(0) == ""
    assert "ask docker" not in shop.diary
    shop.views[-1].answering = False
    assert [after(8), after(8), after(8)] == ["", "", ""]  # the server is down, that is all
    shop.silent = True
    assert [after(8), after(8)] == ["", ""]
    shop.silent = False
    assert after(1) == ""
    shop.silent = True
    assert [after(8), after(8), after(8)] == ["", "", "the cluster cannot come back: no engine"]


def test_a_wait_for_what_cannot_come_back_ends(shop: Workshop) -> None:
    shop.platform.start()
    shop.views[-1].answering, shop.silent = False, True
    waiting = FakeProbe(shop.clock, [(NOW, State.PENDING)])
    with pytest.raises(ProvisionFailed, match="cannot come back"):
        until(waiting, within=10 * MINUTE, clock=shop.clock, on_beat=shop.platform.on_beat)
    assert shop.clock.now_ns() < 60 * 10**9
