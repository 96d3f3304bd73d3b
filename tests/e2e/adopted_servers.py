"""Servers that bind their own port and know nothing of tacet: how to start them, and what they answer."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

# For a server as it is to start, to answer or to end, where many others do the same at once.
SERVER_SECONDS = 200.0
SERVER_TIMEOUTS = ["--ready-timeout", f"{SERVER_SECONDS:.0f}s", "--stop-timeout", f"{SERVER_SECONDS:.0f}s"]
GUNICORN = ["/usr/bin/gunicorn", "--timeout", f"{SERVER_SECONDS:.0f}", "--graceful-timeout", f"{SERVER_SECONDS:.0f}"]
PYTHON = "/usr/bin/python3"  # Debian's: a version manager's wrapper would be another process

HTTP = """
import http.server, os, signal, socket, sys, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{os.getpid()} {os.environ.get('PASSWORD', '-')} {name}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET

server = Server((sys.argv[1], int(sys.argv[2])), Handler)
name = server.socket.getsockname()[:2]  # server_close() closes it before the last answers are given

# A graceful end: serve what waits in the queue, then what is under way.
def end(*_):
    threading.Thread(target=server.shutdown).start()

signal.signal(signal.SIGTERM, end)
server.serve_forever(poll_interval=0.02)
server.socket.setblocking(False)
try:
    while True:
        server.process_request(*server.get_request())
except BlockingIOError:
    pass
server.server_close()
"""

FORKING = """
import os, signal, socket, sys

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(5)
ending = False

def serve():
    def end(*_):
        global ending
        ending = True
    signal.signal(signal.SIGTERM, end)
    listener.settimeout(0.02)
    while True:
        try:
            client, _ = listener.accept()
        except TimeoutError:
            if ending:
                os._exit(0)
            continue
        client.settimeout(30)
        client.recv(65536)
        text = f"{os.getpid()} {os.environ.get('PASSWORD', '-')}".encode()
        client.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(text), text))
        client.close()

workers = []
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        serve()
    workers.append(pid)
signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in workers])
for _ in workers:
    while True:
        try:
            os.wait()
            break
        except InterruptedError:
            continue
"""

NODE = """
const server = require('http').createServer((request, response) => {
  response.setHeader('Connection', 'close');
  response.end(`${process.pid} ${process.env.PASSWORD || '-'} ${JSON.stringify(server.address())}`);
});
server.listen(Number(process.argv[2]));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
"""

NGINX = """
daemon off;
master_process on;
worker_processes 2;
pid {folder}/nginx.pid;
error_log stderr warn;
env PASSWORD;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {listen};
        location / {{ default_type text/plain; return 200 "$pid -"; }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 200
defaults
    mode http
    timeout client 60s
    timeout connect 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain lf-string "%pid %[env(PASSWORD)]"
"""

WSGI = """
import os

def app(environ, start_response):
    text = f"{os.getpid()} {os.environ.get('PASSWORD', '-')}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
"""


def written(path: Path, text: str) -> str:
    """A file with this text."""
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


def python(folder: Path, port: int) -> list[str]:
    """python3 http.server, threading, on the IPv4 loopback."""
    return [PYTHON, written(folder / "web.py", HTTP), "127.0.0.1", str(port)]


def python_dual(folder: Path, port: int) -> list[str]:
    """The same on [::], which the system makes dual: what a Go program's ":8080" does."""
    return [PYTHON, written(folder / "web.py", HTTP), "::", str(port)]


def forking(folder: Path, port: int) -> list[str]:
    """A parent that binds and two children that accept."""
    return [PYTHON, written(folder / "forking.py", FORKING), "0.0.0.0", str(port)]


def node(folder: Path, port: int) -> list[str]:
    """Node's http server: [::], non-blocking, epoll."""
    return ["node", written(folder / "server.js", NODE), str(port)]


def nginx(folder: Path, port: int) -> list[str]:
    """nginx in the foreground with two workers; SIGQUIT is its graceful end."""
    text = NGINX.format(folder=folder, listen=f"127.0.0.1:{port}")
    return [shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx", "-c", written(folder / "nginx.conf", text)]


def gunicorn(folder: Path, port: int) -> list[str]:
    """gunicorn with its own bind and two workers."""
    written(folder / "service.py", WSGI)
    return [*GUNICORN, "--chdir", str(folder), "-w", "2", "-b", f"127.0.0.1:{port}", "service:app"]


def gunicorn_local(folder: Path, path: str) -> list[str]:
    """gunicorn on a unix socket: it removes the file before it binds, and when it ends."""
    written(folder / "service.py", WSGI)
    return [*GUNICORN, "--chdir", str(folder), "-w", "1", "-b", f"unix:{path}", "service:app"]


def asking(folder: Path, port: int) -> list[str]:
    """python's again; it asks whether its socket listens already, and leaves it at that when it does."""
    ask = """    def server_activate(self):
        if not self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            super().server_activate()

server = Server("""
    return [PYTHON, written(folder / "web.py", HTTP.replace("server = Server(", ask, 1)), "127.0.0.1", str(port)]


def haproxy(folder: Path, port: int) -> list[str]:
    """haproxy: asks as well; SIGUSR1 is its graceful end."""
    return [shutil.which("haproxy", path="/usr/sbin:/usr/bin") or "haproxy", "-f", written(folder / "haproxy.cfg", HAPROXY.format(port=port))]


SERVERS: dict[str, Callable[[Path, int], list[str]]] = {
    "python": python,
    "python-dual": python_dual,
    "forking": forking,
    "node": node,
    "nginx": nginx,
    "gunicorn": gunicorn,
    "asking": asking,
    "haproxy": haproxy,
}
STOP_SIGNALS = {"nginx": "QUIT", "haproxy": "USR1"}


def connect(place: int | str, host: str, seconds: float) -> socket.socket:
    """A connection to a port, or to the path of a unix socket."""
    if isinstance(place, int):
        return socket.create_connection((host, place), seconds)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(seconds)
    connection.connect(place)
    return connection


def fetch(place: int | str, host: str = "127.0.0.1", seconds: float = 30.0) -> str:
    """One request on a connection of its own; the body of a 200, else an exception."""
    with connect(place, host, seconds) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise ValueError(f"answer {answer[:60]!r}")
    return body.decode()
