"""Whom a file is for when it is written again: nobody is let in or locked out by what happens to lie beside it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cli_files import Folder
from support import TACET
from terminal import Terminal

STRANGER = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder in which `secrets.age` holds OLD and NEW, for key.txt alone, and where there is a key of somebody else."""
    made = Folder(tmp_path)
    made.tacet("encrypt", "-r", made.recipient, "-o", "secrets.age", stdin=b"OLD=1\nNEW=x\n")
    return made


def key(folder: Folder, name: str) -> str:
    """Make an identity; return its recipient."""
    folder.tacet("keygen", "-o", name)
    return folder.tacet("keygen", "-y", name).stdout.decode().strip()


def reads(folder: Folder, name: str, file: str = "secrets.age") -> bool:
    """Say whether the identity `name` opens the file."""
    return folder.run("age", "-d", "-i", name, file, status=None).returncode == 0


def change(folder: Folder, verb: str, *options: str, **more: object) -> object:
    """Let one of the verbs write secrets.age again."""
    environment = {"EDITOR": "sed -i s/NEW=x/NEW=y/"}
    operands = {"set": ["NEW"], "unset": ["NEW"], "edit": [], "rekey": []}[verb]
    return folder.tacet(verb, *options, "secrets.age", *operands, stdin=b"v", environment=environment, **more)


VERBS = ["set", "unset", "edit", "rekey"]
KEY = ("-i", "key.txt")


# ---- who may have written it ----


@pytest.mark.parametrize("verb", VERBS)
def test_a_planted_file_of_recipients_is_not_believed(folder: Folder, verb: str) -> None:
    other = key(folder, "other.txt")
    planted = folder.write(".age-recipients", f"{folder.recipient}\n{other}\n", 0o644)
    before = (folder.path / "secrets.age").read_bytes()

    def refused(*said: str) -> None:
        done = change(folder, verb, *KEY, status=None)
        assert done.returncode == 1
        assert all(word in done.stderr.decode() for word in said), done.stderr
        assert (folder.path / "secrets.age").read_bytes() == before

    if os.geteuid() == 0:
        os.chown(planted, STRANGER, -1)
        refused(f".age-recipients' belongs to user {STRANGER} and is not trusted", "chown", "-r or -R")
        os.chown(planted, 0, -1)
        os.chown(folder.path, STRANGER, -1)
        refused(f"'{folder.path}' belongs to user {STRANGER} and is not trusted")
        os.chown(folder.path, 0, -1)
    for mode in (0o664, 0o646):
        planted.chmod(mode)
        refused(f".age-recipients' can be written by others (mode {mode:04o})", f"chmod go-w '{planted}'")
    planted.chmod(0o644)
    for mode in (0o770, 0o707, 0o1777):
        folder.path.chmod(mode)
        refused(f"'{folder.path}' can be written by others (mode {mode:04o})", f"chmod go-w '{folder.path}'")
    # Whoever names recipients does not need it.
    change(folder, verb, *KEY, "-r", folder.recipient)
    assert reads(folder, "key.txt")
    assert not reads(folder, "other.txt")
    folder.path.chmod(0o700)
    (folder.path / "secrets.age").write_bytes(before)
    change(folder, verb, *KEY)
    assert reads(folder, "other.txt")


def test_a_link_to_recipients_is_believed_where_its_folder_is(folder: Folder) -> None:
    team = folder.path / "team"
    team.mkdir(0o755)
    (team / "list").write_text(f"{folder.recipient}\n{key(folder, 'other.txt')}\n")
    (folder.path / ".age-recipients").symlink_to("team/list")
    change(folder, "set", *KEY)
    assert reads(folder, "other.txt")
    team.chmod(0o777)
    assert f"'{team}' can be written by others" in folder.fail("rekey", *KEY, "secrets.age")
    (folder.path / ".age-recipients").unlink()
    (folder.path / ".age-recipients").symlink_to("nowhere")
    assert "No such file" in folder.fail("rekey", *KEY, "secrets.age")


