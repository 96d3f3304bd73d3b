"""What the lints share: the list of floors, the tree's source files, C text without comments and strings, and TAP output."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Floor:
    """A row of the file `floors`: how high a folder lies, and the only folders that it sees when not all lower ones."""

    number: int
    only: tuple[str, ...] | None


def read_floors() -> tuple[dict[str, Floor], dict[str, str], list[str]]:
    """The folders with a floor, those without one and why, and what is wrong with the file."""
    floors: dict[str, Floor] = {}
    apart: dict[str, str] = {}
    complaints: list[str] = []
    for number, line in enumerate((ROOT / "floors").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        row = re.fullmatch(r"(\d+) +(\S+)(?: +sees((?: +\S+)+))?", line)
        without = re.fullmatch(r"- +(\S+) +(\S.*)", line)
        if row and row.group(2) not in floors and int(row.group(1)) >= max((f.number for f in floors.values()), default=0):
            floors[row.group(2)] = Floor(int(row.group(1)), tuple(row.group(3).split()) if row.group(3) else None)
        elif without:
            apart[without.group(1)] = without.group(2)
        else:
            complaints.append(f"floors:{number}: no row of the form FLOOR FOLDER, or a second one, or not in order: {line}")
    complaints += [
        f"floors: {folder} may see {name}, which is not below it"
        for folder, floor in floors.items()
        for name in floor.only or ()
        if name not in floors or floors[name].number >= floor.number
    ]
    return floors, apart, complaints


FLOORS, APART, FLOORS_COMPLAINTS = read_floors()
FOLDERS = tuple(FLOORS)


def may_see(own: str, other: str) -> bool:
    """Whether files of one folder may use those of another: their own, and lower floors."""
    if own == other:
        return True
    if other not in FLOORS:
        return False
    only = FLOORS[own].only
    return FLOORS[other].number < FLOORS[own].number and (only is None or other in only)


def folder_of(path: Path) -> str:
    """The folder of FOLDERS that a file belongs to (the deepest one), or that of an unknown file as it is."""
    parent = path.relative_to(ROOT).parent.as_posix()
    candidates = [folder for folder in FOLDERS if parent == folder or parent.startswith(folder + "/")]
    return max(candidates, key=len, default=parent)


def tree_of(path: Path) -> str:
    """The part of the program that a file belongs to: `cli` for every folder in it."""
    return path.relative_to(ROOT).parts[0]


def product_files(*suffixes: str) -> list[Path]:
    """The program's own sources, in the order of the floors. `lib/musl` is linked into the static program only."""
    return [
        path
        for folder in (*FOLDERS, "lib/musl")
        for path in sorted((ROOT / folder).glob("*"))
        if path.suffix in suffixes
    ]


def stray_files() -> list[Path]:
    """C files in folders that the file `floors` does not name: no build has them and no lint would read them."""
    others = {"build", "tests", "bench"}
    return sorted(
        path
        for top in ROOT.iterdir()
        if top.is_dir() and top.name not in others and not top.name.startswith(".") or top.suffix in (".c", ".h")
        for path in (top.rglob("*.[ch]") if top.is_dir() else [top])
        if path.relative_to(ROOT).parent.as_posix() not in {*FOLDERS, *APART}
    )


def test_files() -> list[Path]:
    """C files of the tests and the bench."""
    return sorted([*ROOT.glob("tests/**/*.c"), *ROOT.glob("tests/**/*.h"), *ROOT.glob("bench/**/*.c")])


def includes_of(path: Path) -> list[tuple[int, str]]:
    """(line, path) of every include of a file of the tree, and of every one in quotes."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)', line)
        if match and (match.group(1) == '"' or (ROOT / match.group(2)).exists()):
            found.append((number, match.group(2)))
    return found


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
        print(f"not ok 1 - {' '.join(command[:3])} ...")
        print("\n".join(f"#   {line}" for line in (done.stdout + done.stderr).splitlines()[-20:]))
        raise SystemExit(1)
    return done.stdout
