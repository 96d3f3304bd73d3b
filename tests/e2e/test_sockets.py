"""Declared and inherited sockets: opened once, handed over by number and by name, kept over every start of the app."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import PATIENCE_SECONDS, PROBE, TACET, Running, free_port, is_alive, run, wait_until

ACTIVATED = [sys.executable, "-u", str(Path(__file__).parent / "servers" / "activated.py")]
LOG = ["--log-format", "plain"]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """An age file and its key."""
    return vault_make(tmp_path / "vault", "A=1\n")


def told(running: Running) -> dict:
    """What the app says of itself."""
    return json.loads(running.line_with("ACTIVATED ").partition("ACTIVATED ")[2])


def connect(address: object, family: int = socket.AF_INET) -> socket.socket:
    """Connect as soon as somebody listens."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        client = socket.socket(family, socket.SOCK_STREAM)
        client.settimeout(PATIENCE_SECONDS)
        try:
            client.connect(address)
        except ConnectionRefusedError:
            client.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return client


def ask(address: object, family: int = socket.AF_INET) -> int:
    """Connect; return the pid that answers."""
    with connect(address, family) as client:
        return int(client.makefile().readline())


def ask_datagram(address: object, family: int, here: object) -> int:
    """Send one message; return the pid that answers."""
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.bind(here)
        client.settimeout(PATIENCE_SECONDS)
        client.sendto(b"who\n", address)
        return int(client.recv(100))


def end(running: Running) -> None:
    """Stop it and see that it ends."""
    running.signal(signal.SIGTERM)
    running.wait()


def links_of(pid: int) -> dict[int, str]:
    """What the descriptors of a process lead to."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[int(entry.name)] = os.readlink(entry)
    return found


# ---- the protocol ----


@pytest.mark.both
def test_the_app_gets_its_sockets_from_3_on_in_order_with_names_and_its_own_pid(pid1: bool, tmp_path: Path) -> None:
    """sd_listen_fds(3): LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES; blocking, inheritable, and nothing else is open."""
    port = free_port()
    dgram = free_port()
    arguments = ["--listen", f"http=127.0.0.1:{port}", "--listen", f"dns=udp:127.0.0.1:{dgram}"]
    arguments += ["--listen", str(tmp_path / "third.sock")]
    with Running([TACET, "run", *arguments, "--", *ACTIVATED], pid1=pid1) as running:
        app = told(running)
        environment = app["environment"]
        assert environment["LISTEN_FDS"] == "3"
        assert environment["LISTEN_PID"] == str(app["pid"])
        assert environment["LISTEN_FDNAMES"] == "http:dns:listen"
        assert "LISTEN_PIDFDID" not in environment
        assert [found["fd"] for found in app["descriptors"]] == [3, 4, 5]
        assert [found["type"] for found in app["descriptors"]] == ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_STREAM"]
        assert app["descriptors"][0]["name"] == ["127.0.0.1", port]
        assert all(not found["cloexec"] and found["blocking"] for found in app["descriptors"])
        if not pid1:
            assert ask(("127.0.0.1", port)) == app["pid"]
        end(running)


def test_a_port_alone_takes_both_families() -> None:
    """8080 is [::]:8080, dual."""
    port = free_port()
    with Running([TACET, "run", "--listen", str(port), "--", *ACTIVATED]) as running:
        app = told(running)
        assert app["environment"]["LISTEN_FDNAMES"] == "listen"
        assert app["descriptors"][0]["family"] == "AF_INET6"
        assert ask(("127.0.0.1", port)) == app["pid"]
        assert ask(("::1", port), socket.AF_INET6) == app["pid"]
        end(running)


def test_the_two_families_may_have_a_socket_each_on_one_port() -> None:
    """[::]:PORT leaves IPv4 alone where another socket has it."""
    port = free_port()
    arguments = ["--listen", f"four=0.0.0.0:{port}", "--listen", f"six=[::]:{port}"]
    with Running([TACET, "run", *arguments, "--", *ACTIVATED]) as running:
        app = told(running)
        assert [found["family"] for found in app["descriptors"]] == ["AF_INET", "AF_INET6"]
        assert ask(("127.0.0.1", port)) == app["pid"]
        assert ask(("::1", port), socket.AF_INET6) == app["pid"]
        end(running)


def test_udp_is_answered() -> None:
    """A datagram socket is bound and handed over."""
    port = free_port()
    with Running([TACET, "run", "--listen", f"udp:127.0.0.1:{port}", "--", *ACTIVATED]) as running:
        app = told(running)
        assert ask_datagram(("127.0.0.1", port), socket.AF_INET, ("127.0.0.1", 0)) == app["pid"]
        end(running)


def test_the_other_protocols_are_spoken_on_request() -> None:
    """Server::Starter's and einhorn's variables, with and without systemd's."""
    port = free_port()
    six = free_port()
    both = free_port()
    arguments = ["--listen", f"a=127.0.0.1:{port}", "--listen", f"b=[::1]:{six}", "--listen", f"c={both}"]
    arguments += ["--socket-protocols", "server-starter,einhorn", "--restart", "always", "--restart-delay", "1ms"]
    with Running([TACET, "run", *arguments, "--", *ACTIVATED]) as running:
        first = told(running)
        environment = first["environment"]
        assert environment["SERVER_STARTER_PORT"] == f"127.0.0.1:{port}=3;[::1]:{six}=4;{both}=5"
        assert environment["SERVER_STARTER_GENERATION"] == "1"
        assert environment["EINHORN_FD_COUNT"] == "3"
        assert [environment[f"EINHORN_FD_{n}"] for n in range(3)] == ["3", "4", "5"]
        assert environment["EINHORN_FDS"] == "3 4 5"
        assert environment["EINHORN_MASTER_PID"] == str(running.pid)
        assert environment["EINHORN_CHILD_INDEX"] == "0"
        assert not [name for name in environment if name.startswith("LISTEN_")]
        os.kill(first["pid"], signal.SIGKILL)
        second = told(running)
        assert second["environment"]["SERVER_STARTER_GENERATION"] == "2"
        end(running)


