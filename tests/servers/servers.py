"""The servers of docs/SERVERS.md that are run: how each is started, and what a client may expect of it.

A row's command, options and files know {port}, {socket} (the path of a unix socket), {dir} (a folder of its own, which is there) and, where tacet is to put them in, %g and
%r. Every server gets what its own manual says, and nothing for tacet's sake but the stop signal and a pid file for each generation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Row:
    """One server in one configuration."""

    name: str
    package: str  # whose version is told; "npm:NAME" for one of npm
    command: list[str]
    files: dict[str, str] = field(default_factory=dict)  # in {dir}
    options: list[str] = field(default_factory=list)  # of tacet run
    rate: int = 120  # requests a second
    slow: int = 20  # of a thousand, which take 300 ms; 0 where the server itself answers
    note: str = ""
    may_lose: bool = False  # what it does to its own clients, whoever tells it to end
    variant: str = ""  # "replicas 3", "canary 25%", "draining off"
    is_local: bool = False  # it listens at {socket}
    ask: tuple[bytes, bytes] = (b"", b"")  # no http: what is sent (nothing: wait), and how the answer begins


SLOW_WSGI = """
import os, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.3)
    text = f"{os.getpid()} {os.environ.get('TOKEN', '-')}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text]
"""
SLOW_ASGI = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
SLOW_RACK = """
run lambda { |env|
  sleep 0.3 if env["PATH_INFO"] == "/slow"
  [200, {"content-type" => "text/plain", "content-length" => "2"}, ["ok"]]
}
"""
SLOW_PSGI = """
my $app = sub {
    my $env = shift;
    select(undef, undef, undef, 0.3) if $env->{PATH_INFO} eq "/slow";
    return [200, ["Content-Type" => "text/plain", "Content-Length" => 2], ["ok"]];
};
"""
NODE = """
const server = require("http").createServer((request, response) =>
  setTimeout(() => response.end(`${process.pid}`), request.url === "/slow" ? 300 : 0));
