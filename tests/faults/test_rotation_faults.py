"""Every system call that a rotation needs fails once, at every place, while a server is handed over.

The supervisor lives, the old generation serves or the new one does, the reason is told, nothing is left behind, and the next
rotation works.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from injection import ERRORS, PATIENCE_SECONDS, Injector, Service, free_port, problem_of
from manager_socket import Manager
from support import TACET_STATIC, clean_environment, wait_until
from test_tree import needs_cgroup, own_cgroup  # noqa: F401

# The accept queue is asked again and again, and every process is looked up in /proc: such places are all alike.
PLACES_MAX = 12


def faults_of(service: Service, injector: Injector, omit: frozenset[str]) -> dict[str, int]:
    """The calls of a rotation, and how many of each."""
    for _ in range(2):
        assert service.rotate() == "done", service.lines
        assert service.ask() == service.value
    injector.count()
    assert service.rotate() == "done", service.lines
    only = os.environ.get("TACET_FAULT_CALL", "")  # for whoever looks for one
    calls = {call: times for call, times in injector.seen().items() if call in ERRORS and call not in omit}
    return {call: min(times, PLACES_MAX) for call, times in calls.items() if only in ("", call)}


def check(service: Service, omit: frozenset[str] = frozenset()) -> None:
    """Let every call of a rotation fail once."""
    problems: list[str] = []
    with Injector(service.pid) as injector:
        calls = faults_of(service, injector, omit)
        footprint = service.footprint_calm()
        for call, times in calls.items():
            for place in range(1, times + 1):
                problem = problem_of(service, injector, footprint, (call, ERRORS[call], place))
                if problem == "missed":
                    break
                if problem:
                    problems.append(f"{call} #{place} ({ERRORS[call]}): {problem}")
                    recover(service, problems)
    assert not problems, "\n".join(problems)

def recover(service: Service, problems: list[str]) -> None:
    """After a problem go on, unless it lasts."""
    try:
        is_well = service.rotate() == "done" and service.ask() == service.value
    except (AssertionError, OSError):
        is_well = False
    assert is_well, "\n".join([*problems, f"and nothing works after it: {service.lines}"])


def listen(port: int) -> list[str]:
    """A declared socket."""
    return ["--listen", f"http=127.0.0.1:{port}"]


def test_a_declared_socket(tmp_path: Path) -> None:
    """The first accept is the sign of readiness."""
    port = free_port()
    with Service(tmp_path, listen(port), port) as service:
        check(service)


def test_an_adopted_socket(tmp_path: Path) -> None:
    """The app's own bind and listen are answered."""
    port = free_port()
    with Service(tmp_path, ["--adopt", str(port)], port, {"ADDRESS": f"127.0.0.1:{port}"}) as service:
        check(service)


# What those two have shown is not shown again.
SHOWN = frozenset({"bind", "getsockopt", "listen", "setsockopt", "socketpair", "open", "getsockname"})


@pytest.mark.parametrize("words", ["--ready notify", "--ready fd", "--health http:/", "--health exec:true"])
def test_other_signs_of_readiness(words: str, tmp_path: Path) -> None:
    """A message, a descriptor, an answer, a command that ends well."""
    port = free_port()
    environment = {"READY_FD": "4"} if "fd" in words else {}
    more = ["--ready-fd", "4"] if "fd" in words else []
    with Service(tmp_path, [*listen(port), *words.split(), *more], port, environment) as service:
        check(service, SHOWN)


def test_a_rotation_by_the_control_socket(tmp_path: Path) -> None:
    """And a question about the state while one call fails: whatever the client is told, the supervisor goes on."""
    port = free_port()
    path = str(tmp_path / "control")

    def rotate(_: Service) -> None:
        """Ask until it is taken: a client may be turned away."""
        subprocess.run([TACET_STATIC, "status", "--control", path], env=clean_environment(), capture_output=True, timeout=20)
        for _ in range(3):
            command = [TACET_STATIC, "rotate", "--control", path]
            if subprocess.run(command, env=clean_environment(), capture_output=True, timeout=20).returncode == 0:
                return

    with Service(tmp_path, [*listen(port), "--control", path], port, trigger=rotate) as service:
        check(service, SHOWN - {"getsockopt"})


def test_a_rotation_by_a_changed_file(tmp_path: Path) -> None:
    """Seen by inotify. What cannot be watched is told, and watched again from the next load on."""
    port = free_port()

    def trigger(service: Service) -> None:
        """The file has changed."""
        if any("cannot watch" in line for line in service.lines):
            service.running.signal(signal.SIGHUP)

    with Service(tmp_path, [*listen(port), "--watch", "--watch-delay", "1ms"], port, trigger=trigger) as service:
        check(service, SHOWN)


@contextmanager
def manager_at(path: Path) -> Iterator[Manager]:
    """A service manager that takes whatever comes and keeps nothing."""
    manager = Manager(str(path))
    is_over = threading.Event()

    def take() -> None:
        while not is_over.is_set():
            try:
                manager.receive(0.05)
            except AssertionError:
                pass
            while manager.descriptors:
                os.close(manager.descriptors.pop())

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield manager
    finally:
        is_over.set()
        thread.join()
        manager.close()


def test_a_service_manager_that_is_told_and_keeps_sockets(tmp_path: Path) -> None:
    """READY, RELOADING, STATUS and FDSTORE: in the end it knows of every rotation."""
    port = free_port()
    with (
        manager_at(tmp_path / "notify") as manager,
        Service(tmp_path, listen(port), port, {"NOTIFY_SOCKET": manager.address}) as service,
    ):
        check(service, SHOWN - {"getsockopt"})
        assert service.rotate() == "done"
        last = f"generation {service.lines[-1].split()[4]} is up"

        def status() -> str:
            """The newest one."""
            return next((message["STATUS"] for message in reversed(manager.messages) if "STATUS" in message), "")

        wait_until(lambda: status() == last, f"the last status is {last}", PATIENCE_SECONDS)
        assert manager.count("FDSTORE") > 1


@needs_cgroup
def test_what_an_instance_started_ends_with_it(own_cgroup: list[str], tmp_path: Path) -> None:  # noqa: F811
    """kill_mode = tree; the server's helper ignores TERM."""
    port = free_port()
    options = [*listen(port), "--kill-mode", "tree", "--remaining-timeout", "20ms"]
    with Service(tmp_path, options, port, {"MODE": "helper"}, prefix=own_cgroup, processes=2) as service:
        check(service, SHOWN - {"open"} | {"fcntl"})