SERVER_STARTER_APP = """
import contextlib, os, socket
item = os.environ["SERVER_STARTER_PORT"].split(";")[0]
where, fd = item.split("=", 1)
host, port = where.rsplit(":", 1)
server = socket.socket(fileno=int(fd))
assert server.getsockname() == (host, int(port)), where
while True:
    with contextlib.suppress(OSError), server.accept()[0] as connection:
        connection.sendall(f"{os.getpid()}\\n".encode())
"""

EINHORN_APP = """
import contextlib, os, socket
assert os.getppid() == int(os.environ["EINHORN_MASTER_PID"])
server = socket.socket(fileno=int(os.environ["EINHORN_FD_0"]))
while True:
    with contextlib.suppress(OSError), server.accept()[0] as connection:
        connection.sendall(f"{os.getpid()}\\n".encode())
"""


@pytest.mark.parametrize(("protocol", "app"), [("server-starter", SERVER_STARTER_APP), ("einhorn", EINHORN_APP)], ids=["server-starter", "einhorn"])
def test_an_app_of_another_protocol_serves(protocol: str, app: str) -> None:
    """It reads its variables as its own library does."""
    port = free_port()
    arguments = ["--listen", f"127.0.0.1:{port}", "--socket-protocols", protocol]
    with Running([TACET, "run", *arguments, "--", sys.executable, "-c", app]) as running:
        assert ask(("127.0.0.1", port)) == running.child
        end(running)


# ---- real programs ----


def http_get(port: int) -> str:
    """GET / and return the body; a program may take its time to start."""
    with connect(("127.0.0.1", port)) as client:
        client.settimeout(30)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.makefile("rb").read().partition(b"\r\n\r\n")[2].decode()


