"""kill_mode = tree: what an instance has started ends with it, with a cgroup and without."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import TACET, Running, is_alive, run, wait_until

# A main process with a child that ignores TERM, and one that has left its session but not its parent.
FAMILY = (
    "(trap '' TERM; echo stubborn:$BASHPID; while :; do sleep 0.02; done) & "
    "setsid sh -c 'echo daemon:$$; while :; do sleep 0.02; done' & "
)
# The same behind two forks: nothing but a cgroup tells where it comes from.
ESCAPED = "setsid sh -c 'setsid sh -c \"echo escaped:\\$\\$; while :; do sleep 0.02; done\" & exit 0' & "


def cgroup_mount() -> str | None:
    """Where a cgroup of version 2 is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return fields[1]
    return None


CGROUP = cgroup_mount()
needs_cgroup = pytest.mark.skipif(
    not CGROUP or os.geteuid() != 0 or not os.access(CGROUP, os.W_OK), reason="needs a writable cgroup of version 2"
)
# In a mount and a cgroup namespace: that of the namespace in the usual place. Where it is mounted there already, as Debian 12 does it,
# the kernel refuses to mount the same file system above itself (EBUSY of mount(2)).
MOUNT_CGROUP = "{ umount -l /sys/fs/cgroup 2>/dev/null || :; } && mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"


@pytest.fixture
def own_cgroup() -> Iterator[list[str]]:
    """A command prefix that runs in an own cgroup, which is the root of a cgroup namespace."""
    folder = Path(CGROUP or "") / f"tacet-test-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir()
    enter = f"echo $$ > {folder}/cgroup.procs && exec unshare --mount --cgroup --propagation private sh -ec "
    mount = f"'{MOUNT_CGROUP}; exec \"$@\"' _ \"$@\""
    try:
        yield ["sh", "-c", enter + mount, "_"]
    finally:
        with contextlib.suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
        wait_until(lambda: "populated 0" in (folder / "cgroup.events").read_text(), "the test's cgroup is empty")
        left = [path for path in folder.glob("*") if path.is_dir()]
        for path in left:
            path.rmdir()
        folder.rmdir()
        assert not left, f"cgroups were left behind: {left}"


@pytest.fixture
def no_cgroup() -> list[str]:
    """A command prefix under which no cgroup can be had."""
    unmount = 'for at in $(awk \'$3 == "cgroup2" {print $2}\' /proc/mounts); do umount -l "$at"; done; exec "$@"'
    return ["unshare", "--mount", "sh", "-c", unmount, "_"]


def family_of(running: Running, *names: str) -> dict[str, int]:
    """The pids that the family prints, by name."""
    found = {}
    while set(found) != set(names):
        name, _, pid = running.line_with("^(stubborn|daemon|escaped|other):").partition(":")
        found[name] = int(pid)
    return found


def end_of_one_replica(prefix: list[str], folder: Path, tree: str, *names: str) -> None:
    """One replica has a family and ends by itself; its family goes, the other one stays."""
    show = f'if mkdir {folder}/mine 2>/dev/null; then {tree} until [ -e {folder}/go ]; do sleep 0.02; done; exit 0; fi; echo other:$$; exec sleep 1000'
    options = ["--kill-mode", "tree", "--remaining-timeout", "300ms", "--replicas", "2"]
    with Running([*prefix, TACET, "run", *options, "--", "bash", "-c", show]) as running:
        family = family_of(running, "other", *names)
        other = family.pop("other")
        (folder / "go").touch()
        for name, pid in family.items():
            wait_until(lambda pid=pid: not is_alive(pid), f"{name} ends with its main process")
        assert is_alive(other)
        running.signal(signal.SIGTERM)
        assert running.wait() == 143


@needs_cgroup
def test_a_cgroup_leaves_nobody_behind(own_cgroup: list[str], tmp_path: Path) -> None:
    """Neither who ignores TERM nor who has left session and parent; the other replica goes on."""
    end_of_one_replica(own_cgroup, tmp_path, FAMILY + ESCAPED, "stubborn", "daemon", "escaped")


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a mount namespace")
def test_without_a_cgroup_the_group_that_is_left_is_ended(no_cgroup: list[str], tmp_path: Path) -> None:
    """The main process is gone: what is still in its process group is its own."""
    end_of_one_replica(no_cgroup, tmp_path, "(trap '' TERM; echo stubborn:$BASHPID; while :; do sleep 0.02; done) & ", "stubborn")


def kill_at_the_deadline(prefix: list[str]) -> None:
    """The main process ignores TERM: at stop_timeout all of its tree is killed."""
    show = f'trap "" TERM; {FAMILY} wait; while :; do sleep 0.02; done'
    options = ["--kill-mode", "tree", "--stop-timeout", "200ms"]
    with Running([*prefix, TACET, "run", *options, "--", "bash", "-c", show]) as running:
        family = family_of(running, "stubborn", "daemon")
        running.signal(signal.SIGTERM)
        assert running.wait() == 137
        for name, pid in family.items():
            wait_until(lambda pid=pid: not is_alive(pid), f"{name} is killed with its main process")


@needs_cgroup
def test_at_the_deadline_a_cgroup_is_killed_as_a_whole(own_cgroup: list[str]) -> None:
    """Children in other sessions included."""
    kill_at_the_deadline(own_cgroup)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a mount namespace")
def test_at_the_deadline_the_tree_is_killed_by_descent(no_cgroup: list[str]) -> None:
    """Children in other sessions included: their parent still lives."""
    kill_at_the_deadline(no_cgroup)


@needs_cgroup
def test_a_cgroup_that_was_not_delegated_is_left_alone(own_cgroup: list[str]) -> None:
    """Under systemd without Delegate=yes: by descent, and said."""
    enter = "mkdir -p /run/systemd/system /sys/fs/cgroup/inner; echo $$ > /sys/fs/cgroup/inner/cgroup.procs; "
    leave = "; status=$?; echo $$ > /sys/fs/cgroup/cgroup.procs; rmdir /sys/fs/cgroup/inner; exit $status"
    inner = ["sh", "-c", f'mount -t tmpfs tmpfs /run; {enter} "$@" {leave}', "_"]
    done = run([*own_cgroup, *inner, TACET, "run", "--kill-mode", "tree", "-v", "--", "cat", "/proc/self/cgroup"])
    assert done.returncode == 0, done.stderr
    assert "0::/inner\n" in done.stdout
    assert "not delegated" in done.stderr


@needs_cgroup
def test_every_instance_begins_in_a_cgroup_of_its_own(own_cgroup: list[str]) -> None:
    """Also one that is started again; none is left at the end (the fixture looks)."""
    options = ["--kill-mode", "tree", "--restart", "always", "--restart-limit", "3", "--restart-delay", "10ms"]
    done = run([*own_cgroup, TACET, "run", *options, "--", "sh", "-c", "grep ^0:: /proc/self/cgroup; exit 1"])
    groups = done.stdout.splitlines()
    assert len(groups) == 4
    assert len(set(groups)) == 4
    assert all("/tacet." in group for group in groups)


@needs_cgroup
def test_a_start_that_fails_leaves_no_cgroup(own_cgroup: list[str]) -> None:
    """The file does not exist; the fixture looks for what is left."""
    done = subprocess.run(
        [*own_cgroup, TACET, "run", "--kill-mode", "tree", "--", "/nonexistent"], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 127, done.stderr
