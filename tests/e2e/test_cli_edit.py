"""edit: the text is in memory, seen by the editor alone, and gone with it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_files import CANARY, Folder
from support import TACET, children_of, descendants_of, is_alive, kill_quietly, wait_until
from terminal import Terminal

PLACES = ("/dev/shm", "/tmp", "/var/tmp", "/run", "/root")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.set("SECRET", CANARY)
    return made


def editor(folder: Folder, body: str) -> dict[str, str]:
    """An editor that is a shell script; it gets the file as $1."""
    path = folder.write("editor.sh", f"#!/bin/sh\n{body}\n", 0o755)
    return {"EDITOR": str(path)}


def edit(folder: Folder, body: str, *options: str, status: int | None = 0) -> subprocess.CompletedProcess[bytes]:
    return folder.tacet(
        "edit", "-i", "key.txt", *options, "secrets.age", environment=editor(folder, body), status=status
    )


def leaks(*folders: str) -> list[str]:
    """Files under these folders, and their names, that hold the canary; the test's own folders are not among them."""
    found = []
    for top in folders:
        for where, below, names in os.walk(top):
            if where == "/tmp":
                below[:] = [name for name in below if not name.startswith(("pytest-", "wt"))]
            for name in names:
                path = Path(where, name)
                with contextlib.suppress(OSError):
                    if path.is_file() and path.stat().st_size < 1 << 20 and CANARY.encode() in path.read_bytes():
                        found.append(str(path))
    return found


def visible_folders() -> list[str]:
    """Those of `edit --visible`; whatever else runs on this machine may have its own files there."""
    return [name for name in os.listdir("/dev/shm") if name.startswith("tacet-edit-")]


@pytest.fixture(autouse=True)
def nothing_stays(folder: Folder) -> Iterator[None]:
    before = set(visible_folders())
    yield
    wait_until(lambda: set(visible_folders()) <= before, "nothing is left in /dev/shm")
    assert leaks("/dev/shm", "/var/tmp", str(folder.path)) == []


def test_an_edited_text_is_written(folder: Folder) -> None:
    done = edit(folder, 'echo "# note" >> "$1"; echo "B=2" >> "$1"')
    assert done.stdout == b""
    assert folder.read() == f"SECRET={CANARY}\n# note\nB=2\n"


