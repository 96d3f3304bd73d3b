"""The terminal: it is handed to the program only by who has it, and it comes back."""

from __future__ import annotations

import os
import signal
import time

import pytest
from support import NAMESPACE, PROBE, TACET, children_of, is_alive, name_of, state_of, wait_until
from terminal import PROMPT, SHELL, Terminal

pytestmark = pytest.mark.both


def supervisor_below(terminal: Terminal) -> int:
    """Find the supervisor: the child of the shell that has a child itself."""
    shell = terminal.process.pid
    wait_until(lambda: any(children_of(child) for child in children_of(shell)), "the supervisor runs its program")
    return next(child for child in children_of(shell) if children_of(child))


def type_sleep(terminal: Terminal) -> None:
    """Start a job of the shell; return when it has the terminal."""
    terminal.type("sleep 1000\n")
    wait_until(lambda: name_of(terminal.foreground()) == "sleep", "the job has the terminal")


def test_the_program_in_the_foreground_reads_from_the_terminal() -> None:
    """Without the hand-over a read from an own process group would stop the program."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} -- sh -c 'read line; echo got:$line'")
        terminal.type("hello\n")
        terminal.expect("got:hello")
        terminal.command("echo $?")
        terminal.expect("\n0")


def test_control_c_reaches_the_program_once_and_the_prompt_comes_back() -> None:
    """The program is interrupted, the shell gets 130 and its terminal."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} -- {PROBE} wait")
        terminal.expect("ready ")
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("echo status:$?\n")
        terminal.expect("status:130")
        assert terminal.foreground() == terminal.process.pid


def test_control_c_is_delivered_once() -> None:
    """A program that counts interrupts sees one for one Ctrl-C: not also the forwarded one."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} -- {PROBE} log 15")
        terminal.expect("ready ")
        terminal.type("\x03")
        terminal.expect("2\r\n")
        time.sleep(0.3)
        supervisor = supervisor_below(terminal)
        os.kill(supervisor, signal.SIGTERM)
        assert "2\r\n" not in terminal.expect("15\r\n")


def test_control_z_stops_and_fg_continues() -> None:
    """Job control through the supervisor: the shell sees the job stopped, fg brings it back, Ctrl-C ends it."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} -- {PROBE} wait")
        terminal.expect("ready ")
        program = children_of(supervisor_below(terminal))[0]
        for _ in range(3):
            terminal.type("\x1a")
            terminal.expect("Stopped")
            wait_until(lambda: state_of(program) == "T", "the program is stopped")
            terminal.expect(PROMPT)
            assert terminal.foreground() == terminal.process.pid
            terminal.type("fg\n")
            wait_until(lambda: state_of(program) == "S", "the program runs again")
            wait_until(lambda: terminal.foreground() == os.getpgid(program), "the program has the terminal again")
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("echo status:$?\n")
        terminal.expect("status:130")


def test_bg_lets_a_stopped_program_run_without_the_terminal() -> None:
    """After Ctrl-Z and bg the program runs, the shell keeps the terminal."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} -- {PROBE} wait")
        terminal.expect("ready ")
        program = children_of(supervisor_below(terminal))[0]
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect(PROMPT)
        terminal.type("bg\n")
        wait_until(lambda: state_of(program) == "S", "the program runs in the background")
        terminal.type("echo typed-$((1+1))\n")
        terminal.expect("typed-2")
        assert terminal.foreground() == terminal.process.pid


def test_a_start_in_the_background_does_not_take_the_terminal() -> None:
    """`tacet -- CMD &`: the shell keeps the terminal."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} -- {PROBE} wait > /dev/null &")
        supervisor_below(terminal)
        time.sleep(0.2)
        terminal.type("echo typed-$((1+1))\n")
        terminal.expect("typed-2")
        assert terminal.foreground() == terminal.process.pid


def test_a_pipeline_keeps_working() -> None:
    """In a pipeline the supervisor's group has the terminal together with others."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} -- echo through the pipe | tr a-z A-Z")
        terminal.expect("THROUGH THE PIPE")
        terminal.command(f"echo again | {TACET} -- cat")
        terminal.expect("again")
        terminal.command("echo typed-$((1+1))")
        terminal.expect("typed-2")


def test_an_interactive_shell_under_the_supervisor_has_job_control() -> None:
    """No "no job control in this shell", Ctrl-C hits only the inner job, exit gives the outer prompt back."""
    with Terminal() as terminal:
        terminal.command(f"PS1='inner> ' {TACET} -- {' '.join(SHELL)}")
        assert "no job control" not in terminal.expect("inner> ")
        type_sleep(terminal)
        terminal.type("\x03")
        terminal.expect("inner> ")
        terminal.type("exit 7\n")
        terminal.command("echo status:$?")
        terminal.expect("status:7")
        assert terminal.foreground() == terminal.process.pid


def test_the_terminal_of_a_container_goes_to_the_program() -> None:
    """PID 1 as the session leader of the terminal, as `run -it` does it."""
    with Terminal([*NAMESPACE, "setsid", "--ctty", TACET, "--", *SHELL]) as terminal:
        assert "no job control" not in terminal.expect(PROMPT)
        type_sleep(terminal)
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("echo $((40+2)); exit 9\n")
        terminal.expect("42")
        assert terminal.process.wait(30) == 9


def test_a_lost_terminal_ends_the_program() -> None:
    """The window is closed: SIGHUP arrives and is passed on."""
    with Terminal([TACET, "--", PROBE, "wait"]) as terminal:
        terminal.expect("ready ")
        program = children_of(terminal.process.pid)[0]
        assert name_of(program) == "probe"
        os.kill(terminal.process.pid, signal.SIGHUP)
        wait_until(lambda: not is_alive(program), "the program got the hangup")
        assert terminal.process.wait(30) == 129
