"""Debian roots: the host check, the mirror, trimming."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.images.rootfs import check_host, mirror, trim
from harness.core.errors import EnvironmentUnfit


def test_somebody_who_is_not_root_is_told_so_first() -> None:
    with pytest.raises(EnvironmentUnfit, match="root") as caught:
        check_host(euid=1000)
    assert "--images bundle" in caught.value.remedy


def test_a_missing_debootstrap_is_told_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.images.rootfs.proc.which", lambda tool: None)
    with pytest.raises(EnvironmentUnfit, match="apt-get install debootstrap"):
        check_host(euid=0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "# deb http://old.example/debian x main\ndeb [signed-by=/k] http://m.example/debian x main\n"),
        ("sources.list", "deb http://m.example/debian/ bookworm main\n"),
        ("sources.list.d/debian.sources", "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\n"),
        ("sources.list.d/debian.sources", "URIs: http://s.example/debian-security\n\nURIs: http://m.example/debian\n"),
    ],
)
def test_the_mirror_is_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.delenv("DRILL_DEBIAN_MIRROR", raising=False)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    (tmp_path / "release").write_text('PRETTY_NAME="x"\nID=debian\n')
    assert mirror(tmp_path, tmp_path / "release") == "http://m.example/debian"
    (tmp_path / "release").write_text("ID=ubuntu\nID_LIKE=debian\n")
    assert mirror(tmp_path, tmp_path / "release") == "", "an Ubuntu mirror has no Debian"


def test_trimming_takes_what_matches_and_follows_no_link(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "precious").touch()
    for name in ("usr/share/doc/git/x", "usr/share/git-core/y", "usr/bin/git"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "usr/share/doc/link").symlink_to(outside)
    trim(root, ("usr/share/doc/*",))
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == [
        "usr/bin/git",
        "usr/share/git-core/y",
    ]
    assert (outside / "precious").exists()
    assert not (root / "usr/share/doc/link").is_symlink()
