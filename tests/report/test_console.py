from __future__ import annotations

from report_sample import NASTY, Script

from harness.report.console import Console, colour_wanted


def waiting(settle: float = 0.0, *, colour: bool = False) -> tuple[Console, Script]:
    console, script = Console(colour=colour), Script()
    assert console.line(script.say(0, "until.begun", "converged(primary)", within_s=1800.0, settle_s=settle)) is None
    return console, script


def test_a_heartbeat_tells_elapsed_subject_both_sides_and_what_is_left() -> None:
    console, script = waiting()
    beat = script.say(252, "heartbeat", "converged(primary)", state="PENDING", expected="X", actual="Y", done=97,
                      total=120, left_s=1548.0)  # fmt: skip
    assert console.line(beat) == "+04:12 until converged(primary): PENDING 97/120, should be X, is Y (25:48 left)"


def test_a_change_counts_what_is_left_by_itself() -> None:
    console, script = waiting()
    change = script.say(252, "probe.changed", "converged(primary)", state="PENDING", expected="X", actual="Y")
    assert console.line(change) == "+04:12 until converged(primary): PENDING, should be X, is Y (25:48 left)"


def test_a_counter_that_runs_is_not_printed_at_every_step() -> None:
    console, script = waiting()
    lines = [console.line(script.say(1 + i / 10, "probe.changed", "converged(primary)", state="PENDING", expected="X",
                                     actual=f"{i}", done=i, total=120)) for i in range(30)]  # fmt: skip
    assert sum(line is not None for line in lines) == 3


def test_another_state_is_printed_at_once() -> None:
    console, script = waiting()
    for state, said in (("PENDING", True), ("BROKEN", True), ("BROKEN", False)):
        change = script.say(1.0, "probe.changed", "converged(primary)", state=state, expected="X", actual="Y")
        assert (console.line(change) is not None) is said


def test_met_is_told_once_or_twice_when_it_must_hold() -> None:
    for settle, lines in ((0.0, 1), (3.0, 2)):
        console, script = waiting(settle)
        met = script.say(5, "probe.changed", "converged(primary)", state="MET", expected="X", actual="X")
        ended = script.say(
            5, "until.ended", "converged(primary)", state="MET", expected="X", actual="X", within_s=1800.0
        )
        assert sum(console.line(e) is not None for e in (met, ended)) == lines


def test_a_phase_is_one_line_with_its_duration_and_the_outermost_is_announced() -> None:
    console, script = Console(), Script()
    script.phase("rebuild", 6.8, 28.3, [("cluster", 6.81, 16.9, [("nodes", 6.9, 12.83)])])
    lines = [line for event in script.events if (line := console.line(event))]
    assert lines == ["+00:06 phase rebuild: begun", "+00:12     phase nodes: 5.9 s", "+00:16   phase cluster: 10.1 s",
                     "+00:28 phase rebuild: 21.5 s"]  # fmt: skip


def test_text_of_the_system_cannot_move_the_terminal() -> None:
    console, script = waiting()
    line = console.line(
        script.say(1, "probe.changed", "converged(primary)", state="PENDING", expected="X", actual=NASTY)
    )
    assert line is not None
    assert "\x1b" not in line
    assert len(line) < 600


def test_colour_marks_the_state_and_nothing_else() -> None:
    console, script = waiting(colour=True)
    line = console.line(
        script.say(1, "probe.changed", "converged(primary)", state="PENDING", expected="MET", actual="Y")
    )
    assert line is not None
    assert "\x1b[33mPENDING\x1b[0m" in line
    assert line.count("\x1b[0m") == 2  # the margin and one state


def test_colour_is_for_terminals_that_want_it() -> None:
    assert colour_wanted(True, {"TERM": "xterm"})
    assert not colour_wanted(False, {})
    assert not colour_wanted(True, {"NO_COLOR": "1"})
    assert not colour_wanted(True, {"TERM": "dumb"})