# ---- being locked out ----


@pytest.mark.parametrize("verb", VERBS)
def test_the_key_that_opens_a_file_stays(folder: Folder, verb: str) -> None:
    other = key(folder, "other.txt")
    before = (folder.path / "secrets.age").read_bytes()
    folder.write(".age-recipients", f"{other}\n", 0o644)
    done = change(folder, verb, *KEY, status=64)
    assert b"would not open with your key any more: .age-recipients beside it does not list it" in done.stderr
    assert f"add {folder.recipient} there, or give --lock-myself-out".encode() in done.stderr
    done = change(folder, verb, *KEY, "-r", other, status=64)
    assert b"it is not among the new recipients" in done.stderr
    assert (folder.path / "secrets.age").read_bytes() == before
    change(folder, verb, *KEY, "--lock-myself-out")
    assert reads(folder, "other.txt")
    assert not reads(folder, "key.txt")


def test_moving_to_a_new_key_of_ones_own_locks_nobody_out(folder: Folder) -> None:
    other = key(folder, "other.txt")
    folder.tacet("rekey", *KEY, "-i", "other.txt", "-r", other, "secrets.age")
    assert reads(folder, "other.txt")
    assert not reads(folder, "key.txt")


def test_a_passphrase_stays_whatever_lies_beside(folder: Folder) -> None:
    folder.write(".age-recipients", f"{folder.recipient}\n", 0o644)
    folder.write("pass", "correct horse\n")
    folder.write("wrong", "battery staple\n")
    locked = ("--passphrase-file", "pass")
    folder.tacet("encrypt", *locked, "-o", "secrets.age", stdin=b"OLD=1\nNEW=x\n")
    for verb in VERBS:
        change(folder, verb, *locked)
        folder.tacet("encrypt", *locked, "-o", "secrets.age", stdin=b"OLD=1\nNEW=x\n")
    # Of several the one that opens it.
    change(folder, "set", *locked, "-i", "passphrase-file:wrong")
    assert b"NEW=v" in folder.tacet("decrypt", *locked, "secrets.age").stdout
    assert "wrong passphrase" in folder.fail("decrypt", "--passphrase-file", "wrong", "secrets.age")
    # A new file that is to be locked with one.
    folder.tacet("set", *locked, "new.age", "A", stdin=b"1")
    assert folder.tacet("decrypt", *locked, "new.age").stdout == b"A=1\n"
    # Recipients instead: with a key of one's own, or else it has to be said.
    other = key(folder, "other.txt")
    assert "would not open" in folder.fail("rekey", *locked, "-r", other, "secrets.age", status=64)
    said = folder.tacet("rekey", *locked, *KEY, "-r", folder.recipient, "secrets.age").stderr.decode()
    assert "'secrets.age' is locked with a passphrase and will be for 1 recipient\n" in said
    assert f"added: {folder.recipient}" in said
    assert reads(folder, "key.txt")
    said = folder.tacet("rekey", *KEY, "--new-passphrase-file", "pass", "secrets.age").stderr.decode()
    assert "added: a passphrase" in said
    assert f"removed: {folder.recipient}" in said


def test_a_new_file_is_for_the_list_and_the_list_has_the_key_that_was_named(folder: Folder) -> None:
    other = key(folder, "other.txt")
    folder.write(".age-recipients", f"{other}\n", 0o644)
    assert "does not list it" in folder.fail("set", *KEY, "new.age", "A", stdin=b"1", status=64)
    assert "new.age" not in folder.entries()
    folder.tacet("set", "new.age", "A", stdin=b"1")
    assert reads(folder, "other.txt", "new.age")
    folder.write(".age-recipients", f"{other}\n{folder.recipient}\n", 0o644)
    folder.tacet("set", *KEY, "more.age", "A", stdin=b"1")
    assert reads(folder, "other.txt", "more.age")
    assert reads(folder, "key.txt", "more.age")