@pytest.mark.skipif(not shutil.which("gunicorn"), reason="gunicorn is not installed")
def test_gunicorn_takes_the_socket(tmp_path: Path) -> None:
    """It knows LISTEN_FDS, and checks LISTEN_PID."""
    (tmp_path / "hello.py").write_text(
        "def app(environ, start):\n    start('200 OK', [('Content-Length', '5')])\n    return [b'hello']\n"
    )
    port = free_port()
    command = [shutil.which("gunicorn"), "--chdir", str(tmp_path), "--workers", "1", "hello:app"]
    with Running([TACET, "run", "--listen", f"127.0.0.1:{port}", "--", *command]) as running:
        assert http_get(port) == "hello"
        end(running)


NODE_APP = """
const http = require('http');
const server = http.createServer((request, response) => response.end('hello'));
server.listen({fd: 3});
process.on('SIGTERM', () => process.exit(0));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node_listens_on_descriptor_3() -> None:
    """listen({fd: 3})."""
    port = free_port()
    command = [shutil.which("node"), "-e", NODE_APP]
    with Running([TACET, "run", "--listen", f"127.0.0.1:{port}", "--", *command]) as running:
        assert http_get(port) == "hello"
        end(running)


# ---- over restarts ----


def test_a_connection_that_comes_while_the_app_is_down_is_served_by_the_next(tmp_path: Path) -> None:
    """The queue outlives the app: nobody is refused."""
    port = free_port()
    arguments = ["--listen", f"127.0.0.1:{port}", "--listen", str(tmp_path / "s"), "--restart", "always"]
    arguments += ["--restart-delay", "500ms"]
    with Running([TACET, "run", *arguments, "--", *ACTIVATED]) as running:
        first = told(running)["pid"]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not is_alive(first), "the app is gone")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.connect(str(tmp_path / "s"))
            answer = ask(("127.0.0.1", port))
            second = told(running)["pid"]
            assert answer == second != first
            assert int(client.makefile().readline()) == second
        end(running)


def test_every_start_gets_the_same_sockets_and_nothing_leaks() -> None:
    """Ten crashes: the numbers stay, the supervisor's table does not grow, the app's has its sockets alone."""
    port = free_port()
    arguments = ["--listen", f"127.0.0.1:{port}", "--restart", "always", "--restart-delay", "1ms"]
    arguments += ["--restart-limit", "0", "--restart-delay-max", "2ms", "--min-healthy", "0s"]
    with Running([TACET, "run", *arguments, "--", *ACTIVATED]) as running:
        os.kill(told(running)["pid"], signal.SIGKILL)
        app = told(running)
        before = links_of(running.pid)  # with the one for the log, which opens when it has something to say
        inode = app["descriptors"][0]["link"]
        for _ in range(10):
            os.kill(app["pid"], signal.SIGKILL)
            app = told(running)
            assert [(found["fd"], found["link"]) for found in app["descriptors"]] == [(3, inode)]
        wait_until(lambda: len(links_of(running.pid)) <= len(before), "the supervisor has no more than before")
        end(running)


def test_a_rotation_hands_the_sockets_to_the_new_generation(vault: Vault) -> None:
    """TACET_GENERATION tells it from the old one."""
    port = free_port()
    arguments = [*vault.options, "--listen", f"127.0.0.1:{port}", "--min-healthy", "0s"]
    with Running([TACET, "run", *arguments, "--", *ACTIVATED]) as running:
        first = told(running)
        assert first["environment"]["TACET_GENERATION"] == "1"
        assert first["environment"]["TACET_REPLICA"] == "0"
        vault.write("A=2\n")
        running.signal(signal.SIGHUP)
        second = told(running)
        assert second["environment"]["TACET_GENERATION"] == "2"
        wait_until(lambda: not is_alive(first["pid"]), "the old one is gone")
        assert ask(("127.0.0.1", port)) == second["pid"]
        end(running)


def test_a_socket_can_be_opened_before_its_address_is_there(tmp_path: Path) -> None:
    """With free_bind; without it the start fails, and the hint names the key."""
    path = tmp_path / "tacet.ini"
    text = f"[service]\ncommand = {' '.join(ACTIVATED)}\n[socket web]\nlisten = 192.0.2.1:{free_port()}\n"
    path.write_text(text)
    done = run([TACET, "run", "-c", str(path)])
    assert done.returncode == 125
    assert "no interface has this address (yet); 'free_bind = yes'" in done.stderr
    path.write_text(text + "free_bind = yes\n[rollout]\nready = exec\n")
    with Running([TACET, "run", "-c", str(path)]) as running:
        assert len(told(running)["descriptors"]) == 1
        end(running)


# ---- unix sockets ----


def test_a_unix_socket_has_the_mode_and_the_owner_that_were_asked_for(tmp_path: Path) -> None:
    """And its file goes when tacet goes."""
    path = tmp_path / "app.sock"
    user = pwd.getpwnam("nobody")
    (tmp_path / "tacet.ini").write_text(
        f"[service]\ncommand = {' '.join(ACTIVATED)}\n"
        f"[socket web]\nlisten = {path}\nmode = 0620\nuser = nobody\ngroup = {user.pw_gid}\n"
        f"[socket log]\nlisten = unix-dgram:{tmp_path}/log.sock\nmode = 0622\n"
    )
    with Running([TACET, "run", "-c", str(tmp_path / "tacet.ini")]) as running:
        app = told(running)
        about = path.stat()
        assert stat.S_ISSOCK(about.st_mode)
        assert stat.S_IMODE(about.st_mode) == 0o620
        assert (about.st_uid, about.st_gid) == (user.pw_uid, user.pw_gid)
        assert ask(str(path), socket.AF_UNIX) == app["pid"]
        assert stat.S_IMODE((tmp_path / "log.sock").stat().st_mode) == 0o622
        assert ask_datagram(str(tmp_path / "log.sock"), socket.AF_UNIX, str(tmp_path / "me")) == app["pid"]
        end(running)
    assert not path.exists()
    assert not (tmp_path / "log.sock").exists()


def test_a_stale_socket_file_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    """Left over: replaced. In use: an error. Not a socket: an error, and it is left alone."""
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
        done = run([TACET, "run", "--listen", str(path), "--", PROBE, "exit", "0"])
        assert done.returncode == 125
        assert re.search("Address (already )?in use", done.stderr)  # glibc, musl
        assert path.exists()
    with Running([TACET, "run", "--listen", str(path), "--", *ACTIVATED]) as running:
        app = told(running)
        assert ask(str(path), socket.AF_UNIX) == app["pid"]
        end(running)
    path.write_text("precious")
    done = run([TACET, "run", "--listen", str(path), "--", PROBE, "exit", "0"])
    assert done.returncode == 125
    assert str(path) in done.stderr
    assert path.read_text() == "precious"


def test_only_the_own_file_is_removed_at_the_end(tmp_path: Path) -> None:
    """A successor may have put its own in the same place."""
    path = tmp_path / "app.sock"
    with Running([TACET, "run", "--listen", str(path), "--", *ACTIVATED]) as running:
        told(running)
        path.unlink()
        path.write_text("another's")
        end(running)
    assert path.read_text() == "another's"


def test_an_abstract_name_has_exactly_its_bytes() -> None:
    """No NUL behind it: clients of other languages find it."""
    name = f"tacet-test-{os.getpid()}-{time.monotonic_ns()}"
    with Running([TACET, "run", "--listen", f"@{name}", "--", *ACTIVATED]) as running:
        app = told(running)
        assert ask(f"\0{name}", socket.AF_UNIX) == app["pid"]
        assert f"@{name}\n" in Path("/proc/net/unix").read_text()
        end(running)


# ---- inherited ----


@contextlib.contextmanager
def listening(port: int = 0) -> Iterator[socket.socket]:
    """A tcp socket that a service manager would have opened."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen(50)
        yield server


