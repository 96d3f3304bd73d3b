"""A consumer of a queue, without any socket: jobs are files of a folder, and who renames one first has it.

consumer.py FOLDER. At SIGTERM it finishes the job that it has. Each job that is done is a line of FOLDER/done: its number, and who did it.
"""

import contextlib
import os
import signal
import sys
import time

FOLDER = sys.argv[1]
GENERATION = os.environ["GENERATION"]
JOB_SECONDS = 0.02
told = []


def job_take() -> str | None:
    """Claim a job by its name; None when there is none."""
    for name in sorted(os.listdir(f"{FOLDER}/new")):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{FOLDER}/new/{name}", f"{FOLDER}/taken/{name}")
            return name
    return None


def main() -> None:
    """Work until it is told to end, and not in the middle of a job."""
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    done = os.open(f"{FOLDER}/done", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while not told:
        name = job_take()
        time.sleep(JOB_SECONDS)
        if name:
            os.write(done, f"{name} {GENERATION} {os.getpid()}\n".encode())
            os.unlink(f"{FOLDER}/taken/{name}")


main()
