"""`harness.cluster.live` and `live_outage`, against the API server double; every way in which a watch can fail."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from harness.cluster.kube import Kind, KubeApi, Ref
from harness.cluster.live import Gap, LiveView, Outage, Pace
from harness.core.clock import MILLISECOND, SECOND, SystemClock, between_ns
from tests.cluster.apihandler import (
    Misbehaviour,
    Object,
    abrupt_close,
    garbage,
    gone_event,
    gone_status,
    half_open,
    mute,
    refused,
    silent_close,
)
from tests.cluster.apiserver import ApiServer  # fmt: skip

CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", True)
DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments", True)
WIDGETS = Kind("example.com", "v1", "Widget", "widgets", True)
REF = Ref("", "ConfigMap", "n", "c")
QUICK = Pace(
    lasting=SECOND, silence=800 * MILLISECOND, first_pause=20 * MILLISECOND, longest_pause=100 * MILLISECOND,
    absent_pause=50 * MILLISECOND, probe=100 * MILLISECOND, probe_in_outage=50 * MILLISECOND,
    probe_patience=300 * MILLISECOND, backlog=150 * MILLISECOND,
)  # fmt: skip


def config_map(value: str, name: str = "c") -> Object:
    head = {"name": name, "namespace": "n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": {"v": value}}


def soon(condition: Callable[[], object], within: float = 5.0) -> bool:
    """Whether `condition` comes true in time. It is the tests' own clock: the code under test runs in threads."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


