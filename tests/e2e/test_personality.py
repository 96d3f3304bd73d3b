"""The names tini, dumb-init and catatonit: options, variables and behaviour.

Each test runs against the real program as well, so that it states what that program does and not what we believe of it. Where
the real one has a defect that tacet does not copy, only tacet is tested.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import PATIENCE_SECONDS, PROBE, TACET, Running
from support import children_of, is_alive, mask_of, name_of, parse_state, read_status, run, state_of, wait_until

pytestmark = pytest.mark.both

NAMES = ["tini", "dumb-init", "catatonit"]
FORMS = ["real", "link", "option"]


def form_of(name: str, form: str, folder: Path) -> list[str]:
    """Return how to call a personality: the real program, a symbolic link of its name, or the option."""
    if form == "real":
        return [name]
    if form == "option":
        return [TACET, "--personality", name]
    link = folder / name
    if not link.exists():
        link.symlink_to(TACET)
    return [str(link)]


@pytest.fixture(params=FORMS)
def tini(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command for tini in each form."""
    return form_of("tini", request.param, tmp_path)


@pytest.fixture(params=FORMS)
def dumb_init(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command for dumb-init in each form."""
    return form_of("dumb-init", request.param, tmp_path)


@pytest.fixture(params=FORMS)
def catatonit(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command for catatonit in each form."""
    return form_of("catatonit", request.param, tmp_path)


@pytest.fixture(params=[(name, form) for name in NAMES for form in FORMS], ids="-".join)
def init(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Every name in every form."""
    return form_of(*request.param, tmp_path)


@pytest.fixture(params=NAMES)
def any_of_them(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Each of the names, as tacet's link."""
    return form_of(request.param, "link", tmp_path)


def stops_with(command: list[str], number: int = signal.SIGTERM, **options: object) -> int:
    """Start the command, wait for the program's "ready", send a signal, return the exit status."""
    with Running(command, **options) as running:
        running.line_with("^ready")
        running.signal(number)
        return running.wait()


ORPHAN = "(setsid sh -c 'echo orphan:$$; exec sleep 1000' &); exec sleep 1000"


def expect_adoption(running: Running) -> None:
    """The orphan of that script becomes a child, and is reaped when it has ended."""
    orphan = int(running.line_with("^orphan:").partition(":")[2])
    wait_until(lambda: orphan in children_of(running.pid), "the orphan is adopted")
    os.kill(orphan, signal.SIGKILL)
    wait_until(lambda: len(children_of(running.pid)) == 1, "the orphan is reaped")


# ---- all of them


def test_the_options_of_the_program_are_its_own(init: list[str]) -> None:
    """What follows `--` is never read as an option."""
    done = run([*init, "--", "sh", "-c", "echo $0 $1; exit 3", "-v", "--help"])
    assert (done.stdout, done.returncode) == ("-v --help\n", 3)


def test_dumb_init_needs_no_dashes_before_the_program(dumb_init: list[str]) -> None:
    """Its option parsing ends at the first word that is not an option."""
    done = run([*dumb_init, "sh", "-c", "echo $0 $1; exit 3", "-v", "--help"])
    assert (done.stdout, done.returncode) == ("-v --help\n", 3)


def test_every_name_passes_status_and_signals(init: list[str]) -> None:
    """The core of what an init is."""
    assert run([*init, "--", PROBE, "exit", "201"]).returncode == 201
    assert stops_with([*init, "--", PROBE, "wait"]) == 143
    assert stops_with([*init, "--", PROBE, "log", "10"], signal.SIGUSR1) == 0


def test_no_program_is_an_error(init: list[str]) -> None:
    """With exit status 1 and something to read, as theirs."""
    done = run(init)
    assert done.returncode == 1
    assert done.stdout + done.stderr


def test_an_unknown_option_is_an_error(init: list[str]) -> None:
    """Exit status 1."""
    assert run([*init, "-Z", "true"]).returncode == 1


def test_a_program_that_is_not_there_is_127_under_every_name(any_of_them: list[str]) -> None:
    """dumb-init says 2 and catatonit 1: defects that are not copied."""
    assert run([*any_of_them, "/no/such/program"]).returncode == 127


def test_masks_and_ignored_signals_pass_through_under_every_name(any_of_them: list[str]) -> None:
    """dumb-init drops them and catatonit adds some: defects that are not copied."""

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1})
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    done = subprocess.run(
        [*any_of_them, PROBE, "state"], capture_output=True, text=True, timeout=PATIENCE_SECONDS, preexec_fn=prepare
    )
    state = parse_state(done.stdout)
    assert int(state["blocked"], 16) == 1 << (signal.SIGUSR1 - 1)
    assert int(state["ignored"], 16) == 1 << (signal.SIGHUP - 1)


