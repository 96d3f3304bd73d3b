"""Starting the program: exec errors, descriptors, limits, what the supervisor keeps for itself."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from support import PATIENCE_SECONDS, PROBE, TACET, Running, clean_environment, parse_state, read_status, run, wait_until

pytestmark = pytest.mark.both


def executable(path: Path, content: bytes, mode: int = 0o755) -> Path:
    """Make a file with this mode."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_program_not_found_is_127_and_named(pid1: bool) -> None:
    """ENOENT by search and by path."""
    for name in ("no-such-program-anywhere", "/no/such/program"):
        done = run([TACET, "--", name], pid1=pid1)
        assert done.returncode == 127
        assert name in done.stderr


def test_a_path_through_a_file_is_127(tmp_path: Path) -> None:
    """ENOTDIR."""
    executable(tmp_path / "file", b"")
    assert run([TACET, "--", str(tmp_path / "file" / "program")]).returncode == 127


def test_a_missing_interpreter_is_127(tmp_path: Path) -> None:
    """The file is there, its interpreter is not."""
    script = executable(tmp_path / "script", b"#!/no/such/interpreter\n")
    assert run([TACET, "--", str(script)]).returncode == 127


def test_a_file_without_execute_permission_is_126(tmp_path: Path) -> None:
    """EACCES."""
    script = executable(tmp_path / "script", b"#!/bin/sh\n", 0o644)
    done = run([TACET, "--", str(script)])
    assert done.returncode == 126
    assert str(script) in done.stderr
    assert os.strerror(errno.EACCES) in done.stderr


def test_a_directory_is_126(tmp_path: Path) -> None:
    """EISDIR or EACCES, as the kernel says."""
    assert run([TACET, "--", str(tmp_path)]).returncode == 126


def test_a_loop_of_links_is_126(tmp_path: Path) -> None:
    """ELOOP."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert run([TACET, "--", str(tmp_path / "a")]).returncode == 126


@pytest.mark.parametrize("content", [b"echo fallback\n", b"\x00\x01\x02rubbish\n", b""], ids=["text", "rubbish", "empty"])
def test_a_file_without_a_format_is_126_and_never_given_to_a_shell(tmp_path: Path, content: bytes) -> None:
    """ENOEXEC: execvp(3) would run /bin/sh on it."""
    script = executable(tmp_path / "script", content)
    for command in ([str(script)], ["script"]):
        done = run([TACET, "--", *command], environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
        assert done.returncode == 126
        assert "fallback" not in done.stdout


def test_a_program_open_for_writing_is_126(tmp_path: Path) -> None:
    """ETXTBSY, when it stays so."""
    program = executable(tmp_path / "program", Path("/bin/true").read_bytes())
    with program.open("r+b"):
        assert run([TACET, "--", str(program)]).returncode == 126


def test_a_program_open_for_writing_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """ETXTBSY is retried briefly: the usual cause is a copy that has just ended. This test may take longer now and then."""
    program = executable(tmp_path / "program", Path("/bin/true").read_bytes())

    def status() -> int:
        with program.open("r+b") as writer:
            process = subprocess.Popen([TACET, "--", str(program)])
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(0.015)
            writer.close()
            return process.wait(30)

    assert 0 in (status() for _ in range(20))


def test_a_variable_that_is_too_long_is_126_and_named_without_its_value() -> None:
    """E2BIG: one string may have 128 KiB. The kernel refuses it already for the supervisor, so it comes from inside."""
    value = "v" * (131072 - len("BIG_ONE="))
    done = subprocess.run([TACET, "--", "/bin/true"], env={"BIG_ONE": value[:-1]}, capture_output=True, timeout=30)
    assert done.returncode == 0
    assert value[:64].encode() not in done.stderr


def test_the_empty_command_is_a_usage_error() -> None:
    """Nothing to run."""
    done = run([TACET, "--"])
    assert done.returncode == 64
    assert "tacet" in done.stderr


def test_an_unknown_option_is_a_usage_error() -> None:
    """Options that do not exist are refused, not passed on."""
    done = run([TACET, "--no-such-option", "--", "/bin/true"])
    assert done.returncode == 64
    assert "no-such-option" in done.stderr


def test_no_process_left_for_the_first_start_is_125() -> None:
    """EAGAIN: the limit of processes of this user is used up; the supervisor's own failure has its own status."""
    user = 100_000 + os.getpid()  # whose processes are counted: nobody else's
    script = f"exec prlimit --nproc=1 setpriv --reuid={user} --clear-groups {TACET} -- /bin/true"
    done = run(["sh", "-c", script])
    assert done.returncode == 125, done.stderr
    assert os.strerror(errno.EAGAIN) in done.stderr


