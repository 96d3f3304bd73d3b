"""Rollouts with real processes: replicas, their limits, the way back, and the end in every moment."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import (
    PATIENCE_SECONDS,
    TACET,
    Running,
    children_of,
    free_port,
    is_alive,
    kill_quietly,
    name_of,
    run,
    wait_until,
)
from terminal import Terminal
from timing import at_a_pace, duration


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first\n")


SHOW = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']
# The log lines at which tests interfere, in the order of a handoff.
STEPS = ["begins", "Spawned", "is ready", "proved itself", "has stopped"]


def started(vault: Vault, *options: str, show: list[str] = SHOW, healthy: str = "100ms", **more: object) -> Running:
    """Start a program under `tacet run` with the vault's document."""
    command = [TACET, "run", *vault.options, "--min-healthy", healthy, *options]
    return Running([*command, "--", *show], **more)


def value_of(pid: int, name: str = "PASSWORD") -> str | None:
    """A variable in the environment of a process."""
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(name.encode() + b"="):
                return entry.partition(b"=")[2].decode()
    return None


def programs_of(running: Running) -> list[int]:
    """The pids of the supervised programs: neither a loader nor one that is being started."""
    return [pid for pid in children_of(running.pid) if name_of(pid) == "sleep" and is_alive(pid)]


def values_of(running: Running) -> list[str]:
    """What the supervised programs have, sorted."""
    return sorted(str(value_of(pid)) for pid in programs_of(running))


@contextlib.contextmanager
def slow_source(folder: Path) -> Iterator[tuple[str, socket.socket]]:
    """A source that answers when the test does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        listener.bind(str(folder / "source"))
        listener.listen()
        yield f"unix:{folder / 'source'}", listener


def expect_values(running: Running, values: list[str]) -> None:
    """The programs have these; one that a shell is still about to become may take a moment."""
    wait_until(lambda: values_of(running) == values, f"the programs have {values}")


def rotate(running: Running, vault: Vault, value: str) -> None:
    """Write a new value and ask for a rotation."""
    vault.write(f"PASSWORD={value}\n")
    running.signal(signal.SIGHUP)


def up(running: Running, count: int) -> None:
    """Wait for the first generation in every slot."""
    wait_until(lambda: values_of(running) == ["first"] * count, f"{count} programs have the first value")
    running.line_with("generation 1 is up")


def test_every_replica_runs_and_gets_every_signal(vault: Vault) -> None:
    """Four of them; a forwarded signal reaches all; the end is one for all."""
    show = ["sh", "-c", 'trap "echo usr1:$TACET_REPLICA" USR1; echo "up"; while :; do sleep 0.02; done']
    with started(vault, "--replicas", "4", show=show) as running:
        for _ in range(4):
            running.line_with("^up$")
        wait_until(lambda: len(children_of(running.pid)) == 4, "four replicas run and no loader")
        running.signal(signal.SIGUSR1)
        assert {running.line_with("^usr1:") for _ in range(4)} == {f"usr1:{number}" for number in range(4)}
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


def test_the_exit_status_is_that_of_the_lowest_replica_that_failed() -> None:
    """Replica 0 ends with 0, 1 with 11, 2 with 12: 11, whatever the order of their ends."""
    show = ["sh", "-c", 'sleep 0.$((3 - TACET_REPLICA)); [ "$TACET_REPLICA" = 0 ] || exit $((10 + TACET_REPLICA))']
    assert run([TACET, "run", "--replicas", "3", "--", *show]).returncode == 11


def test_a_signal_during_the_first_load_reaches_every_replica(tmp_path: Path) -> None:
    """Held until they are there: all three end of it."""
    with slow_source(tmp_path) as (uri, listener):
        with Running([TACET, "run", "-s", uri, "--replicas", "3", "--", "sleep", "1000"]) as running:
            with listener.accept()[0] as loader:
                running.signal(signal.SIGUSR2)
                time.sleep(0.1)
                loader.sendall(b"PASSWORD=first\n")
            assert running.wait() == 128 + signal.SIGUSR2


def test_handoff_starts_the_new_one_beside_the_old(vault: Vault, pid1: bool) -> None:
    """For min_healthy both run; then the old one goes. Every step is told with its time."""

    def both_run_for(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        with started(vault, "--strategy", "handoff", "-v", healthy=duration(seconds), pid1=pid1) as running:
            up(running, 1)
            old = programs_of(running)[0]
            rotate(running, vault, "second")
            running.line_with(r"rotation to generation 2 begins \(\+\d+ ms\)")
            running.line_with(r"rotation to generation 2: the app is ready \(\+\d+ ms\)")
            assert is_alive(old)
            wait_until(lambda: values_of(running) == ["first", "second"], "both run", 4 * seconds)
            running.line_with(r"rotation to generation 2: the app has proved itself \(\+\d+ ms\)")
            running.line_with(r"rotation to generation 2: the app of generation 1 has stopped \(\+\d+ ms\)")
            running.line_with(r"rotation to generation 2 done \(\+\d+ ms\)")
            assert not is_alive(old)
            expect_values(running, ["second"])

    at_a_pace(both_run_for, 0.5, 4, 20)


def test_a_rotation_without_secrets_that_changed_restarts_no_replica(vault: Vault) -> None:
    """The same content, for any number of replicas."""
    with started(vault, "--replicas", "3", "--strategy", "handoff", "-v") as running:
        up(running, 3)
        before = sorted(programs_of(running))
        running.signal(signal.SIGHUP)
        running.line_with("nothing restarts")
        assert sorted(programs_of(running)) == before


class Sampler:
    """Count the programs every few milliseconds for as long as a block runs."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.counts: set[int] = set()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self) -> None:
        """Until the block is over. A program that has just been told to end may still be counted, one less may not.

        The programs are looked at one after the other, the oldest first: meanwhile one may have come that would make up for
        one that has gone. Then nothing is counted.
        """
        supervisor = self.running.pid
        while not self.is_over.wait(0.01):
            before = children_of(supervisor)
            count = sum(name_of(pid) == "sleep" and is_alive(pid) for pid in before)
            if children_of(supervisor) == before:
                self.counts.add(count)

    def __enter__(self) -> Sampler:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()


