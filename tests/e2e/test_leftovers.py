"""What an app's main process leaves behind: shells, npm and forking servers, in rotations, restarts and an emergency."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrets_files import vault_make
from support import TACET, Running, free_port, is_alive, run, wait_until
from traffic import DONE, SERVER, Load, command_of, environments_below, service, verdict

needs_npm = pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")


def below(pid: int) -> Iterator[int]:
    """Every descendant of a process."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from below(int(child))


def generations_below(pid: int) -> dict[int, str]:
    """The generation that each descendant has in its environment: what it was started with."""
    found = {}
    for child in list(below(pid)):
        try:
            environment = Path(f"/proc/{child}/environ").read_bytes()
        except OSError:
            continue
        match = re.search(rb"(?:^|\0)TACET_GENERATION=(\d+)", environment)
        if match:
            found[child] = match[1].decode()
    return found


def await_answer(address: str, generation: str) -> None:
    """Somebody is answered by that generation."""

    def is_answered() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
                return answer.read().decode().split()[0] == generation
        except OSError:
            return False

    wait_until(is_answered, f"an answer by generation {generation}")


def shell_of(command: list[str]) -> list[str]:
    """A shell that stays, above a server."""
    return ["sh", "-c", '"$@"; echo the server has ended', "sh", *command]


@pytest.mark.parametrize("strategy", ["handoff", "restart"])
def test_a_shell_above_the_server_leaves_no_old_generation(tmp_path: Path, strategy: str) -> None:
    """Under load nobody fails, and when the rotation is done no process has an old secret."""
    with service(tmp_path, adopt=True, strategy=strategy, command=shell_of(command_of("c"))) as running:
        load = Load(running.address)
        load.await_answers()
        for number in (2, 3, 4):
            said = running.rotate()
            log = running.await_log(DONE, said)
            assert re.search(r"process(es)? that the app left behind (is|are) told to end", log)
            assert set(generations_below(running.running.pid).values()) == {str(number)}
            assert environments_below(running.running.pid) == {str(number)}
            load.await_generation(number)
        report = load.finish()
        assert not any(report["failed"].values()), verdict(report)


def test_a_server_that_binds_its_own_port_is_rotated_below_a_shell(tmp_path: Path) -> None:
    """Strategy restart without a socket of tacet's: the old server has let go of the port before the new one wants it."""
    with service(tmp_path, strategy="none", command=shell_of(command_of("python"))) as running:
        said = running.rotate()
        log = running.await_log(f"{DONE}|going back|has ended", said)
        assert re.search(DONE, log), log
        assert set(generations_below(running.running.pid).values()) == {"2"}
        await_answer(running.address, "2")


@needs_npm
@pytest.mark.parametrize("strategy", ["handoff", "restart"])
def test_npm_start_leaves_no_old_generation(tmp_path: Path, strategy: str) -> None:
    """npm does not pass a signal on to the server below the shell below it."""
    server = Path(command_of("node")[1])
    (tmp_path / "package.json").write_text(f'{{"name": "app", "version": "1.0.0", "scripts": {{"start": "node {server}"}}}}')
    command = ["npm", "--prefix", str(tmp_path), "--no-update-notifier", "start"]
    with service(tmp_path, adopt=True, strategy=strategy, command=command) as running:
        load = Load(running.address, rate=50)
        load.await_answers()
        for number in (2, 3):
            said = running.rotate()
            running.await_log(DONE, said)
            assert set(generations_below(running.running.pid).values()) == {str(number)}
            assert environments_below(running.running.pid) == {str(number)}
            load.await_generation(number)
        report = load.finish()
        assert not any(report["failed"].values()), verdict(report)


def test_what_a_crash_leaves_behind_ends_before_the_restart(tmp_path: Path) -> None:
    """The shell is killed, the server below it keeps its port: the next one starts when that has gone."""
    options = ["--restart", "always", "--restart-delay", "100ms"]
    with service(tmp_path, *options, strategy="none", command=shell_of(command_of("python"))) as running:
        server = next(pid for pid in below(running.running.pid) if not list(below(pid)))
        shell = int(Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()[1])
        said = len(running.log)
        os.kill(shell, signal.SIGKILL)
        running.await_log("Spawned child process", said)
        assert not is_alive(server)
        await_answer(running.address, "1")


def test_leftovers_that_are_to_be_kept_live_on(tmp_path: Path) -> None:
    """sshd's sessions outlive it."""
    with service(tmp_path, "--leftovers", "keep", adopt=True, command=shell_of(command_of("c"))) as running:
        running.await_log(DONE, running.rotate())
        assert set(generations_below(running.running.pid).values()) == {"1", "2"}


