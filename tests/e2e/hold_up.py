"""What takes long for whoever has to close it: made by tests that want to see nobody waiting."""

from __future__ import annotations

import contextlib
import socket
import struct

LINGER_SECONDS = 100


def lingering(server: socket.socket) -> socket.socket:
    """A connection with unsent bytes, whose last close(2) waits; that of a process that ends does not."""
    connection = socket.create_connection(server.getsockname())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_SECONDS))
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.send(b"x" * 65536)
    return connection
