"""Fixtures of the end-to-end tests. The program under test is $TACET (build/tacet when unset)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import support  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marks, and bound every test in time."""
    config.addinivalue_line("markers", "both: is run with the dynamic and with the static program")
    config.addinivalue_line("markers", "slow: takes longer than ten seconds")
    if not config.getoption("timeout", None):
        config.option.timeout = 300


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say at once what is missing, instead of by a hundred failures."""
    for needed, target in ((support.TACET, "all static"), (support.PROBE, "tools")):
        if not os.access(needed, os.X_OK):
            pytest.exit(f"{needed} is missing: run 'make {target}' first", returncode=3)


@pytest.fixture(params=["outside", "pid1"])
def pid1(request: pytest.FixtureRequest) -> bool:
    """Run a test twice: as an ordinary process and as PID 1 of an own PID namespace."""
    if request.param == "pid1" and os.geteuid() != 0:
        pytest.skip("a PID namespace needs root")
    return request.param == "pid1"


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """End what a test left behind, so that it cannot disturb the next one."""
    yield
    support.end_leftovers()
