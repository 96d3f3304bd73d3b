"""Signals: what reaches the program, with which mask and dispositions it starts, and what a stop looks like."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest
from support import FIRE, FLOOR, PROBE, TACET, Running
from support import is_alive, kill_quietly, mask_of, parse_state, run, state_of, wait_until
from terminal import Terminal

pytestmark = pytest.mark.both

NOT_FORWARDED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
TERMINAL_STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
FORWARDED = [number for number in range(1, 65) if number not in NOT_FORWARDED | TERMINAL_STOPS]


def test_every_signal_that_can_be_forwarded_reaches_the_program(pid1: bool) -> None:
    """Send all signals, real-time ones and user-sent SIGSEGV too; each arrives exactly once."""
    with Running([TACET, "--", PROBE, "log", "64"], pid1=pid1) as running:
        running.line_with("^ready")
        for number in FORWARDED:
            running.signal(number)
            assert running.line() == str(number)
        assert running.wait() == 0


def test_a_burst_of_real_time_signals_is_queued_and_not_merged(pid1: bool) -> None:
    """Real-time signals queue: a hundred sent at once are a hundred received."""
    with Running([TACET, "--", PROBE, "log", "15"], pid1=pid1) as running:
        running.line_with("^ready")
        for _ in range(100):
            running.signal(40)
        received = [running.line() for _ in range(100)]
        assert received == ["40"] * 100
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


def test_sigchld_from_a_user_and_a_stopped_or_continued_child_are_not_a_death(pid1: bool) -> None:
    """SIGCHLD also comes by kill and for stop and continue; the program goes on."""
    with Running([TACET, "--", PROBE, "log", "15"], pid1=pid1) as running:
        running.line_with("^ready")
        child = running.child
        for _ in range(5):
            running.signal(signal.SIGCHLD)
            os.kill(child, signal.SIGSTOP)
            wait_until(lambda: state_of(child) == "T", "the child is stopped")
            os.kill(child, signal.SIGCONT)
            wait_until(lambda: state_of(child) == "S", "the child runs again")
        assert running.line() == "18"
        running.signal(signal.SIGTERM)
        running.line_with("^15$")
        assert running.wait() == 0


def test_the_program_gets_the_mask_and_the_ignored_signals_of_the_caller(pid1: bool) -> None:
    """As under nohup and a masking parent: what was blocked stays blocked, what was ignored stays ignored."""
    blocked = {signal.SIGUSR1, signal.SIGTERM, 40}
    ignored = {signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTSTP, 41}

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    command = [TACET, "--", PROBE, "state"]
    if pid1:
        command = ["unshare", "--fork", "--pid", "--mount-proc", *command]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, preexec_fn=prepare
    )
    state = parse_state(done.stdout)
    assert int(state["blocked"], 16) == mask_of(*blocked)
    assert int(state["ignored"], 16) == mask_of(*ignored)


def test_the_program_starts_with_nothing_blocked_and_nothing_ignored(pid1: bool) -> None:
    """The supervisor blocks everything for itself alone."""
    state = parse_state(run([TACET, "--", PROBE, "state"], pid1=pid1).stdout)
    assert (int(state["blocked"], 16), int(state["ignored"], 16)) == (0, 0)


def test_a_caller_that_ignores_sigchld_still_gets_the_exit_status() -> None:
    """SIGCHLD ignored by the caller would make waitpid fail with ECHILD; the program still sees it ignored."""

    def prepare() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    script = f'"{PROBE}" state; exit 9'
    done = subprocess.run(
        [TACET, "--", "sh", "-c", script], capture_output=True, text=True, timeout=60, preexec_fn=prepare
    )
    assert done.returncode == 9
    done = subprocess.run([TACET, "--", PROBE, "state"], capture_output=True, text=True, timeout=60, preexec_fn=prepare)
    assert int(parse_state(done.stdout)["ignored"], 16) & mask_of(signal.SIGCHLD)


def lost_signals(*arguments: str) -> int:
    """Run the `fire` tool and return how many signals got lost."""
    done = run([FIRE, *arguments], seconds=600)
    match = re.search(r"lost (\d+) of \d+", done.stdout)
    assert match, done.stdout + done.stderr
    return int(match.group(1))


@pytest.mark.timeout(700)
def test_no_signal_sent_during_the_start_is_lost_outside_pid_1() -> None:
    """SIGTERM at a random moment of the start ends the whole, always. TACET_STARTS=20000 for the full count."""
    assert lost_signals(os.environ.get("TACET_STARTS", "1500"), "3000", TACET, "--", PROBE, "wait") == 0


@pytest.mark.timeout(700)
@pytest.mark.skipif("static" not in Path(TACET).name, reason="a dynamic linker runs before the first instruction")
def test_as_pid_1_the_loss_window_is_the_kernels_own() -> None:
    """Before the first instruction the kernel drops a signal to PID 1: no later than in tini, with margin for noise.

    The two take turns, so that both have the same noise; and what is no worse is so once in a few tries.
    """
    counts = []
    while not counts or (len(counts) < 6 and counts[-1][0] > counts[-1][1] + 12):
        turns = [
            [lost_signals("--pid1", "10", "6000", *init, "--", PROBE, "wait") for init in ([TACET], ["tini", "-s"])]
            for _ in range(8)
        ]
        counts.append([sum(column) for column in zip(*turns)])
    assert counts[-1][0] <= counts[-1][1] + 12, counts


def test_the_yardstick_itself_loses_nothing_outside_pid_1() -> None:
    """The tool must be able to say zero: the least possible init loses no signal."""
    assert lost_signals("300", "3000", FLOOR, PROBE, "wait") == 0


def test_sigterm_ends_a_stopped_program(pid1: bool) -> None:
    """A SIGTERM stays pending in a stopped process; the SIGCONT after it lets it work."""
    with Running([TACET, "--", PROBE, "wait"], pid1=pid1) as running:
        running.line_with("^ready")
        os.kill(running.child, signal.SIGSTOP)
        wait_until(lambda: state_of(running.child) == "T", "the child is stopped")
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


def test_a_second_sigterm_is_passed_on_and_starts_nothing_again(pid1: bool, tmp_path: Path) -> None:
    """Two SIGTERMs during a slow stop: the program works on to its end and its status is the answer."""
    done = tmp_path / "done"
    with Running([TACET, "--", PROBE, "clean", "1500", str(done)], pid1=pid1) as running:
        running.line_with("^ready")
        supervisor, started = running.pid, time.monotonic()
        os.kill(supervisor, signal.SIGTERM)
        time.sleep(0.2)
        kill_quietly(supervisor, signal.SIGTERM)
        assert running.wait() == 0
        assert time.monotonic() - started > 1.4
    assert done.read_text() == "done\n"


def test_a_storm_of_signals_while_children_die_confuses_nothing(pid1: bool) -> None:
    """Ten thousand signals a second, while the program starts and loses children: its status comes through."""
    script = "i=0; while [ $i -lt 150 ]; do /bin/true; i=$((i+1)); done; echo end; exit 23"
    with Running([TACET, "--", "sh", "-c", f"trap : USR1; echo ready; {script}"], pid1=pid1) as running:
        running.line_with("^ready")
        supervisor = running.pid
        while running.process.poll() is None:
            for _ in range(100):
                try:
                    os.kill(supervisor, signal.SIGUSR1)
                    os.kill(supervisor, signal.SIGCHLD)
                except ProcessLookupError:
                    break
            time.sleep(0.01)
        assert running.wait() == 23
        assert "end" in running.rest()


def test_a_program_that_ignores_sigterm_keeps_running_until_sigkill_of_the_program(pid1: bool) -> None:
    """Nobody is killed early: within a second of SIGTERM a deaf program still stands, and its death by KILL is 137."""
    with Running([TACET, "--", PROBE, "deaf"], pid1=pid1) as running:
        running.line_with("^ready")
        child = running.child
        running.signal(signal.SIGTERM)
        time.sleep(1)
        assert is_alive(child)
        os.kill(child, signal.SIGKILL)
        assert running.wait() == 137


@pytest.mark.parametrize("mode", ["process", "group"])
def test_kill_mode_says_who_gets_a_signal(pid1: bool, mode: str) -> None:
    """The program's process, or its whole group."""
    script = f"trap 'wait; exit 5' USR1; '{PROBE}' log 10 & echo ready; wait; wait"
    with Running([TACET, "run", "--kill-mode", mode, "--", "sh", "-c", script], pid1=pid1) as running:
        running.line_with("^ready [0-9]")
        running.signal(signal.SIGUSR1)
        if mode == "group":
            running.line_with("^10$")
            assert running.wait() == 5
        else:
            with pytest.raises(AssertionError):
                running.line_with("^10$", 0.5)


