"""What `tacet run` tells the service manager that started it: the messages of sd_notify(3), read from a socket of the test's."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from manager_socket import Manager
from secrets_files import Vault, vault_make
from support import TACET, Running, run

pytestmark = pytest.mark.both

SLEEPER = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']
HEALTHY_SECONDS = 0.2
SAYS_READY = ["--ready", "fd", "--ready-fd", "9"]  # so that one that does not say it never is, however slow the machine


@pytest.fixture
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """Listen on a path, or on an abstract address where the test says so."""
    is_abstract = getattr(request, "param", "path") == "abstract"
    made = Manager(f"@tacet-test-{os.getpid()}-{time.monotonic_ns()}" if is_abstract else str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first-value\n")


def started(manager: Manager, *options: str, command: list[str] = SLEEPER, **variables: str) -> Running:
    """Start a program under `tacet run` as a service manager would."""
    arguments = [TACET, "run", "--min-healthy", f"{HEALTHY_SECONDS * 1000:.0f}ms", *options, "--", *command]
    return Running(arguments, environment={"NOTIFY_SOCKET": manager.address, **variables})


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_ready_is_said_once_the_first_generation_has_proved_itself(manager: Manager, vault: Vault) -> None:
    """Not when the program is merely started; and it is the main process who says so."""
    began = time.monotonic()
    with started(manager, *vault.options, "--min-healthy", "1500ms") as running:
        running.line_with("^value:first-value")
        ready = manager.wait_ready()
        assert time.monotonic() - began > 1.5
        assert ready["STATUS"] == "generation 1 is up"
        assert manager.count("READY") == 1
        assert manager.messages[0]["STATUS"] == "loading secrets"
        assert manager.senders == {running.pid}
        assert not any("MAINPID" in message for message in manager.messages)


def test_a_program_that_does_not_start_is_never_ready(manager: Manager, vault: Vault) -> None:
    """The unit's start fails with tacet's own status."""
    with started(manager, *vault.options, command=["/nonexistent/program"]) as running:
        assert running.wait() == 127
    manager.wait(lambda message: "STOPPING" in message)
    assert manager.count("READY") == 0
    assert manager.messages[-1]["STATUS"].startswith("ended with status 127")


def test_a_reload_is_announced_with_its_time_and_ended_by_ready(manager: Manager, vault: Vault) -> None:
    """RELOADING=1 carries a time after the request; READY=1 comes when every replica has moved."""
    with started(manager, *vault.options) as running:
        manager.wait_ready()
        vault.write("PASSWORD=second-value\n")
        asked_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        running.signal(signal.SIGHUP)
        reloading = manager.wait(lambda message: "RELOADING" in message)
        assert "READY" not in reloading
        assert asked_us <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert manager.wait_ready()["STATUS"] == "generation 2 is up"
        assert (manager.count("RELOADING"), manager.count("READY")) == (1, 2)
        steps = [message["STATUS"] for message in manager.messages if "STATUS" in message]
        assert "generation 1 is up; loading secrets" in steps
        assert "rotation to generation 2: 0 of 1 replicas" in steps
        running.line_with("^value:second-value")


@pytest.mark.parametrize("case", ["unchanged", "broken"])
def test_a_reload_that_changes_nothing_ends_with_ready_and_says_why(manager: Manager, vault: Vault, case: str) -> None:
    """The manager must not wait for an end that never comes."""
    with started(manager, *vault.options) as running:
        manager.wait_ready()
        if case == "broken":
            vault.replace(b"this is no age file")
        running.signal(signal.SIGHUP)
        manager.wait(lambda message: "RELOADING" in message)
        status = manager.wait_ready()["STATUS"]
        expected = "secrets unchanged" if case == "unchanged" else "secrets not loaded; nothing was changed: "
        assert status.startswith(f"generation 1 is up; {expected}"), status
        assert "secrets.env.age" in status or case == "unchanged"


def test_a_rotation_that_goes_back_ends_with_ready_and_says_so(manager: Manager, vault: Vault) -> None:
    """There is no message for a failed reload: the status tells."""
    script = 'case $PASSWORD in first*) echo >&9; exec sleep 1000;; *) exit 3;; esac'
    with started(manager, *vault.options, *SAYS_READY, command=["sh", "-c", script]) as running:
        manager.wait_ready()
        vault.write("PASSWORD=wrong\n")
        running.signal(signal.SIGHUP)
        manager.wait(lambda message: "RELOADING" in message)
        status = manager.wait_ready()["STATUS"]
        assert status == "generation 1 is up; generation 2 failed (exited, status 3): going back to the one before"


def test_a_second_request_during_a_rotation_is_dated_anew(manager: Manager, vault: Vault) -> None:
    """notify-reload waits for a time after its own signal; one READY=1 ends both."""
    script = 'case $PASSWORD in second*) ;; *) echo >&9;; esac; exec sleep 1000'
    with started(manager, *vault.options, *SAYS_READY, command=["sh", "-c", script]) as running:
        manager.wait_ready()
        vault.write("PASSWORD=second-value\n")
        running.signal(signal.SIGHUP)
        manager.wait(lambda message: message.get("STATUS", "").startswith("rotation to generation 2"))
        vault.write("PASSWORD=third-value\n")
        asked_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        running.signal(signal.SIGHUP)
        again = manager.wait(lambda message: "RELOADING" in message)
        assert int(again["MONOTONIC_USEC"]) >= asked_us
        assert manager.wait_ready()["STATUS"] == "generation 3 is up"
        assert manager.count("READY") == 2


def test_without_a_source_a_hangup_is_answered_at_once(manager: Manager) -> None:
    """It belongs to the app then; the manager that sent it must not wait."""
    with started(manager, command=["sh", "-c", 'trap "echo got HUP" HUP; echo up; while :; do sleep 0.05; done']) as running:
        running.line_with("^up")
        assert manager.wait_ready()["STATUS"] == "the app is up"
        running.signal(signal.SIGHUP)
        manager.wait(lambda message: "RELOADING" in message)
        manager.wait_ready()
        running.line_with("^got HUP")


def test_the_status_counts_the_replicas_that_have_moved(manager: Manager, vault: Vault) -> None:
    """One after the other."""
    with started(manager, *vault.options, "--replicas", "3", "--strategy", "handoff") as running:
        assert manager.wait_ready()["STATUS"] == "generation 1 is up: 3 of 3 replicas"
        manager.messages.clear()
        vault.write("PASSWORD=second-value\n")
        running.signal(signal.SIGHUP)
        assert manager.wait_ready()["STATUS"] == "generation 2 is up: 3 of 3 replicas"
        steps = [message.get("STATUS", "") for message in manager.messages]
        counts = [step.split(": ")[1].split()[0] for step in steps if step.startswith("rotation to generation 2")]
        assert counts == sorted(counts) and set(counts) & {"1", "2"}, steps


def test_a_rotation_that_nobody_asked_for_is_announced_too(manager: Manager, vault: Vault) -> None:
    """A watched file has changed."""
    with started(manager, *vault.options, "--watch"):
        manager.wait_ready()
        vault.write("PASSWORD=second-value\n")
        reloading = manager.wait(lambda message: "RELOADING" in message)
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert manager.wait_ready()["STATUS"] == "generation 2 is up"


def test_stopping_is_said_once_and_asks_for_the_time_that_it_may_take(manager: Manager, vault: Vault) -> None:
    """The app may use its whole stop_timeout, whatever the unit's is."""
    script = 'trap "" TERM; echo up; while :; do sleep 0.05; done'
    with started(manager, *vault.options, "--stop-timeout", "600ms", command=["sh", "-c", script]) as running:
        running.line_with("^up")
        manager.wait_ready()
        running.signal(signal.SIGTERM)
        stopping = manager.wait(lambda message: "STOPPING" in message)
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
        assert stopping["STATUS"] == "stopping: 1 process of the app left"
        running.signal(signal.SIGTERM)
        assert running.wait() == 137
        manager.wait(lambda message: message.get("STATUS", "").startswith("ended with status 137"))
        assert manager.count("STOPPING") == 1