def test_an_emergency_ends_what_was_to_be_kept(tmp_path: Path) -> None:
    """Also one that has left its session, its group and its parent."""
    vault = vault_make(tmp_path / "vault", "TOKEN=burned-value\n")
    escape = "setsid sh -c 'sleep 1000 & echo helper:$!' ; exec sleep 1000"
    control = str(tmp_path / "control")
    options = ["--leftovers", "keep", "--control", control, "--remaining-timeout", "1s"]
    with Running([TACET, "run", "-v", *vault.options, *options, "--", "sh", "-c", escape]) as running:
        helper = int(running.line_with("^helper:").partition(":")[2])
        running.line_with("generation 1 is up")
        vault.write("TOKEN=another-value\n")
        done = run([TACET, "rotate", "--control", control, "--emergency", "--wait"])
        assert done.returncode == 0, done.stderr
        assert "; 2 processes that held the old values were ended" in done.stdout
        assert not is_alive(helper)
        assert b"burned" not in b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in below(running.pid))


def test_an_emergency_ends_what_one_that_is_gone_left_behind(tmp_path: Path) -> None:
    """The instance has crashed, and nobody but its helper is left: it is searched for all the same, and counted."""
    vault = vault_make(tmp_path / "vault", "TOKEN=burned-value\n")
    # The helper has left session, group and parent; it goes on when TERM comes, and tells that it has it.
    helper = tmp_path / "helper"
    helper.write_text(f"trap 'echo told' TERM; echo helper:$$; : >{tmp_path}/up; while :; do sleep 0.1; done\n")
    crash = f"setsid sh {helper} & while [ ! -e {tmp_path}/up ]; do sleep 0.1; done; exit 3"
    escape = f"[ $TACET_GENERATION = 2 ] || {{ {crash}; }}; exec sleep 1000"
    control = str(tmp_path / "control")
    options = ["--leftovers", "keep", "--control", control, "--restart", "always", "--min-healthy", "100ms", "--emergency-timeout", "2s"]
    slow = ["--restart-delay", "600s", "--restart-delay-max", "600s"]
    with Running([TACET, "run", "-v", *vault.options, *options, *slow, "--", "sh", "-c", escape]) as running:
        pid = int(running.line_with("^helper:").partition(":")[2])
        running.line_with("restarting the app in")
        assert is_alive(pid)
        vault.write("TOKEN=another-value\n")
        asked = Running([TACET, "rotate", "--control", control, "--emergency", "--json"])
        running.line_with("^told$")
        shown = run([TACET, "status", "--control", control, "--json"]).stdout
        assert json.loads(shown)["leftovers"] >= 1
        assert re.search(r"^leftovers +[12] of former", run([TACET, "status", "--control", control]).stdout, re.MULTILINE)
        with asked:
            answer = json.loads(asked.line())
            assert asked.wait() == 0
        assert answer["result"] == "committed"
        assert answer["ended"] in (1, 2)  # with the sleep below it
        assert not is_alive(pid)
        running.line_with(r"processe?s? that former instances left behind did not end: killing")
        running.line_with(r"done; [12] process(es)? that held the old values (was|were) ended")
        assert b"burned" not in b"".join(Path(f"/proc/{one}/environ").read_bytes() for one in below(running.pid))


def test_a_helper_that_ignores_term_is_killed_before_the_rotation_is_done(tmp_path: Path) -> None:
    """After remaining_timeout, with a line that says so."""
    command = ["bash", "-c", f"(trap '' TERM; while :; do sleep 0.1; done) & exec {SERVER}"]
    with service(tmp_path, "--remaining-timeout", "300ms", command=command) as running:
        log = running.await_log(DONE, running.rotate())
        assert re.search(r"processe?s? that the app left behind did not end: killing", log)
        assert set(generations_below(running.running.pid).values()) == {"2"}


def test_status_shows_that_leftovers_are_being_ended(tmp_path: Path) -> None:
    """The instance is clearing, and how many are left."""
    control = str(tmp_path / "control")
    command = ["bash", "-c", f"(trap '' TERM; while :; do sleep 0.1; done) & exec {SERVER}"]
    options = ["--remaining-timeout", "60s", "--control", control]
    with service(tmp_path, *options, command=command) as running:
        said = running.rotate()
        running.await_log("left behind", said)
        shown = run([TACET, "status", "--control", control]).stdout
        assert re.search(r"clearing .*processes left: [12]", shown), shown
        stubborn = [pid for pid, number in generations_below(running.running.pid).items() if number == "1"]
        for pid in stubborn:
            os.kill(pid, signal.SIGKILL)
        running.await_log(DONE, said)


def test_a_way_back_that_fails_does_not_end_in_status_0(tmp_path: Path) -> None:
    """Neither generation can start any more, and each ends with status 0: that was no success."""
    vault = vault_make(tmp_path / "vault", "TOKEN=one\n")
    mark = tmp_path / "mark"
    script = f"if mkdir {mark} 2>/dev/null; then exec sleep 1000; fi; exit 0"
    port = str(free_port())
    command = [TACET, "run", "-v", *vault.options, "--strategy", "restart", "--restart", "no", "--ready-timeout", "5s"]
    with Running([*command, "--failures", "0", "--ready", "exec", "--min-healthy", "2s", "--listen", port, "--", "sh", "-c", script]) as running:
        running.line_with("generation 1 is up")
        vault.write("TOKEN=two\n")
        running.signal(signal.SIGHUP)
        assert running.wait() not in (0, None)
