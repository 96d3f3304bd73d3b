"""Every system call of the supervisor fails once, at every place: no hang, no leak, no silence.

strace injects the error into the supervisor alone (not into its children). The static program is used: its calls are its own and not
those of a dynamic linker. A start may fail, with a message and a status of its own; what has started must not die of it.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import PROBE, TACET_STATIC, Running, children_of, is_alive, kill_quietly, name_of, run, wait_until

PLACES_MAX = 6
CANARY = "canary-of-the-fault-tests"

# The error that the manual page of the call names for want of something; calls that are not here are not injected.
ERRORS = {
    "bind": "EADDRINUSE",
    "clone": "EAGAIN",
    "close": "EIO",
    "connect": "ECONNREFUSED",
    "dup": "EMFILE",
    "dup2": "EBUSY",
    "dup3": "EBUSY",
    "epoll_create1": "EMFILE",
    "epoll_ctl": "ENOMEM",
    "epoll_pwait": "EINTR",
    "epoll_wait": "EINTR",
    "eventfd2": "EMFILE",
    "fcntl": "EINVAL",
    "fork": "EAGAIN",
    "fstat": "EIO",
    "ftruncate": "EIO",
    "getrandom": "EINTR",
    "inotify_init1": "EMFILE",
    "ioctl": "ENOTTY",
    "madvise": "EINVAL",
    "memfd_create": "EMFILE",
    "memfd_secret": "ENOSYS",
    "mlock": "ENOMEM",
    "mlock2": "ENOMEM",
    "mmap": "ENOMEM",
    "mprotect": "ENOMEM",
    "open": "EMFILE",
    "openat": "EMFILE",
    "pidfd_open": "EMFILE",
    "pidfd_send_signal": "EPERM",
    "pipe2": "EMFILE",
    "poll": "EINTR",
    "ppoll": "EINTR",
    "prctl": "EPERM",
    "prlimit64": "EPERM",
    "read": "EINTR",
    "readv": "EINTR",
    "recvmsg": "EINTR",
    "sendmsg": "EINTR",
    "setpgid": "EPERM",
    "setrlimit": "EPERM",
    "signalfd4": "EMFILE",
    "socket": "EMFILE",
    "socketpair": "EMFILE",
    "timerfd_create": "EMFILE",
    "timerfd_settime": "EINVAL",
    "vfork": "EAGAIN",
    "wait4": "EINTR",
    "waitid": "EINTR",
    "write": "EIO",
    "writev": "EIO",
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """One secret."""
    return vault_make(tmp_path_factory.mktemp("vault"), f"PASSWORD={CANARY}\n")


def forms(vault: Vault) -> dict[str, list[str]]:
    """What is started: a plain init, and a run with secrets."""
    return {
        "plain": [TACET_STATIC, "--", PROBE, "wait"],
        "secrets": [TACET_STATIC, "run", *vault.options, "--", PROBE, "wait"],
    }


def counted_calls(command: list[str], trace: Path) -> Counter[str]:
    """Run start, SIGTERM and end without a fault; count the supervisor's system calls."""
    with Running(["strace", "-qq", "-o", str(trace), *command]) as running:
        running.line_with("^ready")
        os.kill(supervisor_under(running.process.pid), signal.SIGTERM)
        assert running.wait() == 143
    return Counter(match[1] for match in re.finditer(r"^(\w+)\(", trace.read_text(), re.MULTILINE))


def supervisor_under(tracer: int) -> int:
    """The supervisor is strace's child."""
    wait_until(lambda: any(name_of(child).startswith("tacet") for child in children_of(tracer)), "the supervisor runs")
    return next(child for child in children_of(tracer) if name_of(child).startswith("tacet"))


def reasons_of(error: str) -> tuple[str, ...]:
    """How glibc and musl describe an error."""
    musl = {"EMFILE": "No file descriptors available", "ENOMEM": "Out of memory", "EIO": "I/O error"}
    return os.strerror(getattr(errno, error)), musl.get(error, error)


def try_with_fault(command: list[str], call: str, error: str, place: str) -> str:
    """Start with one fault; return what was wrong, or "" when it was handled."""
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={place}"]
    with Running([*inject, *command]) as running:
        lines = [""]
        try:
            while not lines[-1].startswith("ready"):
                lines.append(running.line())
                assert CANARY not in lines[-1]
            os.kill(supervisor_under(running.process.pid), signal.SIGTERM)
            status = running.wait()
            return "" if status == 143 else f"started, then ended with {status} instead of 143"
        except AssertionError as problem:
            if "output ended" not in str(problem):
                return f"hangs: {str(problem)[:200]}"
            status = running.wait()
            output = "\n".join(lines) + running.buffer.decode()
            if CANARY in output:
                return "a secret on the log"
            if status not in (66, 77, 78, 125, 126, 127):
                return f"ended with {status}: {output[:200]}"
            return "" if any(reason in output for reason in reasons_of(error)) else f"ended with {status} without naming the reason: {output[:200]}"


@pytest.mark.parametrize("form", ["plain", "secrets"])
def test_one_failing_call_at_every_place(form: str, vault: Vault, tmp_path: Path) -> None:
    """Each call, its first few occurrences one after the other."""
    command = forms(vault)[form]
    calls = counted_calls(command, tmp_path / "trace")
    assert calls, "strace saw something"
    problems = []
    for call, count in sorted(calls.items()):
        if call not in ERRORS:
            continue
        for place in range(1, min(count, PLACES_MAX) + 1):
            problem = try_with_fault(command, call, ERRORS[call], str(place))
            if problem:
                problems.append(f"{call} #{place} ({ERRORS[call]}): {problem}")
    assert not problems, "\n".join(problems)


