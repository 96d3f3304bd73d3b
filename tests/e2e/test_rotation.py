"""Rotation by SIGHUP: to the new values, or back to the old ones with the reason on the log."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from secrets_files import Vault, encrypt, vault_make
from support import PROBE, TACET, Running, children_of, is_alive, run, wait_until
from timing import at_a_pace, duration

pytestmark = pytest.mark.both

SHOW = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first-value\n")


def started(vault: Vault, *options: str, show: list[str] = SHOW, healthy: str = "150ms", **more: object) -> Running:
    """Start a program under `tacet run` with the vault's document."""
    command = [TACET, "run", *vault.options, "--min-healthy", healthy, *options]
    return Running([*command, "--", *show], **more)


def program_of(running: Running) -> int:
    """The pid of the one program that runs."""
    supervisor = running.pid
    wait_until(lambda: len(children_of(supervisor)) == 1, "one program runs and no loader")
    return children_of(supervisor)[0]


def test_the_secret_is_in_the_environment_of_the_program_alone(vault: Vault, pid1: bool) -> None:
    """Not in the supervisor's."""
    with started(vault, pid1=pid1) as running:
        assert running.line_with("^value:") == "value:first-value"
        environment = Path(f"/proc/{program_of(running)}/environ")
        wait_until(lambda: b"PASSWORD=first-value" in environment.read_bytes(), "the program has it")
        assert b"first-value" not in Path(f"/proc/{running.pid}/environ").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_the_secrets_reach_a_program_that_may_lock_no_memory(vault: Vault, verb: str) -> None:
    """A mapping of memfd_secret counts as locked memory: it is made before the limit and the user are the program's."""
    options = ["--limit-memlock", "0", "--user", "54321", "--group", "54321"]
    done = run([TACET, verb, *vault.options, *options, "--", PROBE, "env"])
    assert done.returncode == 0, done.stderr
    assert "PASSWORD=first-value" in done.stdout.splitlines()


def test_exec_injects_and_becomes_the_program(vault: Vault) -> None:
    """`tacet exec`: the same pid, no supervisor."""
    with Running([TACET, "exec", *vault.options, "--", PROBE, "env-wait"]) as running:
        running.line_with("^PASSWORD=first-value$")
        ready = running.line_with("^ready")
        assert ready == f"ready {running.process.pid}"


def test_hangup_moves_the_program_to_the_new_values(vault: Vault, pid1: bool) -> None:
    """Stop the old one, start the new one; again and again."""
    with started(vault, pid1=pid1) as running:
        running.line_with("^value:first-value")
        for number in range(3):
            vault.write(f"PASSWORD=next-{number}\n")
            running.signal(signal.SIGHUP)
            running.line_with(f"^value:next-{number}$")
            time.sleep(0.3)
        assert is_alive(program_of(running))
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


def test_a_rotation_that_begins_during_the_start_is_said_to_be_done(vault: Vault) -> None:
    """Its lines end there: what happens to the program later is no part of it."""
    with started(vault, "-v", "--restart", "always", healthy="2s") as running:
        running.line_with("^value:first-value$")
        vault.write("PASSWORD=second-value\n")
        running.signal(signal.SIGHUP)
        running.line_with("^value:second-value$")
        running.line_with("rotation to generation 2 done")
        os.kill(program_of(running), signal.SIGKILL)
        assert "rotation" not in running.line_with("the app has proved itself")


def test_unchanged_values_restart_nothing(vault: Vault) -> None:
    """The same values in a newly encrypted file: said, and the program stays the same process."""
    with started(vault) as running:
        running.line_with("^value:")
        before = program_of(running)
        vault.write("# another comment\nPASSWORD=first-value\n")
        running.signal(signal.SIGHUP)
        running.line_with("(?i)unchanged|same|nothing (has )?changed|no change")
        time.sleep(0.3)
        assert program_of(running) == before


def test_a_deleted_secret_is_gone(vault: Vault) -> None:
    """What is not in the new document is not in the new environment."""
    vault.write("PASSWORD=first-value\nOTHER=x\n")
    show = ["sh", "-c", 'echo "value:$PASSWORD:${OTHER-gone}"; exec sleep 1000']
    with started(vault, show=show) as running:
        running.line_with("^value:first-value:x$")
        vault.write("PASSWORD=first-value\n")
        running.signal(signal.SIGHUP)
        running.line_with("^value:first-value:gone$")


BAD = {
    "torn": lambda vault: vault.replace(vault.document.read_bytes()[:-7]),
    "empty": lambda vault: vault.replace(b""),
    "corrupt": lambda vault: vault.replace(vault.document.read_bytes()[:-1] + b"\x00"),
    "no-age-file": lambda vault: vault.replace(b"PASSWORD=in-the-clear-0\n"),
    "bad-line": lambda vault: vault.write("PASSWORD=broken-value-1\nthis is no assignment broken-value-2\n"),
    "duplicate": lambda vault: vault.write("PASSWORD=broken-value-1\nPASSWORD=broken-value-2\n"),
    "bad-name": lambda vault: vault.write("9PASS=broken-value-1\n"),
    "other-key": lambda vault: vault.replace(encrypt(b"PASSWORD=broken-value-1\n", other_recipient(vault))),
    "no-identity": lambda vault: vault.identity.unlink(),
    "no-file": lambda vault: vault.document.unlink(),
}