# ---- tini


def test_tini_e_makes_a_status_a_success(tini: list[str]) -> None:
    """Repeatable; others stay."""
    assert run([*tini, "-e", "7", "--", PROBE, "exit", "7"]).returncode == 0
    assert run([*tini, "-e", "7", "-e", "8", "--", PROBE, "exit", "8"]).returncode == 0
    assert run([*tini, "-e", "7", "--", PROBE, "exit", "9"]).returncode == 9
    assert stops_with([*tini, "-e", "143", "--", PROBE, "wait"]) == 0


@pytest.mark.parametrize("value", ["300", "-1", "seven"])
def test_tini_e_refuses_what_is_no_status(tini: list[str], value: str) -> None:
    """0 to 255."""
    assert run([*tini, "-e", value, "--", "true"]).returncode == 1


def test_tini_version_help_and_licence_are_successes(tini: list[str]) -> None:
    """--version, -h and -l print to standard output."""
    for option in ("--version", "-h", "-l"):
        done = run([*tini, option])
        assert done.returncode == 0
        assert done.stdout


def test_tini_warns_that_zombies_are_not_its_own(tini: list[str]) -> None:
    """Neither PID 1 nor subreaper: said once; -s, the variable and verbosity 0 silence it."""
    text = "zombie reaping won't work"
    assert text in run([*tini, "--", "true"]).stderr
    assert text not in run([*tini, "-s", "--", "true"]).stderr
    assert text not in run([*tini, "--", "true"], environment={"TINI_SUBREAPER": ""}).stderr
    assert text not in run([*tini, "--", "true"], environment={"TINI_VERBOSITY": "0"}).stderr


