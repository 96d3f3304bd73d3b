"""What stands for a listen(2) of an adopted server, and what is said of one that is silent."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from adopted_servers import PYTHON, written
from support import TACET, Running, free_port

SILENT = """
import signal, socket, sys
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
{more}
signal.pause()
"""
# A socket of its own, whether it listens or not, says nothing of the adopted one.
ELSEWHERE = """
other = socket.socket()
other.bind(("127.0.0.1", 0))
other.listen()
other.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
"""


def silent(folder: Path, port: int, adopt: int, more: str = "", timeout: str = "3s") -> Running:
    """A server that binds the port and no more."""
    command = [PYTHON, written(folder / "silent.py", SILENT.format(more=more)), str(port)]
    return Running([TACET, "run", "-v", "--adopt", str(adopt), "--ready-timeout", timeout, "--", *command])


@pytest.mark.parametrize("more", ["", ELSEWHERE], ids=["silent", "elsewhere"])
def test_a_server_that_binds_and_does_not_listen_is_told_early(more: str, tmp_path: Path) -> None:
    """A tenth of ready_timeout: whoever waits for it can still look."""
    port = free_port()
    with silent(tmp_path, port, port, more) as running:
        running.line_with("is still not ready after 300ms: does not listen")
        line = running.line_with("has bound")
        assert f"127.0.0.1:{port} and has not called listen(2) there" in line
        assert "--ready probe" in line
        assert running.wait() != 0


def test_a_server_that_binds_elsewhere_is_told_early(tmp_path: Path) -> None:
    """Both: that nothing was bound, and what was."""
    port = free_port()
    with silent(tmp_path, free_port(), port) as running:
        running.line_with("is still not ready after 300ms: does not listen")
        running.line_with("has bound nothing that adopt names")
        running.line_with("had bound 127.0.0.1:[0-9]+, which adopt does not name")
        running.signal(signal.SIGTERM)


def test_who_is_ready_is_not_told(tmp_path: Path) -> None:
    """However long it runs."""
    port = free_port()
    with silent(tmp_path, port, port, "server.listen()", "20s") as running:
        running.line_with("the app is ready")
        time.sleep(2.2)
        running.signal(signal.SIGTERM)
        assert "still not ready" not in running.rest()