# ---- what is said and asked ----


def test_what_changes_is_said_as_far_as_it_can_be_known(folder: Folder) -> None:
    one, two = key(folder, "one.txt"), key(folder, "two.txt")

    def rekey(*recipients: str) -> list[str]:
        named = [word for recipient in recipients for word in ("-r", recipient)]
        said = folder.tacet("rekey", *KEY, *named, "secrets.age").stderr.decode()
        return [line.removeprefix("tacet: ").strip() for line in said.splitlines()]

    me = folder.recipient
    assert rekey(me) == []
    assert rekey(me, one) == ["'secrets.age' is for 1 recipient and will be for 2 recipients", f"added: {one}"]
    assert rekey(me, one) == []
    said = rekey(me, one, two)
    assert said[0] == "'secrets.age' is for 2 recipients and will be for 3 recipients"
    assert said[1:3] == [f"perhaps added: {one}", f"perhaps added: {two}"]
    assert said[3] == "at least 1 of these is new: an age file does not name its recipients"
    said = rekey(me)
    assert said[1:] == ["removed: at least 2 that an age file does not name"]
    folder.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh")
    ssh = " ".join((folder.path / "ssh.pub").read_text().split()[:2])
    assert rekey(me, ssh)[1:] == [f"added: {ssh}"]
    assert rekey(me, ssh) == []
    assert rekey(me, one)[1:] == [f"added: {one}", "removed: at least 1 that an age file does not name"]


def test_a_person_is_asked_and_a_script_is_told(folder: Folder) -> None:
    other = key(folder, "other.txt")
    folder.write(".age-recipients", f"{folder.recipient}\n{other}\n", 0o644)
    before = (folder.path / "secrets.age").read_bytes()

    def at_terminal(*arguments: str) -> Terminal:
        command = ["env", "-C", str(folder.path), f"HOME={folder.home}", TACET, *arguments]
        return Terminal(command)

    for answer in ("n\n", "\n"):
        with at_terminal("set", *KEY, "-g", "hex:4", "secrets.age", "NEW") as screen:
            screen.expect(f"added: {other}")
            screen.expect("Write it for these recipients? [y/N] ")
            screen.type(answer)
            screen.expect("its recipients were not to change")
            assert screen.process.wait(30) == 1
        assert (folder.path / "secrets.age").read_bytes() == before
    with at_terminal("rekey", *KEY, "secrets.age") as screen:
        screen.expect("[y/N] ")
        screen.type("y\n")
        screen.expect("is now for 2 recipients")
        assert screen.process.wait(30) == 0
    assert reads(folder, "other.txt")
    # As many as before: nothing shows a change, nothing is asked.
    with at_terminal("set", *KEY, "-g", "hex:4", "secrets.age", "NEW") as screen:
        screen.expect("for 2 recipients")
        assert screen.process.wait(30) == 0
    (folder.path / "secrets.age").write_bytes(before)
    with at_terminal("set", *KEY, "--yes", "-g", "hex:4", "secrets.age", "NEW") as screen:
        screen.expect("NEW is set in 'secrets.age'")
        assert screen.process.wait(30) == 0
        assert "[y/N]" not in screen.text
    assert reads(folder, "other.txt")


# ---- rekey ----


