"""The static program as PID 1 of containers that have nothing else: an empty read-only root, no capability, no /proc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from secrets_files import Vault, vault_make
from support import PROBE, TACET_STATIC, Running, children_of, descendants_of, name_of, parse_state, run, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers are made by root")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system with the program, the probe and empty mount points."""
    folder = tmp_path_factory.mktemp("rootfs")
    folder.chmod(0o755)
    for name in ("proc", "dev", "sys", "run", "vault"):
        (folder / name).mkdir()
    shutil.copy(TACET_STATIC, folder / "tacet")
    shutil.copy(PROBE, folder / "probe")
    return folder


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """A document with one secret."""
    folder = tmp_path_factory.mktemp("vault")
    folder.chmod(0o755)
    return vault_make(folder, "PASSWORD=from-the-vault-1\n")


def bubblewrap(root: Path, vault: Path | None, *options: str) -> list[str]:
    """The front of a command that makes a container by bubblewrap."""
    command = ["bwrap", "--unshare-all", "--as-pid-1", "--die-with-parent", "--ro-bind", str(root), "/"]
    if vault:
        command += ["--ro-bind", str(vault), "/vault"]
    return [*command, "--cap-drop", "ALL", "--clearenv", *options]


def test_the_program_needs_no_library(root: Path) -> None:
    """file(1) and ldd(1) may not be there; the ELF header says whether there is an interpreter."""
    headers = subprocess.run(["readelf", "--program-headers", TACET_STATIC], capture_output=True, text=True, check=True)
    assert "INTERP" not in headers.stdout
    assert "DYN" in headers.stdout, "position independent"
    assert (root / "tacet").stat().st_size < 2_000_000


def test_what_was_relocated_is_read_only() -> None:
    """Neither the C library nor the kernel does it for a static program; a child of the first process inherits it."""
    headers = subprocess.run(["readelf", "--program-headers", "--wide", TACET_STATIC], capture_output=True, text=True, check=True)
    words = next(line for line in headers.stdout.splitlines() if "GNU_RELRO" in line).split()
    start, end = int(words[2], 16) & -4096, int(words[2], 16) + int(words[5], 16) & -4096
    assert end > start
    with Running([TACET_STATIC, "run", "--", PROBE, "wait"]) as running:
        running.line_with("^ready")
        maps = [line.split() for line in Path(f"/proc/{running.process.pid}/maps").read_text().splitlines()]
        own = [(*(int(at, 16) for at in line[0].split("-")), line[1]) for line in maps if line[-1] == TACET_STATIC]
        base = own[0][0]
        for page in range(base + start, base + end, 4096):
            assert [rights for low, high, rights in own if low <= page < high] == ["r--p"]
        running.process.terminate()


@pytest.mark.parametrize("proc", [True, False], ids=["proc", "no-proc"])
@pytest.mark.parametrize("dev", [True, False], ids=["dev", "no-dev"])
def test_pid_1_of_an_empty_root(root: Path, proc: bool, dev: bool) -> None:
    """Everything is passed on as outside, with no /proc and no /dev as well."""
    extra = [*(["--proc", "/proc"] if proc else []), *(["--dev", "/dev"] if dev else [])]
    front = bubblewrap(root, None, *extra)
    done = run([*front, "/tacet", "--", "/probe", "state"])
    state = parse_state(done.stdout)
    assert done.returncode == 0, done.stderr
    assert state["ppid"] == "1"
    assert state["fds"].split() == ["0", "1", "2"]
    assert (int(state["blocked"], 16), int(state["ignored"], 16)) == (0, 0)
    assert run([*front, "/tacet", "--", "/probe", "exit", "42"]).returncode == 42
    assert run([*front, "/tacet", "--", "/no/such"]).returncode == 127
    assert run([*front, "/tacet", "--", "/probe", "orphans", "200"]).returncode == 0


def test_signals_reach_the_program_of_a_container(root: Path) -> None:
    """From outside, to the container's PID 1."""
    with Running([*bubblewrap(root, None), "/tacet", "--", "/probe", "log", "15"]) as running:
        running.line_with("^ready")
        init = next(pid for pid in descendants_of(running.process.pid) if name_of(pid) == "tacet")
        for number in (signal.SIGUSR1, signal.SIGHUP, 40, signal.SIGTERM):
            os.kill(init, number)
            running.line_with(f"^{int(number)}$")
        assert running.wait() == 0


