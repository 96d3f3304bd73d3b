"""Health checks: what is asked, when an instance is ready, when it is unhealthy, and which checks are refused."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from support import TACET, Running, children_of, descendants_of, free_port, is_alive, run, wait_asleep, wait_until

pytestmark = pytest.mark.both

SERVING = [sys.executable, str(Path(__file__).parent / "serving.py")]
UP = "generation 0 is up"


@pytest.fixture
def port() -> int:
    """A port that nobody uses now."""
    return free_port()


def started(*options: str, show: list[str], **more: object) -> Running:
    """Start a program under `tacet run`."""
    return Running([TACET, "run", "-v", "--min-healthy", "0", *options, "--", *show], **more)


def serving(*words: str, options: tuple[str, ...], **more: object) -> Running:
    """Start the server."""
    return started(*options, show=[*SERVING, *words], **more)


# Of a check that is to succeed or fail by its answer: a machine may stand still for a while in the middle of one.
CALM = ("--health-timeout", "20s")


class Answering:
    """A server of the test itself, so that it listens before the check asks for the first time: one answer for all, or none."""

    def __init__(self, port: int, answer: bytes | None) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        self.answer = answer
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        """Until the socket is shut down."""
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.recv(1000)
                client.sendall(self.answer)

    def __enter__(self) -> Answering:
        if self.answer is not None:
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        if self.answer is not None:
            self.thread.join(30)
        self.socket.close()


def status_of(status: str) -> bytes | None:
    """The answer of that status."""
    return None if status == "hang" else f"HTTP/1.0 {status} As It Is\r\n\r\n".encode()


def put(path: Path, text: str) -> None:
    """Write a file at once: nobody may see half of it."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


def test_a_server_is_ready_when_it_answers(port: int, tmp_path: Path, pid1: bool) -> None:
    """It opens its port by itself, some time after its start."""
    options = ("--health", f"http://127.0.0.1:{port}/healthz?a=b", "--health-host", "api.example", *CALM)
    with serving(f"port={port}", f"boot=@{tmp_path}/go", "show=requests", options=options, pid1=pid1) as running:
        running.line_with("not ready .*health check: no connection: Connection refused")
        (tmp_path / "go").touch()
        running.line_with("^serving")
        lines = sorted(running.line_with(f"^request|{UP}") for _ in range(2))
        assert lines[0] == "request /healthz?a=b api.example"


@pytest.mark.parametrize("status", ["503", "404", "hang"])
def test_a_bad_answer_is_not_readiness(port: int, status: str) -> None:
    """And the log says which it was."""
    reason = "no answer within 300ms" if status == "hang" else f"HTTP status {status}"
    options = ("--health", f"http://127.0.0.1:{port}/", "--ready-timeout", "3s")
    options += ("--health-timeout", "300ms") if status == "hang" else CALM
    with Answering(port, status_of(status)), started(*options, show=["sleep", "1000"]) as running:
        running.line_with(f"not ready .*health check: {reason}")
        running.line_with("failed: not ready in time")
        assert reason in running.line_with("no good health check")


def test_other_statuses_can_be_good(port: int) -> None:
    """A page that asks for a password shows that the server is well."""
    options = ("--health", f"http://127.0.0.1:{port}/", "--health-status", "200-299, 401", *CALM)
    with serving(f"port={port}", "status=401", options=options) as running:
        running.line_with(UP)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-none\r\n", "the answer is not HTTP/1"),
        (b"", "closed without an answer"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + b"HTTP/1.1 200 OK\r\n\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n" + b"X-Long: " + b"x" * 100000, "the answer is not HTTP/1"),
        (b"HTTP/1.1 20", "the answer is not HTTP/1"),
    ],
)
def test_an_odd_answer_is_told_in_words(port: int, answer: bytes, reason: str | None) -> None:
    """Nothing of the answer itself gets into the log."""
    options = ("--health", f"http://127.0.0.1:{port}/", *CALM)
    with socket.socket() as odd:
        odd.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        odd.bind(("127.0.0.1", port))
        odd.listen()
        odd.settimeout(30)
        with started(*options, show=["sleep", "1000"]) as running:
            client, _ = odd.accept()
            client.recv(1000)
            client.sendall(answer) if len(answer) < 5000 else client.send(answer)
            client.close()
            odd.close()
            line = running.line_with(f"{UP}|health check: (?!no connection)")
            assert reason is None or reason in line
            assert reason is not None or UP in line


