#!/usr/bin/python3
"""A small HTTP server that can be bad, for tests of health checks. NAME=VALUE arguments say how.

    port=N          bind it itself (else it takes the descriptor `fd=NAME` of LISTEN_FDNAMES, or the first one)
    health=yes      serve the descriptor named health as well
    boot=SECONDS    before it serves; boot=@FILE: until the file is there
    status=N        of every answer; status=@FILE: the next word of the file, the last one from then on; `hang` for no answer at all
    crash=SECONDS   after it began to serve, with status 9
    ignore=yes      SIGTERM
    only_bad=yes    all this only when PASSWORD in the environment begins with bad
    notify=yes      send READY=1 when it serves
    show=requests   print them
    idle=yes        serve nothing
"""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

OPTIONS = dict(argument.split("=", 1) for argument in sys.argv[1:])
SERVERS: list[Server] = []
IS_BAD = "only_bad" not in OPTIONS or os.environ.get("PASSWORD", "").startswith("bad")


def option(name: str, default: str) -> str:
    """The word of an argument, for a start that is to be bad."""
    return OPTIONS.get(name, default) if IS_BAD else default


def boot(how: str) -> None:
    """Take some time."""
    while how.startswith("@") and not os.path.exists(how[1:]):
        time.sleep(0.02)
    time.sleep(0 if how.startswith("@") else float(how))


def next_word(path: Path) -> str:
    """The first word of a file, which is taken away as long as others follow."""
    word, *others = path.read_text().split()
    if others:
        new = path.with_name(f"{path.name}.next")
        new.write_text(" ".join(others))
        new.replace(path)
    return word


class Handler(BaseHTTPRequestHandler):
    """One answer."""

    def do_GET(self) -> None:
        """Say the status and the value."""
        status = option("status", "200")
        if status.startswith("@"):
            status = next_word(Path(status[1:]))
        if status == "hang":
            time.sleep(30)
            return
        if OPTIONS.get("show") == "requests":
            print(f"request {self.path} {self.headers['Host']}", flush=True)
        self.send_response(int(status))
        self.end_headers()
        self.wfile.write(f"{os.environ.get('PASSWORD')} {os.getpid()}\n".encode())

    def address_string(self) -> str:
        """No name of the client is looked up."""
        return "client"

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """On a socket that is there already."""

    daemon_threads = False  # server_close() waits for answers that are being given

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def get_request(self) -> tuple[socket.socket, object]:
        """As a unix socket gives it too."""
        connection, _ = self.socket.accept()
        return connection, ("client", 0)


def passed(name: str) -> socket.socket:
    """The descriptor of that name."""
    names = os.environ["LISTEN_FDNAMES"].split(":")
    return socket.socket(fileno=3 + (names.index(name) if name else 0))


def end(*_: object) -> None:
    """Finish what has been accepted, then end."""
    if not SERVERS:
        os._exit(0)
    for server in SERVERS:
        threading.Thread(target=server.shutdown).start()


def serve(listening: socket.socket) -> None:
    """Until SIGTERM; a request that hangs is not waited for."""
    server = Server(listening)
    SERVERS.append(server)
    server.serve_forever(0.05)
    if option("status", "200") != "hang":
        server.server_close()
    os._exit(0)


def main() -> None:
    """Boot, serve, perhaps crash."""
    if option("ignore", "no") == "yes":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, end)
    if option("exit", ""):
        os._exit(int(option("exit", "")))
    boot(option("boot", "0"))
    if "health" in OPTIONS:
        threading.Thread(target=Server(passed("health")).serve_forever, daemon=True).start()
    if "port" in OPTIONS:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", int(OPTIONS["port"])))
        listening.listen(128)
    elif "idle" not in OPTIONS:
        listening = passed(OPTIONS.get("fd", ""))
    if option("crash", ""):
        timer = threading.Timer(float(option("crash", "")), lambda: os._exit(9))
        timer.daemon = True
        timer.start()
    if "notify" in OPTIONS:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + os.environ["NOTIFY_SOCKET"][1:])
            channel.send(b"READY=1")
    print(f"serving {os.environ.get('PASSWORD')}", flush=True)
    if "idle" in OPTIONS:
        while True:
            signal.pause()
    serve(listening)


main()
