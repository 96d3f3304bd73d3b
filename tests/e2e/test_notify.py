"""The notify socket toward the app: who may speak, what is followed, what is dropped without leaving anything behind."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest
from support import PROBE, TACET, Running, free_port, run, wait_asleep
from timing import at_a_pace, duration

pytestmark = pytest.mark.both

NOTIFYING = [sys.executable, str(Path(__file__).parent / "notifying.py")]
UP = "generation 0 is up"


def started(*options: str, show: list[str], **more: object) -> Running:
    """Start a program under `tacet run`."""
    return Running([TACET, "run", "-v", "-v", "--min-healthy", "0", *options, "--", *show], **more)


def speaking(*steps: str, options: tuple[str, ...] = ("--ready", "notify"), **more: object) -> Running:
    """Start the program that takes these steps."""
    return started(*options, show=[*NOTIFYING, *steps], **more)


def test_ready_comes_when_the_program_says_so(pid1: bool) -> None:
    """Not before."""
    with speaking("print:first", "sleep:0.4", "print:now", "say:READY=1\nSTATUS=serving", "wait", pid1=pid1) as running:
        lines = []
        while not lines or UP not in lines[-1]:
            lines.append(running.line())
        assert "now" in lines


def test_a_program_that_never_says_ready_has_failed() -> None:
    """READY=0 and other words are not it."""
    options = ("--ready", "notify", "--ready-timeout", "400ms")
    with speaking("say:READY=0\nRELOADING=1", "say:STOPPING=1\nREADY=1", "wait", options=options) as running:
        running.line_with("failed: not ready in time|not ready")


def test_without_need_there_is_no_socket() -> None:
    """A program that is not asked to speak gets no NOTIFY_SOCKET; one that stands above belongs to tacet."""
    done = run([TACET, "run", "--", PROBE, "env"])
    assert "NOTIFY_SOCKET" not in done.stdout


def test_the_socket_of_the_manager_above_is_not_handed_on(tmp_path: Path) -> None:
    """The program's READY=1 must not be taken for tacet's: it gets a socket of tacet's instead."""
    above = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(above)
        done = run([TACET, "run", "--", PROBE, "env"], environment={"NOTIFY_SOCKET": above})
        assert re.search("^NOTIFY_SOCKET=@tacet/[0-9a-f]{16}$", done.stdout, re.MULTILINE), done.stdout


def test_a_child_may_not_speak_for_the_program() -> None:
    """As with systemd's NotifyAccess=main; the log says what was dropped and why."""
    with speaking("child:READY=1", "print:so far", "say:READY=1", "wait") as running:
        running.line_with("dropped: only the app's main process may send any")
        assert running.line_with(f"so far|{UP}") == "so far"
        running.line_with(UP)


@pytest.mark.parametrize("step", ["child:READY=1", "orphan:READY=1"])
def test_with_access_all_the_whole_tree_may_speak(step: str, pid1: bool) -> None:
    """Also a grandchild whose parent has ended: it is still of the program's group."""
    options = ("--ready", "notify", "--notify-access", "all")
    with speaking(step, "wait", options=options, pid1=pid1) as running:
        running.line_with(UP)


@pytest.mark.parametrize("access", ["main", "all"])
def test_a_stranger_is_not_heard(access: str, tmp_path: Path) -> None:
    """It knows the name of the socket, and that is not enough."""
    options = ("--ready", "notify", "--notify-access", access)
    steps = ["env:NOTIFY_SOCKET", f"file:{tmp_path / 'go'}", "print:so far", "say:READY=1", "wait"]
    with speaking(*steps, options=options) as running:
        address = running.line_with("^NOTIFY_SOCKET=").partition("=")[2]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:])
            channel.send(b"READY=1")
        running.line_with("dropped: it is no process of the app")
        (tmp_path / "go").touch()
        assert running.line_with(f"so far|{UP}") == "so far"
        running.line_with(UP)


