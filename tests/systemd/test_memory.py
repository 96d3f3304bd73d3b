"""The memory of a tacet that systemd starts for a user: see tests/e2e/test_installed.py."""

from __future__ import annotations

from machine import Machine

UNIT = """
[Service]
Type=oneshot
User=nobody
StandardOutput=file:/run/memory-owner
ExecStart=/usr/local/bin/dumpable tacet /usr/bin/tacet --version
"""


def memory_owner(machine: Machine) -> str:
    """Who owns /proc/PID/mem before the first instruction of a tacet that systemd starts."""
    machine.path("/run/memory-owner").unlink(missing_ok=True)
    machine.run("systemctl", "start", "memory-owner.service")
    return machine.path("/run/memory-owner").read_text().split()[1]


def test_a_tacet_of_a_user_is_undumpable_from_the_start(machine: Machine) -> None:
    """User= leaves no capability with which the program could be read, so root owns its memory at execve(2)."""
    program = machine.path("/usr/bin/tacet")
    machine.write("/etc/systemd/system/memory-owner.service", UNIT)
    machine.run("systemctl", "daemon-reload")
    assert memory_owner(machine) == "0"
    try:
        program.chmod(0o755)
        assert memory_owner(machine) == "65534"
    finally:
        program.chmod(0o711)
