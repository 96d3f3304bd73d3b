"""The listening sockets that a service manager keeps (FDSTORE): over a kill of the supervisor no waiting client is lost."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from manager_socket import Manager
from secrets_files import Vault, vault_make
from support import TACET, TOOLS, Running, descendants_of, free_port, is_alive, wait_until

pytestmark = pytest.mark.both

SERVER = str(TOOLS / "server")
HEALTHY = ["--min-healthy", "100ms"]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Listen on a path."""
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first\n")


def started(manager: Manager, *options: str, names: str = "", fds: tuple[int, ...] = (), **variables: str) -> Running:
    """Start a server under `tacet run` as a service manager would, with the descriptors that it kept."""
    give = "".join(f" {3 + n}<&{fd + 100}" for n, fd in enumerate(fds))
    keep = "".join(f" {fd + 100}<&{fd}" for fd in fds)
    listen = f"LISTEN_PID=$$ LISTEN_FDS={len(fds)} LISTEN_FDNAMES={names}" if fds else ""
    script = f'exec{keep}; exec{give}; {listen} exec "$0" "$@"' if fds else 'exec "$0" "$@"'
    command = ["bash", "-c", script, TACET, "run", *HEALTHY, *options, "--", SERVER]
    return Running(command, environment={"NOTIFY_SOCKET": manager.address, **variables}, pass_fds=fds)


def stored(message: dict[str, str]) -> bool:
    """Is that a descriptor to keep?"""
    return message.get("FDSTORE") == "1"


def ask(port: int, path: str = "/env?PASSWORD") -> socket.socket:
    """Send a request and leave the answer for later."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    return client


def answer(client: socket.socket) -> str:
    """The answer's body."""
    with client:
        reply = b""
        while part := client.recv(4096):
            reply += part
    return reply.decode().partition("\r\n\r\n")[2].strip()


def serves(port: int) -> bool:
    """Does somebody answer there?"""
    try:
        return answer(ask(port, "/")) != ""
    except ConnectionRefusedError:
        return False


def kill_with_app(running: Running) -> None:
    """Kill the supervisor; its app goes with it, a moment later, and takes no connection any more."""
    family = descendants_of(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in family), "the app is gone")


def can_bind(port: int) -> bool:
    """Is the port free?"""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_a_declared_socket_is_kept_under_its_name(manager: Manager) -> None:
    """The very socket; it is not watched by the manager, and said once."""
    port = free_port()
    with started(manager, "--listen", f"web=127.0.0.1:{port}"):
        message = manager.wait(stored)
        assert message == {"FDSTORE": "1", "FDNAME": "tacet-kept.web", "FDPOLL": "0"}
        assert len(manager.descriptors) == 1
        with socket.socket(fileno=os.dup(manager.descriptors[0])) as kept:
            assert kept.getsockname() == ("127.0.0.1", port)
            assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        manager.wait_ready()
        manager.nothing(0.5)


@pytest.mark.parametrize("address", ["tcp", "unix"])
def test_who_waits_while_the_supervisor_is_killed_is_served_by_the_next_one(
    manager: Manager, vault: Vault, tmp_path: Path, address: str
) -> None:
    """The connection stands in the queue of the kept socket all the time."""
    port, path = free_port(), str(tmp_path / "web.sock")
    listen = ["--listen", f"web=127.0.0.1:{port}" if address == "tcp" else f"web={path}"]
    with started(manager, *vault.options, *listen) as running:
        manager.wait(stored)
        manager.wait_ready()
        kill_with_app(running)
    vault.write("PASSWORD=second\n")
    if address == "tcp":
        waiting = ask(port)
    else:
        waiting = socket.socket(socket.AF_UNIX)
        waiting.settimeout(30)
        waiting.connect(path)
        waiting.sendall(b"GET /env?PASSWORD HTTP/1.0\r\n\r\n")
    before = manager.count("FDSTORE")
    with started(manager, *vault.options, *listen, names="tacet-kept.web", fds=(manager.descriptors[0],)):
        assert answer(waiting) == "second"
        manager.wait_ready()
        manager.nothing(0.3)
        assert manager.count("FDSTORE") == before, "it is still kept: nothing has to be said"
        assert manager.count("FDSTOREREMOVE") == 0


def test_the_file_of_a_kept_unix_socket_stays_and_is_replaced_when_nobody_kept_it(manager: Manager, tmp_path: Path) -> None:
    """systemctl restart finds it; after systemctl stop it is only a name."""
    path = tmp_path / "web.sock"
    for _ in range(2):
        with started(manager, "--listen", f"web={path}") as running:
            manager.wait(stored)
            manager.wait_ready()
            running.signal(signal.SIGTERM)
            running.wait()
        assert path.is_socket()
        os.close(manager.descriptors.pop())


