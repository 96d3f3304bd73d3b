"""`watch = yes`: a change of the files rotates by itself, however it was made, and a storm of changes ends at the last value."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from secrets_files import encrypt, vault_make
from support import TACET, Running, run, switches_of, wait_until

SHOW = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']
LOADED = re.compile(r"generation \d+ loaded")


def started(*options: str, show: list[str] = SHOW, delay: str = "50ms", **more: object) -> Running:
    """Start a program under `tacet run` whose sources are watched."""
    timing = ["--min-healthy", "10ms", "--watch-delay", delay]
    return Running([TACET, "run", "-v", "--watch", *timing, *options, "--", *show], **more)


def volume_write(folder: Path, **values: str) -> None:
    """What the kubelet does to publish a secret volume: a new folder, the ..data link swapped by rename, links for the keys."""
    old = os.readlink(folder / "..data") if (folder / "..data").is_symlink() else None
    new = f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{time.monotonic_ns()}"
    (folder / new).mkdir()
    for name, value in values.items():
        (folder / new / name).write_text(value)
    (folder / "..data_tmp").symlink_to(new)
    os.rename(folder / "..data_tmp", folder / "..data")
    for name in values:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for entry in folder.iterdir():
        if entry.is_symlink() and not entry.exists():
            entry.unlink()
    if old:
        shutil.rmtree(folder / old)


def document(text: str) -> str:
    """A plain dotenv document."""
    return f"PASSWORD={text}\n"


def rename_over(path: Path, text: str) -> None:
    """The atomic way."""
    new = path.parent / "somewhere-else"
    new.write_text(document(text))
    os.chmod(new, 0o600)
    os.replace(new, path)


def write_in_place(path: Path, text: str) -> None:
    """What `echo >file` does: truncate, write, close."""
    path.write_text(document(text))


def write_in_pieces(path: Path, text: str) -> None:
    """Open for longer than the delay: half a file is never loaded, it is written when it is closed."""
    with path.open("w") as file:
        file.write("PASSWORD=")
        file.flush()
        time.sleep(0.2)
        file.write(f"{text}\n")


def delete_and_create(path: Path, text: str) -> None:
    """Gone for a while."""
    path.unlink()
    time.sleep(0.2)
    write_in_place(path, text)


def replace_the_directory(path: Path, text: str) -> None:
    """A new directory in the old one's place."""
    new = path.parent.parent / "new-directory"
    new.mkdir()
    write_in_place(new / path.name, text)
    os.rename(path.parent, path.parent.parent / f"old-{time.monotonic_ns()}")
    os.rename(new, path.parent)


def delete_the_directories(path: Path, text: str) -> None:
    """Two levels go and come back."""
    top = path.parent.parent
    shutil.rmtree(top)
    time.sleep(0.2)
    path.parent.mkdir(parents=True)
    write_in_place(path, text)


def link_elsewhere(path: Path, text: str) -> None:
    """The name becomes a link, to a file far away."""
    target = path.parent.parent.parent / f"target-{time.monotonic_ns()}"
    write_in_place(target, text)
    link = path.parent / "new-link"
    link.symlink_to(target)
    os.rename(link, path)


CHANGES = [
    rename_over,
    write_in_place,
    write_in_pieces,
    delete_and_create,
    replace_the_directory,
    delete_the_directories,
    link_elsewhere,
]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A plain document two directories deep."""
    path = tmp_path / "some" / "folder" / "secrets.env"
    path.parent.mkdir(parents=True)
    path.write_text(document("first"))
    path.chmod(0o600)
    return path


@pytest.mark.both
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_file_rotates(plain: Path, change: Callable[[Path, str], None]) -> None:
    """Twice each, so that what is watched after the change is right as well."""
    with started("-s", f"env-file:{plain}") as running:
        running.line_with("^value:first$")
        for text in ("second", "third"):
            change(plain, text)
            running.line_with(f"^value:{text}$")


def test_a_change_behind_a_link_is_seen(plain: Path, tmp_path: Path) -> None:
    """The link stays, its target is replaced; then a directory on the way is a link that moves."""
    other = tmp_path / "other"
    other.mkdir()
    rename_over(other / "secrets.env", "moved")
    (tmp_path / "way").symlink_to(plain.parent)
    link = tmp_path / "link"
    link.symlink_to("way/secrets.env")
    with started("-s", f"env-file:{link}") as running:
        running.line_with("^value:first$")
        rename_over(plain, "behind")
        running.line_with("^value:behind$")
        (tmp_path / "new-way").symlink_to(other)
        os.rename(tmp_path / "new-way", tmp_path / "way")
        running.line_with("^value:moved$")
        write_in_place(other / "secrets.env", "there")
        running.line_with("^value:there$")


def test_a_relative_path_is_watched(plain: Path) -> None:
    """It counts from where tacet was started."""
    with started("-s", f"env-file:./{plain.name}", cwd=plain.parent) as running:
        running.line_with("^value:first$")
        rename_over(plain, "second")
        running.line_with("^value:second$")


@pytest.mark.both
def test_a_volume_of_kubernetes_rotates_by_its_switch(tmp_path: Path, pid1: bool) -> None:
    """The real steps of the kubelet: a folder of files, and one of its files by name."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume_write(volume, PASSWORD="first", OTHER="x")
    with started("-s", f"dir:{volume}", pid1=pid1) as running:
        running.line_with("^value:first$")
        for text in ("second", "third", "fourth"):
            volume_write(volume, PASSWORD=text, OTHER="x")
            running.line_with(f"^value:{text}$")
    volume_write(volume, document=document("one"))
    with started("-s", f"env-file:{volume}/document", pid1=pid1) as running:
        running.line_with("^value:one$")
        for text in ("two", "three"):
            volume_write(volume, document=document(text))
            running.line_with(f"^value:{text}$")


