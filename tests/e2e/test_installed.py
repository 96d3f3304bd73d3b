"""What `make install` installs, and that nobody reads the memory of a program which is installed like that."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import TACET, TACET_STATIC, TOOLS

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program as somebody else")


def setpriv(program: Path) -> list[str]:
    """Between the change of user and execve(2) of env(1) the capabilities that setpriv(1) keeps are gone."""
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", str(program), "--version"]


def su(program: Path) -> list[str]:
    """As scripts of init systems do it."""
    return ["su", "nobody", "-s", "/bin/sh", "-c", f"exec {program} --version"]


def chroot(program: Path) -> list[str]:
    """As an engine that makes a container for a user."""
    return ["chroot", f"--userspec={NOBODY}:{NOBODY}", "/", str(program), "--version"]


WAYS = [setpriv, su, chroot]


def memory_owner(program: Path, command: list[str]) -> int:
    """Who owns /proc/PID/mem before the program's first instruction: root where it cannot be dumped, proc(5)."""
    done = subprocess.run([str(TOOLS / "dumpable"), program.name, *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tacet " in done.stdout
    return int(done.stdout.split()[1])


@pytest.fixture(params=[TACET, TACET_STATIC], ids=["dynamic", "static"])
def program(request: pytest.FixtureRequest) -> Path:
    """A copy in a folder that everybody may enter."""
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    folder.chmod(0o755)
    file = folder / Path(request.param).name
    file.write_bytes(Path(request.param).read_bytes())
    request.addfinalizer(lambda: (file.unlink(), folder.rmdir()))
    return file


def test_what_is_installed_is_executed_by_everybody_and_read_by_its_owner(tmp_path: Path) -> None:
    """The mode does not depend on the umask."""
    make = ["make", "-s", "-C", str(ROOT), "install", f"DESTDIR={tmp_path}", "PREFIX=/usr"]
    subprocess.run(make, check=True, capture_output=True, timeout=300, umask=0o077, env=os.environ | {"MAKEFLAGS": ""})
    status = (tmp_path / "usr/bin/tacet").stat()
    assert status.st_mode & 0o7777 == 0o711
    assert status.st_uid == os.geteuid()


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_cannot_be_read_is_undumpable_from_the_start(way: Callable[[Path], list[str]], program: Path) -> None:
    """The kernel does it at execve(2), so there is no moment in which another process of the user opens its memory."""
    program.chmod(0o711)
    assert memory_owner(program, way(program)) == 0
    program.chmod(0o755)
    assert memory_owner(program, way(program)) == NOBODY


@needs_root
def test_who_may_read_everything_may_read_the_program_too(program: Path) -> None:
    """setpriv(1) keeps root's capabilities until the program is executed: then its mode says nothing, as SECURITY.md tells."""
    program.chmod(0o711)
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(program), "--version"]
    assert memory_owner(program, command) == NOBODY