def test_tini_that_was_made_a_subreaper_does_not_warn(tini: list[str]) -> None:
    """Whoever started it may have done that: execve(2) keeps it."""
    become = "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    done = run([sys.executable, "-c", become, *tini, "--", "true"])
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("name", "pattern", "stream"),
    [
        ("tini", r"tini version \d+\.\d+\.\d+( - .*)?\n", "stdout"),
        ("dumb-init", r"dumb-init v\d+\.\d+\.\d+\n", "stderr"),
        ("catatonit", r"tini version \d+\.\d+\.\d+_catatonit( - .*)?\n", "stdout"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_the_version_is_what_tools_read(form: str, name: str, pattern: str, stream: str, tmp_path: Path) -> None:
    """A container engine asks its init for it and reads the first line."""
    done = run([*form_of(name, form, tmp_path), "--version"])
    assert re.fullmatch(pattern, getattr(done, stream)), done
    assert form == "real" or "tacet" in done.stdout


def test_dumb_init_speaks_in_brackets(dumb_init: list[str]) -> None:
    """By which people find its lines in a log."""
    lines = run([*dumb_init, "-v", "true"]).stderr.splitlines()
    assert lines
    assert all(line.startswith("[dumb-init] ") for line in lines)


def test_tini_as_pid_1_is_silent(tini: list[str]) -> None:
    """The warning is not for PID 1."""
    done = run([*tini, "--", "true"], pid1=True)
    assert (done.stderr, done.returncode) == ("", 0)


def test_tini_s_adopts_orphans(tini: list[str]) -> None:
    """By option and by variable."""
    for command, environment in (([*tini, "-s"], {}), (tini, {"TINI_SUBREAPER": ""})):
        with Running([*command, "--", "sh", "-c", ORPHAN], environment=environment) as running:
            expect_adoption(running)


def test_tini_w_reports_every_reaped_zombie(tini: list[str]) -> None:
    """The text that its users grep for."""
    script = f"{PROBE} orphans 3; while [ $(wc -w < /proc/$PPID/task/$PPID/children) -gt 1 ]; do sleep 0.02; done"
    loud = run([*tini, "-s", "-w", "--", "sh", "-c", script]).stderr
    assert loud.count("Reaped zombie process with pid=") == 3
    assert "Reaped zombie" not in run([*tini, "-s", "--", "sh", "-c", script]).stderr


def test_tini_v_says_more(tini: list[str]) -> None:
    """Each -v adds lines; the variable sets the same."""
    text = "Spawned child process 'true' with pid"
    quiet = run([*tini, "-s", "--", "true"])
    loud = run([*tini, "-s", "-vvv", "--", "true"])
    by_variable = run([*tini, "-s", "--", "true"], environment={"TINI_VERBOSITY": "3"})
    assert quiet.stdout + quiet.stderr == ""
    assert text in loud.stdout + loud.stderr
    assert text in by_variable.stdout + by_variable.stderr


@pytest.mark.parametrize("by", ["option", "variable", "nothing"])
def test_tini_g_signals_the_group(tini: list[str], by: str) -> None:
    """Without it only the program gets the signal."""
    script = f"trap 'wait; exit 5' TERM; '{PROBE}' log 15 & echo ready; wait; wait"
    command = [*tini, "-g"] if by == "option" else tini
    environment = {"TINI_KILL_PROCESS_GROUP": ""} if by == "variable" else {}
    with Running([*command, "-s", "--", "sh", "-c", script], environment=environment) as running:
        running.line_with("^ready [0-9]")
        running.signal(signal.SIGTERM)
        if by == "nothing":
            with pytest.raises(AssertionError):
                running.line_with("^15$", 0.5)
        else:
            running.line_with("^15$")
            assert running.wait() == 5


def test_tini_p_passes_on_the_death_of_its_parent(tini: list[str], tmp_path: Path) -> None:
    """The signal is tini's own parent-death signal; it forwards it."""
    note = tmp_path / "note"
    script = f"trap 'echo USR1 > {note}; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    command = [*tini, "-s", "-p", "SIGUSR1", "--", "sh", "-c", script]
    with Running(["sh", "-c", '"$@" & echo started; wait', "parent", *command]) as running:
        running.line_with("^ready")
        running.process.kill()
        wait_until(note.exists, "the program got the signal")


def test_tini_p_refuses_what_is_no_signal(tini: list[str]) -> None:
    """Exit status 1."""
    assert run([*tini, "-p", "NOPE", "--", "true"]).returncode == 1


def test_tini_passes_its_variables_on(tini: list[str]) -> None:
    """They are ordinary variables of the environment."""
    done = run([*tini, "-s", "--", "sh", "-c", "echo $TINI_VERBOSITY"], environment={"TINI_VERBOSITY": "1"})
    assert done.stdout == "1\n"


# ---- dumb-init


def test_dumb_init_starts_a_session_and_can_be_told_not_to(dumb_init: list[str]) -> None:
    """-c, --single-child and DUMB_INIT_SETSID=0 keep the caller's session."""
    own = parse_state(run([*dumb_init, PROBE, "state"]).stdout)
    assert own["sid"] == own["pid"] == own["pgid"]
    for command, environment in (
        ([*dumb_init, "-c"], {}),
        ([*dumb_init, "--single-child"], {}),
        (dumb_init, {"DUMB_INIT_SETSID": "0"}),
    ):
        shared = parse_state(run([*command, PROBE, "state"], environment=environment).stdout)
        assert int(shared["sid"]) == os.getsid(0)
    forced = parse_state(run([*dumb_init, PROBE, "state"], environment={"DUMB_INIT_SETSID": "1"}).stdout)
    assert forced["sid"] == forced["pid"]


@pytest.mark.parametrize("single", [False, True], ids=["group", "single"])
def test_dumb_init_signals_the_group_unless_single(dumb_init: list[str], single: bool) -> None:
    """A background child gets the signal as well, or not."""
    script = f"trap 'wait; exit 5' USR1; '{PROBE}' log 10 & echo ready; wait; wait"
    command = [*dumb_init, "--single-child"] if single else dumb_init
    with Running([*command, "sh", "-c", script]) as running:
        running.line_with("^ready [0-9]")
        running.signal(signal.SIGUSR1)
        if single:
            with pytest.raises(AssertionError):
                running.line_with("^10$", 0.5)
        else:
            running.line_with("^10$")
            assert running.wait() == 5


@pytest.mark.parametrize("option", ["-r", "--rewrite"])
def test_dumb_init_rewrites_signals(dumb_init: list[str], option: str) -> None:
    """TERM as USR1, QUIT as KILL; several at once; a chain is not followed."""
    command = [*dumb_init, option, "15:10", option, "10:12", option, "3:9"]
    with Running([*command, PROBE, "log", "12"]) as running:
        running.line_with("^ready")
        running.signal(signal.SIGTERM)
        assert running.line() == "10"
        running.signal(signal.SIGUSR1)
        assert running.line() == "12"
        assert running.wait() == 0
    assert stops_with([*command, PROBE, "wait"], signal.SIGQUIT) == 137


def test_dumb_init_drops_a_signal_rewritten_to_zero(dumb_init: list[str]) -> None:
    """0 means: not passed on."""
    with Running([*dumb_init, "-r", "10:0", PROBE, "log", "15"]) as running:
        running.line_with("^ready")
        running.signal(signal.SIGUSR1)
        running.signal(signal.SIGUSR2)
        assert running.line() == "12"
        running.signal(signal.SIGTERM)
        assert running.line() == "15"
        assert running.wait() == 0


@pytest.mark.parametrize("value", ["99:1", "1:99", "foo", "15", "15:", ":15", "0:15"])
def test_dumb_init_refuses_a_bad_rewrite(dumb_init: list[str], value: str) -> None:
    """Numbers from 1 to 31."""
    assert run([*dumb_init, "-r", value, "true"]).returncode == 1


def test_dumb_init_help_and_version_are_successes(dumb_init: list[str]) -> None:
    """-h, --help, -V, --version."""
    for option in ("-h", "--help", "-V", "--version"):
        done = run([*dumb_init, option])
        assert done.returncode == 0
        assert done.stdout + done.stderr


def test_dumb_init_tells_what_it_does_when_asked(dumb_init: list[str]) -> None:
    """-v, --verbose and DUMB_INIT_DEBUG=1; nothing otherwise."""
    assert run([*dumb_init, "true"]).stderr == ""
    for command, environment in (
        ([*dumb_init, "-v"], {}),
        ([*dumb_init, "--verbose"], {}),
        (dumb_init, {"DUMB_INIT_DEBUG": "1"}),
    ):
        assert "hild" in run([*command, "true"], environment=environment).stderr
    assert run([*dumb_init, "true"], environment={"DUMB_INIT_DEBUG": "0"}).stderr == ""


def test_dumb_init_leaves_the_working_directory(dumb_init: list[str], tmp_path: Path) -> None:
    """The wrapper stands in /, the program where it was started."""
    with Running([*dumb_init, "sh", "-c", "pwd; sleep 30"], cwd=tmp_path) as running:
        assert running.line() == str(tmp_path)
        wait_until(lambda: os.readlink(f"/proc/{running.pid}/cwd") == "/", "the wrapper left")


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU])
def test_dumb_init_suspends_the_program_and_itself(dumb_init: list[str], number: int) -> None:
    """The program's session has no terminal, so it gets SIGSTOP; CONT resumes both, and it works again."""
    with Running([*dumb_init, PROBE, "log", "15"]) as running:
        running.line_with("^ready")
        child = running.child
        for _ in range(2):
            running.signal(number)
            wait_until(lambda: state_of(child) == "T", "the program is stopped")
            wait_until(lambda: state_of(running.pid) == "T", "the wrapper is stopped")
            running.signal(signal.SIGCONT)
            wait_until(lambda: state_of(child) == "S", "the program runs")
            wait_until(lambda: state_of(running.pid) == "S", "the wrapper runs")
        running.signal(signal.SIGTERM)
        running.line_with("^15$")
        assert running.wait() == 0


