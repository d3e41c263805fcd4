"""Bundles: entries, proofs, checkpoint, keys and verifier in one file that proves itself offline.

Rules: a bundle is made of the ledger alone, so two made of one checkpoint are the same to the byte.
Where somebody may not read entries of some kinds, their words are left out and their leaves stay:
what is shown is proven, and that nothing lies between is proven too.
"""

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineshaft.core.errors import Refused
from lineshaft.ledger import verify
from lineshaft.ledger.log import Ledger, Proven, Signed

__all__ = ["bundle_of_facts", "bundle_of_range", "item_of"]


def bundle_of_facts(
    ledger: Ledger, ids: Sequence[str], *, since: int | None = None, hidden: Collection[str] = ()
) -> bytes:
    """Return the bundle that proves these Facts, in this order; raise Refused where one is not in
    the ledger, or is of a kind that is `hidden`. `since` is the size of an earlier tree, with which
    the present one is proven to begin."""
    chosen = list(dict.fromkeys(ids))
    signed, found = ledger.prove(chosen)
    if closed := [one.kind for one in found if one.kind in hidden]:
        raise Refused(f"an entry of the kind '{closed[0]}' may not be shown to you", status=403,
                      hint="It needs the right 'audit.read'", code="ledger.hidden")  # fmt: skip
    return _bundle(ledger, signed, {"facts": chosen}, found, since, hidden)


def bundle_of_range(
    ledger: Ledger, start: int, end: int, *, since: int | None = None, hidden: Collection[str] = ()
) -> bytes:
    """Return the bundle that proves the entries [start, end), all of them and nothing between."""
    signed, found = ledger.prove_range(start, end)
    return _bundle(ledger, signed, {"from": start, "to": end}, found, since, hidden)


def item_of(one: Proven, hidden: Collection[str] = ()) -> dict[str, Any]:
    """Return an entry as bundles and doors show it."""
    words = None if one.kind in hidden else one.data.decode()
    return {"index": one.number, "leaf": _b64(one.leaf), "entry": words,
            "proof": [_b64(node) for node in one.proof]}  # fmt: skip


def _bundle(
    ledger: Ledger, signed: Signed, asked: Mapping[str, Any], found: Sequence[Proven],
    since: int | None, hidden: Collection[str],
) -> bytes:  # fmt: skip
    verifier = Path(verify.__file__).read_bytes()
    earlier = None
    if since is not None:
        old, _, proof = ledger.consistency(since, signed.note.size)
        earlier = {"size": since, "root": _b64(old), "proof": [_b64(node) for node in proof]}
    evidence = {
        "form": verify.FORM, "asked": asked, "checkpoint": signed.text, "since": earlier,
        "keys": [item_of(one) for one in ledger.keys(signed)],
        "entries": [item_of(one, hidden) for one in found],
        "verifier": hashlib.sha256(verifier).hexdigest(),
    }  # fmt: skip
    return verify.pack([("evidence.json", verify.plain_json(evidence)), ("verify.py", verifier)])


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
