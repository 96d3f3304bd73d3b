"""set, unset, list and rekey: what they write, what they refuse, and what never shows."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import signal
import stat
import string
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from cli_files import CANARY, Folder
from support import TACET, is_alive, state_of, wait_until
from terminal import Terminal


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def terminal(folder: Folder, *arguments: str) -> Terminal:
    return Terminal(["env", "-C", str(folder.path), f"HOME={folder.home}", TACET, *arguments])


# ---- values ----


def test_what_set_writes_age_reads(folder: Folder) -> None:
    folder.set("DB_PASSWORD", "hunter2\n")
    folder.set("URL", "postgres://a:b@c/d?e=f#g")
    assert folder.read() == "DB_PASSWORD=hunter2\nURL='postgres://a:b@c/d?e=f#g'\n"
    folder.set("DB_PASSWORD", "new")
    assert folder.read() == "DB_PASSWORD=new\nURL='postgres://a:b@c/d?e=f#g'\n"
    assert stat.S_IMODE((folder.path / "secrets.age").stat().st_mode) == 0o600
    assert folder.names() == ["DB_PASSWORD", "URL"]


def test_comments_and_order_stay(folder: Folder) -> None:
    text = "# head\n\nexport A=1 # one\n\nB='two'\n# end\n"
    folder.tacet("encrypt", "-r", folder.recipient, "-o", "secrets.age", stdin=text.encode())
    folder.set("A", "9")
    assert folder.read() == text.replace("A=1", "A=9")
    folder.tacet("unset", "-i", "key.txt", "secrets.age", "B")
    assert folder.read() == "# head\n\nexport A=9 # one\n\n# end\n"


def test_json_documents_stay_json(folder: Folder) -> None:
    folder.tacet("encrypt", "-r", folder.recipient, "-o", "s.age", stdin=b'\n { "A": "1" }\n')
    folder.set("B", 'two"\n', "s.age")
    assert json.loads(folder.read("s.age")) == {"A": "1", "B": 'two"'}
    folder.set("NEW", "x", "new.json.age")
    assert json.loads(folder.read("new.json.age")) == {"NEW": "x"}


def test_one_final_line_end_is_left_out_unless_raw(folder: Folder) -> None:
    for given, options, size in (
        ("a\n", [], 1),
        ("a\r\n", [], 1),
        ("a\n\n", [], 2),
        ("a\n", ["--raw"], 2),
        ("-----BEGIN\nx\n-----END\n", ["--raw"], 22),
    ):
        folder.set("V", given, "secrets.age", *options)
        listed = json.loads(folder.tacet("list", "-i", "key.txt", "--json", "secrets.age").stdout)
        fingerprint = listed["variables"][0].pop("fingerprint")
        assert re.fullmatch("[0-9a-f]{8}", fingerprint)
        assert (listed.pop("recipients"), listed.pop("passphrase")) == (1, False)
        assert listed == {"file": "secrets.age", "variables": [{"name": "V", "bytes": size, "line": 1}]}


def test_a_value_comes_from_a_descriptor(folder: Folder) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"by descriptor\n")
    os.close(writer)
    folder.tacet("set", "-i", "key.txt", "--from-fd", str(reader), "secrets.age", "A", pass_fds=[reader])
    os.close(reader)
    assert folder.read() == "A='by descriptor'\n"
    assert "Bad file descriptor" in folder.fail("set", "-i", "key.txt", "--from-fd=77", "secrets.age", "A")


@pytest.mark.parametrize(
    ("form", "length", "letters"),
    [
        ("base64url:32", 43, string.ascii_letters + string.digits + "-_"),
        ("hex:20", 40, "0123456789abcdef"),
        ("alnum:24", 24, string.ascii_letters + string.digits),
    ],
)
def test_generated_values_have_their_form(folder: Folder, form: str, length: int, letters: str) -> None:
    seen = set()
    for _ in range(3):
        folder.tacet("set", "-i", "key.txt", "-g", form, "secrets.age", "KEY")
        value = folder.read().removeprefix("KEY=").strip()
        assert len(value) == length
        assert set(value) <= set(letters)
        seen.add(value)
    assert len(seen) == 3


@pytest.mark.parametrize("form", ["base64url", "hex:0", "alnum:5000", "base64:32", pytest.param(CANARY, id="canary")])
def test_other_forms_are_refused_without_repeating_them(folder: Folder, form: str) -> None:
    message = folder.fail("set", "-i", "key.txt", "--generate", form, "secrets.age", "KEY", status=64)
    assert "base64url:32" in message
    assert CANARY not in message
    assert "secrets.age" not in folder.entries()


def test_binary_needs_to_be_asked_for(folder: Folder) -> None:
    binary = bytes(range(1, 256))
    message = folder.fail("set", "-i", "key.txt", "secrets.age", "BIN", stdin=binary)
    assert "--base64" in message
    folder.tacet("set", "-i", "key.txt", "--base64", "--raw", "secrets.age", "BIN", stdin=binary)
    assert base64.b64decode(folder.read().split("=", 1)[1]) == binary


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\0b", "NUL"),
        (b"x" * 131072, "131071"),
        (b"x" * 131071, "131071"),
        (b"x" * 3000000, "131071"),
    ],
)
def test_values_that_cannot_be_used_are_refused_and_nothing_is_written(
    folder: Folder, value: bytes, reason: str
) -> None:
    assert reason in folder.fail("set", "-i", "key.txt", "secrets.age", "NAME", stdin=value)
    assert "secrets.age" not in folder.entries()


def test_a_file_that_does_not_load_is_not_changed(folder: Folder) -> None:
    sealed = folder.tacet("encrypt", "-r", folder.recipient, stdin=f"A=1\nA={CANARY}\n".encode()).stdout
    (folder.path / "secrets.age").write_bytes(sealed)
    message = folder.fail("set", "-i", "key.txt", "secrets.age", "B", stdin=b"x")
    assert "secrets.age:2" in message
    assert CANARY not in message
    assert (folder.path / "secrets.age").read_bytes() == sealed


VALUES = [
    b"plain",
    b" blanks # and 'quotes' \"both\" $HOME `x` \\n ",
    b"-----BEGIN X-----\nline\n\n-----END X-----\n",
    "schlüssel ☃".encode(),
    b"tab\tcr\rlf\n",
    b"''''",
    b"=",
    b"x" * 100000,
]


@pytest.mark.parametrize("file", ["secrets.age", "secrets.json.age"])
def test_the_app_gets_the_bytes_that_were_set(folder: Folder, file: str) -> None:
    for number, value in enumerate(VALUES):
        folder.tacet("set", "-i", "key.txt", "--raw", file, f"V{number}", stdin=value)
    script = "import os, sys\nfor n in range(int(sys.argv[1])): print(os.environb[b'V%d' % n].hex())"
    source = ("-s", f"age:{file}", "-i", "key.txt")
    done = folder.tacet("exec", *source, "--", sys.executable, "-c", script, str(len(VALUES)))
    assert [bytes.fromhex(line) for line in done.stdout.decode().split()] == VALUES
    listed = json.loads(folder.tacet("list", "--json", "-i", "key.txt", file).stdout)["variables"]
    checked = json.loads(folder.tacet("check", "--json", *source).stdout)["secrets"]
    shown = {secret["name"]: (secret["bytes"], secret["fingerprint"]) for secret in listed}
    assert shown == {secret["name"]: (secret["bytes"], secret["fingerprint"]) for secret in checked}
    assert len(shown) == len(VALUES)


# ---- the command line ----


@pytest.mark.parametrize(
    "arguments",
    [
        ("secrets.age", f"DB_PASSWORD={CANARY}"),
        (f"DB_PASSWORD={CANARY}",),
        ("secrets.age", "DB_PASSWORD", CANARY),
        ("secrets.age", f"9{CANARY}"),
        ("secrets.age", "DB_PASSWORD", f"--value={CANARY}"),
        ("secrets.age", "DB_PASSWORD", f"-x{CANARY}"),
    ],
)
def test_a_value_on_the_command_line_is_refused_and_wiped(folder: Folder, arguments: tuple[str, ...]) -> None:
    """The error goes to a pipe that is full, so that the process can be looked at while it waits there."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    process = subprocess.Popen([TACET, "set", *arguments], stderr=writer, env=folder.environment, cwd=folder.path)
    os.close(writer)
    try:
        wait_until(lambda: Path(f"/proc/{process.pid}/syscall").read_text().startswith("1 0x2 "), "writes its error")
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    finally:
        said = b""
        while chunk := os.read(reader, 65536):
            said += chunk
        os.close(reader)
        assert process.wait(30) == 64
    assert CANARY.encode() not in line
    assert CANARY[8:].encode() not in line
    said = said.lstrip(b"x")
    assert said.startswith(b"tacet: ")
    assert b"next: " in said
    assert CANARY.encode() not in said


