"""Debian roots: debootstrap minbase with a recipe's packages, trimmed, as a tar.

Here belong debootstrap, trimming and packing. Which packages there are does not: that is the recipe.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from harness.cluster.images.commands import Commands
from harness.cluster.images.recipe import Debian
from harness.core.clock import MINUTE
from harness.core.errors import EnvironmentUnfit
from harness.effects import proc

# Not needed by any program that runs in an image; a third of the size.
TRIM = (
    "usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "usr/share/lintian",
    "usr/share/bash-completion", "usr/share/common-licenses", "usr/share/perl/*/unicore/*.txt", "usr/share/i18n",
    "usr/lib/*/gconv/*[!s]", "var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/debconf/*", "var/cache/ldconfig/*",
    "var/log/*", "tmp/*", "dev/*",
)  # fmt: skip
ROOT = "root"  # below a recipe's work folder, while debootstrap fills it
_NETWORK_REMEDY = (
    "see that the Debian mirror of this machine's apt sources is reachable (apt-get update), and run again"
)


def check_host(euid: int | None = None) -> None:
    """Raises EnvironmentUnfit unless debootstrap can run here."""
    if (os.geteuid() if euid is None else euid) != 0:
        raise EnvironmentUnfit(
            "to be root: debootstrap, which assembles the images from Debian packages, needs it",
            f"user id {os.geteuid()}",
            "run as root, or use --images pull or --images bundle",
        )
    if proc.which("debootstrap") is None:
        raise EnvironmentUnfit(
            "the command debootstrap, which assembles the images from Debian packages",
            "none on PATH",
            "apt-get install debootstrap",
        )


def mirror(sources: Path = Path("/etc/apt"), release: Path = Path("/etc/os-release")) -> str:
    """The Debian mirror that this machine itself uses; empty (debootstrap's default) where it is not a Debian one."""
    if chosen := os.environ.get("DRILL_DEBIAN_MIRROR"):
        return chosen
    if not release.exists() or "\nID=debian" not in f"\n{release.read_text()}":
        return ""
    for path in [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]:
        found = _mirror_in(path.read_text(errors="replace")) if path.is_file() else ""
        if found:
            return found
    return ""


def make_rootfs(stage: str, debian: Debian, target: Path, *, work: Path, cache: Path, commands: Commands) -> None:
    """Write the root of `debian` to the tar `target`; nothing is left at `target` when it fails.

    Raises ImageUnavailable (debootstrap failed) or EnvironmentUnfit (cannot run here).
    """
    check_host()
    root = work / ROOT
    discard(root)
    downloads = cache / "debs"
    downloads.mkdir(parents=True, exist_ok=True)
    place = mirror()
    path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        commands.run(
            stage,
            ["debootstrap", "--variant=minbase", f"--cache-dir={downloads}", f"--include={','.join(debian.packages)}",
             debian.suite, str(root), *([place] if place else [])],
            timeout=20 * MINUTE, env=path, remedy=_NETWORK_REMEDY,
        )  # fmt: skip
        trim(root, (*TRIM, *debian.drop))
        draft = target.with_suffix(".part")
        draft.parent.mkdir(parents=True, exist_ok=True)
        commands.run(
            f"{stage} pack",
            ["tar", "--numeric-owner", "--sort=name", "--mtime=@0", "-C", str(root), "-cf", str(draft), "."],
            timeout=5 * MINUTE, env=path, remedy="see that the disk is not full, and run again",
        )  # fmt: skip
        draft.replace(target)
    finally:
        discard(root)


def trim(root: Path, patterns: tuple[str, ...]) -> None:
    """Remove what `patterns` (globs below `root`) match."""
    for pattern in patterns:
        for path in list(root.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _mirror_in(text: str) -> str:
    """The first mirror of a sources file, one-line or deb822, that is for Debian itself."""
    for line in text.splitlines():
        found = re.match(r"^(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(\S+?/debian)/?(?:\s|$)", line)
        if found:
            return found.group(1)
    return ""


def discard(root: Path) -> None:
    """Remove an unpacked root, unless something is still mounted in it: deleting would reach through the mount."""
    if not root.exists():
        return
    mounts = Path("/proc/mounts").read_text() if Path("/proc/mounts").exists() else ""
    for point in sorted((line.split()[1] for line in mounts.splitlines()), reverse=True):
        if Path(point).is_relative_to(root.resolve()):
            proc.run(["umount", "--lazy", point], timeout=MINUTE, check=False)
    shutil.rmtree(root)
