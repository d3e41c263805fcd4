"""Fact: something that happened, in the past tense, linked to its cause.

A Fact's id is made from its content, so that a Fact published again after a crash is recognised.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lineshaft.core.errors import Refused

__all__ = ["AUDIT_KINDS", "Fact"]

AUDIT_KINDS = ("audit.called", "audit.refused")  # who did what: not for every reader of Facts

_MAX_BYTES = 256 * 1024
_TYPES = {
    "kind": (str,), "at": (int,), "subject": (str,), "body": (dict,), "cause": (str, type(None)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """`kind` is `noun.past` (`link.lost`), `at` µs UTC, `subject` what it is about."""

    kind: str
    at: int
    subject: str
    body: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None

    @property
    def id(self) -> str:
        """Return the same id for the same content, in any process."""
        return hashlib.blake2b(self.to_json(), digest_size=12).hexdigest()

    def to_json(self) -> bytes:
        """Return the canonical JSON: sorted keys, no spaces."""
        content = {
            "kind": self.kind, "at": self.at, "subject": self.subject,
            "body": dict(self.body), "cause": self.cause,
        }  # fmt: skip
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> "Fact":
        """Parse and check; raise Refused for anything that is not a Fact."""
        if len(raw) > _MAX_BYTES:
            raise Refused(f"a fact of {len(raw)} bytes is too long", code="fact.size")
        try:
            content = {"cause": None} | json.loads(raw)
            fact = cls(**{name: content[name] for name in _TYPES})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Refused(f"this is not a fact: {error!r}"[:300], code="fact.form") from error
        for name, types in _TYPES.items():
            if type(content[name]) not in types:
                raise Refused(f"this is not a fact: its '{name}' is of another type",
                              code="fact.form")  # fmt: skip
        return fact