@pytest.mark.parametrize("before", [(), ("run",), ("exec", "--")])
def test_a_value_in_place_of_a_verb_or_command_is_refused_too(folder: Folder, before: tuple[str, ...]) -> None:
    message = folder.fail(*before, f"DB_PASSWORD={CANARY}", "true", status=64)
    assert "a value on the command line is refused" in message
    assert "tacet set FILE DB_PASSWORD" in message
    assert CANARY not in message


def test_unset_and_edit_refuse_values_too(folder: Folder) -> None:
    folder.set("A", "1")
    for verb in ("unset", "edit"):
        message = folder.fail(verb, "-i", "key.txt", "secrets.age", f"A={CANARY}", status=64)
        assert "refused" in message
        assert CANARY not in message
    assert folder.read() == "A=1\n"


def test_usage_errors_exit_64_and_name_the_help(folder: Folder) -> None:
    assert "tacet set --help" in folder.fail("set", status=64)
    assert "no variable" in folder.fail("set", "secrets.age", status=64)
    assert "exclude" in folder.fail("set", "-g", "hex:4", "--from-fd", "0", "secrets.age", "A", status=64)
    assert "given twice" in folder.fail("set", "-g", "hex:4", "-g", "hex:4", "secrets.age", "A", status=64)


# ---- the prompt ----