def test_rekey_adds_and_removes_where_the_former_ones_are_known(folder: Folder) -> None:
    one, two = key(folder, "one.txt"), key(folder, "two.txt")
    folder.tacet("rekey", *KEY, "--add", one, "secrets.age")
    assert reads(folder, "key.txt")
    assert reads(folder, "one.txt")
    # For two, of which one is nobody that tacet could name.
    assert "does not say who they are" in folder.fail("rekey", *KEY, "--add", two, "secrets.age", status=64)
    # Unless both keys are at hand.
    folder.tacet("rekey", *KEY, "-i", "one.txt", "--add", two, "secrets.age")
    assert all(reads(folder, name) for name in ("key.txt", "one.txt", "two.txt"))
    folder.write(".age-recipients", f"{folder.recipient}\n{one}\n", 0o644)
    message = folder.fail("rekey", *KEY, "--remove", two, "secrets.age", status=64)
    assert "it is for 3, and the 2 of .age-recipients beside it are not the same" in message
    folder.write(".age-recipients", f"{folder.recipient}\n{one}\n{two}\n", 0o644)
    said = folder.tacet("rekey", *KEY, "--remove", two, "secrets.age").stderr.decode()
    assert ".age-recipients beside 'secrets.age' stays as it is: change it as well" in said
    assert not reads(folder, "two.txt")
    assert reads(folder, "one.txt")
    folder.write(".age-recipients", f"{folder.recipient}\n{one}\n", 0o644)
    assert f"'secrets.age' is not for {two}" in folder.fail("rekey", *KEY, "--remove", two, "secrets.age", status=65)
    message = folder.fail("rekey", *KEY, "--remove", folder.recipient, "secrets.age", status=64)
    assert "would not open with your key any more" in message
    assert "--add and --remove change" in folder.fail("rekey", *KEY, "--add", one, "-r", two, "secrets.age", status=64)
    folder.write("pass", "correct horse\n")
    folder.tacet("rekey", *KEY, "--new-passphrase-file", "pass", "secrets.age")
    message = folder.fail("rekey", "--passphrase-file", "pass", "--add", one, "secrets.age", status=64)
    assert "locked with a passphrase, which must stay alone" in message


def test_rekey_takes_several_files_each_whole_or_not_at_all(folder: Folder) -> None:
    other = key(folder, "other.txt")
    for name in ("a.age", "b.age", "c.age"):
        shutil.copy(folder.path / "secrets.age", folder.path / name)
    foreign = folder.tacet("encrypt", "-r", other, stdin=b"A=1\n").stdout
    (folder.path / "b.age").write_bytes(foreign)
    files = ("a.age", "b.age", "none.age", "c.age")
    # A key that can be read only once is enough for all.
    identity = (folder.path / "key.txt").read_bytes()
    named = ("-i", "-", "-r", folder.recipient, "-r", other)
    done = folder.tacet("rekey", *named, *files, stdin=identity, status=65)
    said = done.stderr.decode()
    assert "b.age: none of the given keys" in said
    assert "'none.age' does not exist" in said
    assert "2 of 4 files stay as they were" in said
    assert (folder.path / "b.age").read_bytes() == foreign
    assert all(reads(folder, name, file) for name in ("key.txt", "other.txt") for file in ("a.age", "c.age"))
    folder.tacet("rekey", *KEY, "-r", folder.recipient, "a.age", "c.age")
    assert not reads(folder, "other.txt", "c.age")
    assert "no file is named" in folder.fail("rekey", *KEY, status=64)


# ---- list ----


def test_list_says_for_how_many_a_file_is(folder: Folder) -> None:
    def listed(*options: str) -> tuple[int, bool]:
        data = json.loads(folder.tacet("list", "--json", *options, "secrets.age").stdout)
        return data["recipients"], data["passphrase"]

    assert folder.tacet("list", *KEY, "secrets.age").stderr == b"tacet: 'secrets.age' is encrypted for 1 recipient\n"
    assert listed(*KEY) == (1, False)
    folder.tacet("rekey", *KEY, "--add", key(folder, "other.txt"), "secrets.age")
    assert b"is encrypted for 2 recipients" in folder.tacet("list", *KEY, "secrets.age").stderr
    assert listed(*KEY) == (2, False)
    folder.write("pass", "correct horse\n")
    folder.tacet("rekey", *KEY, "--new-passphrase-file", "pass", "secrets.age")
    assert b"is locked with a passphrase" in folder.tacet("list", "--passphrase-file", "pass", "secrets.age").stderr
    assert listed("--passphrase-file", "pass") == (0, True)
