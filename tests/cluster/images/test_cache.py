"""The cache folder: where it is, atomic writing, and the lock between two runs."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from harness.cluster.images.cache import cache_folder, locked, read_json, write_atomically
from harness.core.clock import seconds
from harness.core.errors import EnvironmentUnfit


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DRILL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "drill"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/drill")
    monkeypatch.setenv("DRILL_CACHE", "/mine")
    assert cache_folder() == Path("/mine")


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert read_json(path) == {}
    write_atomically(path, '{"a": 1}')
    assert read_json(path) == {"a": 1}
    for text in ("{", "[]"):
        path.write_text(text)
        assert read_json(path) == {}
    assert [item.name for item in tmp_path.iterdir()] == ["x.json"]


def test_the_lock_is_free_again_afterwards_even_after_an_error(tmp_path, clock, said) -> None:  # type: ignore[no-untyped-def]
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path, said.append, clock, seconds(1)):
            raise KeyError
    with locked(tmp_path, said.append, clock, seconds(1)):
        assert said == []


def test_a_second_run_waits_says_so_and_goes_on(tmp_path, clock, said) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "lock"
    path.write_text("4711\n")
    holder = path.open("r+")
    fcntl.flock(holder, fcntl.LOCK_EX)
    first = clock.sleep

    def sleep(duration) -> None:  # type: ignore[no-untyped-def]
        first(duration)
        if clock.now_ns() > 12e9:
            fcntl.flock(holder, fcntl.LOCK_UN)

    clock.sleep = sleep
    with holder, locked(tmp_path, said.append, clock, seconds(60)):
        assert len(said) == 2, "one word at once, one after ten seconds"
        assert "process 4711" in said[0]


def test_patience_with_the_other_run_has_an_end(tmp_path, clock, said) -> None:  # type: ignore[no-untyped-def]
    with (tmp_path / "lock").open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentUnfit, match="still holds"), locked(tmp_path, said.append, clock, seconds(5)):
            pytest.fail("got the lock")


def test_a_cache_that_cannot_be_written_is_a_clear_refusal(tmp_path, clock, said) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EnvironmentUnfit, match="DRILL_CACHE"),
        locked(tmp_path / "file" / "below", said.append, clock, seconds(1)),
    ):
        pytest.fail("got the lock")
