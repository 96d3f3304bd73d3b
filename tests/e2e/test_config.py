"""A configuration file from end to end: what `-c FILE` says is what the app gets, and options win over it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import PROBE, TACET, Running, parse_state, run

pytestmark = pytest.mark.both

CONFIG, USAGE = 78, 64


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """One secret in an encrypted file."""
    return vault_make(tmp_path / "vault", "PASSWORD=first-value\n")


def config_file(folder: Path, text: str) -> str:
    """Write a configuration."""
    path = folder / "service.ini"
    path.write_text(text)
    return str(path)


def sources_of(vault: Vault) -> str:
    """The sections that name a vault's document and key."""
    return f"[source main]\nfrom = age:{vault.document}\n[identity own]\nfrom = {vault.identity}\n"


def environment_of(output: str) -> dict[str, str]:
    """What `probe env` printed."""
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_the_command_and_the_secrets_of_a_file(vault: Vault, tmp_path: Path, verb: str) -> None:
    """Without a single word on the command line."""
    path = config_file(tmp_path, f"[service]\ncommand = sh -c 'echo \"value:$PASSWORD\" \\x41'\n{sources_of(vault)}")
    done = run([TACET, verb, "-c", path])
    assert (done.stdout, done.returncode) == ("value:first-value A\n", 0), done.stderr


def test_words_are_split_without_a_shell(tmp_path: Path) -> None:
    """Quotes group, nothing is expanded but %g and %r: a % itself is written twice."""
    path = config_file(tmp_path, "[service]\ncommand = printf '%%s|' \"a b\" $HOME *  ';' c\\sd \\\n   last\n")
    done = run([TACET, "run", "-c", path])
    assert done.stdout == "a b|$HOME|*|;|c d|last|", done.stderr
    path = config_file(tmp_path, "[service]\ncommand = printf %s| word\n")
    assert (run([TACET, "run", "-c", path]).returncode, f"{path}:2: word 2 of command" in run([TACET, "run", "-c", path]).stderr) == (78, True)


def test_a_command_behind_the_options_replaces_that_of_the_file(tmp_path: Path) -> None:
    """The file's is not run."""
    path = config_file(tmp_path, "[service]\ncommand = echo file\n")
    assert run([TACET, "run", "-c", path, "--", "echo", "line"]).stdout == "line\n"


def test_options_win_over_the_file_whatever_their_order(tmp_path: Path) -> None:
    """Scalars are replaced, settings are joined."""
    path = config_file(tmp_path, f"[service]\ncommand = {PROBE} env\nenvironment = A=file B=file\numask = 027\n")
    for options in (["--env", "B=option", "-c", path], ["-c", path, "--env", "B=option"]):
        got = environment_of(run([TACET, "run", *options]).stdout)
        assert (got["A"], got["B"]) == ("file", "option")


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_cleared_environment_lets_the_named_variables_through(vault: Vault, tmp_path: Path, verb: str) -> None:
    """Secrets, settings, what pass_env names, and what tacet itself says of the instance; nothing else."""
    own = {"TACET_GENERATION": "1", "TACET_REPLICA": "0"} if verb == "run" else {}
    path = config_file(
        tmp_path,
        f"[service]\ncommand = {PROBE} env\nclear_env = yes\npass_env = HOME LC_*\nenvironment = 'TITLE=two words'\n"
        + sources_of(vault),
    )
    done = run([TACET, verb, "-c", path], environment={"LC_ALL": "C", "LC_X": "y", "OTHER": "z"})
    assert environment_of(done.stdout) == {
        "HOME": "/root",
        "LC_ALL": "C",
        "LC_X": "y",
        "TITLE": "two words",
        "PASSWORD": "first-value",
        **own,
    }, done.stderr


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_directory_mask_and_limits_of_a_file(tmp_path: Path, verb: str) -> None:
    """What `probe state` finds."""
    path = config_file(
        tmp_path,
        f"[service]\ncommand = {os.path.abspath(PROBE)} state\ndirectory = {tmp_path}\numask = 027\n"
        "[sandbox]\nlimit_nofile = 100:200\nlimit_core = 4096\n",
    )
    state = parse_state(run([TACET, verb, "-c", path]).stdout)
    assert (state["cwd"], state["umask"], state["nofile"]) == (str(tmp_path), "0027", "100 200")
    assert state["core"] == "4096 4096"


def test_restart_and_its_limit_of_a_file(tmp_path: Path) -> None:
    """Three starts in all: one and two restarts."""
    path = config_file(
        tmp_path,
        "[service]\ncommand = sh -c 'echo start; exit 3'\nrestart = on-failure\nrestart_delay = 10ms\nrestart_limit = 2\n",
    )
    done = run([TACET, "run", "-c", path])
    assert (done.stdout, done.returncode) == ("start\n" * 3, 3)


def test_the_stop_signal_of_a_file(tmp_path: Path) -> None:
    """TERM to tacet is INT to the app."""
    path = config_file(tmp_path, f"[service]\ncommand = {PROBE} log INT\nstop_signal = INT\n")
    with Running([TACET, "run", "-c", path]) as running:
        running.line_with("^ready")
        running.signal(15)
        assert running.line_with("^2$") == "2"


def test_the_log_of_a_file_is_json(tmp_path: Path) -> None:
    """Every line an object."""
    path = config_file(
        tmp_path,
        "[service]\ncommand = false\nrestart = on-failure\nrestart_delay = 1ms\nrestart_limit = 1\n"
        "[log]\nformat = json\nlevel = info\n",
    )
    lines = run([TACET, "run", "-c", path]).stderr.splitlines()
    assert lines and all(line.startswith("{") and line.endswith("}") for line in lines)


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_wrong_file_starts_nothing(tmp_path: Path, verb: str) -> None:
    """One error, with its line and what was meant."""
    path = config_file(tmp_path, "[service]\ncommand = echo started\nstop_timout = 1s\n")
    done = run([TACET, verb, "-c", path])
    assert (done.stdout, done.returncode) == ("", CONFIG)
    assert f"{path}:3: unknown key 'stop_timout' in [service]" in done.stderr
    assert "stop_timeout" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--stop-timeout", "10x", "--", "echo", "started"], USAGE),
        (["--replicas", "33", "--", "echo", "started"], USAGE),
        (["--strategy", "blue-green", "--", "echo", "started"], USAGE),
        (["--strategy", "handoff", "--max-surge", "0", "--", "echo", "started"], USAGE),
        (["--pass-env", "PATH", "--", "echo", "started"], USAGE),
        ([], USAGE),
    ],
    ids=["unit", "replicas", "strategy", "limits", "clear", "nothing"],
)
def test_a_wrong_option_starts_nothing(options: list[str], status: int) -> None:
    """The same rules as in a file, with the status of a wrong command line."""
    done = run([TACET, "run", *options])
    assert (done.stdout, done.returncode) == ("", status), done.stderr


def test_a_value_is_in_no_message(tmp_path: Path) -> None:
    """Somebody put a secret where a setting belongs."""
    for line in ("environment = hunter2-canary", "hunter2 = hunter2-canary", "command = 'hunter2-canary", "hunter2-canary"):
        done = run([TACET, "run", "-c", config_file(tmp_path, f"[service]\n{line}\n")])
        assert done.returncode == CONFIG
        assert "hunter2-canary" not in done.stderr
