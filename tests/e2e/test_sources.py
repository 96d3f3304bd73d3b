"""Sources as the whole program uses them."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from secrets_files import vault_make
from support import PROBE, TACET, Running, run, wait_until

pytestmark = pytest.mark.both


def lines_until_ready(running: Running) -> list[str]:
    """What the probe finds in its environment."""
    lines: list[str] = []
    while not (line := running.line()).startswith("ready"):
        lines.append(line)
    return lines


def test_values_of_the_environment_survive_a_first_load_that_fails(tmp_path: Path) -> None:
    """They are taken away once a load has succeeded, not before: a load that is tried again still finds them."""
    late = tmp_path / "late.env"
    command = [TACET, "run", "-s", f"env-file:{late}", "-s", "env:SECRET_", "--restart", "always"]
    environment = {"SECRET_TOKEN": "canary-in-environment"}
    with Running([*command, "--", PROBE, "env-wait"], environment=environment) as running:
        running.line_with("No such file")
        staged = tmp_path / "staged"
        staged.write_text("OTHER=here\n")
        staged.chmod(0o600)
        staged.rename(late)
        lines = lines_until_ready(running)
        assert any(line.endswith("SECRET_TOKEN=canary-in-environment") for line in lines)
        assert any(line.endswith("OTHER=here") for line in lines)
        assert b"canary-in-environment" not in Path(f"/proc/{running.pid}/environ").read_bytes()


def test_a_program_of_exec_has_no_child_and_no_signal_of_one(tmp_path: Path) -> None:
    """The loader was a child of the process that became the program."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=from-the-vault-1\n")
    script = (
        "import os, signal, sys\n"
        "pending, children = signal.sigpending(), open(f'/proc/self/task/{os.getpid()}/children').read()\n"
        "sys.exit(f'{pending} {children}' if pending or children else 0)\n"
    )
    for _ in range(20):
        done = run([TACET, "exec", *vault.options, "--", "/usr/bin/python3", "-c", script])
        assert done.returncode == 0, done.stderr


def test_a_fifo_in_place_of_a_file_holds_nothing_up(tmp_path: Path) -> None:
    """It is refused, not waited for."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    done = run([TACET, "exec", "-s", f"env-file:{tmp_path / 'fifo'}", "--", "true"])
    assert done.returncode == 66
    assert "is a FIFO, not a regular file" in done.stderr


def test_a_descriptor_that_is_not_open_is_named_with_what_to_do() -> None:
    """A bare EBADF would leave the reader with a number."""
    done = run([TACET, "exec", "-s", "age:absent", "-i", "fd:97", "--", "true"])
    assert done.returncode == 66
    assert "key 'fd:97': Bad file descriptor" in done.stderr
    assert "with descriptor 97 open" in done.stderr


def test_a_directory_and_a_socket_are_merged_and_the_later_wins(tmp_path: Path) -> None:
    """dir: and unix: in one command; the socket's client half-closes before it reads."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "A").write_text("from-directory\n")
    (folder / "B").write_text("from-directory\n")
    seen: dict[str, bytes | str] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()

        def serve() -> None:
            client, address = listener.accept()
            with client:
                seen["address"] = address
                seen["read"] = client.recv(1)
                client.sendall(b"B='from socket'\n")

        server = threading.Thread(target=serve)
        server.start()
        sources = ["-s", f"dir:{folder}", "-s", f"unix:{tmp_path / 'socket'}"]
        done = run([TACET, "exec", *sources, "--", "sh", "-c", 'echo "$A|$B"'])
        server.join(timeout=30)
    assert done.stdout == "from-directory|from socket\n"
    assert seen["read"] == b""
    assert bytes(seen["address"]).startswith(b"\0")
    assert b"/unit/tacet.service/socket" in bytes(seen["address"])


def test_a_key_from_the_environment_is_missed_with_a_reason_at_the_next_load(tmp_path: Path) -> None:
    """It was wiped after the first; the running program is left alone."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=first-value\n")
    key = next(line for line in vault.identity.read_text().splitlines() if line.startswith("AGE-SECRET-KEY"))
    command = [TACET, "run", "-s", f"age:{vault.document}", "-i", "env:TACET_KEY"]
    with Running([*command, "--", PROBE, "env-wait"], environment={"TACET_KEY": key}) as running:
        assert "PASSWORD=first-value" in lines_until_ready(running)
        vault.write("PASSWORD=second-value\n")
        running.signal(1)
        running.line_with("wiped it after the first load")
        wait_until(lambda: running.child, "the program still runs")


def test_the_key_in_a_folder_of_secrets_does_not_reach_the_app(tmp_path: Path) -> None:
    """systemd's LoadCredential=TACET_KEY beside dir:$CREDENTIALS_DIRECTORY, a mount with the key in it."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=from-the-vault-1\n")
    folder = tmp_path / "credentials"
    folder.mkdir(0o700)
    (folder / "TOKEN").write_text("from-the-folder")
    vault.identity.rename(folder / "TACET_KEY")
    sources = ["-s", f"dir:{folder}", "-s", f"age:{vault.document}"]
    for key in ("credential:TACET_KEY", str(folder / "TACET_KEY")):
        for verb in (["exec"], ["run"]):
            command = [TACET, *verb, "--log-level", "info", *sources, "-i", key, "--", PROBE, "env"]
            done = run(command, environment={"CREDENTIALS_DIRECTORY": str(folder)})
            assert "TOKEN=from-the-folder" in done.stdout, done.stderr
            assert "PASSWORD=from-the-vault-1" in done.stdout
            assert "AGE-SECRET-KEY" not in done.stdout + done.stderr
            assert "TACET_KEY=" not in done.stdout
            assert f"'{folder}/TACET_KEY' is a key in use: the app does not get it" in done.stderr
    (folder / "COPY").write_bytes((folder / "TACET_KEY").read_bytes())
    (folder / "COPY").chmod(0o600)
    done = run([TACET, "exec", *sources, "-i", str(folder / "TACET_KEY"), "--", PROBE, "env"])
    assert done.returncode == 65
    assert f"{folder}/COPY: COPY: the value is an age identity" in done.stderr
    assert "AGE-SECRET-KEY-1" not in done.stderr
    config = tmp_path / "app.ini"
    config.write_text(f"[source folder]\nfrom = dir:{folder}\nage_identities = yes\n[identity key]\nfrom = {folder}/TACET_KEY\n")
    done = run([TACET, "exec", "-c", str(config), "--", PROBE, "env"])
    assert "COPY=" in done.stdout
    assert "TACET_KEY=" not in done.stdout


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_key_without_a_source_is_an_error(verb: str, tmp_path: Path) -> None:
    """Whoever gives one believes that secrets come; the app must not start without them."""
    key = tmp_path / "key.txt"
    assert run([TACET, "keygen", "-o", str(key)]).returncode == 0
    done = run([TACET, verb, "-i", str(key), "--", "echo", "started"])
    assert (done.returncode, done.stdout) == (78, "")
    assert "an identity, and no source that it could open" in done.stderr