def test_tcp_asks_whether_a_connection_is_taken(port: int, tmp_path: Path) -> None:
    """For a port of the app's own to listen is enough."""
    options = ("--health", f"tcp:127.0.0.1:{port}", *CALM)
    with serving(f"port={port}", f"boot=@{tmp_path}/go", options=options) as running:
        running.line_with("no connection: Connection refused")
        (tmp_path / "go").touch()
        running.line_with(UP)


GREETER = """
import os, socket, sys

def serve(client):
    asked = b""
    if sys.argv[1] == "tcp":
        client.sendall(b"hello " * 1000)
    try:
        while part := client.recv(4096):
            asked += part
            if asked.endswith(b"\\r\\n\\r\\n"):
                client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 60000\\r\\n\\r\\n" + 60000 * b"x")
        client.sendall(b"goodbye " * 1000)
        print("ended in order", flush=True)
    except OSError as error:
        print("broken:", error, flush=True)

with socket.socket(fileno=3) as server:
    while True:
        with server.accept()[0] as client:
            serve(client)
"""


@pytest.mark.parametrize("kind", ["tcp", "http"])
@pytest.mark.parametrize("strategy", ["restart", "handoff"])
def test_a_check_ends_as_a_client_that_is_polite(port: int, kind: str, strategy: str) -> None:
    """The server talks without being asked, keeps the connection, and never sees a reset; nor does it by the first accept."""
    probe = "tcp:web" if kind == "tcp" else "http:/"
    options = ("--listen", f"web=127.0.0.1:{port}", "--strategy", strategy, "--health", probe, "--ready", "listen")
    options += ("--health-interval", "50ms", "--health-timeout", "20s", "--ready-timeout", "60s")
    with started(*options, show=[sys.executable, "-c", GREETER, kind]) as running:
        for _ in range(8):
            assert "ended in order" in running.line_with("^ended|^broken", 30)


def test_a_command_is_the_check(tmp_path: Path, pid1: bool) -> None:
    """It gets the instance's pid and generation; no secret, no terminal, no input."""
    good = tmp_path / "good"
    check = tmp_path / "check"
    check.write_text(
        f'#!/bin/sh\ntest "$(cat)" = "" && kill -0 $TACET_INSTANCE_PID && echo "generation=$TACET_GENERATION" >{good}.seen\n'
        f"test -e {good} || exit 7\n"
    )
    check.chmod(0o755)
    with started("--health", f"exec:{check} 'an argument'", *CALM, show=["sleep", "1000"], pid1=pid1) as running:
        running.line_with("not ready .*health check: the command ended with status 7")
        assert Path(f"{good}.seen").read_text() == "generation=0\n"
        good.touch()
        running.line_with(UP)


def test_a_command_that_cannot_be_executed_is_named() -> None:
    """In the words that the app's own command would get."""
    with started("--health", "exec:/does/not/exist", *CALM, show=["sleep", "1000"]) as running:
        running.line_with("health check: cannot execute '/does/not/exist': No such file")


def test_a_command_that_hangs_is_killed_with_what_it_started() -> None:
    """When its time is over."""
    options = ("--health", "exec:sh -c 'sleep 999 & sleep 998'", "--health-timeout", "2s", "--health-interval", "10s")
    options += ("--health-start-period", "10ms", "--health-failures", "1000")
    with started(*options, show=["sleep", "1000"]) as running:
        wait_until(lambda: len(descendants_of(running.pid)) >= 4, "the check has its children")
        running.line_with("no answer within 2s")
        wait_until(lambda: len(descendants_of(running.pid)) == 1, "only the app is left")


