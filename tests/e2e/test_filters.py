"""A system call filter that kills (SystemCallFilter= without SystemCallErrorNumber=) meets the start of the app."""

from __future__ import annotations

import os
import platform
import signal
import sys
from pathlib import Path

import pytest
from support import ROOT, TACET, run

FILTERING = [sys.executable, str(ROOT / "tests/e2e/filtering.py")]
NUMBERS = {
    "x86_64": {"umask": 95, "chdir": 80, "setgroups": 116, "setresuid": 117},
    "aarch64": {"umask": 166, "chdir": 49, "setgroups": 159, "setresuid": 147},
}
AS_USER = ["--user", "54321", "--group", "54321"]

pytestmark = [
    pytest.mark.skipif(platform.machine() not in NUMBERS, reason="the numbers of the calls are not known here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="changes the user"),
]


def below(call: str, *command: str) -> tuple[int, str]:
    """Run a command below a filter that ends who makes the call; its status, and what it said."""
    done = run([*FILTERING, str(NUMBERS[platform.machine()][call]), *command])
    assert "started" not in done.stdout
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("call", "options", "step", "allowed"),
    [
        ("setgroups", AS_USER, "set its supplementary groups", "@setuid"),
        ("setresuid", AS_USER, "set its user", "@setuid"),
        ("umask", ["--umask", "0077"], "set its umask", "umask"),
        ("chdir", ["--directory", "/"], "enter its directory", "chdir"),
    ],
)
@pytest.mark.parametrize("has_secrets", [False, True])
def test_the_step_in_which_a_filter_ends_the_start_is_named(
    call: str, options: list[str], step: str, allowed: str, has_secrets: bool, tmp_path: Path
) -> None:
    """With and without a load before it: a forked shim, one that was prepared, one that suspends."""
    document = tmp_path / "secrets.env"
    document.write_text("PASSWORD=one\n")
    document.chmod(0o600)
    sources = ["--source", f"env-file:{document}"] if has_secrets else []
    status, said = below(call, TACET, "run", *sources, *options, "--restart", "always", "--", "echo", "started")
    assert status == 125, said
    assert said.count(f"ended it with SIGSYS when it was to {step}") == 1, said
    assert f"SystemCallFilter={allowed} allows it" in said


@pytest.mark.parametrize(("call", "step"), [("setgroups", "set its supplementary groups"), ("setresuid", "set its user")])
def test_exec_says_it_before_it_becomes_the_app(call: str, step: str) -> None:
    """Of itself nobody would be left to tell: the steps are tried in a child first."""
    status, said = below(call, TACET, "exec", *AS_USER, "--", "echo", "started")
    assert status == 125, said
    assert f"ended it with SIGSYS when it was to {step}" in said
    done = run([*FILTERING, str(NUMBERS[platform.machine()][call]), TACET, "exec", "--", "sh", "-c", "echo runs; trap"])
    assert (done.returncode, done.stdout) == (0, "runs\n"), done.stderr


def test_after_the_trial_the_app_finds_no_child_and_no_signal_of_one() -> None:
    """The trial has been reaped, and what its end sent is gone."""
    script = "cat /proc/self/status; cat /proc/$$/task/$$/children"
    done = run([*FILTERING, "9999", TACET, "exec", *AS_USER, "--", "sh", "-c", script])
    assert done.returncode == 0, done.stderr
    pending = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert pending["Uid"].split() == ["54321"] * 4
    assert int(pending["ShdPnd"], 16) & 1 << (signal.SIGCHLD - 1) == 0
    assert len(done.stdout.splitlines()[-1].split()) <= 1  # cat itself


def test_an_app_that_ends_of_sigsys_itself_is_not_taken_for_it() -> None:
    """It has been executed: its end is its own."""
    done = run([TACET, "run", "--", "sh", "-c", "kill -SYS $$"])
    assert done.returncode == 128 + signal.SIGSYS
    assert "filter" not in done.stderr