def test_an_unchanged_text_is_not_written(folder: Folder) -> None:
    path = folder.path / "secrets.age"
    before = (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
    assert b"unchanged" in edit(folder, 'touch "$1"').stderr
    assert (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) == before


def test_an_editor_that_writes_a_new_file_is_followed(folder: Folder) -> None:
    edit(folder, 'cp "$1" "$1~"; echo "B=2" > "$1.new"; mv "$1.new" "$1"')
    assert folder.read() == "B=2\n"


def test_a_new_file_is_made(folder: Folder) -> None:
    environment = editor(folder, 'echo "A=1" > "$1"')
    folder.tacet("edit", "-r", folder.recipient, "new.age", environment=environment)
    assert folder.read("new.age") == "A=1\n"
    folder.tacet("edit", "-r", folder.recipient, "none.age", environment=editor(folder, "true"))
    assert "none.age" not in folder.entries()


@pytest.mark.parametrize("body", [': > "$1"', 'echo "# nothing" > "$1"'])
def test_an_emptied_text_is_refused_unless_it_is_meant(folder: Folder, body: str) -> None:
    """An editor that failed, a disk that was full: the secrets are not gone for that."""
    done = edit(folder, body, status=64)
    assert b"no variable would be left" in done.stderr
    assert b"--empty" in done.stderr
    assert folder.read() == f"SECRET={CANARY}\n"
    edit(folder, body, "--empty")
    assert folder.names() == []
    edit(folder, 'echo "# still nothing" > "$1"')


def test_recipients_are_settled_before_the_editor_opens(folder: Folder) -> None:
    environment = editor(folder, f"touch {folder.path}/opened")
    message = folder.fail("edit", "new.age", environment=environment, status=64)
    assert "whom to encrypt" in message
    assert "opened" not in folder.entries()


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_the_editor_sees_a_private_folder_and_can_write_nowhere_else(folder: Folder, user: str) -> None:
    body = f"""
        echo "path=$1"; echo "tmpdir=$TMPDIR"
        for place in {" ".join(PLACES)} {folder.path}; do
                [ "$place" = "$TMPDIR" ] || ! touch "$place/tacet-leak" || echo "LEAK $place"
        done
        cp "$1" "$1.swp"; mkdir "$TMPDIR/undo"; cp "$1" "$TMPDIR/undo/x"
        ls "$TMPDIR"; grep " $TMPDIR " /proc/self/mounts | tail -1
        for fd in 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$fd ] || echo "OPEN $fd"; done
        echo "B=2" >> "$1" """
    command = [TACET, "edit", "-i", "key.txt", "secrets.age"]
    if user == "nobody":
        if os.geteuid() != 0:
            pytest.skip("only root can become nobody")
        for path in [folder.path, *folder.path.parents]:
            if path.stat().st_mode & 0o5 != 0o5 and str(path).startswith("/tmp/pytest"):
                path.chmod(path.stat().st_mode | 0o5)
        for path in (folder.path, *folder.path.iterdir()):
            os.chown(path, 65534, 65534)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    environment = editor(folder, body)
    done = folder.run(*command, environment=environment)
    said = done.stdout.decode()
    assert "path=/dev/shm/secrets.env\ntmpdir=/dev/shm\n" in said
    assert "LEAK" not in said
    assert "secrets.env.swp\nundo\n" in said
    mount = next(line for line in said.splitlines() if line.startswith("tacet /dev/shm"))
    assert "ramfs" in mount or "noswap" in mount
    assert "OPEN" not in said
    assert b"warning" not in done.stderr
    assert folder.read() == f"SECRET={CANARY}\nB=2\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("exit 3", b"status 3"),
        ('echo "X=1" >> "$1"; kill -9 $$', b"signal 9"),
        ('echo "X=1" >> "$1"; cp "$1" "$1.swp"; kill -SEGV $$', b"signal 11"),
        ('rm "$1"', b"read the editor's file"),
        ('rm "$1"; ln -s /etc/passwd "$1"', b"read the editor's file"),
        ('echo "=broken" >> "$1"', b"secrets.age:2:1"),
        ('echo "SECRET=again" >> "$1"', b"already on line 1"),
        ('head -c 9000000 /dev/zero >> "$1"', b"larger than 8388608 bytes"),
    ],
)
def test_after_a_failed_edit_the_file_stands(folder: Folder, body: str, said: bytes) -> None:
    before = (folder.path / "secrets.age").read_bytes()
    done = edit(folder, body, status=None)
    assert done.returncode in (1, 65)
    assert said in done.stderr
    assert CANARY.encode() not in done.stdout + done.stderr
    assert (folder.path / "secrets.age").read_bytes() == before


def test_an_editor_that_does_not_exist_is_said(folder: Folder) -> None:
    environment = {"VISUAL": "no-such-editor", "EDITOR": "true"}
    message = folder.fail("edit", "-i", "key.txt", "secrets.age", environment=environment)
    assert "'no-such-editor' cannot be started" in message
    assert "set VISUAL or EDITOR" in message


def test_an_editor_with_arguments_is_run_by_the_shell(folder: Folder) -> None:
    environment = {"EDITOR": "sed -i -e 's/^SECRET/RENAMED/'"}
    folder.tacet("edit", "-i", "key.txt", "secrets.age", environment=environment)
    assert folder.read() == f"RENAMED={CANARY}\n"


def test_the_key_in_a_variable_does_not_reach_the_editor(folder: Folder) -> None:
    environment = editor(folder, f'env > "$1.env"; grep -c KEY "$1.env"; cat /proc/$PPID/environ | grep -ac AGE-SECRET; true')
    environment["KEY"] = (folder.path / "key.txt").read_text()
    done = folder.tacet("edit", "-i", "env:KEY", "secrets.age", environment=environment)
    assert done.stdout == b"0\n0\n"


def test_a_visible_folder_is_wiped_and_removed(folder: Folder) -> None:
    body = 'echo "path=$1"; mkdir -p "$TMPDIR/.a/b/c"; cp "$1" "$TMPDIR/.a/b/c/"; ln -s /etc/passwd "$TMPDIR/l"; echo "B=2" >> "$1"'
    done = edit(folder, body, "--visible")
    assert b"path=/dev/shm/tacet-edit-" in done.stdout
    assert Path("/etc/passwd").stat().st_size > 0
    assert folder.read() == f"SECRET={CANARY}\nB=2\n"


