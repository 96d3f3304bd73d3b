"""%g and %r: pid files, folders and variables that differ between generations and replicas, without a shell."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from support import TACET, Running, free_port, run

SHOW = "sh -c 'echo shown \"$1\" \"$NAME\" $PWD; exec sleep 1000' sh"
needs_nginx = pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
needs_gunicorn = pytest.mark.skipif(not shutil.which("gunicorn"), reason="needs gunicorn")


class Service:
    """A configuration file and a plain document of secrets."""

    def __init__(self, folder: Path, service: str, rollout: str = "") -> None:
        self.document, self.config = folder / "secrets.env", folder / "app.ini"
        self.write("first")
        self.config.write_text(
            f"[service]\n{service}\n[rollout]\nmin_healthy = 0\n{rollout}\n[source main]\nfrom = env-file:{self.document}\n"
        )

    def write(self, value: str) -> None:
        """A new value."""
        self.document.write_text(f"PASSWORD={value}\n")
        self.document.chmod(0o600)

    def rotate(self, running: Running, number: int) -> None:
        """Move to a new generation and wait until that is done."""
        self.write(str(number))
        running.signal(signal.SIGHUP)
        running.line_with(f"rotation to generation {number} done")


def test_command_environment_and_directory_of_a_file(pid1: bool, tmp_path: Path) -> None:
    """Each start puts its own numbers in; a first one that was prepared ahead as well."""
    for number in (1, 2):
        (tmp_path / f"g-{number}").mkdir()
    text = f"command = {SHOW} %g-%r-100%%\nenvironment = NAME=n%g\ndirectory = {tmp_path}/g-%g"
    service = Service(tmp_path, text)
    with Running([TACET, "run", "-c", str(service.config)], pid1=pid1) as running:
        assert running.line_with("^shown") == f"shown 1-0-100% n1 {tmp_path}/g-1"
        service.write("second")
        running.signal(signal.SIGHUP)
        assert running.line_with("^shown") == f"shown 2-0-100% n2 {tmp_path}/g-2"


def test_replicas_have_their_own_numbers(tmp_path: Path) -> None:
    """Without secrets there is one generation, 0."""
    config = tmp_path / "app.ini"
    config.write_text(f"[service]\nreplicas = 3\ncommand = {SHOW} %g.%r\n")
    with Running([TACET, "run", "-c", str(config)]) as running:
        shown = running.lines_with(*(f"^shown 0\\.{number} " for number in range(3)))
        assert len(shown) == 3


def test_a_plain_command_of_a_file_is_expanded_too(tmp_path: Path) -> None:
    """No secrets, no restarts: the start that usually shares the memory of its parent."""
    config = tmp_path / "app.ini"
    config.write_text("[service]\ncommand = echo [%g] [%r] [%%]\n")
    for verb in ("run", "exec"):
        assert run([TACET, verb, "-c", str(config)]).stdout == "[0] [0] [%]\n"


def test_the_command_line_is_taken_as_it_is_unless_it_says_otherwise() -> None:
    """`date +%d` has always worked; --expand is for the others."""
    words = ["--env", "NAME=%g", "--", "sh", "-c", 'echo "$1 $NAME"', "sh", "%r%%"]
    assert run([TACET, "run", *words]).stdout == "%r%% %g\n"
    assert run([TACET, "run", "--expand", *words]).stdout == "0% 0\n"
    done = run([TACET, "run", "--expand", "--", "date", "+%d"])
    assert done.returncode == 64
    assert "--expand: word 2 of the command has a % that is neither %g, %r nor %%" in done.stderr
    assert "write %% for a % itself" in done.stderr


def test_a_percent_that_means_nothing_is_told_by_its_line(tmp_path: Path) -> None:
    """By check as well, before anything is started."""
    config = tmp_path / "app.ini"
    config.write_text("[service]\n\ncommand = date +%d\n")
    for verb in ("run", "check"):
        done = run([TACET, verb, "-c", str(config)])
        assert done.returncode == 78
        assert f"{config}:3: word 2 of command has a % that is neither %g, %r nor %%" in done.stderr


@needs_gunicorn
def test_gunicorn_is_handed_over_with_a_pid_file_for_each_generation(tmp_path: Path) -> None:
    """With one name for both the second refuses to start: "Already running on pid"."""
    (tmp_path / "app.py").write_text("def app(environ, start):\n    start('200 OK', [])\n    return [b'']\n")
    address = f"127.0.0.1:{free_port()}"
    command = f"command = gunicorn --chdir {tmp_path} -b {address} -p {tmp_path}/PID app:app\nadopt = {address}"
    service = Service(tmp_path, command.replace("PID", "%g.pid"), "strategy = handoff")
    with Running([TACET, "run", "-v", "-c", str(service.config)]) as running:
        running.line_with("generation 1 is up")
        assert (tmp_path / "1.pid").exists()
        service.rotate(running, 2)
        assert (tmp_path / "2.pid").exists()
        assert not (tmp_path / "1.pid").exists()
    service = Service(tmp_path, command.replace("PID", "one.pid"), "strategy = handoff")
    with Running([TACET, "run", "-v", "-c", str(service.config)]) as running:
        running.line_with("generation 1 is up")
        service.write("other")
        running.signal(signal.SIGHUP)
        running.line_with("back on generation 1")


@needs_nginx
@pytest.mark.parametrize("name", ["%g.pid", "one.pid"])
def test_nginx_keeps_its_pid_file_when_each_generation_has_its_own(tmp_path: Path, name: str) -> None:
    """The old master removes the file when it ends: with one name that of the new one, which still serves."""
    address = f"127.0.0.1:{free_port()}"
    config = tmp_path / "nginx.conf"
    config.write_text(f"error_log stderr; events {{}} http {{ access_log off; server {{ listen {address}; }} }}")
    text = f"command = nginx -c {config} -g 'daemon off; pid {tmp_path}/{name};'\nadopt = {address}\nstop_signal = QUIT"
    service = Service(tmp_path, text, "strategy = handoff")
    with Running([TACET, "run", "-v", "-c", str(service.config)]) as running:
        running.line_with("generation 1 is up")
        service.rotate(running, 2)
        files = {path.name: int(path.read_text()) for path in tmp_path.glob("*.pid")}
        assert files == ({"2.pid": running.child} if "%" in name else {})
