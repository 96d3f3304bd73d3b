"""tacet as a service of a real systemd: started, reloaded, killed, stopped, with the units that are released."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machine import Machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from secrets_files import Vault, vault_make  # noqa: E402
from timing import at_a_pace, duration  # noqa: E402

NOTIFY_RELOAD_VERSION = 253
numbers = itertools.count(1)


def wait_until(claim: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until a claim is true; fail with `what` when it never is."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.03)


class Service:
    """One unit: an instance of tacet@.service with its configuration, document and key."""

    def __init__(self, machine: Machine, vault: Vault, unit: str, name: str) -> None:
        self.machine, self.vault, self.unit, self.name = machine, vault, unit, name
        self.address = f"/run/{name}.sock"

    def write_secrets(self, text: str) -> None:
        """Put a new encrypted document in place."""
        self.vault.write(text)
        self.write_document(self.vault.document.read_bytes())

    def write_document(self, content: bytes) -> None:
        """Put any bytes in the document's place."""
        self.machine.write(f"/etc/tacet/{self.name}.env.age", content)

    def drop_in(self, text: str, file: str = "test.conf") -> None:
        """Change the unit."""
        self.machine.write(f"/etc/systemd/system/{self.unit}.d/{file}", text)

    def systemctl(self, verb: str, *options: str) -> str:
        """Run a verb for this unit; it must succeed."""
        done = self.machine.call("systemctl", verb, *options, self.unit)
        assert done.returncode == 0, f"systemctl {verb}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done.stdout

    def show(self, name: str) -> str:
        """One property of the unit."""
        return self.machine.run("systemctl", "show", "--value", "-p", name, self.unit).strip()

    def journal(self) -> str:
        """What the unit has written."""
        return self.machine.run("journalctl", "--no-pager", "-o", "cat", "-u", self.unit)

    def processes(self) -> list[int]:
        """The pids in the unit's control group, as they are called outside the machine."""
        name = self.show("ControlGroup")
        group = self.machine.path(f"/sys/fs/cgroup{name}")
        pids = []
        for file in [group / "cgroup.procs", *group.glob("*/cgroup.procs")] if name else []:
            with contextlib.suppress(OSError):  # a group of an instance goes with it
                pids += [int(word) for word in file.read_text().split()]
        return pids

    def ask(self, path: str = "/") -> str:
        """Ask the server a question; empty when nobody answers."""
        return ask(str(self.machine.path(self.address)), path)

    def password(self) -> str:
        """The secret that the running app has."""
        return self.ask("/env?PASSWORD").strip()


def ask(address: str, path: str) -> str:
    """One HTTP request to a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        try:
            client.connect(address)
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            reply = b""
            while part := client.recv(4096):
                reply += part
        except OSError:
            return ""
    return reply.decode().partition("\r\n\r\n")[2]


CONFIGURATION = """
[service]
command = /usr/local/bin/server
environment = ADDRESS={address}
{service}
[rollout]
min_healthy = {healthy}
{rollout}
[source file]
from = age:/etc/tacet/{name}.env.age
[identity key]
from = credential:tacet.key
"""


@pytest.fixture
def make(machine: Machine, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services; every one is stopped in the end."""
    made: list[Service] = []

    def service(
        service: str = "", rollout: str = "", healthy: str = "200ms", unit: str = "", drop_in: str = "", address: str = ""
    ) -> Service:
        name = f"test{next(numbers)}"
        vault = vault_make(tmp_path / name, "PASSWORD=first\n")
        one = Service(machine, vault, unit or f"tacet@{name}.service", name)
        one.address = address.format(name=name) or one.address
        text = CONFIGURATION.format(name=name, address=one.address, service=service, rollout=rollout, healthy=healthy)
        machine.write(f"/etc/tacet/{name}.ini", text)
        machine.write(f"/etc/tacet/{name}.key", vault.identity.read_bytes(), 0o600)
        one.write_document(vault.document.read_bytes())
        if drop_in:
            one.drop_in(drop_in)
            machine.run("systemctl", "daemon-reload")
        made.append(one)
        return one

    yield service
    for one in made:
        machine.call("systemctl", "kill", "--signal=KILL", one.unit)
        machine.call("systemctl", "stop", one.unit)
        machine.call("systemctl", "reset-failed", one.unit)


