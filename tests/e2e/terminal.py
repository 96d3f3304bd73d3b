"""A pseudo-terminal with something on it that a test types to."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

from support import PATIENCE_SECONDS, clean_environment, descendants_of, kill_quietly

PROMPT = "prompt> "
SHELL = ["bash", "--norc", "--noprofile", "--noediting", "-i"]


class Terminal:
    """A command in an own session on an own terminal."""

    def __init__(self, command: Sequence[str] = SHELL) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.text = ""

        def prepare() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=clean_environment({"PS1": PROMPT, "TERM": "dumb"}),
            preexec_fn=prepare,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [*descendants_of(self.process.pid), self.process.pid]:
            kill_quietly(pid)
            kill_quietly(pid, signal.SIGCONT)
        self.process.wait(PATIENCE_SECONDS)
        os.close(self.master)

    def type(self, keys: str) -> None:
        """Type; `\\x03` is Ctrl-C, `\\x1a` Ctrl-Z."""
        os.write(self.master, keys.encode())

    def expect(self, text: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Read until `text` was printed; return everything up to and with it."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"'{text}' was not printed within {seconds:g} s; the screen: {self.text!r}")
            try:
                self.text += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the terminal was closed before '{text}'; the screen: {self.text!r}") from None
        before, found, self.text = self.text.partition(text)
        return before + found

    def command(self, line: str) -> None:
        """Wait for the prompt and type a line."""
        self.expect(PROMPT)
        self.type(line + "\n")
        self.expect(line)

    def foreground(self) -> int:
        """The process group that has the terminal."""
        return os.tcgetpgrp(self.master)