def test_a_folder_of_secrets_rotates_with_any_of_its_files(tmp_path: Path) -> None:
    """A new file, a changed one, one that goes; what the loader passes over asks for nothing."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "PASSWORD").write_text("first")
    show = ["sh", "-c", 'echo "value:$PASSWORD:${EXTRA-none}"; exec sleep 1000']
    with started("-s", f"dir:{folder}", show=show) as running:
        running.line_with("^value:first:none$")
        (folder / "EXTRA").write_text("more")
        running.line_with("^value:first:more$")
        (folder / "PASSWORD").write_text("second")
        running.line_with("^value:second:more$")
        (folder / "EXTRA").unlink()
        running.line_with("^value:second:none$")
        (folder / ".hidden").write_text("x")
        time.sleep(0.3)
        running.signal(signal.SIGTERM)
        assert not LOADED.search(running.rest())


@pytest.mark.both
def test_an_encrypted_file_and_its_new_key_rotate(tmp_path: Path) -> None:
    """The file comes first: its load fails, nothing is touched. The key follows: loaded by itself."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=first\n")
    other = vault_make(tmp_path / "other", "X=1\n")
    with started(*vault.options) as running:
        running.line_with("^value:first$")
        vault.replace(encrypt(b"PASSWORD=second\n", other.recipient))
        running.line_with("nothing was changed")
        os.replace(other.identity, vault.identity)
        running.line_with("^value:second$")


def test_a_folder_of_encrypted_values_rotates(tmp_path: Path) -> None:
    """age-dir: one value each."""
    vault = vault_make(tmp_path / "vault", "X=1\n")
    folder = tmp_path / "values"
    folder.mkdir()
    (folder / "PASSWORD.age").write_bytes(encrypt(b"first", vault.recipient))
    with started("-s", f"age-dir:{folder}", "-i", str(vault.identity)) as running:
        running.line_with("^value:first$")
        (folder / "PASSWORD.age").write_bytes(encrypt(b"second", vault.recipient))
        running.line_with("^value:second$")


BAD = {"empty": b"", "half": b"PASSWORD=new\n=half of a line\n", "binary": bytes(range(256))}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_failed_load_and_the_next_change_heals_it(plain: Path, kind: str) -> None:
    """The program goes on untouched."""
    with started("-s", f"env-file:{plain}") as running:
        running.line_with("^value:first$")
        before = running.child
        plain.write_bytes(BAD[kind])
        running.line_with("nothing was changed")
        assert running.child == before
        rename_over(plain, "healed")
        running.line_with("^value:healed$")


def test_the_same_content_restarts_nothing_and_says_so_quietly(plain: Path) -> None:
    """What somebody asks for is answered aloud, what a touched file asks for is not."""
    with started("-s", f"env-file:{plain}", "--log-format", "journal") as running:
        running.line_with("value:first$")
        before = running.child
        rename_over(plain, "first")
        assert running.line_with("unchanged").startswith("<6>")
        assert running.child == before
        running.signal(signal.SIGHUP)
        assert running.line_with("unchanged").startswith("<5>")


def change_until(over: threading.Event, path: Path) -> None:
    """Write one value after the other, 250 a second; the last is `last`."""
    number = 0
    while not over.wait(0.004):
        rename_over(path, f"storm-{number}")
        number += 1
    rename_over(path, "last")


