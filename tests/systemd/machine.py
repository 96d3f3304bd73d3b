"""A real systemd as PID 1 of namespaces of its own: booted in a second, ended through its control group.

`boot` beside this file makes the root; this module starts it, runs commands in it and takes it down. Files of the machine are read and
written through /proc/PID/root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOT_SECONDS = 120.0
COMMAND_SECONDS = 120.0
NAMESPACES = ["--cgroup", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net"]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def cgroup2_mount() -> Path | None:
    """Find where the unified hierarchy is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    return None


def why_impossible() -> str | None:
    """Say what this machine lacks, or None: only where namespaces cannot be had the tests may be skipped."""
    if os.geteuid() != 0:
        return "only root can make the namespaces"
    mount = cgroup2_mount()
    if mount is None:
        return "no cgroup2 file system is mounted"
    group = mount / f"tacet-try-{os.getpid()}"
    try:
        group.mkdir()
        group.rmdir()
    except OSError as error:
        return f"no control group can be made: {error}"
    script = "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r"
    tried = subprocess.run(["unshare", *NAMESPACES, "sh", "-c", script], capture_output=True, text=True, timeout=120)
    return None if tried.returncode == 0 else f"no namespaces or no overlay: {tried.stderr.strip()}"


class Machine:
    """One booted systemd."""

    def __init__(self, tree: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tacet-systemd-"))
        self.console = (self.folder.parent / f"{self.folder.name}.log").open("w+")
        mount = cgroup2_mount()
        assert mount is not None
        self.group = mount / self.folder.name
        self.group.mkdir()
        self.pid = 0
        self.outer = subprocess.Popen(
            ["unshare", *NAMESPACES, "--", str(HERE / "boot"), str(self.folder), str(tree)],
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=subprocess.STDOUT,
            preexec_fn=self._enter_group,
        )
        try:
            self._wait_booted()
        except BaseException:
            self.destroy()
            raise
        match = re.search(r"systemd (\d+)", self.run("systemctl", "--version"))
        assert match
        self.version = int(match.group(1))

    def _enter_group(self) -> None:
        (self.group / "cgroup.procs").write_text("0")

    def _wait_booted(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and self.outer.poll() is None:
            children = Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()
            with contextlib.suppress(OSError):
                if children and Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
                    self.pid = int(children[0])
                    break
            time.sleep(0.02)
        while self.pid and time.monotonic() < deadline:
            if self.call("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"):
                return
            time.sleep(0.02)
        self.console.seek(0)
        raise AssertionError(f"systemd did not boot: {self.console.read()}")

    @property
    def root(self) -> Path:
        """The machine's root directory, from outside."""
        return Path(f"/proc/{self.pid}/root")

    def path(self, path: str) -> Path:
        """A path of the machine, from outside."""
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file of the machine, by rename."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        new.write_bytes(text.encode() if isinstance(text, str) else text)
        new.chmod(mode)
        new.rename(target)

    def call(self, *command: str, seconds: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, as root."""
        return subprocess.run(
            ["nsenter", "--target", str(self.pid), "--all", "--", "env", "-i", f"PATH={PATH}", "LANG=C.UTF-8", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )

    def run(self, *command: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run a command that must succeed; return its output."""
        done = self.call(*command, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in the machine, as root, and do not wait for it."""
        return subprocess.Popen(
            ["nsenter", "--target", str(self.pid), "--all", "--", "env", "-i", f"PATH={PATH}", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def destroy(self) -> None:
        """End every process of the machine, and leave nothing."""
        with contextlib.suppress(OSError):
            (self.group / "cgroup.kill").write_text("1")
        self.outer.kill()
        self.outer.wait(COMMAND_SECONDS)
        deadline = time.monotonic() + 60
        while self.group.exists() and time.monotonic() < deadline:
            for folder, _, _ in os.walk(self.group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            time.sleep(0.02)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.console.close()
        Path(self.console.name).unlink(missing_ok=True)
