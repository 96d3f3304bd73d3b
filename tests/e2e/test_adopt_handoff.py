"""Handoff of servers that bind their own port: clients come all the time, with a new connection each, and none fails."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from adopted_servers import PYTHON, SERVER_SECONDS, SERVER_TIMEOUTS, SERVERS, STOP_SIGNALS, fetch, gunicorn_local
from secrets_files import Vault, vault_make
from support import TACET, Running, free_port, queued_at, state_of, wait_until

CLIENTS = 3


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=value-0\n")


class Clients:
    """Closed-loop clients: each asks, waits for the answer, asks again."""

    def __init__(self, place: int | str) -> None:
        self.place = place
        self.failed: list[str] = []
        self.answers: Counter[str] = Counter()
        self.longest_seconds = 0.0
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(CLIENTS)]

    def ask(self) -> None:
        """One client's life."""
        while not self.is_over.is_set():
            began = time.monotonic()
            try:
                self.answers[fetch(self.place, seconds=SERVER_SECONDS)] += 1
            except (OSError, ValueError) as error:
                self.failed.append(f"{error!r} after {time.monotonic() - began:.3f} s")
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)

    def pids(self) -> set[str]:
        """Who has answered so far."""
        return {answer.split()[0] for answer in list(self.answers)}

    def values(self) -> set[str]:
        """With which secrets."""
        return {answer.split()[1] for answer in list(self.answers)}

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join(60)


def command_of(vault: Vault, port: int | str, show: Sequence[str], *options: str) -> list[str]:
    """A server whose port is adopted and whose generations overlap."""
    rollout = ["--strategy", "handoff", "--min-healthy", "50ms", "--adopt", str(port), "--log-level", "info"]
    return [TACET, "run", *vault.options, *rollout, *SERVER_TIMEOUTS, *options, "--", *show]


def handing_over(vault: Vault, port: int | str, show: Sequence[str], *options: str) -> Running:
    """Start it."""
    return Running(command_of(vault, port, show, *options))


def rotate(running: Running, vault: Vault, number: int) -> None:
    """Move to new secrets and wait for the end of it."""
    vault.write(f"PASSWORD=value-{number}\n")
    running.signal(signal.SIGHUP)
    line = running.line_with("rotation to generation .* (done|failed|halted)|going back", SERVER_SECONDS)
    assert " done" in line, line


@pytest.mark.parametrize("kind", SERVERS)
def test_no_request_fails_while_an_unmodified_server_is_handed_over(kind: str, vault: Vault, tmp_path: Path) -> None:
    """Several rotations; every generation answers, and the last one alone in the end."""
    port = free_port()
    stop = ["--stop-signal", STOP_SIGNALS.get(kind, "TERM")]
    with handing_over(vault, port, SERVERS[kind](tmp_path, port), *stop) as running:
        running.line_with("is up", SERVER_SECONDS)
        with Clients(port) as clients:
            tells = kind != "nginx"
            for number in range(3):
                if number > 0:
                    rotate(running, vault, number)
                wait_until(lambda n=number: len(clients.pids()) > n, "another one has answered", SERVER_SECONDS)
                if tells:
                    wait_until(lambda n=number: f"value-{n}" in clients.values(), "it has the new value", SERVER_SECONDS)
        assert not clients.failed
        if tells:
            assert clients.values() == {f"value-{number}" for number in range(3)}
            assert fetch(port).split()[1] == "value-2"


def test_no_request_fails_while_a_server_of_a_unix_socket_is_handed_over(vault: Vault, tmp_path: Path) -> None:
    """Although it removes the socket's file twice in its life."""
    path = str(tmp_path / "app.sock")
    with handing_over(vault, path, gunicorn_local(tmp_path, path)) as running:
        running.line_with("is up", SERVER_SECONDS)
        with Clients(path) as clients:
            for number in (1, 2):
                rotate(running, vault, number)
        assert not clients.failed
        assert fetch(path).split()[1] == "value-2"


def test_no_request_fails_while_replicas_are_handed_over(vault: Vault, tmp_path: Path) -> None:
    """Replicas of one generation share its socket, so each may take what another one leaves."""
    port = free_port()
    options = ["--replicas", "3"]
    with handing_over(vault, port, SERVERS["node"](tmp_path, port), *options) as running:
        running.line_with("is up", SERVER_SECONDS)
        with Clients(port) as clients:
            for number in (1, 2):
                rotate(running, vault, number)
        assert not clients.failed
        assert fetch(port).split()[1] == "value-2"


