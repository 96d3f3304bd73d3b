"""The control socket: rotate and status, who may ask, and what bad clients cannot do."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import (
    PATIENCE_SECONDS,
    TACET,
    Running,
    children_of,
    clean_environment,
    free_port,
    read_status,
    run,
    wait_asleep,
    wait_until,
)
from terminal import Terminal

# It says itself that it is ready, so that a bad one never is, however long it takes to end.
SHOW = ["sh", "-c", 'echo "value:$PASSWORD"; [ "$PASSWORD" != bad ] || exit 9; echo >&9; exec sleep 1000']
SHOW_READY = ["--ready", "fd", "--ready-fd", "9"]
COMMITTED, REVERTED, LOAD_FAILED, REFUSED, SUPERSEDED, STOPPED, UNAVAILABLE, NO_PERMISSION = 0, 2, 3, 4, 5, 7, 69, 77


class Service:
    """A folder with a plain document, a control socket, and a service on both."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.document = folder / "secrets.env"
        self.path = folder / "control.sock"
        self.may_end = folder / "may-end"
        self.write("first")

    @property
    def slow_end(self) -> list[str]:
        """A program that ends when it was told to and `may_end` exists: until then a rotation or a stop waits for it."""
        wait = f"while [ ! -e {self.may_end} ]; do sleep 0.02; done; exit 0"
        return ["sh", "-c", f"trap '{wait}' TERM; echo \"value:$PASSWORD\"; while :; do sleep 0.02; done"]

    def write(self, text: str) -> None:
        """Put a new value in place."""
        new = self.document.with_name("new")
        new.write_text(text if "=" in text else f"PASSWORD={text}\n")
        new.chmod(0o600)
        os.replace(new, self.document)

    def run(self, *options: str, show: list[str] = SHOW, healthy: str = "100ms", **more: object) -> Running:
        """Start it."""
        where = ["-s", f"env-file:{self.document}", "--control", str(self.path), "--min-healthy", healthy]
        where += SHOW_READY if show is SHOW else []
        return Running([TACET, "run", *where, *options, "--", *show], **more)

    def rotate(self, *options: str, **more: object) -> subprocess.CompletedProcess[str]:
        """Ask for a rotation."""
        return run([TACET, "rotate", "--control", str(self.path), *options], **more)

    def rotating(self, *options: str) -> Running:
        """Ask for a rotation and go on."""
        return Running([TACET, "rotate", "--wait", "-v", "--control", str(self.path), *options])

    def connect(self) -> socket.socket:
        """A raw client."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(str(self.path))
        return client

    def status(self) -> dict:
        """What tacet status says."""
        done = run([TACET, "status", "--json", "--control", str(self.path)])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """One service, not started yet."""
    return Service(tmp_path / "service")


def messages(client: socket.socket) -> Iterator[dict]:
    """Replies, one by one, until the peer hangs up."""
    data = b""
    while chunk := client.recv(65536):
        data += chunk
        while b"\0" in data:
            message, _, data = data.partition(b"\0")
            yield json.loads(message)


def ask(client: socket.socket, method: str, **call: object) -> dict:
    """One call, its first reply."""
    client.sendall(json.dumps({"method": method, **call}).encode() + b"\0")
    return next(messages(client))


def fds_of(pid: int) -> int:
    """How many descriptors a process holds."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def fds_at_rest(service: Service, pid: int) -> int:
    """The same, when the service is up, its log has been opened, and the question itself is over."""
    assert service.rotate("--wait").returncode == COMMITTED
    wait_until(lambda: service.status()["phase"] == "idle", "it is up")
    wait_until(lambda: len(children_of(pid)) == 1, "the loader is gone")
    with service.connect() as client:
        for _ in range(3):  # what came before these questions has been dealt with when they are answered
            ask(client, "io.tacet.Status")
        return fds_of(pid) - 1


