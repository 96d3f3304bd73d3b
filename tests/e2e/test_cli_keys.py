"""keygen, encrypt and decrypt, side by side with the reference implementation of age."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli_files import Folder
from support import TACET
from terminal import Terminal

VERBS = ["keygen", "encrypt", "decrypt", "set", "unset", "list", "edit", "rekey"]
SCRYPT_SECONDS = 200.0  # it computes for a second where nobody else does


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_an_identity_looks_as_age_keygen_writes_it(folder: Folder) -> None:
    lines = (folder.path / "key.txt").read_text().splitlines()
    assert lines[0].startswith("# created: 20")
    assert lines[1] == f"# public key: {folder.recipient}"
    assert lines[2].startswith("AGE-SECRET-KEY-1")
    assert len(lines) == 3
    assert stat.S_IMODE((folder.path / "key.txt").stat().st_mode) == 0o600
    assert folder.run("age-keygen", "-y", "key.txt").stdout.decode().strip() == folder.recipient


def test_an_identity_is_never_overwritten(folder: Folder) -> None:
    before = (folder.path / "key.txt").read_bytes()
    message = folder.fail("keygen", "-o", "key.txt", status=1)
    assert "File exists" in message
    assert (folder.path / "key.txt").read_bytes() == before
    os.symlink("elsewhere", folder.path / "link")
    folder.fail("keygen", "-o", "link", status=1)
    assert not (folder.path / "elsewhere").exists()


def test_keygen_says_the_public_key_where_the_private_one_is_not(folder: Folder) -> None:
    done = folder.tacet("keygen", "-o", "second.txt")
    assert done.stdout == b""
    assert done.stderr.startswith(b"Public key: age1")
    done = folder.tacet("keygen")
    assert b"AGE-SECRET-KEY-1" in done.stdout
    assert b"AGE-SECRET-KEY-1" not in done.stderr
    assert done.stderr.startswith(b"Public key: age1")


def test_keygen_warns_about_a_file_that_everybody_reads(folder: Folder) -> None:
    path = folder.write("open.txt", "", 0o644)
    with path.open("wb") as output:
        assert b"everybody can read" in folder.tacet("keygen", stdout=output).stderr


def test_recipients_are_read_from_standard_input(folder: Folder) -> None:
    done = folder.tacet("keygen", "-y", stdin=(folder.path / "key.txt").read_bytes())
    assert done.stdout.decode().strip() == folder.recipient
    assert "no identity" in folder.fail("keygen", "-y", stdin=b"# nothing\n")


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200000])
@pytest.mark.parametrize("armor", [[], ["-a"]])
def test_files_travel_both_ways_between_tacet_and_age(folder: Folder, size: int, armor: list[str]) -> None:
    content = os.urandom(size)
    sealed = folder.tacet("encrypt", "-r", folder.recipient, *armor, stdin=content).stdout
    assert folder.run("age", "-d", "-i", "key.txt", stdin=sealed).stdout == content
    sealed = folder.run("age", "-r", folder.recipient, *armor, stdin=content).stdout
    assert folder.tacet("decrypt", "-i", "key.txt", stdin=sealed).stdout == content


def test_recipients_come_from_files_and_identities(folder: Folder) -> None:
    folder.tacet("keygen", "-o", "other.txt")
    other = folder.tacet("keygen", "-y", "other.txt").stdout.decode()
    folder.write("team.txt", f"# the team\n{other}\n")
    folder.tacet("encrypt", "-R", "team.txt", "-i", "key.txt", "-o", "out.age", stdin=b"text")
    for key in ("key.txt", "other.txt"):
        assert folder.run("age", "-d", "-i", key, "out.age").stdout == b"text"


def test_a_passphrase_file_locks_and_opens(folder: Folder) -> None:
    folder.write("pass", "correct horse\n")
    folder.tacet("encrypt", "--passphrase-file", "pass", "-o", "out.age", stdin=b"text")
    assert folder.tacet("decrypt", "--passphrase-file", "pass", "out.age").stdout == b"text"
    assert folder.tacet("decrypt", "-i", "passphrase-file:pass", "out.age").stdout == b"text"
    with (folder.path / "pass").open() as file:
        spec = f"passphrase-fd:{file.fileno()}"
        assert folder.tacet("decrypt", "-i", spec, "out.age", pass_fds=[file.fileno()]).stdout == b"text"
    folder.write("wrong", "wrong\n")
    assert "wrong passphrase" in folder.fail("decrypt", "--passphrase-file", "wrong", "out.age", status=65)
    folder.write("empty", "\n")
    assert "is empty" in folder.fail("decrypt", "--passphrase-file", "empty", "out.age")


def test_a_locked_identity_is_opened_with_its_passphrase(folder: Folder) -> None:
    folder.write("pass", "correct horse\n")
    folder.tacet("encrypt", "--passphrase-file", "pass", "-o", "locked.age", "key.txt")
    unlock = ("-i", "passphrase-file:pass", "-i", "locked.age")
    folder.tacet("encrypt", *unlock, "-o", "out.age", stdin=b"text")
    assert folder.run("age", "-d", "-i", "key.txt", "out.age").stdout == b"text"
    assert folder.tacet("decrypt", *unlock, "out.age").stdout == b"text"
    folder.tacet("set", *unlock, "new.age", "A", stdin=b"1")
    assert folder.read("new.age") == "A=1\n"
    message = folder.fail("decrypt", "-i", "locked.age", "out.age", start_new_session=True)
    assert "no terminal to ask at" in message


def test_identities_come_by_descriptor_variable_and_credential(folder: Folder) -> None:
    sealed = folder.tacet("encrypt", "-r", folder.recipient, stdin=b"text").stdout
    (folder.path / "out.age").write_bytes(sealed)
    key = (folder.path / "key.txt").read_text()
    with (folder.path / "key.txt").open() as file:
        done = folder.tacet("decrypt", "-i", f"fd:{file.fileno()}", "out.age", pass_fds=[file.fileno()])
    assert done.stdout == b"text"
    assert folder.tacet("decrypt", "-i", "-", "out.age", stdin=key.encode()).stdout == b"text"
    assert folder.tacet("decrypt", "-i", "env:KEY", "out.age", environment={"KEY": key}).stdout == b"text"
    given = {"CREDENTIALS_DIRECTORY": str(folder.path)}
    assert folder.tacet("decrypt", "-i", "credential:key.txt", "out.age", environment=given).stdout == b"text"
    assert folder.tacet("decrypt", "out.age", environment={"TACET_IDENTITY": "key.txt"}).stdout == b"text"
    home = folder.home / ".config" / "tacet"
    home.mkdir(parents=True)
    (home / "identity.txt").write_text(key)
    assert folder.tacet("decrypt", "out.age").stdout == b"text"


def test_errors_name_the_next_step(folder: Folder) -> None:
    folder.tacet("encrypt", "-r", folder.recipient, "-o", "out.age", stdin=b"text")
    assert "tacet keygen" in folder.fail("decrypt", "out.age", status=64)
    assert "-r" in folder.fail("encrypt", stdin=b"text", status=64)
    assert "open 'nowhere'" in folder.fail("decrypt", "-i", "key.txt", "nowhere", status=66)
    assert "same file" in folder.fail("encrypt", "-r", folder.recipient, "-o", "key.txt", "key.txt", status=64)
    assert "did you mean '--armor'" in folder.fail("encrypt", "--armour", status=64)
    folder.write("pass", "secret")
    message = folder.fail("encrypt", "-r", folder.recipient, "--passphrase-file", "pass", status=64)
    assert "do not go together" in message


def test_a_torn_file_gives_nothing_out(folder: Folder) -> None:
    content = os.urandom(200000)
    sealed = folder.tacet("encrypt", "-r", folder.recipient, stdin=content).stdout
    folder.write("old", "old")
    for cut in (0, 10, 150, 250, 65700, len(sealed) - 1):
        done = folder.tacet("decrypt", "-i", "key.txt", "-o", "old", stdin=sealed[:cut], status=None)
        assert done.returncode in (1, 65)
        assert done.stdout == b""
        assert (folder.path / "old").read_text() == "old"


def test_decrypted_files_are_private_and_encrypted_ones_follow_the_umask(folder: Folder) -> None:
    folder.tacet("encrypt", "-r", folder.recipient, "-o", "out.age", stdin=b"text", umask=0o022)
    assert stat.S_IMODE((folder.path / "out.age").stat().st_mode) == 0o644
    folder.tacet("decrypt", "-i", "key.txt", "-o", "out", "out.age", umask=0o022)
    assert stat.S_IMODE((folder.path / "out").stat().st_mode) == 0o600


def test_output_that_cannot_be_written_is_an_error(folder: Folder) -> None:
    sealed = folder.tacet("encrypt", "-r", folder.recipient, stdin=b"text" * 50000).stdout
    (folder.path / "out.age").write_bytes(sealed)
    decrypt = ("decrypt", "-i", "key.txt", "out.age")
    with open("/dev/full", "wb") as full:
        assert b"No space left" in folder.tacet(*decrypt, stdout=full, status=1).stderr
    reader, writer = os.pipe()
    os.close(reader)
    assert b"Broken pipe" in folder.tacet(*decrypt, stdout=writer, status=1).stderr
    os.close(writer)
    done = folder.run("sh", "-c", 'exec "$@" >&-', "sh", TACET, *decrypt, status=1)
    assert b"Bad file descriptor" in done.stderr
    assert folder.tacet(*decrypt, "-o", "/dev/null").stdout == b""
    assert "No space left" in folder.fail(*decrypt, "-o", "/dev/full", status=1)


def test_a_huge_input_is_refused_with_its_limit(folder: Folder) -> None:
    script = "import sys\nfor _ in range(66): sys.stdout.buffer.write(bytes(1 << 20))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        done = subprocess.run(
            [TACET, "encrypt", "-r", folder.recipient],
            stdin=source.stdout,
            capture_output=True,
            env=folder.environment,
            timeout=200,
            check=False,
        )
        source.stdout.close()
    assert done.returncode == 1
    assert b"larger than 67108864 bytes, the limit" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(folder: Folder, verb: str) -> None:
    done = folder.tacet(verb, "--help")
    assert done.stdout.startswith(f"Usage: tacet {verb} ".encode())
    assert b"\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    with open("/dev/full", "wb") as full:
        assert b"No space left" in folder.tacet(verb, "-h", stdout=full, status=1).stderr


def in_terminal(folder: Folder, *arguments: str, term: str = "xterm") -> Terminal:
    return Terminal(["env", "-C", str(folder.path), f"HOME={folder.home}", f"TERM={term}", TACET, *arguments])


def test_help_and_errors_are_coloured_at_a_terminal_alone(folder: Folder) -> None:
    with in_terminal(folder, "keygen", "--help") as terminal:
        terminal.expect("\x1b[1mUsage:\x1b[0m tacet keygen")
    with in_terminal(folder, "list", "nowhere") as terminal:
        terminal.expect("\x1b[1;31mtacet: \x1b[0m")
    with Terminal(["env", "NO_COLOR=1", "TERM=xterm", TACET, "keygen", "--help"]) as terminal:
        assert "\x1b" not in terminal.expect("tacet keygen")


def test_binary_is_not_written_to_a_terminal(folder: Folder) -> None:
    folder.write("text", "text")
    with in_terminal(folder, "encrypt", "-r", folder.recipient, "text") as terminal:
        terminal.expect("binary is not written to a terminal")
        assert terminal.process.wait(30) == 64
    with in_terminal(folder, "encrypt", "-a", "-r", folder.recipient, "text") as terminal:
        terminal.expect("END AGE ENCRYPTED FILE")
    with in_terminal(folder, "encrypt", "-r", folder.recipient, "-o", "-", "text") as terminal:
        terminal.expect("age-encryption.org")


def test_a_typed_passphrase_locks_and_opens_without_echo(folder: Folder) -> None:
    with in_terminal(folder, "encrypt", "-p", "-o", "out.age", "key.txt") as terminal:
        terminal.expect("Passphrase (empty: make one up): ")
        terminal.type("correct horse\n")
        terminal.expect("again: ")
        terminal.type("other\n")
        terminal.expect("differ")
        terminal.expect("Passphrase (empty: make one up): ")
        terminal.type("correct horse\n")
        terminal.expect("again: ")
        terminal.type("correct horse\n")
        assert terminal.process.wait(SCRYPT_SECONDS) == 0
        assert "horse" not in terminal.text
    with in_terminal(folder, "decrypt", "out.age") as terminal:
        terminal.expect("Passphrase for 'out.age': ")
        terminal.type("correct horse\n")
        assert "horse" not in terminal.expect("AGE-SECRET-KEY-1", SCRYPT_SECONDS)
    # An identity that is itself locked.
    folder.set("NAME", "value")
    with in_terminal(folder, "decrypt", "-i", "out.age", "secrets.age") as terminal:
        terminal.expect("Passphrase for identity 'out.age': ")
        terminal.type("correct horse\n")
        terminal.expect("NAME=value", SCRYPT_SECONDS)


def test_an_empty_passphrase_makes_one_up(folder: Folder) -> None:
    with in_terminal(folder, "encrypt", "-p", "-o", "out.age", "key.txt") as terminal:
        terminal.expect("make one up): ")
        terminal.type("\n")
        terminal.expect("Passphrase: ")
        made = terminal.expect("\n").strip()
        assert terminal.process.wait(SCRYPT_SECONDS) == 0
    assert len(made) == 29
    folder.write("pass", made)
    assert b"AGE-SECRET-KEY-1" in folder.tacet("decrypt", "--passphrase-file", "pass", "out.age").stdout