def test_a_group_signal_right_after_the_start_is_not_too_early() -> None:
    """The group is made by both sides: it is there as soon as the supervisor could send."""
    for _ in range(100):
        process = subprocess.Popen([TACET, "run", "--kill-mode", "group", "--", PROBE, "wait"], stdout=subprocess.DEVNULL)
        time.sleep(0.002)
        process.terminate()
        assert process.wait(30) in (-15, 143)


def test_stop_signal_is_what_a_stop_sends(pid1: bool) -> None:
    """SIGTERM to the supervisor asks the program by its own signal."""
    with Running([TACET, "run", "--stop-signal", "QUIT", "--", PROBE, "log", "3"], pid1=pid1) as running:
        running.line_with("^ready")
        running.signal(signal.SIGTERM)
        running.line_with("^3$")
        assert running.wait() == 0


ASKED = "trap 'echo asked; exit 0' {}; echo ready; while :; do sleep 0.02; done"


@pytest.mark.parametrize("name", ["USR1", "WINCH", "QUIT"])
def test_the_configured_stop_signal_ends_tacet_too(pid1: bool, name: str) -> None:
    """What a container's runtime sends for STOPSIGNAL: the app ends by it, and must not be started again."""
    options = ["--stop-signal", name, "--restart", "always", "--restart-delay", "1ms"]
    with Running([TACET, "run", *options, "--", "sh", "-c", ASKED.format(name)], pid1=pid1) as running:
        running.line_with("^ready")
        running.signal(signal.Signals[f"SIG{name}"])
        running.line_with("^asked")
        assert running.wait() == 0
        assert "ready" not in running.rest()


