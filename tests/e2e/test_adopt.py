"""Adopted sockets: the app binds its own port and has the supervisor's socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from adopted_servers import PYTHON, SERVER_SECONDS, SERVER_TIMEOUTS, SERVERS, STOP_SIGNALS, fetch, written
from support import TACET, Running, descendants_of, free_port, is_alive, read_status, run, wait_until

pytestmark = pytest.mark.both

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes user and rights")


def adopting(*addresses: object, options: Sequence[str] = (), show: Sequence[str], **more: object) -> Running:
    """Start a program whose binds to these addresses are adopted."""
    adopt = [word for address in addresses for word in ("--adopt", str(address))]
    return Running([TACET, "run", "--log-level", "debug", *adopt, *options, "--", *show], **more)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that every user can read; pytest's are its own user's."""
    folder = Path(tempfile.mkdtemp(prefix="tacet-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def script(folder: Path, text: str) -> list[str]:
    """A python program with the modules that these tests use."""
    head = "import errno, fcntl, os, signal, socket, struct, sys, threading, time\n"
    head += "sys.stdout.reconfigure(line_buffering=True)\n"  # a line at a time: -u writes it in pieces
    return [PYTHON, written(folder / "app.py", head + text)]


def sockets_of(pid: int) -> set[str]:
    """The sockets of a process, as /proc names them."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(entry))
    return {name for name in found if name.startswith("socket:")}


def backlog_of(port: int) -> int:
    """What ss(8) calls Send-Q of a listener: its backlog."""
    shown = run(["ss", "-Hltn", f"sport = :{port}"]).stdout.split()
    return int(shown[2])


# ---- servers as they are ----


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_knows_nothing_of_it_serves_on_the_supervisors_socket(kind: str, tmp_path: Path) -> None:
    """It binds its own port, and what it has then is the socket that the supervisor holds as well."""
    port = free_port()
    options = ["--stop-signal", STOP_SIGNALS.get(kind, "TERM"), *SERVER_TIMEOUTS]
    with adopting(port, options=options, show=SERVERS[kind](tmp_path, port)) as running:
        running.line_with("generation 0 is up", SERVER_SECONDS)
        pid = int(fetch(port, seconds=SERVER_SECONDS).split()[0])
        assert pid in descendants_of(running.pid)
        assert sockets_of(pid) & sockets_of(running.pid)
        assert backlog_of(port) == min(4096, int(Path("/proc/sys/net/core/somaxconn").read_text()))
        running.signal(signal.SIGTERM)
        assert running.wait(SERVER_SECONDS) in (0, 128 + signal.SIGTERM)


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
@pytest.mark.parametrize("kind", ["python-dual", "node"])
def test_a_dual_stack_bind_serves_both_families(kind: str, tmp_path: Path) -> None:
    """What was asked for before bind, IPV6_V6ONLY above all, holds for the socket that takes its place."""
    port = free_port()
    with adopting(port, show=SERVERS[kind](tmp_path, port)) as running:
        running.line_with("is up")
        assert fetch(port, "127.0.0.1").split()[0] == fetch(port, "::1").split()[0]


SETTINGS = """
port = int(sys.argv[1])
one = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30000)
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
one.set_inheritable(True)
number = one.fileno()
two = socket.socket()
for listener, host in ((one, "::"), (two, "127.0.0.1")):
    listener.bind((host, port))
    listener.listen(1)
assert one.fileno() == number
for listener in (one, two):
    print("name", listener.getsockname()[:2],
          "nonblocking", bool(fcntl.fcntl(listener, fcntl.F_GETFL) & os.O_NONBLOCK),
          "inheritable", os.get_inheritable(listener.fileno()),
          "keepalive", listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
          "buffer", listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 60000,
          "nodelay", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
          "listens", listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
print("v6only", one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
time.sleep(1000)
"""


def test_what_the_app_set_before_bind_holds_for_the_socket_that_it_gets(tmp_path: Path) -> None:
    """Same descriptor, same flags, same options, the name that was asked for."""
    port = free_port()
    with adopting(port, show=[*script(tmp_path, SETTINGS), str(port)]) as running:
        first, second = running.line_with("^name"), running.line_with("^name")
        assert first == (
            f"name ('::', {port}) nonblocking True inheritable True keepalive 1 buffer True nodelay 1 listens 1"
        )
        assert second == (
            f"name ('127.0.0.1', {port}) nonblocking False inheritable False keepalive 0 buffer False nodelay 0 listens 1"
        )
        assert running.line_with("^v6only") == "v6only 1"


def test_listen_on_every_address_is_the_sign_that_the_app_is_ready(tmp_path: Path) -> None:
    """Not its start, not its bind, and not the first of two."""
    ports = free_port(), free_port()
    text = """
listeners = [socket.socket(), socket.socket()]
for listener, port in zip(listeners, sys.argv[1:]):
    listener.bind(("127.0.0.1", int(port)))
time.sleep(0.2)
print("first", flush=True); listeners[0].listen(); time.sleep(0.4)
print("second", flush=True); listeners[1].listen(); time.sleep(1000)
"""
    show = [*script(tmp_path, text), *map(str, ports)]
    with adopting(*ports, options=["--min-healthy", "0s"], show=show) as running:
        lines = [running.line_with("first|second|is up") for _ in range(3)]
        assert [line.split()[-1] for line in lines] == ["first", "second", "up"]


def test_addresses_that_nobody_named_are_the_apps_own(tmp_path: Path) -> None:
    """Another port, another address, udp on the same port: bound by the app, unknown to the supervisor."""
    port, other = free_port(), free_port()
    text = """
port, other = map(int, sys.argv[1:])
for kind, host, number in ((1, "127.0.0.1", other), (1, "127.0.0.2", port), (2, "127.0.0.1", port)):
    plain = socket.socket(type=kind)
    plain.bind((host, number))
    if kind == 1:
        plain.listen(7)
    print("own", os.readlink(f"/proc/self/fd/{plain.fileno()}"))
    plain.detach()
time.sleep(1000)
"""
    show = [*script(tmp_path, text), str(port), str(other)]
    with adopting(f"127.0.0.1:{port}", options=["--ready", "exec"], show=show) as running:
        own = {running.line_with("^own").split()[1] for _ in range(3)}
        assert len(own) == 3
        assert not own & sockets_of(running.pid)
        assert backlog_of(other) == 7


@as_root
def test_an_unprivileged_app_serves_a_privileged_port(open_path: Path) -> None:
    """The supervisor may bind it; the app need not."""
    port = free_port(privileged=True)
    text = """
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
print("bound", listener.getsockname()[1], os.getuid())
try:
    socket.socket().bind(("127.0.0.1", int(sys.argv[1]) + 1))
except PermissionError:
    print("refused")
time.sleep(1000)
"""
    show = [*script(open_path, text), str(port)]
    with adopting(port, options=["--user", "65534", "--group", "65534"], show=show, cwd="/") as running:
        assert running.line_with("^bound|Error") == f"bound {port} 65534"
        assert running.line_with("^refused")


@pytest.mark.parametrize("written_as", ["absolute", "relative"])
def test_a_unix_path_is_adopted(written_as: str, tmp_path: Path) -> None:
    """Also when the app names it relative to its directory."""
    path = tmp_path / "app.sock"
    text = """
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("name", listener.getsockname())
while True:
    client, _ = listener.accept()
    client.sendall(b"served")
    client.close()
"""
    name = str(path) if written_as == "absolute" else "./app.sock"
    with adopting(path, show=[*script(tmp_path, text), name], cwd=tmp_path) as running:
        assert running.lines_with("^name", "is up")[0] == f"name {path}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            assert client.recv(100) == b"served"


OWNER = """
os.umask(0o007)
path = sys.argv[1]
for other in (path + ".other", os.path.dirname(path) + "/sub/app.sock"):
    open(other, "w").close()
    os.unlink(other)
    assert not os.path.exists(other)
for _ in range(2):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        status = os.stat(path)
        print("made", status.st_uid == os.getuid(), oct(status.st_mode & 0o777))
        os.chmod(path, 0o666)
    os.unlink(path)
    os.remove(os.path.relpath(path))
    print("kept", os.path.exists(path))
os.rmdir(os.path.dirname(path) + "/sub")
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
time.sleep(1000)
"""


@as_root
@pytest.mark.parametrize("user", ["0", "65534"])
def test_the_file_of_a_socket_is_the_apps_and_stays_when_it_is_removed(user: str, open_path: Path) -> None:
    """Made with its user and umask; servers remove it before they bind and when they end, but it is every generation's."""
    path = open_path / "app.sock"
    (open_path / "sub").mkdir()
    for folder in (open_path, open_path / "sub"):
        os.chown(folder, int(user), int(user))
    options = ["--user", user, "--group", user]
    with adopting(path, options=options, show=[*script(open_path, OWNER), str(path)], cwd="/") as running:
        for mode in ("0o770", "0o666"):
            assert running.line_with("^made|Error") == f"made True {mode}"
            assert running.line_with("^kept|Error") == "kept True"
        running.line_with("is up")
        running.signal(signal.SIGTERM)
        running.wait()
        assert not path.exists()


REFUSED = """
listener = socket.socket(socket.AF_UNIX)
try:
    listener.bind(sys.argv[1])
except OSError as error:
    print("refused", errno.errorcode[error.errno])
time.sleep(1000)
"""


@as_root
def test_a_folder_that_the_apps_user_may_not_write_is_told_as_that(open_path: Path) -> None:
    """The file is made with the app's rights: that tacet itself might make it helps nobody."""
    path = open_path / "app.sock"
    options = ["--user", "65534", "--group", "65534"]
    with adopting(path, options=options, show=[*script(open_path, REFUSED), str(path)], cwd="/") as running:
        hint, answer = running.lines_with("its folder must be writable for the user of process", "^refused")
        assert hint.endswith(f" {running.child}")
        assert answer == "refused EACCES"
        running.signal(signal.SIGTERM)
        running.wait()


# ---- wrong and hostile use ----

WRONG = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
port = int(sys.argv[1])
packed = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton("127.0.0.1") + bytes(8)

def bind(fd, address, length):
    ctypes.set_errno(0)
    libc.bind(fd, address, length)
    return errno.errorcode.get(ctypes.get_errno(), "OK")

tcp = lambda: socket.socket().detach()
big = ctypes.create_string_buffer(packed, 4096)
print("unmapped", bind(tcp(), ctypes.c_void_p(16), 16))
print("null", bind(tcp(), None, 16))
print("kernel", bind(tcp(), ctypes.c_void_p(0xffffffff81000000), 16))
print("empty", bind(tcp(), big, 0))
print("short", bind(tcp(), big, 3))
print("long", bind(tcp(), big, 4096))
print("negative", bind(tcp(), big, -1))
print("closed", bind(999, big, 16))
print("file", bind(0, big, 16))
print("family", bind(socket.socket(socket.AF_UNIX).detach(), big, 16))
first = tcp()
print("first", bind(first, big, 16))
print("again", bind(first, big, 16))
print("second", bind(tcp(), big, 16))
os.close(first)
third = tcp()
print("after-close", bind(third, big, 16))
print("listen-plain", libc.listen(tcp(), 5))
print("listen-closed", libc.listen(998, 5))
print("listen", libc.listen(third, 5))
time.sleep(1000)
"""


def test_wrong_binds_fail_as_they_always_did(tmp_path: Path) -> None:
    """Pointers to nowhere, lengths that lie, descriptors that are none, an address that is taken."""
    port = free_port()
    with adopting(port, show=[*script(tmp_path, WRONG), str(port)]) as running:
        told = {}
        while "listen" not in told:
            line = running.line()
            if not line.startswith("tacet:"):
                told.__setitem__(*line.split())
        assert told == {
            "unmapped": "EFAULT",
            "null": "EFAULT",
            "kernel": "EFAULT",
            "empty": "EINVAL",
            "short": "EINVAL",
            "long": "EINVAL",
            "negative": "EINVAL",
            "closed": "EBADF",
            "file": "ENOTSOCK",
            "family": told["family"],  # which error is the kernel's business
            "first": "OK",
            "again": "EINVAL",
            "second": "EADDRINUSE",
            "after-close": "OK",
            "listen-plain": "0",
            "listen-closed": "-1",
            "listen": "0",
        }
        assert told["family"] != "OK"


def test_sockets_that_share_a_port_share_the_adopted_one(tmp_path: Path) -> None:
    """SO_REUSEPORT on both: each process of a cluster has its own descriptor of the one queue."""
    port = free_port()
    text = """
listeners = []
for _ in range(3):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen()
    listeners.append(os.readlink(f"/proc/self/fd/{listener.fileno()}"))
    listener.detach()
print("sockets", len(set(listeners)))
time.sleep(1000)
"""
    with adopting(port, show=[*script(tmp_path, text), str(port)]) as running:
        assert running.line_with("^sockets") == "sockets 1"


def test_thousands_of_binds_hold_up_nothing(tmp_path: Path) -> None:
    """Several threads and processes bind as fast as they can, some are killed in it; the supervisor stays at its work."""
    port = free_port()
    text = """
def storm():
    while True:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", int(sys.argv[1]) if time.time_ns() % 7 else 0))
            except OSError:
                pass
for _ in range(4):
    if os.fork() == 0:
        if _ % 2:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            signal.signal(signal.SIGALRM, lambda *_: None)
        threading.Thread(target=storm).start()
        storm()
while True:
    pid = os.fork()
    if pid == 0:
        storm()
    time.sleep(0.003)
    os.kill(pid, signal.SIGKILL)
    os.wait()
    print("round", flush=True)
"""
    options = ["--ready", "exec", "--log-level", "warning"]
    with adopting(port, options=options, show=[*script(tmp_path, text), str(port)]) as running:

        def fewest() -> int:
            """Some are open while a call is answered."""
            folder = Path(f"/proc/{running.pid}/fd")
            counts = []
            for _ in range(10):
                running.line_with("^round")
                counts.append(len(list(folder.iterdir())))
            return min(counts)

        before = fewest()
        for _ in range(40):
            running.line_with("^round")
        wait_until(lambda: fewest() <= before + 2, "no descriptor stays")
        running.signal(signal.SIGTERM)
        assert running.wait() == 128 + signal.SIGTERM
        assert "cannot" not in running.rest()


def test_descendants_bind_for_the_instance(tmp_path: Path) -> None:
    """A child of a child whose parent has ended, as of a program that makes itself a daemon; in another thread."""
    port = free_port()
    text = """
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        def serve():
            listener = socket.socket()
            listener.bind(("127.0.0.1", int(sys.argv[1])))
            listener.listen()
            print("bound", os.readlink(f"/proc/self/fd/{listener.fileno()}"))
            time.sleep(1000)
        threading.Thread(target=serve).start()
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(1000)
"""
    with adopting(port, show=[*script(tmp_path, text), str(port)]) as running:
        bound, _ = running.lines_with("^bound", "is up")
        assert bound.split()[1] in sockets_of(running.pid)


WHERE = """
if sys.argv[1].startswith("/"):
    listener, address = socket.socket(socket.AF_UNIX), sys.argv[1]
else:
    listener, address = socket.socket(), ("0.0.0.0", int(sys.argv[1]))
listener.bind(address)
listener.listen()
print("bound", os.readlink(f"/proc/thread-self/fd/{listener.fileno()}"))
time.sleep(1000)
"""


@as_root
@pytest.mark.parametrize(
    ("options", "kind", "adopted"),
    [
        (["--fork", "--pid", "--mount-proc"], "port", True),
        (["--net"], "port", False),
        (["--mount"], "port", True),
        (["--mount"], "path", False),
    ],
    ids=["pid", "net", "mount-port", "mount-path"],
)
def test_another_namespace_is_another_address(options: list[str], kind: str, adopted: bool, tmp_path: Path) -> None:
    """A port of another network, a path of another mount namespace: not what was meant. Another pid changes nothing."""
    place = str(free_port()) if kind == "port" else str(tmp_path / "app.sock")
    show = ["unshare", *options, "--", *script(tmp_path, WHERE), place]
    with adopting(place, options=["--ready", "exec"], show=show) as running:
        assert (running.line_with("^bound").split()[1] in sockets_of(running.pid)) == adopted


def test_a_daemon_keeps_the_socket_when_its_parent_has_ended(tmp_path: Path) -> None:
    """With exit_when = all: the instance has ended, what it started still binds and serves."""
    port = free_port()
    text = """
if os.fork() == 0:
    time.sleep(0.3)
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen()
    print("bound", listener.getsockname()[1])
    client, _ = listener.accept()
    client.recv(1000)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nserved")
"""
    options = ["--exit-when", "all", "--ready", "exec"]
    with adopting(port, options=options, show=[*script(tmp_path, text), str(port)]) as running:
        assert running.line_with("^bound") == f"bound {port}"
        assert fetch(port) == "served"
        assert running.wait() == 0


def test_after_the_supervisors_death_binds_fail_and_the_app_lives(tmp_path: Path) -> None:
    """ENOSYS, for any address: nobody is there to say that the call may go on. The socket that it has keeps serving."""
    port = free_port()
    text = """
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
print("app", os.getpid())
client, _ = listener.accept()
client.recv(1000)
client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nserved")
client.close()
try:
    socket.socket().bind(("127.0.0.1", 0))
except OSError as error:
    print("later", errno.errorcode[error.errno])
"""
    options = ["--parent-death-signal", "none"]
    with adopting(port, options=options, show=[*script(tmp_path, text), str(port)]) as running:
        app = int(running.line_with("^app").split()[1])
        running.signal(signal.SIGKILL)
        running.process.wait(30)
        assert is_alive(app)
        assert fetch(port) == "served"
        assert running.line_with("^later") == "later ENOSYS"


# ---- rights ----


@as_root
@pytest.mark.parametrize("privileged", [True, False])
def test_no_new_privs_is_set_only_where_the_filter_needs_it(privileged: bool, tmp_path: Path) -> None:
    """With CAP_SYS_ADMIN the app may still gain rights; without, it cannot."""
    port = free_port()
    text = 'print("set", [line for line in open("/proc/self/status") if line.startswith("NoNewPrivs")][0].split()[1])'
    command = [TACET, "run", "--adopt", str(port), "--ready", "exec", "--", *script(tmp_path, text)]
    drop = [] if privileged else ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", "--"]
    assert run([*drop, *command]).stdout == f"set {0 if privileged else 1}\n"


@as_root
def test_a_container_root_without_ptrace_adopts_for_another_user(open_path: Path) -> None:
    """The default rights of a container: no CAP_SYS_PTRACE, no CAP_SYS_ADMIN. What it reads, it reads as that user."""
    port = free_port()
    lacking = "-sys_ptrace,-sys_admin"
    command = [TACET, "run", "--log-level", "debug", "--adopt", str(port), "--user", "65534", "--group", "65534"]
    show = SERVERS["python"](open_path, port)
    drop = ["setpriv", "--bounding-set", lacking, "--inh-caps", lacking]
    with Running([*drop, *command, "--", *show], cwd="/") as running:
        running.line_with("is up")
        pid = int(fetch(port).split()[0])
        assert sockets_of(pid) & sockets_of(running.pid)
        status = read_status(running.pid)
        assert status["Uid"].split() == ["0"] * 4
        assert status["Gid"].split() == ["0"] * 4


@as_root
def test_an_unprivileged_supervisor_adopts_for_itself(open_path: Path) -> None:
    """No rights at all: the app is of the same user, which is enough."""
    port = free_port()
    show = SERVERS["python"](open_path, port)
    drop = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    with Running([*drop, TACET, "run", "--log-level", "debug", "--adopt", str(port), "--", *show], cwd="/") as running:
        running.line_with("is up")
        assert fetch(port)


@as_root
def test_an_app_that_hides_from_its_supervisor_keeps_its_own_socket(open_path: Path) -> None:
    """Said once, with what it takes; it binds by itself, and its listen still says that it is ready."""
    port = free_port()
    text = """
import ctypes
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(9)
print("bound")
time.sleep(1000)
"""
    drop = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    command = [*drop, TACET, "run", "--log-level", "debug", "--adopt", str(port), "--", *script(open_path, text), str(port)]
    with Running(command, cwd="/") as running:
        assert "is not handed over" in running.line_with("cannot")
        running.line_with("^bound|is up")
        running.line_with("^bound|is up")
        assert backlog_of(port) == 9


def test_inside_another_tacet_that_adopts_it_starts_without(tmp_path: Path) -> None:
    """Only one filter can report: the inner one says so and what to do, and its app listens on its own."""
    port = free_port()
    control = tmp_path / "control"
    options = ["--adopt", str(port), "--log-level", "debug", "--control", str(control)]
    inner = [TACET, "run", *options, "--", *SERVERS["python"](tmp_path, port)]
    with adopting(free_port(), options=["--ready", "exec"], show=inner) as running:
        line = running.line_with("cannot be adopted")
        assert "replaced" in line
        running.line_with("declare the socket")
        wait_until(lambda: served(port), "the app serves")
        assert run([TACET, "status", "--control", str(control), "--json"]).stdout.count('"adopting": false') == 1
        outer, innermost = running.pid, descendants_of(running.pid)
        assert not sockets_of(outer) & sockets_of(innermost[-1])


def served(port: int) -> bool:
    """Whether a request is answered."""
    with contextlib.suppress(OSError):
        return bool(fetch(port))
    return False


REFUSING = """
import ctypes
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(library.seccomp_init(0x7fff0000))
call = library.seccomp_syscall_resolve_name(sys.argv[1].encode())
library.seccomp_rule_add(context, 0x00050000 | errno.EPERM, call, 0)
assert library.seccomp_load(context) == 0
os.execvp(sys.argv[2], sys.argv[2:])
"""


def test_where_filters_are_refused_it_starts_without(tmp_path: Path) -> None:
    """A profile that forbids seccomp(2) itself: said, and the app runs."""
    port = free_port()
    command = [TACET, "run", "--adopt", str(port), "--log-level", "debug", "--", *SERVERS["python"](tmp_path, port)]
    folder = tmp_path / "refuse"
    folder.mkdir()
    with Running([*script(folder, REFUSING), "seccomp", *command]) as running:
        running.line_with("cannot be adopted")
        running.line_with("profile that allows")
        wait_until(lambda: served(port), "the app serves")


NO_NO_NEW_PRIVS = """
import ctypes

class Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("one", ctypes.c_uint64), ("two", ctypes.c_uint64)]

library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(library.seccomp_init(0x7fff0000))
library.seccomp_attr_set(context, 3, 0)  # load it without no_new_privs
call = library.seccomp_syscall_resolve_name(b"prctl")
is_it = Compare(0, 4, 38, 0)
library.seccomp_rule_add_array(context, 0x00050000 | errno.EPERM, call, 1, ctypes.byref(is_it))
assert library.seccomp_load(context) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


@as_root
def test_a_refused_no_new_privs_is_told(tmp_path: Path) -> None:
    """Neither CAP_SYS_ADMIN nor prctl(2): said, with what it takes, and the app runs without."""
    lacking = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", "--"]
    done = run([*script(tmp_path, NO_NO_NEW_PRIVS), *lacking, TACET, "run", "--adopt", "8080", "--", "echo", "runs"])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "runs\n"
    assert "cannot be adopted" in done.stderr
    assert "CAP_SYS_ADMIN or no_new_privs" in done.stderr


@as_root
def test_no_new_privs_that_is_set_already_is_enough(tmp_path: Path) -> None:
    """As a container does with its option of that name."""
    port = free_port()
    with Running(["setpriv", "--no-new-privs", "--", TACET, "run", "--log-level", "debug", "--adopt", str(port), "--",
                  *SERVERS["python"](tmp_path, port)]) as running:
        running.line_with("is up")
        assert fetch(port)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("udp:8080", "only tcp and unix stream"),
        ("unix-dgram:/run/x", "only tcp and unix stream"),
        ("127.0.0.1:0", "port"),
        ("example.org:80", "example.org"),
        ("8080 8080", "twice"),
        (" ".join(str(port) for port in range(8000, 8017)), "more than 16"),
    ],
)
def test_addresses_that_cannot_be_adopted_are_refused_with_the_reason(value: str, complaint: str, tmp_path: Path) -> None:
    """At the start, with the place in the file."""
    path = tmp_path / "tacet.conf"
    path.write_text(f"[service]\ncommand = true\nadopt = {value}\n")
    done = run([TACET, "run", "--config", str(path)])
    assert done.returncode == 78, done.stderr
    assert f"{path}:3" in done.stderr
    assert complaint in done.stderr
