"""Requests in flight when an instance is to be stopped: waited for by looking at its connections, whatever the server does at SIGTERM."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from pathlib import Path

import pytest
from support import TACET, run, wait_until
from traffic import DONE, Load, Service, labels_of, service, verdict

ROTATIONS = 4
servers = pytest.mark.parametrize("server", ["python", "node"])


def rotate_under_load(running: Service, rotations: int = ROTATIONS, mode: str = "careless") -> dict:
    """A fifth of the requests takes 300 ms; rotations one after the other."""
    load = Load(running.address, rate=100, slow=200)
    load.await_answers()
    for _ in range(rotations):
        running.await_log(DONE, running.rotate(mode))
        load.await_answers(30)
    return load.finish()


@servers
def test_a_server_without_a_handler_for_sigterm_loses_no_request(tmp_path: Path, server: str) -> None:
    """It ends at once when it is told to: so it is told when nothing runs."""
    with service(tmp_path, adopt=True, server=server, mode="careless") as running:
        report = rotate_under_load(running)
        assert not any(report["failed"].values()), verdict(report)
        assert labels_of(report).keys() == {"careless"}
        assert re.search(r"\d requests? of generation \d+ ran: waited for", running.log)


def cuts(log: str) -> int:
    """How many requests tacet says were cut."""
    return sum(int(number) for number in re.findall(r"(\d+) requests? of generation \d+ (?:was|were) cut", log))


@servers
def test_without_looking_it_loses_some_and_they_are_counted(tmp_path: Path, server: str) -> None:
    """So the test above can see it; and what clients saw is what tacet says."""
    with service(tmp_path, "--drain-timeout", "0s", adopt=True, server=server, mode="careless") as running:
        report = rotate_under_load(running)
        failed = sum(report["failed"].values())
        assert failed, verdict(report)
        wait_until(lambda: cuts(running.log) >= failed, f"{failed} are said to be cut: {running.log}")
        assert cuts(running.log) == failed, running.log


def test_what_outlives_drain_timeout_is_cut_and_the_answer_counts_it(tmp_path: Path) -> None:
    """Three requests without an answer, and one that was answered: by the log, by `rotate` in words and in JSON, by `status`."""
    control = str(tmp_path / "control")
    options = ["--drain-timeout", "500ms", "--control", control]
    with service(tmp_path, *options, adopt=True, server="node", mode="careless") as running, contextlib.ExitStack() as stack:
        host, port = running.address.rsplit(":", 1)

        def ask(path: str) -> socket.socket:
            client = stack.enter_context(socket.create_connection((host, int(port))))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return client

        def rotate(*words: str) -> str:
            answered = ask("/")
            assert answered.recv(4096)
            for _ in range(3):
                ask("/never")
            time.sleep(0.2)  # they are read, and not in the tick of the answer
            running.vault.write(f"MODE=careless\nGENERATION={time.monotonic_ns()}\n")
            done = run([TACET, "rotate", "--control", control, *words])
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "runs; 3 requests were cut (" in rotate("--wait")
        assert json.loads(rotate("--json"))["cut"] == 3
        assert json.loads(run([TACET, "status", "--control", control, "--json"]).stdout)["cut"] == 6
        assert cuts(running.log) == 6


def test_a_server_that_answers_before_it_ends_cuts_nothing(tmp_path: Path) -> None:
    """It has requests when it is told to stop, and ends with the last of them: no look could tell that from a cut."""
    with service(tmp_path, "--drain-timeout", "0s", adopt=True, server="node") as running:
        report = rotate_under_load(running, mode="good")
        assert not any(report["failed"].values()), verdict(report)
        assert cuts(running.log) == 0, running.log


@pytest.mark.parametrize("surge", ["1", "3"])
def test_replicas_lose_no_request_either(tmp_path: Path, surge: str) -> None:
    """Three old ones beside their successors, one after the other or all together."""
    options = ["--replicas", "3", "--max-surge", surge, "--min-healthy", "100ms"]
    with service(tmp_path, *options, adopt=True, server="node", mode="careless") as running:
        report = rotate_under_load(running)
        assert not any(report["failed"].values()), verdict(report)


def test_a_canary_loses_no_request(tmp_path: Path) -> None:
    """It has a quarter of the connections, and then all."""
    options = ["--replicas", "2", "--canary", "25%", "--canary-time", "500ms", "--min-healthy", "100ms"]
    with service(tmp_path, *options, adopt=True, server="node", mode="careless") as running:
        report = rotate_under_load(running, 2)
        assert not any(report["failed"].values()), verdict(report)


def test_half_a_request_holds_a_rotation_up_until_drain_timeout(tmp_path: Path) -> None:
    """Then it is said how many there were."""
    with service(tmp_path, "--drain-timeout", "6s", adopt=True, server="node", mode="careless") as running:
        host, port = running.address.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.1)  # accepted, and read: else it is the accept queue that holds it
            began = time.monotonic()
            log = running.await_log(DONE, running.rotate("careless"))
            assert time.monotonic() - began > 6
        assert re.search("warning: .*still has requests that run after drain_timeout", log), log


def test_requests_are_waited_for_where_the_queue_is_not(tmp_path: Path) -> None:
    """The looks begin, and end, with queue_timeout = 0 as well."""
    options = ["--drain-timeout", "60s", "--queue-timeout", "0s"]
    with service(tmp_path, *options, adopt=True, server="node", mode="careless") as running:
        running.await_log(DONE, running.rotate("careless"), 30)


def test_an_idle_connection_holds_nothing_up(tmp_path: Path) -> None:
    """Clients keep connections open without asking anything."""
    with service(tmp_path, "--drain-timeout", "60s", adopt=True, server="node", mode="careless") as running:
        host, port = running.address.rsplit(":", 1)
        with socket.create_connection((host, int(port))):
            running.await_log(DONE, running.rotate("careless"), 30)


def test_a_stop_does_not_wait_twice(tmp_path: Path) -> None:
    """SIGTERM to tacet ends the wait for requests of a rotation; a second one ends it at once."""
    with service(tmp_path, "--drain-timeout", "100s", adopt=True, server="node", mode="careless") as running:
        host, port = running.address.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"GET / HTTP/1.1\r\n")
            said = running.rotate("careless")
            running.await_log("empty accept queue", said)
            running.running.signal(15)
            assert running.running.wait() is not None