def test_inherited_descriptors_reach_the_program_and_are_dropped_by_the_supervisor() -> None:
    """A plain init passes what it got; a copy that it kept would hold ports and pipes open."""
    read_end, write_end = os.pipe()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    passed = (write_end, listener.fileno())
    try:
        with Running([TACET, "--", PROBE, "wait"], pass_fds=passed) as running:
            running.line_with("^ready")
            theirs = {os.readlink(f"/proc/{running.child}/fd/{fd}") for fd in os.listdir(f"/proc/{running.child}/fd")}
            for fd in passed:
                target = os.readlink(f"/proc/self/fd/{fd}")
                assert target in theirs
                wait_until(lambda target=target: target not in targets(running.pid), "the supervisor dropped it")
    finally:
        os.close(read_end)
        os.close(write_end)
        listener.close()


def targets(pid: int) -> set[str]:
    """List what the descriptors of a process point to, standard streams left out."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found |= {os.readlink(link)} if int(link.name) > 2 else set()
    return found


def test_the_program_gets_no_descriptor_of_the_supervisor(pid1: bool) -> None:
    """The event loop, signalfd and pipes are the supervisor's own."""
    state = parse_state(run([TACET, "--", PROBE, "state"], pid1=pid1).stdout)
    assert state["fds"].split() == ["0", "1", "2"]


def test_listen_pid_names_the_program() -> None:
    """LISTEN_FDS counts from 3, and LISTEN_PID must be the program's pid, not the wrapper's."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    script = 'exec 3<&%d; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" -- sh -c \'echo "$$ $LISTEN_PID $LISTEN_FDS"; %s state\''
    try:
        done = run(["bash", "-c", script % (listener.fileno(), PROBE), TACET], pass_fds=(listener.fileno(),))
    finally:
        listener.close()
    first, _, rest = done.stdout.partition("\n")
    pid, named, count = first.split()
    assert (named, count) == (pid, "1")
    assert "3" in parse_state(rest)["fds"].split()


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 1>&-", "0<&- 1>&- 2>&-", "1>&-", "2>&-"])
def test_closed_standard_streams_become_null_and_are_never_taken_by_something_else(tmp_path: Path, closed: str) -> None:
    """With 0, 1 or 2 closed the first file opened would become a standard stream."""
    out = tmp_path / "out"
    script = f'"$0" -- sh -c \'ls -l /proc/self/fd > {out}; exit 5\' {closed}'
    assert run(["sh", "-c", script, TACET]).returncode == 5
    text = out.read_text()
    assert "signalfd" not in text
    assert "eventpoll" not in text
    assert "memfd" not in text
    for fd in closed.split():
        number = fd[0]
        if number != "1":
            assert any(f" {number} -> /dev/null" in line for line in text.splitlines()), text


def test_the_supervisor_stands_in_the_root_directory_and_the_program_where_it_was_started(tmp_path: Path) -> None:
    """A supervisor that stays in a directory pins its mount."""
    with Running([TACET, "--", "sh", "-c", "pwd; sleep 60"], cwd=tmp_path) as running:
        assert running.line() == str(tmp_path)
        wait_until(lambda: os.readlink(f"/proc/{running.pid}/cwd") == "/", "the supervisor has left the directory")


def test_the_supervisor_is_undumpable_and_the_program_has_its_own_limits(pid1: bool) -> None:
    """RLIMIT_CORE 0 and PR_SET_DUMPABLE 0 are the supervisor's own; the program gets what tacet was started with."""
    command = ["prlimit", "--core=4096:8192", "--nofile=512:1024", TACET, "run", "--", "sh", "-c", f"{PROBE} state; echo end; sleep 60"]
    with Running(command, pid1=pid1) as running:
        lines = []
        while (line := running.line()) != "end":
            lines.append(line)
        state = parse_state("\n".join(lines))
        assert state["core"] == "4096 8192"
        assert state["nofile"] == "512 1024"
        assert state["dumpable"] == "1"
        limits = Path(f"/proc/{running.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4] == "0"
        # An undumpable process belongs to root in /proc, whoever runs it, and has no readable memory map for others.
        assert stat.S_IMODE(os.stat(f"/proc/{running.pid}/mem").st_mode) == 0o600


UNPRIVILEGED = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]