@pytest.mark.parametrize(
    ("surge", "unavailable", "lowest", "highest"),
    [("1", "0", 4, 5), ("0", "1", 3, 4), ("25%", "25%", 3, 5), ("100%", "0", 4, 8), ("0", "2", 2, 4)],
)
def test_the_limits_hold_in_every_moment(vault: Vault, surge: str, unavailable: str, lowest: int, highest: int) -> None:
    """Four replicas, counted every 10 ms: never fewer, never more."""
    limits = ["--max-surge", surge, "--max-unavailable", unavailable]
    options = ["--replicas", "4", "--strategy", "handoff", "-v", *limits]
    with started(vault, *options, show=["sleep", "1000"]) as running:
        up(running, 4)
        lines = []
        with Sampler(running) as sampler:
            rotate(running, vault, "second")
            while not lines or "rotation to generation 2 done" not in lines[-1]:
                lines.append(running.line(60))
        expect_values(running, ["second"] * 4)
        assert min(sampler.counts) >= lowest, sampler.counts
        assert max(sampler.counts) <= highest, sampler.counts
        if surge == "0":
            steps = [line for line in lines if "Spawned" in line or "has stopped" in line]
            assert "has stopped" in steps[0], "the old one is stopped first"


# A sign of readiness that one has to give, so that it cannot be taken for good before it fails.
BY_SIGN = ["--ready", "fd", "--ready-fd", "3"]
FAILS_IN_SLOT_3 = 'if [ "$PASSWORD" = bad ] && [ "$TACET_REPLICA" = 3 ]; then exit 7; fi; echo >&3; exec sleep 1000 3>&-'