def other_recipient(vault: Vault) -> str:
    """A recipient whose identity the supervisor does not have."""
    return vault_make(vault.folder / "other", "X=1\n").recipient


@pytest.mark.parametrize("kind", BAD)
def test_a_failed_rotation_leaves_the_program_alone(vault: Vault, kind: str) -> None:
    """One clear error without a byte of a value; the same process goes on; a good file heals it."""
    identity = vault.identity.read_bytes()
    with started(vault) as running:
        running.line_with("^value:")
        before = program_of(running)
        BAD[kind](vault)
        running.signal(signal.SIGHUP)
        path = str(vault.identity if kind == "no-identity" else vault.document)
        line = running.line_with(path.replace(".", r"\."))
        assert "broken-value" not in line
        assert "in-the-clear" not in line
        if kind in ("bad-line", "duplicate"):
            assert ":2" in line or "line 2" in line, line
        time.sleep(0.2)
        assert program_of(running) == before
        vault.identity.write_bytes(identity)
        vault.identity.chmod(0o600)
        vault.write("PASSWORD=healed\n")
        running.signal(signal.SIGHUP)
        running.line_with("^value:healed$")


@pytest.mark.parametrize("kind", [kind for kind in BAD if kind != "no-file"])
def test_a_bad_first_load_ends_with_an_error(vault: Vault, kind: str) -> None:
    """At the start there is nothing to keep: an error that names the file, and a status of its own."""
    BAD[kind](vault)
    done = run([TACET, "run", *vault.options, "--", "echo", "started"])
    assert "started" not in done.stdout
    assert "secrets not loaded; nothing was started" in done.stderr
    assert done.returncode in (65, 66, 77, 78, 125), done.stderr
    assert str(vault.identity if kind == "no-identity" else vault.document) in done.stderr
    assert "broken-value" not in done.stderr


def test_a_new_instance_that_fails_is_taken_back(vault: Vault, pid1: bool) -> None:
    """It ends within min_healthy: the old values come back and the log says why."""
    show = ["sh", "-c", 'echo "value:$PASSWORD"; [ "$PASSWORD" != bad ] || exit 9; exec sleep 1000']

    def ends_within(seconds: float) -> None:
        vault.write("PASSWORD=first-value\n")
        with started(vault, healthy=duration(seconds), show=show, pid1=pid1) as running:
            running.line_with("^value:first-value$")
            vault.write("PASSWORD=bad\n")
            running.signal(signal.SIGHUP)
            running.line_with("^value:bad$", 60)
            running.line_with("^value:first-value$")
            assert is_alive(program_of(running))
            vault.write("PASSWORD=good\n")
            running.signal(signal.SIGHUP)
            running.line_with("^value:good$", 60)

    at_a_pace(ends_within, 1, 5, 20)


def test_a_second_hangup_during_a_rotation_is_not_forgotten(vault: Vault) -> None:
    """The newest values win in the end, however fast the signals come."""
    show = ["sh", "-c", "trap 'sleep 0.3; exit 0' TERM; echo \"value:$PASSWORD\"; while :; do sleep 0.05; done"]
    with started(vault, show=show) as running:
        running.line_with("^value:first-value$")
        for number in range(5):
            vault.write(f"PASSWORD=value-{number}\n")
            running.signal(signal.SIGHUP)
            time.sleep(0.05)
        running.line_with("^value:value-4$")
        time.sleep(0.5)
        assert b"PASSWORD=value-4" in Path(f"/proc/{program_of(running)}/environ").read_bytes()


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05, 0.2, 0.4])
def test_a_stop_during_a_rotation_wins(vault: Vault, delay: float) -> None:
    """At every moment: while loading, stopping the old one, starting the new one."""
    show = ["sh", "-c", "trap 'sleep 0.2; exit 0' TERM; echo \"value:$PASSWORD\"; while :; do sleep 0.02; done"]
    with started(vault, show=show) as running:
        running.line_with("^value:first-value$")
        vault.write("PASSWORD=second\n")
        running.signal(signal.SIGHUP)
        time.sleep(delay)
        running.signal(signal.SIGTERM)
        running.wait()


def test_a_crash_after_a_rotation_restarts_with_the_new_values(vault: Vault) -> None:
    """Without source or key: the sealed generation is enough."""
    with started(vault, "-v", "--restart", "always", "--restart-delay", "10ms") as running:
        running.line_with("^value:first-value$")
        vault.write("PASSWORD=second\n")
        running.signal(signal.SIGHUP)
        running.line_with("^value:second$")
        running.line_with("rotation to generation 2 done")
        vault.identity.unlink()
        vault.document.unlink()
        os.kill(program_of(running), signal.SIGKILL)
        running.line_with("^value:second$")


