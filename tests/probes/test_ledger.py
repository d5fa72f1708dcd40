"""The data canary: only what was acknowledged counts, and what is there later is counted row by row."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.clock import MILLISECOND, SECOND, Clock, SystemClock
from harness.core.errors import ApiRefused, ApiUnreachable, ConfigError, HarnessError, ProvisionFailed
from harness.core.objects import Object, Ref
from harness.core.observation import State
from harness.core.timeline import Journal, Timeline
from harness.effects.waiting import until
from harness.probes.ledger import Ledger, ranges
from harness.testing import FakeClock

POD = "/api/v1/namespaces/shop/pods/db-0:5432/proxy"


def stateful_set(**changes: Any) -> Object:
    container = {"name": "db", "ports": [{"containerPort": 5432}], "volumeMounts": [{"name": "data"}]} | changes
    claims = [{"metadata": {"name": "data"}}]
    return {"spec": {"template": {"spec": {"containers": [container]}}, "volumeClaimTemplates": claims}}


@dataclass
class Workload:
    """Keeps a log behind the Pod proxy, 2 ms a row; duck-typed as the platform and its API."""

    clock: Clock = field(default_factory=FakeClock)
    manifest: Object = field(default_factory=stateful_set)
    lines: list[str] = field(default_factory=list)
    refuses: Exception | None = None
    answer: str | None = None

    def __post_init__(self) -> None:
        self.journal = Journal(Timeline(self.clock))

    @property
    def api(self) -> Workload:
        return self

    def desired(self) -> tuple[Any, ...]:
        return (SimpleNamespace(ref=Ref("apps", "StatefulSet", "shop", "db"), manifest=self.manifest),)

    def raw(self, path: str, *, method: str = "GET", body: bytes = b"", timeout: timedelta = SECOND) -> str:
        self.clock.sleep(2 * MILLISECOND)
        if self.refuses is not None:
            raise self.refuses
        if (method, path) == ("GET", f"{POD}/log"):
            return "".join(f"{line}\n" for line in self.lines)
        assert (method, path) == ("POST", f"{POD}/append")
        self.lines.append(body.decode())
        return self.answer or f"{len(self.lines)}\n"

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [dict(e.data) for e in self.journal.timeline.history().of(kind)]


@pytest.fixture
def shop() -> Workload:
    return Workload()


@pytest.fixture
def ledger(shop: Workload) -> Ledger:
    return Ledger(shop, "shop/db", id="canary")  # type: ignore[arg-type]


def test_each_row_has_its_number_and_its_moment(shop: Workload, ledger: Ledger) -> None:
    assert [ledger.append() for _ in range(2)] == [True, True]
    assert shop.lines == ["drill canary 1 0", "drill canary 2 2000000"]
    assert ledger.acknowledged_ns == [2_000_000, 4_000_000]


@pytest.mark.parametrize(
    "error",
    [ApiUnreachable("reset\nat length"), ApiRefused(503, "", "no endpoints"), ProvisionFailed("no cluster"),
     ApiUnreachable("")],
    ids=repr,
)  # fmt: skip
def test_what_was_not_answered_is_no_promise_and_is_not_sent_again(
    shop: Workload, ledger: Ledger, error: Exception
) -> None:
    shop.refuses = error
    assert not ledger.append()
    assert (ledger.failures, "\n" in ledger.last_failure, bool(ledger.last_failure)) == (1, False, True)
    shop.refuses = None
    assert ledger.append()
    assert shop.lines == ["drill canary 2 2000000"]
    assert len(ledger.acknowledged_ns) == 1


def test_an_answer_that_is_no_count_is_no_promise(shop: Workload, ledger: Ledger) -> None:
    shop.answer = "<html>welcome"
    assert not ledger.append()
    assert ledger.last_failure == "an answer that is no count: '<html>welcome'"


def test_many_rows_are_few_events(shop: Workload, ledger: Ledger) -> None:
    for _ in range(1000):
        ledger.append()
    events = shop.told("ledger.acknowledged")
    assert 2 <= len(events) <= 3
    assert events[0]["target"] == "shop/db"
    assert [row[0] for event in events for row in event["rows"]] == list(
        range(1, 1 + sum(len(e["rows"]) for e in events))
    )
    assert events[0]["rows"][0] == [1, 0, 2000]


def test_the_writer_stops_with_its_block_and_leaves_nothing_untold() -> None:
    shop = Workload(SystemClock())
    ledger = Ledger(shop, "shop/db")  # type: ignore[arg-type]
    with ledger.writing(every=MILLISECOND):
        enough = until(ledger.acknowledged(at_least=10), within=10 * SECOND, clock=shop.clock)
    assert enough.met
    assert not [t for t in threading.enumerate() if t.name == ledger.subject]
    told = [row[0] for event in shop.told("ledger.acknowledged") for row in event["rows"]]
    assert told == list(range(1, ledger.sent + 1))
    (ended,) = shop.told("ledger.ended")
    assert (ended["sent"], ended["acknowledged"], ended["failures"]) == (ledger.sent, ledger.sent, 0)
    assert shop.told("ledger.begun")[0]["claim"] == "shop/data-db-0"


def test_a_writer_that_breaks_down_says_so() -> None:
    shop = Workload(SystemClock(), refuses=ValueError("a bug"))
    ledger = Ledger(shop, "shop/db")  # type: ignore[arg-type]
    told = r"ledger\(shop/db\) broke down: ValueError\('a bug'\)"
    with pytest.raises(HarnessError, match=told), ledger.writing(every=MILLISECOND):
        ended = until(ledger.acknowledged(at_least=1), within=10 * SECOND, clock=shop.clock)
        assert ended.last.state is State.BROKEN


def test_the_error_of_the_story_is_not_hidden_by_the_writer() -> None:
    shop = Workload(SystemClock(), refuses=ValueError("a bug"))
    with pytest.raises(KeyError), Ledger(shop, "shop/db").writing(every=MILLISECOND):  # type: ignore[arg-type]
        raise KeyError("the story's own")


class TestAcknowledged:
    def test_met_since_the_row_that_made_it_so(self, shop: Workload, ledger: Ledger) -> None:
        for _ in range(3):
            ledger.append()
        shop.clock.sleep(SECOND)
        seen = ledger.acknowledged(at_least=2).observe()
        assert (seen.state, seen.at_ns, seen.actual) == (State.MET, 4_000_000, "3 rows acknowledged")

    def test_only_what_came_after_a_moment_counts(self, shop: Workload, ledger: Ledger) -> None:
        for _ in range(3):
            ledger.append()
        probe = ledger.acknowledged(at_least=2, since=SimpleNamespace(ended_ns=3_000_000))
        assert probe.observe().met
        assert not ledger.acknowledged(at_least=2, since=SimpleNamespace(ended_ns=5_000_000)).observe().met

    def test_pending_while_somebody_writes_and_broken_when_nobody_does(self, shop: Workload, ledger: Ledger) -> None:
        shop.refuses = ApiRefused(503, "", "no endpoints")
        ledger.append()
        seen = ledger.acknowledged(at_least=1).observe()
        assert seen.state is State.BROKEN
        assert seen.actual.endswith("no endpoints; nobody is writing")
        ledger._writing = True
        assert ledger.acknowledged(at_least=1).observe().state is State.PENDING


class TestContents:
    def test_the_rows_that_are_there(self, shop: Workload, ledger: Ledger) -> None:
        for _ in range(6):
            ledger.append()
        del shop.lines[3]
        shop.lines += ["drill another 1 7", "somebody's own line"]
        asked = shop.journal.timeline.moment(shop.clock.now_ns()) // timedelta(microseconds=1)
        assert ledger.contents().read() == {
            "id": "canary", "target": "shop/db", "claim": "shop/data-db-0", "lines": 7,
            "asked_us": asked, "present": [[1, 3], [5, 6]], "strays": 0,
        }  # fmt: skip

    @pytest.mark.parametrize("line", ["drill canary 1 0", "drill canary 9 0", "drill canary x 0", "drill canary 2"])
    def test_a_line_in_our_name_that_is_not_ours_is_a_stray(self, shop: Workload, ledger: Ledger, line: str) -> None:
        ledger.append()
        shop.lines.append(line)
        found = ledger.contents().read()
        assert (found["present"], found["strays"]) == ([[1, 1]], 1)

    def test_a_row_that_was_sent_and_never_answered_may_be_there(self, shop: Workload, ledger: Ledger) -> None:
        shop.answer = "nonsense"
        ledger.append()
        assert ledger.contents().read()["present"] == [[1, 1]]

    def test_nobody_answers(self, shop: Workload, ledger: Ledger) -> None:
        shop.refuses = ApiUnreachable("refused")
        with pytest.raises(ApiUnreachable):
            ledger.contents().read()


def test_ranges() -> None:
    assert ranges([]) == []
    assert ranges([3, 1, 2, 7, 9, 8]) == [[1, 3], [7, 9]]


@pytest.mark.parametrize("target", ["db", "a/b/c", "", "shop/", "/db"])
def test_the_target_is_a_namespace_and_a_name(shop: Workload, target: str) -> None:
    with pytest.raises(ConfigError, match="a StatefulSet as namespace/name"):
        Ledger(shop, target)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "manifest", "sentence"),
    [
        ("shop/other", stateful_set(), "a StatefulSet shop/other in Git; found none"),
        ("shop/db", stateful_set(volumeMounts=[]), "with a port and a volume claim; found none"),
        ("shop/db", stateful_set(ports=[]), "with a port and a volume claim; found none"),
        ("shop/db", {"spec": {}}, "with a port and a volume claim; found none"),
    ],
)
def test_what_cannot_keep_rows_is_refused_before_anything_is_written(
    shop: Workload, target: str, manifest: Object, sentence: str
) -> None:
    shop.manifest = manifest
    with pytest.raises(ConfigError, match=sentence):
        Ledger(shop, target)  # type: ignore[arg-type]
    assert shop.lines == []