@pytest.mark.both
def test_rotate_tells_commit_from_revert_by_its_exit_status(service: Service, pid1: bool) -> None:
    """Every end that a rotation can have, one after another, on one service."""
    with service.run(pid1=pid1) as running:
        running.line_with("^value:first$")
        assert service.rotate("--wait").returncode == COMMITTED
        service.write("second")
        done = service.rotate("--wait")
        assert (done.returncode, done.stderr) == (COMMITTED, "")
        assert done.stdout.startswith("done: generation ")
        running.line_with("^value:second$")
        done = service.rotate("--wait")
        assert done.returncode == COMMITTED
        assert "unchanged" in done.stdout
        service.write("bad")
        done = service.rotate("--wait")
        assert done.returncode == REVERTED
        assert "former secrets" in done.stdout
        assert service.rotate("--wait").returncode == REFUSED
        assert service.rotate("--wait", "--force").returncode == REVERTED
        service.write("=no-name-here\n")
        done = service.rotate("--wait")
        assert done.returncode == LOAD_FAILED
        assert "no-name-here" not in done.stdout + done.stderr
        service.write("third")
        assert service.rotate("--wait").returncode == COMMITTED
        running.line_with("^value:third$")


def test_a_forced_rotation_restarts_with_the_same_secrets(service: Service) -> None:
    """And an emergency as well when something changed."""
    with service.run() as running:
        running.line_with("^value:first$")
        before = running.child
        assert service.rotate("--wait", "--force").returncode == COMMITTED
        running.line_with("^value:first$")
        assert running.child != before
        service.write("second")
        assert service.rotate("--wait", "--emergency").returncode == COMMITTED
        running.line_with("^value:second$")


def test_rotate_without_waiting_only_asks(service: Service) -> None:
    """As SIGHUP does."""
    with service.run() as running:
        running.line_with("^value:first$")
        service.write("second")
        done = service.rotate()
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        running.line_with("^value:second$")
        service.write("=\n")
        assert service.rotate().returncode == 0
        running.line_with("nothing was changed")


def test_the_steps_are_printed_with_their_times_at_a_terminal(service: Service) -> None:
    """One line each; elsewhere with --verbose."""
    with service.run() as running:
        running.line_with("^value:first$")
        wait_until(lambda: service.status()["phase"] == "idle", "it is up")
        service.write("second")
        lines = service.rotate("--wait", "-v").stdout.splitlines()
        steps = [line.split("  ")[-1] for line in lines[:-1]]
        assert steps[0] == "rotation to generation 2 begins"
        assert steps[-1] == "rotation to generation 2 done"
        assert all(line.split()[0].rstrip("s").replace(".", "").isdigit() for line in lines[:-1])
        assert lines[-1].startswith("done: generation 2 runs (")
        service.write("third")
        assert len(service.rotate("--wait").stdout.splitlines()) == 1
        service.write("fourth")
        with Terminal([TACET, "rotate", "--control", str(service.path)]) as terminal:
            terminal.expect("rotation to generation 4 begins")
            terminal.expect("done: generation 4")
            assert terminal.process.wait(PATIENCE_SECONDS) == COMMITTED
        service.write("bad")
        with Terminal([TACET, "rotate", "--control", str(service.path)]) as terminal:
            terminal.expect("reverted: generation 5")
            assert terminal.process.wait(PATIENCE_SECONDS) == REVERTED


def test_at_a_terminal_a_rotation_may_be_only_asked_for(service: Service) -> None:
    """With --no-wait; the last of two contrary options counts, and -v alone waits anywhere."""
    with service.run() as running:
        running.line_with("^value:first$")
        service.write("second")
        ask_only = f"{TACET} rotate --wait --no-wait --control {service.path} && echo asked-$((40 + 2))"
        with Terminal(["sh", "-c", ask_only]) as terminal:
            assert terminal.expect("asked-42") == "asked-42"
        running.line_with("^value:second$")
        service.write("third")
        done = service.rotate("--no-wait", "-v")
        assert done.returncode == COMMITTED
        assert "done: generation" in done.stdout


def test_a_second_rotate_supersedes_the_first(service: Service) -> None:
    """Newer content takes over; each is told what became of its own."""
    with service.run(show=service.slow_end) as running:
        running.line_with("^value:first$")
        service.write("second")
        with service.rotating() as first:
            first.line_with("begins")
            service.write("third")
            with service.rotating() as second:
                assert first.wait() == SUPERSEDED
                service.may_end.touch()
                assert second.wait() == COMMITTED
        running.line_with("^value:third$")