def test_a_loader_that_hangs_is_one_failed_load(vault: Vault, tmp_path: Path) -> None:
    """A source that never answers: the deadline ends the load; the program, and a stop, are not held up."""
    path = tmp_path / "socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)
    with started(vault, "-s", f"unix:{path}", "--load-timeout", "5s") as running:
        client, _ = server.accept()
        client.sendall(b"EXTRA=by-socket\n")
        client.close()
        running.line_with("^value:first-value$")
        before = program_of(running)
        running.signal(signal.SIGHUP)
        client, _ = server.accept()
        running.line_with(str(path))
        client.close()
        assert program_of(running) == before
        running.signal(signal.SIGHUP)
        client, _ = server.accept()
        running.signal(signal.SIGTERM)
        assert running.wait() == 143
        client.close()
    server.close()


def test_a_loader_that_is_killed_is_one_failed_load(vault: Vault, tmp_path: Path) -> None:
    """SIGKILL and SIGSEGV in the middle of a load."""
    path = tmp_path / "socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)
    with started(vault, "-s", f"unix:{path}") as running:
        client, _ = server.accept()
        client.sendall(b"EXTRA=by-socket\n")
        client.close()
        running.line_with("^value:first-value$")
        before = program_of(running)
        for number in (signal.SIGKILL, signal.SIGSEGV):
            running.signal(signal.SIGHUP)
            client, _ = server.accept()
            loader = next(pid for pid in children_of(running.pid) if pid != before)
            os.kill(loader, number)
            running.line_with("(?i)load")
            client.close()
            assert program_of(running) == before
    server.close()


def test_a_secret_in_the_supervisors_own_environment_is_taken_away(tmp_path: Path) -> None:
    """source env:PREFIX and key env:NAME: gone from /proc/PID/environ, never passed on."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=from-file\n")
    key = next(line for line in vault.identity.read_text().splitlines() if line.startswith("AGE-SECRET-KEY"))
    command = [TACET, "run", "-s", f"age:{vault.document}", "-s", "env:SECRET_", "-i", "env:TACET_KEY"]
    environment = {"TACET_KEY": key, "SECRET_TOKEN": "canary-in-environment"}
    with Running([*command, "--", PROBE, "env-wait"], environment=environment) as running:
        lines = []
        while not (line := running.line()).startswith("ready"):
            lines.append(line)
        assert "PASSWORD=from-file" in lines
        assert not any(key in line for line in lines)
        assert any("canary-in-environment" in line for line in lines)
        mine = Path(f"/proc/{running.pid}/environ").read_bytes()
        assert key.encode() not in mine
        assert b"canary-in-environment" not in mine


@pytest.mark.parametrize("policy", ["replace", "keep", "refuse"])
def test_a_secret_that_is_also_an_inherited_variable(vault: Vault, policy: str) -> None:
    """on_conflict decides, and the log reports it by name."""
    command = [TACET, "run", *vault.options, "--on-conflict", policy, "--", "sh", "-c", "echo value:$PASSWORD"]
    done = run(command, environment={"PASSWORD": "from-outside"})
    if policy == "refuse":
        assert done.returncode not in (0, 143)
        assert "value:" not in done.stdout
    else:
        assert done.stdout == f"value:{'first-value' if policy == 'replace' else 'from-outside'}\n"
    assert "PASSWORD" in done.stderr
    assert "first-value" not in done.stderr
    assert "from-outside" not in done.stderr


def test_a_secret_in_the_programs_own_arguments_is_refused(vault: Vault) -> None:
    """A value of eight bytes or more stands in argv: every user of the machine could read it."""
    done = run([TACET, "run", *vault.options, "--", "echo", "--password=first-value"])
    assert done.returncode == 126 or done.returncode == 125
    assert "first-value" not in done.stdout + done.stderr
    assert "PASSWORD" in done.stderr


def test_a_single_value_that_no_program_can_get_is_refused_by_name(vault: Vault) -> None:
    """One string of the environment may have 128 KiB."""
    vault.write(f"SMALL=1\nTHE_BIG_ONE={'v' * 131_072}\n")
    done = run([TACET, "run", *vault.options, "--", "echo", "started"])
    assert done.returncode != 0
    assert "THE_BIG_ONE" in done.stderr
    assert "vvvv" not in done.stderr
    assert "started" not in done.stdout


def test_a_total_that_no_program_can_get_is_refused(vault: Vault) -> None:
    """The kernel's limit is a quarter of the stack limit of this very process."""
    vault.write("".join(f"VALUE_{number}={'v' * 60_000}\n" for number in range(10)))
    done = run(["prlimit", "--stack=1048576:", TACET, "run", *vault.options, "--", "echo", "started"])
    assert done.returncode != 0
    assert "vvvv" not in done.stderr
    assert "started" not in done.stdout
    assert run([TACET, "run", *vault.options, "--", "echo", "started"]).stdout == "started\n"
