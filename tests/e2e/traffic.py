"""Load for the handoff tests: a service under tacet with its log in a file, rotations to good and bad generations, and clients."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secrets_files import Vault, vault_make
from support import ROOT, TACET, TOOLS, Running, clean_environment, descendants_of, free_port, read_status, wait_until

LOAD = str(TOOLS / "load")
PROGRESS = struct.Struct("3q")
SERVER = str(TOOLS / "server")
SERVERS = ROOT / "tests" / "e2e" / "servers"

# `make check` runs a short form. The whole: TACET_LOAD_RATE=1000 TACET_LOAD_SECONDS=20 TACET_LOAD_EVERY=2 and five runs.
RATE = int(os.environ.get("TACET_LOAD_RATE", "300"))
SECONDS = int(os.environ.get("TACET_LOAD_SECONDS", "4"))
EVERY_SECONDS = float(os.environ.get("TACET_LOAD_EVERY", "1"))


class Load:
    """Clients that ask all the time, each request on a connection of its own; see tests/tools/load.c."""

    def __init__(self, address: str, *, rate: int = RATE, seconds: int = 100, deadline_ms: int = 20000, slow: int = 10) -> None:
        shared = os.memfd_create("progress")
        command = [LOAD, "--rate", str(rate), "--seconds", str(seconds), "--deadline", str(deadline_ms), "--slow", str(slow)]
        command += ["--progress", f"/proc/self/fd/{shared}", address]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment(), pass_fds=[shared])
        blocked = lambda: int(read_status(self.process.pid).get("SigBlk", "0"), 16) != 0  # noqa: E731
        wait_until(blocked, "the load takes signals")
        self.seen = mmap.mmap(shared, PROGRESS.size)
        os.close(shared)

    def progress(self) -> tuple[int, int, int]:
        """Good answers and failures so far, and the generation that answered last."""
        return PROGRESS.unpack(self.seen[:])

    def await_generation(self, number: int) -> None:
        """Wait until clients are answered by that generation."""
        wait_until(lambda: self.progress()[2] == number, f"generation {number} answers")

    def await_answers(self, count: int = 50) -> None:
        """Wait until so many more were given."""
        enough = self.progress()[0] + count
        wait_until(lambda: self.progress()[0] >= enough, f"{count} more answers")

    def mark(self) -> None:
        """Note that something happens now."""
        self.process.send_signal(signal.SIGUSR1)

    def finish(self) -> dict:
        """End it and return what it saw."""
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=60)
        self.seen.close()
        assert self.process.returncode == 0
        return json.loads(text)


@dataclass
class Service:
    """A server under `tacet run --strategy handoff`, and the clients' address of it."""

    vault: Vault
    log_path: Path
    address: str  # where clients find it
    running: Running = field(init=False)
    number: int = 1

    @property
    def log(self) -> str:
        """What tacet has said so far."""
        return self.log_path.read_text(errors="replace")

    def rotate(self, mode: str = "good") -> int:
        """Write new secrets, which choose how the next generation behaves, and ask for the rotation. Returns its mark in the log."""
        self.number += 1
        self.vault.write(f"MODE={mode}\nGENERATION={self.number}\n")
        said = len(self.log)
        self.running.signal(signal.SIGHUP)
        return said

    def await_log(self, pattern: str, said: int, seconds: float = 60) -> str:
        """Wait until the log has a line with `pattern` after `said`; return what it has since then."""
        wait_until(lambda: re.search(pattern, self.log[said:]), f"/{pattern}/ in the log: {self.log[-2000:]}", seconds)
        return self.log[said:]


def environments_below(pid: int) -> set[str]:
    """The generations whose secrets stand in the environment of any process below this one."""
    found = set()
    for child in descendants_of(pid):
        with contextlib.suppress(OSError):
            found |= set(re.findall(rb"(?:^|\0)GENERATION=(\d+)", Path(f"/proc/{child}/environ").read_bytes()))
    return {value.decode() for value in found}


DONE = r"rotation to generation \d+ done"
BACK = r"back on generation \d+"


def rate_for(server: str) -> int:
    """How many requests a second: interpreters get fewer, unless it was said how many."""
    return RATE if server == "c" or "TACET_LOAD_RATE" in os.environ else RATE // 3


def command_of(server: str) -> list[str]:
    """How a server is started."""
    if server == "python":
        return ["/usr/bin/python3", str(SERVERS / "plain.py")]
    if server == "node":
        return ["node", str(SERVERS / "plain.js")]
    return [SERVER]


@contextlib.contextmanager
def service(
    folder: Path,
    *options: str,
    server: str = "c",
    adopt: bool = False,
    strategy: str = "handoff",
    listen: str = "127.0.0.1:PORT",
    client: str = "127.0.0.1:PORT",
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    mode: str = "good",
) -> Iterator[Service]:
    """A started service that answers."""
    vault = vault_make(folder / "vault", f"MODE={mode}\nGENERATION=1\n")
    port = str(free_port())
    made = Service(vault, folder / "log", client.replace("PORT", port))
    sockets = ["--adopt", port] if adopt else ["--listen", f"http={listen.replace('PORT', port)}"]
    if strategy == "none":
        sockets, strategy = [], "restart"
    wrapped = [TACET, "run", "-v", *vault.options, "--strategy", strategy, *sockets, *options, "--", *(command or command_of(server))]
    variables = {"PORT": port, "LOG": str(made.log_path), "STARTS": str(folder / "starts")}
    if not sockets or adopt:
        variables["ADDRESS"] = made.address
    shell = ["sh", "-c", 'exec "$@" >"$LOG" 2>&1', "sh"]
    with Running([*shell, *wrapped], environment=variables | dict(environment or {})) as made.running:
        wait_until(lambda: made.log_path.exists() and re.search("generation 1 is up", made.log), "the service is up")
        yield made


def verdict(report: Mapping) -> str:
    """What to print when a report is not as it should be."""
    shown = {key: report[key] for key in ("requests", "failed", "failures", "all", "silences_ms", "stall_ms", "marks", "answers")}
    return json.dumps(shown, indent=1)


def labels_of(report: Mapping) -> dict[str, int]:
    """How many answers the generations of each kind gave."""
    counts: dict[str, int] = {}
    for answer in report["answers"]:
        counts[answer["label"]] = counts.get(answer["label"], 0) + answer["count"]
    return counts
