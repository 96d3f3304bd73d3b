"""Silence: after everything that can happen to secrets, no byte of one is where it must not be."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from leaks import (
    Canaries,
    hunt_command_lines,
    hunt_core_image,
    hunt_descriptors,
    hunt_environments,
    hunt_files,
    hunt_memory,
)
from secrets_files import encrypt, vault_make
from support import PATIENCE_SECONDS, PROBE, TACET, Running, children_of, is_alive, run, wait_until

pytestmark = [pytest.mark.both, pytest.mark.skipif(os.geteuid() != 0, reason="the hunt reads as root")]


# What every identity begins with, the program's own text as well.
KEY_PREFIX = "AGE-SECRET-KEY-1"


class Scene:
    """A supervised program with canaries, and the hunt around it."""

    def __init__(self, folder: Path, *options: str, healthy: str = "200ms") -> None:
        self.folder = folder
        self.canaries = Canaries()
        self.vault = vault_make(folder / "vault", self.document())
        self.work = folder / "work"
        self.work.mkdir()
        self.log = folder / "log"
        self.key = next(
            line for line in self.vault.identity.read_text().splitlines() if line.startswith("AGE-SECRET-KEY")
        )
        self.canaries.values["identity"] = self.key.removeprefix(KEY_PREFIX)
        command = [TACET, "run", "-v", "-v", *self.vault.options, "--min-healthy", healthy, *options]
        # The program prints one line per start and nothing of its environment.
        self.running = Running(
            [*command, "--", PROBE, "wait"],
            cwd=self.work,
            environment={"TMPDIR": str(self.work)},
        )
        self.lines: list[str] = []

    def document(self) -> str:
        """A document with fresh canaries in each kind of value."""
        make = self.canaries.make
        return (
            f"PLAIN={make('plain')}\n"
            f"export QUOTED=\"{make('quoted')}\"\n"
            f"SINGLE='{make('single')}'\n"
            f"LINES=\"{make('lines')}\n{make('lines')}\"\n"
        )

    def expect(self, pattern: str) -> str:
        """Wait for a line of log or program; every line is kept for the hunt."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            line = self.running.line(max(0.05, deadline - time.monotonic()))
            self.lines.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line with /{pattern}/: {self.lines}")

    def program(self) -> int:
        """The pid of the program."""
        wait_until(lambda: len(children_of(self.running.pid)) == 1, "one program and no loader")
        return children_of(self.running.pid)[0]

    def rotate(self) -> None:
        """SIGHUP."""
        self.running.signal(signal.SIGHUP)

    def hunt(self, *allowed: int) -> list[str]:
        """Look everywhere."""
        supervisor = self.running.pid
        found = hunt_command_lines(self.canaries)
        found += hunt_environments(self.canaries, allowed)
        found += hunt_memory(self.canaries, supervisor)
        found += hunt_descriptors(self.canaries, supervisor)
        found += hunt_core_image(self.canaries, supervisor, self.folder)
        return found + self.hunt_traces()

    def hunt_traces(self) -> list[str]:
        """Look at what stays behind: log and files."""
        time.sleep(0.05)
        if self.running.process.poll() is not None:
            self.lines += self.running.rest(2).splitlines()
        found = self.canaries.find("\n".join(self.lines).encode() + self.running.buffer, "the log")
        folders = [self.work, Path("/dev/shm"), Path("/var/tmp"), Path("/run"), self.folder / "vault"]
        identity = self.vault.identity
        return found + [
            line
            for line in hunt_files(self.canaries, folders)
            if not (str(identity) in line and "identity" in line)
        ]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A started scene; the program is up."""
    made = Scene(tmp_path)
    with made.running:
        made.expect("^ready")
        yield made


def test_the_hunt_itself_finds_what_is_there(tmp_path: Path) -> None:
    """A hunt that cannot find anything proves nothing: a shell with the canary in all the wrong places."""
    canaries = Canaries()
    value = canaries.make("test")
    script = f'v={value}; echo "$v" > leaked; echo written; read go'
    with Running(["sh", "-c", script], cwd=tmp_path, environment={"V": value}, stdin=subprocess.PIPE) as running:
        running.line_with("^written")
        assert hunt_command_lines(canaries)
        assert hunt_environments(canaries, [])
        assert not hunt_environments(canaries, [running.process.pid])
        assert hunt_memory(canaries, running.process.pid)
        assert hunt_core_image(canaries, running.process.pid, tmp_path)
        assert hunt_files(canaries, [tmp_path])


def test_silent_after_the_start(scene: Scene) -> None:
    """The program has the values; nobody else."""
    environment = Path(f"/proc/{scene.program()}/environ").read_bytes()
    assert scene.canaries.find(environment, "the program")
    assert scene.hunt(scene.program()) == []


def test_silent_after_rotations(scene: Scene) -> None:
    """Old values and new ones."""
    for _ in range(3):
        scene.vault.write(scene.document())
        scene.rotate()
        scene.expect("^ready")
    assert scene.hunt(scene.program()) == []


def break_with_bad_line(scene: Scene) -> None:
    """The line holds a canary and no name."""
    scene.vault.write(f"PLAIN={scene.canaries.make('plain')}\n{scene.canaries.make('bad-line')} no assignment\n")


def break_with_open_quote(scene: Scene) -> None:
    """The value never ends."""
    scene.vault.write(f'PLAIN="{scene.canaries.make("open")}\nMORE={scene.canaries.make("open")}\n')


def break_with_duplicate(scene: Scene) -> None:
    """Two values for one name."""
    scene.vault.write(f"PLAIN={scene.canaries.make('first')}\nPLAIN={scene.canaries.make('second')}\n")


def break_with_bad_name(scene: Scene) -> None:
    """A secret where the name should be: a forgotten name is the most likely slip."""
    scene.vault.write(f"{scene.canaries.make('as-name')}-={scene.canaries.make('value')}\n")


def break_with_secret_as_name(scene: Scene) -> None:
    """A value alone on its line."""
    scene.vault.write(f"PLAIN={scene.canaries.make('plain')}\n{scene.canaries.make('alone')}\n")


def break_with_nul(scene: Scene) -> None:
    """A byte that no environment can hold."""
    scene.vault.write(f"PLAIN={scene.canaries.make('nul')}\0{scene.canaries.make('nul')}\n")


def break_with_size(scene: Scene) -> None:
    """One string over the kernel's limit."""
    scene.vault.write(f"PLAIN={scene.canaries.make('long')}{'x' * 140_000}\n")