def test_a_crashed_instances_queue_waits_for_its_successor(vault: Vault, tmp_path: Path) -> None:
    """The socket is the supervisor's: who stood in the queue, and who comes while nobody serves, is served a little later."""
    port, may_boot = free_port(), tmp_path / "may-boot"
    may_boot.touch()
    show = [PYTHON, str(Path(__file__).parent / "serving.py"), f"port={port}", f"boot=@{may_boot}"]
    options = ["--restart", "always", "--restart-delay", "10ms"]
    with ThreadPoolExecutor() as pool, handing_over(vault, port, show, *options) as running:
        running.line_with("is up", SERVER_SECONDS)
        first = fetch(port).split()[1]
        may_boot.unlink()
        os.kill(int(first), signal.SIGSTOP)
        wait_until(lambda: state_of(int(first)) == "T", "it accepts nobody")
        waiting = [pool.submit(fetch, port, seconds=SERVER_SECONDS)]
        wait_until(lambda: queued_at(port) == 1, "one stands in its queue")
        os.kill(int(first), signal.SIGKILL)
        running.line_with("killed by SIGKILL")
        waiting.append(pool.submit(fetch, port, seconds=SERVER_SECONDS))
        running.line_with("Spawned")
        wait_until(lambda: queued_at(port) == 2, "two wait for the next one")
        assert not any(client.done() for client in waiting)
        may_boot.touch()
        successors = {client.result().split()[1] for client in waiting}
        assert len(successors) == 1
        assert first not in successors


def test_where_nothing_can_be_adopted_instances_are_replaced(vault: Vault, tmp_path: Path) -> None:
    """Inside another tacet that adopts: two cannot have the port, so the old one stops first, and the rotation succeeds."""
    port = free_port()
    inner = command_of(vault, port, SERVERS["python"](tmp_path, port))
    outer = [TACET, "run", "--adopt", str(free_port()), "--ready", "exec", "--", *inner]
    with Running(outer) as running:
        running.line_with("cannot be adopted")
        running.line_with("is up", SERVER_SECONDS)
        inside = running.child
        vault.write("PASSWORD=value-1\n")
        os.kill(inside, signal.SIGHUP)
        running.line_with("rotation to generation 2 done", SERVER_SECONDS)

        def has_new_value() -> bool:
            with contextlib.suppress(OSError):
                return fetch(port).split()[1] == "value-1"
            return False

        wait_until(has_new_value, "the new one answers")


TWO_PORTS = """
import os, signal, socket, sys, time
sys.stdout.reconfigure(line_buffering=True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
sockets = [socket.socket() for _ in sys.argv[1:]]
for plain, number in zip(sockets, sys.argv[1:]):
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plain.bind(("0.0.0.0", int(number)))
    plain.listen()
time.sleep(1000)
"""


def test_a_second_port_that_adopt_does_not_name_is_told(vault: Vault, tmp_path: Path) -> None:
    """At the first bind of a generation, and when the next one fails for it; with its option both go over."""
    port, other = free_port(), free_port()
    app = tmp_path / "app.py"
    app.write_text(TWO_PORTS)
    show = [PYTHON, str(app), str(port), str(other)]
    told = rf"0\.0\.0\.0:{other}, which adopt does not name, so two generations cannot have it at a time: "
    told += rf"add it \(--adopt {other}\)"
    with handing_over(vault, port, show) as running:
        running.line_with(f"the app of generation 1 binds {told}")
        running.line_with("generation 1 is up")
        vault.write("PASSWORD=value-1\n")
        running.signal(signal.SIGHUP)
        running.line_with(f"the app of generation 2 binds {told}")
        running.line_with("the app of generation 2 failed: exited, status 1")
        running.line_with(f"the app of generation 2 had bound {told}")
        running.line_with("back on generation 1")
    with handing_over(vault, port, show, "--adopt", str(other)) as running:
        running.line_with("generation 1 is up")
        rotate(running, vault, 2)


def test_another_address_than_that_of_adopt_is_told_at_once(tmp_path: Path) -> None:
    """Not after ready_timeout, and with what to write; one instance at a time has no successor to meet."""
    port = free_port()
    app = tmp_path / "app.py"
    app.write_text(TWO_PORTS)
    options = ["--adopt", f"127.0.0.1:{port}", "--ready-timeout", "500ms"]
    with Running([TACET, "run", *options, "--", PYTHON, str(app), str(port)]) as running:
        running.line_with(rf"generation 0 binds 0\.0\.0\.0:{port}, which adopt does not name: add it \(--adopt {port}\)")
        running.line_with("does not listen")
        running.line_with(rf"generation 0 had bound 0\.0\.0\.0:{port}, which adopt does not name: add it")
