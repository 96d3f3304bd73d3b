"""`tacet check`: what it prints, what it refuses, and with which exit status; never a value, and nothing is started."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from secrets_files import Vault, encrypt, vault_make
from support import ROOT, clean_environment
from support import TACET as TACET_HERE

pytestmark = pytest.mark.both

TACET = os.path.abspath(TACET_HERE)  # some tests change the directory

USAGE, DATA, NO_SOURCE, CONFIG = 64, 65, 66, 78
VALUE = "canary-5f0e-value"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Two secrets in an encrypted file."""
    return vault_make(tmp_path / "vault", f"DB_PASSWORD={VALUE}\n\nTOKEN=abc\n")


def check(*options: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tacet check`; whatever it says must not hold the value."""
    done = subprocess.run(
        [TACET, "check", *options],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env=clean_environment(environment),
    )
    assert VALUE not in done.stdout + done.stderr
    return done


def config_file(folder: Path, text: str) -> str:
    """Write a configuration."""
    path = folder / "service.ini"
    path.write_text(text)
    return str(path)


def test_names_sizes_sources_and_fingerprints_are_printed(vault: Vault) -> None:
    """Aligned, sorted by name, one line per secret, a summary behind."""
    done = check(*vault.options)
    assert (done.returncode, done.stderr) == (0, "")
    head, first, second, summary = done.stdout.splitlines()
    assert head.split() == ["NAME", "BYTES", "FINGERPRINT", "SOURCE"]
    name, size, fingerprint, source = first.split()
    assert (name, size, source) == ("DB_PASSWORD", str(len(VALUE)), f"age:{vault.document}")
    assert len(fingerprint) == 8 and int(fingerprint, 16) >= 0
    assert second.split()[:2] == ["TOKEN", "3"]
    assert head.index("FINGERPRINT") == first.index(fingerprint)
    assert summary == "2 secrets from 1 source"


def test_the_fingerprint_depends_on_the_value_and_on_the_identity(vault: Vault, tmp_path: Path) -> None:
    """Equal for an unchanged value, in every run; different for another value or another identity."""

    def fingerprint(of: Vault) -> str:
        document = json.loads(check(*of.options, "--json").stdout)
        return next(item["fingerprint"] for item in document["secrets"] if item["name"] == "DB_PASSWORD")

    first = fingerprint(vault)
    assert fingerprint(vault) == first
    vault.write("DB_PASSWORD=something-else\n")
    assert fingerprint(vault) != first
    assert fingerprint(vault_make(tmp_path / "other", f"DB_PASSWORD={VALUE}\n")) != first


def test_a_later_source_wins_and_the_shadowed_one_is_told(vault: Vault, tmp_path: Path) -> None:
    """Precedence is the order."""
    other = tmp_path / "other.age"
    other.write_bytes(encrypt(b"TOKEN=longer-token\n", vault.recipient))
    done = check(*vault.options, "-s", f"age:{other}")
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOKEN"))
    assert line.split() == ["TOKEN", "12", line.split()[2], f"age:{other}", "shadows", "1", "earlier"]


def test_json_is_one_object(vault: Vault) -> None:
    """For programs."""
    done = check(*vault.options, "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0 and document["ok"] is True and document["errors"] == []
    assert document["sources"] == [
        {"name": f"age:{vault.document}", "uri": f"age:{vault.document}", "where": "command line"}
    ]
    first = document["secrets"][0]
    assert (first["name"], first["bytes"], first["line"], first["shadowed"]) == ("DB_PASSWORD", len(VALUE), 1, 0)


def test_relative_paths_count_from_the_current_directory(vault: Vault) -> None:
    """Of sources and of identities."""
    assert check("-s", "age:secrets.env.age", "-i", "key.txt", cwd=vault.folder).returncode == 0


def test_a_configuration_with_all_of_it(vault: Vault, tmp_path: Path) -> None:
    """Named sources, an identity from a credential, the summary names the file."""
    path = config_file(
        tmp_path,
        f"[service]\ncommand = /bin/true\n[source main]\nfrom = age:{vault.document}\n[identity own]\nfrom = credential:key.txt\n",
    )
    done = check("-c", path, CREDENTIALS_DIRECTORY=str(vault.folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[-1] == "main"
    assert done.stdout.splitlines()[-2:] == [f"{path}: the configuration is good", "2 secrets from 1 source"]


def test_every_error_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    """Not the first alone; with what was meant."""
    path = config_file(
        tmp_path, "[service]\nstop_timout = 1s\nrestart = on_failure\n[nothing]\nx = 1\n[log]\nlevel = debug\nlevel = info\n"
    )
    done = check("-c", path)
    assert (done.returncode, done.stdout) == (CONFIG, "")
    assert done.stderr.splitlines() == [
        f"tacet: {path}:2: unknown key 'stop_timout' in [service]",
        "  next: did you mean 'stop_timeout'?",
        f"tacet: {path}:3: restart = on_failure is not no, on-failure or always",
        "  next: did you mean 'on-failure'?",
        f"tacet: {path}:4: unknown section [nothing]",
        f"tacet: {path}:8: level is given a second time; the first is in line 7",
    ]
    document = json.loads(check("-c", path, "--json").stdout)
    assert (document["ok"], document["status"], len(document["errors"])) == (False, CONFIG, 4)
    assert document["errors"][0]["hint"] == "did you mean 'stop_timeout'?"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], USAGE),
        (["--jsn"], USAGE),
        (["-s"], USAGE),
        (["NAME=" + VALUE], USAGE),
        (["-c", "/nonexistent/x.ini"], CONFIG),
        (["-c", "/tmp"], CONFIG),
        (["-s", "nothing:x"], CONFIG),
        (["-s", "age:/nonexistent/x.age", "-i", "/nonexistent/key"], NO_SOURCE),
    ],
    ids=["nothing", "option", "argument", "operand", "file", "folder", "scheme", "source"],
)
def test_what_cannot_be_checked_has_its_own_status(options: list[str], status: int) -> None:
    """For continuous integration."""
    done = check(*options)
    assert done.returncode == status, done.stderr
    assert done.stdout == "" and done.stderr.startswith("tacet: ")


@pytest.mark.parametrize(
    "content",
    [b"", b"age-encryption.org/v1\n", b"not an age file, but canary-5f0e-value"],
    ids=["empty", "torn", "other"],
)
def test_a_bad_file_is_bad_data(vault: Vault, content: bytes) -> None:
    """Its bytes are in no message."""
    vault.replace(content)
    assert check(*vault.options).returncode == DATA


def test_a_bad_document_names_file_and_line(vault: Vault) -> None:
    """And the variable that is there twice."""
    vault.write(f"A=1\nB={VALUE}\nA=2\n")
    done = check(*vault.options)
    assert done.returncode == DATA
    assert ":3" in done.stderr and "A" in done.stderr


def test_the_wrong_key_is_bad_data(vault: Vault, tmp_path: Path) -> None:
    """An identity that opens nothing."""
    other = vault_make(tmp_path / "other", "X=1\n")
    assert check("-s", f"age:{vault.document}", "-i", str(other.identity)).returncode == DATA


def test_keys_that_do_not_fit_together_are_a_configuration_error(tmp_path: Path) -> None:
    """Found although each is right by itself."""
    path = config_file(tmp_path, "[service]\npass_env = PATH\n")
    done = check("-c", path)
    assert done.returncode == CONFIG
    assert done.stderr.startswith(f"tacet: {path}:2: pass_env without clear_env = yes has no meaning")


def test_no_source_is_said(tmp_path: Path) -> None:
    """A configuration without secrets is one."""
    done = check("-c", config_file(tmp_path, "[service]\ncommand = /bin/true\n"))
    assert done.returncode == 0
    assert "no source of secrets" in done.stdout


def test_nothing_is_started(vault: Vault, tmp_path: Path) -> None:
    """The command of the file is not run."""
    witness = tmp_path / "witness"
    path = config_file(
        tmp_path,
        f"[service]\ncommand = /usr/bin/touch {witness}\n[source a]\nfrom = age:{vault.document}\n"
        f"[identity i]\nfrom = {vault.identity}\n",
    )
    assert check("-c", path).returncode == 0
    assert not witness.exists()


def test_a_full_output_is_not_a_success(vault: Vault) -> None:
    """Nobody saw the answer."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [TACET, "check", *vault.options], stdout=full, stderr=subprocess.PIPE, env=clean_environment(), timeout=200
        )
    assert done.returncode == 1


def test_a_document_over_the_limit_of_the_file_is_refused(vault: Vault, tmp_path: Path) -> None:
    """The limits of [load] count."""
    vault.write("BIG=" + "x" * 5000 + "\n")
    path = config_file(
        tmp_path,
        f"[load]\nsource_bytes_max = 4K\n[source a]\nfrom = age:{vault.document}\n[identity i]\nfrom = {vault.identity}\n",
    )
    assert check("-c", path).returncode == DATA


@pytest.mark.parametrize("example", sorted((ROOT / "conf/examples").glob("*.ini")), ids=lambda path: path.stem)
def test_an_example_fails_for_its_missing_secrets_alone(example: Path, tmp_path: Path) -> None:
    """Every shipped example is a right configuration, but for its users, which are not here either."""
    lines = example.read_text().splitlines(keepends=True)
    there = [line for line in lines if not line.startswith(("user =", "group =", "supplementary_groups ="))]
    assert check("-c", config_file(tmp_path, "".join(there))).returncode == NO_SOURCE


def test_a_user_that_does_not_exist_is_a_configuration_error(tmp_path: Path) -> None:
    """What `run` would refuse, `check` refuses."""
    done = check("-c", config_file(tmp_path, "[service]\ncommand = /bin/true\nuser = nobody-of-this-name\n"))
    assert done.returncode == CONFIG
    assert "nobody-of-this-name" in done.stderr


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o620, True)])
def test_an_identity_that_others_may_read_or_write_is_a_warning(vault: Vault, mode: int, is_warned: bool) -> None:
    """The configuration is good all the same; a program reads it in `warnings`."""
    vault.identity.chmod(mode)
    done = check(*vault.options)
    assert done.returncode == 0
    assert (f"key '{vault.identity}': its group or others may read or write it (mode {mode:04o})" in done.stderr) == is_warned
    warnings = json.loads(check(*vault.options, "--json").stdout)["warnings"]
    assert len(warnings) == is_warned


def test_a_server_that_is_known_by_name_is_advised(tmp_path: Path) -> None:
    """With the line of its command; a warning is no error, and each of them is for programs as well."""
    path = config_file(tmp_path, "[service]\nadopt = 80\ncommand = /usr/sbin/nginx -c /etc/nginx.conf\n")
    done = check("-c", path, "--json", "--listen", "8080")
    texts = [
        f"{path}:3: nginx cuts off the requests that it works at when it gets SIGTERM: write stop_signal = QUIT",
        f"{path}:3: nginx goes into the background by itself: write -g 'daemon off;' in its command, unless its own "
        "configuration keeps it in the foreground",
    ]
    assert (done.returncode, json.loads(done.stdout)["warnings"]) == (0, texts), done.stderr
    assert all(text in done.stderr for text in texts)
    path = config_file(
        tmp_path, "[service]\nstop_signal = QUIT\nadopt = 80\ncommand = /usr/sbin/nginx -g 'daemon off;'\n"
    )
    assert json.loads(check("-c", path, "--json", "--listen", "8080").stdout)["warnings"] == []


@pytest.mark.parametrize("line", ["[service]\nadopt = 6379", "[rollout]\nstrategy = handoff\nready = exec"])
def test_check_and_run_warn_of_a_program_that_owns_data(tmp_path: Path, line: str) -> None:
    """By its name alone: what stands under it here is a script that ends."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    path = config_file(tmp_path, f"[service]\ncommand = {program}\n" + line.removeprefix("[service]\n") + "\n")
    advice = "redis-server owns data, and its port is the lock of that"
    done = check("-c", path, "--json", "--listen", "8080")
    assert [advice in text for text in json.loads(done.stdout)["warnings"]] == [True]
    done = subprocess.run([TACET, "run", "-c", path], capture_output=True, text=True, timeout=200, env=clean_environment())
    assert (done.returncode, advice in done.stderr) == (3, True), done.stderr
