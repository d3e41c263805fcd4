"""The key that signs the ledger: made at the first start, kept in the data folder, changed at will.

Rules: each key lies in a file of its own, `keys/ledger-ID.key`, readable by its owner only; which
one is in force says the database, in the transaction that enters the key as an entry. A file that
is not in force is deleted: an old key cannot sign again. A new key is signed by the one before;
where that was lost (a backup without keys), the entry says so by having no signature. A log is
named after its first key, so nobody else's key can open a log of that name.
"""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineshaft.core.errors import Broken
from lineshaft.ledger.verify import PublicKey, key_body
from lineshaft.private import sync_folder, write_private

__all__ = ["KeyFolder", "LogKey", "key_entry"]


@dataclass(frozen=True, slots=True)
class LogKey:
    """A key pair and the name of the log that it signs for."""

    origin: str
    private: Ed25519PrivateKey

    @classmethod
    def first(cls, site: str) -> "LogKey":
        """Make the first key of a site's log, and so the log's name."""
        private = Ed25519PrivateKey.generate()
        digest = hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest()
        return cls(f"lineshaft/{site}/{digest[:16]}", private)

    @classmethod
    def next(cls, origin: str) -> "LogKey":
        """Make another key for a log."""
        return cls(origin, Ed25519PrivateKey.generate())

    @property
    def public(self) -> PublicKey:
        """Return what others may know."""
        return PublicKey(self.origin, self.private.public_key().public_bytes_raw())

    def note(self, size: int, root: bytes, at: int) -> str:
        """Return the signed checkpoint of a tree of `size` entries with this root, at (µs UTC)."""
        body = f"{self.origin}\n{size}\n{_b64(root)}\ntime {at}\n"
        signed = bytes.fromhex(self.public.id) + self.private.sign(body.encode())
        return f"{body}\n— {self.origin} {_b64(signed)}\n"


def key_entry(key: LogKey, at: int, before: LogKey | PublicKey | None) -> dict[str, Any]:
    """Return what is entered for a key: signed by the one before, where that is at hand; of one
    that was lost only the public half is given."""
    public = key.public
    previous = before.public if isinstance(before, LogKey) else before
    entry: dict[str, Any] = {
        "id": f"key-{hashlib.sha256(public.raw).hexdigest()[:24]}", "kind": "key", "at": at,
        "public": str(public), "previous": previous.id if previous else None, "signature": None,
    }  # fmt: skip
    if isinstance(before, LogKey):
        entry["signature"] = _b64(before.private.sign(key_body(entry)))
    return entry


class KeyFolder:
    """The private keys on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, key: LogKey) -> None:
        """Put a key on disk."""
        write_private(self._file(key.public), base64.b64encode(key.private.private_bytes_raw()))
        sync_folder(self._folder)

    def read(self, public: PublicKey) -> LogKey | None:
        """Return the key of this public half, None where it is not here; raise Broken where its
        file holds another or cannot be read."""
        file = self._file(public)
        try:
            private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(file.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _unfit(file) from error
        key = LogKey(public.name, private)
        if key.public != public:
            raise _unfit(file)
        return key

    def keep_only(self, public: PublicKey) -> None:
        """Delete every other key."""
        for file in self._folder.glob("ledger-*.key"):
            if file != self._file(public):
                file.unlink(missing_ok=True)
        sync_folder(self._folder)

    def _file(self, public: PublicKey) -> Path:
        return self._folder / f"ledger-{public.id}.key"


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unfit(file: Path) -> Broken:
    return Broken(f"{file} does not hold the key that signs the ledger",
                  hint="Put the file of a backup in its place, or remove it: a new key is entered",
                  code="ledger.key", retryable=False)  # fmt: skip
