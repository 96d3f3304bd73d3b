"""What takes long for whoever has to close it, or read it: made by tests that want to see nobody waiting."""

from __future__ import annotations

import contextlib
import socket
import struct

LINGER_SECONDS = 600


def lingering() -> tuple[socket.socket, list[socket.socket]]:
    """A connection with unsent bytes whose last close(2) waits for ten minutes, and what must stay open for that."""
    server = socket.create_server(("127.0.0.1", 0))
    connection = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_SECONDS))
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.send(b"x" * 65536)
    return connection, [server, peer]
