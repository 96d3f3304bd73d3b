"""Handoff to a new generation that is bad: the old one keeps serving, no request fails, and the log says why."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import PATIENCE_SECONDS, TACET, Running, free_port, wait_until
from timing import at_a_pace, duration

pytestmark = pytest.mark.both

SERVING = [sys.executable, str(Path(__file__).parent / "serving.py"), "only_bad=yes"]
TIMING = ("--min-healthy", "700ms", "--stop-timeout", "5s")
DONE = "rotation to generation 2 done"


class Load:
    """Requests one after the other, each on a connection of its own, until the end of the block."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: list[str] = []
        self.slowest = 0.0
        self.is_over = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def ask(self) -> str:
        """One request: the first line and the value that the server has, or what went wrong."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
                client.settimeout(PATIENCE_SECONDS)
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while chunk := client.recv(4096):
                    answer += chunk
        except OSError as error:
            return f"failed: {error}"
        status, _, rest = answer.decode().partition("\r\n")
        return f"{status.split(' ')[1] if ' ' in status else 'empty'} {rest.split()[-2] if rest else ''}"

    def run(self) -> None:
        """In a thread."""
        while not self.is_over:
            begin = time.monotonic()
            self.answers.append(self.ask())
            self.slowest = max(self.slowest, time.monotonic() - begin)
            time.sleep(0.003)

    def __enter__(self) -> Load:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over = True
        self.thread.join(2 * PATIENCE_SECONDS)

    def wrong(self) -> set[str]:
        """Answers that no client should have seen."""
        return {answer for answer in self.answers if not answer.startswith("200 ")}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first\n")


@pytest.fixture
def port() -> int:
    """A port that nobody uses now."""
    return free_port()


def started(vault: Vault, port: int, *words: str, options: tuple[str, ...] = (), **more: object) -> Running:
    """The server on a declared socket; it is as bad as `words` say when its value begins with bad."""
    command = [TACET, "run", "-v", *vault.options, "--strategy", "handoff", "--listen", f"http=127.0.0.1:{port}"]
    return Running([*command, *TIMING, *options, "--", *SERVING, *words], **more)


SOON_CRASHED = ("--min-healthy", "4s")  # long before it has proved itself
HTTP = ("--health", "http:/", "--health-timeout", "500ms")
BAD = {
    "exits at once": (["exit=3"], (), "status 3"),
    "is never ready": (["boot=1000"], (), "does not listen|no good health check|not ready"),
    "answers 503": (["status=503"], HTTP, "HTTP status 503"),
    "answers 503, one by one named": (["status=503"], ("--health", "http://http/"), "HTTP status 503"),
    "never answers": (["status=hang"], HTTP, "no answer within 500ms"),
    "crashes after 300 ms": (["crash=0.3"], SOON_CRASHED, "status 9"),
    "crashes after 300 ms, probed": (["crash=0.3"], (*HTTP, *SOON_CRASHED), "status 9"),
    "ignores TERM and is never ready": (["boot=1000", "ignore=yes"], (), "not ready"),
    "is disliked by a command": ([], ("--health", "exec:sh -c 'test $TACET_GENERATION = 1'"), "ended with status 1"),
    "never says READY=1": (["boot=1000"], ("--ready", "notify"), "no READY=1"),
}


def expect_way_back(running: Running, vault: Vault, port: int, reason: str) -> Load:
    """The new generation fails for that reason, and no client has had a bad answer meanwhile: that is never tried again."""
    running.line_with("generation 1 is up", 60)
    with Load(port) as load:
        vault.write("PASSWORD=bad\n")
        running.signal(signal.SIGHUP)
        lines: list[str] = []
        while not lines or "back on generation 1" not in lines[-1]:
            lines.append(running.line(60))
        time.sleep(0.2)
    if load.wrong():
        pytest.fail(f"{load.wrong()}: {lines}")
    assert any(re.search(reason, line) for line in lines), lines
    return load


@pytest.mark.parametrize("what", BAD)
def test_a_bad_generation_changes_nothing_for_clients(vault: Vault, what: str) -> None:
    """The former one goes on, the reason is said, and every request was answered by it."""
    words, options, reason = BAD[what]
    if "notify" in options:
        words = [*words, "notify=yes"]

    def ready_within(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        port = free_port()
        with started(vault, port, *words, options=(*options, "--ready-timeout", duration(seconds))) as running:
            load = expect_way_back(running, vault, port, reason)
            if "crash" not in what:  # it was well until then, so it may have been asked
                assert set(load.answers) == {"200 first"}
            running.signal(signal.SIGTERM)

    at_a_pace(ready_within, 5, 25)


@pytest.mark.parametrize("what", ["answers 503", "never answers", "is never ready", "crashes after 300 ms"])
def test_the_same_with_a_server_that_binds_its_port_itself(vault: Vault, what: str) -> None:
    """It knows nothing of tacet: its port is adopted, and the probe reaches the new one there before any client."""
    words, options, reason = BAD[what]

    def ready_within(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        port = free_port()
        command = [TACET, "run", "-v", *vault.options, "--strategy", "handoff", "--adopt", str(port), *TIMING, *options]
        command += ["--ready-timeout", duration(seconds)]
        with Running([*command, "--", *SERVING, f"port={port}", *words]) as running:
            expect_way_back(running, vault, port, reason)
            vault.write("PASSWORD=good\n")
            running.signal(signal.SIGHUP)
            running.line_with("rotation to generation 3 done", 60)
            assert Load(port).ask() == "200 good"

    at_a_pace(ready_within, 5, 25)


@pytest.mark.parametrize("options", [(), HTTP, ("--health", "tcp:"), ("--health", "tcp:http", "--ready", "probe")])
def test_a_slow_start_makes_nobody_wait(vault: Vault, port: int, options: tuple[str, ...]) -> None:
    """It boots for 6 s: until it serves the former one does, and no request takes long."""
    with started(vault, port, "boot=6", options=(*options, "--ready-timeout", "60s")) as running:
        running.line_with("generation 1 is up", 60)
        with Load(port) as load:
            time.sleep(0.2)
            vault.write("PASSWORD=bad-at-starting-only\n")
            running.signal(signal.SIGHUP)
            running.line_with(DONE, 60)
            wait_until(lambda: load.answers[-1] == "200 bad-at-starting-only", "the new one is asked")
        assert load.wrong() == set()
        assert load.slowest < 5.0


def test_with_replicas_every_instance_gives_its_own_sign(vault: Vault, port: int) -> None:
    """On sockets of their own: each is asked, and none is asked for another."""
    options = ("--replicas", "3", "--health", "http:/", "--health-socket", "--ready-timeout", "30s")
    with started(vault, port, "health=yes", "show=requests", options=options) as running:
        running.line_with("generation 1 is up", 60)
        with Load(port) as load:
            vault.write("PASSWORD=second\n")
            running.signal(signal.SIGHUP)
            running.line_with(DONE, 60)
            time.sleep(0.2)
        assert load.wrong() == set()


def test_a_declared_socket_is_ready_with_the_first_accept(vault: Vault, port: int) -> None:
    """Nothing was asked for: the server's own accept is the sign."""
    with started(vault, port, "boot=0.7") as running:
        running.line_with("^serving first")
        running.line_with("generation 1 is up")


def test_a_program_that_never_accepts_can_be_ready_all_the_same(vault: Vault, port: int) -> None:
    """With ready = exec."""
    with started(vault, port, "idle=yes", options=("--ready", "exec")) as running:
        running.line_with("generation 1 is up")


def test_a_program_that_never_accepts_is_not_ready(vault: Vault, port: int) -> None:
    """By itself."""
    with started(vault, port, "idle=yes", options=("--ready-timeout", "4s")) as running:
        running.line_with("failed: not ready in time")
        running.line_with("does not listen")