def test_with_a_handoff_the_socket_of_the_new_generation_takes_the_place_of_the_old(manager: Manager, vault: Vault) -> None:
    """What is kept is where the clients go."""
    port = free_port()
    options = [*vault.options, "--strategy", "handoff", "--listen", f"web=127.0.0.1:{port}"]
    with started(manager, *options) as running:
        manager.wait(stored)
        manager.wait_ready()
        vault.write("PASSWORD=second\n")
        running.signal(signal.SIGHUP)
        removed = manager.wait(lambda message: "FDSTOREREMOVE" in message)
        assert removed == {"FDSTOREREMOVE": "1", "FDNAME": "tacet-kept.web"}
        assert manager.wait(stored)["FDNAME"] == "tacet-kept.web"
        wait_until(lambda: answer(ask(port)) == "second", "the new one serves")
        kill_with_app(running)
    os.close(manager.descriptors.pop(0))
    vault.write("PASSWORD=third\n")
    waiting = ask(port)
    with started(manager, *options, names="tacet-kept.web", fds=(manager.descriptors[0],)):
        assert answer(waiting) == "third"


def test_what_came_back_and_is_not_wanted_any_more_is_given_up(manager: Manager) -> None:
    """Its name in the store, and its port."""
    port, other = free_port(), free_port()
    with socket.create_server(("127.0.0.1", port)) as old:
        fd = old.detach()
    manager.descriptors.append(fd)
    with started(manager, "--listen", f"api=127.0.0.1:{other}", names="tacet-kept.web", fds=(fd,)):
        assert manager.wait(lambda message: "FDSTOREREMOVE" in message)["FDNAME"] == "tacet-kept.web"
        manager.wait(lambda message: message.get("FDNAME") == "tacet-kept.api")
    os.close(manager.descriptors.pop(0))
    wait_until(lambda: can_bind(port), "the port is free when all that had it are gone")


def test_a_socket_of_the_managers_own_is_not_given_back_to_it(manager: Manager) -> None:
    """A .socket unit holds it already."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as unit:
        fd = unit.detach()
    manager.descriptors.append(fd)
    with started(manager, "--listen", f"web=127.0.0.1:{port}", names="web", fds=(fd,)):
        manager.wait_ready()
        manager.nothing(0.3)
        assert manager.count("FDSTORE") == 0


def test_beside_a_socket_of_the_managers_own_no_other_is_kept(manager: Manager, vault: Vault) -> None:
    """With ReusePort=yes every generation has its own; killed, all who connect go to the unit's and wait there."""
    port = free_port()
    with socket.socket() as unit:
        unit.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        unit.bind(("127.0.0.1", port))
        unit.listen(16)
        fd = unit.detach()
    manager.descriptors.append(fd)
    options = [*vault.options, "--strategy", "handoff", "--listen", f"web=127.0.0.1:{port}"]
    with started(manager, *options, names="web", fds=(fd,)) as running:
        manager.wait_ready()
        vault.write("PASSWORD=second\n")
        running.signal(signal.SIGHUP)
        manager.wait_ready()
        wait_until(lambda: answer(ask(port)) == "second", "the new one serves")
        kill_with_app(running)
    assert manager.count("FDSTORE") == 0
    waiting = [ask(port) for _ in range(4)]
    with started(manager, *options, names="web", fds=(fd,)):
        assert [answer(client) for client in waiting] == ["second"] * 4


def test_a_manager_that_keeps_nothing_is_not_asked(manager: Manager) -> None:
    """$FDSTORE is how many it would keep."""
    with started(manager, "--listen", f"web=127.0.0.1:{free_port()}", FDSTORE="0"):
        manager.wait_ready()
        manager.nothing(0.3)
        assert manager.count("FDSTORE") == 0


def test_a_manager_that_does_not_read_gets_the_descriptors_later(manager: Manager) -> None:
    """After the messages that count more."""
    filled = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        while filled < 100_000:
            try:
                filler.sendto(b"X=1", manager.socket.getsockname())
            except BlockingIOError:
                break
            filled += 1
    port = free_port()
    with started(manager, "--listen", f"web=127.0.0.1:{port}"):
        wait_until(lambda: serves(port), "the app serves")
        for _ in range(filled):
            manager.receive()
        manager.wait(stored)
        assert any("STATUS" in message for message in manager.messages[:-1])


# ---- sockets that the app binds itself --------------------------------------------------------------------------------------


def adopted_name(address: str) -> str:
    """The name under which the manager keeps it."""
    return "tacet-adopted." + address.replace(":", "%3A")


def adopting(manager: Manager, vault: Vault, address: str, *options: str, rule: str = "", **more: object) -> Running:
    """Start a server that binds `address` itself."""
    adopt = ["--adopt", rule or address]
    return started(manager, *vault.options, *adopt, "--ready-timeout", "60s", *options, ADDRESS=address, **more)


def killed(manager: Manager, running: Running) -> None:
    """The first one, when it serves and its socket is kept."""
    while not (manager.count("FDSTORE") and manager.count("READY")):
        manager.receive()
    os.kill(running.pid, signal.SIGKILL)
    running.wait()