def change_often(path: Path, seconds: float, count: int) -> None:
    """Write `count` values in a row; the last is `last`."""
    begin = time.monotonic()
    for number in range(count):
        rename_over(path, "last" if number == count - 1 else f"storm-{number}")
        time.sleep(max(0.0, begin + (number + 1) * seconds / count - time.monotonic()))


def test_a_storm_of_changes_ends_in_one_rotation_to_the_last_value(plain: Path) -> None:
    """A thousand changes in two seconds, with the default delay."""
    with started("-s", f"env-file:{plain}", delay="500ms") as running:
        running.line_with("^value:first$")
        change_often(plain, 2.0, 1000)
        running.line_with("^value:last$")
        time.sleep(1.2)
        running.signal(signal.SIGTERM)
        lines = running.rest().splitlines()
        assert not [line for line in lines if line.startswith("value:")]
        assert len([line for line in lines if LOADED.search(line)]) <= 1


def test_a_storm_that_does_not_end_is_loaded_all_the_same(plain: Path) -> None:
    """After ten delays without a pause; and it ends at the last value."""
    over = threading.Event()
    storm = threading.Thread(target=change_until, args=(over, plain))
    with started("-s", f"env-file:{plain}", delay="100ms") as running:
        running.line_with("^value:first$")
        storm.start()
        try:
            running.line_with("^value:storm-")
        finally:
            over.set()
            storm.join()
        running.line_with("^value:last$")


def test_a_hundred_hangups_are_few_rollouts(plain: Path) -> None:
    """In one second, each with new content: two or three rotations, the last content wins."""
    with started("-s", f"env-file:{plain}") as running:
        running.line_with("^value:first$")
        seen: list[str] = []
        for number in range(100):
            rename_over(plain, "last" if number == 99 else f"hup-{number}")
            running.signal(signal.SIGHUP)
            time.sleep(0.01)
        while not seen or seen[-1] != "value:last":
            seen.append(running.line_with("^value:"))
        running.signal(signal.SIGTERM)
        assert "value:" not in running.rest()


@pytest.mark.skipif(os.geteuid() != 0, reason="changes a limit of the kernel in a user namespace")
@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_a_limit_of_the_kernel_is_said_and_made_up_for(plain: Path, limit: str) -> None:
    """No watch or no instance left: a warning that names the limit; HUP works as ever."""
    if not os.access(f"/proc/sys/user/{limit}", os.W_OK):
        pytest.skip("/proc/sys is read-only here, as in most containers")
    set_limit = f"echo 0 >/proc/sys/user/{limit} && exec \"$@\""
    command = [TACET, "run", "--watch", "-s", f"env-file:{plain}", "--", *SHOW]
    with Running(["unshare", "--user", "--map-root-user", "sh", "-c", set_limit, "sh", *command]) as running:
        assert "every 60s" in running.line_with("cannot watch.*limit")
        assert limit.removeprefix("max_inotify") in running.line_with("hint:")
        running.line_with("^value:first$")
        rename_over(plain, "second")
        running.signal(signal.SIGHUP)
        running.line_with("^value:second$")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_directory_that_may_not_be_read_is_reported_and_seen_again(plain: Path) -> None:
    """As another user: a warning, the rights come back, the change is seen. Not where pytest keeps its folders: it locks them up."""
    open_folder = Path(tempfile.mkdtemp(prefix="tacet-test-", dir="/tmp"))
    open_folder.chmod(0o755)
    try:
        shutil.copytree(plain.parent, open_folder / "folder")
        see_it_again(open_folder / "folder" / plain.name)
    finally:
        shutil.rmtree(open_folder)


def see_it_again(plain: Path) -> None:
    """The file of that test, where another user can reach it."""
    os.chown(plain, 54321, 54321)
    os.chown(plain.parent, 54321, 54321)
    plain.parent.chmod(0o300)
    options = ["--watch", "--watch-delay", "50ms", "--min-healthy", "10ms", "-s", f"env-file:{plain}"]
    with Running(["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", TACET, "run", *options, "--", *SHOW]) as running:
        assert str(plain.parent) in running.line_with("cannot watch")
        running.line_with("^value:first$")
        plain.parent.chmod(0o700)
        running.line_with("can be watched again")
        write_in_place(plain, "second")
        running.line_with("^value:second$")


