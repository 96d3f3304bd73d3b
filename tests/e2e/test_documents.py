"""What the documents say about tests is true."""

from __future__ import annotations

import re

from support import ROOT


def test_every_test_that_docs_pid1_names_exists() -> None:
    """The table of edge cases names a test for each; all 25 rows are there."""
    text = (ROOT / "docs" / "PID1.md").read_text()
    defined = set()
    for source in (*ROOT.glob("tests/e2e/test_*.py"), *ROOT.glob("tests/faults/test_*.py")):
        defined |= set(re.findall(r"^def (test_\w+)", source.read_text(), re.MULTILINE))
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 26))
    for row in rows:
        named = re.findall(r"test_\w+", row)
        assert named, row
        assert set(named) <= defined, f"no such test: {set(named) - defined}"