@pytest.mark.parametrize("proc", [True, False], ids=["proc", "no-proc"])
def test_secrets_in_an_empty_root_and_their_rotation(root: Path, tmp_path: Path, proc: bool) -> None:
    """age file and identity on a read-only mount; SIGHUP moves the program to the new value."""
    vault = vault_make(tmp_path / "vault", "PASSWORD=first-value-1\n")
    os.chmod(tmp_path, 0o755)
    front = bubblewrap(root, vault.folder, *(["--proc", "/proc"] if proc else []))
    # One process that prints its environment and stays: the probe has no shell here.
    command = ["/tacet", "run", "-s", "age:/vault/secrets.env.age", "-i", "/vault/key.txt", "--min-healthy", "100ms"]
    with Running([*front, *command, "--", "/probe", "env-wait"]) as running:
        running.line_with("^PASSWORD=first-value-1$")
        init = next(pid for pid in descendants_of(running.process.pid) if name_of(pid) == "tacet")
        vault.write("PASSWORD=second-value-2\n")
        os.kill(init, signal.SIGHUP)
        running.line_with("^PASSWORD=second-value-2$")
        wait_until(lambda: len(children_of(init)) == 1, "the old one is gone")
        os.kill(init, signal.SIGTERM)
        assert running.wait() == 143


# ---- runc


@pytest.fixture
def container(root: Path, tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """A maker of runc commands: read-only root, no capability, no new privileges."""
    names: list[str] = []

    def make(arguments: list[str], vault: Path | None = None, **process: object) -> list[str]:
        folder = tmp_path / f"bundle{len(names)}"
        folder.mkdir()
        subprocess.run(["runc", "spec"], cwd=folder, check=True, timeout=30)
        spec = json.loads((folder / "config.json").read_text())
        spec["process"] |= {"terminal": False, "args": arguments, "noNewPrivileges": True, **process}
        spec["process"]["capabilities"] = {key: [] for key in spec["process"]["capabilities"]}
        spec["process"].pop("rlimits", None)
        spec["root"] = {"path": str(root), "readonly": True}
        spec["mounts"] = [mount for mount in spec["mounts"] if mount["destination"] in ("/proc", "/dev")]
        if vault:
            spec["mounts"].append(
                {"destination": "/vault", "type": "bind", "source": str(vault), "options": ["bind", "ro"]}
            )
        (folder / "config.json").write_text(json.dumps(spec))
        names.append(f"tacet-test-{os.getpid()}-{len(names)}")
        return ["runc", "run", "--bundle", str(folder), names[-1]]

    probe = run(make(["/probe", "exit", "3"]))
    if probe.returncode != 3:
        pytest.skip(f"runc does not work here: {probe.stderr.strip()[:200]}")
    yield make
    for name in names:
        run(["runc", "delete", "--force", name])


def test_runc_pid_1_with_nothing(container: Callable[..., list[str]]) -> None:
    """Exit status, orphans, errors."""
    assert run(container(["/tacet", "--", "/probe", "exit", "42"])).returncode == 42
    assert run(container(["/tacet", "--", "/probe", "orphans", "300"])).returncode == 0
    assert run(container(["/tacet", "--", "/no/such"])).returncode == 127


def test_runc_another_user_and_secrets(container: Callable[..., list[str]], vault: Vault) -> None:
    """The whole container runs as a user without any right; the secret arrives."""
    for path in (vault.identity, vault.document):
        os.chown(path, 54321, 54321)
    command = ["/tacet", "run", "-s", "age:/vault/secrets.env.age", "-i", "/vault/key.txt", "--", "/probe", "env"]
    done = run(container(command, vault.folder, user={"uid": 54321, "gid": 54321}))
    assert done.returncode == 0, done.stderr
    assert "PASSWORD=from-the-vault-1" in done.stdout.splitlines()


def test_runc_the_stop_of_a_container(container: Callable[..., list[str]]) -> None:
    """`runc kill ID TERM` is what `docker stop` does."""
    command = container(["/tacet", "--", "/probe", "wait"])
    with Running(command) as running:
        running.line_with("^ready")
        assert run(["runc", "kill", command[-1], "TERM"]).returncode == 0
        assert running.wait() == 143