def test_the_prompt_asks_twice_and_shows_nothing(folder: Folder) -> None:
    with terminal(folder, "set", "-i", "key.txt", "secrets.age", "DB") as screen:
        screen.expect("Value of DB: ")
        screen.type(f"{CANARY}\n")
        screen.expect("DB again: ")
        screen.type(f"{CANARY}\n")
        shown = screen.expect("DB is set in 'secrets.age'")
        assert CANARY not in shown + screen.text
        assert screen.process.wait(30) == 0
    assert folder.read() == f"DB={CANARY}\n"


def test_answers_that_differ_are_asked_again_three_times(folder: Folder) -> None:
    with terminal(folder, "set", "-i", "key.txt", "secrets.age", "DB") as screen:
        for turn in range(3):
            screen.expect("Value of DB: ")
            screen.type("one\n")
            screen.expect("DB again: ")
            screen.type(f"other{turn}\n")
        screen.expect("differed 3 times")
        assert screen.process.wait(30) == 1
    assert "secrets.age" not in folder.entries()


def test_an_empty_answer_changes_nothing(folder: Folder) -> None:
    with terminal(folder, "set", "-i", "key.txt", "secrets.age", "DB") as screen:
        screen.expect("Value of DB: ")
        screen.type("\n")
        screen.expect("nothing was changed")
        assert screen.process.wait(30) == 1


def test_a_line_that_a_terminal_would_cut_is_refused(folder: Folder) -> None:
    with terminal(folder, "set", "-i", "key.txt", "secrets.age", "DB") as screen:
        screen.expect("Value of DB: ")
        screen.type("x" * 4090 + "\n")
        screen.expect("DB again: ")
        screen.type("x" * 5000 + "\n")
        screen.expect("a terminal cuts it there")
        assert screen.process.wait(30) == 1
    assert "secrets.age" not in folder.entries()