@pytest.mark.parametrize("strategy", ["restart", "handoff"])
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_who_waits_for_an_adopted_socket_is_served_by_the_next_supervisor(
    manager: Manager, vault: Vault, tmp_path: Path, strategy: str, family: str
) -> None:
    """It is kept under its address, and the app that binds it again gets it."""
    port, path = free_port(), str(tmp_path / "web.sock")
    address = f"127.0.0.1:{port}" if family == "tcp" else path
    options = ["--strategy", strategy]
    with adopting(manager, vault, address, *options) as running:
        assert manager.wait(stored) == {"FDSTORE": "1", "FDNAME": adopted_name(address), "FDPOLL": "0"}
        killed(manager, running)
    vault.write("PASSWORD=second\n")
    with socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET) as waiting:
        waiting.settimeout(30)
        waiting.connect(path if family == "unix" else ("127.0.0.1", port))
        waiting.sendall(b"GET /env?PASSWORD HTTP/1.0\r\n\r\n")
        before = manager.count("FDSTORE")
        fds = (manager.descriptors[0],)
        with adopting(manager, vault, address, *options, names=adopted_name(address), fds=fds) as running:
            assert answer(waiting.dup()) == "second"
            manager.wait_ready()
            running.signal(signal.SIGTERM)
            running.wait()
        manager.wait(lambda message: "STOPPING" in message)
        assert manager.count("FDSTORE") == before, "it is still kept: nothing had to be said"
        assert manager.count("FDSTOREREMOVE") == 0


def test_after_a_handoff_the_adopted_socket_of_the_new_generation_is_kept(manager: Manager, vault: Vault) -> None:
    """Also when the first one had come out of the store."""
    address = f"127.0.0.1:{(port := free_port())}"
    name = adopted_name(address)
    with adopting(manager, vault, address, "--strategy", "handoff") as running:
        killed(manager, running)
    with adopting(manager, vault, address, "--strategy", "handoff", names=name, fds=(manager.descriptors[0],)) as running:
        manager.wait_ready()
        vault.write("PASSWORD=second\n")
        running.signal(signal.SIGHUP)
        assert manager.wait(lambda message: "FDSTOREREMOVE" in message)["FDNAME"] == name
        assert manager.wait(stored)["FDNAME"] == name
        manager.wait_ready()
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    os.close(manager.descriptors.pop(0))
    vault.write("PASSWORD=third\n")
    waiting = ask(port)
    with adopting(manager, vault, address, "--strategy", "handoff", names=name, fds=(manager.descriptors[0],)):
        assert answer(waiting) == "third"


def test_an_adopted_socket_that_nobody_binds_again_is_given_up_with_the_first_generation(manager: Manager, vault: Vault) -> None:
    """Until then the app may still bind it; afterwards who connects is refused, though the manager has its copy."""
    address, other = f"127.0.0.1:{(port := free_port())}", f"127.0.0.1:{free_port()}"
    with adopting(manager, vault, address) as running:
        killed(manager, running)
    more = {"names": adopted_name(address), "fds": (manager.descriptors[0],), "rule": address}
    with adopting(manager, vault, other, "--adopt", other, **more) as running:
        manager.wait(lambda message: message.get("FDNAME") == adopted_name(other))
        socket.create_connection(("127.0.0.1", port)).close()
        assert manager.count("FDSTOREREMOVE") == 0, "it has not bound both, so it is not ready"
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    os.close(manager.descriptors.pop())
    with adopting(manager, vault, other, "--adopt", other, "--ready", "exec", **more):
        assert manager.wait(lambda message: "FDSTOREREMOVE" in message)["FDNAME"] == adopted_name(address)
        assert can_bind(port)


@pytest.mark.parametrize("now", ["declared", "not adopted", "every address", "renamed"])
def test_what_was_kept_does_not_stand_in_the_way(manager: Manager, vault: Vault, now: str) -> None:
    """Of a configuration that means the port otherwise: the copy of the manager listens no longer."""
    address = f"127.0.0.1:{(port := free_port())}"
    name = adopted_name(address)
    if now == "renamed":
        name = "tacet-kept.old"
        with started(manager, *vault.options, "--listen", f"old={address}") as running:
            killed(manager, running)
    else:
        with adopting(manager, vault, address) as running:
            killed(manager, running)
    more = {"names": name, "fds": (manager.descriptors[0],)}
    if now in ("declared", "renamed"):
        again = started(manager, *vault.options, "--listen", f"web={address}", **more)
    elif now == "not adopted":
        again = started(manager, *vault.options, ADDRESS=address, **more)
    else:
        again = adopting(manager, vault, f"0.0.0.0:{port}", rule=str(port), **more)
    with again:
        assert manager.wait(lambda message: "FDSTOREREMOVE" in message, 30)["FDNAME"] == name
        if now != "not adopted":
            manager.wait(stored)
        manager.wait_ready()
        wait_until(lambda: serves(port), "it serves")
