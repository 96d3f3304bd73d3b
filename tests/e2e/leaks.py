"""The leak hunt: look for canary secrets in every place where a secret must not be.

Each hunt returns sentences, one for each place where a piece of a canary was found; the caller expects none.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from support import descendants_of

PIECE_BYTES = 12
MAPPED_FILE_BYTES_MAX = 64 * 1024 * 1024


class Canaries:
    """Random secrets and the pieces by which they are recognised."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.started = time.time()

    def make(self, name: str) -> str:
        """Make the next canary: letters and digits, long enough that nothing else looks like it."""
        value = f"cnry{secrets.token_hex(14)}"
        self.values[f"{name}-{len(self.values)}"] = value
        return value

    def pieces(self) -> dict[bytes, str]:
        """Pieces of twelve bytes as they are, and whole values in base64, hexadecimal and UTF-16."""
        found: dict[bytes, str] = {}
        for name, value in self.values.items():
            for at in range(4, len(value) - PIECE_BYTES + 1, 4):
                found[value[at : at + PIECE_BYTES].encode()] = f"a piece of {name}"
            found[base64.b64encode(value.encode())[:-4]] = f"{name} in base64"
            found[value.encode().hex().encode()] = f"{name} in hexadecimal"
            found[value.encode("utf-16-le")] = f"{name} in UTF-16"
        return found

    def find(self, data: bytes, place: str) -> list[str]:
        """Say which canaries are in these bytes."""
        names = {name for piece, name in self.pieces().items() if piece in data}
        return [f"{name} in {place}" for name in sorted(names)]


def hunt_command_lines(canaries: Canaries) -> list[str]:
    """No process of the machine may show one in its arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            found += canaries.find(read_quietly(entry / "cmdline"), f"{entry.name}'s command line")
    return found


def hunt_environments(canaries: Canaries, allowed: Iterable[int]) -> list[str]:
    """Only the program and what it started may have one in its environment."""
    free = {pid for top in allowed for pid in (top, *descendants_of(top))}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in free:
            found += canaries.find(read_quietly(entry / "environ"), f"{entry.name}'s environment")
    return found


def hunt_memory(canaries: Canaries, pid: int) -> list[str]:
    """Read all that root can read of a process's memory."""
    found, seen = [], 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
            begin, end = int(match[1], 16), int(match[2], 16)
            if "vsyscall" in line or "vvar" in line or end - begin > MAPPED_FILE_BYTES_MAX:
                continue
            try:
                memory.seek(begin)
                data = memory.read(end - begin)
            except OSError:
                continue
            seen += len(data or b"")
            found += canaries.find(data or b"", f"memory of {pid}: {line.strip()}")
    assert seen > 100_000, "the memory was readable at all"
    return found


def hunt_core_image(canaries: Canaries, pid: int, folder: Path) -> list[str]:
    """Make a core image as root, with everything that a debugger can take."""
    path = folder / "image"
    done = subprocess.run(["gcore", "-a", "-o", str(path), str(pid)], capture_output=True, text=True, timeout=200)
    image = Path(f"{path}.{pid}")
    assert image.exists(), done.stdout + done.stderr
    try:
        return canaries.find(image.read_bytes(), f"core image of {pid}")
    finally:
        image.unlink()


def hunt_files(canaries: Canaries, folders: Iterable[Path]) -> list[str]:
    """Look into every file that was written since the canaries exist."""
    found = []
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                try:
                    status = path.lstat()
                except OSError:
                    continue
                if not path.is_file() or path.is_symlink() or status.st_size > MAPPED_FILE_BYTES_MAX:
                    continue
                if max(status.st_mtime, status.st_ctime) >= canaries.started - 1:
                    found += canaries.find(read_quietly(path), f"file {path}")
    return found


def hunt_descriptors(canaries: Canaries, pid: int) -> list[str]:
    """Read what the supervisor's descriptors lead to: a memfd can be opened through /proc by root."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith(("/memfd", "/tmp", "/dev/shm")):
            found += canaries.find(read_quietly(link), f"descriptor {link.name} of {pid} ({target})")
    return found


def read_quietly(path: Path) -> bytes:
    """Read a file that may be gone or forbidden."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            return stream.read(MAPPED_FILE_BYTES_MAX) or b""
    except OSError:
        return b""
