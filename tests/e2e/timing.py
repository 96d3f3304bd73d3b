"""Time on a machine that may be slow, and may stand still for seconds at any moment."""

from __future__ import annotations

from collections.abc import Callable


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