INTERRUPTIBLE = ("epoll_pwait", "epoll_wait", "poll", "ppoll", "read", "readv", "recvmsg", "wait4", "waitid", "write", "writev")


def test_interrupted_calls_are_harmless_however_often(vault: Vault, tmp_path: Path) -> None:
    """EINTR at every second call of a kind, for each kind that the supervisor uses."""
    command = forms(vault)["secrets"]
    used = sorted(set(counted_calls(command, tmp_path / "trace")) & set(INTERRUPTIBLE))
    assert len(used) >= 3
    problems = {call: try_with_fault(command, call, "EINTR", "1+2") for call in used}
    assert not any(problems.values()), problems


LASTING = [
    "clone,vfork,fork,clone3:EAGAIN",
    "memfd_create:EMFILE",
    "memfd_secret:EMFILE",
    "socketpair,pipe2:EMFILE",
    "openat,open:ENFILE",
    "mmap:ENOMEM",
    "epoll_ctl:ENOMEM",
    "pidfd_open:EMFILE",
    "write,writev:EIO",
    "read:EIO",
    "recvmsg:EIO",
    "getrandom:ENOSYS",
    "prctl:EPERM",
    "setpgid:EPERM",
    "kill,pidfd_send_signal:EPERM",
]


@pytest.mark.parametrize("fault", LASTING)
def test_what_has_started_survives_a_lasting_fault_and_recovers(fault: str, tmp_path: Path) -> None:
    """While the fault lasts a rotation is asked for and the program dies; afterwards a rotation works."""
    calls, error = fault.split(":")
    vault = vault_make(tmp_path / "vault", "PASSWORD=first\n")
    options = ["--restart", "always", "--restart-delay", "20ms", "--restart-delay-max", "100ms", "--restart-limit", "0"]
    show = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']
    command = [TACET_STATIC, "run", *vault.options, "--min-healthy", "50ms", *options, "--", *show]
    with Running(command) as running:
        running.line_with("^value:first")
        program = running.child
        tracer = subprocess.Popen(
            ["strace", "-qq", "-o", "/dev/null", "-p", str(running.pid)]
            + ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when=1+"],
            stderr=subprocess.PIPE,
        )
        try:
            wait_until(lambda: tracer_of(running.pid) != 0, "strace is attached")
            vault.write("PASSWORD=second\n")
            running.signal(signal.SIGHUP)
            time.sleep(0.3)
            kill_quietly(program)
            time.sleep(0.3)
            assert running.process.poll() is None, "the supervisor survives"
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=60)
        assert running.process.poll() is None, "the supervisor survives"
        vault.write("PASSWORD=third\n")
        running.signal(signal.SIGHUP)
        running.line_with("^value:third$")
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


def tracer_of(pid: int) -> int:
    """Who traces a process; 0 for nobody."""
    match = re.search(r"^TracerPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) if match else 0


def test_without_descriptors_the_supervisor_goes_on(tmp_path: Path) -> None:
    """RLIMIT_NOFILE is lowered under it to what it has: rotations fail with a reason, and work again afterwards."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=first\n")
    show = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']
    with Running([TACET_STATIC, "run", *vault.options, "--min-healthy", "50ms", "--", *show]) as running:
        running.line_with("^value:first")
        program = running.child
        run(["prlimit", f"--pid={running.pid}", f"--nofile={len(os.listdir(f'/proc/{running.pid}/fd'))}:"])
        vault.write("PASSWORD=second\n")
        running.signal(signal.SIGHUP)
        time.sleep(0.5)
        assert running.process.poll() is None
        run(["prlimit", f"--pid={running.pid}", "--nofile=512:"])
        vault.write("PASSWORD=third\n")
        running.signal(signal.SIGHUP)
        running.line_with("^value:third$")
        assert not is_alive(program)


def test_a_log_that_nobody_reads_holds_up_nothing(tmp_path: Path) -> None:
    """The pipe of standard error is full: lines are dropped, signals still work."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=first\n")
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)
    try:
        command = [TACET_STATIC, "run", "-v", "-v", *vault.options, "--", PROBE, "log", "15"]
        with Running(command, stderr=write_end) as running:
            running.line_with("^ready")
            for number in range(5):
                vault.write(f"PASSWORD=broken-{number}\nnonsense\n")
                running.signal(signal.SIGHUP)
                time.sleep(0.05)
            running.signal(signal.SIGUSR1)
            running.line_with("^10$")
            running.signal(signal.SIGTERM)
            assert running.wait() == 0
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_closed_log_ends_nothing(tmp_path: Path) -> None:
    """The reader of standard error goes away: SIGPIPE must not hit the supervisor."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=first\n")
    read_end, write_end = os.pipe()
    command = [TACET_STATIC, "run", "-v", "-v", *vault.options, "--", PROBE, "log", "15"]
    with Running(command, stderr=write_end) as running:
        running.line_with("^ready")
        os.close(read_end)
        os.close(write_end)
        vault.write("nonsense\n")
        running.signal(signal.SIGHUP)
        running.signal(signal.SIGUSR1)
        running.line_with("^10$")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