def test_the_supervisor_of_an_unprivileged_user_is_undumpable() -> None:
    """/proc/PID of an undumpable process is owned by root."""
    with Running([*UNPRIVILEGED, TACET, "run", "--", PROBE, "wait"]) as running:
        running.line_with("^ready")
        assert os.stat(f"/proc/{running.pid}/environ").st_uid == 0
        assert os.stat(f"/proc/{running.child}/environ").st_uid == 54321


@pytest.mark.parametrize("name", ["", "tini", "dumb-init", "catatonit"])
@pytest.mark.parametrize("mode", [0o755, 0o711])
def test_the_output_of_an_init_without_secrets_can_be_opened(pid1: bool, name: str, mode: int, tmp_path: Path) -> None:
    """Cron lines and log scripts write to /proc/1/fd/1; it holds nothing that its user may not see."""
    folder = Path(tempfile.mkdtemp(prefix="tacet-init-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        program = folder / (name or "tacet")
        shutil.copy(TACET, program)
        program.chmod(mode)
        script = "echo said > /proc/$PPID/fd/1"
        with (tmp_path / "output").open("w+") as output:
            # a file of the user's: whether a pipe may be opened is the pipe's own matter
            os.chown(output.fileno(), 54321, 54321)
            unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] if pid1 else []
            command = [*unshare, *UNPRIVILEGED, str(program), *([] if name else ["--"]), "sh", "-c", script]
            done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, timeout=PATIENCE_SECONDS, check=False)
            output.seek(0)
            assert (done.returncode, output.read()) == (0, "said\n"), done.stderr
    finally:
        shutil.rmtree(folder)


def test_the_program_keeps_the_oom_score_of_the_caller() -> None:
    """Whatever the supervisor does for itself, the program is not protected by inheritance."""
    script = f'echo 300 > /proc/self/oom_score_adj; exec "{TACET}" -- cat /proc/self/oom_score_adj'
    assert run(["sh", "-c", script]).stdout.strip() == "300"


def test_the_environment_of_a_plain_start_is_passed_unchanged(pid1: bool) -> None:
    """No variable is added, none is lost."""
    environment = {"A": "1", "B": "two words", "C": ""}
    done = run([TACET, "--", "env"], pid1=pid1, environment=environment)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert environment.items() <= seen.items()
    assert set(seen) - {"PWD", "SHLVL", "_"} == set(clean_environment(environment))


def test_the_supervisor_needs_little_memory(pid1: bool) -> None:
    """An idle supervisor must not cost megabytes of its own."""
    with Running([TACET, "--", PROBE, "wait"], pid1=pid1) as running:
        running.line_with("^ready")
        assert int(read_status(running.pid)["VmRSS"].split()[0]) < 8192


def test_the_identity_of_the_program_is_complete(pid1: bool) -> None:
    """Groups, then group, then user; nothing of root is left, and the supervisor keeps its own."""
    command = [TACET, "run", "--user", "54321", "--group", "54322", "--supplementary-groups", "54323 54324"]
    with Running([*command, "--", "sh", "-c", "cat /proc/self/status; echo end; sleep 60"], pid1=pid1) as running:
        lines = []
        while (line := running.line()) != "end":
            lines.append(line)
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert status["Uid"].split() == ["54321"] * 4
        assert status["Gid"].split() == ["54322"] * 4
        assert status["Groups"].split() == ["54323", "54324"]
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert read_status(running.pid)["Uid"].split() == ["0"] * 4


PERSON = 'id -u; id -g; for name in HOME USER LOGNAME SHELL; do eval "echo \\${$name-unset}"; done'


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["--user", "nobody"], ["65534", "65534", "/nonexistent", "nobody", "nobody", "/usr/sbin/nologin"]),
        (["--user", "nobody:daemon"], ["65534", "1", "/nonexistent", "nobody", "nobody", "/usr/sbin/nologin"]),
        (["--user", "65534:"], ["65534", "65534", "/nonexistent", "nobody", "nobody", "/usr/sbin/nologin"]),
        (["--user", "54321:54322"], ["54321", "54322", "/", "unset", "unset", "unset"]),
        (["--user", "nobody", "--env", "HOME=/h"], ["65534", "65534", "/h", "nobody", "nobody", "/usr/sbin/nologin"]),
        (["--group", "54322"], ["0", "54322", "/root", "root", "root", "/bin/bash"]),
    ],
)
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_user_has_its_own_home_and_name(verb: str, options: list[str], seen: list[str], tmp_path: Path) -> None:
    """As under systemd; programs that look for their files below the root user's home fail in odd ways."""
    root = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash"}
    secrets = executable(tmp_path / "secrets.env", b"A=1\n", 0o600)
    source = ["-s", f"env-file:{secrets}"]
    done = run([TACET, verb, *source, *options, "--", "sh", "-c", PERSON], environment=root)
    assert done.stdout.split("\n")[:-1] == seen, done.stderr


