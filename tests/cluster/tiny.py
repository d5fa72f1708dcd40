"""The smallest container there is, for live tests that need one: a program of a few bytes that waits for ever."""

from __future__ import annotations

import io
import platform
import struct
import subprocess
import tarfile

IMAGE = "drill-test/tiny:1"
_CODE = {
    "x86_64": (62, bytes.fromhex("b8220000000f05ebf7")),  # mov eax, pause; syscall; jmp back
    "aarch64": (183, bytes.fromhex("000080d2010080d2020080d2030080d2040080d2280980d2010000d4f9ffff17")),  # ppoll
}


def program() -> bytes:
    """A static ELF executable: header, one segment, the loop."""
    machine, code = _CODE[platform.machine()]
    base, size = 0x400000, 64 + 56
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, base + size, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    length = size + len(code)
    return ident + header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, length, length, 0x1000) + code


def build() -> str:
    """Make the image with the engine at hand, unless it is there; its name."""
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0:
        return IMAGE
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("wait")
        entry.mode, entry.size = 0o755, len(program())
        tar.addfile(entry, io.BytesIO(program()))
    change = ["--change", 'ENTRYPOINT ["/wait"]', "--change", "VOLUME /data"]
    subprocess.run(["docker", "import", *change, "-", IMAGE], input=archive.getvalue(), check=True, capture_output=True)
    return IMAGE
