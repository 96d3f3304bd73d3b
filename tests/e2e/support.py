"""What the end-to-end tests share: starting things as PID 1 or not, watching them through /proc, and ending them by pid."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


def reachable(path: str) -> str:
    """Return a program's path, or that of a copy when other users cannot reach it: a clone below /root, for example."""
    if not os.path.exists(path) or all(parent.stat().st_mode & 0o001 for parent in Path(path).resolve().parents):
        return path
    folder = tempfile.mkdtemp(prefix="tacet-test-", dir="/tmp")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.chmod(folder, 0o755)
    return shutil.copy(path, folder)


ROOT = Path(__file__).resolve().parent.parent.parent
TACET = reachable(os.environ.get("TACET", str(ROOT / "build" / "tacet")))
TACET_STATIC = reachable(os.environ.get("TACET_STATIC", str(ROOT / "build" / "tacet-static")))
TOOLS = ROOT / "build" / "tests" / "tools"
PROBE = reachable(str(TOOLS / "probe"))
FIRE = str(TOOLS / "fire")
FLOOR = str(TOOLS / "floor")

# How long something that must happen is waited for. It costs nothing when it happens, and a machine may be slow or stand still.
PATIENCE_SECONDS = 30.0
NAMESPACE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--"]


# Every started process carries this variable, so that whatever a failed test leaves behind can be found and ended.
MARK = "TACET_TEST_RUN"
MARK_VALUE = f"{os.getpid()}.{time.monotonic_ns()}"


def end_leftovers() -> None:
    """Kill, by pid, the processes of this run that are still there."""
    mark = f"{MARK}={MARK_VALUE}".encode()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                kill_quietly(int(entry.name))


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a small environment, so that no variable of the caller changes what a test sees."""
    base = {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", MARK: MARK_VALUE}
    return base | dict(extra or {})


def wait_until(claim: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a claim is true; fail with `what` when it never is."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.005)


def read_status(pid: int) -> dict[str, str]:
    """Read /proc/PID/status; empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def state_of(pid: int) -> str:
    """Return the one-letter process state, or "" when it is gone."""
    return read_status(pid).get("State", "")[:1]


def is_alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not (orphans outside a PID namespace may be reaped late)."""
    return state_of(pid) not in ("", "Z", "X")


def switches_of(pid: int) -> int:
    """Return how often a process went to sleep by itself."""
    return int(read_status(pid)["voluntary_ctxt_switches"])


def wait_asleep(pid: int, seconds: float = 0.7) -> None:
    """Wait until a process sleeps through such a time; one that wakes up more often never does.

    What a slow machine still had to do, and a page that had to be read, may wake it in the first windows.
    """

    def sleeps() -> bool:
        before = switches_of(pid)
        time.sleep(seconds)
        return switches_of(pid) == before

    wait_until(sleeps, f"process {pid} sleeps for {seconds:g} s")


def children_of(pid: int) -> list[int]:
    """List the direct children of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants_of(pid: int) -> list[int]:
    """List all descendants of a process, nearest first."""
    found = children_of(pid)
    for child in found:
        found.extend(grandchild for grandchild in children_of(child) if grandchild not in found)
    return found


def name_of(pid: int) -> str:
    """Return the command name of a process."""
    return read_status(pid).get("Name", "")


