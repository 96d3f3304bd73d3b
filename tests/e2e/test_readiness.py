"""The gate: by which sign a new instance counts as ready, and what becomes of one that never is."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import TACET, Running

pytestmark = pytest.mark.both

SHOW = ["sh", "-c", 'echo "value:$PASSWORD"; exec sleep 1000']


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first-value\n")


def started(vault: Vault, *options: str, show: list[str] = SHOW, **more: object) -> Running:
    """Start a program under `tacet run -v` with the vault's document."""
    command = [TACET, "run", "-v", *vault.options, "--min-healthy", "50ms", *options]
    return Running([*command, "--", *show], **more)


def test_a_program_is_ready_when_it_has_been_executed(vault: Vault, pid1: bool) -> None:
    """Nothing else is known of one that has no socket and sends nothing."""
    with started(vault, pid1=pid1) as running:
        running.line_with("generation 1 is up")


def test_with_a_delay_it_is_ready_when_it_has_been_up_that_long(vault: Vault) -> None:
    """Not before."""
    begin = time.monotonic()
    with started(vault, "--ready", "delay", "--ready-delay", "600ms") as running:
        running.line_with("^value:first-value")
        running.line_with("generation 1 is up")
        assert time.monotonic() - begin >= 0.6


def test_one_that_ends_before_its_sign_brings_the_old_values_back(vault: Vault) -> None:
    """The reason is said."""
    wait = ["--ready", "delay", "--ready-delay", "4s"]
    show = ["sh", "-c", 'echo "value:$PASSWORD"; case $PASSWORD in bad*) exit 3;; esac; exec sleep 1000']
    with started(vault, *wait, show=show) as running:
        running.line_with("generation 1 is up")
        vault.write("PASSWORD=bad-value\n")
        running.signal(signal.SIGHUP)
        running.line_with("generation 2 failed .*status 3.*going back")
        running.line_with("back on generation 1")


def test_ready_timeout_ends_the_wait(vault: Vault) -> None:
    """A first instance that is not ready in time is started again, as one that failed."""
    with started(vault, "--ready", "delay", "--ready-delay", "5s", "--ready-timeout", "200ms") as running:
        running.line_with("failed: not ready")
