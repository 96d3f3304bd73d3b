"""Restarts: which ends are followed by one, how long it waits, and that a stop never waits for it."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from support import PROBE, TACET, TACET_STATIC, Running, is_alive, run, wait_until

pytestmark = pytest.mark.both


NOTE = 'read -r stat < /proc/$$/stat; set -- $stat; echo "${22}" >>'


def noting(path: Path, script: str) -> list[str]:
    """A program that notes when the kernel started it, however late it is itself; then it runs a script."""
    return ["sh", "-c", f"{NOTE} {path}; {script}"]


def starts(path: Path) -> list[float]:
    """The noted start times, in seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    return [int(line) / ticks for line in path.read_text().split()] if path.exists() else []


def gaps(path: Path) -> list[float]:
    """Times between starts."""
    times = starts(path)
    return [later - earlier for earlier, later in zip(times, times[1:])]


def delays_in(log: str) -> list[float]:
    """The delays that were announced, in seconds: what was left of them at that moment."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 0.0}
    found = re.findall(r"restarting the app (?:in (\d+)(us|ms|s)\b|now)", log)
    return [int(number or 0) * units[unit] for number, unit in found]


def test_without_a_policy_nothing_is_restarted(pid1: bool, tmp_path: Path) -> None:
    """restart = no is the default."""
    note = tmp_path / "starts"
    assert run([TACET, "run", "--", *noting(note, "exit 3")], pid1=pid1).returncode == 3
    assert len(starts(note)) == 1


def test_on_failure_restarts_failures_only(pid1: bool, tmp_path: Path) -> None:
    """Exit 0 is an end; another status and a signal are not."""
    note = tmp_path / "starts"
    script = f"case $(wc -l < {note}) in 1) exit 7;; 2) kill -9 $$;; *) exit 0;; esac"
    command = [TACET, "run", "--restart", "on-failure", "--restart-delay", "10ms", "--", *noting(note, script)]
    assert run(command, pid1=pid1).returncode == 0
    assert len(starts(note)) == 3


def test_always_restarts_success_too_until_the_limit(pid1: bool, tmp_path: Path) -> None:
    """After restart_limit restarts in a row it gives up with the program's own status."""
    note = tmp_path / "starts"
    options = ["--restart", "always", "--restart-delay", "5ms", "--restart-limit", "4"]
    assert run([TACET, "run", *options, "--", *noting(note, "exit 0")], pid1=pid1).returncode == 0
    assert len(starts(note)) == 5
    note.unlink()
    assert run([TACET, "run", *options, "--", *noting(note, "exit 19")], pid1=pid1).returncode == 19
    assert len(starts(note)) == 5


def test_the_delay_doubles_up_to_its_maximum(tmp_path: Path) -> None:
    """100, 200, 400, 400 ms with an eighth of jitter: together no sooner by the clock, each no longer by its own words."""
    note = tmp_path / "starts"
    options = ["--restart", "always", "--restart-delay", "100ms", "--restart-delay-max", "400ms", "--restart-limit", "5"]
    done = run([TACET, "run", *options, "--", *noting(note, "exit 1")])
    measured = gaps(note)
    said = delays_in(done.stderr)
    assert len(measured) == len(said) == 5, done.stderr
    assert sum(measured) >= 1.2, measured
    for delay, expected in zip(said, (0.1, 0.2, 0.4, 0.4, 0.4)):
        assert delay <= expected * 1.125 + 0.001, said


def test_a_program_that_was_up_long_enough_starts_anew_with_the_first_delay(tmp_path: Path) -> None:
    """restart_reset: the count and the delay of a program that works are forgotten."""
    note = tmp_path / "starts"
    options = ["--restart", "always", "--restart-delay", "20ms", "--restart-delay-max", "10s"]
    options += ["--restart-reset", "200ms", "--restart-limit", "3"]
    with Running([TACET, "run", *options, "--", *noting(note, "sleep 0.3; exit 1")]) as running:
        wait_until(lambda: len(starts(note)) >= 7, "more restarts than the limit for one series", 60)
        running.signal(signal.SIGTERM)
        running.wait()
        said = delays_in(running.rest())
        assert len(said) >= 6
        assert max(said) <= 0.023, said


def test_a_storm_of_ends_is_throttled(tmp_path: Path) -> None:
    """A program that ends at once is started a handful of times in its first second, not thousands."""
    note = tmp_path / "starts"
    options = ["--restart", "always", "--restart-delay", "100ms", "--restart-limit", "0"]
    with Running([TACET, "run", *options, "--", *noting(note, "exit 1")]) as running:
        wait_until(lambda: len(starts(note)) >= 5, "it is started again and again")
        times = starts(note)
        assert times[4] - times[0] >= 1.1, times
        running.signal(signal.SIGTERM)
        running.wait()


def test_a_stop_during_the_delay_wins_at_once(pid1: bool, tmp_path: Path) -> None:
    """Nobody waits for a restart that is no longer wanted."""
    note = tmp_path / "starts"
    command = [TACET, "run", "--restart", "always", "--restart-delay", "1h", "--", *noting(note, "exit 4")]
    command.insert(2, "--restart-delay-max=1h")
    with Running(command, pid1=pid1) as running:
        running.line_with("restarting the app in ")
        running.signal(signal.SIGTERM)
        running.wait()
    assert len(starts(note)) == 1