def test_a_server_that_turns_bad_is_started_again(port: int, tmp_path: Path) -> None:
    """After as many bad answers in a row as are allowed, not before."""
    status = tmp_path / "status"
    status.write_text("200")
    options = ("--health", f"http://127.0.0.1:{port}/", "--health-interval", "100ms", "--restart", "always", *CALM)
    with serving(f"port={port}", f"status=@{status}", options=options) as running:
        running.line_with(UP)
        first = running.child
        put(status, "500 500 200")
        running.line_with(r"failed \(1 of 3\): HTTP status 500")
        running.line_with(r"failed \(2 of 3\)")
        assert "succeeded again" in running.line_with("health check succeeded|health check failed")
        put(status, "500")
        running.line_with(r"failed \(3 of 3\)")
        running.line_with("unhealthy")
        put(status, "200")
        running.line_with("Spawned")
        wait_until(lambda: not is_alive(first), "the bad one has gone")


def test_without_restart_an_unhealthy_program_is_left_alone(port: int, tmp_path: Path) -> None:
    """And said so, once."""
    status = tmp_path / "status"
    status.write_text("200")
    options = ("--health", f"http://127.0.0.1:{port}/", "--health-interval", "50ms", "--health-failures", "1", *CALM)
    with serving(f"port={port}", f"status=@{status}", options=options) as running:
        running.line_with(UP)
        put(status, "500")
        running.line_with("unhealthy; restart = no")
        time.sleep(0.3)
        assert is_alive(running.child)


def test_several_successes_can_be_wanted(port: int) -> None:
    """In a row, at the pace of a start."""
    options = ("--health", f"http://127.0.0.1:{port}/", "--health-successes", "3", *CALM)
    with serving(f"port={port}", "show=requests", options=options) as running:
        for _ in range(3):
            assert "request" in running.line_with(f"request|{UP}")
        running.line_with(UP)


def test_after_the_start_period_bad_answers_count(port: int) -> None:
    """An app that answers, and badly, is given up before ready_timeout."""
    options = ("--health", f"http://127.0.0.1:{port}/", "--health-interval", "50ms", "--health-start-period", "1s", *CALM)
    with Answering(port, status_of("500")), started(*options, show=["sleep", "1000"]) as running:
        running.line_with("not ready .*health check: HTTP status 500")
        running.line_with(r"\(3 of 3\): HTTP status 500")
        running.line_with("unhealthy")


def test_that_it_is_waited_for_is_said_while_there_is_time_left(port: int) -> None:
    """Once, without asking for details, after a tenth of the time there is."""
    command = [TACET, "run", "--ready-timeout", "8s", *CALM, "--health", f"http://127.0.0.1:{port}/"]
    with Running([*command, "--", *SERVING, f"port={port}", "status=503"]) as running:
        line = running.line_with("still not ready")
        assert re.search(r"after \S+: health check: (no connection: .*|HTTP status 503) \(ready_timeout is 8s\)$", line)
        assert "no good health check" in running.line_with("still not ready|no good health check")


def test_a_stopped_program_is_not_taken_for_an_unhealthy_one(port: int) -> None:
    """Somebody debugs it; when it goes on it is well."""
    options = ("--health", f"http://127.0.0.1:{port}/", "--health-interval", "100ms", "--health-timeout", "1500ms")
    options += ("--health-failures", "2", "--restart", "always")
    with serving(f"port={port}", "show=requests", options=options) as running:
        running.line_with(UP)
        child = running.child
        os.kill(child, signal.SIGSTOP)
        time.sleep(5)
        os.kill(child, signal.SIGCONT)
        running.line_with("^request")
        assert is_alive(child)
        running.signal(signal.SIGTERM)
        assert "unhealthy" not in running.rest()


