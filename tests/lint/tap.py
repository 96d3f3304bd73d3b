"""What the lints share: the tree's source files, C text without comments and strings, and TAP output."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = (
    "lib",
    "conf",
    "secrets/age",
    "supervisor/core",
    "client",
    "secrets/document",
    "secrets/source",
    "secrets",
    "shim",
    "supervisor/process",
    "supervisor/sockets",
    "supervisor/notify",
    "supervisor/generations",
    "supervisor/adopt",
    "supervisor/health",
    "supervisor/manager",
    "supervisor/gate",
    "supervisor/control",
    "supervisor/instance",
    "supervisor",
    "cli/common",
    "cli/service",
    "cli/files",
    "cli/ask",
    "cli",
)


def folder_of(path: Path) -> str:
    """The folder of FOLDERS that a file belongs to (the deepest one)."""
    parent = path.relative_to(ROOT).parent.as_posix()
    candidates = [folder for folder in FOLDERS if parent == folder or parent.startswith(folder + "/")]
    return max(candidates, key=len)


def product_files(*suffixes: str) -> list[Path]:
    """The program's own sources, in the order of the floors. `lib/musl` is linked into the static program only."""
    found: list[Path] = []
    for folder in FOLDERS:
        found += sorted(path for path in (ROOT / folder).glob("*") if path.suffix in suffixes)
    return found + sorted(path for path in (ROOT / "lib/musl").glob("*") if path.suffix in suffixes)


def test_files() -> list[Path]:
    """C files of the tests and the bench."""
    return sorted([*ROOT.glob("tests/**/*.c"), *ROOT.glob("tests/**/*.h"), *ROOT.glob("bench/**/*.c")])


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code_of(text: str) -> str:
    """C text with comments and the insides of strings blanked out; every character keeps its line."""

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        if token[0] in "\"'":
            return token[0] + " " * (len(token) - 2) + token[-1]
        return re.sub(r"[^\n]", " ", token)

    return TOKEN.sub(blank, text)


def show(path: Path, line: int, text: str) -> str:
    """`FILE:LINE: text`, as compilers write it."""
    return f"{path.relative_to(ROOT)}:{line}: {text}"


class Report:
    """TAP lines: one test per rule, its complaints as comments behind it."""

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0

    def rule(self, name: str, complaints: list[str]) -> None:
        """Print one rule's outcome."""
        self.count += 1
        self.failed += bool(complaints)
        print(f"{'not ' if complaints else ''}ok {self.count} - {name}")
        for complaint in complaints:
            print(f"#   {complaint}")

    def finish(self) -> int:
        """The plan, and the exit status."""
        print(f"1..{self.count}")
        sys.stdout.flush()
        return 1 if self.failed else 0


def run(*command: str) -> str:
    """Run a command in the tree's root and give its output; its failure ends the lint with what it said."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"not ok 1 - {' '.join(command)}")
        print("\n".join(f"#   {line}" for line in (done.stdout + done.stderr).splitlines()[-20:]))
        raise SystemExit(1)
    return done.stdout