def activate(
    command: list[str], given: list[int], names: str | None, *, extra: dict[str, str] | None = None, pid: str | None = None
) -> Running:
    """Start a command as systemd does: its sockets from 3 on, LISTEN_PID its own."""

    def prepare() -> None:
        copies = [os.dup(number) for number in given]
        high = [os.dup2(copy, 500 + n) for n, copy in enumerate(copies)]
        for n, number in enumerate(high):
            os.dup2(number, 3 + n, inheritable=True)
        for number in [*copies, *high]:
            if number >= 3 + len(given):
                os.close(number)

    script = "import os, sys; os.environ['LISTEN_PID'] = sys.argv[1] or str(os.getpid()); os.execvp(sys.argv[2], sys.argv[2:])"
    environment = {"LISTEN_FDS": str(len(given)), "LISTEN_PIDFDID": "77", "FDSTORE": "4", **(extra or {})}
    environment |= {"LISTEN_FDNAMES": names} if names is not None else {}
    return Running([sys.executable, "-c", script, pid or "", *command], environment=environment, preexec_fn=prepare, close_fds=False)


def test_inherited_sockets_are_taken_and_numbered_anew_for_every_start() -> None:
    """Names stay; LISTEN_PID is the app's; what the manager says to tacet alone is gone; the second start gets them too."""
    with listening() as one, listening() as two:
        command = [TACET, "run", "--restart", "always", "--restart-delay", "1ms", "--min-healthy", "0s", "--", *ACTIVATED]
        with activate(command, [one.fileno(), two.fileno()], "web:admin") as running:
            for _ in range(3):
                app = told(running)
                environment = app["environment"]
                assert environment["LISTEN_FDS"] == "2"
                assert environment["LISTEN_FDNAMES"] == "web:admin"
                assert environment["LISTEN_PID"] == str(app["pid"])
                assert not {"LISTEN_PIDFDID", "FDSTORE", "NOTIFY_SOCKET"} & environment.keys()
                assert [found["name"] for found in app["descriptors"]] == [list(one.getsockname()), list(two.getsockname())]
                assert ask(two.getsockname()) == app["pid"]
                os.kill(app["pid"], signal.SIGKILL)
            told(running)
            end(running)