def test_another_signal_is_only_forwarded(pid1: bool) -> None:
    """USR1 is the app's own business where it is not the stop signal; so it is for a plain init."""
    options = ["--stop-signal", "USR2", "--restart", "always", "--restart-delay", "1ms"]
    with Running([TACET, "run", *options, "--", "sh", "-c", ASKED.format("USR1")], pid1=pid1) as running:
        running.line_with("^ready")
        running.signal(signal.SIGUSR1)
        running.lines_with("^asked", "^ready")


def test_a_stop_by_the_stop_signal_drains_like_one_by_term() -> None:
    """Whoever sends it waits; Ctrl-C is what somebody sends who does not."""
    options = ["--stop-signal", "USR1", "--drain-signal", "USR2", "--drain-time", "10000s"]
    script = "trap 'echo drains' USR2; " + ASKED.format("USR1")
    with Running([TACET, "run", "-v", *options, "--", "sh", "-c", script]) as running:
        # one that is not ready by tacet's book has nothing to drain
        running.lines_with("^ready", "the app is ready")
        running.signal(signal.SIGUSR1)
        running.line_with("^drains")
        running.signal(signal.SIGUSR1)
        running.line_with("^asked")
        assert running.wait() == 0


def test_a_terminal_of_another_size_stops_nobody() -> None:
    """The kernel sends WINCH by itself: it is no request, although the app ends by one from a process."""
    options = ["--stop-signal", "WINCH", "--terminal", "no", "-vv"]
    with Terminal([TACET, "run", *options, "--", PROBE, "wait"]) as terminal:
        terminal.expect("ready")
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 10, 0, 0))
        terminal.expect("signal WINCH from process 0")
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.expect("stopping")


@pytest.mark.parametrize(("key", "rotates", "reaches"), [("USR1", "USR1", "HUP"), ("HUP", "HUP", "USR1"), ("none", None, "HUP")])
def test_another_signal_may_ask_for_a_rotation(key: str, rotates: str | None, reaches: str, tmp_path: Path) -> None:
    """Then HUP is the app's own: many servers read their configuration again on it."""
    secrets = tmp_path / "secrets.env"
    secrets.write_text("A=1\n")
    script = f"trap 'echo got' {reaches}; echo ready; while :; do sleep 0.02; done"
    options = ["-v", "-s", f"env-file:{secrets}", "--rotate-signal", key]
    with Running([TACET, "run", *options, "--", "sh", "-c", script]) as running:
        running.lines_with("^ready", "is up")
        running.signal(signal.Signals[f"SIG{reaches}"])
        running.line_with("^got")
        if rotates:
            secrets.write_text("A=2\n")
            running.signal(signal.Signals[f"SIG{rotates}"])
            running.line_with("rotation to generation 2 done")


@pytest.mark.parametrize("name", ["TERM", "INT", "QUIT", "CHLD", "KILL", "CONT"])
def test_a_signal_with_a_meaning_of_its_own_asks_for_no_rotation(name: str, tmp_path: Path) -> None:
    """Refused before anything starts, as is the stop signal."""
    secrets = tmp_path / "secrets.env"
    secrets.write_text("A=1\n")
    source = ["-s", f"env-file:{secrets}"]
    done = run([TACET, "run", *source, "--rotate-signal", name, "--", "echo", "started"])
    assert (done.returncode, done.stdout) == (64, ""), done.stderr
    assert "--rotate-signal" in done.stderr
    done = run([TACET, "run", *source, "--rotate-signal", "USR1", "--stop-signal", "USR1", "--", "echo", "started"])
    assert (done.returncode, done.stdout) == (64, "")