@pytest.mark.parametrize("call", ["unshare", "mount"])
def test_without_namespaces_a_visible_folder_is_used_and_said(folder: Folder, call: str) -> None:
    environment = editor(folder, 'echo "path=$1"')
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error=EPERM"]
    done = folder.run(*strace, TACET, "edit", "-i", "key.txt", "secrets.age", environment=environment)
    assert b"path=/dev/shm/tacet-edit-" in done.stdout
    assert b"which other programs of this user can read (" in done.stderr
    assert b": Operation not permitted)" in done.stderr


class Waiting:
    """`tacet edit` with an editor that waits."""

    def __init__(self, folder: Folder, *options: str) -> None:
        environment = editor(folder, 'cp "$1" "$1.swp"; trap "" HUP TERM; echo ready; while :; do sleep 0.1; done')
        self.process = subprocess.Popen(
            [TACET, "edit", "-i", "key.txt", *options, "secrets.age"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder.path,
            env=folder.environment | environment,
        )
        assert self.process.stdout.readline() == b"ready\n"
        self.guard = children_of(self.process.pid)[0]
        self.editor = children_of(self.guard)[0]

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [*descendants_of(self.process.pid), self.editor, self.guard, self.process.pid]:
            kill_quietly(pid)
        self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.mark.parametrize("options", [(), ("--visible",)])
@pytest.mark.parametrize(
    ("victim", "number"),
    [
        ("process", signal.SIGKILL),
        ("process", signal.SIGTERM),
        ("guard", signal.SIGKILL),
        ("editor", signal.SIGKILL),
    ],
)
def test_whoever_is_killed_the_text_is_gone(
    folder: Folder, options: tuple[str, ...], victim: str, number: int
) -> None:
    before = (folder.path / "secrets.age").read_bytes()
    with Waiting(folder, *options) as waiting:
        pid = waiting.process.pid if victim == "process" else getattr(waiting, victim)
        os.kill(pid, number)
        for other in (waiting.process.pid, waiting.guard, waiting.editor):
            wait_until(lambda other=other: not is_alive(other), f"{other} ends too")
    assert (folder.path / "secrets.age").read_bytes() == before


def mappings_with(pid: int, needle: bytes) -> list[set[str]]:
    """The flags (proc(5), VmFlags) of every readable mapping that holds some bytes."""
    found = []
    place = (0, 0)
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line):
            place = (int(head[1], 16), int(head[2], 16))
        elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            place = (0, 0)
        elif line.startswith("VmFlags:") and place[1]:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(place[0])
                if needle in memory.read(place[1] - place[0]):
                    found.append(set(line.split()[1:]))
    return found


@pytest.mark.skipif("sanitize" in TACET, reason="the sanitizer's own maps are terabytes")
def test_plaintext_and_key_lie_in_locked_memory_alone(folder: Folder) -> None:
    """Locked (lo) and left out of core files (dd); the guard was forked before any of it was there."""
    key = (folder.path / "key.txt").read_bytes().split()[-1]
    with Waiting(folder) as waiting:
        assert Path(f"/proc/{waiting.process.pid}/mem").stat().st_uid == 0
        limits = Path(f"/proc/{waiting.process.pid}/limits").read_text()
        assert "Max core file size        0  " in limits
        for needle in (CANARY.encode(), key[:40]):
            places = mappings_with(waiting.process.pid, needle)
            assert places, "it is where it should be"
            assert all({"lo", "dd"} <= flags for flags in places)
            assert mappings_with(waiting.guard, needle) == []


# ---- at a terminal ----


def at_terminal(folder: Folder, body: str, *options: str) -> Terminal:
    variables = [f"{name}={value}" for name, value in editor(folder, body).items()]
    return Terminal(
        ["env", "-C", str(folder.path), f"HOME={folder.home}", *variables]
        + [TACET, "edit", "-i", "key.txt", *options, "secrets.age"]
    )


