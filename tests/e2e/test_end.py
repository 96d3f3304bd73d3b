"""The end: exit statuses, what is left behind, and a supervisor that is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import PROBE, TACET, Running, descendants_of, is_alive, run, wait_until

pytestmark = pytest.mark.both

DEADLY = [
    number
    for number in range(1, 65)
    if number
    not in {
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGSTOP,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
]


def test_every_exit_code_is_passed_on() -> None:
    """0 to 255."""
    script = 'for code in $(seq 0 255); do "$0" -- "$1" exit $code; [ $? -eq $code ] || echo "wrong: $code"; done; echo end'
    assert run(["sh", "-c", script, TACET, PROBE], seconds=280).stdout == "end\n"


def test_every_deadly_signal_becomes_128_plus_its_number(tmp_path: Path) -> None:
    """Up to 64, which is 192."""
    for number in DEADLY:
        done = run(["prlimit", "--core=0:0", TACET, "--", PROBE, "die", str(number)], cwd=tmp_path)
        assert done.returncode == 128 + number


def test_as_pid_1_the_status_is_a_status(pid1: bool) -> None:
    """PID 1 cannot die of a signal; the number says it."""
    assert run([TACET, "--", PROBE, "die", "15"], pid1=pid1).returncode == 143
    assert run([TACET, "--", PROBE, "exit", "77"], pid1=pid1).returncode == 77


def test_the_output_of_the_program_is_complete_when_the_supervisor_ends(pid1: bool) -> None:
    """A megabyte through a pipe arrives whole."""
    done = run([TACET, "--", "sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; exit 4"], pid1=pid1)
    assert (len(done.stdout), done.returncode) == (1000000, 4)


def test_a_background_process_may_finish_its_work_after_the_program_ended(pid1: bool, tmp_path: Path) -> None:
    """What is left gets SIGTERM and time; the status is the main program's, though another ended last."""
    done = tmp_path / "done"
    os.mkfifo(tmp_path / "ready")
    script = f'"{PROBE}" clean 700 "{done}" > "{tmp_path}/ready" & read line < "{tmp_path}/ready"; exit 6'
    command = [TACET, "run", "--remaining-timeout", "10000s", "--", "sh", "-c", script]  # far longer than run() waits
    started = time.monotonic()
    assert run(command, pid1=pid1).returncode == 6
    assert done.read_text() == "done\n"
    assert time.monotonic() - started > 0.6


def test_a_background_process_that_is_deaf_is_killed_in_the_end(pid1: bool, tmp_path: Path) -> None:
    """remaining_timeout is the longest that the end is held up."""
    os.mkfifo(tmp_path / "ready")
    script = f'"{PROBE}" deaf > "{tmp_path}/ready" & read line < "{tmp_path}/ready"; exit 5'
    with Running([TACET, "run", "-v", "--remaining-timeout", "500ms", "--", "sh", "-c", script], pid1=pid1) as running:
        running.line_with("ending what it left behind")
        running.line_with("did not end: killing (it|them)")
        assert running.wait() == 5


def test_a_process_of_an_own_session_is_ended_too(pid1: bool, tmp_path: Path) -> None:
    """A grandchild that left group and session is found, because it was adopted."""
    note = tmp_path / "pid"
    os.mkfifo(note)
    script = f'setsid "{PROBE}" wait > "{note}" & read word pid < "{note}"; exit 0'
    with Running([TACET, "--", "sh", "-c", script], pid1=pid1) as running:
        supervisor = running.process.pid
        family: list[int] = []
        while running.process.poll() is None:
            family += [pid for pid in descendants_of(supervisor) if pid not in family]
            time.sleep(0.001)
        assert running.wait() == 0
    wait_until(lambda: not any(is_alive(pid) for pid in family), "nobody is left")


def test_with_nothing_left_the_end_comes_at_once(pid1: bool) -> None:
    """No grace period is slept when everything has ended."""
    command = [TACET, "run", "--remaining-timeout", "10000s", "--", "/bin/true"]  # far longer than run() waits
    assert run(command, pid1=pid1).returncode == 0


