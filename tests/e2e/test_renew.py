"""Shared sockets that an app has shut down, or whose file is gone: the next instance gets one that clients reach."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import ROOT, TACET, Running, free_port, wait_until

ENDING = ["/usr/bin/python3", str(ROOT / "tests" / "e2e" / "servers" / "ending.py")]


def answer_of(address: str) -> str:
    """Which generation answers at a port or path; empty when nobody does."""
    try:
        with socket.socket(socket.AF_UNIX if "/" in address else socket.AF_INET) as client:
            client.settimeout(10)
            client.connect(address if "/" in address else ("127.0.0.1", int(address)))
            return client.makefile().readline().strip()
    except OSError:
        return ""


@contextmanager
def ending(folder: Path, address: str, ending: str, *options: str) -> Iterator[tuple[Running, Vault]]:
    """A service whose server ends like that."""
    vault = vault_make(folder / "vault", "TOKEN=1\n")
    place = [] if "--listen" in options else ["--adopt", address]
    command = [TACET, "run", "-v", *vault.options, *place, "--min-healthy", "100ms", *options, "--", *ENDING]
    with Running(command, environment={"ADDRESS": address, "ENDING": ending}) as running:
        running.pid_of_app = int(running.line_with("Spawned child process").rsplit(" ", 1)[1])
        running.line_with("generation 1 is up")
        yield running, vault


def rotate(running: Running, vault: Vault, number: int) -> None:
    """New secrets, and the end of the rotation."""
    vault.write(f"TOKEN={number}\n")
    running.signal(signal.SIGHUP)
    assert "done" in running.line_with(r"rotation to generation \d+ (done|failed)|going back")


@pytest.mark.parametrize(("kind", "strategy"), [("tcp", "restart"), ("tcp", "handoff"), ("unix", "restart")])
def test_a_server_that_shuts_its_listener_down_is_reached_after_a_rotation(tmp_path: Path, kind: str, strategy: str) -> None:
    """As starman does."""
    address = str(free_port()) if kind == "tcp" else str(tmp_path / "socket")
    with ending(tmp_path, address, "shutdown", "--strategy", strategy) as (running, vault):
        assert answer_of(address) == "1"
        for number in (2, 3):
            rotate(running, vault, number)
            wait_until(lambda number=number: answer_of(address) == str(number), f"generation {number} answers")


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_server_that_shuts_its_listener_down_is_reached_after_a_restart(tmp_path: Path, kind: str) -> None:
    """Ended from outside, under restart = always."""
    address = str(free_port()) if kind == "tcp" else str(tmp_path / "socket")
    with ending(tmp_path, address, "shutdown", "--restart", "always", "--restart-delay", "10ms") as (running, _):
        os.kill(running.pid_of_app, signal.SIGTERM)
        running.line_with("made again|the app is ready")
        wait_until(lambda: answer_of(address) == "1", "it answers again")


@pytest.mark.parametrize("strategy", ["restart", "handoff"])
def test_a_socket_file_that_is_gone_is_made_again(tmp_path: Path, strategy: str) -> None:
    """Somebody has cleaned up the folder: the next rotation mends it."""
    path = tmp_path / "socket"
    with ending(tmp_path, str(path), "", "--strategy", strategy) as (running, vault):
        path.unlink()
        assert answer_of(str(path)) == ""
        rotate(running, vault, 2)
        wait_until(lambda: answer_of(str(path)) == "2", "generation 2 answers")


def test_a_file_of_somebody_else_in_its_place_is_left_alone(tmp_path: Path) -> None:
    """It is said, and who has the socket goes on with it."""
    path = tmp_path / "socket"
    with ending(tmp_path, str(path), "") as (running, vault):
        path.unlink()
        path.write_text("mine")
        vault.write("TOKEN=2\n")
        running.signal(signal.SIGHUP)
        running.line_with("a file that is no socket has this name")
        running.line_with("rotation to generation 2 done")
        assert path.read_text() == "mine"


@pytest.mark.parametrize("strategy", ["restart", "handoff"])
def test_a_declared_file_that_the_old_instance_removes_is_put_back(tmp_path: Path, strategy: str) -> None:
    """As php-fpm does at its end; the new one has the same socket, and clients reach it at once."""
    path = tmp_path / "socket"
    options = ["--strategy", strategy, "--listen", f"web={path}"]
    with ending(tmp_path, str(path), "unlink", *options) as (running, vault):
        inode = path.stat().st_ino
        for number in (2, 3):
            vault.write(f"TOKEN={number}\n")
            running.signal(signal.SIGHUP)
            running.lines_with("is put back", r"rotation to generation \d+ done")
            assert answer_of(str(path)) == str(number)
        assert path.stat().st_ino == inode
        running.signal(signal.SIGTERM)
        running.wait()
    assert not [name for name in os.listdir(tmp_path) if "socket" in name]


def test_the_second_name_of_one_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    """The next tacet makes its own."""
    path = tmp_path / "socket"
    options = ["--listen", f"web={path}"]
    with ending(tmp_path / "first", str(path), "unlink", *options) as (running, _):
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    with ending(tmp_path / "second", str(path), "unlink", *options) as (running, vault):
        rotate(running, vault, 2)
        assert answer_of(str(path)) == "2"