def test_systemd_notify_of_a_shell_script_is_heard() -> None:
    """The real tool, with its barrier: it returns when the message has been taken."""
    script = "systemd-notify --ready --status='by the tool' && echo taken && exec sleep 1000"
    with started("--ready", "notify", "--notify-access", "all", show=["sh", "-c", script]) as running:
        running.line_with("status: by the tool")
        running.line_with(UP)


def test_gunicorn_says_when_it_is_ready(tmp_path: Path) -> None:
    """A server as it is: its main process sends READY=1 once its workers have been started."""
    (tmp_path / "hello.py").write_text(
        "def app(environment, respond):\n    respond('200 OK', [])\n    return [b'hello']\n"
    )
    port = free_port()
    command = ["gunicorn", "--chdir", str(tmp_path), "-b", f"127.0.0.1:{port}", "hello:app"]
    with started("--ready", "notify", show=command) as running:
        running.line_with(UP, seconds=60)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"200 OK" in client.recv(100)


def test_more_time_can_be_asked_for() -> None:
    """EXTEND_TIMEOUT_USEC moves ready_timeout."""

    def ready_after(seconds: float) -> None:
        options = ("--ready", "notify", "--ready-timeout", duration(seconds))
        steps = ["say:EXTEND_TIMEOUT_USEC=90000000", f"sleep:{seconds * 1.5:g}", "say:READY=1", "wait"]
        with speaking(*steps, options=options) as running:
            assert UP in running.line_with(f"{UP}|failed", 90)

    at_a_pace(ready_after, 1, 5, 20)


def test_a_barrier_is_answered_after_what_came_before() -> None:
    """By the close of its descriptor; READY had been taken by then."""
    with speaking("say:READY=1", "barrier", "print:answered", "wait") as running:
        lines = [running.line_with(f"{UP}|sign of readiness: notify|answered") for _ in range(2)]
        assert "sign of readiness" in lines[0]


def test_a_watchdog_that_is_fed_leaves_the_program_alone() -> None:
    """And one that is not ends it: it is started again."""

    def fed_for_longer(seconds: float) -> None:
        ms = int(seconds * 1000)
        options = ("--ready", "notify", "--watchdog", f"{ms}ms", "--restart", "always")
        feed = [word for _ in range(16) for word in ("say:WATCHDOG=1", f"sleep:{seconds / 10:g}")]
        steps = ["env:WATCHDOG_USEC", "env:WATCHDOG_PID", "say:READY=1", *feed, "print:silent from here", "wait"]
        with speaking(*steps, options=options) as running:
            assert running.line_with("^WATCHDOG_USEC") == f"WATCHDOG_USEC={ms * 1000}"
            assert running.line_with("^WATCHDOG_PID") == "WATCHDOG_PID=None"
            line = running.line_with("silent from here|sent no WATCHDOG=1")
            assert line == "silent from here"
            running.line_with(f"sent no WATCHDOG=1 for {'500ms' if ms == 500 else f'{seconds:g}s'}")
            running.line_with("unhealthy")
            running.line_with("Spawned")

    at_a_pace(fed_for_longer, 0.5, 4, 20)


def test_the_watchdog_can_be_triggered_and_changed_by_the_program() -> None:
    """WATCHDOG=trigger is a failure at once; WATCHDOG_USEC another time limit, also without one in the configuration."""
    options = ("--ready", "notify", "--restart", "always")
    with speaking("say:READY=1", "say:WATCHDOG=trigger", "wait", options=options) as running:
        running.line_with("sent WATCHDOG=trigger")
        running.line_with("unhealthy")
    with speaking("say:READY=1\nWATCHDOG_USEC=300000", "wait", options=options) as running:
        running.line_with("sent no WATCHDOG=1 for 300ms")
    with speaking("say:READY=1\nWATCHDOG_USEC=1", "wait", options=options) as running:
        running.line_with("sent no WATCHDOG=1 for 10ms")


def test_what_is_not_followed_is_said_once() -> None:
    """MAINPID and FDSTORE."""
    with speaking("say:MAINPID=1", "many:5:MAINPID=1", "say:READY=1", "wait") as running:
        running.line_with("sent MAINPID: not followed")
        line = running.line_with(f"MAINPID|{UP}")
        assert UP in line


