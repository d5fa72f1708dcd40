"""The runtime that asks for fewer capabilities: its editor alone, its argument reading, and the real runc."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.cluster import shim
from tests.cluster import tiny

KINDS = ("bounding", "effective", "permitted", "inheritable", "ambient")


def editor() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "editor"}
    exec(shim.PROGRAM, names)
    return names


def document(*names: str) -> dict[str, Any]:
    return {"process": {"args": ["/wait"], "capabilities": {kind: list(names) for kind in KINDS}}, "hostname": "h"}


def test_what_cannot_be_had_is_no_longer_asked_for() -> None:
    config = document("CAP_SYS_ADMIN", "CAP_SYS_RESOURCE")
    allowed = (1 << 41) - 1 & ~(1 << 24)

    assert editor()["fewer"](config, allowed)

    assert config == document("CAP_SYS_ADMIN")


def test_every_missing_capability_goes_not_only_a_known_one() -> None:
    config = document("CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE")

    editor()["fewer"](config, 1)

    assert config == document("CAP_CHOWN")


def test_a_machine_that_lacks_nothing_changes_nothing() -> None:
    config = document("CAP_SYS_RESOURCE")

    assert not editor()["fewer"](config, (1 << 41) - 1)
    assert config == document("CAP_SYS_RESOURCE")


def test_a_process_without_capabilities_is_left_alone() -> None:
    assert not editor()["fewer"]({"args": ["x"]}, 0)


@pytest.fixture
def pretend(tmp_path: Path) -> Path:
    """The runtime with a runc beside it that prints its arguments, and an editor that notes the file it was given."""
    shim.write(tmp_path / "lib" / "oci-runtime")
    (tmp_path / "lib" / shim.EDITOR).write_text("import sys\nprint('edited', sys.argv[1])\n")
    (tmp_path / "bin").mkdir()
    runc = tmp_path / "bin" / "runc"
    runc.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    runc.chmod(0o755)
    return tmp_path


def call(where: Path, *argv: str) -> str:
    path = f"{where / 'bin'}:/usr/bin:/bin"
    done = subprocess.run(
        [where / "lib" / "oci-runtime", *argv], env={"PATH": path}, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("option", [("--bundle", "{b}"), ("-b", "{b}"), ("--bundle={b}",)])
def test_the_configuration_is_edited_on_create(pretend: Path, option: tuple[str, ...]) -> None:
    (pretend / "config.json").write_text("{}")
    words = [word.format(b=pretend) for word in option]
    argv = ["--root", "/run/x y", "--log", "create", "create", *words, "--pid-file", "/p", "name"]

    said = call(pretend, *argv)

    assert said == f"edited {pretend}/config.json\n" + "".join(f"<{word}>" for word in argv)


def test_the_process_is_edited_on_exec(pretend: Path) -> None:
    process = pretend / "process.json"
    process.write_text("{}")

    said = call(pretend, "--root", "/r", "exec", "--process", str(process), "--detach", "name")

    assert said.startswith(f"edited {process}\n<--root>")


@pytest.mark.parametrize("verb", ["start", "state", "kill", "delete", "--version"])
def test_other_verbs_go_straight_to_runc(pretend: Path, verb: str) -> None:
    (pretend / "config.json").write_text("{}")

    assert call(pretend, "--root", "/r", verb, "name") == f"<--root></r><{verb}><name>"


@pytest.mark.cluster
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("runc") is None, reason="needs root and runc")
def test_a_container_that_asks_for_everything_runs_and_takes_an_exec(tmp_path: Path) -> None:
    runtime, name = tmp_path / "lib" / "oci-runtime", f"drill-test-{secrets.token_hex(3)}"
    shim.write(runtime)
    (tmp_path / "rootfs").mkdir()
    program = tmp_path / "rootfs" / "wait"
    program.write_bytes(tiny.program())
    program.chmod(0o755)
    subprocess.run(["runc", "spec"], cwd=tmp_path, check=True)
    config = json.loads((tmp_path / "config.json").read_text())
    everything = [f"CAP_{name}" for name in editor()["NAMES"]]
    config["process"] |= {"terminal": False, "args": ["/wait"], "capabilities": dict.fromkeys(KINDS[:3], everything)}
    config["process"]["rlimits"] = []
    (tmp_path / "config.json").write_text(json.dumps(config))
    process = tmp_path / "process.json"
    process.write_text(json.dumps(config["process"]))
    base = [str(runtime), "--root", str(tmp_path / "state")]

    def run(*argv: str) -> None:
        subprocess.run([*base, *argv], check=True, stdout=subprocess.DEVNULL, timeout=20)

    try:
        run("run", "-d", "--bundle", str(tmp_path), name)
        run("exec", "-d", "--process", str(process), name)
        state = subprocess.run([*base, "ps", "-f", "json", name], check=True, capture_output=True, text=True)
        assert len(json.loads(state.stdout)) == 2, "the program and the one that exec added"
    finally:
        subprocess.run([*base, "delete", "-f", name], check=True, timeout=20)
    bounding = editor()["bounding"]()
    asked = json.loads((tmp_path / "config.json").read_text())["process"]["capabilities"]["bounding"]
    assert asked == [n for bit, n in enumerate(everything) if bounding >> bit & 1]
