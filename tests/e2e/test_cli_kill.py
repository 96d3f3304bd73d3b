"""Whatever happens to a writer at whatever instant: the old file or the new one, and no litter."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from pathlib import Path

import pytest
from cli_files import CANARY, Folder
from support import TACET

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for mounts and for tracing a hardened process")

NEW = "new-value"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.set("SECRET", CANARY)
    return made


def command(folder: Folder) -> list[str]:
    return [TACET, "set", "-i", "key.txt", "secrets.age", "SECRET"]


def system_calls(folder: Folder) -> list[tuple[str, int]]:
    """What one `set` does: each system call with its how-manieth of that name it is."""
    trace = folder.path / "trace"
    folder.run("strace", "-f", "-qq", "-o", str(trace), *command(folder), stdin=NEW.encode())
    seen: dict[str, int] = {}
    calls = []
    for line in trace.read_text().splitlines():
        found = re.match(r"\d+ +(\w+)\(", line)
        if found and found[1] != "execve":
            seen[found[1]] = seen.get(found[1], 0) + 1
            calls.append((found[1], seen[found[1]]))
    trace.unlink()
    return calls


def assert_old_or_new(folder: Folder, old: bytes) -> bool:
    """Say whether it is the new one."""
    now = (folder.path / "secrets.age").read_bytes()
    if now == old:
        return False
    assert folder.read() == f"SECRET={NEW}\n"
    return True


def test_killed_at_each_system_call_the_old_or_the_new_file_stands(folder: Folder) -> None:
    old = (folder.path / "secrets.age").read_bytes()
    calls = system_calls(folder)
    names = {name for name, _ in calls}
    assert {"linkat", "renameat", "fsync"} <= names | ({"renameat"} if "renameat2" in names else set())
    litter, finished = 0, 0
    for name, number in calls:
        (folder.path / "secrets.age").write_bytes(old)
        inject = f"inject={name}:signal=KILL:when={number}"
        done = folder.run(
            *["strace", "-f", "-qq", "-o", "/dev/null", "-e", inject, *command(folder)],
            stdin=NEW.encode(),
            status=None,
        )
        assert done.returncode in (-9, 137, 0), (name, number, done.returncode)
        finished += assert_old_or_new(folder, old)
        for left in folder.path.glob(".tacet-*"):
            assert name.startswith(("rename", "linkat")), f"{left} is left by a kill at {name} {number}"
            assert left.read_bytes().startswith(b"age-encryption.org/v1\n")
            left.unlink()
            litter += 1
        assert folder.entries() == ["home", "key.txt", "secrets.age"], (name, number)
    assert litter <= 2, "only between linkat and rename has the new file a name of its own"
    assert finished >= 3, "some of the kills came after the rename"
    folder.set("AFTER", "1")
    assert "AFTER" in folder.names()


def test_killed_at_random_instants_the_old_or_the_new_file_stands(folder: Folder) -> None:
    old = (folder.path / "secrets.age").read_bytes()
    chance = random.Random(7)
    outcomes = set()
    for _ in range(150):
        (folder.path / "secrets.age").write_bytes(old)
        process = subprocess.Popen(
            command(folder),
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder.path,
            env=folder.environment,
        )
        process.stdin.write(NEW.encode())
        process.stdin.close()
        time.sleep(chance.uniform(0, 0.006))
        process.kill()
        process.wait(30)
        outcomes.add(assert_old_or_new(folder, old))
        for left in folder.path.glob(".tacet-*"):
            left.unlink()
        assert folder.entries() == ["home", "key.txt", "secrets.age"]
    assert outcomes, "at least it ran"


@pytest.mark.parametrize(
    ("call", "number", "problem"),
    [
        ("fsync", "ENOSPC", "No space left"),
        ("fsync", "EIO", "to its disk"),
        ("linkat", "ENOSPC", "No space left"),
        ("/^renameat", "EIO", "put the new file in place"),
        ("fchmod", "EPERM", "keep the mode"),
        ("flock", "ENOLCK", "No locks available"),
    ],
)
def test_a_failed_step_leaves_the_old_file_and_nothing_else(
    folder: Folder, call: str, number: str, problem: str
) -> None:
    before = (folder.path / "secrets.age").read_bytes()
    done = folder.run(
        *["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error={number}:when=1", *command(folder)],
        stdin=NEW.encode(),
        status=1,
    )
    assert problem in done.stderr.decode()
    assert (folder.path / "secrets.age").read_bytes() == before
    assert folder.entries() == ["home", "key.txt", "secrets.age"]


def test_file_systems_without_nameless_files_work_too(folder: Folder) -> None:
    """Open number by number fails as O_TMPFILE does where it is not known; exactly one of them is that one."""
    trace = folder.path / "trace"
    folder.run("strace", "-qq", "-e", "trace=openat", "-o", str(trace), *command(folder), stdin=b"x")
    lines = [line for line in trace.read_text().splitlines() if line.startswith("openat(")]
    number = next(at for at, line in enumerate(lines, 1) if "O_TMPFILE" in line)
    trace.unlink()
    inject = f"inject=openat:error=EOPNOTSUPP:when={number}"
    folder.run("strace", "-qq", "-o", "/dev/null", "-e", inject, *command(folder), stdin=NEW.encode())
    assert folder.read() == f"SECRET={NEW}\n"
    (folder.path / "secrets.age").unlink()
    inject = "inject=/^linkat:error=EPERM"
    done = folder.run("strace", "-qq", "-o", "/dev/null", "-e", inject, *command(folder), stdin=b"x", status=None)
    assert done.returncode == 1
    assert folder.entries() == ["home", "key.txt"]


def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(folder: Folder) -> None:
    script = r"""
        set -e
        mkdir disk; mount -t tmpfs -o size=64k none disk
        cp secrets.age disk/; before=$(sha256sum < disk/secrets.age)
        dd if=/dev/zero of=disk/filler bs=1k count=1000 2>/dev/null || :
        status=0; head -c 100000 /dev/zero | tr '\0' x | "$@" || status=$?
        [ "$(sha256sum < disk/secrets.age)" = "$before" ] && echo same
        ls -A disk; echo "status $status"
        rm disk/filler; printf new | "$@"; age -d -i key.txt disk/secrets.age
    """
    done = folder.run(
        *["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"],
        *[TACET, "set", "-i", "key.txt", "disk/secrets.age", "SECRET"],
    )
    assert done.stdout == b"same\nfiller\nsecrets.age\nstatus 1\nSECRET=new\n"
    assert b"No space left on device" in done.stderr


def test_a_read_only_folder_is_an_error(folder: Folder) -> None:
    script = 'mount --bind -o ro . . && cd "$PWD" && exec "$@"'
    done = folder.run(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command(folder),
        stdin=b"x", status=1,
    )  # fmt: skip
    assert b"Read-only file system" in done.stderr