def break_by_tearing(scene: Scene) -> None:
    """Half a file."""
    scene.vault.write(scene.document())
    whole = scene.vault.document.read_bytes()
    scene.vault.replace(whole[: len(whole) - 20])


def break_by_flipping(scene: Scene) -> None:
    """One bit of the payload."""
    scene.vault.write(scene.document())
    whole = bytearray(scene.vault.document.read_bytes())
    whole[-5] ^= 1
    scene.vault.replace(bytes(whole))


def break_by_plaintext(scene: Scene) -> None:
    """Somebody copied the plaintext over it. (The file itself is then what leaks; it is put away before the hunt.)"""
    scene.vault.replace(scene.document().encode())


def break_with_other_key(scene: Scene) -> None:
    """Encrypted to somebody else."""
    other = vault_make(scene.folder / "other", "X=1\n")
    scene.vault.replace(encrypt(scene.document().encode(), other.recipient))


def break_with_bad_identity(scene: Scene) -> None:
    """The identity file is torn in the middle of the key."""
    scene.vault.identity.write_text(scene.key[:-3] + "\n")


BREAKAGES = [
    break_with_bad_line,
    break_with_open_quote,
    break_with_duplicate,
    break_with_bad_name,
    break_with_secret_as_name,
    break_with_nul,
    break_with_size,
    break_by_tearing,
    break_by_flipping,
    break_by_plaintext,
    break_with_other_key,
    break_with_bad_identity,
]


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda function: function.__name__.removeprefix("break_"))
def test_silent_after_a_failed_rotation(scene: Scene, breakage: object) -> None:
    """Bad input gives an error that names the place, and not a byte of what stands there."""
    before = scene.program()
    good = scene.vault.document.read_bytes()
    key = scene.vault.identity.read_bytes()
    breakage(scene)
    scene.rotate()
    scene.expect(str(scene.folder))
    assert scene.program() == before
    scene.vault.replace(good)
    scene.vault.identity.write_bytes(key)
    assert scene.hunt(before) == []


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda function: function.__name__.removeprefix("break_"))
def test_silent_after_a_failed_first_load(tmp_path: Path, breakage: object) -> None:
    """`tacet run` and `tacet exec` end with an error; what they printed is harmless."""
    scene = object.__new__(Scene)
    scene.folder, scene.canaries = tmp_path, Canaries()
    scene.vault = vault_make(tmp_path / "vault", "PLAIN=nothing\n")
    scene.key = scene.vault.identity.read_text().splitlines()[-1]
    scene.canaries.values["identity"] = scene.key.removeprefix(KEY_PREFIX)
    breakage(scene)
    for verb in (["run", "-v", "-v"], ["exec"]):
        done = run([TACET, *verb, *scene.vault.options, "--", "echo", "started"], environment={"TMPDIR": str(tmp_path)})
        assert done.returncode != 0
        assert "started" not in done.stdout
        assert scene.canaries.find((done.stdout + done.stderr).encode(), "the output") == []