@pytest.mark.parametrize("user", [":daemon", "nobody:no-group-of-that-name", ":"])
def test_a_user_with_a_bad_group_is_an_error(user: str) -> None:
    """Before anything is started."""
    done = run([TACET, "run", "--user", user, "--", "echo", "started"])
    assert (done.returncode, done.stdout) == (78, "")
    assert run([TACET, "run", "--user", "nobody:daemon", "--group", "tty", "--", "true"]).returncode == 78


def test_the_pipes_of_the_caller_can_be_opened_by_the_user() -> None:
    """/dev/stderr is opened anew, and a pipe is opened by whom it belongs to; as under a container engine."""
    script = "echo out > /dev/stdout; echo err > /dev/stderr"
    done = run([TACET, "run", "--user", "nobody", "--", "sh", "-c", script])
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_what_has_a_name_keeps_its_owner(tmp_path: Path) -> None:
    """A log file, a FIFO of somebody: not the app's to own."""
    os.mkfifo(tmp_path / "fifo")
    keeper = os.open(tmp_path / "fifo", os.O_RDWR)
    with (tmp_path / "log").open("w") as log:
        command = [TACET, "run", "--user", "nobody", "--", "true"]
        assert subprocess.run(command, stdin=keeper, stdout=log, stderr=log, timeout=PATIENCE_SECONDS, check=False).returncode == 0
    os.close(keeper)
    assert (tmp_path / "log").stat().st_uid == (tmp_path / "fifo").stat().st_uid == os.geteuid()


def test_a_user_that_does_not_exist_is_an_error() -> None:
    """Named, before anything runs."""
    done = run([TACET, "run", "--user", "nobody-of-that-name", "--", "echo", "started"])
    assert done.returncode not in (0, 127)
    assert "nobody-of-that-name" in done.stderr
    assert "started" not in done.stdout


def test_directory_umask_limits_and_oom_score_are_the_programs(tmp_path: Path) -> None:
    """What the options say reaches the program and not the supervisor."""
    command = [TACET, "run", "--directory", str(tmp_path), "--umask", "0077", "--limit-nofile", "100:200"]
    with Running([*command, "--", "sh", "-c", f"{PROBE} state; echo end; sleep 60"]) as running:
        lines = []
        while (line := running.line()) != "end":
            lines.append(line)
        state = parse_state("\n".join(lines))
        assert (state["cwd"], state["umask"], state["nofile"]) == (str(tmp_path), "0077", "100 200")
        limits = Path(f"/proc/{running.pid}/limits").read_text()
        assert "Max open files            100 " not in limits


@pytest.mark.skipif("static" in Path(TACET).name, reason="valgrind does not follow a static program")
def test_start_and_stop_are_clean_under_valgrind() -> None:
    """No invalid access, no descriptor and no memory lost, in the supervisor and up to exec."""
    checker = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"]
    done = run([*checker, TACET, "--", "sh", "-c", f"{PROBE} orphans 3; exit 5"], seconds=250)
    assert done.returncode == 5, done.stderr
    assert "==" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")
@pytest.mark.parametrize(("user", "kept"), [("54321", 0), ("54320", 0xC0)])
def test_the_right_to_change_the_user_is_not_handed_to_another_user(user: str, kept: int) -> None:
    """Ambient capabilities are tacet's own; a program of the same user keeps what it would have had without tacet."""
    rights = ["--inh-caps", "+setuid,+setgid", "--ambient-caps", "+setuid,+setgid"]
    as_user = ["setpriv", "--reuid", "54320", "--regid", "54320", "--clear-groups", *rights]
    done = run([*as_user, TACET, "run", "--user", user, "--group", "54320", "--", "cat", "/proc/self/status"])
    assert done.returncode == 0, done.stderr
    values = dict(line.split(":\t") for line in done.stdout.splitlines() if line.startswith("Cap"))
    assert int(values["CapAmb"], 16) == kept
    assert int(values["CapEff"], 16) == kept
