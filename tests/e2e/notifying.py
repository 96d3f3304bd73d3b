#!/usr/bin/python3
"""A program that speaks sd_notify(3) by hand. It takes its arguments as steps, one after the other.

    say:TEXT      send TEXT (\\n is a newline, \\0 a NUL) to $NOTIFY_SOCKET
    fds:N:TEXT    the same with N descriptors
    many:N:TEXT   N times
    size:N:TEXT   padded with x to N bytes
    barrier       send BARRIER=1 with the end of a pipe, wait until it is closed
    child:TEXT    let a child send it, wait for that
    orphan:TEXT   let a grandchild send it whose parent has ended
    sleep:SECONDS
    file:PATH     wait until that file is there
    print:TEXT    a line on standard output
    env:NAME      print a variable
    count         print how many descriptors the parent process has open
    newline       write one to descriptor $TACET_READY_FD and close it
    exit:N
    wait          until a signal comes
"""

from __future__ import annotations

import array
import os
import signal
import socket
import sys
import time
from pathlib import Path


def send(data: bytes, descriptors: list[int] | None = None) -> None:
    """One datagram to the notify socket."""
    address = os.environ["NOTIFY_SOCKET"]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendmsg([data], rights)


def data_of(text: str) -> bytes:
    """The bytes that a step's text means."""
    return text.replace("\\n", "\n").replace("\\0", "\0").encode()


def barrier() -> None:
    """Wait until everything that was sent has been taken."""
    reader, writer = os.pipe()
    send(b"BARRIER=1", [writer])
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)


def forked(text: str, *, twice: bool) -> None:
    """Let a child, or a grandchild without a parent, send it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    parent = os.getpid()
    if twice and os.fork():
        os._exit(0)
    while twice and os.getppid() == parent:
        time.sleep(0.01)
    send(data_of(text))
    barrier()
    os._exit(0)


def step(word: str, rest: str) -> None:
    """Do one."""
    number, _, text = rest.partition(":")
    if word == "say":
        send(data_of(rest))
    elif word == "fds":
        descriptors = [os.dup(0) for _ in range(int(number))]
        send(data_of(text), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
    elif word == "many":
        for _ in range(int(number)):
            send(data_of(text))
    elif word == "size":
        send(data_of(text) + b"x" * (int(number) - len(data_of(text))))
    elif word == "barrier":
        barrier()
    elif word in ("child", "orphan"):
        forked(rest, twice=word == "orphan")
    elif word == "sleep":
        time.sleep(float(rest))
    elif word == "file":
        while not Path(rest).exists():
            time.sleep(0.02)
    elif word == "print":
        print(rest, flush=True)
    elif word == "env":
        print(f"{rest}={os.environ.get(rest)}", flush=True)
    elif word == "count":
        print(f"descriptors {len(list(Path(f'/proc/{os.getppid()}/fd').iterdir()))}", flush=True)
    elif word == "newline":
        descriptor = int(os.environ["TACET_READY_FD"])
        os.write(descriptor, b"almost")
        os.write(descriptor, b" there\n")
        os.close(descriptor)
    elif word == "exit":
        sys.exit(int(rest))
    elif word == "wait":
        signal.pause()
    else:
        sys.exit(f"unknown step {word}")


for argument in sys.argv[1:]:
    step(*argument.partition(":")[::2])
