"""Reaping: orphans, storms, growth, and an idle supervisor."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import PROBE, TACET, Running, children_of, is_alive, read_status, run, wait_until

pytestmark = pytest.mark.both


def zombies_of(pid: int) -> list[int]:
    """List the dead children that nobody has reaped."""
    return [child for child in children_of(pid) if read_status(child).get("State", "").startswith("Z")]


def test_orphans_are_reaped_and_the_program_goes_on(pid1: bool) -> None:
    """Double-forked processes end up at the supervisor, also when it is not PID 1 (it is a subreaper)."""
    with Running([TACET, "--", "sh", "-c", f"{PROBE} orphans 50; echo ready; exec {PROBE} wait"], pid1=pid1) as running:
        running.line_with("^ready$")
        running.line_with("^ready ")
        wait_until(lambda: len(children_of(running.pid)) == 1, "every orphan is reaped")
        assert is_alive(running.child)


def test_an_orphan_that_lives_is_adopted_and_reaped_when_it_ends(pid1: bool) -> None:
    """A daemon that detaches itself becomes the supervisor's child."""
    script = "(setsid sleep 1000 &) ; echo ready; exec sleep 1000"
    with Running([TACET, "--", "sh", "-c", script], pid1=pid1) as running:
        running.line_with("^ready$")
        wait_until(lambda: len(children_of(running.pid)) == 2, "the daemon is adopted")
        os.kill(children_of(running.pid)[1], signal.SIGKILL)
        wait_until(lambda: len(children_of(running.pid)) == 1, "the daemon is reaped")


@pytest.mark.timeout(700)
def test_ten_thousand_deaths_leave_no_zombie_no_descriptor_and_no_memory() -> None:
    """As PID 1, in chunks: after the first thousand nothing may grow any more."""
    script = f"{PROBE} orphans 1000; echo warm; read go; {PROBE} orphans 9000; echo done; read go"
    with Running([TACET, "--", "sh", "-c", script], pid1=True, stdin=subprocess.PIPE) as running:
        running.line_with("^warm$", 300)
        wait_until(lambda: len(children_of(running.pid)) == 1, "the orphans are reaped")
        before = measure(running.pid)
        running.process.stdin.write(b"\n")
        running.process.stdin.flush()
        running.line_with("^done$", 300)
        wait_until(lambda: len(children_of(running.pid)) == 1, "the orphans are reaped")
        after = measure(running.pid)
        assert after[0] == before[0], "descriptors"
        assert after[1] <= before[1] + 64, "resident kB"
        running.process.stdin.close()
        assert running.wait() == 1


def measure(pid: int) -> tuple[int, int]:
    """Return the number of descriptors and the resident memory in kB."""
    return len(os.listdir(f"/proc/{pid}/fd")), int(read_status(pid)["VmRSS"].split()[0])


@pytest.mark.timeout(400)
def test_a_burst_of_orphans_is_reaped_completely() -> None:
    """SIGCHLD coalesces: 4,000 deaths at once are perhaps ten signals. (bench/ does 20,000 and compares times.)"""
    done = run([TACET, "--", PROBE, "burst", "4000"], pid1=True, seconds=300)
    assert re.match(r"0 left, \d+ us", done.stdout), done.stdout + done.stderr
    assert done.returncode == 0


def test_the_status_of_the_program_is_not_lost_in_a_storm_of_deaths() -> None:
    """The program ends among hundreds of others; its status is the answer each time."""
    script = f"{PROBE} orphans 40 & {PROBE} orphans 40 & exit 42"
    for _ in range(40):
        assert run([TACET, "--", "sh", "-c", script], pid1=True).returncode == 42


def test_a_process_that_entered_the_namespace_is_no_child_and_harms_nothing() -> None:
    """As `docker exec` does: its parent is outside, so it never arrives here; its orphans do."""
    with Running([TACET, "--", PROBE, "wait"], pid1=True) as running:
        running.line_with("^ready")
        enter = ["nsenter", "--pid", "--mount", f"--target={running.pid}"]
        assert run([*enter, "sh", "-c", "(sleep 0.2 &); exit 3"]).returncode == 3
        wait_until(lambda: len(children_of(running.pid)) == 1, "the orphan of the visitor is reaped")
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


def test_an_idle_supervisor_never_wakes_up(pid1: bool, tmp_path: Path) -> None:
    """No timer, no poll: strace over three seconds shows not one system call that begins or returns."""
    trace = tmp_path / "trace"
    with Running([TACET, "--", PROBE, "wait"], pid1=pid1) as running:
        running.line_with("^ready")
        with subprocess.Popen(["strace", "-qq", "-o", str(trace), "-p", str(running.pid)], stderr=subprocess.PIPE) as tracer:
            wait_until(lambda: trace.exists() and trace.stat().st_size > 0, "strace sees the call it is in")
            seen = [trace.read_text()]
            while len(seen) < 10 and seen[-1:] != seen[-2:-1]:  # attaching itself interrupts the wait once
                time.sleep(3)
                seen.append(trace.read_text())
            tracer.send_signal(signal.SIGINT)
            complaint = tracer.communicate(timeout=60)[1]
        assert seen[-1] == seen[-2], complaint
        assert "<detached" in trace.read_text().removeprefix(seen[-1])


@pytest.mark.timeout(400)
def test_signals_to_a_dead_program_hit_nobody_who_got_its_number() -> None:
    """A PID space of a few hundred: numbers come back fast. Where the limit is not per namespace it is left alone."""
    release = tuple(int(word) for word in re.findall(r"\d+", os.uname().release)[:2])
    small = "echo 400 > /proc/sys/kernel/pid_max;" if release >= (6, 14) else ""
    rounds = (
        f'for round in $(seq 60); do "{TACET}" -- sh -c "exit 3" & victim=$!; '
        "kill -USR2 $victim 2>/dev/null; sleep 0.01; kill -TERM $victim 2>/dev/null; wait $victim; done"
    )
    script = f"trap '' USR2; sleep 1000 & bystander=$!; {small} {rounds}; kill -0 $bystander && echo intact"
    done = run(["tini", "--", "sh", "-c", script], pid1=True, seconds=300)
    assert done.stdout.endswith("intact\n"), done.stderr
