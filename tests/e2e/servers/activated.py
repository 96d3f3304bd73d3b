"""An app that takes its sockets as sd_listen_fds(3) says, by hand: tells what it got, then answers.

First line of output: a JSON object with its pid, its variables and its descriptors. On streams it answers every connection with
"PID\\n", on datagram sockets every message with the same. On SIGTERM it ends.
"""

import contextlib
import json
import os
import selectors
import socket
import stat

WORDS = ("LISTEN_", "SERVER_STARTER_", "EINHORN_", "TACET_", "NOTIFY_SOCKET", "WATCHDOG_", "FDSTORE", "MAINPIDFDID", "MANAGERPIDFDID")


def describe(number: int) -> dict[str, object]:
    """What a descriptor is."""
    mode = os.fstat(number).st_mode
    found: dict[str, object] = {
        "fd": number,
        "link": os.readlink(f"/proc/self/fd/{number}"),
        "cloexec": not os.get_inheritable(number),
        "blocking": os.get_blocking(number),
    }
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(number))
        name = sock.getsockname()
        found["family"] = sock.family.name
        found["type"] = sock.type.name
        found["name"] = name.decode().replace("\0", "@") if isinstance(name, bytes) else name
        found["listening"] = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        sock.close()
    return found


def main() -> None:
    """Tell, then serve."""
    open_ones = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    # The folder itself was open while it was listed.
    open_ones = [number for number in open_ones if number > 2 and os.path.exists(f"/proc/self/fd/{number}")]
    told = {
        "pid": os.getpid(),
        "environment": {name: value for name, value in os.environ.items() if name.startswith(WORDS)},
        "descriptors": [describe(number) for number in open_ones],
    }
    print("ACTIVATED " + json.dumps(told), flush=True)
    selector = selectors.DefaultSelector()
    for found in told["descriptors"]:
        if not found.get("listening") and found.get("type") != "SOCK_DGRAM":
            continue
        selector.register(socket.socket(fileno=found["fd"]), selectors.EVENT_READ)
    if os.environ.get("SLEEPY"):
        selector = selectors.DefaultSelector()
    while True:
        for key, _ in selector.select(3600):
            sock = key.fileobj
            if sock.type == socket.SOCK_DGRAM:
                _, sender = sock.recvfrom(65536)
                sock.sendto(f"{os.getpid()}\n".encode(), sender)
                continue
            connection, _ = sock.accept()
            # Who only looked whether somebody accepts is gone by now.
            with connection, contextlib.suppress(OSError):
                connection.sendall(f"{os.getpid()}\n".encode())


main()
