"""tacet rollback: back to the secrets before, while keep_previous lasts; what is told, and what is refused afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import TACET, Running, run, wait_until

SHOW = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']


class Service:
    """A plain document, a control socket, and a service on both."""

    def __init__(self, folder: Path) -> None:
        self.document = folder / "secrets.env"
        self.path = folder / "control.sock"
        self.write("first")

    def write(self, value: str) -> None:
        """Put a new value in place."""
        new = self.document.with_name("new")
        new.write_text(f"PASSWORD={value}\n")
        new.chmod(0o600)
        os.replace(new, self.document)

    def run(self, *options: str) -> Running:
        """Start it; an instance is available as soon as it runs."""
        where = ["-s", f"env-file:{self.document}", "--control", str(self.path), "--min-healthy", "0"]
        return Running([TACET, "run", *where, *options, "--", *SHOW])

    def ask(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        """One verb that asks."""
        return run([TACET, verb, "--control", str(self.path), *options])

    def status(self) -> dict:
        """What tacet status says."""
        return json.loads(self.ask("status", "--json").stdout)

    def move(self, running: Running, value: str) -> None:
        """Rotate to a new value."""
        self.write(value)
        assert self.ask("rotate", "--wait").returncode == 0
        running.line_with(f"^value:{value}$")


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """One service, not started yet."""
    return Service(tmp_path)


def test_the_former_secrets_are_back_and_what_was_left_is_told(service: Service) -> None:
    """The answer warns of the sources, status says what is newer, and a reload does not bring it back."""
    with service.run("--keep-previous", "1h") as running:
        running.line_with("^value:first$")
        service.move(running, "second")
        assert service.status()["left"] is None
        done = service.ask("rollback", "--wait")
        assert done.returncode == 0, done.stderr
        assert "done: back on generation 1" in done.stdout
        assert "restart of tacet takes it" in done.stdout
        running.line_with("^value:first$")
        assert service.status()["left"] == 2
        assert service.status()["left_ms"] >= 0
        assert "not live     generation 2 is newer" in service.ask("status").stdout
        running.signal(signal.SIGHUP)
        running.line_with("left by a rollback: not tried again until they change")
        assert service.ask("rotate", "--wait").returncode == 4
        forced = service.ask("rotate", "--wait", "--force")
        assert forced.returncode == 0, forced.stdout
        running.line_with("^value:second$")
        assert service.status()["left"] is None


def test_new_secrets_end_what_was_left(service: Service) -> None:
    """A change of the source is taken without force."""
    with service.run("--keep-previous", "1h") as running:
        running.line_with("^value:first$")
        service.move(running, "second")
        assert service.ask("rollback", "--wait").returncode == 0
        running.line_with("^value:first$")
        service.move(running, "third")
        assert service.status()["left"] is None


def test_a_second_rollback_goes_forward_again(service: Service) -> None:
    """What was left is kept as the one before."""
    with service.run("--keep-previous", "1h") as running:
        running.line_with("^value:first$")
        service.move(running, "second")
        assert service.ask("rollback", "--wait").returncode == 0
        running.line_with("^value:first$")
        assert service.ask("rollback", "--wait").returncode == 0
        running.line_with("^value:second$")
        assert service.status()["left"] is None


@pytest.mark.parametrize("waits", ["--wait", "--no-wait"])
def test_without_keep_previous_the_key_is_named(service: Service, waits: str) -> None:
    """The exit status says it, also to who does not wait; nothing is changed."""
    with service.run() as running:
        running.line_with("^value:first$")
        service.move(running, "second")
        done = service.ask("rollback", waits)
        assert done.returncode == 8
        assert "keep_previous" in done.stdout
        assert "e.g. 1h" in done.stdout
        assert service.status()["generation"] == 2


@pytest.mark.parametrize("waits", ["--wait", "--no-wait"])
def test_before_the_first_rotation_there_is_nothing(service: Service, waits: str) -> None:
    """Nor when its time is over."""
    with service.run("--keep-previous", "1h") as running:
        running.line_with("^value:first$")
        done = service.ask("rollback", waits)
        assert done.returncode == 8
        assert "there is no generation to go back to; nothing was changed" in done.stdout


def test_after_an_emergency_there_is_nothing(service: Service) -> None:
    """No old value survives it."""
    with service.run("--keep-previous", "1h") as running:
        running.line_with("^value:first$")
        service.write("second")
        assert service.ask("rotate", "--wait", "--emergency").returncode == 0
        running.line_with("^value:second$")
        assert service.ask("rollback", "--wait").returncode == 8


def test_it_is_kept_no_longer_than_told(service: Service) -> None:
    """Then it is dropped, and there is nothing to go back to."""
    with service.run("--keep-previous", "300ms") as running:
        running.line_with("^value:first$")
        service.move(running, "second")
        wait_until(lambda: service.status()["previous"] is None, "it is dropped")
        assert service.ask("rollback", "--wait").returncode == 8


def test_a_rotation_under_way_is_called_off(service: Service) -> None:
    """With nothing kept at all: it goes back to what it started from."""
    ready = 'echo "value:$PASSWORD"; [ "$PASSWORD" = first ] && echo >&$TACET_READY_FD; exec sleep 1000'
    where = ["-s", f"env-file:{service.document}", "--control", str(service.path), "--min-healthy", "0"]
    with Running([TACET, "run", *where, "--strategy", "handoff", "--ready", "fd", "--ready-fd", "9", "--ready-timeout", "1h", "--", "sh", "-c", ready]) as running:
        running.line_with("^value:first$")
        wait_until(lambda: service.status()["phase"] == "idle", "it is up")
        service.write("second")
        assert service.ask("rotate", "--no-wait").returncode == 0
        running.line_with("^value:second$")
        done = service.ask("rollback", "--wait")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "back on generation 1" in done.stdout
        assert service.status()["left"] == 2
        assert service.status()["phase"] == "idle"


def test_the_former_secrets_that_fail_now_are_told(service: Service, tmp_path: Path) -> None:
    """The way back goes the other way round."""
    bad = tmp_path / "bad"
    app = f'echo "value:$PASSWORD"; [ -e {bad} ] && [ "$PASSWORD" = first ] && exit 3; exec sleep 1000'
    where = ["-s", f"env-file:{service.document}", "--control", str(service.path), "--min-healthy", "200ms"]
    with Running([TACET, "run", *where, "--keep-previous", "1h", "--", "sh", "-c", app]) as running:
        running.line_with("^value:first$")
        wait_until(lambda: service.status()["phase"] == "idle", "it is up")
        service.write("second")
        assert service.ask("rotate", "--wait").returncode == 0
        bad.touch()
        done = service.ask("rollback", "--wait")
        assert done.returncode == 2
        assert "reverted: the former secrets failed" in done.stdout
        assert service.status()["generation"] == 2


def test_nobody_answers_without_a_service(service: Service) -> None:
    """As for the other verbs that ask."""
    done = service.ask("rollback")
    assert done.returncode == 69
    assert run([TACET, "rollback"]).returncode == 64
