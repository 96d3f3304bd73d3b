"""Time on a machine that may be slow, and may stand still for seconds at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable

from support import read_status

IDLE_WINDOWS = 20


def at_a_pace(attempt: Callable[[float], None], *paces: float) -> None:
    """Try the same with longer and longer times, in seconds: what is wrong fails at every pace, a machine that is slow only at the first.

    For tests that need something to happen within a time, because that very time is what they are about.
    """
    for pace in paces[:-1]:
        try:
            attempt(pace)
        except AssertionError as error:
            print(f"at a pace of {pace:g} s: {error}")
        else:
            return
    attempt(paces[-1])


def duration(seconds: float) -> str:
    """A time as tacet is told it: whole numbers of a unit."""
    return f"{round(seconds * 1000)}ms"


def switches_of(pid: int) -> int:
    """How often a process has gone to sleep."""
    return int(read_status(pid)["voluntary_ctxt_switches"])


def expect_idle(pid: int, seconds: float = 1.0, disturb: Callable[[], None] = lambda: None) -> None:
    """A process sleeps through a whole window of time, which one that wakes up by itself never does.

    It may have something left to do when this is called: a few windows may pass. `disturb` does in each what must not wake it.
    """
    for _ in range(IDLE_WINDOWS):
        before = switches_of(pid)
        disturb()
        time.sleep(seconds)
        if switches_of(pid) == before:
            return
    raise AssertionError(f"process {pid} woke up in each of {IDLE_WINDOWS} windows of {seconds:g} s")