def test_the_last_status_is_said_right_after_another_message(manager: Manager) -> None:
    """A mere status waits a moment after a message; behind the last one there is no later."""
    script = 'trap "" TERM; echo up; while :; do sleep 0.05; done'
    options = ["--stop-timeout", "400ms"]
    with started(manager, *options, command=["sh", "-c", script], WATCHDOG_USEC="20000") as running:
        running.line_with("^up")
        running.signal(signal.SIGTERM)
        manager.wait(lambda message: message.get("STATUS", "").startswith("ended with status 137"))
        assert running.wait() == 137


def test_an_app_that_ends_by_itself_is_a_service_that_stops(manager: Manager, tmp_path: Path) -> None:
    """With its status, for whoever asks."""
    script = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; exit 7"
    with started(manager, command=["sh", "-c", script]) as running:
        manager.wait_ready()
        (tmp_path / "go").touch()
        assert running.wait() == 7
        assert manager.wait(lambda message: "STOPPING" in message)["STATUS"].startswith("ended with status 7")


def test_more_time_is_asked_for_while_something_runs_and_has_a_limit(manager: Manager, vault: Vault) -> None:
    """Starting, rotating; never while nothing happens, never without a limit of tacet's own, never together with READY=1."""
    with started(manager, *vault.options) as running:
        manager.wait_ready()
        assert int(manager.messages[0]["EXTEND_TIMEOUT_USEC"]) >= 10_000_000
        vault.write("PASSWORD=second-value\n")
        running.signal(signal.SIGHUP)
        assert "EXTEND_TIMEOUT_USEC" in manager.wait(lambda message: "RELOADING" in message)
        manager.wait_ready()
        assert not any("READY" in message and "EXTEND_TIMEOUT_USEC" in message for message in manager.messages)
    with started(manager, *vault.options, "--ready-timeout", "infinity"):
        manager.messages.clear()
        manager.wait_ready()
        assert manager.count("EXTEND_TIMEOUT_USEC") == 0