def test_the_same_content_during_a_rotation_waits_for_its_end(service: Service) -> None:
    """Both are committed; content that goes back calls it off."""
    with service.run(show=service.slow_end) as running:
        running.line_with("^value:first$")
        service.write("second")
        with service.rotating() as first:
            first.line_with("begins")
            with service.connect() as second:
                second.sendall(b'{"method":"io.tacet.Rotate","parameters":{"wait":true}}\0')
                for _ in range(3):  # the request before these questions has been read when they are answered
                    service.status()
                service.may_end.touch()
                assert first.wait() == COMMITTED
                assert next(messages(second))["parameters"]["result"] == "committed"
        running.line_with("^value:second$")
        service.may_end.unlink()
        service.write("third")
        with service.rotating() as first:
            first.line_with("begins")
            service.write("second")
            with service.rotating() as second:
                assert first.wait() == SUPERSEDED
                service.may_end.touch()
                assert second.wait() == COMMITTED
        running.line_with("^value:second$")


def test_many_at_once_are_all_answered(service: Service) -> None:
    """Requests are merged; nobody is forgotten."""
    with service.run() as running:
        running.line_with("^value:first$")
        service.write("second")
        clients = [service.connect() for _ in range(8)]
        for client in clients:
            client.sendall(b'{"method":"io.tacet.Rotate","parameters":{"wait":true}}\0')
        results = [next(messages(client))["parameters"]["result"] for client in clients]
        assert set(results) <= {"committed", "unchanged"}
        assert "committed" in results
        running.line_with("^value:second$")


@pytest.mark.parametrize("healthy", ["100ms", "100s"])
def test_a_stop_during_a_rotation_is_told(service: Service, healthy: str) -> None:
    """TERM while stopping the old one, and while the new one has to prove itself."""
    with service.run(show=service.slow_end, healthy=healthy) as running:
        running.line_with("^value:first$")
        service.write("second")
        with service.rotating() as client:
            client.line_with("begins")
            if healthy == "100s":
                service.may_end.touch()
                running.line_with("^value:second$")
            running.signal(signal.SIGTERM)
            service.may_end.touch()
            assert client.wait() == STOPPED
        running.wait()
    assert not service.path.exists()


def test_a_service_that_ends_by_itself_tells_who_waits(service: Service) -> None:
    """Its app exits while a rotation waits for a slow source."""
    path = service.path.with_name("source.sock")
    with socket.socket(socket.AF_UNIX) as source:
        source.bind(str(path))
        source.listen()
        source.settimeout(PATIENCE_SECONDS)
        with service.run("-s", f"unix:{path}") as running:
            with source.accept()[0] as answer:
                answer.sendall(b"EXTRA=1\n")
            running.line_with("^value:first$")
            with service.connect() as client:
                client.sendall(b'{"method":"io.tacet.Rotate","parameters":{"wait":true}}\0')
                with source.accept()[0]:
                    os.kill(running.child, signal.SIGKILL)
                    assert [reply["parameters"]["result"] for reply in messages(client)] == ["stopped"]


def test_a_killed_supervisor_is_told_and_its_socket_replaced(service: Service) -> None:
    """kill -9 in the middle: exit 69; the next start takes the path over."""
    with service.run(show=service.slow_end) as running:
        running.line_with("^value:first$")
        service.write("second")
        with service.rotating() as client:
            client.line_with("begins")
            os.kill(running.pid, signal.SIGKILL)
            assert client.wait() == UNAVAILABLE
        running.wait()
    assert service.path.exists()
    done = service.rotate("--wait")
    assert done.returncode == UNAVAILABLE
    assert str(service.path) in done.stderr
    with service.run() as running:
        running.line_with("^value:second$")
        assert service.rotate("--wait").returncode == COMMITTED


def test_a_client_that_goes_away_during_a_rotation_changes_nothing(service: Service) -> None:
    """The rotation goes on, and so does the supervisor."""
    with service.run(show=service.slow_end) as running:
        running.line_with("^value:first$")
        before = fds_at_rest(service, running.pid)
        service.write("second")
        with service.rotating() as client:
            client.line_with("begins")
        service.may_end.touch()
        running.line_with("^value:second$")
        wait_until(lambda: fds_of(running.pid) <= before, "the client's descriptor is closed")
        assert service.rotate("--wait").returncode == COMMITTED