@pytest.fixture(params=["notify", "notify-reload"])
def reload_type(request: pytest.FixtureRequest, machine: Machine) -> str:
    """Both ways of reloading that a unit may choose."""
    if request.param == "notify-reload" and machine.version < NOTIFY_RELOAD_VERSION:
        pytest.skip(f"systemd {machine.version} does not know notify-reload, 253 does")
    return request.param


def notify_reload(machine: Machine, reload_type: str) -> str:
    """The released drop-in, or nothing."""
    if reload_type == "notify":
        return ""
    return machine.path("/usr/share/doc/tacet/examples/systemd/notify-reload.conf").read_text()


def test_the_units_are_what_systemd_expects(machine: Machine) -> None:
    """systemd-analyze has nothing to say about any of them, nor about the users and folders."""
    examples = machine.path("/usr/share/doc/tacet/examples/systemd")
    for file in ("tacet-web.socket", "tacet-web.service"):
        machine.write(f"/etc/systemd/system/{file}", (examples / file).read_bytes())
    machine.run("systemctl", "daemon-reload")
    units = ["tacet@some.service", "tacet-web.socket", "tacet-web.service"]
    done = machine.call("systemd-analyze", "verify", "--man=no", *units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    machine.run("systemd-sysusers", "/usr/lib/sysusers.d/tacet.conf")
    assert re.search(r"^tacet:", machine.path("/etc/passwd").read_text(), re.MULTILINE)
    machine.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/tacet.conf")
    assert machine.path("/etc/tacet").stat().st_mode & 0o777 == 0o755


def test_a_unit_is_active_when_its_first_generation_has_proved_itself(make: Callable[..., Service]) -> None:
    """Until then it is activating, and systemctl start waits."""

    def proved_after(seconds: float) -> None:
        service = make(healthy=duration(seconds))
        service.systemctl("start", "--no-block")
        wait_until(lambda: service.password() == "first", "the app answers")
        wait_until(lambda: service.show("StatusText").startswith("starting generation 1"), "the status tells", 2 * seconds)
        assert service.show("ActiveState") == "activating"
        began = time.monotonic()
        service.systemctl("start")
        assert time.monotonic() - began > 0.2 * seconds
        assert service.show("ActiveState") == "active"
        wait_until(lambda: service.show("StatusText") == "generation 1 is up", "the status tells")

    at_a_pace(proved_after, 1.5, 8, 30)


def test_a_start_may_take_longer_than_its_timeout_while_tacet_has_one(make: Callable[..., Service]) -> None:
    """EXTEND_TIMEOUT_USEC: the configuration knows better how long an app may boot."""

    def longer_than(seconds: float) -> None:
        service = make(healthy=duration(2.5 * seconds), drop_in=f"[Service]\nTimeoutStartSec={seconds:g}s\n")
        service.systemctl("start")
        assert service.show("ActiveState") == "active"

    at_a_pace(longer_than, 1, 4, 16)


def test_a_start_that_fails_is_a_failed_unit_with_the_status(make: Callable[..., Service]) -> None:
    """Wrong secrets: 65, and no restart."""
    service = make()
    service.write_document(b"not encrypted")
    assert service.machine.call("systemctl", "start", service.unit).returncode != 0
    wait_until(lambda: service.show("ActiveState") == "failed", "the unit has failed for good")
    assert service.show("ExecMainStatus") == "65"
    assert service.show("NRestarts") == "0"


def test_a_reload_brings_the_new_secret(machine: Machine, make: Callable[..., Service], reload_type: str) -> None:
    """With notify-reload `systemctl reload` returns when the rotation has ended; the main process stays what it was."""
    service = make(healthy="700ms", drop_in=notify_reload(machine, reload_type))
    service.systemctl("start")
    assert service.show("Type") == reload_type
    main = service.show("MainPID")
    for value in ("second", "third"):
        service.write_secrets(f"PASSWORD={value}\n")
        began = time.monotonic()
        service.systemctl("reload")
        if reload_type == "notify-reload":
            assert time.monotonic() - began > 0.5
            assert service.password() == value
            wait_until(lambda: re.fullmatch(r"generation \d is up", service.show("StatusText")), "the status tells")
        else:
            wait_until(lambda value=value: service.password() == value, "the app has the new secret")
            wait_until(lambda: service.show("ActiveState") == "active", "the reload has ended")
    assert service.show("MainPID") == main
    assert service.show("NRestarts") == "0"


def test_a_reload_of_broken_secrets_leaves_the_unit_active_and_says_why(
    machine: Machine, make: Callable[..., Service], reload_type: str
) -> None:
    """The app goes on with what it has."""
    service = make(drop_in=notify_reload(machine, reload_type))
    service.systemctl("start")
    service.write_document(b"not encrypted")
    service.systemctl("reload")
    wait_until(lambda: "not loaded" in service.show("StatusText"), "the status tells")
    wait_until(lambda: service.show("ActiveState") == "active", "the reload has ended")
    status = service.show("StatusText")
    assert status.startswith("generation 1 is up; secrets not loaded; nothing was changed: "), status
    assert service.name in status
    assert service.password() == "first"


def test_a_reload_that_goes_back_leaves_the_unit_active_and_says_so(
    machine: Machine, make: Callable[..., Service], reload_type: str
) -> None:
    """A generation that exits at boot: long before it has proved itself."""
    service = make(healthy="3s", drop_in=notify_reload(machine, reload_type))
    service.systemctl("start")
    service.write_secrets("PASSWORD=second\nMODE=exit\n")
    service.systemctl("reload")
    wait_until(lambda: "going back" in service.show("StatusText"), "the status tells")
    wait_until(lambda: service.show("ActiveState") == "active", "the reload has ended")
    wait_until(lambda: service.password() == "first", "the old secret is back")
    assert service.show("NRestarts") == "0"


def test_a_rotation_may_take_longer_than_the_timeout_of_a_start(
    machine: Machine, make: Callable[..., Service], reload_type: str
) -> None:
    """The same limit is a reload's; it is extended while the rotation runs."""

    def longer_than(seconds: float) -> None:
        drop_in = notify_reload(machine, reload_type) + f"\n[Service]\nTimeoutStartSec={seconds:g}s\n"
        service = make(healthy=duration(2.5 * seconds), drop_in=drop_in)
        service.systemctl("start")
        service.write_secrets("PASSWORD=second\n")
        service.systemctl("reload")
        wait_until(lambda: service.show("StatusText") == "generation 2 is up", "the rotation is done")
        wait_until(lambda: service.show("ActiveState") == "active", "the reload has ended")
        assert service.password() == "second"
        assert "timed out" not in service.journal()

    at_a_pace(longer_than, 1, 4, 16)


def test_a_stop_is_clean_and_leaves_nothing(make: Callable[..., Service]) -> None:
    """Inactive, not failed, and no process in the control group."""
    service = make()
    service.systemctl("start")
    wait_until(lambda: len(service.processes()) == 2, "tacet and the app are there")
    group = service.show("ControlGroup")
    service.systemctl("stop")
    assert service.show("ActiveState") == "inactive"
    assert service.show("Result") == "success"
    assert not service.machine.path(f"/sys/fs/cgroup{group}").exists()


def test_a_stop_may_take_longer_than_its_timeout_while_tacet_has_one(make: Callable[..., Service]) -> None:
    """stop_timeout of the configuration counts, not TimeoutStopSec of the unit; tacet kills in the end, not systemd."""

    def longer_than(seconds: float) -> None:
        stop = f"stop_timeout = {duration(2.5 * seconds)}"
        service = make(service=stop, drop_in=f"[Service]\nTimeoutStopSec={seconds:g}s\n")
        service.write_secrets("PASSWORD=first\nMODE=deaf\n")
        service.systemctl("start")
        began = time.monotonic()
        service.systemctl("stop")
        assert time.monotonic() - began > 2 * seconds
        assert "did not stop within stop_timeout" in service.journal()
        assert service.show("Result") != "timeout"

    at_a_pace(longer_than, 1, 4, 16)


def test_a_killed_supervisor_is_started_anew(make: Callable[..., Service]) -> None:
    """The app dies with it; the next one has the newest secret."""
    service = make(drop_in="[Service]\nRestartSec=50ms\n")
    service.systemctl("start")
    main, processes = service.show("MainPID"), service.processes()
    service.write_secrets("PASSWORD=second\n")
    service.machine.run("kill", "-KILL", main)
    wait_until(lambda: service.show("MainPID") not in ("0", main), "there is another main process")
    wait_until(lambda: service.show("ActiveState") == "active", "the unit is active again")
    assert service.password() == "second"
    assert not set(processes) & set(service.processes())
    assert service.show("NRestarts") == "1"


def test_a_supervisor_that_hangs_is_noticed_by_the_watchdog(make: Callable[..., Service]) -> None:
    """One that works is not, however long it idles."""

    def idles_longer_than(seconds: float) -> None:
        service = make(drop_in=f"[Service]\nWatchdogSec={seconds:g}s\nRestartSec=50ms\n")
        service.systemctl("start")
        main = service.show("MainPID")
        time.sleep(1.4 * seconds)
        assert (service.show("MainPID"), service.show("ActiveState")) == (main, "active")
        hangs(service, main)

    at_a_pace(idles_longer_than, 3, 12)


def hangs(service: Service, main: str) -> None:
    """It does nothing any more, and is replaced."""
    service.machine.run("kill", "-STOP", main)
    wait_until(lambda: service.show("MainPID") not in ("0", main), "the hung one was replaced")
    wait_until(lambda: service.show("ActiveState") == "active", "the unit is active again")
    assert "watchdog" in service.journal().lower()


def test_an_app_that_ends_decides_what_becomes_of_the_unit(make: Callable[..., Service]) -> None:
    """Status 0 is inactive, another one failed (and restarted where the unit says so)."""

    def crashes_after(seconds: float) -> None:
        service = make(drop_in="[Service]\nRestart=no\n")
        service.write_secrets(f"PASSWORD=first\nMODE=crash\nCRASH_MS={int(seconds * 1000)}\n")
        service.systemctl("start")
        wait_until(lambda: service.show("ActiveState") == "failed", "the unit has failed")
        assert service.show("Result") == "exit-code"

    at_a_pace(crashes_after, 0.6, 5, 20)


def test_the_app_sees_nothing_of_the_manager(make: Callable[..., Service]) -> None:
    """Neither its socket, whose messages would not be accepted, nor its watchdog."""
    service = make()
    service.systemctl("start")
    assert service.password() == "first"
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE"):
        assert service.ask(f"/env?{name}").strip() == "", name
    assert "/run/systemd" not in service.ask("/env?NOTIFY_SOCKET")
    assert "reception only permitted" not in service.journal()


DETACHING = """#!/bin/sh
setsid sh -c 'trap "" TERM; sleep 100000 &'
exec /usr/local/bin/server
"""


def sleeper(service: Service) -> int:
    """What the app above has left behind; 0 as long as that, or its control group, is not what it will be."""
    with contextlib.suppress(OSError):
        found = [pid for pid in service.processes() if Path(f"/proc/{pid}/comm").read_text() == "sleep\n"]
        return found[0] if len(found) == 1 else 0
    return 0


def test_nothing_escapes_its_tree_where_the_control_group_is_delegated(make: Callable[..., Service]) -> None:
    """A process in its own session, whose parent is gone and which ignores TERM, ends with the instance that started it."""
    service = make(service="kill_mode = tree\nremaining_timeout = 300ms", drop_in="[Service]\nDelegate=yes\n")
    path = service.machine.path(f"/etc/tacet/{service.name}.ini")
    path.write_text(path.read_text().replace("/usr/local/bin/server", "/usr/local/bin/detaching"))
    service.machine.write("/usr/local/bin/detaching", DETACHING, 0o755)
    service.systemctl("start")
    wait_until(lambda: service.password() == "first", "the app, which a shell script starts, serves")
    wait_until(lambda: sleeper(service), "it has left a process behind")
    first = sleeper(service)
    assert re.search(r"/tacet\.\d+\.\d+\n", Path(f"/proc/{first}/cgroup").read_text())
    service.write_secrets("PASSWORD=second\n")
    service.systemctl("reload")
    wait_until(lambda: service.password() == "second", "the new generation serves")
    wait_until(lambda: not Path(f"/proc/{first}").exists(), "what the old one has started is gone")
    wait_until(lambda: sleeper(service), "the new one has left a process behind")
    second = sleeper(service)
    service.systemctl("stop")
    wait_until(lambda: not Path(f"/proc/{second}").exists(), "nothing is left")
    assert service.show("Result") == "success"


SOCKET = """
[socket web]
listen = {address}
"""


def start_with_socket(make: Callable[..., Service], address: str, **more: str) -> Service:
    """A service with a declared socket that comes back some seconds after it was killed: so long one can see that it is down."""
    service = make(service="environment = ADDRESS=0", drop_in="[Service]\nRestartSec=5s\n", **more)
    path = service.machine.path(f"/etc/tacet/{service.name}.ini")
    path.write_text(path.read_text() + SOCKET.format(address=address.format(name=service.name)))
    service.systemctl("start")
    return service


def ask_by_tcp(machine: Machine, port: int) -> subprocess.Popen[str]:
    """Connect now, from inside the machine's network, and wait for the answer as long as it takes."""
    script = (
        "import socket; c = socket.create_connection(('127.0.0.1', %d), 60); print('connected', flush=True);"
        "c.sendall(b'GET /env?PASSWORD HTTP/1.0\\r\\n\\r\\n'); r = b''\n"
        "while p := c.recv(4096): r += p\n"
        "print(r.decode().split()[-1])"
    )
    return subprocess.Popen(
        ["nsenter", "--target", str(machine.pid), "--net", sys.executable, "-c", script % port],
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_and_wait_dead(service: Service) -> None:
    """kill -9 of the supervisor; returns when nothing of what ran then runs any more: on a slow machine the next one may run already."""
    old = set(service.processes())
    service.machine.run("kill", "-KILL", service.show("MainPID"))
    wait_until(lambda: not old.intersection(service.processes()), "all that ran has ended")


def test_who_connects_while_a_killed_supervisor_is_down_is_served_by_the_next(make: Callable[..., Service]) -> None:
    """FDSTORE: the socket and its queue stay with systemd."""
    service = start_with_socket(make, "/run/{name}.sock")
    wait_until(lambda: service.show("NFileDescriptorStore") == "1", "systemd keeps the socket")
    for number in (2, 3):
        service.write_secrets(f"PASSWORD=value-{number}\n")
        kill_and_wait_dead(service)
        assert service.password() == f"value-{number}"
        wait_until(lambda: service.show("ActiveState") == "active", "the unit is active again")
        wait_until(lambda: service.show("NFileDescriptorStore") == "1", "systemd keeps the socket")


@pytest.mark.parametrize("strategy", ["restart", "handoff"])
def test_a_socket_that_the_app_binds_itself_outlives_a_killed_supervisor_too(make: Callable[..., Service], strategy: str) -> None:
    """Who connects meanwhile is served when the app binds again; systemd keeps one socket all the time."""
    service = make(
        service="environment = ADDRESS=127.0.0.1:8083\nadopt = 8083",
        rollout=f"strategy = {strategy}",
        drop_in="[Service]\nRestartSec=1s\n",
    )
    service.systemctl("start")
    wait_until(lambda: service.show("NFileDescriptorStore") == "1", "systemd keeps the socket")
    for number in (2, 3):
        service.write_secrets(f"PASSWORD=value-{number}\n")
        kill_and_wait_dead(service)
        clients = [ask_by_tcp(service.machine, 8083) for _ in range(3)]
        for client in clients:
            assert client.communicate(timeout=60)[0] == f"connected\nvalue-{number}\n"
        wait_until(lambda: service.show("ActiveState") == "active", "the unit is active again")
        wait_until(lambda: service.show("NFileDescriptorStore") == "1", "systemd keeps one socket")


def test_after_a_handoff_the_kept_socket_is_that_of_the_generation_that_serves(make: Callable[..., Service]) -> None:
    """Over tcp, where every generation has its own."""
    service = start_with_socket(make, "127.0.0.1:8081", rollout="strategy = handoff")
    for number in (2, 3):
        service.write_secrets(f"PASSWORD=value-{number}\n")
        service.systemctl("reload")
        wait_until(lambda: service.show("StatusText") == f"generation {number} is up", "the handoff is done")
    wait_until(lambda: service.show("NFileDescriptorStore") == "1", "systemd keeps one socket")
    service.write_secrets("PASSWORD=after\n")
    kill_and_wait_dead(service)
    clients = [ask_by_tcp(service.machine, 8081) for _ in range(5)]
    for client in clients:
        assert client.communicate(timeout=120)[0] == "connected\nafter\n"


def test_a_restart_of_the_unit_keeps_the_queue_too(make: Callable[..., Service]) -> None:
    """systemctl restart, as for an upgrade of tacet itself."""
    service = start_with_socket(make, "127.0.0.1:8082")
    service.write_secrets("PASSWORD=second\n")
    running = service.machine.start("systemctl", "restart", service.unit)
    answers = []
    while running.poll() is None:
        answers.append(ask_by_tcp(service.machine, 8082).communicate(timeout=120)[0])
    assert set(answers) <= {"connected\nfirst\n", "connected\nsecond\n"}
    assert ask_by_tcp(service.machine, 8082).communicate(timeout=120)[0] == "connected\nsecond\n"


def test_a_socket_unit_starts_the_service_at_the_first_connection(machine: Machine, make: Callable[..., Service]) -> None:
    """The released pair, as a user made for its time, without any privilege."""
    examples = machine.path("/usr/share/doc/tacet/examples/systemd")
    for file in ("tacet-web.socket", "tacet-web.service"):
        machine.write(f"/etc/systemd/system/{file}", (examples / file).read_bytes())
    service = make(service="environment = ADDRESS=0", unit="tacet-web.service")
    configuration = machine.path(f"/etc/tacet/{service.name}.ini").read_text()
    machine.write("/etc/tacet/web.ini", configuration + SOCKET.format(address="8080"))
    machine.write("/etc/tacet/web.key", service.vault.identity.read_bytes(), 0o600)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "tacet-web.socket")
    assert service.show("ActiveState") == "inactive"
    assert ask_by_tcp(machine, 8080).communicate(timeout=120)[0] == "connected\nfirst\n"
    wait_until(lambda: service.show("ActiveState") == "active", "the service is active")
    uids = {Path(f"/proc/{pid}").stat().st_uid for pid in service.processes()}
    assert len(uids) == 1 and uids != {0}
    service.write_secrets("PASSWORD=second\n")
    service.systemctl("reload")
    wait_until(lambda: service.show("StatusText") == "generation 2 is up", "the rotation is done")
    assert ask_by_tcp(machine, 8080).communicate(timeout=120)[0] == "connected\nsecond\n"
    assert service.show("NFileDescriptorStore") == "0"
    service.systemctl("stop")
    service.write_secrets("PASSWORD=third\n")
    assert ask_by_tcp(machine, 8080).communicate(timeout=120)[0] == "connected\nthird\n"
    machine.run("systemctl", "stop", "tacet-web.socket", "tacet-web.service")