def test_every_instance_can_have_a_socket_of_its_own() -> None:
    """Handed over as the descriptor named health; nobody else has it."""
    options = ("--health", "http:/", "--health-socket")
    with serving("idle=yes", "health=yes", "show=requests", options=options) as running:
        lines = sorted(running.line_with(f"^request|{UP}") for _ in range(2))
        assert lines[0] == "request / localhost"


def test_an_own_socket_that_is_not_served_is_not_ready() -> None:
    """The queue takes the connection, but no answer comes."""
    options = ("--health", "http:/", "--health-socket", "--health-timeout", "200ms", "--ready-timeout", "3s")
    with serving("idle=yes", options=options) as running:
        running.line_with("no good health check; last health check: no answer within 200ms")


def test_notify_and_probe_are_both_wanted(port: int) -> None:
    """Neither alone is enough."""
    options = ("--ready", "notify", "--health", "exec:true", "--ready-timeout", "4s", *CALM)
    with started(*options, show=["sleep", "1000"]) as running:
        running.line_with("failed: not ready")
        assert running.line_with("READY=1").endswith("no READY=1")


def test_the_end_takes_the_checks_along() -> None:
    """A check that runs when the service is stopped does not hold it up."""
    check = f"sleep 997.{time.monotonic_ns()}"  # the same test may run elsewhere on this machine
    with started("--health", f"exec:{check}", "--health-timeout", "100s", show=["sleep", "1000"]) as running:
        wait_until(lambda: len(children_of(running.pid)) == 2, "the check runs")
        running.signal(signal.SIGTERM)
        assert running.wait() == 143
        assert not any(check in line for line in processes())