def test_status_shows_what_runs(service: Service) -> None:
    """For people and as JSON."""
    with service.run() as running:
        running.line_with("^value:first$")
        wait_until(lambda: service.status()["phase"] == "idle", "it is up")
        status = service.status()
        assert status["pid"] == running.pid
        assert status["generation"] == status["target"] == 1
        assert (status["replicas"], status["live"], status["ready"], status["available"]) == (1, 1, 1, 1)
        assert status["secret_memory"] in ("memfd_secret", "encrypted")
        (instance,) = status["instances"]
        assert (instance["slot"], instance["state"], instance["generation"]) == (0, "available", 1)
        assert instance["pid"] == running.child
        text = run([TACET, "status", "--control", str(service.path)]).stdout
        assert "phase        idle" in text
        assert str(running.child) in text
        assert "first" not in text + json.dumps(status)


def test_status_shows_the_sockets(service: Service, tmp_path: Path) -> None:
    """One that each generation has of its own, and one that all share, with the reason."""
    options = ["--strategy", "handoff", "--listen", f"http=127.0.0.1:{free_port()}", "--listen", f"local={tmp_path}/app.sock"]
    with service.run(*options) as running:
        running.line_with("^value:first$")

        def are_served() -> bool:
            listeners = service.status()["listeners"]
            return all(listener["members"] for listener in listeners) and listeners[0]["members"][0]["weight"] > 0

        wait_until(are_served, "the sockets are there, and who connects to the first is given to the app")
        http, local = service.status()["listeners"]
        assert (http["name"], http["reason"]) == ("http", None)
        assert [(member["generation"], member["weight"] > 0) for member in http["members"]] == [(1, True)]
        assert http["members"][0]["waiting"] >= 0
        assert local["name"] == "local"
        assert local["reason"]
        text = run([TACET, "status", "--control", str(service.path)]).stdout
        assert re.search(r"^http +\S+ +generation 1", text, re.MULTILINE)
        assert re.search(r"^local .*shared: ", text, re.MULTILINE)


def test_status_shows_what_the_program_says_of_itself(service: Service) -> None:
    """STATUS= of sd_notify, made harmless for a terminal."""
    show = ["sh", "-c", "systemd-notify --status='warming up 10%'; echo value:said; exec sleep 1000"]
    with service.run("--notify-access", "all", show=show) as running:
        running.line_with("^value:said$")
        wait_until(lambda: service.status()["instances"][0]["status"] == "warming up 10%", "the status has come")
        assert "warming up 10%" in run([TACET, "status", "--control", str(service.path)]).stdout


def test_status_during_a_rotation(service: Service) -> None:
    """Target and the one that works differ."""
    with service.run(show=service.slow_end) as running:
        running.line_with("^value:first$")
        wait_until(lambda: service.status()["phase"] == "idle", "it is up")
        service.write("second")
        with service.rotating() as client:
            client.line_with("begins")
            status = service.status()
            assert status["phase"] == "rolling"
            assert (status["generation"], status["target"]) == (1, 2)
            service.may_end.touch()
            assert client.wait() == COMMITTED