def test_dumb_init_ends_the_group_with_the_program(dumb_init: list[str], tmp_path: Path) -> None:
    """SIGTERM for what the program left in its session."""
    note = tmp_path / "note"
    left = f"trap 'echo TERM > {note}; exit' TERM; : > {tmp_path}/up; while :; do sleep 0.02; done"
    script = f"sh -c \"{left}\" & while [ ! -e {tmp_path}/up ]; do sleep 0.02; done; exit 6"
    with Running([*dumb_init, "sh", "-c", script]) as running:
        assert running.wait() == 6
        wait_until(note.exists, "the background process got SIGTERM")


def test_dumb_init_passes_real_time_signals(dumb_init: list[str]) -> None:
    """Numbers above 31 too."""
    assert stops_with([*dumb_init, PROBE, "log", "40"], 40) == 0


# ---- catatonit


def test_catatonit_g_signals_the_group(catatonit: list[str]) -> None:
    """As tini's."""
    script = f"trap 'wait; exit 5' TERM; '{PROBE}' log 15 & echo ready; wait; wait"
    with Running([*catatonit, "-g", "--", "sh", "-c", script]) as running:
        running.line_with("^ready [0-9]")
        running.signal(signal.SIGTERM)
        running.line_with("^15$")
        assert running.wait() == 5