def command_line_of(pid: int) -> bytes:
    """Return the words a process was started with; empty when it is dead, gone, or just becoming another program."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def kill_quietly(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Running:
    """One started command: its output line by line, its supervisor's pid, and a certain end."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        pid1: bool = False,
        environment: Mapping[str, str] | None = None,
        stderr: int | None = None,
        **options: object,
    ) -> None:
        self.is_pid1 = pid1
        self.buffer = b""
        self.errors = b""
        self.process = subprocess.Popen(
            [*(NAMESPACE if pid1 else []), *command],
            env=clean_environment(environment),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if stderr is None else stderr,
            **options,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    def destroy(self) -> None:
        """End the command and everything below it."""
        family = descendants_of(self.process.pid) if self.process.poll() is None else []
        for pid in [self.process.pid, *family]:
            if pid != self.process.pid or self.process.poll() is None:
                kill_quietly(pid)
        self.process.wait(PATIENCE_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    @property
    def pid(self) -> int:
        """The supervisor's pid as this process sees it."""
        if not self.is_pid1:
            return self.process.pid
        found: list[int] = []
        wait_until(
            lambda: found.extend(child for child in children_of(self.process.pid) if name_of(child) not in ("", "unshare"))
            or found,
            "PID 1 has been started",
        )
        return found[0]

    @property
    def child(self) -> int:
        """The pid of the supervised program: the oldest child that has become one.

        A loader may be older: the first one is still ending when the program is up already, and a program that is restarted during
        a load is younger than it. What the supervisor forks for itself has its command line; what has died has none.
        """
        supervisor = self.pid
        found: list[int] = []

        def has_program() -> bool:
            others = (b"", command_line_of(supervisor))
            found.extend(pid for pid in children_of(supervisor) if command_line_of(pid) not in others)
            return bool(found)

        wait_until(has_program, "the supervisor has a program")
        return found[0]

    def line(self, seconds: float = PATIENCE_SECONDS) -> str:
        """Return the next line of output; fail when none comes in time or the output ended."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"no line within {seconds:g} s; so far: {self.buffer!r}")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise AssertionError(f"the output ended; so far: {self.buffer!r}")
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode(errors="replace")

    def line_with(self, pattern: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Return the next line of output in which `pattern` is found."""
        deadline = time.monotonic() + seconds
        seen = []
        while deadline > time.monotonic():
            try:
                line = self.line(max(0.01, deadline - time.monotonic()))
            except AssertionError as error:
                raise AssertionError(f"waited for /{pattern}/: {error}; lines before: {seen[-20:]}") from None
            if re.search(pattern, line):
                return line
            seen.append(line)
        raise AssertionError(f"no line with /{pattern}/; lines: {seen[-20:]}")

    def lines_with(self, *patterns: str, seconds: float = PATIENCE_SECONDS) -> list[str]:
        """Return the next line for each pattern, in whatever order two processes wrote them; a line counts once."""
        found: dict[str, str] = {}
        while len(found) < len(patterns):
            missing = [pattern for pattern in patterns if pattern not in found]
            line = self.line_with("|".join(missing), seconds)
            found[next(pattern for pattern in missing if re.search(pattern, line))] = line
        return [found[pattern] for pattern in patterns]

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """Stop the supervisor, as a debugger would, and wait until it stands still."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: state_of(self.pid) == "T", "the supervisor stands still")

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the end; return the exit status, 128+N when it died of signal N."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            family = [f"{pid} {name_of(pid)} {state_of(pid)}" for pid in descendants_of(self.process.pid)]
            raise AssertionError(f"did not end within {seconds:g} s; alive: {family}") from None
        return status if status >= 0 else 128 - status

    def rest(self, seconds: float = PATIENCE_SECONDS) -> str:
        """Return all output up to its end."""
        deadline = time.monotonic() + seconds
        while select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                break
            self.buffer += chunk
        rest, self.buffer = self.buffer, b""
        return rest.decode(errors="replace")


def run(
    command: Sequence[str],
    *,
    pid1: bool = False,
    seconds: float = PATIENCE_SECONDS,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    **options: object,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return status and text; a status below 0 is given as 128+N."""
    source = {"input": stdin.decode()} if stdin is not None else {"stdin": options.pop("stdin_fd", subprocess.DEVNULL)}
    done = subprocess.run(
        [*(NAMESPACE if pid1 else []), *command],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        **source,
        **options,
    )
    if done.returncode < 0:
        done.returncode = 128 - done.returncode
    return done


def parse_state(text: str) -> dict[str, str]:
    """Turn the output of `probe state` into a dictionary."""
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def mask_of(*numbers: int) -> int:
    """Return a signal mask as the kernel prints it."""
    return sum(1 << (number - 1) for number in numbers)


RESERVED: list[socket.socket] = []


def is_free(port: int) -> bool:
    """Say whether a port can be bound now, by TCP and by UDP, at any address."""
    families = [(socket.AF_INET, "0.0.0.0"), *([(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [])]
    for family, host in families:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(family, kind) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    probe.bind((host, port))
                except OSError:
                    return False
    return True


def free_port(*, privileged: bool = False) -> int:
    """Return a port that nobody has and that no other test gets while this process lives.

    It lies below those that the kernel gives to clients and to bind(0), or among those that only root may bind. The reservation is an abstract socket of that name: it
    belongs to the network namespace, as ports do, so that every run of tests on this machine sees it, and it ends by itself.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first, count = (600, 400) if privileged else (10000, low - 10000) if low > 11000 else (2000, 60000)
    for _ in range(1000):
        port = first + int.from_bytes(os.urandom(4), "big") % count
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0tacet-test-port-{port}")
        except OSError:
            holder.close()
            continue
        RESERVED.append(holder)
        if is_free(port):
            return port
    raise AssertionError("no port is free")


def queued_at(port: int) -> int:
    """How many connections stand in the queues of the sockets that listen on a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A")


@contextlib.contextmanager
def file_with(path: Path, text: str, mode: int = 0o600) -> Iterator[Path]:
    """Make a file for the time of a block."""
    path.write_text(text)
    path.chmod(mode)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
