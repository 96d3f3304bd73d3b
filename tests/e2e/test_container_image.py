"""packaging/Containerfile: the image is built, the way its comment tells, and a service in it is rotated and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrets_files import vault_make
from support import PROBE, ROOT, TACET_STATIC, clean_environment, wait_until
from test_tree import CGROUP, MOUNT_CGROUP

CONTAINERFILE = ROOT / "packaging" / "Containerfile"
SECONDS = 120.0
CONTAINERS_CONF = """
[containers]
cgroups = "disabled"
netns = "none"
log_driver = "k8s-file"
default_sysctls = []
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
"""
ENTER = "echo $$ >{group}/cgroup.procs && exec "
PREPARE = f"{MOUNT_CGROUP} && mount -t tmpfs -o mode=755 tmpfs /run && echo prepared && exec sleep infinity"


class Podman:
    """podman with its storage, in namespaces of its own: in memory, and gone with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.group = Path(CGROUP or "") / f"tacet-podman-{os.getpid()}-{time.monotonic_ns()}"
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        (folder / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        self.group.mkdir()
        prefix = ENTER.format(group=self.group)
        self.holder = subprocess.Popen(
            ["sh", "-c", f'{prefix} unshare --mount --cgroup --propagation private sh -ec "{PREPARE}"'],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        assert self.holder.stdout
        self.is_prepared = self.holder.stdout.readline() == b"prepared\n"

    def call(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a verb."""
        more = {
            "build": ["-q", "--isolation=chroot", "--signature-policy", str(self.folder / "policy.json")],
            "run": ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"],
        }
        podman = ["podman", "--root", "/run/storage", "--runroot", "/run/state", "--tmpdir", "/run/libpod"]
        inside = ["nsenter", "--target", str(self.holder.pid), "--mount", "--cgroup", "--", *podman]
        return subprocess.run(
            ["sh", "-c", ENTER.format(group=self.group) + '"$@"', "_", *inside, "--storage-driver", "vfs", verb]
            + [*more.get(verb, []), *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=clean_environment({"CONTAINERS_CONF": str(self.folder / "containers.conf")}),
        )

    def do(self, verb: str, *options: str) -> str:
        """Run a verb that must succeed; its output, both streams."""
        done = self.call(verb, *options)
        assert done.returncode == 0, f"podman {verb}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def destroy(self) -> None:
        """End all of it, by the control group."""
        with contextlib.suppress(OSError):
            (self.group / "cgroup.kill").write_text("1")
        self.holder.kill()
        self.holder.communicate(timeout=SECONDS)
        wait_until(lambda: "populated 0" in (self.group / "cgroup.events").read_text(), "the control group is empty", 60)
        for path, _, _ in os.walk(self.group, topdown=False):
            os.rmdir(path)


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    """An engine that has the image `tacet`."""
    if os.geteuid() != 0 or not CGROUP or not os.access(CGROUP, os.W_OK) or not shutil.which("podman"):
        pytest.skip("THE CONTAINER IMAGE IS NOT TESTED: it takes root, podman and a writable control group of version 2")
    made = Podman(tmp_path)
    try:
        (made.folder / "build").mkdir()
        shutil.copy(TACET_STATIC, made.folder / "build" / "tacet-static")
        built = made.call("build", "-f", str(CONTAINERFILE), "-t", "tacet", str(made.folder))
        tried = made.call("run", "--rm", "tacet", "--version")
        if not made.is_prepared or built.returncode != 0 or not tried.stdout.startswith("tacet "):
            why = (built.stderr + tried.stderr).strip()[-300:]
            pytest.skip(f"THE CONTAINER IMAGE IS NOT TESTED: podman does not work here: {why}")
        yield made
    finally:
        made.destroy()


def documented_lines() -> str:
    """What the comment in the Containerfile tells the author of a service's image to write."""
    lines = [line[1:].strip() for line in CONTAINERFILE.read_text().splitlines() if line.startswith("#   ")]
    return "\n".join(line for line in lines if line.split()[0] in ("COPY", "ENTRYPOINT", "CMD"))


def test_a_service_in_an_image_is_rotated_and_stopped(podman: Podman, tmp_path: Path) -> None:
    """A read-only root, no capability, and an engine that only sends signals. Without arguments the image tells of itself."""
    assert "Usage: tacet -- COMMAND" in podman.do("run", "--rm", "tacet")
    vault = vault_make(tmp_path / "vault", "PASSWORD=first\n")
    document = vault.folder / "app.env.age"
    vault.document.rename(document)
    image = tmp_path / "image"
    image.mkdir()
    shutil.copy(PROBE, image / "server")
    (image / "Containerfile").write_text(f"FROM scratch\n{documented_lines()}\nCOPY server /app/server\n")
    podman.do("build", "-f", str(image / "Containerfile"), "-t", "service", str(image))
    options = ["--read-only", "--cap-drop=all", "-v", f"{vault.folder}:/run/secrets:ro"]
    name = podman.do("run", "-d", *options, "service", "/app/server", "env-wait").strip()
    wait_until(lambda: "\nPASSWORD=first\n" in podman.do("logs", name), "the service has its secret", SECONDS)
    vault.write("PASSWORD=second\n")
    os.replace(vault.document, document)
    podman.do("kill", "--signal", "HUP", name)
    wait_until(lambda: "rotation to generation 2 done" in podman.do("logs", name), "it is rotated", SECONDS)
    wait_until(lambda: "\nPASSWORD=second\n" in podman.do("logs", name), "it has the new secret", SECONDS)
    podman.do("stop", "--time", "60", name)
    assert podman.do("wait", name).strip() == "143"