def test_without_names_they_are_unknown() -> None:
    """As sd_listen_fds_with_names(3) calls them."""
    with listening() as one, activate([TACET, "run", "--", *ACTIVATED], [one.fileno()], None) as running:
        assert told(running)["environment"]["LISTEN_FDNAMES"] == "unknown"
        end(running)


def test_an_inherited_socket_fills_the_declared_one_of_its_name_or_address() -> None:
    """In the order of the configuration; the address is not opened a second time."""
    port = free_port()
    with listening() as one, listening() as two:
        declared = ["--listen", f"admin=127.0.0.1:{two.getsockname()[1]}", "--listen", f"own=127.0.0.1:{port}"]
        declared += ["--listen", f"web=127.0.0.1:{one.getsockname()[1]}"]
        with activate([TACET, "run", *declared, "--", *ACTIVATED], [one.fileno(), two.fileno()], "web:other") as running:
            app = told(running)
            assert app["environment"]["LISTEN_FDNAMES"] == "admin:own:web"
            ports = [two.getsockname()[1], port, one.getsockname()[1]]
            assert [found["name"][1] for found in app["descriptors"]] == ports
            end(running)


def test_an_inherited_socket_of_a_declared_name_wins_over_the_declared_address() -> None:
    """And the difference is said."""
    port = free_port()
    with listening() as one:
        command = [TACET, "run", *LOG, "--listen", f"web=127.0.0.1:{port}", "--", *ACTIVATED]
        with activate(command, [one.fileno()], "web") as running:
            running.line_with(f"socket 'web' is 127.0.0.1:{one.getsockname()[1]}.*not 127.0.0.1:{port}")
            app = told(running)
            assert [found["name"] for found in app["descriptors"]] == [list(one.getsockname())]
            end(running)