@pytest.mark.parametrize("strategy", ["handoff", "restart"])
def test_the_last_of_four_fails_and_all_go_back(vault: Vault, strategy: str) -> None:
    """Three had changed over already; the content is not tried again."""
    options = ["--replicas", "4", "--strategy", strategy, "-v", *BY_SIGN]
    with started(vault, *options, show=["sh", "-c", FAILS_IN_SLOT_3]) as running:
        up(running, 4)
        rotate(running, vault, "bad")
        running.line_with(r"replica 3 of generation 2 failed: exited, status 7", 60)
        running.line_with("going back")
        running.line_with("back on generation 1", 60)
        expect_values(running, ["first"] * 4)
        running.signal(signal.SIGHUP)
        running.line_with("not tried again")


def test_with_revert_off_a_failed_rotation_halts_where_it_is(vault: Vault) -> None:
    """A mix that serves, until something changes."""
    options = ["--replicas", "4", "--strategy", "handoff", "--revert", "no", "-v", *BY_SIGN]
    with started(vault, *options, show=["sh", "-c", FAILS_IN_SLOT_3]) as running:
        up(running, 4)
        rotate(running, vault, "bad")
        running.line_with("rotation to generation 2 halted: exited, status 7", 60)
        time.sleep(0.5)
        expect_values(running, ["bad"] * 3 + ["first"])
        rotate(running, vault, "third")
        running.line_with("rotation to generation 3 done", 60)
        expect_values(running, ["third"] * 4)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("strategy", ["handoff", "restart"])
def test_a_stop_wins_at_every_step(vault: Vault, strategy: str, step: str) -> None:
    """SIGTERM in the middle: all end at once, nothing is started any more, nobody is left."""
    with started(vault, "--replicas", "2", "--strategy", strategy, "-v") as running:
        up(running, 2)
        rotate(running, vault, "second")
        running.line_with(step)
        family = children_of(running.pid)
        running.signal(signal.SIGTERM)
        assert running.wait() == 143
        assert "Spawned" not in running.rest().partition("stopping")[2]
        assert not [pid for pid in family if is_alive(pid)]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("strategy", ["handoff", "restart"])
def test_a_newer_value_wins_at_every_step(vault: Vault, strategy: str, step: str) -> None:
    """A second rotation in the middle of the first: in the end all have the last value."""
    with started(vault, "--replicas", "2", "--strategy", strategy, "-v") as running:
        up(running, 2)
        rotate(running, vault, "second")
        running.line_with(step)
        rotate(running, vault, "third")
        running.line_with("rotation to generation 3 done", 60)
        expect_values(running, ["third"] * 2)


WAITS_IN_SLOT_1 = '[ "$PASSWORD$TACET_REPLICA" != second1 ] || exec sleep 1000; echo >&3; exec sleep 1000 3>&-'


@pytest.mark.parametrize("step", STEPS[2:])
def test_a_new_one_that_is_killed_at_any_step_takes_the_rotation_back(vault: Vault, step: str) -> None:
    """One failure is one too many: everything is as before. It is the first of two; the other is never ready, so there is time."""
    options = ["--replicas", "2", "--strategy", "handoff", "-v", *BY_SIGN]
    with started(vault, *options, show=["sh", "-c", WAITS_IN_SLOT_1]) as running:
        up(running, 2)
        rotate(running, vault, "second")
        running.line_with(step)
        wait_until(lambda: "second" in values_of(running), "a new one runs")
        kill_quietly(next(pid for pid in programs_of(running) if value_of(pid) == "second"))
        running.line_with("going back")
        running.line_with("back on generation 1", 60)
        expect_values(running, ["first"] * 2)


@pytest.mark.parametrize("step", STEPS[:4])
@pytest.mark.parametrize("replicas", [1, 3])
def test_an_old_one_that_is_killed_at_any_step_stops_nothing(vault: Vault, step: str, replicas: int) -> None:
    """Its place is filled, and the rotation goes on to its end."""
    options = ["--replicas", str(replicas), "--strategy", "handoff", "--restart", "always", "-v"]
    with started(vault, *options) as running:
        up(running, replicas)
        rotate(running, vault, "second")
        running.line_with(step)
        old = [pid for pid in programs_of(running) if value_of(pid) == "first"]
        if old:
            kill_quietly(old[-1])
        running.line_with("rotation to generation 2 done", 60)
        expect_values(running, ["second"] * replicas)