class Watching:
    """A view of the double, and what it told."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.server = server
        self.api = KubeApi(server.kubeconfig(folder), SystemClock(), timeout=2 * SECOND)
        self.heard: list[Gap] = []
        self.outages: list[Outage] = []
        self.views: list[LiveView] = []

    def __call__(self, *kinds: Kind, pace: Pace = QUICK, ready: bool = True) -> LiveView:
        view = LiveView(self.api, kinds or (CONFIG_MAPS,), SystemClock(), self.heard.append,
                        on_outage=self.outages.append, pace=pace)  # fmt: skip
        self.views.append(view.start())
        assert view.ready(5 * SECOND) is ready
        return view

    def shows(self, view: LiveView, value: str, within: float = 5.0) -> bool:
        def as_wanted() -> bool:
            seen = view.get(REF)
            return seen is not None and seen.object["data"]["v"] == value

        return soon(as_wanted, within)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    with ApiServer() as server:
        harness = Watching(server, tmp_path)
        yield harness
        for view in harness.views:
            view.stop()
        harness.api.close()


# --- the good days ---


def test_what_is_there_and_what_happens_is_known(watching: Watching) -> None:
    watching.server.put(config_map("1"))
    view = watching(CONFIG_MAPS, DEPLOYMENTS)
    first = view.get(REF)
    assert first is not None
    assert (first.object["data"]["v"], first.previous_ns, first.prompt) == ("1", None, False)
    assert first.object["kind"] == "ConfigMap"

    watching.server.put(config_map("2"))
    assert watching.shows(view, "2")
    watching.server.put(config_map("1", "other"))
    assert soon(lambda: len(view.all(CONFIG_MAPS)) == 2)
    assert view.all(CONFIG_MAPS, "elsewhere") == ()
    assert {str(ref) for ref in view.snapshot()} == {"ConfigMap n/c", "ConfigMap n/other"}

    watching.server.remove("configmaps", "n", "c")
    assert soon(lambda: view.get(REF) is None)
    assert view.gaps == ()
    assert view.answering


def test_a_followed_object_has_a_past_with_its_deletion_and_its_managers(watching: Watching) -> None:
    watching.server.put(config_map("1"))
    view = watching()
    view.follow(REF)
    seen = view.get(REF)
    assert seen is not None
    assert "managedFields" not in seen.object["metadata"], "kept for every object"
    time.sleep(0.2)  # until nothing that comes may have waited for the watch

    written = watching.api.patch(CONFIG_MAPS, "c", "n", {"data": {"v": "2"}}, manager="drill-drift")
    assert soon(lambda: view.receipt(REF, written))
    watching.server.remove("configmaps", "n", "c")
    watching.server.put(config_map("3"))
    assert soon(lambda: len(view.history(REF)) == 4)

    states = view.history(REF)
    assert [s.object["data"]["v"] for s in states] == ["1", "2", "2", "3"]
    assert [s.deleted for s in states] == [False, False, True, False]
    assert states[1].object["metadata"]["managedFields"] == [{"manager": "drill-drift"}]
    assert states[1] is view.receipt(REF, written)
    assert [s.previous_ns for s in states[1:]] == [s.received_ns for s in states[:-1]]
    assert written.sent_ns < states[1].received_ns


def test_waiters_are_woken_by_every_event(watching: Watching) -> None:
    view = watching()
    version = view.signal.version
    threading.Timer(0.05, watching.server.put, [config_map("1")]).start()
    assert view.signal.wait_beyond(version, 3 * SECOND) > version
    assert watching.shows(view, "1", 0.2)


def test_watches_that_end_as_agreed_are_no_gaps_and_keep_the_kind_fresh(watching: Watching) -> None:
    view = watching()
    begun = view.fresh(CONFIG_MAPS)
    assert soon(lambda: watching.server.count("GET", "watch=1") >= 4)
    fresh = view.fresh(CONFIG_MAPS)
    assert begun is not None
    assert fresh is not None
    assert fresh - begun > 2_000_000_000
    assert view.gaps == ()
    assert watching.heard == []
    assert watching.server.count("GET", "/api/v1/configmaps") - watching.server.count("GET", "watch=1") == 1
    connections = {path for _, _, path in watching.server.requests if "resourceVersion" in path}
    assert len(connections) == 1, "an idle kind is watched from the newest version it was told"
    assert view.fresh(DEPLOYMENTS) is None


def test_a_kind_that_is_not_served_is_empty_until_its_crd_comes(watching: Watching) -> None:
    view = watching(WIDGETS)
    assert view.all(WIDGETS) == ()
    names = {"kind": "Widget", "plural": "widgets"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [{"name": "v1"}]}
    head = {"name": "widgets.example.com"}
    watching.server.put(
        {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": head, "spec": spec}
    )
    assert soon(lambda: any(r.kind == "Widget" for r in watching.server.resources))
    watching.server.put({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "n"}})
    assert soon(lambda: len(view.all(WIDGETS)) == 1)
    assert view.gaps == ()


def test_kinds_can_be_added_while_it_runs(watching: Watching) -> None:
    watching.server.put(config_map("1"))
    view = watching(DEPLOYMENTS)
    view.add([CONFIG_MAPS, DEPLOYMENTS])
    assert view.ready(5 * SECOND)
    assert view.get(REF) is not None
    assert view.kinds == (DEPLOYMENTS, CONFIG_MAPS)


# --- the bad days ---


@pytest.mark.parametrize("way", [gone_status, gone_event, refused(500), refused(429)])
def test_after_an_error_answer_the_kind_is_listed_anew(watching: Watching, way: Misbehaviour) -> None:
    watching.server.misbehave("configmaps", way)
    view = watching()
    watching.server.put(config_map("1"))
    assert watching.shows(view, "1")
    assert soon(lambda: view.gaps and view.gaps[-1].end_ns)
    lists = watching.server.count("GET", "/api/v1/configmaps") - watching.server.count("GET", "watch=1")
    assert lists == 2
    assert [g.end_ns is None for g in watching.heard] == [True, False], "told when it begins and when it ends"
    assert watching.outages == [], "an error is an answer"


def test_what_happened_before_a_relist_is_found_by_it_with_honest_bounds(watching: Watching) -> None:
    for name in ("c", "gone", "same"):
        watching.server.put(config_map("1", name))
    view = watching()
    for name in ("c", "gone", "same"):
        view.follow(Ref("", "ConfigMap", "n", name))
    watching.server.misbehave("configmaps", mute)
    assert soon(lambda: view.gaps), "the mute watch is noticed"
    contact = view.fresh(CONFIG_MAPS)
    watching.server.list_statuses["configmaps"].extend([500] * 3)
    watching.server.misbehave("configmaps", gone_status)
    changed_ns = time.monotonic_ns()
    watching.server.put(config_map("2"))
    watching.server.remove("configmaps", "n", "gone")
    watching.server.compact()
    assert watching.shows(view, "2")
    for ref, deleted in ((REF, False), (Ref("", "ConfigMap", "n", "gone"), True)):
        last = view.history(ref)[-1]
        assert (last.prompt, last.deleted, last.previous_ns) == (False, deleted, contact)
        assert contact is not None
        assert contact < changed_ns < last.received_ns
    assert len(view.history(Ref("", "ConfigMap", "n", "same"))) == 1, "the same version is no news"


def test_three_silent_closes_in_a_row_make_it_list_anew(watching: Watching) -> None:
    watching.server.misbehave("configmaps", silent_close, silent_close, silent_close)
    view = watching()
    assert soon(lambda: view.gaps and view.gaps[-1].end_ns)
    assert soon(lambda: watching.server.count("GET", "watch=1") == 4)
    lists = watching.server.count("GET", "/api/v1/configmaps") - watching.server.count("GET", "watch=1")
    assert lists == 2
    assert "closed the watch after" in view.gaps[0].reason


@pytest.mark.parametrize("way", [half_open, mute])
def test_a_half_open_connection_is_a_gap_and_what_was_missed_is_delivered(
    watching: Watching, way: Misbehaviour
) -> None:
    watching.server.misbehave("configmaps", way)
    view = LiveView(watching.api, [CONFIG_MAPS], SystemClock(), watching.heard.append, pace=QUICK).start()
    watching.views.append(view)
    assert view.ready(2 * SECOND)
    view.follow(REF)
    watching.server.put(config_map("1"))
    begun = time.monotonic()
    assert watching.shows(view, "1")
    assert time.monotonic() - begun < 2
    assert soon(lambda: view.gaps)
    (gap,) = view.gaps
    assert gap.end_ns is not None
    assert 0.5 < (gap.end_ns - gap.start_ns) / 1e9 < 2
    assert "no answer in time" in gap.reason
    late = view.history(REF)[-1]
    assert not late.prompt
    assert late.previous_ns == gap.start_ns
    assert late.previous_ns <= watching.server.written_ns[late.version] <= late.received_ns
    assert view.answering, "one dead connection is no outage"


def test_the_default_pace_notices_a_half_open_connection_within_ten_seconds() -> None:
    assert Pace().silence + Pace().first_pause < 10 * SECOND
    assert Pace().lasting < Pace().silence, "or every quiet kind would look dead"
    assert Pace().probe_in_outage <= 250 * MILLISECOND


@pytest.mark.parametrize("way", [garbage, abrupt_close])
def test_a_broken_stream_is_a_gap_and_nothing_is_lost(watching: Watching, way: Misbehaviour) -> None:
    watching.server.misbehave("configmaps", way, way)
    view = watching()
    for value in "1234":
        watching.server.put(config_map(value))
    assert watching.shows(view, "4")
    assert soon(lambda: view.gaps and view.gaps[-1].end_ns)


def test_a_bug_in_a_callback_never_leaves_a_view_that_looks_current(tmp_path: Path) -> None:
    crashed: list[str] = []

    def broken(gap: Gap) -> None:
        if gap.end_ns is not None:
            raise ZeroDivisionError

    before, threading.excepthook = threading.excepthook, lambda args: crashed.append(args.exc_type.__name__)
    try:
        with ApiServer() as server:
            server.misbehave("configmaps", gone_event)
            api = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=2 * SECOND)
            with LiveView(api, [CONFIG_MAPS], SystemClock(), broken, pace=QUICK) as view:
                assert soon(lambda: crashed)
                assert soon(lambda: view.gaps and view.gaps[-1].end_ns is None)
                assert "an error of its own" in view.gaps[-1].reason
            api.close()
    finally:
        threading.excepthook = before
    assert crashed == ["ZeroDivisionError"]


# --- outages ---


def test_an_outage_is_recorded_and_its_end_is_bounded(watching: Watching) -> None:
    watching.server.put(config_map("1"))
    view = watching(CONFIG_MAPS, DEPLOYMENTS, pace=Pace(first_pause=20 * MILLISECOND))
    assert soon(lambda: watching.server.count("GET", "/livez/ping"))
    time.sleep(0.1)  # for the answer to arrive
    stopped = time.monotonic_ns()
    watching.server.stop()
    assert soon(lambda: not view.answering, 2)
    watching.server.put(config_map("2"))
    time.sleep(0.5)
    back = time.monotonic_ns()
    watching.server.start()
    assert watching.shows(view, "2", 3)
    seen = view.get(REF)
    assert seen is not None
    (outage,) = view.outages
    assert outage.answered_ns is not None
    assert outage.last_answer_ns is not None
    assert max(stopped, outage.last_answer_ns) <= outage.first_failure_ns
    assert outage.first_failure_ns - stopped < 5_000_000_000
    assert outage.last_failure_ns <= back + 1_000_000 <= outage.answered_ns + 1_000_000
    assert between_ns(outage.last_failure_ns, outage.answered_ns) <= timedelta(seconds=2)
    assert (seen.received_ns - back) / 1e6 < 3000, "the watches wake when the API answers"
    assert soon(lambda: sum(g.end_ns is not None for g in view.gaps) == 2), "one gap for each kind"
    assert [o.answered_ns is None for o in watching.outages] == [True, False]


def test_a_frozen_api_is_an_outage_that_ends_when_it_thaws(watching: Watching) -> None:
    view = watching()
    watching.server.freeze()
    assert soon(lambda: not view.answering, 2)
    assert soon(lambda: view.gaps, 2)
    thawed = time.monotonic_ns()
    watching.server.thaw()
    assert soon(lambda: view.answering, 2)
    assert soon(lambda: view.gaps[0].end_ns, 2)
    answered = view.outages[0].answered_ns
    assert answered is not None
    assert 0 < (answered - thawed) / 1e6 < 500
    assert between_ns(view.outages[0].last_failure_ns, answered) <= timedelta(seconds=2)


def test_a_view_of_an_api_that_is_not_there_is_not_ready_and_becomes_so(tmp_path: Path) -> None:
    server = ApiServer().start()
    api = KubeApi(server.kubeconfig(tmp_path), SystemClock(), timeout=2 * SECOND)
    server.stop()
    with LiveView(api, [CONFIG_MAPS], SystemClock(), pace=QUICK) as view:
        assert not view.ready(200 * MILLISECOND)
        assert soon(lambda: view.outages)
        assert view.outages[0].last_answer_ns is None
        with server:
            assert view.ready(5 * SECOND)
    api.close()


def test_a_dead_api_is_not_asked_in_a_busy_loop(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port, accepted = listening.getsockname()[1], []

        def slam() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                accepted.append(time.monotonic())
                connection.close()

        thread = threading.Thread(target=slam, daemon=True)
        thread.start()
        double = ApiServer()
        double.port = port
        api = KubeApi(double.kubeconfig(tmp_path), SystemClock(), timeout=SECOND)
        kinds = [Kind("", "v1", f"K{n}", f"k{n}", True) for n in range(20)]
        used = time.process_time()
        with LiveView(api, kinds, SystemClock()):
            time.sleep(2)
        used = time.process_time() - used
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(2)
    api.close()
    assert 5 < len(accepted) < 80, f"{len(accepted)} connections in 2 s for 20 kinds"
    assert used < 1.0, f"{used:.2f} s of processor time in 2 s"


# --- stopping ---


@pytest.mark.parametrize("trouble", ["none", "half-open", "mute", "frozen", "dead"])
def test_threads_end_within_two_seconds_of_stop(watching: Watching, trouble: str) -> None:
    server = watching.server
    if trouble in ("half-open", "mute"):
        server.misbehave("configmaps", {"half-open": half_open, "mute": mute}[trouble])
    view = LiveView(watching.api, [CONFIG_MAPS, DEPLOYMENTS], SystemClock(), pace=Pace()).start()
    assert view.ready(3 * SECOND)
    if trouble == "frozen":
        server.freeze()
    if trouble == "dead":
        server.stop()
        assert soon(lambda: not view.answering)
    time.sleep(0.1)
    ours = [t for t in threading.enumerate() if t.name.startswith(("watch ", "probe "))]
    assert len(ours) >= 3
    begun = time.monotonic()
    view.stop()
    assert time.monotonic() - begun < 2
    assert not any(t.is_alive() for t in ours)
    assert all(g.reason for g in view.gaps)
    assert view.all(CONFIG_MAPS) == (), "what was seen can still be read"
