"""`harness.cluster.live_store`: however news arrives, the store ends up with what the server has."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from harness.cluster.live_store import HISTORY, Store
from harness.core.objects import Kind, Object, Ref

KIND = Kind("", "v1", "ConfigMap", "configmaps", True)
NAMES = ["a", "b", "c"]


def ref(name: str) -> Ref:
    return Ref("", "ConfigMap", "n", name)


def made(name: str, version: int) -> Object:
    head = {"name": name, "namespace": "n", "resourceVersion": str(version), "managedFields": [{"manager": "m"}]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head}


# A step: put or delete an object on the server; then the event is either delivered or lost until the next list.
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "list"]), st.sampled_from(NAMES), st.booleans()), max_size=25
)


@given(STEPS)
def test_after_a_list_the_store_equals_the_server_and_bounds_are_true(steps: list[tuple[str, str, bool]]) -> None:
    store, server, happened = Store(), dict[str, Object](), dict[str, int]()
    now, contact, losing = 0, 0, False
    for name in NAMES:
        store.follow(ref(name))
    for action, name, lost in [*steps, ("list", "a", False)]:
        now += 10
        if action == "list":
            store.relist(KIND, [copy.deepcopy(o) for o in server.values()], now, contact)
            contact, losing = now, False
            continue
        if action == "delete" and name not in server:
            continue
        obj = made(name, now)
        happened[name] = now
        server.pop(name) if action == "delete" else server.update({name: obj})
        losing = losing or lost  # a gap begins, and only a list ends it
        if not losing:
            contact = now + 1
            store.event(copy.deepcopy(obj), now + 1, deleted=action == "delete")
    assert {s.object["metadata"]["name"]: s.version for s in store.all(KIND)} == {
        name: obj["metadata"]["resourceVersion"] for name, obj in server.items()
    }
    for name in happened:
        past = store.history(ref(name))
        if not past:
            assert name not in server, "made and unmade within one gap: nobody can know"
            continue
        assert past[-1].deleted == (name not in server)
        for seen in past:
            if not seen.deleted:  # its version is the moment at which it was made
                assert (seen.previous_ns or 0) <= int(seen.version) <= seen.received_ns
        assert [s.received_ns for s in past] == sorted(s.received_ns for s in past)


def test_history_is_bounded_and_starts_with_what_is_there() -> None:
    store = Store()
    store.event(made("a", 1), 1, deleted=False)
    store.follow(ref("a"))
    store.follow(ref("a"))
    assert [s.version for s in store.history(ref("a"))] == ["1"]
    for number in range(2, HISTORY + 10):
        store.event(made("a", number), number, deleted=False)
    assert len(store.history(ref("a"))) == HISTORY
    assert store.history(ref("b")) == ()


def test_managed_fields_are_kept_only_where_they_are_wanted() -> None:
    store, keeping = Store(), Store(keep_managers=True)
    store.follow(ref("b"))
    for each in (store, keeping):
        each.event(made("a", 1), 1, deleted=False)
        each.event(made("b", 2), 2, deleted=False)

    def kept(where: Store, name: str) -> bool:
        seen = where.get(ref(name))
        return seen is not None and "managedFields" in seen.object["metadata"]

    assert [kept(store, "a"), kept(store, "b"), kept(keeping, "a")] == [False, True, True]


def test_a_late_event_carries_the_last_contact_before_it() -> None:
    store = Store()
    store.event(made("a", 1), 100, deleted=False)
    store.event(made("a", 2), 900, deleted=False, prompt=False, floor_ns=400)
    seen = store.get(ref("a"))
    assert seen is not None
    assert (seen.previous_ns, seen.prompt) == (400, False)


def test_a_snapshot_does_not_change_afterwards() -> None:
    store = Store()
    store.event(made("a", 1), 1, deleted=False)
    snapshot = store.snapshot()
    store.event(made("b", 2), 2, deleted=False)
    store.event(made("a", 3), 3, deleted=True)
    assert set(snapshot) == {ref("a")}
