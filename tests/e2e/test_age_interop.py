"""The age format between tacet and the real `age`: whatever one of them writes, the other reads."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import TACET, clean_environment, wait_until
from terminal import Terminal

# On both sides of each chunk boundary (65536), none at all, and several chunks.
SIZES = [0, 1, 65535, 65536, 65537, 131072, 200000]
PASSPHRASE = "correct horse battery staple"
HELLO = b"A=1\n"


def run(command: Sequence[str | Path], text: bytes = b"") -> bytes:
    """Run a program that must succeed; return its standard output."""
    done = subprocess.run(command, input=text, capture_output=True, timeout=200, env=clean_environment())
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def fails(command: Sequence[str | Path], text: bytes = b"") -> str:
    """Run a program that must fail without writing a byte; return what it said."""
    done = subprocess.run(command, input=text, capture_output=True, timeout=200, env=clean_environment())
    assert done.returncode != 0
    assert done.stdout == b""
    return done.stderr.decode()


@dataclass
class Identity:
    """A private key file and its recipient."""

    path: Path
    recipient: str


def plain_of(size: int) -> bytes:
    """Return bytes of every value, the same in each run."""
    return random.Random(size).randbytes(size)


def identity_make(path: Path, *command: str) -> Identity:
    """Make a key file with either program."""
    run([*command, "-o", path])
    return Identity(path, run(["age-keygen", "-y", path]).decode().strip())


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    """A key made by tacet."""
    return identity_make(tmp_path / "key.txt", TACET, "keygen")


@pytest.fixture
def age_identity(tmp_path: Path) -> Identity:
    """A key made by age."""
    return identity_make(tmp_path / "age-key.txt", "age-keygen")


@pytest.fixture
def ssh_identity(tmp_path: Path) -> Identity:
    """An SSH key without a passphrase."""
    path = tmp_path / "id_ed25519"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", path])
    return Identity(path, (tmp_path / "id_ed25519.pub").read_text().strip())


@pytest.mark.parametrize("form", [[], ["-a"]], ids=["binary", "armored"])
@pytest.mark.parametrize("size", SIZES)
def test_age_reads_what_tacet_writes(identity: Identity, size: int, form: list[str]) -> None:
    plain = plain_of(size)
    sealed = run([TACET, "encrypt", *form, "-r", identity.recipient], plain)
    assert sealed.startswith(b"-----BEGIN AGE" if form else b"age-encryption.org/v1\n")
    assert run(["age", "-d", "-i", identity.path], sealed) == plain


@pytest.mark.parametrize("form", [[], ["-a"]], ids=["binary", "armored"])
@pytest.mark.parametrize("size", SIZES)
def test_tacet_reads_what_age_writes(age_identity: Identity, size: int, form: list[str]) -> None:
    plain = plain_of(size)
    sealed = run(["age", *form, "-r", age_identity.recipient], plain)
    assert run([TACET, "decrypt", "-i", age_identity.path], sealed) == plain


def test_both_name_the_same_recipient(identity: Identity) -> None:
    assert identity.recipient in identity.path.read_text()
    assert identity.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.both
@pytest.mark.parametrize("writer", [[TACET, "encrypt"], ["age"]], ids=["tacet", "age"])
def test_each_of_several_recipients_opens_the_file(
    identity: Identity, age_identity: Identity, ssh_identity: Identity, tmp_path: Path, writer: list[str]
) -> None:
    team = tmp_path / "team.txt"
    team.write_text(f"# the team\r\n\r\n{age_identity.recipient}\n{ssh_identity.recipient}\n", newline="")
    sealed = run([*writer, "-R", team, "-r", identity.recipient], HELLO)
    for key in (identity.path, age_identity.path, ssh_identity.path):
        assert run(["age", "-d", "-i", key], sealed) == HELLO
        assert run([TACET, "decrypt", "-i", key], sealed) == HELLO


@pytest.mark.both
def test_ssh_keys_work_both_ways(ssh_identity: Identity) -> None:
    assert run(["age", "-d", "-i", ssh_identity.path], run([TACET, "encrypt", "-r", ssh_identity.recipient], HELLO)) == HELLO
    assert run([TACET, "decrypt", "-i", ssh_identity.path], run(["age", "-r", ssh_identity.recipient], HELLO)) == HELLO


def test_the_recipient_of_an_ssh_private_key_is_its_public_key(ssh_identity: Identity) -> None:
    sealed = run([TACET, "encrypt", "-i", ssh_identity.path], HELLO)
    assert run(["age", "-d", "-i", ssh_identity.path], sealed) == HELLO


@pytest.mark.both
def test_age_opens_with_the_passphrase_that_tacet_used(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    sealed = tmp_path / "sealed.age"
    sealed.write_bytes(run([TACET, "encrypt", "--passphrase-file", secret], HELLO))
    plain = tmp_path / "plain"
    with Terminal(["age", "-d", "-o", str(plain), str(sealed)]) as terminal:
        terminal.expect("passphrase: ")
        terminal.type(PASSPHRASE + "\n")
        assert terminal.process.wait(200) == 0
    assert plain.read_bytes() == HELLO


@pytest.mark.both
def test_tacet_opens_with_the_passphrase_that_age_used(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    plain, sealed = tmp_path / "plain", tmp_path / "sealed.age"
    plain.write_bytes(HELLO)
    with Terminal(["age", "-a", "-p", "-o", str(sealed), str(plain)]) as terminal:
        terminal.expect("secure one): ")
        terminal.type(PASSPHRASE + "\n")
        terminal.expect("onfirm passphrase: ")
        terminal.type(PASSPHRASE + "\n")
        assert terminal.process.wait(200) == 0
    assert run([TACET, "decrypt", "--passphrase-file", secret, sealed]) == HELLO
    secret.write_text(PASSPHRASE + "!\n")
    assert "wrong passphrase" in fails([TACET, "decrypt", "--passphrase-file", secret, sealed])


def test_an_identity_file_may_be_encrypted_with_a_passphrase(identity: Identity, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    locked = tmp_path / "key.age"
    locked.write_bytes(run([TACET, "encrypt", "-a", "--passphrase-file", secret, identity.path]))
    sealed = run(["age", "-r", identity.recipient], HELLO)
    assert run([TACET, "decrypt", "-i", locked, "--passphrase-file", secret], sealed) == HELLO
    document = tmp_path / "document.age"
    document.write_bytes(run([TACET, "encrypt", "-r", identity.recipient], HELLO))
    plain = tmp_path / "plain"
    with Terminal(["age", "-d", "-i", str(locked), "-o", str(plain), str(document)]) as terminal:
        terminal.expect("passphrase for identity file")
        terminal.type(PASSPHRASE + "\n")
        assert terminal.process.wait(200) == 0
    assert plain.read_bytes() == HELLO


@pytest.mark.both
def test_another_key_opens_nothing(identity: Identity, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    run([TACET, "keygen", "-o", other])
    sealed = run(["age", "-r", identity.recipient], HELLO)
    assert "none of the given keys" in fails([TACET, "decrypt", "-i", other], sealed)


@pytest.mark.parametrize("size", [65536, 65537, 131072])
def test_not_a_byte_is_written_of_a_file_that_was_cut(identity: Identity, size: int) -> None:
    """age writes the chunks that came; here the whole file is verified first."""
    sealed = run(["age", "-r", identity.recipient], plain_of(size))
    for cut in (1, 16, 17, 65552 if size > 65536 else 65535):
        assert "payload" in fails([TACET, "decrypt", "-i", identity.path], sealed[:-cut])
    assert "payload" in fails([TACET, "decrypt", "-i", identity.path], sealed + b"\0")


def group_make(base: str, limit: str) -> Path | None:
    """Make a control group that may use 128 MiB; None where that cannot be done."""
    group = Path(base, f"tacet-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        (group / limit).write_text(str(128 * 1024 * 1024))
    except OSError:
        group.rmdir()
        return None
    return group


def removed(group: Path) -> bool:
    """Remove a group, from which the kernel takes who has ended a moment later."""
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A group with less memory than scrypt takes for an ordinary passphrase (256 MiB)."""
    group = group_make("/sys/fs/cgroup/memory", "memory.limit_in_bytes") or group_make("/sys/fs/cgroup", "memory.max")
    if not group:
        pytest.skip("no control group with a memory limit can be made here")
    yield group
    wait_until(lambda: removed(group), "the group is empty")


def test_a_passphrase_that_needs_too_much_memory_is_an_error_and_no_kill(small_group: Path, tmp_path: Path) -> None:
    secret, sealed = tmp_path / "passphrase", tmp_path / "sealed.age"
    secret.write_text(PASSPHRASE)
    sealed.write_bytes(run([TACET, "encrypt", "--passphrase-file", secret], HELLO))
    for command in (["decrypt", "--passphrase-file", secret, sealed], ["encrypt", "--passphrase-file", secret, secret]):
        done = subprocess.run(
            ["sh", "-c", f'echo $$ >{small_group}/cgroup.procs; exec "$@"', "sh", TACET, *command],
            capture_output=True,
            timeout=200,
        )
        assert done.returncode > 0, "killed"
        assert b"needs 260 MiB of memory and the limit is 128 MiB" in done.stderr
        assert done.stdout == b""
