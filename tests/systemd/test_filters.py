"""tacet below the system call filters that hardened units have, whether these kill or refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from machine import Machine
from test_systemd import Service, make, wait_until

__all__ = ["make"]

# What `systemd-analyze security` advises, alone and together. Of systemd 252 the groups that are allowed have neither landlock nor
# seccomp(2) nor memfd_secret(2), of 257 (@sandbox in @default) only the last one is missing; capset(2) is in a group that is forbidden.
FILTERS = {
    "system-service": "SystemCallFilter=@system-service",
    "not-privileged": "SystemCallFilter=~@privileged",
    "both": "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources",
}
USERS = {"root": "", "nobody": "User=nobody"}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("answer", ["SIGSYS", "EPERM"])
@pytest.mark.parametrize("name", FILTERS)
def test_secrets_load_below_a_system_call_filter(
    machine: Machine, make: Callable[..., Service], name: str, answer: str, user: str
) -> None:
    """What is missing is named once, and the rest confines the loader as before."""
    refuses = "SystemCallErrorNumber=EPERM" if answer == "EPERM" else ""
    drop_in = f"[Service]\n{FILTERS[name]}\n{refuses}\n{USERS[user]}\nRuntimeDirectory=%i\n"
    service = make(drop_in=drop_in, address="/run/{name}/socket")
    service.systemctl("start")
    assert service.password() == "first"
    service.write_secrets("PASSWORD=second\n")
    service.systemctl("reload")
    wait_until(lambda: service.password() == "second", "the app has the new secret")
    journal = service.journal()
    lists, drops = name != "not-privileged", name != "system-service"
    has_landlock = "@sandbox" in machine.run("systemd-analyze", "syscall-filter", "@default")
    kills = answer == "SIGSYS"
    assert journal.count("forbids landlock(7)") == (lists and kills and not has_landlock), journal
    assert journal.count("forbids memfd_secret(2)") == (lists and kills), journal
    assert journal.count("forbids capset(2)") == (drops and kills and user == "root"), journal
    assert "without an answer" not in journal


@pytest.mark.parametrize(("key", "step"), [("user = nobody", "set its supplementary groups"), ("umask = 0027", "set its umask")])
def test_the_step_that_a_system_call_filter_ends_is_named(make: Callable[..., Service], key: str, step: str) -> None:
    """The shim cannot do without what the configuration asks for: the start fails, and says of what."""
    calls = "~@setuid" if key.startswith("user") else "~umask"
    service = make(service=key, drop_in=f"[Service]\nSystemCallFilter={calls}\n")
    done = service.machine.call("systemctl", "start", service.unit)
    assert done.returncode != 0
    journal = service.journal()
    assert "status=125" in journal  # the unit starts it again, and its properties are those of the new one
    assert f"ended it with SIGSYS when it was to {step}" in journal
    assert f"SystemCallFilter={'@setuid' if key.startswith('user') else 'umask'} allows it" in journal


def test_exec_names_the_step_too(machine: Machine) -> None:
    """`tacet exec` tries it in a child, since nobody is left to tell afterwards."""
    command = "/usr/bin/tacet exec --user nobody -- /bin/echo started"
    unit = f"[Service]\nType=oneshot\nSystemCallFilter=~@setuid\nExecStart={command}\n"
    machine.write("/etc/systemd/system/becoming.service", unit)
    machine.run("systemctl", "daemon-reload")
    assert machine.call("systemctl", "start", "becoming").returncode != 0
    journal = machine.run("journalctl", "--no-pager", "-o", "cat", "-u", "becoming")
    assert "ended it with SIGSYS when it was to set its supplementary groups" in journal
    assert "\nstarted" not in journal
    assert machine.run("systemctl", "show", "--value", "-p", "ExecMainStatus", "becoming").strip() == "125"