def test_exit_when_all_waits_for_every_descendant(pid1: bool, tmp_path: Path) -> None:
    """A program that makes itself a daemon: its exit is not the end."""
    done = tmp_path / "done"
    script = f"(sleep 0.5; echo done > {done}) & exit 3"
    assert run([TACET, "run", "--exit-when", "all", "--", "sh", "-c", script], pid1=pid1).returncode == 3
    assert done.exists()


def test_a_stop_ends_deaf_programs_at_the_deadline(pid1: bool) -> None:
    """TERM, then CONT, then KILL when stop_timeout is over; works on stopped ones as well."""
    with Running([TACET, "run", "--stop-timeout", "1s", "--", PROBE, "deaf"], pid1=pid1) as running:
        running.line_with("^ready")
        started = time.monotonic()
        running.signal(signal.SIGTERM)
        time.sleep(0.2)
        if running.process.poll() is None:
            running.signal(signal.SIGTERM)
        assert running.wait() == 137
        assert 1 <= time.monotonic() - started < 20  # unless told it would be thirty seconds


def test_the_program_dies_with_a_supervisor_that_is_killed_at_any_moment_of_the_start() -> None:
    """SIGKILL at random times of the first milliseconds: no program survives."""
    randomness = random.Random(7)
    mark = f"{os.getpid()}.{time.monotonic_ns()}"
    for _ in range(150):
        process = subprocess.Popen([TACET, "--", PROBE, "wait", mark], stdout=subprocess.DEVNULL)
        time.sleep(randomness.random() * 0.006)
        process.kill()
        process.wait()
    wait_until(lambda: not with_argument(mark), "no program survives its supervisor")


def with_argument(mark: str) -> list[int]:
    """Find living processes with this argument."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if mark.encode() in words and is_alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def test_the_program_of_another_user_dies_with_its_supervisor() -> None:
    """A change of credentials clears the parent-death signal: it must be set after it."""
    with Running([TACET, "run", "--user", "54321", "--group", "54321", "--", PROBE, "wait"]) as running:
        running.line_with("^ready")
        child = running.child
        running.process.kill()
        wait_until(lambda: not is_alive(child), "the program died with its supervisor")


def test_parent_death_signal_none_lets_the_program_live() -> None:
    """Who wants the peers' behaviour can have it."""
    with Running([TACET, "run", "--parent-death-signal", "none", "--", PROBE, "wait"]) as running:
        running.line_with("^ready")
        child = running.child
        running.process.kill()
        running.wait()
        time.sleep(0.3)
        try:
            assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_killed_pid_1_leaves_nothing_that_hinders_the_next_start(tmp_path: Path) -> None:
    """SIGKILL from outside ends the namespace; the next start in the same place is an ordinary one."""
    for _ in range(5):
        with Running([TACET, "--", PROBE, "wait"], pid1=True, cwd=tmp_path) as running:
            running.line_with("^ready")
            child = running.child
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
            wait_until(lambda child=child: not is_alive(child), "the namespace is gone")
    assert list(tmp_path.iterdir()) == []


def test_sigkill_and_sigstop_from_inside_do_not_harm_pid_1() -> None:
    """The kernel protects PID 1 from its own namespace."""
    script = "kill -9 1; kill -STOP 1; sleep 0.2; kill -0 1 && echo alive; exit 8"
    done = run([TACET, "--", "sh", "-c", script], pid1=True)
    assert (done.stdout, done.returncode) == ("alive\n", 8)


def test_when_not_pid_1_nobody_else_is_hit() -> None:
    """As in a shared PID namespace: only what the program started is ended, never everything that runs."""
    with Running(["sleep", "60"]) as bystander:
        assert run([TACET, "--", "sh", "-c", "sleep 60 & exit 0"]).returncode == 0
        assert is_alive(bystander.process.pid)
