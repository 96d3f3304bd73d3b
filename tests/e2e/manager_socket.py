"""A stand-in for a service manager: the receiving end of sd_notify(3)."""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Callable

import pytest


class Manager:
    """The receiving end: every message as a dictionary, in the order they came."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.messages: list[dict[str, str]] = []
        self.texts: list[bytes] = []
        self.times: list[float] = []
        self.senders: set[int] = set()
        self.descriptors: list[int] = []

    def close(self) -> None:
        """Unbind, and close what was given."""
        self.socket.close()
        for fd in self.descriptors:
            os.close(fd)

    def receive(self, seconds: float = 30.0) -> dict[str, str]:
        """Return the next message."""
        self.socket.settimeout(seconds)
        try:
            text, controls, _, _ = self.socket.recvmsg(8192, 1024)
        except TimeoutError:
            raise AssertionError(f"no message within {seconds:g} s; so far: {self.messages}") from None
        for level, kind, content in controls:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                self.senders.add(array.array("i", content[:4])[0])
            elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.descriptors += array.array("i", content)
        self.times.append(time.monotonic())
        self.texts.append(text)
        self.messages.append(dict(line.split("=", 1) for line in text.decode().splitlines()))
        return self.messages[-1]

    def wait(self, claim: Callable[[dict[str, str]], object], seconds: float = 30.0) -> dict[str, str]:
        """Return the first message from now on for which the claim holds."""
        deadline = time.monotonic() + seconds
        while True:
            message = self.receive(max(0.01, deadline - time.monotonic()))
            if claim(message):
                return message

    def wait_ready(self) -> dict[str, str]:
        """Return the next READY=1."""
        return self.wait(lambda message: message.get("READY") == "1")

    def nothing(self, seconds: float) -> None:
        """Fail when any message comes within this time."""
        self.socket.settimeout(seconds)
        with pytest.raises(TimeoutError):
            self.texts.append(self.socket.recv(8192))

    def count(self, key: str) -> int:
        """Say in how many messages so far a key was."""
        return sum(key in message for message in self.messages)