def processes() -> list[str]:
    """The command lines of all processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return found


def test_no_check_leaves_a_process_or_a_descriptor(port: int) -> None:
    """After a hundred of them."""
    options = ("--health", f"http://127.0.0.1:{port}/", "--health-interval", "10ms", *CALM)
    with serving(f"port={port}", options=options) as running:
        running.line_with(UP)
        folder = Path(f"/proc/{running.pid}/fd")

        def fewest() -> int:
            """Between two checks."""
            counts = []
            for _ in range(40):
                counts.append(len(list(folder.iterdir())))
                time.sleep(0.01)
            return min(counts)

        before = fewest()
        time.sleep(1.0)
        wait_until(lambda: fewest() <= before, "no descriptor stays")
        wait_until(lambda: len(children_of(running.pid)) <= 2, "no zombies pile up")


def test_between_two_checks_nothing_wakes_up(port: int) -> None:
    """With a long interval the supervisor sleeps."""
    with serving(f"port={port}", options=("--health", f"http://127.0.0.1:{port}/", "--health-interval", "1h")) as running:
        running.line_with(UP)
        wait_asleep(running.pid, 1.0)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--ready", "probe"], "ready = probe needs a probe"),
        (["--health", "https:/"], "this is no probe"),
        (["--health", "http:healthz"], "begins with a slash"),
        (["--health", "http:/a b"], "cannot stand in a request"),
        (["--health", "http://example.org:80/"], "example.org"),
        (["--health", "http:///"], "followed by no name"),
        (["--health", "exec:"], "followed by no command"),
        (["--health", "exec:'x"], "quote"),
        (["--health", "http:/", "--health-status", "2xx"], "'2xx' is no status"),
        (["--health", "http:/", "--health-status", "300-200"], "'300-200' is no status"),
        (["--health", "exec:true", "--health-status", "200"], "status without an http probe"),
        (["--health", "exec:true", "--health-socket"], "nobody would connect"),
        (["--health-socket"], "nobody would connect"),
        (["--health", "http://web/", "--health-socket"], "'web' is another one"),
        (["--health", "tcp:127.0.0.1:80", "--health-host", "x"], "host without an http probe"),
    ],
)
def test_checks_that_cannot_work_are_refused(options: list[str], reason: str) -> None:
    """Before anything is started."""
    done = run([TACET, "run", *options, "--", "true"])
    assert done.returncode == 64, done.stderr
    assert reason in done.stderr


HANDOFF = ["--strategy", "handoff"]
SHARED = [*HANDOFF, "--listen", "api=SOCKET"]


def with_socket(folder: Path, options: list[str]) -> list[str]:
    """The options with the path of a unix socket of this test."""
    return [option.replace("SOCKET", str(folder / "s")) for option in options]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--health", "http:/"], "there is no socket that the probe of \\[health\\] could connect to"),
        (["--health", "tcp:"], "there is no socket that the probe"),
        (["--health", "http://web/", "--listen", "api=127.0.0.1:9"], "names 'web', and there is no such socket"),
        (["--health", "http://dns/", "--listen", "dns=udp:127.0.0.1:9"], "takes no connections"),
        (["--health", "tcp:", "--listen", "api=SOCKET"], "a tcp: probe of the socket says nothing"),
        ([*SHARED, "--health", "http:/"], "generations share the socket, so the old one could answer"),
        ([*SHARED, "--health", "http://api/"], "generations share api, so the old one could answer"),
        ([*SHARED, "--health", "http://api/", "--ready", "exec"], "generations share api"),
        ([*SHARED, "--ready", "listen"], "ready = listen: nobody can see the app listen or accept"),
        (["--ready", "listen"], "nobody can see the app listen"),
        ([*HANDOFF, "--health", "http://127.0.0.1:8080/"], "nobody knows which of them answers"),
        (["--replicas", "2", "--health", "tcp:127.0.0.1:8080"], "nobody knows which of them answers"),
        (["--ready", "fd", "--ready-fd", "3", "--listen", "api=SOCKET"], "ready_fd = 3 is the number of a socket"),
        (["--ready", "fd", "--ready-fd", "3", "--health", "http:/", "--health-socket"], "have 3 to 3"),
    ],
)
def test_gates_that_cannot_tell_instances_apart_are_refused(tmp_path: Path, options: list[str], reason: str) -> None:
    """With what to do instead, before anything is started or opened."""
    done = run([TACET, "run", *with_socket(tmp_path, options), "--", "touch", str(tmp_path / "run")])
    assert done.returncode == 78, done.stderr
    assert re.search(reason, done.stderr), done.stderr
    assert "\n  next: " in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options",
    [
        [*SHARED, "--health", "exec:true"],
        [*SHARED, "--health", "http:/", "--health-socket", "--ready-timeout", "1h"],
        [*SHARED, "--health", "http:/", "--ready", "notify"],
        [*SHARED, "--health", "http:/", "--ready", "fd", "--ready-fd", "9"],
        ["--listen", "api=SOCKET", "--health", "http:/"],
    ],
)
def test_gates_that_can_are_taken(tmp_path: Path, options: list[str]) -> None:
    """An own sign beside a probe of a shared socket, or one instance at a time."""
    with started(*with_socket(tmp_path, options), show=["sh", "-c", "echo runs; exec sleep 1000"]) as running:
        running.line_with("^runs")


def test_check_says_the_same(tmp_path: Path) -> None:
    """What `tacet run` would refuse, as far as it can be known without the sockets of a service manager."""
    path = tmp_path / "api.ini"
    path.write_text(
        "[service]\ncommand = true\n[socket api]\nlisten = /run/x.sock\n"
        "[rollout]\nstrategy = handoff\n[health]\nprobe = http:/\n"
    )
    done = run([TACET, "check", "-c", str(path)])
    assert done.returncode == 78
    assert "generations share the socket" in done.stderr


def test_a_handoff_that_knows_nothing_of_readiness_says_so(tmp_path: Path) -> None:
    """It works, but a hung program would be taken for a good one."""
    with started(*with_socket(tmp_path, SHARED), show=["sleep", "1000"]) as running:
        running.line_with("nothing says when a new instance is ready")
