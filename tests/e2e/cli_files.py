"""What the tests of the secret-file verbs share: a folder with an identity in it, and short ways to call tacet and age."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support import TACET, clean_environment

CANARY = f"canary-{os.urandom(6).hex()}-hunter2"


class Folder:
    """A folder with an identity `key.txt`, in which commands run with a home of their own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / "home"
        self.home.mkdir()
        self.environment = clean_environment({"HOME": str(self.home)})
        self.tacet("keygen", "-o", "key.txt")
        self.recipient = self.tacet("keygen", "-y", "key.txt").stdout.decode().strip()

    def run(
        self,
        *command: str,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        status: int | None = 0,
        **options: object,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; its exit status must be `status` unless that is None."""
        # The leak sanitizer of a test build cannot work under a tracer.
        traced = {"ASAN_OPTIONS": "detect_leaks=0"} if command[0] == "strace" else {}
        done = subprocess.run(
            command,
            input=stdin,
            capture_output="stdout" not in options,
            cwd=self.path,
            env=self.environment | traced | dict(environment or {}),
            timeout=200,
            check=False,
            **(options | ({"stderr": subprocess.PIPE} if "stdout" in options else {})),
        )
        if status is not None:
            assert done.returncode == status, (command[1:3], done.returncode, done.stderr)
        return done

    def tacet(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        """Run a verb."""
        return self.run(TACET, *arguments, **options)

    def fail(self, *arguments: str, status: int | None = None, **options: object) -> str:
        """Run a verb that must fail with one error; return what it said."""
        done = self.tacet(*arguments, status=status, **options)
        assert done.returncode not in (0, -6, -11), done
        message = done.stderr.decode()
        assert message.startswith("tacet: "), message
        return message

    def set(self, name: str, value: str, file: str = "secrets.age", *options: str) -> None:
        """Set one variable through standard input."""
        self.tacet("set", "-i", "key.txt", *options, file, name, stdin=value.encode())

    def read(self, file: str = "secrets.age") -> str:
        """Decrypt with the reference implementation."""
        return self.run("age", "-d", "-i", "key.txt", file).stdout.decode()

    def names(self, file: str = "secrets.age") -> list[str]:
        """The names that `tacet list` shows."""
        data = json.loads(self.tacet("list", "--json", "-i", "key.txt", file).stdout)
        return [variable["name"] for variable in data["variables"]]

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Make a file."""
        path = self.path / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def entries(self) -> list[str]:
        """What lies in the folder, hidden files too."""
        return sorted(os.listdir(self.path))
