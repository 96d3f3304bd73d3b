"""Who gets a connection while generations change: an own socket for each, one for all, and the queues in between.

The app of these tests drains as badly as an app can: at SIGTERM it is gone, with whatever it has in its hands. Only where that
cannot be helped does it wait for the moment between two requests."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import TACET, Running, children_of, free_port, is_alive, queued_at, run, wait_asleep, wait_until
from timing import at_a_pace, duration

pytestmark = pytest.mark.both

# What it says of itself is its secret; how it serves is the secret's first word.
APP = """
import os, select, signal, socket, time
word = os.environ["PASSWORD"]
drains = "DRAINS" in os.environ
if drains:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
time.sleep(float(os.environ.get("BOOT", "0")))
listening = socket.socket(fileno=3)
print("up:" + word, flush=True)
while word.startswith("stuck"):
    time.sleep(1)
while signal.SIGTERM not in signal.sigpending():
    if drains and not select.select([listening], [], [], 0.02)[0]:
        continue
    connection = listening.accept()[0]
    if word.startswith("lazy"):
        time.sleep(0.02)
    connection.sendall(word.encode())
    connection.close()
"""


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first\n")


@pytest.fixture
def port() -> int:
    """A port that nobody has."""
    return free_port()


def started(vault: Vault, listen: object, *options: str, strategy: str = "handoff") -> Running:
    """Start the app with one socket; it is ready as soon as it runs, whether it accepts or not."""
    tacet = [TACET, "run", "-v", *vault.options, "--ready", "exec", "--min-healthy", "100ms", "--strategy", strategy]
    return Running([*tacet, "--listen", f"web={listen}", *options, "--", "/usr/bin/python3", "-c", APP])


def answer(port: int, host: str = "127.0.0.1", seconds: float = 30.0) -> str:
    """Connect and read what is said; an error when the connection is refused or reset."""
    with socket.create_connection((host, port), timeout=seconds) as client:
        text = b""
        while chunk := client.recv(100):
            text += chunk
    return text.decode()


def rotate(vault: Vault, running: Running, word: str) -> None:
    """Give the secret another value and ask for the rotation."""
    vault.write(f"PASSWORD={word}\n")
    running.signal(signal.SIGHUP)


def test_the_new_generation_gets_every_client_once_it_has_proved_itself(vault: Vault) -> None:
    """Over both families, from one dual-stack socket."""

    def proved_after(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        port = free_port()
        with started(vault, port, "--min-healthy", duration(seconds), "--hold", "300ms") as running:
            running.line_with(f"listening on .*{port}: a socket for each instance")
            running.line_with("generation 1 is up")
            for number, word in enumerate(["second", "third", "fourth"]):
                before = ["first", "second", "third"][number]
                assert {answer(port), answer(port, "::1")} == {before}
                rotate(vault, running, word)
                running.line_with(f"up:{word}")
                assert answer(port) == before  # it runs, but has not proved itself
                wait_until(lambda word=word: answer(port) == word, "the new one is steered to")
                assert {answer(port, host) for host in ("127.0.0.1", "::1") for _ in range(10)} == {word}
                running.line_with("done")

    at_a_pace(proved_after, 1, 6, 20)


def test_somebody_else_in_the_group_is_told_of_with_a_way_out(vault: Vault, port: int) -> None:
    """A process of the same user joined it: the kernel counts its socket, so a new generation is not safe any more."""
    with started(vault, f"127.0.0.1:{port}") as running:
        running.line_with("generation 1 is up")
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", port))
            stranger.listen(16)
            assert answer(port) == "first"  # it gets nothing as long as nothing is new
            rotate(vault, running, "second")
            inode = os.fstat(stranger.fileno()).st_ino
            running.line_with(f"1 socket of somebody else on 127.0.0.1:{port} .user {os.geteuid()}, inode {inode}.")
            running.line_with("ss -ltnpe")


@pytest.mark.parametrize("adopt", [False, True], ids=["declared", "adopted"])
def test_who_waits_for_a_generation_that_died_is_served_by_the_next_one(vault: Vault, port: int, adopt: bool) -> None:
    """The restart of the old one is a long way off, and the new secret comes first: it also gets the queue of the old one."""
    restarts = ["--restart", "always", "--restart-delay", "10m", "--restart-delay-max", "10m", "--min-healthy", "100ms"]
    tacet = [TACET, "run", "-v", *vault.options, "--strategy", "handoff", *restarts]
    bind = "socket.create_server(('127.0.0.1', int(os.environ['PORT'])))"
    app = APP.replace("socket.socket(fileno=3)", bind) if adopt else APP
    sockets = ["--adopt", str(port)] if adopt else ["--ready", "exec", "--listen", f"web=127.0.0.1:{port}"]
    command = [*tacet, *sockets, "--", "/usr/bin/python3", "-c", app]
    with Running(command, environment={"PORT": str(port)}) as running, ThreadPoolExecutor() as pool:
        running.line_with("generation 1 is up")
        assert answer(port) == "first"
        os.kill(running.child, signal.SIGKILL)
        running.line_with("killed by SIGKILL")
        waiting = [pool.submit(answer, port) for _ in range(3)]
        wait_until(lambda: queued_at(port) == 3, "three clients wait")
        rotate(vault, running, "second")
        assert [client.result() for client in waiting] == ["second"] * 3
        assert answer(port) == "second"
        running.line_with("done")


def test_the_old_generation_accepts_all_that_waits_before_it_is_stopped(vault: Vault) -> None:
    """It answers fifty a second, half of what comes, and dies of SIGTERM: nobody who waits may find out."""

    def proved_after(seconds: float) -> None:
        vault.write("PASSWORD=lazy-first\n")
        port = free_port()
        options = ["--min-healthy", duration(seconds), "--queue-timeout", "200s"]
        with started(vault, f"127.0.0.1:{port}", *options) as running, ThreadPoolExecutor(150) as pool:
            running.line_with("generation 1 is up")
            rotate(vault, running, "second")
            running.line_with("up:second")
            answers = []
            for _ in range(150):
                answers.append(pool.submit(answer, port, seconds=100))
                time.sleep(seconds / 100)
            running.line_with("done", seconds=100)
            said = [one.result() for one in answers]
            assert set(said) == {"lazy-first", "second"}

    at_a_pace(proved_after, 1, 6)


def test_who_waits_for_a_generation_that_never_accepts_is_served_by_a_later_one(vault: Vault, port: int) -> None:
    """Not at once: their connections stand in its queue, which only a new process can be given. But none is reset."""
    vault.write("PASSWORD=stuck\n")
    with started(vault, f"127.0.0.1:{port}", "--queue-timeout", "200ms") as running, ThreadPoolExecutor(3) as pool:
        running.line_with("generation 1 is up")
        waiting = [pool.submit(answer, port, seconds=100) for _ in range(3)]
        wait_until(lambda: queued_at(port) == 3, "three wait in the queue")
        rotate(vault, running, "second")
        running.line_with("generation 1 is gone and left 3 connections unaccepted: the next instance that is started gets them")
        assert answer(port) == "second"
        assert not any(one.done() for one in waiting)
        rotate(vault, running, "third")
        running.line_with("done", seconds=60)
        assert [one.result() for one in waiting] == ["third"] * 3
        assert answer(port) == "third"


def test_with_one_instance_at_a_time_clients_wait_for_the_next(vault: Vault, port: int) -> None:
    """They wait at the socket of the next one: a restart is latency, not an error."""
    options = ["--env", "BOOT=0.3", "--env", "DRAINS=1", "--restart", "always", "--restart-delay", "200ms"]
    with started(vault, f"127.0.0.1:{port}", *options, strategy="restart") as running, ThreadPoolExecutor(40) as pool:
        running.line_with("listening on .*: a socket for each instance")
        running.line_with("generation 1 is up")
        assert answer(port) == "first"
        rotate(vault, running, "second")
        answers = []
        for _ in range(40):
            answers.append(pool.submit(answer, port, seconds=100))
            time.sleep(0.02)
        running.line_with("done", seconds=60)
        assert {one.result() for one in answers} <= {"first", "second"}
        assert answer(port) == "second"
        child = running.child
        os.kill(child, signal.SIGKILL)  # a crash is no other
        wait_until(lambda: not is_alive(child), "it is gone")
        assert answer(port) == "second"


def test_a_crash_leaves_the_queue_to_the_successor(vault: Vault, port: int) -> None:
    """It gets the socket of its generation, also where each has its own."""
    options = ["--env", "BOOT=0.3", "--restart", "always", "--restart-delay", "100ms"]
    with started(vault, f"127.0.0.1:{port}", *options) as running:
        running.line_with("up:first")
        child = running.child
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: not is_alive(child), "it is gone")
        assert answer(port) == "first"


def test_a_bad_generation_is_never_steered_to(vault: Vault) -> None:
    """It exits while the old one serves; its socket goes, and the next one's is found at its place."""

    def ends_within(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        port = free_port()
        with started(vault, f"127.0.0.1:{port}", "--min-healthy", duration(seconds)) as running:
            running.line_with("generation 1 is up")
            for bad in ("bad-one", "bad-two"):
                rotate(vault, running, bad)
                running.line_with(f"up:{bad}")
                child = children_of(running.pid)[-1]
                assert {answer(port) for _ in range(20)} == {"first"}
                os.kill(child, signal.SIGKILL)
                running.line_with("back on generation")
                assert {answer(port) for _ in range(20)} == {"first"}
                rotate(vault, running, "good")
                running.line_with("done")
                assert {answer(port) for _ in range(20)} == {"good"}
                rotate(vault, running, "first")
                running.line_with("done")

    at_a_pace(ends_within, 1.5, 8, 20)


def test_several_replicas_share_the_socket_of_their_generation(vault: Vault, port: int) -> None:
    """While they change over one by one, clients go by how many of each there are."""
    options = ["--replicas", "3", "--min-healthy", "3s"]
    with started(vault, f"127.0.0.1:{port}", *options) as running:
        running.line_with("generation 1 is up")
        rotate(vault, running, "second")
        seen: list[str] = []
        wait_until(lambda: seen.append(answer(port)) or seen[-20:] == ["second"] * 20, "all have changed over", 100)
        first_new, last_old = seen.index("second"), len(seen) - 1 - seen[::-1].index("first")
        assert first_new < last_old  # both served for a time
        running.line_with("done", seconds=60)


def test_an_address_in_use_ends_the_start(vault: Vault, port: int) -> None:
    """Even if whoever has it would share it: said before anything is loaded or started."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        done = run([TACET, "run", *vault.options, "--listen", f"127.0.0.1:{port}", "--", "echo", "started"])
    assert done.returncode == 125
    assert "started" not in done.stdout
    assert re.search(rf"listen on 127\.0\.0\.1:{port} \(bind\): Address (already )?in use", done.stderr)
    assert "ss -lp" in done.stderr


def test_after_the_end_nobody_listens(vault: Vault, port: int, tmp_path: Path) -> None:
    """The port refuses, the file of a unix socket is gone; while it was there it had its mode."""
    path = tmp_path / "app.sock"
    config = tmp_path / "tacet.ini"
    config.write_text(f"[socket web]\nlisten = 127.0.0.1:{port}\n[socket local]\nlisten = {path}\nmode = 0660\n")
    command = [TACET, "run", "-v", "-c", str(config), *vault.options, "--ready", "exec"]
    with Running([*command, "--", "/usr/bin/python3", "-c", APP]) as running:
        running.line_with(f"listening on {path}: one socket for all instances, because it is a unix socket")
        running.line_with("up:first")
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert answer(port) == "first"
        running.signal(signal.SIGTERM)
        running.wait()
    assert not path.exists()
    with pytest.raises(ConnectionRefusedError):
        answer(port)


def test_sockets_do_not_wake_the_supervisor(vault: Vault, port: int) -> None:
    """With a steered socket and nothing to do it sleeps: its time on the processor does not grow."""
    with started(vault, f"127.0.0.1:{port}") as running:
        running.line_with("generation 1 is up")
        rotate(vault, running, "second")
        running.line_with("done")
        wait_asleep(running.pid)


def test_a_canary_gets_its_share_of_the_clients(vault: Vault) -> None:
    """For its time; then everybody goes where it is."""

    def canary_for(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        port = free_port()
        options = ["--canary", "25%", "--canary-time", duration(seconds)]
        with started(vault, f"127.0.0.1:{port}", *options) as running:
            running.line_with("generation 1 is up")
            rotate(vault, running, "second")
            running.line_with(f"is the canary for {seconds:g}s")
            answers = [answer(port) for _ in range(200)]
            assert 15 <= answers.count("second") <= 100  # 50 are expected
            running.line_with("done", seconds=100)
            assert {answer(port) for _ in range(20)} == {"second"}

    at_a_pace(canary_for, 2, 10, 40)