def test_a_status_cannot_spoil_a_terminal() -> None:
    """Control characters are replaced, and it is shown only with -v -v."""
    with speaking("say:STATUS=a\x1b[31mb\x9bc", "say:READY=1", "wait") as running:
        line = running.line_with("status: ")
        assert "\x1b" not in line and "a?[31mb" in line


# Bad messages: the next one counts as if they had not come, and no descriptor stays open.
BAD = {
    "a barrier without a descriptor": ["say:BARRIER=1"],
    "a barrier with two descriptors": ["fds:2:BARRIER=1"],
    "a barrier beside other words": ["fds:1:BARRIER=1\\nX=1"],
    "4097 bytes": ["size:4097:READY=1\\n"],
    "100000 bytes": ["size:100000:READY=1\\n"],
    "a NUL": ["say:READY=1\\0STATUS=x"],
    "nothing": ["say:"],
    "descriptors for the store": ["fds:3:FDSTORE=1\\nFDNAME=x"],
    "300 descriptors": ["fds:250:X=1", "fds:50:X=1"],
    "many": ["many:2000:X=1"],
}


@pytest.mark.parametrize("what", BAD)
def test_bad_messages_leave_nothing_behind(what: str) -> None:
    """Neither readiness nor open descriptors; what comes after them is heard."""
    # Two barriers: whatever else was about to be closed when the first was answered is closed when the second is.
    steps = ["barrier", "barrier", "count", *BAD[what] * 3, "barrier", "barrier", "count", "print:so far", "say:READY=1", "wait"]
    with speaking(*steps) as running:
        before = running.line_with("^descriptors")
        assert running.line_with("^descriptors") == before
        line = running.line_with(f"so far|{UP}")
        assert line == "so far"
        running.line_with(UP)


def test_a_message_of_4096_bytes_is_still_one() -> None:
    """The limit of sd_notify(3) itself."""
    with speaking("size:4096:READY=1\\n", "wait") as running:
        running.line_with(UP)


def test_no_descriptor_of_the_socket_reaches_the_program() -> None:
    """The program has the variable, not the socket."""
    script = "ls -l /proc/self/fd; exec sleep 1000"
    with started("--ready", "notify", show=["sh", "-c", script]) as running:
        running.line_with(" 2 ->")
        line = running.line_with(r" \d+ -> ")
        assert "/fd" in line, line


def test_an_idle_supervisor_with_a_notify_socket_stays_idle() -> None:
    """No wake-up without a message."""
    with speaking("say:READY=1", "wait") as running:
        running.line_with(UP)
        wait_asleep(running.pid)


def test_a_newline_on_the_ready_descriptor_is_the_sign() -> None:
    """As s6 has it: what stands before it does not matter."""
    options = ("--ready", "fd", "--ready-fd", "9")
    with speaking("env:TACET_READY_FD", "sleep:0.3", "print:now", "newline", "wait", options=options) as running:
        assert running.line_with("^TACET_READY_FD") == "TACET_READY_FD=9"
        assert running.line_with(f"^now|{UP}") == "now"
        running.line_with(UP)


def test_a_ready_descriptor_that_is_closed_silently_is_no_sign() -> None:
    """The program has failed when ready_timeout has passed, and the log says what was missing."""
    options = ("--ready", "fd", "--ready-fd", "3", "--ready-timeout", "2s", "--restart", "always")
    script = "printf nothing >&3; exec 3>&-; exec sleep 1000"
    with started(*options, show=["sh", "-c", script]) as running:
        running.line_with("closed its ready descriptor without a newline")
        running.line_with("failed: not ready")


def test_a_gate_that_cannot_open_is_refused() -> None:
    """Before anything is started."""
    done = run([TACET, "run", "--ready", "fd", "--", "true"])
    assert done.returncode == 64
    assert "ready = fd needs the number" in done.stderr
    done = run([TACET, "run", "--ready", "notify", "--notify-access", "none", "--", "true"])
    assert done.returncode == 64
    assert "needs a notify socket" in done.stderr