server.listen(Number(process.argv[2]));
"""
NODE_CLOSES = NODE + 'process.on("SIGTERM", () => server.close(() => process.exit(0)));\n'
EXPRESS = """
const app = require("/srv/node_modules/express")();
app.get("/slow", (request, response) => setTimeout(() => response.send("slow"), 300));
app.get("/", (request, response) => response.send("ok"));
const server = app.listen(Number(process.argv[2]));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
"""
FASTIFY = """
const app = require("/srv/node_modules/fastify")();
app.get("/slow", async () => { await new Promise((done) => setTimeout(done, 300)); return "slow"; });
app.get("/", async () => "ok");
app.listen({ port: Number(process.argv[2]), host: "::" });
process.on("SIGTERM", () => app.close().then(() => process.exit(0)));
"""
CLUSTER = """
const cluster = require("cluster");
if (cluster.isPrimary) {
  for (let n = 0; n < 2; n++) cluster.fork();
  process.on("SIGTERM", () => cluster.disconnect(() => process.exit(0)));
} else {
  require("http").createServer((request, response) =>
    setTimeout(() => response.end("ok"), request.url === "/slow" ? 300 : 0)).listen(Number(process.argv[2]));
  process.on("SIGTERM", () => {});
}
"""
HTTP_SERVER = """
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
TORNADO = """
import asyncio, sys, tornado.web

class Main(tornado.web.RequestHandler):
    async def get(self, path):
        if path == "slow":
            await asyncio.sleep(0.3)
        self.write("ok")

async def main():
    tornado.web.Application([(r"/(.*)", Main)]).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()

asyncio.run(main())
"""
AIOHTTP = """
import asyncio, sys
from aiohttp import web

async def answer(request):
    if request.path == "/slow":
        await asyncio.sleep(0.3)
    return web.Response(text="ok")

app = web.Application()
app.add_routes([web.get("/", answer), web.get("/slow", answer)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
GO = """
package main

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { time.Sleep(300 * time.Millisecond); w.Write([]byte("ok")) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok")) })
	server := &http.Server{Addr: ":" + os.Args[1], Handler: mux}
	end := make(chan os.Signal, 1)
	done := make(chan bool)
	signal.Notify(end, syscall.SIGTERM)
	go func() { <-end; server.Shutdown(context.Background()); close(done) }()
	if server.ListenAndServe() != http.ErrServerClosed {
		os.Exit(1)
	}
	<-done
}
"""
JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

class Web {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            try {
                if (exchange.getRequestURI().getPath().equals("/slow")) Thread.sleep(300);
            } catch (InterruptedException ignored) { }
            exchange.sendResponseHeaders(200, 2);
            exchange.getResponseBody().write("ok".getBytes());
            exchange.close();
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.stop(2)));
        server.start();
    }
}
"""
PHP = """<?php if ($_SERVER["REQUEST_URI"] === "/slow") usleep(300000); echo "ok";\n"""
NGINX = """
daemon off;
pid {dir}/nginx-%s.pid;
error_log stderr warn;
worker_processes %s;
events {{ worker_connections 512; }}
http {{ access_log off; server {{ listen {port}%s; location / {{ return 200 "ok"; }} }} }}
"""
APACHE = """
ServerName web
ServerRoot {dir}
User www-data
Group www-data
PidFile {dir}/apache-${{TACET_GENERATION}}.pid
DefaultRuntimeDir {dir}
Listen 127.0.0.1:{port}
ErrorLog /dev/stderr
LoadModule mpm_%s_module /usr/lib/apache2/modules/mod_mpm_%s.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
DirectoryIndex index.html
DocumentRoot {dir}
"""
HAPROXY = """
global
    maxconn 2000
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string ok
"""
LIGHTTPD = """
server.document-root = "{dir}"
server.port = {port}
server.bind = "127.0.0.1"
index-file.names = ("index.html")
server.pid-file = "{dir}/lighttpd-" + env.TACET_GENERATION + ".pid"
"""
CADDY = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    respond "ok"
}}
"""
UNIX_LIGHTTPD = """
server.document-root = "{dir}"
server.bind = "{socket}"
index-file.names = ("index.html")
"""
UNIX_NGINX = NGINX.replace("{port}", "unix:{socket}")
MOSQUITTO = "listener {port} 127.0.0.1\nallow_anonymous true\n"
SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/key
PidFile none
"""
# MQTT 3.1.1, CONNECT of a clean session and CONNACK
MQTT = (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01t", b"\x20\x02\x00\x00")
INDEX = {"index.html": "ok\n", "slow": "ok\n"}
STOP = "--stop-signal"
PYTHON = "/usr/bin/python3"

GUNICORN = ["gunicorn", "--chdir", "{dir}", "-b", "127.0.0.1:{port}"]
CARELESS = [
    Row("node, no handler", "nodejs", ["node", "{dir}/web.js", "{port}"], {"web.js": NODE}),
    Row("python http.server, no handler", "python3-minimal", [PYTHON, "{dir}/web.py", "{port}"], {"web.py": HTTP_SERVER}),
    Row("tornado, no handler", "python3-tornado", [PYTHON, "{dir}/web.py", "{port}"], {"web.py": TORNADO}),
]
ROWS = [
    Row("nginx", "nginx-light", ["nginx", "-c", "{dir}/%g.conf"], {f"{g}.conf": NGINX % (g, 1, "") for g in range(1, 9)},
        [STOP, "QUIT"], 1000, 0),
    Row("nginx, 4 workers, reuseport", "nginx-light", ["nginx", "-c", "{dir}/%g.conf"],
        {f"{g}.conf": NGINX % (g, 4, " reuseport") for g in range(1, 9)}, [STOP, "QUIT"], 1000, 0),
    Row("apache, event", "apache2", ["apache2", "-DFOREGROUND", "-f", "{dir}/web.conf"],
        {"web.conf": APACHE % ("event", "event"), **INDEX}, [STOP, "WINCH"], 500, 0),
    Row("apache, prefork", "apache2", ["apache2", "-DFOREGROUND", "-f", "{dir}/web.conf"],
        {"web.conf": APACHE % ("prefork", "prefork"), **INDEX}, [STOP, "WINCH"], 500, 0),
    Row("apache, worker", "apache2", ["apache2", "-DFOREGROUND", "-f", "{dir}/web.conf"],
        {"web.conf": APACHE % ("worker", "worker"), **INDEX}, [STOP, "WINCH"], 500, 0),
    Row("lighttpd", "lighttpd", ["lighttpd", "-D", "-f", "{dir}/web.conf"], {"web.conf": LIGHTTPD, **INDEX}, [STOP, "INT"], 1000, 0),
    Row("haproxy", "haproxy", ["haproxy", "-f", "{dir}/web.cfg"], {"web.cfg": HAPROXY},
        [STOP, "USR1"], 1000, 0),
    Row("haproxy -W", "haproxy", ["haproxy", "-W", "-f", "{dir}/web.cfg"], {"web.cfg": HAPROXY},
        [STOP, "USR1"], 1000, 0),
    Row("caddy", "caddy", ["caddy", "run", "--adapter", "caddyfile", "--config", "{dir}/web.conf"], {"web.conf": CADDY}, rate=1000, slow=0),
    Row("gunicorn, sync", "gunicorn", [*GUNICORN, "-w", "3", "web:app"], {"web.py": SLOW_WSGI}, rate=60),
    Row("gunicorn, threads", "gunicorn", [*GUNICORN, "--threads", "8", "web:app"], {"web.py": SLOW_WSGI}, rate=200),
    Row("gunicorn, gevent", "gunicorn", [*GUNICORN, "-k", "gevent", "web:app"], {"web.py": SLOW_WSGI}, rate=200),
    Row("gunicorn, --preload", "gunicorn", [*GUNICORN, "--preload", "--threads", "8", "web:app"], {"web.py": SLOW_WSGI}, rate=200),
    Row("gunicorn -p", "gunicorn", [*GUNICORN, "-p", "{dir}/%g.pid", "--threads", "8", "web:app"], {"web.py": SLOW_WSGI}, rate=200),
    Row("uvicorn", "uvicorn", ["uvicorn", "--app-dir", "{dir}", "--port", "{port}", "--log-level", "warning", "web:app"],
        {"web.py": SLOW_ASGI}, rate=200),
    Row("uvicorn, 2 workers", "uvicorn",
        ["uvicorn", "--app-dir", "{dir}", "--port", "{port}", "--workers", "2", "--log-level", "warning", "web:app"],
        {"web.py": SLOW_ASGI}, rate=200),
    Row("hypercorn", "python3-hypercorn", [PYTHON, "-m", "hypercorn", "-b", "127.0.0.1:{port}", "web:app"], {"web.py": SLOW_ASGI},
        ["--directory", "{dir}"]),
    Row("waitress", "python3-waitress", [PYTHON, "-m", "waitress", "--host=127.0.0.1", "--port={port}", "web:app"],
        {"web.py": SLOW_WSGI}, ["--directory", "{dir}"], note="no graceful end of its own"),
    Row("uwsgi, hook", "uwsgi-core",
        ["uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:{port}", "--wsgi-file", "{dir}/web.py", "--callable", "app",
         "--master", "--threads", "8", "--log-master", "--hook-master-start", "unix_signal:15 gracefully_kill_them_all"],
        {"web.py": SLOW_WSGI}),
    Row("puma", "puma", ["puma", "-b", "tcp://127.0.0.1:{port}", "{dir}/web.ru"], {"web.ru": SLOW_RACK}),
    Row("unicorn", "unicorn", ["unicorn", "-l", "127.0.0.1:{port}", "{dir}/web.ru"], {"web.ru": SLOW_RACK}, [STOP, "QUIT"], 50),
    Row("thin", "thin", ["thin", "start", "-a", "127.0.0.1", "-p", "{port}", "-R", "{dir}/web.ru"], {"web.ru": SLOW_RACK}, rate=120, slow=0),
    Row("starman", "starman", ["starman", "-l", "127.0.0.1:{port}", "--workers", "5", "{dir}/web.psgi"], {"web.psgi": SLOW_PSGI},
        [STOP, "QUIT"]),
    Row("php -S", "php-cli", ["php", "-S", "127.0.0.1:{port}", "{dir}/web.php"], {"web.php": PHP}, rate=50, slow=0),
    Row("node, server.close", "nodejs", ["node", "{dir}/web.js", "{port}"], {"web.js": NODE_CLOSES}),
    Row("node cluster", "nodejs", ["node", "{dir}/web.js", "{port}"], {"web.js": CLUSTER}),
    Row("express", "npm:express", ["node", "{dir}/web.js", "{port}"], {"web.js": EXPRESS}),
    Row("fastify", "npm:fastify", ["node", "{dir}/web.js", "{port}"], {"web.js": FASTIFY}),
    Row("npx http-server", "npm:http-server", ["node", "/srv/node_modules/.bin/http-server", "{dir}", "-p", "{port}", "-s"], INDEX, slow=0),
    Row("npm start", "nodejs", ["sh", "-c", "cd {dir}; node web.js {port}; echo over"], {"web.js": NODE}, note="a shell before node"),
    Row("go Shutdown", "golang-go", ["{dir}/web", "{port}"], {"web.go": GO}),
    Row("npx serve", "npm:serve", ["node", "/srv/node_modules/.bin/serve", "-n", "-L", "-l", "{port}", "{dir}"], INDEX,
        ["--adopt-connect", "refuse"], slow=0, note="`adopt_connect = refuse`: it looks first"),
    Row("varnish", "varnish",
        ["varnishd", "-F", "-n", "/run/varnish-%g", "-a", "127.0.0.1:{port}", "-f", "{dir}/web.vcl"],
        {"web.vcl": 'vcl 4.1; backend default none; sub vcl_recv { return (synth(200, "ok")); }\n'}, slow=0),
    Row("nginx, unix", "nginx-light", ["nginx", "-c", "{dir}/%g.conf"], {f"{g}.conf": UNIX_NGINX % (g, 1, "") for g in range(1, 9)},
        [STOP, "QUIT"], 500, 0, is_local=True),
    Row("gunicorn, unix", "gunicorn", ["gunicorn", "--chdir", "{dir}", "-b", "unix:{socket}", "--threads", "8", "web:app"],
        {"web.py": SLOW_WSGI}, rate=200, is_local=True),
    Row("lighttpd, unix", "lighttpd", ["lighttpd", "-D", "-f", "{dir}/web.conf"], {"web.conf": UNIX_LIGHTTPD, **INDEX},
        [STOP, "INT", "--adopt-connect", "refuse"], 500, 0, "`adopt_connect = refuse`: it looks first", is_local=True),
    Row("puma, unix", "puma", ["puma", "-b", "unix://{socket}", "{dir}/web.ru"], {"web.ru": SLOW_RACK},
        ["--adopt-connect", "refuse"], is_local=True, note="`adopt_connect = refuse`: it looks first"),
    Row("memcached", "memcached", ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", "{port}"], rate=50, slow=0,
        ask=(b"version\r\n", b"VERSION"), note="it begins empty"),
    Row("mosquitto", "mosquitto", ["mosquitto", "-c", "{dir}/web.conf"], {"web.conf": MOSQUITTO}, rate=50, slow=0, ask=MQTT,
        note="CONNECT and CONNACK alone"),
    Row("sshd", "openssh-server", ["/usr/sbin/sshd", "-D", "-e", "-f", "{dir}/web.conf"], {"web.conf": SSHD}, rate=20, slow=0,
        ask=(b"", b"SSH-2.0"), note="the greeting alone"),
    Row("socat", "socat", ["socat", "tcp-listen:{port},fork,reuseaddr,bind=127.0.0.1", "exec:cat"], rate=20, slow=0, ask=(b"hello\n", b"hello")),
    Row("java HttpServer", "default-jdk-headless", ["java", "{dir}/Web.java", "{port}"], {"Web.java": JAVA}),
    Row("aiohttp", "python3-aiohttp", [PYTHON, "{dir}/web.py", "{port}"], {"web.py": AIOHTTP}),
    *CARELESS,
    *(replace(row, variant="replicas 3", options=["--replicas", "3"]) for row in CARELESS),
    *(replace(row, variant="canary 25%", options=["--replicas", "3", "--canary", "25%", "--canary-time", "1s"]) for row in CARELESS),
    *(replace(row, variant="draining off", options=["--drain-timeout", "0s"], may_lose=True, slow=200) for row in CARELESS),
]