def test_a_stop_is_no_failure_that_is_restarted(pid1: bool) -> None:
    """SIGTERM to the supervisor ends it, whatever the policy."""
    with Running([TACET, "run", "--restart", "always", "--restart-delay", "5ms", "--", PROBE, "wait"], pid1=pid1) as running:
        running.line_with("^ready")
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


def test_a_crashed_program_is_back_soon(pid1: bool) -> None:
    """The shortest delay, each time; bench/ measures what it costs."""
    options = ["--restart", "on-failure", "--restart-delay", "1ms", "--restart-reset", "1ms"]
    with Running([TACET, "run", *options, "--", PROBE, "wait"], pid1=pid1) as running:
        running.line_with("^ready")
        for _ in range(10):
            time.sleep(0.02)
            os.kill(running.child, signal.SIGKILL)
            assert delays_in(running.line_with("restarting the app (in|now)")) <= [0.0015]
            running.line_with("^ready")


def test_no_process_left_for_a_restart_is_waited_out(tmp_path: Path) -> None:
    """EAGAIN at a restart: reported, tried again, and the program is back when there is room."""
    options = ["--restart", "always", "--restart-delay", "20ms", "--restart-delay-max", "50ms", "--restart-limit", "0"]
    user = 100_000 + os.getpid()  # whose processes are counted: nobody else's
    drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    with Running([*drop, TACET, "run", *options, "--", PROBE, "wait"]) as running:
        pid = int(running.line_with("^ready").split()[1])
        assert run([*drop, "prlimit", f"--pid={running.pid}", "--nproc=1:"]).returncode == 0
        os.kill(pid, signal.SIGKILL)
        running.line_with(os.strerror(11))
        time.sleep(0.3)
        assert is_alive(running.pid)
        assert run([*drop, "prlimit", f"--pid={running.pid}", "--nproc=4096:"]).returncode == 0
        running.line_with("^ready")
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


def test_a_wall_clock_that_jumps_changes_no_delay(tmp_path: Path) -> None:
    """The wall clock runs a thousand times too fast; deadlines are of the monotonic clock."""
    note = tmp_path / "starts"
    options = ["--restart", "always", "--restart-delay", "300ms", "--restart-delay-max", "300ms", "--restart-limit", "3"]
    command = ["faketime", "-f", "+0 x1000", TACET, "run", *options, "--", *noting(note, "exit 1")]
    assert run(command, environment={"FAKETIME_DONT_FAKE_MONOTONIC": "1"}).returncode == 1
    assert len(gaps(note)) == 3
    assert sum(gaps(note)) >= 0.7, gaps(note)


def test_a_time_namespace_changes_no_delay(tmp_path: Path) -> None:
    """A monotonic clock that starts years ahead; the static program asks the kernel directly.

    Three delays are judged together: one start that is late makes the next gap short. One that were too long by as much as the
    clock is ahead would not end.
    """
    note = tmp_path / "starts"
    options = ["--restart", "always", "--restart-delay", "200ms", "--restart-delay-max", "200ms", "--restart-limit", "3"]
    for program in (TACET, TACET_STATIC):
        command = ["unshare", "--time", "--monotonic", "100000000", "--fork", program, "run", *options]
        assert run([*command, "--", *noting(note, "exit 1")]).returncode == 1
        assert sum(gaps(note)) >= 0.45, gaps(note)
        note.unlink()


def test_a_status_above_128_is_no_signal(tmp_path: Path) -> None:
    """lighttpd ends with 255 by itself: only what was killed is said to have been, by the very same number."""
    note = tmp_path / "starts"
    script = f"case $(wc -l < {note}) in 1) exit 255;; 2) exit 137;; 3) kill -9 $$;; *) exit 0;; esac"
    done = run([TACET, "run", "--restart", "on-failure", "--restart-delay", "10ms", "--", *noting(note, script)])
    failures = [line.partition("failed: ")[2] for line in done.stderr.splitlines() if "failed: " in line]
    assert failures == ["exited, status 255", "exited, status 137", "killed by SIGKILL, status 137"], done.stderr


def test_a_restart_without_a_delay_is_now(tmp_path: Path) -> None:
    """An app that was up for longer than the delay: nothing of it is left, which is no number."""
    note = tmp_path / "starts"
    script = f"sleep 0.1; [ $(wc -l < {note}) -ge 2 ] || exit 9"
    options = ["--restart", "on-failure", "--restart-delay", "1ms"]
    done = run([TACET, "run", *options, "--", *noting(note, script)])
    assert "restarting the app now\n" in done.stderr, done.stderr


def test_an_end_with_status_0_is_told_in_plain_words() -> None:
    """Nothing has failed with status 0: it ended by itself, and perhaps too early."""
    options = ["--restart", "always", "--restart-delay", "1ms", "--restart-limit", "1"]
    done = run([TACET, "run", *options, "--", "true"])
    assert "the app of generation 0 ended by itself, with status 0\n" in done.stderr, done.stderr
    done = run([TACET, "run", *options, "--ready", "delay", "--ready-delay", "1h", "--", "true"])
    assert "the app of generation 0 ended by itself, with status 0, before it was ready\n" in done.stderr, done.stderr
    assert "failed" not in done.stderr