def test_watching_wakes_nobody_while_nothing_changes(plain: Path) -> None:
    """Not even when a neighbour of a directory on the way comes and goes."""
    with started("-s", f"env-file:{plain}") as running:
        running.line_with("^value:first$")

        def sleeps_on() -> bool:
            before = switches_of(running.pid)
            for _ in range(20):
                (plain.parent.parent / f"neighbour-{time.monotonic_ns()}").mkdir()
            time.sleep(0.5)
            return switches_of(running.pid) == before

        wait_until(sleeps_on, "nothing wakes it")


def links_of(pid: int) -> list[str]:
    """What the descriptors of a process lead to; one may just be closed."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(entry))
    return links


def test_the_program_inherits_nothing_of_the_watch(plain: Path) -> None:
    """The descriptor is the supervisor's alone."""
    with started("-s", f"env-file:{plain}") as running:
        running.line_with("^value:first$")
        program = running.child
        wait_until(lambda: Path(f"/proc/{program}/comm").read_text() == "sleep\n", "the program runs")
        mine, theirs = links_of(running.pid), links_of(program)
        assert "anon_inode:inotify" in mine
        assert not [name for name in theirs if "inotify" in name]


def test_two_hundred_changes_leave_nothing_behind(tmp_path: Path) -> None:
    """Descriptors and watches stay as many as they were."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume_write(volume, PASSWORD="first")

    def watches(pid: int) -> tuple[int, int]:
        infos = []
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                infos.append(Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text())
        return len(infos), sum(info.count("inotify wd:") for info in infos)

    with started("-s", f"dir:{volume}", delay="1ms") as running:
        running.line_with("generation 1 is up")
        before = watches(running.pid)
        for number in range(200):
            volume_write(volume, PASSWORD=f"v{number}")
        running.line_with("^value:v199$", 60)
        wait_until(lambda: watches(running.pid)[0] <= before[0], "the descriptors are no more than before")
        wait_until(lambda: watches(running.pid)[1] == before[1], "the watches are as many as before")


def test_what_cannot_be_watched_is_refused(tmp_path: Path, plain: Path) -> None:
    """Configuration errors with the reason."""
    config = tmp_path / "tacet.ini"
    for uri in ("unix:/run/socket", "env:SECRET_"):
        config.write_text(f"[service]\ncommand = true\n[source a]\nfrom = {uri}\nwatch = yes\n")
        done = run([TACET, "run", "-c", str(config)])
        assert done.returncode == 78
        assert f"{config}:3" in done.stderr
        assert "names no file" in done.stderr
    done = run([TACET, "run", "--watch", "-s", "env:X_", "--", "true"])
    assert done.returncode == 64
    assert "--watch" in done.stderr
    config.write_text(f"[service]\ncommand = sh -c 'echo value:$PASSWORD; exec sleep 1000'\n[rollout]\nwatch_delay = 20ms\n"
                      f"min_healthy = 10ms\n[source a]\nfrom = env-file:{plain}\nwatch = yes\n")
    with Running([TACET, "run", "-c", str(config)]) as running:
        running.line_with("^value:first$")
        rename_over(plain, "second")
        running.line_with("^value:second$")


def test_without_watch_nothing_is_watched(plain: Path) -> None:
    """The default."""
    with Running([TACET, "run", "-s", f"env-file:{plain}", "--", *SHOW]) as running:
        running.line_with("^value:first$")
        assert "anon_inode:inotify" not in links_of(running.pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts in an own namespace")
def test_an_overflow_of_the_queue_counts_as_a_change(plain: Path) -> None:
    """A stopped supervisor misses events; when it goes on it looks at the files."""
    sysctl = Path("/proc/sys/fs/inotify/max_queued_events")
    if int(sysctl.read_text()) > 65536:
        pytest.skip("the queue is too long to overflow")
    with started("-s", f"env-file:{plain}") as running:
        running.line_with("^value:first$")
        os.kill(running.pid, signal.SIGSTOP)
        noise = plain.parent / "noise"
        for _ in range(int(sysctl.read_text()) // 3 + 10):
            noise.touch()
            noise.unlink()
        rename_over(plain, "second")
        os.kill(running.pid, signal.SIGCONT)
        running.line_with("^value:second$")


def test_the_kubelets_script_and_this_file_agree(tmp_path: Path) -> None:
    """The names that the swap leaves: what the loader sees."""
    volume_write(tmp_path, KEY="1")
    assert (tmp_path / "KEY").read_text() == "1"
    assert subprocess.run(["ls", str(tmp_path)], capture_output=True, text=True, check=True).stdout == "KEY\n"

