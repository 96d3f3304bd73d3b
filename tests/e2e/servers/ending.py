"""A server that treats its listening socket badly at its end: ENDING=shutdown as Perl's Net::Server does, or unlink for the file of a unix socket.

ADDRESS is a port of the loopback address, or a path. Answers every connection with the generation, one line.
"""

import os
import signal
import socket
import sys

ADDRESS = os.environ["ADDRESS"]
IS_GIVEN = "LISTEN_FDS" in os.environ
LISTENER = socket.socket(fileno=3) if IS_GIVEN else socket.socket(socket.AF_UNIX if "/" in ADDRESS else socket.AF_INET)


def end(*_: object) -> None:
    """Shut the listener down, which is the socket of all that come after."""
    if os.environ.get("ENDING") == "shutdown":
        LISTENER.shutdown(socket.SHUT_RDWR)
    if os.environ.get("ENDING") == "unlink":
        os.unlink(ADDRESS)
    sys.exit(0)


def main() -> None:
    """Serve until SIGTERM."""
    if "/" not in ADDRESS:
        LISTENER.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not IS_GIVEN:
        LISTENER.bind(ADDRESS if "/" in ADDRESS else ("127.0.0.1", int(ADDRESS)))
        LISTENER.listen(128)
    signal.signal(signal.SIGTERM, end)
    while True:
        client, _ = LISTENER.accept()
        client.sendall(os.environ["TACET_GENERATION"].encode() + b"\n")
        client.close()


main()