def test_what_is_no_listening_socket_is_handed_on_at_its_place(tmp_path: Path) -> None:
    """A file between two sockets stays between them."""
    (tmp_path / "data").write_text("data")
    with listening() as one, listening() as two, open(tmp_path / "data", "rb") as file:
        given = [one.fileno(), file.fileno(), two.fileno()]
        with activate([TACET, "run", "--", *ACTIVATED], given, "a:data:b") as running:
            app = told(running)
            assert app["environment"]["LISTEN_FDNAMES"] == "a:data:b"
            assert app["descriptors"][1]["link"] == str(tmp_path / "data")
            assert [app["descriptors"][n]["name"] for n in (0, 2)] == [list(one.getsockname()), list(two.getsockname())]
            end(running)


def test_sockets_that_were_kept_for_tacet_come_back_only_as_what_they_were() -> None:
    """One still belongs; one has another address by now and is closed, so that its port is free."""
    port = free_port()
    with listening() as one, listening() as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        declared = ["--listen", f"web=127.0.0.1:{ports[0]}", "--listen", f"admin=127.0.0.1:{port}"]
        names = "tacet-kept.web:tacet-kept.admin"
        with activate([TACET, "run", *declared, "--", *ACTIVATED], [one.fileno(), two.fileno()], names) as running:
            inode = f"socket:[{os.fstat(one.fileno()).st_ino}]"
            stale = f"socket:[{os.fstat(two.fileno()).st_ino}]"
            app = told(running)
            assert app["environment"]["LISTEN_FDNAMES"] == "web:admin"
            assert [found["name"][1] for found in app["descriptors"]] == [ports[0], port]
            assert app["descriptors"][0]["link"] == inode
            assert stale not in links_of(running.pid).values()
            end(running)


def test_descriptors_that_are_meant_for_another_process_are_not_taken() -> None:
    """LISTEN_PID is not ours: neither sockets nor variables are passed on as ours."""
    with listening() as one, activate([TACET, "run", "--", *ACTIVATED], [one.fileno()], "web", pid="1") as running:
        app = told(running)
        assert not [name for name in app["environment"] if name.startswith("LISTEN_")]
        end(running)


def test_inherited_sockets_are_close_on_exec_in_tacet() -> None:
    """Nothing else that tacet starts could get them; fdinfo says so."""
    with listening() as one, activate([TACET, "run", "--", *ACTIVATED], [one.fileno()], "web") as running:
        app = told(running)
        inode = app["descriptors"][0]["link"]
        numbers = [number for number, link in links_of(running.pid).items() if link == inode]
        assert numbers
        for number in numbers:
            flags = Path(f"/proc/{running.pid}/fdinfo/{number}").read_text().split("flags:")[1].split()[0]
            assert int(flags, 8) & os.O_CLOEXEC
        end(running)


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not installed")
def test_systemd_socket_activate_starts_it() -> None:
    """A real activator: it holds the socket, starts tacet at the first connection, and the app answers."""
    port = free_port()
    command = [shutil.which("systemd-socket-activate"), "-l", f"127.0.0.1:{port}", "--fdname=web"]
    with Running([*command, "--", TACET, "run", "--", *ACTIVATED]) as running:
        running.line_with("Listening on")
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
            app = told(running)
            assert int(client.makefile().readline()) == app["pid"]
        assert app["environment"]["LISTEN_FDNAMES"] == "web"
        assert app["environment"]["LISTEN_PID"] == str(app["pid"])
        end(running)


@pytest.mark.parametrize("verb", [["exec", "--"], ["--"]])
def test_exec_and_a_plain_init_pass_inherited_sockets_as_they_are(verb: list[str]) -> None:
    """With LISTEN_PID corrected, and LISTEN_PIDFDID gone."""
    with listening() as one, activate([TACET, *verb, *ACTIVATED], [one.fileno()], "web") as running:
        app = told(running)
        assert app["environment"]["LISTEN_PID"] == str(app["pid"])
        assert app["environment"]["LISTEN_FDNAMES"] == "web"
        assert "LISTEN_PIDFDID" not in app["environment"]
        assert ask(one.getsockname()) == app["pid"]
        end(running)


