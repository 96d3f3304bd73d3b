"""Programs that go into the background: their end is no success, and with exit_when = all they can still be asked about."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
from pathlib import Path

import pytest
from support import TACET, Running, children_of, command_line_of, free_port, is_alive, kill_quietly, run, wait_until

NOT_READY, STOPPED = 125, 7
# Longer than any machine stands still: what ends before has not proved itself.
LONG = ["--min-healthy", "10000s"]

needs_nginx = pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
needs_gunicorn = pytest.mark.skipif(not shutil.which("gunicorn"), reason="needs gunicorn")


def daemon(folder: Path, *, name: str = "app", session: str = "setsid") -> list[str]:
    """A program that ends as soon as the process that it leaves behind has its session."""
    fifo, script = folder / "ready", folder / name
    os.mkfifo(fifo)
    script.write_text(f"#!/bin/sh\n{session} sh -c 'echo > {fifo}; exec sleep 1000' &\nread line < {fifo}\nexit 0\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return [str(script)]


def test_a_program_that_goes_into_the_background_has_failed(pid1: bool, tmp_path: Path) -> None:
    """It is said with what to do about it, and whoever started tacet does not take it for a success."""
    done = run([TACET, "run", *LONG, "--", *daemon(tmp_path)], pid1=pid1)
    assert done.returncode == NOT_READY
    assert "the app of generation 0 failed: went into the background: run it in the foreground (" in done.stderr


def test_of_a_known_program_the_option_is_named(tmp_path: Path) -> None:
    """Also when it has been up for a while: the name says what it is."""
    done = run([TACET, "run", "--min-healthy", "0", "--", *daemon(tmp_path, name="gunicorn")])
    assert done.returncode == NOT_READY
    assert "went into the background: run it in the foreground (leave -D out)" in done.stderr


def test_a_known_program_need_not_have_come_as_far_as_its_session(tmp_path: Path) -> None:
    """gunicorn's parent ends right behind its fork(2), and the child's setsid(2) may come later."""
    done = run([TACET, "run", "--", *daemon(tmp_path, name="gunicorn", session="")])
    assert done.returncode == NOT_READY
    assert "went into the background: run it in the foreground (leave -D out)" in done.stderr


def test_a_restart_policy_takes_it_for_a_failure(tmp_path: Path) -> None:
    """on-failure tries again, up to its limit."""
    options = ["--restart", "on-failure", "--restart-limit", "2", "--restart-delay", "1ms"]
    done = run([TACET, "run", *LONG, *options, "--", *daemon(tmp_path)])
    assert done.returncode == NOT_READY
    assert len(re.findall("went into the background", done.stderr)) == 3, done.stderr


@pytest.mark.parametrize("options", [["run", "--min-healthy", "0"], []])
def test_a_job_that_leaves_an_agent_behind_has_ended_well(tmp_path: Path, options: list[str]) -> None:
    """What has proved itself may end; and a plain init has no opinion, as its peers have none."""
    done = run([TACET, *options, "--", *daemon(tmp_path)])
    assert (done.returncode, "background" in done.stderr) == (0, False), done.stderr


def test_a_process_of_the_same_session_is_no_daemon(tmp_path: Path) -> None:
    """A shell whose job lives on has not gone anywhere."""
    done = run([TACET, "run", *LONG, "--", *daemon(tmp_path, session="")])
    assert (done.returncode, "background" in done.stderr) == (0, False), done.stderr


@needs_nginx
def test_nginx_as_it_is_installed(tmp_path: Path) -> None:
    """The usual case: no `daemon off`."""
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} "
        f"http {{ access_log off; server {{ listen 127.0.0.1:{free_port()}; }} }}"
    )
    done = run([TACET, "run", "--", "nginx", "-c", str(config)])
    assert done.returncode == NOT_READY
    assert "went into the background: run it in the foreground (-g 'daemon off;')" in done.stderr


@needs_gunicorn
def test_gunicorn_as_a_daemon(tmp_path: Path) -> None:
    """Its parent ends before anything serves."""
    (tmp_path / "app.py").write_text("def app(environ, start):\n    start('200 OK', [])\n    return [b'']\n")
    address = f"127.0.0.1:{free_port()}"
    done = run([TACET, "run", "--", "gunicorn", "-D", "-b", address, "app:app"], cwd=tmp_path)
    assert done.returncode == NOT_READY
    assert "went into the background: run it in the foreground (leave -D out)" in done.stderr


def test_with_exit_when_all_the_control_socket_lives_as_long_as_the_service(tmp_path: Path) -> None:
    """`status` answers, and a rotation is refused with its reason: its main process has ended."""
    document, control = tmp_path / "secrets.env", tmp_path / "control.sock"
    document.write_text("PASSWORD=first\n")
    document.chmod(0o600)
    options = ["--control", str(control), "--exit-when", "all", "-s", f"env-file:{document}", *LONG]
    with Running([TACET, "run", *options, "--", *daemon(tmp_path)]) as running:
        running.line_with(r"what it started goes on, and cannot be rotated: tacet waits for its end \(exit_when = all\)")
        status = run([TACET, "status", "--control", str(control)])
        assert (status.returncode, "over" in status.stdout) == (0, True), status
        assert run([TACET, "rotate", "--control", str(control), "--wait"]).returncode == STOPPED
        running.signal(signal.SIGHUP)
        running.line_with("no rotation: the app's main process has ended")
        left = [pid for pid in children_of(running.pid) if b"1000" in command_line_of(pid)]
        assert [is_alive(pid) for pid in left] == [True]
        kill_quietly(left[0])
        assert running.wait() == 0
        wait_until(lambda: not control.exists(), "the control socket is gone")
