"""What somebody who controls a part of the surroundings tries: each was once possible, or nearly."""

from __future__ import annotations

import array
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import PROBE, TACET, Running, children_of, clean_environment, free_port, run, wait_until

LIST = ["ls", "-l", "/proc/self/fd"]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first-value\n")


# One process that keeps the pipe full, and orphans for PID 1 to write log lines about.
NOISY = """
import os
if os.fork() == 0:
    while True:
        os.write(2, b"x" * 4096)
while True:
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        os._exit(0)
    os.wait()
"""


def stands_in_a_write(pid: int) -> bool:
    """Say whether a process waits inside write(2) of a pipe."""
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text()


def test_an_app_that_fills_the_log_pipe_cannot_hold_the_supervisor_up() -> None:
    """Between "the pipe has room" and the write, the app may take the room."""
    reader, writer = os.pipe()
    running = subprocess.Popen(
        [TACET, "run", "-v", "-v", "--", sys.executable, "-c", NOISY],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    try:
        end = time.monotonic() + 6
        while time.monotonic() < end and not stands_in_a_write(running.pid):
            os.read(reader, 4096)
            time.sleep(0.0002)
        # From here on nobody reads.
        running.send_signal(signal.SIGTERM)
        assert running.wait() == 128 + signal.SIGTERM
    finally:
        running.kill()
        running.wait()
        os.close(reader)


@pytest.mark.parametrize("spec", ["fd:0", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_key_on_standard_input_is_not_the_programs_input(vault: Vault, verb: str, spec: str) -> None:
    """It would be the identity that the program reads."""
    with vault.identity.open() as key:
        done = run([TACET, verb, "-s", f"age:{vault.document}", "-i", spec, "--", *LIST], stdin_fd=key)
    assert " 0 -> /dev/null" in done.stdout, done.stderr + done.stdout
    assert str(vault.identity) not in done.stdout


@pytest.mark.parametrize("spec", ["fd:7", "/dev/fd/7"])
def test_a_key_on_a_descriptor_does_not_reach_the_program(vault: Vault, spec: str) -> None:
    """By number, and by the path that a shell writes for <(...)."""
    options = ["run", "-s", f"age:{vault.document}", "-i", spec, "--", *LIST]
    done = run(["sh", "-c", f'exec 7<"{vault.identity}"; exec "$0" "$@"', TACET, *options])
    assert done.returncode == 0, done.stderr
    assert str(vault.identity) not in done.stdout


def test_a_key_on_a_descriptor_that_the_program_writes_to_is_refused(vault: Vault) -> None:
    """There is nothing that could be put in its place."""
    assert run([TACET, "run", "-s", f"age:{vault.document}", "-i", "fd:2", "--", "true"]).returncode == 78


@pytest.mark.parametrize("claimed", [1, 2, 9, 64])
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_false_listen_fds_hands_out_nothing_of_tacet(vault: Vault, claimed: int, verb: str) -> None:
    """LISTEN_FDS says how many descriptors the program gets: never a key, a generation, or the event loop."""
    script = f'exec 3<"{vault.identity}"; export LISTEN_PID=$$ LISTEN_FDS={claimed}; exec "$0" "$@"'
    options = [verb, "-s", f"age:{vault.document}", "-i", "fd:3", "--", *LIST]
    done = run(["sh", "-c", script, TACET, *options])
    assert done.returncode == 0, done.stderr
    assert "LISTEN_FDS" in done.stderr
    for own in (str(vault.identity), "secretmem", "memfd", "eventpoll", "signalfd", "socket"):
        assert own not in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a file of another user")
@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_a_set_id_tacet_starts_nothing(tmp_path: Path, mode: int) -> None:
    """Whoever may execute it would be its owner."""
    program = tmp_path / "tacet"
    shutil.copy(TACET, program)
    os.chown(program, 65534, 65534)
    program.chmod(mode)
    done = run([str(program), "--", "id"])
    assert done.returncode == 125
    assert done.stdout == ""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("strace"), reason="needs root and strace")
def test_a_change_of_user_opens_no_memory_to_that_user(tmp_path: Path) -> None:
    """setresuid(2) sets dumpable to fs.suid_dumpable; until execve a process of that user could trace the shim."""
    log = tmp_path / "log"
    trace = ["strace", "-f", "-o", str(log), "-e", "trace=setresuid,prctl,vfork,clone,clone3,execve"]
    assert run([*trace, TACET, "run", "--user", "nobody", "--", "true"]).returncode == 0
    lines = log.read_text().splitlines()
    changed = next(index for index, line in enumerate(lines) if "setresuid(" in line)
    # Of this process: lines of another one may stand in between, even in the middle of a call.
    same = [line for line in lines[changed:] if line.split()[0] == lines[changed].split()[0] and " resumed>" not in line]
    assert "PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in same[1]
    assert not any("CLONE_VM" in line or "vfork(" in line for line in lines[:changed])


HERE = str(Path(__file__).parent)

# Sends a connection that lingers, and ends, which is no close(2) that waits.
SEND_LINGERING = """
import array, os, socket, sys
sys.path.insert(0, sys.argv[1])
from hold_up import lingering
connection = lingering(socket.socket(fileno=int(sys.argv[2])))
rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))
channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
channel.settimeout(30)
channel.sendmsg([b"FDSTORE=1"], [rights], 0, "\\0" + sys.argv[3])
os._exit(0)
"""


def notify_name(running: Running) -> str:
    """The abstract name of the notify socket; anybody reads it in /proc/net/unix."""
    return running.line_with("^NOTIFY_SOCKET=@").partition("@")[2]


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.both
def test_a_stranger_cannot_hold_the_supervisor_up_with_a_descriptor(count: int, pid1: bool) -> None:
    """The last close(2) of a connection that lingers waits: so it is nobody's who is needed."""
    app = f'"{PROBE}" env; exec sleep 1000'
    with Running([TACET, "run", "--ready", "notify", "--", "sh", "-c", app], pid1=pid1) as running:
        name = notify_name(running)
        with socket.create_server(("127.0.0.1", 0), backlog=count) as server:
            for _ in range(count):
                sender = [sys.executable, "-c", SEND_LINGERING, HERE, str(server.fileno()), name]
                assert subprocess.run(sender, pass_fds=[server.fileno()], timeout=60).returncode == 0
            # All of them have been taken when this one is: the queue is one.
            reader, writer = os.pipe()
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(30)
                channel.sendmsg([b"BARRIER=1"], [rights], 0, "\0" + name)
            os.close(writer)
            assert select.select([reader], [], [], 30)[0], "the queue does not move"
            os.close(reader)
            running.signal(signal.SIGTERM)
            assert running.wait(30) == 128 + signal.SIGTERM


# A connection that lingers takes the place of the socket that is bound, and its last copy is the one that was looked at.
BIND_LINGERING = """
import socket, sys, time
sys.path.insert(0, sys.argv[1])
from hold_up import lingering
server = socket.create_server(("127.0.0.1", 0))
connection = lingering(server)
connection.bind(("127.0.0.1", int(sys.argv[2])))
time.sleep(1000)
"""


@pytest.mark.both
def test_a_bind_of_what_lingers_cannot_hold_the_supervisor_up(pid1: bool) -> None:
    """The supervisor has no copy of the socket that it could be the last to close."""
    port = free_port()
    app = [sys.executable, "-c", BIND_LINGERING, HERE, str(port)]
    with Running([TACET, "run", "-v", "--ready", "exec", "--adopt", str(port), "--", *app], pid1=pid1) as running:
        running.line_with("has got the socket")  # and waits itself for the end of its connection
        running.signal(signal.SIGTERM)
        assert running.wait(30) == 128 + signal.SIGTERM


def can_mount_fuse() -> bool:
    """Say whether a file system of one's own can be had."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return os.geteuid() == 0


@pytest.mark.skipif(not can_mount_fuse(), reason="needs root and fuse(4)")
@pytest.mark.both
def test_memory_that_never_comes_cannot_hold_the_supervisor_up(tmp_path: Path, pid1: bool) -> None:
    """The address of a bind may stand in a mapped file of a file system that does not answer."""
    folder = tmp_path / "slow"
    folder.mkdir()
    port = free_port()
    app = [sys.executable, str(Path(__file__).parent / "servers" / "slow_memory.py"), str(folder)]
    with Running([TACET, "run", "--ready", "exec", "--adopt", str(port), "--", *app], pid1=pid1) as running:
        line = running.line_with("binding|no mount namespace|no file system")
        if "binding" not in line:
            pytest.skip(line)
        supervisor = running.pid
        wait_until(lambda: len(children_of(supervisor)) > 1, "a child looks at the bind")
        running.signal(signal.SIGTERM)
        assert running.wait(30) == 128 + signal.SIGTERM
