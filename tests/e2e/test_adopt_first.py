"""Servers that look whether somebody answers at their address before they bind it, one instance at a time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from adopted_servers import PYTHON, connect, fetch, written
from secrets_files import Vault, vault_make
from support import TACET, Running, free_port, wait_until

# As php-fpm and puma do: whoever answers there is another one of us.
LOOKS_FIRST = """
import os, signal, socket, sys
place = int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1]
family = socket.AF_INET if isinstance(place, int) else socket.AF_UNIX
address = ("127.0.0.1", place) if isinstance(place, int) else place
try:
    with socket.socket(family) as look:
        look.connect(address)
    print("somebody answers", flush=True)
    sys.exit(3)
except OSError:
    pass
if family == socket.AF_UNIX and os.path.exists(place):
    os.unlink(place)
server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(address)
server.listen()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    client, _ = server.accept()
    client.recv(1000)
    text = f"{os.getpid()} {os.environ['PASSWORD']}".encode()
    client.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(text), text))
    client.close()
"""
LIGHTTPD = """
server.document-root = "{folder}"
server.bind = "{path}"
index-file.names = ("index.html")
"""


def python(folder: Path, place: int | str) -> list[str]:
    """A small one that looks first."""
    return [PYTHON, written(folder / "first.py", LOOKS_FIRST), str(place)]


def lighttpd(folder: Path, place: int | str) -> list[str]:
    """The real one; on a unix socket it looks first."""
    written(folder / "index.html", "1 page")
    program = shutil.which("lighttpd", path="/usr/sbin:/usr/bin") or "lighttpd"
    return [program, "-D", "-f", written(folder / "web.conf", LIGHTTPD.format(folder=folder, path=place))]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=value-0\n")


def starting(vault: Vault, place: int | str, show: list[str]) -> Running:
    """One instance at a time; a crash is restarted."""
    options = ["--adopt", str(place), "--restart", "on-failure", "--restart-delay", "10ms", "--ready-timeout", "20s"]
    return Running([TACET, "run", "-v", *vault.options, *options, "--", *show])


CASES = [(python, "tcp"), (python, "unix"), (lighttpd, "unix")]


@pytest.mark.parametrize(("server", "family"), CASES, ids=["tcp", "unix", "lighttpd"])
def test_a_server_that_looks_first_comes_back_after_a_crash(
    server: Callable[[Path, int | str], list[str]], family: str, vault: Vault, tmp_path: Path
) -> None:
    """The start after the one that gave up finds the address closed; so does every later one, at once."""
    place = free_port() if family == "tcp" else str(tmp_path / "web.sock")
    with starting(vault, place, server(tmp_path, place)) as running:
        running.line_with("is up")
        assert fetch(place)
        os.kill(running.child, signal.SIGKILL)
        assert str(place) in running.line_with("from now on the address is closed")
        running.line_with("the app is ready")
        wait_until(lambda: fetch(place), "it answers again")
        os.kill(running.child, signal.SIGKILL)
        assert "ready" in running.line_with("somebody answers|in use|the app is ready")
        wait_until(lambda: fetch(place), "it answers again")


@pytest.mark.parametrize(("server", "family"), CASES, ids=["tcp", "unix", "lighttpd"])
def test_a_rotation_of_a_server_that_looks_first_does_not_end_the_service(
    server: Callable[[Path, int | str], list[str]], family: str, vault: Vault, tmp_path: Path
) -> None:
    """The first one goes back, with its reason; the next one is done."""
    place = free_port() if family == "tcp" else str(tmp_path / "web.sock")
    with starting(vault, place, server(tmp_path, place)) as running:
        running.line_with("is up")
        vault.write("PASSWORD=value-1\n")
        running.signal(signal.SIGHUP)
        running.line_with("from now on the address is closed")
        running.line_with("back on generation 1")
        assert fetch(place)
        vault.write("PASSWORD=value-2\n")
        running.signal(signal.SIGHUP)
        running.line_with("rotation to generation [0-9]+ done")
        assert fetch(place)
        if server is python:
            assert fetch(place).split()[1] == "value-2"


def test_the_address_refuses_while_nobody_serves(vault: Vault, tmp_path: Path) -> None:
    """What the manual says that it costs."""
    port = free_port()
    slow = "import time; time.sleep(2)\n" + LOOKS_FIRST
    command = [PYTHON, written(tmp_path / "first.py", slow), str(port)]
    with starting(vault, port, command) as running:
        running.line_with("is up")
        os.kill(running.child, signal.SIGKILL)
        running.line_with("from now on the address is closed")
        with pytest.raises(ConnectionRefusedError):
            connect(port, "127.0.0.1", 5)


def handing_over(vault: Vault, place: int | str, show: list[str], *options: str) -> Running:
    """Two at a time."""
    rollout = ["--strategy", "handoff", "--min-healthy", "50ms", "--adopt", str(place), "--ready-timeout", "20s"]
    return Running([TACET, "run", "-v", *vault.options, *rollout, *options, "--", *show])


@pytest.mark.parametrize(("server", "family"), CASES, ids=["tcp", "unix", "lighttpd"])
def test_a_server_that_looks_first_is_handed_over_where_it_finds_nobody(
    server: Callable[[Path, int | str], list[str]], family: str, vault: Vault, tmp_path: Path
) -> None:
    """The old one serves on meanwhile; who looks is refused by us and not by it."""
    place = free_port() if family == "tcp" else str(tmp_path / "web.sock")
    stop = ["--stop-signal", "INT"] if server is lighttpd else []
    with handing_over(vault, place, server(tmp_path, place), "--adopt-connect", "refuse", *stop) as running:
        running.line_with("is up")
        for number in (1, 2):
            vault.write(f"PASSWORD=value-{number}\n")
            running.signal(signal.SIGHUP)
            running.line_with("looks whether somebody answers at .*: refused")
            assert fetch(place)  # by the old one
            assert " done" in running.line_with("rotation to generation .* (done|failed|halted)|going back")
            assert fetch(place)
        if server is python:
            assert fetch(place).split()[1] == "value-2"


def test_a_server_that_looks_first_is_told_what_it_takes(vault: Vault, tmp_path: Path) -> None:
    """By default its connect is nobody's business: the rotation goes back, and the log names the key."""
    port = free_port()
    with handing_over(vault, port, python(tmp_path, port)) as running:
        running.line_with("is up")
        vault.write("PASSWORD=value-1\n")
        running.signal(signal.SIGHUP)
        running.line_with("adopt_connect = refuse")
        running.line_with("back on generation 1")
        assert fetch(port).split()[1] == "value-0"


ELSEWHERE = """
import socket, sys
upstream = socket.socket()
upstream.bind(("127.0.0.2", 0))
upstream.listen()
port = upstream.getsockname()[1]
socket.create_connection(("127.0.0.2", port)).close()
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])))
except ConnectionRefusedError:
    print("refused", flush=True)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
print("reached", flush=True)
signal.pause()
"""


def test_only_what_is_adopted_and_not_bound_is_refused(vault: Vault, tmp_path: Path) -> None:
    """An upstream is reached before, and the own address afterwards."""
    port = free_port()
    command = [PYTHON, written(tmp_path / "else.py", "import signal\n" + ELSEWHERE), str(port)]
    with handing_over(vault, port, command, "--adopt-connect", "refuse") as running:
        running.lines_with("^refused", "^reached", "is up")
