"""The fault tests use the end-to-end harness."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))

import support  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    """Bound every test in time."""
    config.addinivalue_line("markers", "both: is run with the dynamic and with the static program")
    if not config.getoption("timeout", None):
        config.option.timeout = 900


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """End what a test left behind."""
    yield
    support.end_leftovers()