def test_a_text_that_does_not_parse_goes_back_to_the_editor(folder: Folder) -> None:
    body = f'if [ -e "$TMPDIR/once" ]; then sed -i s/^=broken/B=2/ "$1"; else touch "$TMPDIR/once"; echo "=broken" >> "$1"; fi'
    with at_terminal(folder, body) as screen:
        screen.expect("secrets.age:2:1")
        screen.expect("Edit again or discard the changes? [E/d] ")
        screen.type("x\n")
        screen.expect("Edit again or discard the changes? [E/d] ")
        screen.type("\n")
        screen.expect("is written")
        assert screen.process.wait(30) == 0
    assert folder.read() == f"SECRET={CANARY}\nB=2\n"


def test_a_text_that_does_not_parse_can_be_discarded(folder: Folder) -> None:
    with at_terminal(folder, 'echo "=broken" >> "$1"') as screen:
        screen.expect("[E/d] ")
        screen.type("d\n")
        screen.expect("discarded")
        assert screen.process.wait(30) == 1
    assert folder.read() == f"SECRET={CANARY}\n"


@pytest.mark.parametrize("answer", ["y", ""])
def test_an_emptied_text_is_asked_about(folder: Folder, answer: str) -> None:
    """No is what Enter means."""
    with at_terminal(folder, ': > "$1"') as screen:
        screen.expect("Save it all the same? [y/N] ")
        screen.type(f"{answer}\n")
        assert screen.process.wait(30) == (0 if answer else 64)
    assert folder.names() == ([] if answer else ["SECRET"])


@pytest.mark.parametrize("answer", ["o", "d"])
def test_a_file_that_changed_meanwhile_is_asked_about(folder: Folder, answer: str) -> None:
    with at_terminal(folder, 'echo B=2 >> "$1"; kill -STOP $$') as screen:
        wait_until(lambda: len(descendants_of(screen.process.pid)) == 2, "the editor runs")
        stopped = descendants_of(screen.process.pid)[1]
        wait_until(lambda: Path(f"/proc/{stopped}/stat").read_text().split()[2] == "T", "the editor has stopped")
        folder.tacet("encrypt", "-r", folder.recipient, "-o", "other.age", stdin=b"OTHER=1\n")
        os.rename(folder.path / "other.age", folder.path / "secrets.age")
        os.kill(stopped, signal.SIGCONT)
        screen.expect("Overwrite it or discard your changes? [o/d] ")
        screen.type(f"{answer}\n")
        screen.expect("is written" if answer == "o" else "discarded")
    assert folder.read() == (f"SECRET={CANARY}\nB=2\n" if answer == "o" else "OTHER=1\n")


def test_an_editor_can_be_stopped_and_interrupted(folder: Folder) -> None:
    """As vim does it on ^Z: the whole foreground group stops, and goes on together."""
    variables = editor(folder, 'trap "echo interrupted" INT; kill -TSTP 0; echo resumed; read x; echo B=2 >> "$1"')
    with Terminal() as screen:
        screen.command(f"cd {folder.path}; export HOME={folder.home} EDITOR={variables['EDITOR']}")
        screen.command(f"{TACET} edit -i key.txt secrets.age")
        screen.expect("Stopped")
        screen.command("fg")
        screen.expect("resumed")
        screen.type("\x03")
        screen.expect("interrupted")
        screen.type("\n")
        screen.expect("is written")
    assert folder.read() == f"SECRET={CANARY}\nB=2\n"


def test_vim_works_and_leaves_nothing(folder: Folder) -> None:
    """A real editor: swap file, backup, undo and viminfo all switched on."""
    vimrc = folder.home / ".vimrc"
    vimrc.write_text("set nocp backup undofile backupdir=.,~ undodir=.,~ directory=.,~,/tmp viminfo='100,<50 ul=100\n")
    with Terminal(
        ["env", "-C", str(folder.path), f"HOME={folder.home}", "TERM=xterm", f"EDITOR={shutil.which('vim') or 'vim.tiny'}"]
        + [TACET, "edit", "-i", "key.txt", "secrets.age"]
    ) as screen:
        screen.expect(CANARY)
        screen.type("yyGoNEW=1\x1b:wq\r")
        wait_until(lambda: screen.process.poll() is not None or not screen.type("\r"), "vim ends")
        assert screen.process.wait(30) == 0
    assert folder.read() == f"SECRET={CANARY}\nNEW=1\n"
    assert leaks(str(folder.home)) == []