def test_a_program_that_dies_during_a_load_does_not_wait_for_it(tmp_path: Path) -> None:
    """It comes back with the secrets that are there; what the load brings follows."""
    options = ["--restart", "always", "--restart-delay", "10ms", "--min-healthy", "10ms"]
    show = ["sh", "-c", 'echo "up:$PASSWORD:$$"; exec sleep 1000']
    with slow_source(tmp_path) as (uri, listener):
        with Running([TACET, "run", "-v", "-s", uri, *options, "--", *show]) as running:
            with listener.accept()[0] as loader:
                loader.sendall(b"PASSWORD=first\n")
            first = int(running.lines_with("^up:first:", "generation 1 is up")[0].split(":")[2])
            running.signal(signal.SIGHUP)
            with listener.accept()[0] as loader:
                os.kill(first, signal.SIGKILL)
                again = int(running.line_with("^up:first:").split(":")[2])
                assert running.child == again  # although the loader is older
                loader.sendall(b"PASSWORD=second\n")
            running.line_with("^up:second:")


def kill_all_but(running: Running, kept: list[int]) -> None:
    """Kill what the supervisor has forked for itself: the loader, and the shim that waits for what it loads."""
    for pid in children_of(running.pid):
        if pid not in kept:
            kill_quietly(pid)


def test_a_start_that_was_prepared_and_is_killed_is_made_anew(tmp_path: Path) -> None:
    """While the loader works a shim waits for its secrets; without it the rotation takes its time, and is done."""
    with slow_source(tmp_path) as (uri, listener):
        with Running([TACET, "run", "-s", uri, "--strategy", "handoff", "--min-healthy", "100ms", "-v", "--", "sleep", "1000"]) as running:
            with listener.accept()[0] as loader:
                loader.sendall(b"PASSWORD=first\n")
            up(running, 1)
            wait_until(lambda: len(children_of(running.pid)) == 1, "the first loader is reaped")
            running.signal(signal.SIGHUP)
            with listener.accept()[0] as loader:
                wait_until(lambda: len(children_of(running.pid)) == 3, "a shim waits beside the loader")
                kill_quietly(children_of(running.pid)[-1])
                wait_until(lambda: len(children_of(running.pid)) == 2, "it is reaped")
                loader.sendall(b"PASSWORD=second\n")
            running.line_with("rotation to generation 2 done", 60)
            expect_values(running, ["second"])


@pytest.mark.parametrize("content", [b"no document", b"PASSWORD=first\n"], ids=["failed", "unchanged"])
def test_a_start_that_was_prepared_in_vain_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    """No process, no descriptor: as if nothing had been prepared."""
    options = ["--strategy", "handoff", "--listen", f"web={free_port()}", "--ready", "exec", "-v"]
    with slow_source(tmp_path) as (uri, listener):
        with Running([TACET, "run", "-s", uri, *options, "--", "sleep", "1000"]) as running:
            with listener.accept()[0] as loader:
                loader.sendall(b"PASSWORD=first\n")
            up(running, 1)
            wait_until(lambda: len(children_of(running.pid)) == 1, "the first loader is reaped")
            before, descriptors = children_of(running.pid), len(os.listdir(f"/proc/{running.pid}/fd"))
            running.signal(signal.SIGHUP)
            with listener.accept()[0] as loader:
                wait_until(lambda: len(children_of(running.pid)) == 3, "a shim waits beside the loader")
                loader.sendall(content)
            running.line_with("nothing was changed|secrets unchanged")
            wait_until(lambda: children_of(running.pid) == before, "the program alone is left")
            wait_until(lambda: len(os.listdir(f"/proc/{running.pid}/fd")) == descriptors, "no descriptor is left")


