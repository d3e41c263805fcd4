"""Entries: what a message of the stream of Facts becomes in the ledger, and nothing else does.

Rules: an entry is made of the message's content alone, so a Fact that comes again, from another
stream or after a restore, is the same entry to the byte. Its id is the Fact's. What is no Fact, or
has no canonical JSON, is entered byte for byte as `raw` with the reason; messages that are gone are
entered as the Fact `history.lost`. So no message goes unmentioned.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lineshaft.bus import Gone, Message
from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.ledger.canonical import canonical

__all__ = ["Entry", "entry_of", "made_of"]

_MOST_KIND: Final = 64
_EPOCH_BITS: Final = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """What is entered: `kind` is that of the Fact, `raw`, or `key`; `data` are the canonical bytes,
    `seq` is epoch and number in the stream in one, 0 for what did not come from it."""

    id: str
    kind: str
    data: bytes
    seq: int = 0


def made_of(content: Mapping[str, Any], seq: int = 0) -> Entry:
    """Return the entry of a content with `id` and `kind`, and with the Fact where it is one."""
    fact = content.get("fact")
    kind = fact["kind"] if fact else content["kind"]
    return Entry(content["id"], kind[:_MOST_KIND], canonical(content), seq)


def entry_of(item: Message | Gone, stream: str, epoch: int) -> Entry:
    """Return what is entered for a message of the stream, or for a hole in it."""
    if isinstance(item, Gone):
        lost = Fact("history.lost", item.at, stream, {"from": item.first, "to": item.last})
        return _of_fact(lost, epoch << _EPOCH_BITS | item.last)
    seq = epoch << _EPOCH_BITS | item.seq
    try:
        return _of_fact(Fact.from_json(item.data), seq)
    except Refused as error:
        why = error.code
    except (UnicodeEncodeError, OverflowError):
        why = "fact.text"
    digest, raw = hashlib.sha256(item.data).hexdigest(), base64.b64encode(item.data).decode()
    content = {"id": f"raw-{digest[:24]}", "kind": "raw", "raw": raw, "why": why}
    return made_of(content, seq)


def _of_fact(fact: Fact, seq: int) -> Entry:
    said = {"kind": fact.kind, "at": fact.at, "subject": fact.subject, "body": fact.body,
            "cause": fact.cause}  # fmt: skip
    return made_of({"id": fact.id, "kind": "fact", "fact": said}, seq)
