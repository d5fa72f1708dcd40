"""Long commands: the explanation when they fail, and the end when the build is cancelled."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.cluster.images.commands import Cancelled, Commands
from harness.core.clock import SystemClock, seconds
from harness.core.errors import ImageUnavailable


def commands(tmp_path: Path, cancel: threading.Event | None = None) -> Commands:
    return Commands(tmp_path / "logs", cancel or threading.Event(), SystemClock())


def test_a_failure_names_stage_command_last_lines_and_remedy(tmp_path: Path) -> None:
    script = "for i in $(seq 1 50); do echo line $i; done; exit 3"
    with pytest.raises(ImageUnavailable) as caught:
        commands(tmp_path).run("go thing", ["sh", "-c", script], timeout=seconds(20), remedy="do this")
    text = str(caught.value)
    assert "'go thing' failed" in text
    assert "ended with 3" in text
    assert "sh -c" in text
    assert "line 21\n" in text
    assert "line 20\n" not in text
    assert "do this" in text
    assert (tmp_path / "logs" / "go-thing.log").read_text().startswith("line 1\n")


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ImageUnavailable, match="no end within"):
        commands(tmp_path).run("slow", ["sleep", "60"], timeout=seconds(0.3), remedy="")


def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    begun = SystemClock().now_ns()
    with pytest.raises(Cancelled):
        commands(tmp_path, cancel).run("slow", ["sleep", "60"], timeout=seconds(60), remedy="")
    assert SystemClock().now_ns() - begun < 20e9


def test_success_is_silent(tmp_path: Path) -> None:
    commands(tmp_path).run("fine", ["true"], timeout=seconds(20), remedy="")
    assert (tmp_path / "logs" / "fine.log").read_text() == ""