def test_the_watchdog_is_fed_at_half_its_time_by_the_loop(manager: Manager) -> None:
    """A loop that stands still feeds nobody; without WATCHDOG_USEC, or with another's, nothing is sent."""
    with started(manager, WATCHDOG_USEC="400000") as running:
        manager.wait_ready()
        began, pauses = time.monotonic(), []
        # A machine that stands still makes some pauses longer and the next ones shorter, never all of them.
        while len(pauses) < 4 or not 0.05 < sorted(pauses)[len(pauses) // 2] < 0.4:
            manager.wait(lambda message: message == {"WATCHDOG": "1"})
            pauses.append(manager.times[-1] - began)
            began = manager.times[-1]
            assert len(pauses) < 100, pauses
        running.stop()
        manager.socket.setblocking(False)
        while True:
            try:
                manager.socket.recv(8192)
            except BlockingIOError:
                break
        manager.nothing(0.5)
        os.kill(running.pid, signal.SIGCONT)
        manager.wait(lambda message: "WATCHDOG" in message)
    for variables in ({"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {}):
        manager.messages.clear()
        with started(manager, **variables):
            manager.wait_ready()
            manager.nothing(0.3)
            assert manager.count("WATCHDOG") == 0


def test_a_manager_that_does_not_read_holds_up_nothing_and_hears_the_newest_state(manager: Manager, vault: Vault) -> None:
    """What does not fit into its queue is said later: RELOADING=1 before READY=1, the last status, no history."""
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    filled = 0
    while filled < 100_000:
        try:
            filler.sendto(b"X=1", manager.socket.getsockname())
        except BlockingIOError:
            break
        filled += 1
    filler.close()
    with started(manager, *vault.options, "--log-level", "info") as running:
        running.lines_with("^value:first-value", "generation 1 is up")
        for number in range(3):
            vault.write(f"PASSWORD=next-{number}\n")
            running.signal(signal.SIGHUP)
            running.lines_with(f"^value:next-{number}", f"rotation to generation {number + 2} done")
        for _ in range(filled):
            assert manager.receive() == {"X": "1"}
        assert "RELOADING" in manager.receive()
        assert manager.receive()["STATUS"] == "generation 4 is up"
        assert "READY" in manager.messages[-1]
        manager.nothing(0.3)


NOTIFYING = [sys.executable, str(Path(__file__).parent / "notifying.py")]


@pytest.mark.parametrize("policy", ["status", "none"])
def test_of_the_messages_of_the_app_only_its_status_goes_on(manager: Manager, tmp_path: Path, policy: str) -> None:
    """And that only when the policy says so; it stands behind tacet's own words."""
    said = "say:READY=1\nMAINPID=1\nRELOADING=1\nSTATUS=caches are\twarm"
    options = ["--ready", "notify", "--notify-forward", policy]
    steps = [said, f"file:{tmp_path}/go", "say:STATUS=still warm", "wait"]
    with started(manager, *options, command=[*NOTIFYING, *steps]):
        ready = manager.wait_ready()
        (tmp_path / "go").touch()
        if policy == "status":
            assert ready["STATUS"].startswith("the app is up; the app: caches are"), ready
            manager.wait(lambda message: message == {"STATUS": "the app is up; the app: still warm"})
        else:
            manager.nothing(1.0)
            assert not any("warm" in message.get("STATUS", "") for message in manager.messages)
        assert not any("MAINPID" in message for message in manager.messages)
        assert manager.count("RELOADING") == 0


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative", "@", "/" + "x" * 120, "/nonexistent/notify"])
def test_an_address_that_cannot_be_used_is_a_warning(address: str) -> None:
    """The app runs all the same."""
    done = run([TACET, "run", "--", "sh", "-c", "echo ran"], environment={"NOTIFY_SOCKET": address})
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.count("service manager") == 1, done.stderr


def test_a_plain_init_leaves_the_manager_to_its_program(manager: Manager) -> None:
    """`tacet -- COMMAND` changes nothing: the program has the socket and speaks for itself."""
    script = 'echo "socket:$NOTIFY_SOCKET watchdog:$WATCHDOG_USEC"'
    done = run(
        [TACET, "--", "sh", "-c", script], environment={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}
    )
    assert done.stdout == f"socket:{manager.address} watchdog:1000000\n"
    manager.nothing(0.1)


def test_an_idle_supervisor_tells_nothing(manager: Manager) -> None:
    """Once ready, without a watchdog, there is silence."""
    with started(manager):
        manager.wait_ready()
        manager.nothing(1.0)
