"""An ordinary web service: http.server, an address of its own, and a SIGTERM handler that finishes what it has begun.

The environment says how it behaves; see tests/tools/server.c. Knows MODE careless (no handler for SIGTERM), good, exit, never-ready, hang, unhealthy, deaf, crash, slow-boot.
"""

import http.server
import os
import signal
import sys
import threading
import time

MODE = os.environ.get("MODE", "good")
GENERATION = os.environ.get("TACET_GENERATION") or os.environ.get("GENERATION", "0")


class Handler(http.server.BaseHTTPRequestHandler):
    """Says who answers."""

    def do_GET(self) -> None:
        """Answer at once, or late at /slow."""
        if self.path == "/slow":
            time.sleep(0.3)
        body = f"{GENERATION} {os.getpid()} {MODE}\n".encode()
        self.send_response(503 if MODE == "unhealthy" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the tests read the supervisor's log."""


class Server(http.server.ThreadingHTTPServer):
    """Waits for the requests in flight when it is closed."""

    daemon_threads = False
    request_queue_size = 1024


def main() -> None:
    """Serve until SIGTERM."""
    if MODE in ("hang", "deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while MODE in ("hang", "never-ready"):
        signal.pause()
    if MODE == "exit":
        sys.exit(1)
    time.sleep(1.5 if MODE == "slow-boot" else 0)
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    if MODE not in ("deaf", "careless"):
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    if MODE == "crash":
        threading.Timer(int(os.environ.get("CRASH_MS", "500")) / 1000, os._exit, [1]).start()
    server.serve_forever(poll_interval=0.05)
    server.server_close()


main()