# ---- limits and errors ----


def test_a_low_limit_of_descriptors_is_enough_or_is_told() -> None:
    """Twelve sockets with room for forty files, then with room for too few."""
    names = [f"@tacet-test-{os.getpid()}-{time.monotonic_ns()}-{n}" for n in range(12)]
    arguments = [word for name in names for word in ("--listen", name)]
    with Running(["prlimit", "--nofile=40:40", TACET, "run", *arguments, "--", *ACTIVATED]) as running:
        assert told(running)["environment"]["LISTEN_FDS"] == "12"
        end(running)
    quiet = {"ASAN_OPTIONS": "detect_leaks=0"}  # the search for leaks needs descriptors itself
    done = run(["prlimit", "--nofile=12:12", TACET, "run", *arguments, "--", PROBE, "exit", "0"], environment=quiet)
    assert done.returncode == 125
    assert re.search("Too many open files|No file descriptors", done.stderr)  # glibc, musl


def test_an_address_in_use_is_told_with_what_to_do() -> None:
    """The app is not started."""
    with listening() as taken:
        port = taken.getsockname()[1]
        done = run([TACET, "run", "--listen", f"web=127.0.0.1:{port}", "--", PROBE, "exit", "0"])
        assert done.returncode == 125
        assert f"listen on 127.0.0.1:{port}" in done.stderr
        assert re.search("Address (already )?in use", done.stderr)  # glibc, musl
        assert "another process has it" in done.stderr


