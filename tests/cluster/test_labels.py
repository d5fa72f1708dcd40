"""Labels: an owner survives the round trip through a label, and is gone exactly when its process is."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cluster import labels
from harness.cluster.labels import Owner


@given(st.from_regex(r"[a-z0-9.-]{1,40}", fullmatch=True), st.integers(1, 2**22), st.integers(0, 2**63))
def test_an_owner_reads_back_as_it_was_written(host: str, pid: int, started: int) -> None:
    owner = Owner(host, pid, started)

    assert Owner.parse(str(owner)) == owner


@pytest.mark.parametrize("text", ["", "host", "host/12", "host/x/3", "host/1/2/3", "/1/2"])
def test_a_label_that_is_not_ours_has_no_owner(text: str) -> None:
    assert Owner.parse(text) is None


def test_a_living_process_is_not_gone() -> None:
    assert not labels.gone(Owner.me())


def test_a_process_that_ended_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner(Owner.me().host, child.pid, labels.started(child.pid) or 0)
    assert not labels.gone(owner)

    child.kill()
    child.communicate()

    assert labels.gone(owner)


def test_a_later_process_with_the_same_pid_is_another_one() -> None:
    mine = Owner.me()

    assert labels.gone(Owner(mine.host, mine.pid, mine.started + 1))


def test_another_machines_owner_is_never_gone() -> None:
    assert not labels.gone(Owner("elsewhere.example", 2**22 + 1, 1))


def test_without_a_process_table_nothing_is_gone(tmp_path: Path) -> None:
    assert not labels.gone(Owner("h", 1, 1), host="h", proc=tmp_path)


def test_a_command_name_with_brackets_and_spaces_is_no_trap(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(str(n) for n in range(4, 30))
    (tmp_path / "7" / "stat").write_text(f"7 (a) b (c) S {fields}\n")

    assert labels.started(7, tmp_path) == 22


def test_the_labels_name_run_owner_and_time() -> None:
    found = labels.labels("r1", Owner("h", os.getpid(), 5), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))

    assert found == {"drill.run": "r1", "drill.owner": f"h/{os.getpid()}/5", "drill.created": "2026-01-02T03:04:05Z"}
