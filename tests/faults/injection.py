"""One failing call at a time in a supervisor that runs, and a service that is rotated under it."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support import TACET_STATIC, TOOLS, Running, clean_environment, descendants_of, wait_until

INJECT = str(TOOLS / "inject")
SERVER = str(TOOLS / "server")
PATIENCE_SECONDS = 30.0

# What the manual page of the call names for want of something, or another end that has gone. Calls that are not here are not injected.
ERRORS = {
    "accept4": "EMFILE",
    "bind": "EADDRINUSE",
    "clone": "EAGAIN",
    "clone3": "EAGAIN",
    "connect": "EAGAIN",
    "epoll_ctl": "ENOMEM",
    "fcntl": "EINVAL",
    "fork": "ENOMEM",
    "fstat": "ENOMEM",
    "getdents64": "ENOMEM",
    "getsockname": "ENOBUFS",
    "getsockopt": "ENOBUFS",
    "inotify_add_watch": "ENOSPC",
    "inotify_init1": "EMFILE",
    "inotify_rm_watch": "EINVAL",
    "ioctl": "EINTR",
    "kill": "EPERM",
    "listen": "EADDRINUSE",
    "lstat": "ENOMEM",
    "memfd_create": "ENFILE",
    "memfd_secret": "EMFILE",
    "mkdir": "ENOMEM",
    "mkdirat": "ENOMEM",
    "mmap": "ENOMEM",
    "newfstatat": "ENOMEM",
    "open": "ENFILE",
    "openat": "EMFILE",
    "pidfd_getfd": "EMFILE",
    "pidfd_open": "ENOMEM",
    "pidfd_send_signal": "EPERM",
    "pipe2": "ENFILE",
    "prctl": "EPERM",
    "pread64": "EPERM",
    "readlink": "ENOMEM",
    "readlinkat": "ENOMEM",
    "recvfrom": "ENOMEM",
    "recvmsg": "ENOMEM",
    "sendmsg": "ENOBUFS",
    "sendto": "EAGAIN",
    "setpgid": "EPERM",
    "setsockopt": "ENOMEM",
    "shutdown": "ENOTCONN",
    "socket": "EMFILE",
    "socketpair": "ENFILE",
    "stat": "ENOMEM",
    "timerfd_create": "EMFILE",
    "timerfd_settime": "EINVAL",
    "unlinkat": "EBUSY",
    "vfork": "EAGAIN",
}

# How musl, with which the static program is made, describes them.
MUSL = {
    "EADDRINUSE": "Address in use",
    "EAGAIN": "Resource temporarily unavailable",
    "EBUSY": "Resource busy",
    "EMFILE": "No file descriptors available",
    "ENFILE": "Too many open files in system",
    "ENOBUFS": "No buffer space available",
    "ENOMEM": "Out of memory",
    "ENOSPC": "No space left on device",
    "ENOTCONN": "Socket not connected",
}


class Injector:
    """Calls of one process fail, by ptrace(2); its children are left alone. Ends with the block, and the process goes on."""

    def __init__(self, pid: int) -> None:
        self.process = subprocess.Popen(
            [INJECT, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(), text=True
        )
        assert self.process.stdout.readline() == "attached\n"

    def __enter__(self) -> Injector:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def ask(self, command: str) -> str:
        """Say something; return the answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def count(self) -> None:
        """Begin to count calls."""
        assert self.ask("count") == "counting"

    def seen(self) -> dict[str, int]:
        """What was called since, and how often."""
        return {name: int(times) for name, times in (word.split("=") for word in self.ask("seen").split())}

    def fail(self, call: str, error: str, place: int) -> None:
        """Let one call fail from now on."""
        assert self.ask(f"fail {call} {getattr(errno, error)} {place}") == "armed"

    def calm(self) -> bool:
        """No more; say whether it came to it."""
        return self.ask("calm") == "hit"


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def descriptors_of(pid: int) -> int:
    """How many it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def reasons_of(error: str) -> tuple[str, ...]:
    """How the C libraries describe an error."""
    return os.strerror(getattr(errno, error)), MUSL.get(error, error)


END = re.compile(r"rotation to generation \d+ (done|halted)|(back) on generation|secrets (not) loaded; nothing")


@dataclass
class Service:
    """A server under `tacet run` whose secret is replaced again and again."""

    folder: Path
    options: Sequence[str]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    trigger: Callable[[Service], object] = lambda service: service.running.signal(signal.SIGHUP)
    processes: int = 1  # of a generation
    number: int = 0
    value: str = ""
    lines: list[str] = field(default_factory=list)

    def __enter__(self) -> Service:
        self.write()
        command = [TACET_STATIC, "run", "--log-level", "info", "-s", f"env-file:{self.source}", *self.options]
        command += ["--strategy", "handoff", "--min-healthy", "0", "--queue-quiet", "5ms", "--stop-timeout", "1s", "--", SERVER]
        self.running = Running([*self.prefix, *command], environment=self.environment)
        self.running.line_with("generation 1 is up")
        self.value = self.wanted
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            assert kind or self.end() == 0
        finally:
            self.running.destroy()

    def end(self) -> int:
        """Stop it as a user would; return its exit status."""
        self.running.signal(signal.SIGTERM)
        self.running.rest(PATIENCE_SECONDS)
        return self.running.wait()

    @property
    def source(self) -> Path:
        """The file of the secret."""
        return self.folder / "secrets.env"

    @property
    def wanted(self) -> str:
        """The newest value."""
        return f"value-{self.number}"

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.running.pid

    def write(self) -> None:
        """A new value, put in place by rename."""
        self.number += 1
        new = self.folder / "new"
        new.write_text(f"PASSWORD={self.wanted}\n")
        new.chmod(0o600)
        new.rename(self.source)

    def rotate(self) -> str:
        """Ask for it and wait for its end. Returns how it ended; the lines until then are in `lines`."""
        self.write()
        self.trigger(self)
        self.lines = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.lines.append(self.running.line(max(0.1, deadline - time.monotonic())))
            end = END.search(self.lines[-1])
            if end:
                if end[1] == "done":
                    self.value = self.wanted
                return next(filter(None, end.groups()))

    def ask(self) -> str:
        """The value of the one that answers."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as client:
            client.sendall(b"GET /env?PASSWORD HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := client.recv(4096):
                answer += chunk
        return answer.decode().split("\r\n\r\n")[1].strip()

    def footprint(self) -> tuple[int, int]:
        """Descriptors and processes."""
        return descriptors_of(self.pid), len(descendants_of(self.pid))

    def footprint_calm(self) -> tuple[int, int]:
        """The same when nothing of a former rotation is left."""
        wait_until(lambda: self.footprint()[1] == self.processes, f"{self.processes} processes of the app", PATIENCE_SECONDS)
        seen = []
        for _ in range(10):
            seen.append(self.footprint()[0])
            time.sleep(0.02)
        return min(seen), self.processes

    def settle(self, footprint: tuple[int, int]) -> None:
        """Wait until there is no more than there was."""
        wait_until(
            lambda: all(now <= then for now, then in zip(self.footprint(), footprint, strict=True)),
            f"descriptors and processes {self.footprint()} become {footprint}",
            PATIENCE_SECONDS,
        )


def problem_of(service: Service, injector: Injector, footprint: tuple[int, int], fault: tuple[str, str, int]) -> str:
    """Rotate once with one failing call. Returns what was wrong, or ""; "missed" when there was no such call."""
    call, error, place = fault
    try:
        injector.fail(call, error, place)
        end = service.rotate()
        if not injector.calm():
            return "missed" if end == "done" else f"ended with '{end}' without a fault: {service.lines}"
        answer = service.ask()
        if answer != service.value:
            return f"'{end}', and {answer} answers instead of {service.value}: {service.lines}"
        if end != "done" and not any(reason in line for line in service.lines for reason in reasons_of(error)):
            return f"'{end}' without the reason: {service.lines}"
        service.settle(footprint)
        if end != "done" and service.rotate() != "done":
            return f"'{end}', and the next rotation failed as well: {service.lines}"
    except (AssertionError, OSError) as wrong:
        return f"{wrong!r:.400} (lines: {service.lines})"
    return ""
