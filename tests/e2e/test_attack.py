"""What somebody who controls a part of the surroundings tries: each was once possible, or nearly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from support import TACET, clean_environment

# One process that keeps the pipe full, and orphans for PID 1 to write log lines about.
NOISY = """
import os
if os.fork() == 0:
    while True:
        os.write(2, b"x" * 4096)
while True:
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        os._exit(0)
    os.wait()
"""


def stands_in_a_write(pid: int) -> bool:
    """Say whether a process waits inside write(2) of a pipe."""
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text()


def test_an_app_that_fills_the_log_pipe_cannot_hold_the_supervisor_up() -> None:
    """Between "the pipe has room" and the write, the app may take the room."""
    reader, writer = os.pipe()
    running = subprocess.Popen(
        [TACET, "run", "-v", "-v", "--", sys.executable, "-c", NOISY],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    try:
        end = time.monotonic() + 6
        while time.monotonic() < end and not stands_in_a_write(running.pid):
            os.read(reader, 4096)
            time.sleep(0.0002)
        # From here on nobody reads.
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 128 + signal.SIGTERM
    finally:
        running.kill()
        running.wait()
        os.close(reader)
