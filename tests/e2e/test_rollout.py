"""Rollouts with real processes: replicas, their limits, the way back, and the end in every moment."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import TACET, Running, children_of, is_alive, wait_until
from terminal import Terminal


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first\n")


SHOW = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']


def started(vault: Vault, *options: str, show: list[str] = SHOW, healthy: str = "100ms", **more: object) -> Running:
    """Start a program under `tacet run` with the vault's document."""
    command = [TACET, "run", *vault.options, "--min-healthy", healthy, *options]
    return Running([*command, "--", *show], **more)


def test_handoff_starts_the_new_one_beside_the_old(vault: Vault, pid1: bool) -> None:
    """For min_healthy both run; then the old one goes."""
    with started(vault, "--strategy", "handoff", healthy="500ms", pid1=pid1) as running:
        running.line_with("^value:first")
        wait_until(lambda: len(children_of(running.pid)) == 1, "no loader")
        old = running.child
        time.sleep(0.6)
        vault.write("PASSWORD=second\n")
        running.signal(signal.SIGHUP)
        running.line_with("^value:second")
        assert is_alive(old)
        assert len(children_of(running.pid)) == 2
        wait_until(lambda: not is_alive(old), "the old one has been stopped")
        running.line_with("done")


def test_several_instances_leave_the_terminal_alone(vault: Vault) -> None:
    """They run in the background and read nothing; Ctrl-C reaches all through tacet."""
    with Terminal() as terminal:
        terminal.command(f"{TACET} run --replicas 2 -- sh -c 'read line || echo end-of-file; exec sleep 1000'")
        terminal.expect("end-of-file")
        terminal.expect("end-of-file")
        terminal.type("\x03")
        terminal.command("echo status:$?")
        terminal.expect("status:130")