def test_a_loader_that_is_killed_changes_nothing(tmp_path: Path) -> None:
    """An error, the programs go on, and the next reload is done."""
    options = ["--replicas", "2", "--strategy", "handoff", "--min-healthy", "100ms", "-v"]
    with slow_source(tmp_path) as (uri, listener):
        with Running([TACET, "run", "-s", uri, *options, "--", "sleep", "1000"]) as running:
            with listener.accept()[0] as loader:
                loader.sendall(b"PASSWORD=first\n")
            up(running, 2)
            before = sorted(programs_of(running))
            running.signal(signal.SIGHUP)
            with listener.accept()[0]:
                kill_all_but(running, before)
                running.line_with("secrets not loaded; nothing was changed")
            assert sorted(programs_of(running)) == before
            running.signal(signal.SIGHUP)
            with listener.accept()[0] as loader:
                loader.sendall(b"PASSWORD=second\n")
            running.line_with("rotation to generation 2 done", 60)
            expect_values(running, ["second"] * 2)


def test_the_environment_of_a_new_generation_is_exact(vault: Vault) -> None:
    """What was deleted is gone, lines survive, and the generation's number is there."""
    vault.write("PASSWORD=first\nGONE=soon\n")
    with started(vault, "--replicas", "2", "--strategy", "handoff", "-v") as running:
        up(running, 2)
        assert [value_of(pid, "GONE") for pid in programs_of(running)] == ["soon"] * 2
        vault.write('PASSWORD=second\nKEY="-----BEGIN\\nline two\\n\\n-----END\\n"\n')
        running.signal(signal.SIGHUP)
        running.line_with("rotation to generation 2 done", 60)
        expect_values(running, ["second"] * 2)
        for pid in programs_of(running):
            assert value_of(pid, "GONE") is None
            assert value_of(pid, "KEY") == "-----BEGIN\nline two\n\n-----END\n"
            assert value_of(pid, "TACET_GENERATION") == "2"
        assert sorted(str(value_of(pid, "TACET_REPLICA")) for pid in programs_of(running)) == ["0", "1"]


def test_strategy_signal_tells_the_program_and_leaves_it_alone(vault: Vault) -> None:
    """The same process goes on; one that is started later has the new values."""
    show = ["sh", "-c", 'trap "echo told" USR2; echo "value:$PASSWORD:$$"; while :; do sleep 0.02; done']
    options = ["--strategy", "signal", "--reload-signal", "USR2", "--restart", "always", "-v"]
    with started(vault, *options, show=show) as running:
        running.line_with("changes nothing in the environment")
        pid = int(running.line_with("^value:first:").rpartition(":")[2])
        running.line_with("generation 1 is up")
        rotate(running, vault, "second")
        either = "^told$|rotation to generation 2 done"  # the program is told at once, but may take its time to say so
        assert running.line_with(either) != running.line_with(either)
        assert is_alive(pid)
        kill_quietly(pid)
        running.line_with("^value:second:")


