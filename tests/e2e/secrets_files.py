"""Encrypted files for the tests, made by the real `age`."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Vault:
    """A folder with an identity and an encrypted document that can be replaced."""

    folder: Path
    recipient: str

    @property
    def identity(self) -> Path:
        """The private key."""
        return self.folder / "key.txt"

    @property
    def document(self) -> Path:
        """The encrypted dotenv document."""
        return self.folder / "secrets.env.age"

    @property
    def options(self) -> list[str]:
        """What `tacet run` and `tacet exec` are told."""
        return ["-s", f"age:{self.document}", "-i", str(self.identity)]

    def write(self, text: str) -> None:
        """Encrypt a document and put it in place by rename."""
        self.replace(encrypt(text.encode(), self.recipient))

    def replace(self, content: bytes) -> None:
        """Put any bytes in the document's place by rename."""
        new = self.folder / "new"
        new.write_bytes(content)
        os.replace(new, self.document)


def encrypt(plain: bytes, recipient: str) -> bytes:
    """Encrypt with the real tool."""
    return subprocess.run(["age", "-r", recipient], input=plain, capture_output=True, check=True, timeout=30).stdout


def vault_make(folder: Path, text: str) -> Vault:
    """Make an identity and a first document."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["age-keygen", "-o", str(folder / "key.txt")], capture_output=True, text=True, check=True, timeout=30
    )
    vault = Vault(folder, made.stderr.split("Public key: ")[1].strip())
    vault.write(text)
    return vault