def test_what_is_pasted_behind_the_answer_does_not_reach_the_shell(folder: Folder) -> None:
    with Terminal() as screen:
        screen.command(f"cd {folder.path}; HOME={folder.home} {TACET} set -i key.txt secrets.age DB")
        screen.expect("Value of DB: ")
        screen.type("first\ntouch pasted\ntouch pasted\n")
        screen.expect("again: ")
        screen.type("\x03")
        screen.command("echo al''ive")
        screen.expect("alive")
    assert "pasted" not in folder.entries()


def echoes(screen: Terminal) -> bool:
    return bool(termios.tcgetattr(screen.master)[3] & termios.ECHO)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_at_the_prompt_ends_it_and_restores_the_echo(folder: Folder, number: int) -> None:
    with terminal(folder, "set", "-i", "key.txt", "secrets.age", "DB") as screen:
        screen.expect("Value of DB: ")
        assert not echoes(screen)
        screen.type("half a secr")
        os.kill(screen.process.pid, number)
        assert screen.process.wait(30) == -number
        assert echoes(screen)


def test_the_prompt_can_be_stopped_and_continued(folder: Folder) -> None:
    with Terminal() as screen:
        screen.command(f"cd {folder.path}; HOME={folder.home} {TACET} set -i key.txt secrets.age DB")
        screen.expect("Value of DB: ")
        screen.type("\x1a")
        screen.expect("Stopped")
        screen.expect("prompt> ")
        assert echoes(screen)
        screen.type("fg\n")
        screen.expect("Value of DB: ")
        wait_until(lambda: not echoes(screen), "the echo is off again")
        screen.type("value\n")
        screen.expect("DB again: ")
        screen.type("value\n")
        screen.expect("DB is set")
    assert folder.read() == "DB=value\n"


# ---- whom for ----


def test_a_new_file_needs_recipients(folder: Folder) -> None:
    home = folder.home / ".config" / "tacet"
    home.mkdir(parents=True)
    (home / "identity.txt").write_text((folder.path / "key.txt").read_text())
    message = folder.fail("set", "secrets.age", "A", stdin=b"1", status=64)
    assert "-r or -R" in message
    folder.tacet("set", "-r", folder.recipient, "secrets.age", "A", stdin=b"1")
    assert folder.read() == "A=1\n"


def test_several_recipients_are_never_guessed(folder: Folder) -> None:
    folder.tacet("keygen", "-o", "other.txt")
    other = folder.tacet("keygen", "-y", "other.txt").stdout.decode().strip()
    both = ("-r", folder.recipient, "-r", other)
    folder.set("A", "1", "secrets.age", *both)
    message = folder.fail("set", "-i", "key.txt", "secrets.age", "A", stdin=b"2", status=64)
    assert "It is for several" in message
    folder.write(".age-recipients", f"# team\n{folder.recipient}\n{other}\n", 0o644)
    folder.set("A", "3")
    assert folder.run("age", "-d", "-i", "other.txt", "secrets.age").stdout == b"A=3\n"
    folder.write(".age-recipients", f"{other}\n", 0o646)
    assert "not trusted" in folder.fail("set", "-i", "key.txt", "secrets.age", "A", stdin=b"4")
    assert folder.read() == "A=3\n"


def test_the_identity_that_opens_a_file_is_the_one_it_stays_for(folder: Folder) -> None:
    folder.set("A", "1")
    folder.tacet("keygen", "-o", "other.txt")
    folder.tacet("set", "-i", "other.txt", "-i", "key.txt", "secrets.age", "A", stdin=b"2")
    assert folder.read() == "A=2\n"
    assert folder.run("age", "-d", "-i", "other.txt", "secrets.age", status=None).returncode != 0


def test_a_passphrase_stays_the_same(folder: Folder) -> None:
    folder.write("pass", "correct horse\n")
    options = ("--passphrase-file", "pass", "secrets.age")
    folder.tacet("set", *options, "A", stdin=b"1")
    folder.tacet("set", *options, "B", stdin=b"2")
    assert folder.tacet("decrypt", *options).stdout == b"A=1\nB=2\n"


