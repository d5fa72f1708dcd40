"""The judges, on timelines written by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.checks import Check, everything_came_back, fault_landed, interval, recovered_within, waits_ended_met
from harness.core.clock import MINUTE, SECOND
from harness.core.timeline import Event, History
from harness.core.verdict import Finding, Verdict

HELD, REFUTED, INCONCLUSIVE = Verdict.HELD, Verdict.REFUTED, Verdict.INCONCLUSIVE


def event(kind: str, subject: str = "", at_us: int = 0, **data: Any) -> Event:
    return Event(0, timedelta(microseconds=at_us), datetime(2026, 1, 1, tzinfo=UTC), kind, subject, data)


def told(*events: Event) -> History:
    """A history of these events, in this order."""
    return History(tuple(replace(e, seq=seq) for seq, e in enumerate(events)))


def injected(subject: str = "fault", sent_us: int = 0, accepted_us: int = 0) -> Event:
    return event("fault.injected", subject, accepted_us, sent_us=sent_us, accepted_us=accepted_us)


def confirmed(subject: str = "fault", state: str = "MET") -> Event:
    return event("fault.confirmed", subject, state=state, actual=f"{subject} seen")


def met(subject: str, met_us: int, not_before_us: int | None = None) -> Event:
    return event("until.ended", subject, met_us, state="MET", expected="so", actual="it is so", met_us=met_us,
                 not_before_us=not_before_us, flaps=0, within_s=600.0, waited_s=1.0)  # fmt: skip


def unmet(subject: str, at_us: int, state: str = "PENDING") -> Event:
    return event("until.ended", subject, at_us, state=state, expected="so", actual="it is not so", met_us=None,
                 not_before_us=None, flaps=0, within_s=600.0, waited_s=1.0)  # fmt: skip


def reading(value: dict[str, Any], name: str = "inventory") -> Event:
    return event("observed", name, reading=name, value=value)


S = 1_000_000  # a second in microseconds


class TestFaultLanded:
    def test_without_a_fault_nothing_is_proved(self) -> None:
        assert fault_landed()(told(met("healed", 1))).verdict is INCONCLUSIVE

    def test_a_confirmed_fault(self) -> None:
        finding = fault_landed()(told(injected(), confirmed()))
        assert (finding.verdict, finding.actual, finding.evidence) == (HELD, "fault seen", (0, 1))

    @pytest.mark.parametrize("state", ["PENDING", "BROKEN"])
    def test_a_fault_that_was_not_seen(self, state: str) -> None:
        finding = fault_landed()(told(injected(), confirmed(state=state)))
        assert (finding.verdict, finding.actual) == (INCONCLUSIVE, "not confirmed: fault")

    def test_every_one_of_several(self) -> None:
        finding = fault_landed()(told(injected("a"), confirmed("a"), injected("b")))
        assert (finding.verdict, finding.actual) == (INCONCLUSIVE, "not confirmed: b")

    def test_the_confirmation_of_an_earlier_fault_does_not_count_for_a_later_one_of_that_name(self) -> None:
        again = told(injected(), confirmed(), injected(), confirmed(state="PENDING"))
        assert fault_landed()(again).verdict is INCONCLUSIVE


class TestWaitsEndedMet:
    def test_nothing_waited_for_proves_nothing(self) -> None:
        assert waits_ended_met()(told(injected(), confirmed())).verdict is INCONCLUSIVE

    def test_all_met(self) -> None:
        finding = waits_ended_met()(told(injected(), met("a", 1), met("b", 2)))
        assert (finding.verdict, finding.actual, finding.evidence) == (HELD, "2 of 2 MET", (1, 2))

    def test_patience_that_ran_out_names_what_was_awaited(self) -> None:
        finding = waits_ended_met()(told(injected(), met("a", 1), unmet("b", 2)))
        assert finding.verdict is REFUTED
        assert finding.sentence().endswith("expected b: so, found it is not so after 600 s of patience")

    def test_a_final_cause_is_not_called_lost_patience(self) -> None:
        finding = waits_ended_met()(told(injected(), unmet("b", 2, "BROKEN")))
        assert (finding.verdict, finding.actual) == (REFUTED, "it is not so, which waiting does not mend")

    def test_before_any_fault_it_is_no_broken_promise(self) -> None:
        assert waits_ended_met()(told(unmet("a", 1), injected())).verdict is INCONCLUSIVE
        assert waits_ended_met()(told(unmet("a", 1))).verdict is INCONCLUSIVE


class TestRecoveredWithin:
    def judge(self, *events: Event, when: str = "", objective: timedelta = 10 * SECOND) -> Finding:
        return recovered_within(objective, when=when)(told(*events))

    def test_in_time_with_its_figures(self) -> None:
        finding = self.judge(injected(sent_us=S, accepted_us=S + 5000), met("healed(x)", 3 * S, 3 * S - 5000))
        assert (finding.verdict, finding.evidence) == (HELD, (0, 1))
        assert finding.figures == {"recovery_s": 1.995, "resolution_s": 0.01, "objective_s": 10.0}
        assert finding.actual == "2.0 s (resolution 10 ms)"

    def test_too_late(self) -> None:
        assert self.judge(injected(), met("healed", 12 * S, 11 * S)).verdict is REFUTED

    @pytest.mark.parametrize("not_before", [9 * S, 10 * S, None])
    def test_an_objective_inside_the_interval_is_no_pass_and_no_failure(self, not_before: int | None) -> None:
        assert self.judge(injected(), met("healed", 11 * S, not_before)).verdict is INCONCLUSIVE

    def test_exactly_the_objective_is_kept(self) -> None:
        assert self.judge(injected(), met("healed", 10 * S, 10 * S)).verdict is HELD

    def test_the_last_wait_counts_or_the_named_one(self) -> None:
        events = injected(), met("healed(x)", S, S), met("converged", 60 * S, 60 * S)
        assert self.judge(*events).verdict is REFUTED
        named = self.judge(*events, when="healed")
        assert (named.verdict, named.claim) == (HELD, "healed within 10.0 s")

    @pytest.mark.parametrize(
        "events",
        [(), (injected(),), (met("healed", S),), (met("healed", S), injected(sent_us=2 * S, accepted_us=2 * S))],
        ids=["nothing", "no wait", "no fault", "only a wait before the fault"],
    )
    def test_without_a_fault_and_a_wait_after_it_nothing_is_measured(self, events: tuple[Event, ...]) -> None:
        finding = self.judge(*events)
        assert (finding.verdict, finding.figures) == (INCONCLUSIVE, {})

    def test_counted_from_a_later_fault_that_is_named(self) -> None:
        events = (
            injected("PushCommit(a)"),
            injected("RevertCommit(a)", 50 * S, 50 * S),
            met("converged", 53 * S, 52 * S),
        )
        late, named = recovered_within(10 * SECOND), recovered_within(10 * SECOND, since="RevertCommit")
        assert late(told(*events)).verdict is REFUTED
        finding = named(told(*events))
        assert (finding.verdict, finding.claim) == (HELD, "recovered within 10.0 s of RevertCommit")
        assert finding.figures["recovery_s"] == 3.0
        before_it = named(told(events[0], met("converged", 2 * S), events[1]))
        assert before_it.verdict is INCONCLUSIVE
        assert named(told(events[0], events[2])).verdict is INCONCLUSIVE

    def test_every_wait_after_a_named_fault_bounds_the_recovery(self) -> None:
        named = recovered_within(10 * SECOND, since="RevertCommit")
        begun = injected("RevertCommit(a)", S, S)
        # The last wait found it so at once, and does not know since when; the one before it does.
        events = met("pod_fails", 0), begun, met("synced", 4 * S, 3 * S), met("converged", 5 * S, None)
        finding = named(told(*events))
        assert (finding.figures["recovery_s"], finding.figures["resolution_s"]) == (4.0, 2.0)
        assert named(told(begun, met("synced", 6 * S, 5 * S), met("converged", 5 * S, S))).figures["recovery_s"] == 5.0
        assert named(told(begun, unmet("synced", 2 * S), met("converged", 5 * S, 4 * S))).figures["recovery_s"] == 4.0

    def test_a_named_wait_that_is_not_there(self) -> None:
        assert self.judge(injected(), met("converged", S), when="healed").verdict is INCONCLUSIVE

    def test_what_was_never_lost_has_not_recovered(self) -> None:
        finding = self.judge(injected(sent_us=5 * S, accepted_us=5 * S), met("converged", 2 * S, S))
        assert finding.verdict is INCONCLUSIVE
        assert "never seen lost" in finding.actual

    def test_healed_between_sending_and_answer_took_no_time_and_no_less(self) -> None:
        finding = self.judge(injected(sent_us=S, accepted_us=S + 9000), met("healed", S + 4000, S + 2000))
        assert finding.verdict is HELD
        assert finding.figures["recovery_s"] == 0

    def test_not_recovered_although_it_had_the_time(self) -> None:
        finding = self.judge(injected(), unmet("healed", 11 * S))
        assert (finding.verdict, finding.actual) == (REFUTED, "not recovered: it is not so")

    def test_given_up_before_the_objective_is_not_refuted(self) -> None:
        finding = self.judge(injected(), unmet("healed", 4 * S))
        assert finding.verdict is INCONCLUSIVE
        assert finding.actual.endswith("given only 4.0 s")

    def test_a_final_cause_refutes_at_once(self) -> None:
        assert self.judge(injected(), unmet("healed", S, "BROKEN")).verdict is REFUTED


points = st.lists(st.integers(0, 10**12), min_size=4, max_size=4).map(sorted)


@given(points)
def test_an_interval_holds_its_value(ordered: list[int]) -> None:
    sent, accepted, not_before, now = ordered
    time = interval(injected(sent_us=sent, accepted_us=accepted), met("x", now, not_before))
    assert timedelta(0) <= time.earliest <= time.value <= time.latest
    assert time.resolution == time.latest - time.earliest >= timedelta(0)


@given(points)
def test_an_interval_holds_its_value_also_when_the_heal_was_seen_before_our_own_write(ordered: list[int]) -> None:
    sent, not_before, now, accepted = ordered
    time = interval(injected(sent_us=sent, accepted_us=accepted), met("x", now, not_before))
    assert timedelta(0) <= time.earliest <= time.value <= time.latest


@given(points)
def test_whatever_the_true_moments_were_the_interval_holds_the_true_duration(ordered: list[int]) -> None:
    sent, true_fault, accepted, seen = ordered
    for not_before, true_heal in ((accepted, seen), (accepted, (accepted + seen) // 2), (None, accepted)):
        time = interval(injected(sent_us=sent, accepted_us=accepted), met("x", seen, not_before))
        assert time.earliest <= timedelta(microseconds=true_heal - true_fault) <= time.latest


@given(points, st.integers(0, 10**12))
def test_a_verdict_never_outruns_its_interval(ordered: list[int], objective_us: int) -> None:
    sent, accepted, not_before, now = ordered
    objective = timedelta(microseconds=objective_us)
    fault, wait = injected(sent_us=sent, accepted_us=accepted), met("x", now, not_before)
    verdict, time = recovered_within(objective)(told(fault, wait)).verdict, interval(fault, wait)
    assert (verdict is HELD) == (time.latest <= objective)
    assert (verdict is REFUTED) == (time.earliest > objective)


BEFORE = {"Deployment a/x": {"spec": {"replicas": 2}}, "Service a/x": {"spec": {"ports": [80]}}}


class TestEverythingCameBack:
    def judge(self, after: dict[str, Any], at_least: int | None = None) -> Finding:
        return everything_came_back(at_least=at_least)(told(reading(BEFORE), injected(), reading(after)))

    def test_the_same(self) -> None:
        finding = self.judge(dict(BEFORE), at_least=2)
        assert (finding.verdict, finding.evidence) == (HELD, (0, 2))
        assert finding.figures == {"objects_before": 2.0, "objects_after": 2.0}

    def test_one_missing_is_named(self) -> None:
        finding = self.judge({"Service a/x": {"spec": {"ports": [80]}}})
        assert (finding.verdict, finding.actual) == (REFUTED, "1 missing: Deployment a/x")

    def test_one_changed_is_named_with_the_field(self) -> None:
        finding = self.judge(BEFORE | {"Deployment a/x": {"spec": {"replicas": 1}}})
        assert (finding.verdict, finding.actual) == (REFUTED, "1 changed: Deployment a/x at spec.replicas")

    def test_missing_and_changed_are_both_told(self) -> None:
        finding = self.judge({"Deployment a/x": {"spec": {}}})
        assert finding.actual.startswith("1 missing: Service a/x; 1 changed: Deployment a/x")

    def test_many_missing_are_counted(self) -> None:
        before = {f"ConfigMap a/c{n}": {} for n in range(8)}
        finding = everything_came_back()(told(reading(before), injected(), reading({})))
        assert finding.actual.startswith("8 missing: ConfigMap a/c0, ")
        assert finding.actual.endswith("ConfigMap a/c4 and 3 more")

    def test_more_than_before_is_no_loss(self) -> None:
        assert self.judge(BEFORE | {"ConfigMap a/new": {}}).verdict is HELD

    def test_an_inventory_smaller_than_git_promises_proves_nothing(self) -> None:
        finding = self.judge(dict(BEFORE), at_least=120)
        assert (finding.verdict, finding.expected) == (INCONCLUSIVE, "at least 120 objects before the loss")

    def test_an_empty_inventory_proves_nothing(self) -> None:
        assert everything_came_back()(told(reading({}), injected(), reading({}))).verdict is INCONCLUSIVE

    @pytest.mark.parametrize(
        "events",
        [
            pytest.param((), id="nothing"),
            pytest.param((reading(BEFORE), reading(BEFORE)), id="no fault"),
            pytest.param((reading(BEFORE), injected()), id="only before"),
            pytest.param((injected(), reading(BEFORE), reading(BEFORE)), id="only after"),
            pytest.param((reading(BEFORE), reading(BEFORE), injected()), id="twice before"),
            pytest.param((reading(BEFORE), injected(), reading(BEFORE, "other")), id="another reading"),
        ],
    )
    def test_it_takes_one_before_the_fault_and_one_after(self, events: tuple[Event, ...]) -> None:
        assert everything_came_back()(told(*events)).verdict is INCONCLUSIVE


def test_a_judge_that_throws_is_inconclusive_and_says_why() -> None:
    def broken(_: History) -> Finding:
        raise LookupError("no such thing")

    finding = Check("the moon is round", broken)(told())
    assert (finding.claim, finding.verdict) == ("the moon is round", INCONCLUSIVE)
    assert "no such thing" in finding.actual


@pytest.mark.parametrize("check", [fault_landed(), waits_ended_met(), recovered_within(MINUTE), everything_came_back()])
def test_events_without_their_data_are_inconclusive_not_a_crash(check: Check) -> None:
    inventory = event("observed", "inventory", reading="inventory")
    bare = told(inventory, event("fault.injected", "f"), event("fault.confirmed", "f"), event("until.ended"), inventory)
    assert check(bare).verdict is INCONCLUSIVE
