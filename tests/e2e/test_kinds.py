"""The kinds of main processes, each in handoffs and in restarts under load: nobody fails, and nothing of an old generation is left.

Shells and npm, which have a server below them, stand in test_leftovers.py; here are a server without a handler for SIGTERM, which ends in
the middle of what it does, and a consumer of a queue, which has no socket at all.
"""

from __future__ import annotations

import collections
import itertools
import re
import sys
import time
from pathlib import Path

import pytest
from support import wait_until
from traffic import DONE, SERVERS, Load, environments_below, service, verdict

ROTATIONS = 3


@pytest.mark.parametrize("strategy", ["handoff", "restart"])
@pytest.mark.parametrize("server", ["python", "node"])
def test_a_server_without_a_handler_for_sigterm(tmp_path: Path, server: str, strategy: str) -> None:
    """Nobody fails: in a restart new requests wait at the next one's socket while the old one finishes."""
    with service(tmp_path, adopt=True, server=server, mode="careless", strategy=strategy) as running:
        load = Load(running.address, rate=100)
        load.await_answers()
        for number in range(2, 2 + ROTATIONS):
            running.await_log(DONE, running.rotate("careless"))
            assert environments_below(running.running.pid) == {str(number)}
            load.await_generation(number)
        report = load.finish()
        failed = sum(report["failed"].values())
        cut = lambda: sum(map(int, re.findall(r"(\d+) requests? of generation \d+ (?:was|were) cut", running.log)))  # noqa: E731
        wait_until(lambda: cut() >= failed, f"{failed} have failed: {running.log}")
        assert cut() == failed, verdict(report)
        assert failed == 0, verdict(report)


@pytest.mark.parametrize("strategy", ["handoff", "restart"])
def test_a_consumer_of_a_queue_loses_no_job_and_does_none_twice(tmp_path: Path, strategy: str) -> None:
    """Two consumers run side by side in a handoff, none does for a moment in a restart: each job is done once, the later ones by the new one."""
    folder = tmp_path / "queue"
    for name in ("new", "taken", "made"):
        (folder / name).mkdir(parents=True)
    command = [sys.executable, str(SERVERS / "consumer.py"), str(folder)]
    names = (f"{number:06}" for number in itertools.count())
    made = []

    def lines() -> list[list[str]]:
        return [line.split() for line in (folder / "done").read_text().splitlines()]

    def put(count: int) -> None:
        for name in itertools.islice(names, count):
            (folder / "made" / name).touch()
            (folder / "made" / name).rename(folder / "new" / name)
            made.append(name)
            time.sleep(0.01)

    options = ["--ready", "exec", "--min-healthy", "200ms", "--strategy", strategy]
    with service(tmp_path, *options, strategy="none", command=command) as running:
        for number in range(2, 2 + ROTATIONS):
            said = running.rotate()
            while not re.search(DONE, running.log[said:]):
                put(10)
            assert environments_below(running.running.pid) == {str(number)}
            before = len(lines())
            put(20)
            wait_until(lambda before=before: len(lines()) >= before + 5, "more jobs are done")
            assert {generation for _, generation, _ in lines()[before + 1 :]} == {str(number)}
        wait_until(lambda: len(lines()) >= len(made), "all jobs are done")
        counts = collections.Counter(name for name, _, _ in lines())
    assert counts == dict.fromkeys(made, 1)
    assert not list((folder / "taken").iterdir())