def test_armor_stays_armor(folder: Folder) -> None:
    folder.tacet("encrypt", "-a", "-r", folder.recipient, "-o", "secrets.age", stdin=b"A=1\n")
    folder.set("B", "2")
    assert (folder.path / "secrets.age").read_bytes().startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert folder.read() == "A=1\nB=2\n"


def test_rekey_changes_who_can_read(folder: Folder) -> None:
    folder.set("A", "1")
    folder.tacet("keygen", "-o", "other.txt")
    other = folder.tacet("keygen", "-y", "other.txt").stdout.decode().strip()
    folder.tacet("rekey", "-i", "key.txt", "-i", "other.txt", "-r", other, "secrets.age")
    assert folder.run("age", "-d", "-i", "other.txt", "secrets.age").stdout == b"A=1\n"
    assert "none of the given keys" in folder.fail("list", "-i", "key.txt", "secrets.age", status=65)
    folder.write("pass", "correct horse\n")
    folder.tacet("rekey", "-i", "other.txt", "--new-passphrase-file", "pass", "secrets.age")
    assert b"A" in folder.tacet("list", "--passphrase-file", "pass", "secrets.age").stdout
    folder.tacet("rekey", "--passphrase-file", "pass", "-i", "key.txt", "-r", folder.recipient, "secrets.age")
    assert folder.read() == "A=1\n"


def test_rekey_takes_anything_that_is_encrypted(folder: Folder) -> None:
    content = os.urandom(100000)
    folder.tacet("encrypt", "-r", folder.recipient, "-o", "blob.age", stdin=content)
    before = (folder.path / "blob.age").read_bytes()
    folder.tacet("rekey", "-i", "key.txt", "blob.age")
    assert (folder.path / "blob.age").read_bytes() != before
    assert folder.run("age", "-d", "-i", "key.txt", "blob.age").stdout == content


# ---- list and unset ----


def test_list_shows_names_and_sizes_and_no_value(folder: Folder) -> None:
    folder.set("LONG_NAME_OF_IT", CANARY)
    folder.set("B", "22")
    done = folder.tacet("list", "-i", "key.txt", "secrets.age")
    assert re.fullmatch(rf"LONG_NAME_OF_IT +{len(CANARY)}\b.*\nB +2\b.*\n", done.stdout.decode())
    assert CANARY.encode() not in done.stdout + done.stderr
    with terminal(folder, "list", "-i", "key.txt", "secrets.age") as screen:
        screen.expect("NAME")
        screen.expect("BYTES")
        screen.expect("LONG_NAME_OF_IT")
    folder.write("plain.env", f"A={CANARY}\n")
    message = folder.fail("list", "-i", "key.txt", "plain.env", status=65)
    assert "not an age file" in message
    assert "tacet encrypt" in message
    assert "does not exist" in folder.fail("list", "-i", "key.txt", "nowhere", status=66)


def test_fingerprints_change_with_the_value_alone(folder: Folder) -> None:
    def fingerprints(*options: str) -> dict[str, str | None]:
        listed = json.loads(folder.tacet("list", "--json", *options, "secrets.age").stdout)
        return {variable["name"]: variable.get("fingerprint") for variable in listed["variables"]}

    folder.set("A", "same")
    folder.set("B", "same")
    first = fingerprints("-i", "key.txt")
    assert first["A"] != first["B"]
    folder.set("B", "other")
    second = fingerprints("-i", "key.txt")
    assert second["A"] == first["A"]
    assert second["B"] != first["B"]
    folder.write("pass", "correct horse\n")
    folder.tacet("rekey", "-i", "key.txt", "--new-passphrase-file", "pass", "secrets.age")
    assert fingerprints("-i", "passphrase-file:pass") == {"A": None, "B": None}