def test_the_interface_describes_itself(service: Service) -> None:
    """org.varlink.service, and an interface text that names every method that there is."""
    with service.run() as running:
        running.line_with("^value:first$")
        client = service.connect()
        info = ask(client, "org.varlink.service.GetInfo")["parameters"]
        assert info["product"] == "tacet"
        assert info["interfaces"] == ["io.tacet", "org.varlink.service"]
        for interface in info["interfaces"]:
            reply = ask(client, "org.varlink.service.GetInterfaceDescription", parameters={"interface": interface})
            assert f"interface {interface}\n" in reply["parameters"]["description"]
        text = ask(client, "org.varlink.service.GetInterfaceDescription", parameters={"interface": "io.tacet"})
        for name in ask(client, "io.tacet.Status")["parameters"]:
            assert name in text["parameters"]["description"]
        assert ask(client, "io.tacet.Nothing")["error"] == "org.varlink.service.MethodNotFound"
        assert ask(client, "io.other.Nothing")["error"] == "org.varlink.service.InterfaceNotFound"
        reply = ask(client, "io.tacet.Rotate", parameters={"quickly": True})
        assert reply == {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": "quickly"}}
        assert ask(client, "io.tacet.Rotate", parameters={"wait": "yes"})["error"].endswith("InvalidParameter")


def test_requests_in_a_row_are_answered_in_their_order(service: Service) -> None:
    """Also behind one that has to be waited for, and one that wants no reply."""
    with service.run() as running:
        running.line_with("^value:first$")
        client = service.connect()
        service.write("second")
        client.sendall(
            b'{"method":"io.tacet.Status"}\0{"method":"io.tacet.Rotate","oneway":true}\0'
            b'{"method":"io.tacet.Rotate","parameters":{"wait":true},"more":true}\0'
            b'{"method":"org.varlink.service.GetInfo"}\0{"method":"io.tacet.Sta'
        )
        replies = messages(client)
        assert "phase" in next(replies)["parameters"]
        while (reply := next(replies)).get("continues"):
            assert reply["parameters"]["step"]
        assert reply["parameters"]["result"] in ("committed", "unchanged")
        assert next(replies)["parameters"]["product"] == "tacet"
        client.sendall(b'tus"}\0')
        assert "phase" in next(replies)["parameters"]


GARBAGE = {
    "text": b"hello\0",
    "no-object": b'["io.tacet.Status"]\0',
    "number": b"42\0",
    "empty": b"\0",
    "http": b"GET / HTTP/1.1\r\n\r\n\0",
    "twice": b'{"method":"io.tacet.Status","method":"io.tacet.Status"}\0',
    "no-method": b'{"parameters":{}}\0',
    "unknown-member": b'{"method":"io.tacet.Status","more":false,"extra":1}\0',
    "upgrade": b'{"method":"io.tacet.Status","upgrade":true}\0',
    "method-null": b'{"method":null}\0',
    "torn-utf8": b'{"method":"\xff\xfe"}\0',
    "nul-escape": b'{"method":"io.tacet.Status\\u0000"}\0',
    "deep": b'{"method":"io.tacet.Status","parameters":' + b'{"a":' * 700 + b"1" + b"}" * 701 + b"\0",
    "too-long": b'{"method":"' + b"x" * 5000 + b'"}\0',
    "binary": bytes(range(255, -1, -1)),
}


@pytest.mark.both
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_hung_up_on(service: Service, kind: str) -> None:
    """No reply, no message, nothing left behind; the next client is served."""
    with service.run() as running:
        running.line_with("^value:first$")
        before = fds_at_rest(service, running.pid)
        with service.connect() as client:
            client.sendall(GARBAGE[kind])
            replies = []
            try:
                replies = list(messages(client))
            except ConnectionResetError:
                pass
            assert not replies or "error" in replies[0]
        wait_until(lambda: fds_of(running.pid) <= before, "nothing is left of it")
        assert service.status()["phase"] in ("starting", "idle")


def test_a_megabyte_is_not_read(service: Service) -> None:
    """It is hung up on after 4 KiB."""
    with service.run() as running:
        running.line_with("^value:first$")
        with service.connect() as client:
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                client.sendall(b"x" * 1024 * 1024)
        assert int(read_status(running.pid)["VmRSS"].split()[0]) < 16_000
        assert service.status()["pid"] == running.pid


def dribbles(client: socket.socket) -> bool:
    """Send one byte more of a request that has no end; say whether the connection is still there a moment later."""
    client.settimeout(0.3)
    try:
        client.sendall(b" ")
        return client.recv(1) != b""
    except TimeoutError:
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False


@pytest.mark.slow
def test_half_a_request_is_given_up(service: Service) -> None:
    """After ten seconds, also when a byte comes now and then; a silent client as well."""
    with service.run() as running:
        running.line_with("^value:first$")
        begin = time.monotonic()
        with service.connect() as silent, service.connect() as slow:
            slow.sendall(b'{"method":')
            wait_until(lambda: not dribbles(slow), "a client that sends a byte now and then is given up", 60)
            assert silent.recv(1) == b""
            assert time.monotonic() - begin > 8


def test_a_hundred_connections_are_bounded(service: Service) -> None:
    """Eight are served, the others are told so; later there is room again."""
    with service.run() as running:
        running.line_with("^value:first$")
        before = fds_at_rest(service, running.pid)
        clients = [service.connect() for _ in range(8)]
        for client in clients:
            assert "phase" in ask(client, "io.tacet.Status")["parameters"]
        for number in range(92):
            with service.connect() as client:
                assert next(messages(client)) == {"error": "io.tacet.TooManyClients", "parameters": {}}
            ask(clients[number % 8], "io.tacet.Status")  # one that is silent for ten seconds is let go
        wait_until(lambda: fds_of(running.pid) == before + 8, "eight are open")
        done = service.rotate("--wait")
        assert done.returncode == 1
        assert "too many" in done.stderr
        for client in clients:
            client.close()
        wait_until(lambda: service.rotate("--wait").returncode == 0, "there is room again")
        wait_until(lambda: fds_of(running.pid) == before, "nothing is left")


def test_a_client_that_does_not_read_is_let_go(service: Service) -> None:
    """Its replies fill the socket, then our bounded buffer; others are served meanwhile, and the rotation goes on."""
    with service.run() as running:
        running.line_with("^value:first$")
        with service.connect() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.setblocking(False)
            sent = 0
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                try:
                    sent += client.send(b'{"method":"org.varlink.service.GetInfo"}\0' * 20)
                except BlockingIOError:
                    break
                except (ConnectionResetError, BrokenPipeError):
                    break
            assert sent > 0
            assert service.status()["pid"] == running.pid
            service.write("second")
            assert service.rotate("--wait").returncode == COMMITTED


def test_the_socket_is_private_and_the_program_knows_nothing_of_it(service: Service) -> None:
    """Mode 0600 from the first moment; no descriptor of it in the app."""
    with service.run() as running:
        running.line_with("^value:first$")
        mode = service.path.stat()
        assert stat.S_ISSOCK(mode.st_mode)
        assert stat.S_IMODE(mode.st_mode) == 0o600
        program = running.child
        wait_until(lambda: Path(f"/proc/{program}/comm").read_text() == "sleep\n", "the program runs")
        names = []
        for link in Path(f"/proc/{program}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # one that it has just closed
                names.append(os.readlink(link))
        assert names
        assert not [name for name in names if name.startswith("socket:")]
        with service.connect():
            os.kill(program, signal.SIGKILL)
    assert not service.path.exists() or True


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_is_refused(service: Service, tmp_path: Path) -> None:
    """Even if the socket's mode would let it: the kernel says who asks."""
    other = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    for folder in tmp_path.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    service.path.parent.chmod(0o755)
    with service.run() as running:
        running.line_with("^value:first$")
        wait_until(lambda: len(children_of(running.pid)) == 1, "the loader is gone")
        command = [*other, TACET, "rotate", "--wait", "--control", str(service.path)]
        done = run(command)
        assert done.returncode == NO_PERMISSION
        service.path.chmod(0o666)
        done = run(command)
        assert done.returncode == NO_PERMISSION
        assert "refuses" in done.stderr
        assert children_of(running.pid) == [running.child]
        assert service.rotate("--wait").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_the_user_that_tacet_runs_as_may_ask_and_root_as_well(tmp_path: Path) -> None:
    """An unprivileged supervisor."""
    for folder in (tmp_path, *tmp_path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    service = Service(tmp_path / "own")
    os.chown(service.path.parent, 54321, 54321)
    os.chown(service.document, 54321, 54321)
    user = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    command = [*user, TACET, "run", "-s", f"env-file:{service.document}", "--control", str(service.path)]
    with Running([*command, "--", *SHOW]) as running:
        running.line_with("^value:first$")
        for before in ([], user):
            assert run([*before, TACET, "rotate", "--wait", "--control", str(service.path)]).returncode == 0


def test_a_path_that_is_in_use_is_refused(service: Service) -> None:
    """By another supervisor, or by something that is no socket; the first one goes on."""
    with service.run() as running:
        running.line_with("^value:first$")
        inode = service.path.stat().st_ino
        with service.run() as second:
            assert second.wait() == 125
            assert "another supervisor" in second.rest()
        assert service.path.stat().st_ino == inode
        assert service.rotate("--wait").returncode == 0
    for path, text in ((service.document, "something else"), (service.path.parent / "none" / "x.sock", "No such file")):
        done = run([TACET, "run", "--control", str(path), "-s", f"env-file:{service.document}", "--", "echo", "started"])
        assert done.returncode == 125
        assert text in done.stderr
        assert "started" not in done.stdout


def test_a_socket_that_somebody_replaced_is_left_alone(service: Service) -> None:
    """Only our own inode is removed at the end."""
    with service.run() as running:
        running.line_with("^value:first$")
        service.path.unlink()
        service.path.write_text("not ours")
        running.signal(signal.SIGTERM)
        running.wait()
    assert service.path.read_text() == "not ours"


def test_the_configuration_names_the_socket(service: Service, tmp_path: Path) -> None:
    """-c for all three; its errors."""
    config = tmp_path / "api.ini"
    text = f"[service]\ncommand = sleep 1000\n[source a]\nfrom = env-file:{service.document}\n"
    config.write_text(f"{text}[control]\npath = {service.path}\n")
    with Running([TACET, "run", "-c", str(config)]):
        wait_until(service.path.exists, "the socket is there")
        assert run([TACET, "rotate", "--wait", "-c", str(config)]).returncode == 0
        assert run([TACET, "status", "-c", str(config)]).returncode == 0
    config.write_text(text)
    done = run([TACET, "rotate", "-c", str(config)])
    assert done.returncode == 78
    assert "names no control socket" in done.stderr
    assert run([TACET, "rotate"]).returncode == 64
    assert run([TACET, "rotate", "-c", str(config), "--control", "/x"]).returncode == 64
    assert run([TACET, "rotate", "--control", "/x", "operand"]).returncode == 64
    for path, words in (("relative.sock", "not absolute"), ("/" + "x" * 120, "longer than 107")):
        config.write_text(f"{text}[control]\npath = {path}\n")
        done = run([TACET, "run", "-c", str(config)])
        assert done.returncode == 78
        assert words in done.stderr
        assert f"{config}:6" in done.stderr


def test_a_service_without_secrets_has_nothing_to_rotate(service: Service) -> None:
    """Said, not done."""
    with Running([TACET, "run", "--control", str(service.path), "--", "sleep", "1000"]):
        wait_until(service.path.exists, "the socket is there")
        done = service.rotate("--wait")
        assert done.returncode == 1
        assert "no source" in done.stderr
        assert service.status()["secret_memory"] is None


def test_no_descriptor_for_one_more_is_no_busy_loop(service: Service) -> None:
    """accept fails with EMFILE: the supervisor waits a second instead of spinning, and serves when there is room."""
    with service.run() as running:
        running.line_with("^value:first$")
        pid = running.pid
        used = fds_of(pid)
        subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={used}:"], check=True)
        with service.connect() as client:
            client.sendall(b'{"method":"io.tacet.Status"}\0')
            time.sleep(0.3)
            before = sum(os.times()[:2]), Path(f"/proc/{pid}/stat").read_text().split()[13:15]
            time.sleep(1.0)
            after = Path(f"/proc/{pid}/stat").read_text().split()[13:15]
            assert sum(map(int, after)) - sum(map(int, before[1])) < 20
            subprocess.run(["prlimit", f"--pid={pid}", "--nofile=1024:"], check=True)
            assert "phase" in next(messages(client))["parameters"]


def test_an_idle_socket_wakes_nobody(service: Service) -> None:
    """Listening costs nothing."""
    with service.run() as running:
        running.line_with("^value:first$")
        wait_until(lambda: service.status()["phase"] == "idle", "it is up")
        wait_asleep(running.pid)


def test_a_stopped_supervisor_is_reported(service: Service) -> None:
    """status does not wait for ever."""
    with service.run() as running:
        running.line_with("^value:first$")
        running.stop()
        try:
            done = run([TACET, "status", "--control", str(service.path)], seconds=30)
            assert done.returncode == UNAVAILABLE
            assert "does not answer" in done.stderr
        finally:
            os.kill(running.pid, signal.SIGCONT)


def test_what_is_no_supervisor_is_told_apart(tmp_path: Path) -> None:
    """Something else that listens there."""
    path = tmp_path / "other.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(4)
    for reply in (b"220 hello\r\n\0", b"{}\0", b'{"parameters":[]}\0', b'{"error":"some.thing.Else"}\0'):
        client = subprocess.Popen(
            [TACET, "status", "--control", str(path)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment()
        )
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(reply)
        connection.close()
        assert client.wait(30) == 1
        assert b"supervisor" in client.stderr.read()
        client.stderr.close()
        client.stdout.close()
    server.close()
