"""What the documents say about tests is true."""

from __future__ import annotations

import re

import pytest
from support import ROOT


@pytest.mark.parametrize(("document", "count"), [("PID1.md", 25), ("SYSTEMD.md", 20)])
def test_every_test_that_the_tables_of_cases_name_exists(document: str, count: int) -> None:
    """A table of cases names a test for each; all rows are there."""
    text = (ROOT / "docs" / document).read_text()
    defined = set()
    for source in (path for folder in ("e2e", "faults", "systemd") for path in ROOT.glob(f"tests/{folder}/test_*.py")):
        defined |= set(re.findall(r"^def (test_\w+)", source.read_text(), re.MULTILINE))
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, count + 1))
    for row in rows:
        named = re.findall(r"test_\w+", row)
        assert named, row
        assert set(named) <= defined, f"no such test: {set(named) - defined}"