def test_unset_removes_all_or_nothing(folder: Folder) -> None:
    for name in "ABC":
        folder.set(name, "1")
    assert "no variable NOPE" in folder.fail("unset", "-i", "key.txt", "secrets.age", "A", "NOPE")
    assert folder.names() == ["A", "B", "C"]
    folder.tacet("unset", "-i", "key.txt", "secrets.age", "A", "C")
    assert folder.names() == ["B"]
    assert "does not exist" in folder.fail("unset", "-i", "key.txt", "new.age", "A")
    assert "new.age" not in folder.entries()


def test_unset_of_the_last_name_is_refused_unless_it_is_meant(folder: Folder) -> None:
    """All at once as well."""
    folder.set("A", "1")
    folder.set("B", "2")
    for names in (["A", "B"], ["B", "A"]):
        assert "no variable would be left" in folder.fail("unset", "-i", "key.txt", "secrets.age", *names, status=64)
    folder.tacet("unset", "-i", "key.txt", "secrets.age", "A")
    assert "--empty" in folder.fail("unset", "-i", "key.txt", "secrets.age", "B", status=64)
    folder.tacet("unset", "--empty", "-i", "key.txt", "secrets.age", "B")
    assert folder.names() == []


def test_a_new_file_is_said(folder: Folder) -> None:
    """Whoever has mistyped the path learns it at once, in a script too."""
    made = folder.tacet("set", "-i", "key.txt", "typo.age", "A", stdin=b"1")
    assert b"made a new file 'typo.age', for 1 recipient" in made.stderr
    assert folder.tacet("set", "-i", "key.txt", "typo.age", "A", stdin=b"2").stderr == b""


# ---- the file ----


def test_links_owner_and_mode_stay(folder: Folder) -> None:
    folder.set("A", "1", "real.age")
    path = folder.path / "real.age"
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
    os.symlink("real.age", folder.path / "link.age")
    folder.set("A", "2", "link.age")
    status = path.stat()
    assert (folder.path / "link.age").is_symlink()
    assert stat.S_IMODE(status.st_mode) == 0o640
    if os.geteuid() == 0:
        assert (status.st_uid, status.st_gid) == (1234, 4321)
    assert folder.read("real.age") == "A=2\n"


def test_an_access_control_list_stays(folder: Folder) -> None:
    folder.set("A", "1")
    entries = ((0x01, 6, -1), (0x02, 4, 1234), (0x04, 4, -1), (0x10, 4, -1), (0x20, 0, -1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    path = folder.path / "secrets.age"
    os.setxattr(path, "system.posix_acl_access", acl)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    folder.set("A", "2")
    assert os.getxattr(path, "system.posix_acl_access") == acl
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    os.removexattr(path, "system.posix_acl_access")
    os.setxattr(folder.path, "system.posix_acl_default", acl)
    folder.set("A", "3")
    assert "system.posix_acl_access" not in os.listxattr(path), "none is inherited from the folder"


def test_sets_at_the_same_time_all_land(folder: Folder) -> None:
    """They also race for making the file."""
    names = [f"NAME_{number}" for number in range(12)]
    running = []
    for name in names:
        process = subprocess.Popen(
            [TACET, "set", "-i", "key.txt", "secrets.age", name],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder.path,
            env=folder.environment,
        )
        running.append(process)
    for process, name in zip(running, names, strict=True):
        process.stdin.write(name.lower().encode())
        process.stdin.close()
    for process in running:
        assert process.wait(200) == 0, process.stderr.read()
        process.stderr.close()
    assert sorted(folder.read().splitlines()) == sorted(f"{name}={name.lower()}" for name in names)
    assert folder.entries() == ["home", "key.txt", "secrets.age"]


def test_a_locked_file_is_waited_for(folder: Folder) -> None:
    folder.set("A", "1")
    with (folder.path / "secrets.age").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [TACET, "set", "-i", "key.txt", "-g", "hex:4", "secrets.age", "B"],
            stderr=subprocess.PIPE,
            cwd=folder.path,
            env=folder.environment,
        )
        with process:
            assert b"locked by another tacet, waiting" in process.stderr.readline()
            time.sleep(0.2)
            assert is_alive(process.pid)
            fcntl.flock(file, fcntl.LOCK_UN)
            assert process.wait(30) == 0
    assert folder.names() == ["A", "B"]
