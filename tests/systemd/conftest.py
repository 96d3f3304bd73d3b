"""Fixtures of the tests under a real systemd: one machine per version for the whole run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from machine import Machine, why_impossible  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
TREES = tuple(os.environ.get("TACET_SYSTEMD", "installed trixie").split())


def pytest_configure(config: pytest.Config) -> None:
    """Bound every test in time."""
    if not config.getoption("timeout", None):
        config.option.timeout = 600


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the second machine's root file system before any test's time runs; tests/run has made it already, or tried to."""
    if "trixie" in TREES and "TACET_INSTALLED" not in os.environ and not why_impossible():
        subprocess.run([str(ROOT / "tests/systemd/tree")], timeout=420, check=False)


def tree_of(name: str) -> Path:
    """The root file system of a machine; skips, with the reason, when there is none to be had."""
    if name == "installed":
        if not os.access("/lib/systemd/systemd", os.X_OK):
            pytest.fail("systemd is not installed: packaging/install-dependencies --check does it")
        return Path("/")
    tree = ROOT / "build/systemd" / name
    if not tree.is_dir():
        pytest.skip("systemd 257 IS NOT TESTED: tests/systemd/tree could not make its root file system, see build/check/tree.log")
    return tree


@pytest.fixture(scope="session", params=TREES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A booted systemd with tacet installed by `make install`."""
    reason = why_impossible()
    if reason:
        pytest.skip(reason)
    made = Machine(tree_of(request.param))
    try:
        install(made)
        yield made
    finally:
        made.destroy()


def install(machine: Machine) -> None:
    """Put the released files where `make install` puts them; the static program, which needs no library of the tree.

    tests/run has installed them into $TACET_INSTALLED, once for all machines.
    """
    folder = os.environ.get("TACET_INSTALLED", str(ROOT / "build" / "systemd" / "installed"))
    if "TACET_INSTALLED" not in os.environ:
        subprocess.run(
            ["make", "-s", "-C", str(ROOT), "install", f"DESTDIR={folder}", "PREFIX=/usr"],
            check=True,
            capture_output=True,
            timeout=300,
            env=os.environ | {"MAKEFLAGS": ""},
        )
    shutil.copytree(f"{folder}/usr", machine.root / "usr", dirs_exist_ok=True)
    machine.write("/usr/bin/tacet", (ROOT / "build/tacet-static").read_bytes(), 0o711)
    for tool in ("server", "dumpable"):
        machine.write(f"/usr/local/bin/{tool}", (ROOT / "build/tests/tools" / tool).read_bytes(), 0o755)
    machine.run("systemctl", "daemon-reload")