def test_silent_after_a_crash_of_the_program(tmp_path: Path) -> None:
    """Ended by SIGSEGV and started again from the sealed generation; no core limit of ours is lifted."""
    scene = Scene(tmp_path, "--restart", "always", "--restart-delay", "10ms")
    with scene.running:
        scene.expect("^ready")
        for number in (signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT):
            os.kill(scene.program(), number)
            scene.expect("^ready")
        assert scene.hunt(scene.program()) == []


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_silent_after_a_crash_of_the_loader(tmp_path: Path, number: int) -> None:
    """It dies with everything decrypted, while another source makes it wait, and core files allowed."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        scene = Scene(tmp_path, "-s", f"unix:{path}")
        with scene.running:
            client, _ = server.accept()
            client.sendall(b"EXTRA=by-socket\n")
            client.close()
            scene.expect("^ready")
            before = scene.program()
            run(["prlimit", f"--pid={scene.running.pid}", "--core=0:unlimited"])
            scene.vault.write(scene.document())
            scene.rotate()
            client, _ = server.accept()
            loader = next(pid for pid in children_of(scene.running.pid) if pid != before)
            assert hunt_environments(scene.canaries, [before]) == []
            assert hunt_command_lines(scene.canaries) == []
            os.kill(loader, number)
            client.close()
            scene.expect("(?i)load")
            assert is_alive(before)
            assert scene.hunt(before) == []
            assert not list(scene.work.glob("core*"))


def test_silent_when_a_new_instance_fails_and_the_old_values_come_back(tmp_path: Path) -> None:
    """The candidate is dropped, and with it its pages."""
    scene = Scene(tmp_path, healthy="100s")
    with scene.running:
        scene.expect("^ready")
        scene.vault.write(scene.document())
        scene.rotate()
        scene.expect("^ready")
        os.kill(scene.program(), signal.SIGKILL)
        scene.expect("^ready")
        assert scene.hunt(scene.program()) == []


def test_silent_after_the_end(scene: Scene) -> None:
    """Nothing is left in files, and the last words are harmless."""
    scene.running.signal(signal.SIGTERM)
    assert scene.running.wait() == 143
    assert scene.hunt_traces() == []
    assert hunt_command_lines(scene.canaries) == []


def test_silent_with_the_fallback_when_memory_cannot_be_hidden(tmp_path: Path) -> None:
    """Without memfd_secret the generation lies encrypted in a sealed memfd, and its key in one locked page.

    The limit of locked memory is what forbids it to an ordinary user."""
    scene = object.__new__(Scene)
    scene.folder, scene.canaries, scene.lines = tmp_path, Canaries(), []
    scene.vault = vault_make(tmp_path / "vault", scene.document())
    scene.work = tmp_path / "work"
    scene.work.mkdir()
    for path in (tmp_path, tmp_path / "vault", scene.work):
        path.chmod(0o755)
    os.chown(scene.vault.identity, 54323, 54323)
    scene.vault.document.chmod(0o644)
    drop = ["prlimit", "--memlock=0:0", "setpriv", "--reuid=54323", "--regid=54323", "--clear-groups"]
    command = [*drop, TACET, "run", "-v", "-v", *scene.vault.options, "--", PROBE, "wait"]
    outer = tmp_path
    while outer != Path("/tmp") and outer != Path("/"):
        outer.chmod(0o755)
        outer = outer.parent
    with Running(command, cwd=scene.work) as scene.running:
        scene.expect("^ready")
        program = scene.program()
        assert scene.canaries.find(Path(f"/proc/{program}/environ").read_bytes(), "the program")
        held = {os.readlink(link) for link in Path(f"/proc/{scene.running.pid}/fd").iterdir()}
        assert any(target.startswith("/memfd:") and "secretmem" not in target for target in held), held
        found = hunt_command_lines(scene.canaries) + hunt_environments(scene.canaries, [program])
        found += hunt_memory(scene.canaries, scene.running.pid) + hunt_descriptors(scene.canaries, scene.running.pid)
        found += hunt_core_image(scene.canaries, scene.running.pid, tmp_path)
        assert found == []


def test_secret_memory_require_refuses_the_fallback(tmp_path: Path) -> None:
    """Who insists gets an error that says what would help."""
    vault = vault_make(tmp_path / "vault", "A=value-of-a\n")
    for path in (tmp_path, tmp_path / "vault"):
        path.chmod(0o755)
    os.chown(vault.identity, 54323, 54323)
    vault.document.chmod(0o644)
    outer = tmp_path
    while outer != Path("/tmp") and outer != Path("/"):
        outer.chmod(0o755)
        outer = outer.parent
    drop = ["prlimit", "--memlock=0:0", "setpriv", "--reuid=54323", "--regid=54323", "--clear-groups"]
    done = run([*drop, TACET, "run", "--secret-memory", "require", *vault.options, "--", "echo", "started"])
    assert done.returncode != 0
    assert "started" not in done.stdout
    assert "memlock" in done.stderr.lower() or "locked" in done.stderr.lower()