def test_catatonit_version_help_and_licence_are_successes(catatonit: list[str]) -> None:
    """-V, -h, -L."""
    for option in ("-V", "-h", "-L"):
        done = run([*catatonit, option])
        assert done.returncode == 0
        assert done.stdout + done.stderr


def test_catatonit_adopts_orphans_without_being_asked(catatonit: list[str]) -> None:
    """It is a subreaper by itself when it is not PID 1."""
    with Running([*catatonit, "--", "sh", "-c", ORPHAN]) as running:
        expect_adoption(running)


def is_pausing(pid: int) -> bool:
    """Whether it has come so far that PID 1 gets a signal: theirs shows it in its masks, ours has left its directory."""
    masks = [int(read_status(pid).get(name, "0"), 16) for name in ("SigBlk", "SigCgt")]
    has_sigterm = any(mask & mask_of(signal.SIGTERM) for mask in masks)
    return has_sigterm or (name_of(pid) != "unshare" and os.readlink(f"/proc/{pid}/cwd") == "/")


def test_catatonit_p_is_an_endless_pause(catatonit: list[str], tmp_path: Path) -> None:
    """-P: no program, only reaping, until a signal ends it."""
    with Running([*catatonit, "-P"], pid1=True, cwd=tmp_path) as running:
        supervisor = running.pid
        wait_until(lambda: is_pausing(supervisor), "it takes SIGTERM")
        time.sleep(0.2)
        assert is_alive(supervisor)
        os.kill(supervisor, signal.SIGTERM)
        running.wait()