def test_strategy_signal_restarts_what_dies_of_it_with_the_old_values(vault: Vault) -> None:
    """A program that was not made for the signal: the rotation has failed."""

    def dies_within(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        with started(vault, "--strategy", "signal", "-v", healthy=duration(seconds)) as running:
            running.line_with("^value:first")
            running.line_with("generation 1 is up")
            rotate(running, vault, "second")
            running.line_with("killed by SIGHUP")
            running.line_with("going back")
            running.line_with("^value:first")
            running.line_with("back on generation 1")

    at_a_pace(dies_within, 0.3, 4, 20)


def draining(vault: Vault, *options: str) -> Running:
    """A program that tells when it is asked to drain and when to stop."""
    show = 'trap "echo drain" USR1; trap "echo stop; exit 0" TERM; trap "echo interrupt; exit 9" INT; echo "up:$PASSWORD"; '
    return started(vault, *options, show=["sh", "-c", show + "while :; do sleep 0.02; done"])


def test_the_drain_signal_comes_before_the_stop_signal(vault: Vault) -> None:
    """In a rotation and at the end; drain_time lies between the two."""

    def drains_for(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        with draining(vault, "--drain-signal", "USR1", "--drain-time", duration(seconds)) as running:
            running.line_with("^up:first")
            time.sleep(0.3)
            rotate(running, vault, "second")
            for following in ("up:second", None):
                running.line_with("^drain$")
                begin = time.monotonic()
                running.line_with("^stop$")
                assert time.monotonic() - begin > 0.75 * seconds
                if following:
                    running.line_with(f"^{following}$")
                    time.sleep(0.3)
                    running.signal(signal.SIGTERM)
            assert running.wait() == 0

    at_a_pace(drains_for, 0.4, 4, 20)


def test_an_impatient_stop_does_not_drain(vault: Vault) -> None:
    """SIGINT; or a second SIGTERM while it drains."""
    with draining(vault, "--drain-signal", "USR1", "--drain-time", "1m") as running:
        running.line_with("^up:first")
        time.sleep(0.3)
        running.signal(signal.SIGINT)
        running.line_with("^interrupt$")
        assert running.wait() == 9
    with draining(vault, "--drain-signal", "USR1", "--drain-time", "1m") as running:
        running.line_with("^up:first")
        time.sleep(0.3)
        running.signal(signal.SIGTERM)
        running.line_with("^drain$")
        running.signal(signal.SIGTERM)
        running.line_with("^stop$")
        assert running.wait() == 0


def test_one_that_ignores_both_signals_is_killed_after_both_times(vault: Vault) -> None:
    """Not at the end of stop_timeout alone."""
    show = ["sh", "-c", 'trap "" TERM USR1; echo up; while :; do sleep 0.02; done']
    options = ["--drain-signal", "USR1", "--drain-time", "400ms", "--stop-timeout", "400ms"]
    with started(vault, *options, show=show) as running:
        running.line_with("^up$")
        time.sleep(0.3)
        begin = time.monotonic()
        running.signal(signal.SIGTERM)
        assert running.wait() == 137
        assert time.monotonic() - begin > 0.7


def test_several_instances_leave_the_terminal_alone() -> None:
    """They run in the background and read nothing; Ctrl-C reaches all through tacet."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} run --replicas 2 -- sh -c 'read line || echo end-of-file; exec sleep 1000'")
        terminal.expect("end-of-file")
        terminal.expect("end-of-file")
        terminal.type("\x03")
        terminal.command("echo status:$?")
        terminal.expect("status:130")


def test_control_c_in_a_shared_group_is_a_request_to_stop() -> None:
    """The program has the signal already; it is not started again, and gets it once."""
    show = 'trap "echo caught; exit 5" INT; echo up; while :; do sleep 0.02; done'
    with Terminal() as terminal:
        terminal.command(f"{TACET} run --session none --restart always -- bash -c '{show}'")
        terminal.expect("up\r\n")
        terminal.type("\x03")
        terminal.expect("caught\r\n")
        terminal.command("echo status:$?")
        assert "up\r\n" not in terminal.expect("status:5")


def test_control_c_in_a_shared_group_is_the_programs_own_affair_without_restarts() -> None:
    """An interpreter lives on, and is not killed for it after stop_timeout."""
    show = 'trap "echo caught" INT; trap "exit 3" TERM; echo up:$$; while :; do sleep 0.02; done'
    with Terminal() as terminal:
        terminal.command(f"{TACET} run --session none --stop-timeout 100ms -- bash -c '{show}'")
        terminal.expect("up:")
        pid = int(terminal.expect("\r\n"))
        terminal.type("\x03")
        terminal.expect("caught\r\n")
        time.sleep(0.5)
        assert is_alive(pid)
        os.kill(pid, signal.SIGTERM)
        terminal.command("echo status:$?")
        terminal.expect("status:3")


def rotate_by_verb(control: Path, *options: str) -> int:
    """`tacet rotate --wait`: the exit status tells commit from revert."""
    return run([TACET, "rotate", "--wait", "--control", str(control), *options], seconds=50).returncode


@pytest.mark.parametrize("strategy", ["handoff", "restart", "signal"])
def test_an_emergency_replaces_all_at_once_and_waits_for_nobody(vault: Vault, tmp_path: Path, strategy: str) -> None:
    """No drain, no surge, emergency_timeout instead of stop_timeout; the old value is not taken again."""
    control = tmp_path / "control"
    show = ["sh", "-c", 'trap "" TERM; exec sleep 1000']
    options = ["--control", str(control), "--replicas", "3", "--strategy", strategy, "--stop-timeout", "1m"]
    options += ["--drain-time", "1m", "--drain-signal", "URG", "--emergency-timeout", "200ms", "-v"]
    with started(vault, *options, show=show) as running:
        up(running, 3)
        vault.write("PASSWORD=second\n")
        assert rotate_by_verb(control, "--emergency") == 0  # which waits for less than a minute
        expect_values(running, ["second"] * 3)
        rotate(running, vault, "first")
        running.line_with("not tried again")


def test_an_emergency_whose_secrets_do_not_load_changes_nothing(vault: Vault, tmp_path: Path) -> None:
    """The old ones serve on: nothing is there to replace them by."""
    control = tmp_path / "control"
    with started(vault, "--control", str(control), "--replicas", "2", "-v") as running:
        up(running, 2)
        before = sorted(programs_of(running))
        vault.replace(b"torn")
        assert rotate_by_verb(control, "--emergency") != 0
        assert sorted(programs_of(running)) == before


def test_an_emergency_that_brings_the_same_replaces_nothing(vault: Vault, tmp_path: Path) -> None:
    """Unless it is forced."""
    control = tmp_path / "control"
    with started(vault, "--control", str(control), "--replicas", "2", "-v") as running:
        up(running, 2)
        before = sorted(programs_of(running))
        rotate_by_verb(control, "--emergency")
        assert sorted(programs_of(running)) == before
        assert rotate_by_verb(control, "--emergency", "--force") == 0
        assert not set(programs_of(running)) & set(before)


SERVER = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
listening = socket.socket(fileno=3)
print("up:" + os.environ["PASSWORD"], flush=True)
while True:
    connection = listening.accept()[0]
    connection.sendall(os.environ["PASSWORD"].encode())
    connection.close()
"""


def canary_running(vault: Vault, tmp_path: Path, *options: str) -> tuple[Running, int]:
    """A server of which a third is the share of a canary."""
    port = free_port()
    listen = ["--listen", f"http=127.0.0.1:{port}", "--strategy", "handoff", "--canary", "33%", "-v", *options]
    (tmp_path / "server.py").write_text(SERVER)
    return started(vault, *listen, show=["/usr/bin/python3", str(tmp_path / "server.py")]), port


def answers(port: int, count: int) -> list[str]:
    """What so many new connections say."""
    found = []
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
            found.append(connection.recv(100).decode())
    return found


def test_a_canary_gets_its_share_and_then_the_rest_follows(vault: Vault, tmp_path: Path) -> None:
    """About a third while it is one; all when its time is over."""

    def canary_for(seconds: float) -> None:
        vault.write("PASSWORD=first\n")
        running, port = canary_running(vault, tmp_path, "--canary-time", duration(seconds))
        with running:
            running.line_with("generation 1 is up")
            rotate(running, vault, "second")
            running.line_with("is the canary")
            found = answers(port, 300)
            assert 50 < found.count("second") < 150, found.count("second")
            running.line_with("the canary has passed", 60)
            running.line_with("rotation to generation 2 done")
            assert answers(port, 50) == ["second"] * 50

    at_a_pace(canary_for, 2, 10, 40)


def test_a_canary_that_is_killed_takes_the_rotation_back(vault: Vault, tmp_path: Path) -> None:
    """Whatever failures are allowed; clients are with the old one at once."""
    running, port = canary_running(vault, tmp_path, "--canary-time", "1m", "--failures", "5")
    with running:
        running.line_with("generation 1 is up")
        rotate(running, vault, "second")
        running.line_with("is the canary")
        kill_quietly(next(pid for pid in children_of(running.pid) if value_of(pid) == "second"))
        running.line_with("going back")
        running.line_with("back on generation 1")
        assert answers(port, 50) == ["first"] * 50


def test_a_canary_that_cannot_have_a_share_is_said(vault: Vault) -> None:
    """Nothing is steered where tacet has no socket."""
    with started(vault, "--strategy", "handoff", "--canary", "10%") as running:
        running.line_with("canary has no effect")