def test_a_privileged_port_without_the_right_is_told_with_what_to_do() -> None:
    """In a network namespace of its own, whose limit nobody has lowered."""
    command = ["unshare", "--net", "--", "setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all"]
    done = run([*command, TACET, "run", "--listen", "0.0.0.0:80", "--", PROBE, "exit", "0"])
    assert done.returncode == 125
    assert "Permission denied" in done.stderr
    assert "root or CAP_NET_BIND_SERVICE" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--listen", "localhost:80"], 64, "names are not looked up"),
        (["--listen", "80", "--listen", "a=80"], 64, "socket 'a' listens on"),
        (["--listen", "a=80", "--listen", "a=81"], 64, "given a second time"),
        (["--listen", ""], 64, "the argument is empty"),
        (["--listen", "80", "--socket-protocols", "inetd"], 64, "one or more of systemd, server-starter and einhorn"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_opened(arguments: list[str], status: int, text: str) -> None:
    """64, and a reason."""
    done = run([TACET, "run", *arguments, "--", PROBE, "exit", "0"])
    assert done.returncode == status
    assert text in done.stderr


def test_exec_refuses_declared_sockets(tmp_path: Path) -> None:
    """Nobody would hold them."""
    (tmp_path / "tacet.ini").write_text(f"[service]\ncommand = {PROBE} exit 0\n[socket web]\nlisten = @x\n")
    done = run([TACET, "exec", "-c", str(tmp_path / "tacet.ini")])
    assert done.returncode == 78
    assert "tacet.ini:3: tacet exec opens no sockets" in done.stderr


def test_check_shows_the_sockets(tmp_path: Path) -> None:
    """For people and for programs; nothing is opened."""
    path = tmp_path / "tacet.ini"
    path.write_text(f"[service]\ncommand = true\n[socket web]\nlisten = 8080\n[socket log]\nlisten = unix-dgram:{tmp_path}/l\n")
    done = run([TACET, "check", "-c", str(path)])
    assert done.returncode == 0, done.stderr
    assert "socket web listens on *:8080, descriptor 3 of the app" in done.stdout
    assert f"socket log listens on unix-dgram:{tmp_path}/l, descriptor 4 of the app" in done.stdout
    assert not (tmp_path / "l").exists()
    sockets = json.loads(run([TACET, "check", "-c", str(path), "--json"]).stdout)["sockets"]
    assert sockets == [
        {"name": "web", "address": "*:8080", "where": f"{path}:3", "descriptor": 3},
        {"name": "log", "address": f"unix-dgram:{tmp_path}/l", "where": f"{path}:5", "descriptor": 4},
    ]


@pytest.mark.parametrize("key", ["user = tacet-nobody-has-this-name", "group = tacet-nobody-has-this-name"])
def test_check_knows_that_an_owner_does_not_exist(tmp_path: Path, key: str) -> None:
    """Before a start fails of it."""
    path = tmp_path / "tacet.ini"
    path.write_text(f"[service]\ncommand = true\n[socket web]\nlisten = {tmp_path}/s\n{key}\n")
    done = run([TACET, "check", "-c", str(path)])
    assert done.returncode == 78
    assert "[socket web]" in done.stderr


def test_a_ready_descriptor_may_not_have_the_number_of_a_socket() -> None:
    """Declared or inherited: said before anything starts, with a number that is free."""
    ready = ["--ready", "fd", "--ready-fd", "4"]
    done = run([TACET, "run", "--listen", "@a", "--listen", "@b", *ready, "--", PROBE, "exit", "0"])
    assert done.returncode == 78
    assert "ready_fd = 4 is the number of a socket: the app's have 3 to 4" in done.stderr
    assert "give it one from 5 on" in done.stderr
    with listening() as one, activate([TACET, "run", "--listen", "@a", *ready, "--", PROBE, "exit", "0"], [one.fileno()], "x") as running:
        assert "give it one from 5 on" in running.rest()
        assert running.wait() == 78


def test_one_socket_beside_a_ready_descriptor() -> None:
    """Sockets are counted, the ready descriptor is not."""
    port = free_port()
    arguments = ["--listen", f"127.0.0.1:{port}", "--ready", "fd", "--ready-fd", "9"]
    with Running([TACET, "run", *arguments, "--", *ACTIVATED]) as running:
        app = told(running)
        assert app["environment"]["LISTEN_FDS"] == "1"
        assert app["environment"]["LISTEN_FDNAMES"] == "listen"
        assert [found["fd"] for found in app["descriptors"]] == [3, 9]
        assert app["descriptors"][1]["link"].startswith("pipe:")
        end(running)


def test_a_socket_of_another_kind_is_handed_on_as_it_is() -> None:
    """Sequenced packets, a socket that does not listen, an accepted connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets, socket.socket() as quiet, listening() as server:
        packets.bind(f"\0tacet-test-packets-{os.getpid()}-{time.monotonic_ns()}")
        packets.listen()
        quiet.bind(("127.0.0.1", 0))
        with socket.create_connection(server.getsockname()), server.accept()[0] as connection:
            given = [packets.fileno(), quiet.fileno(), connection.fileno()]
            with activate([TACET, "run", "--", *ACTIVATED], given, "packets:quiet:connection") as running:
                app = told(running)
                assert app["environment"]["LISTEN_FDNAMES"] == "packets:quiet:connection"
                expected = [f"socket:[{os.fstat(number).st_ino}]" for number in given]
                assert [found["link"] for found in app["descriptors"]] == expected
                assert [found["listening"] for found in app["descriptors"]] == [True, False, False]
                end(running)


@pytest.mark.parametrize("session", ["group", "session", "none"])
def test_an_app_of_another_user_gets_sockets_that_only_root_could_open(session: str) -> None:
    """Port 80 in a network namespace of its own; the app is nobody."""
    command = ["unshare", "--net", "--", TACET, "run", "--user", "nobody", "--session", session]
    with Running([*command, "--listen", "0.0.0.0:80", "--", "/usr/bin/python3", "-u", "-c", NOBODY_APP]) as running:
        assert running.line_with("^nobody ") == f"nobody {pwd.getpwnam('nobody').pw_uid} 80"
        end(running)


NOBODY_APP = """
import os, signal, socket
print("nobody", os.getuid(), socket.socket(fileno=3).getsockname()[1])
signal.pause()
"""
