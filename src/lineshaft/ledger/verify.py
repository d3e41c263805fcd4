"""Check a bundle of evidence, offline: `python verify.py BUNDLE [--key KEY] [--since CHECKPOINT]`.

This file runs alone: it needs Python 3.11 and the package `cryptography`, nothing of the platform.
Rules: whatever a bundle says is checked or refused; there is no field, and no byte, that nothing
depends on. A bundle proves that its entries stand in a log at a place and in the words shown, and
that the log's key signed the whole of it. It cannot prove that its key is the platform's: give that
with --key, learnt in another way. Exit codes: 0 all holds, 1 something was tampered with, 2 the
bundle, key or checkpoint cannot be read as one.

Sources: RFC 6962 section 2.1 (tree, proofs), RFC 9162 sections 2.1.3.2 and 2.1.4.2 (how they are
verified), C2SP signed-note and tlog-checkpoint (what is signed).
"""

import argparse
import base64
import binascii
import hashlib
import io
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = [
    "FORM", "Note", "PublicKey", "Tampered", "Unreadable", "check_consistency", "key_body",
    "leaf_hash", "main", "node_hash", "pack", "parse_note", "plain_json", "root_of_inclusion",
    "unpack", "verify",
]  # fmt: skip

FORM = "lineshaft evidence 1"
_EVIDENCE, _VERIFIER = "evidence.json", "verify.py"
_MOST_BYTES = 1 << 30


class Tampered(Exception):
    """Something does not hold; the text says what and where."""


class Unreadable(Exception):
    """This is no bundle, key or checkpoint at all."""


# --- the tree (RFC 6962, section 2.1) ---------------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two subtrees side by side."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that a leaf at `index` of `size` gives with its audit path; raise Tampered
    where a path of this length cannot be one (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Tampered(f"entry {index} is not in a tree of {size}")
    place, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise Tampered(f"the proof of entry {index} is too long")
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise Tampered(f"the proof of entry {index} is too short")
    return root


def check_consistency(
    first: int, second: int, old: bytes, new: bytes, proof: Sequence[bytes]
) -> None:
    """Raise Tampered where a tree of `second` leaves with the root `new` does not begin with that
    of `first` leaves and the root `old` (RFC 9162, 2.1.4.2)."""
    where = f"the tree of {second} does not begin with that of {first}"
    if not 0 < first <= second:
        raise Tampered(f"no tree of {second} begins with one of {first}")
    if first == second:
        if proof or old != new:
            raise Tampered(f"there are two trees of {first}")
        return
    path = [old, *proof] if first & (first - 1) == 0 else list(proof)
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not path:
        raise Tampered(f"{where}: its proof is too short")
    before = after = path[0]
    for node in path[1:]:
        if last == 0:
            raise Tampered(f"{where}: its proof is too long")
        if place & 1 or place == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, node)
        place, last = place >> 1, last >> 1
    if last or before != old or after != new:
        raise Tampered(where)


# --- keys and checkpoints (C2SP signed-note, tlog-checkpoint) ---------------------------------


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 key by its name; written `NAME+ID+BASE64`, the ID made from both."""

    name: str
    raw: bytes

    @property
    def id(self) -> str:
        """Return the eight hex digits by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.raw).hexdigest()[:8]

    def __str__(self) -> str:
        encoded = _b64(b"\x01" + self.raw)
        return f"{self.name}+{self.id}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Read a key; raise Unreadable where it is none."""
        name, _, rest = text.strip().partition("+")
        number, _, encoded = rest.partition("+")
        try:
            content = _unb64(encoded)
        except ValueError:
            content = b""
        key = cls(name, content[1:])
        if len(content) != 33 or content[0] != 1 or key.id != number or not name:
            raise Unreadable(f"'{text.strip()[:80]}' is no key (NAME+ID+BASE64)")
        return key

    def holds(self, signature: bytes, text: bytes) -> bool:
        """Return whether this key signed the text."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Note:
    """A checkpoint: the log `origin` had `size` entries and this root at `at` (µs UTC)."""

    origin: str
    size: int
    root: bytes
    at: int
    body: str
    key_id: str
    signature: bytes

    def check(self, key: PublicKey) -> None:
        """Raise Tampered where this key did not sign it."""
        if (self.origin, self.key_id) != (key.name, key.id):
            raise Tampered(f"the checkpoint is signed by key {self.key_id} of '{self.origin}', not "
                           f"by {key.id} of '{key.name}'")  # fmt: skip
        if not key.holds(self.signature, self.body.encode()):
            raise Tampered(f"the signature of the checkpoint of {self.size} entries is wrong")


def parse_note(text: str) -> Note:
    """Read a checkpoint with its one signature; raise Unreadable where it is not in form."""
    try:
        origin, size, root, time, empty, line, end = text.split("\n")
        dash, name, encoded = line.split(" ")
        stamp, at = time.split(" ")
        signed = _unb64(encoded)
        note = Note(origin, _digits(size), _unb64(root), _digits(at), text.partition("\n\n")[0] +
                    "\n", signed[:4].hex(), signed[4:])  # fmt: skip
    except ValueError as error:
        raise Unreadable(f"the checkpoint is not in form: {error}") from None
    fixed = (dash, name, stamp, empty, end) == ("—", origin, "time", "", "")
    if not fixed or len(note.root) != 32 or len(signed) != 68 or not origin:
        raise Unreadable("the checkpoint is not in form")
    return note


def key_body(entry: dict[str, Any]) -> bytes:
    """Return what the key before signs when a new one is entered: all but the signature."""
    return plain_json({name: value for name, value in entry.items() if name != "signature"})


# --- the bundle: a zip file that could not be written otherwise -------------------------------


def plain_json(content: Any) -> bytes:
    """Return the canonical JSON (RFC 8785) of what holds no fractions and only ASCII names."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def pack(members: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a zip archive, stored, without times: the same members give the same bytes."""
    out, directory = io.BytesIO(), b""
    for name, content in members:
        # Version 2.0, names in UTF-8, stored, 1980-01-01.
        common = struct.pack("<HHHHHIIIHH", 20, 0x800, 0, 0, 0x21, zlib.crc32(content),
                             len(content), len(content), len(name.encode()), 0)  # fmt: skip
        place = struct.pack("<HHHII", 0, 0, 0, 0o600 << 16, out.tell())
        directory += b"PK\1\2" + struct.pack("<H", 0x314) + common + place + name.encode()
        out.write(b"PK\3\4" + common + name.encode() + content)
    start = out.tell()
    counts = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), start, 0)
    return out.getvalue() + directory + b"PK\5\6" + counts


def unpack(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the evidence and the verifier of a bundle; raise Unreadable or Tampered."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if archive.namelist() != [_EVIDENCE, _VERIFIER]:
                raise Tampered(f"the bundle does not hold {_EVIDENCE} and {_VERIFIER} alone")
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise Unreadable("the bundle is too large")
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, EOFError, RuntimeError, OSError, ValueError,
            struct.error, zlib.error, UnicodeError, OverflowError) as error:  # fmt: skip
        raise Unreadable(f"this is no whole bundle: {error}") from None
    if pack(members) != raw:
        differs = next((i for i, (a, b) in enumerate(zip(pack(members), raw, strict=False))
                        if a != b), min(len(raw), len(pack(members))))  # fmt: skip
        raise Tampered(f"the archive was changed at byte {differs}")
    return _read_json(members[0][1]), members[1][1]


def _read_json(raw: bytes) -> dict[str, Any]:
    try:
        content = json.loads(raw)
        again = plain_json(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{_EVIDENCE} cannot be read: {error}") from None
    if again != raw:
        raise Tampered(f"{_EVIDENCE} is not written as the platform writes it")
    if not isinstance(content, dict) or content.get("form") != FORM:
        raise Unreadable(f"{_EVIDENCE} is not of the form '{FORM}'")
    return content


# --- what must hold ---------------------------------------------------------------------------


def verify(
    raw: bytes, key: PublicKey | None = None, since: Note | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Check all of a bundle; return its entries as they were entered (those whose words are
    withheld without them) and what holds, a sentence each. Raise Tampered or Unreadable."""
    evidence, verifier = unpack(raw)
    try:
        _check_form(evidence)
        if hashlib.sha256(verifier).hexdigest() != evidence["verifier"]:
            raise Tampered(f"{_VERIFIER} in the bundle is not the one that was packed")
        note = parse_note(evidence["checkpoint"])
        said = [f"The log '{note.origin}' had {note.size:,} entries at {_time(note.at)}."]
        said += _check_keys(evidence["keys"], note, key)
        said += _check_since(evidence["since"], note, since)
        entries = [_check_item(item, note, "entry") for item in evidence["entries"]]
        said += _check_asked(evidence["asked"], entries, note)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise Tampered(f"{_EVIDENCE} is not in form: {error!r}"[:200]) from None
    return entries, said


def _check_form(evidence: dict[str, Any]) -> None:
    names = {"form", "asked", "checkpoint", "since", "keys", "entries", "verifier"}
    if set(evidence) != names:
        raise Tampered(f"{_EVIDENCE} has other fields than {', '.join(sorted(names))}")


def _check_item(item: dict[str, Any], note: Note, what: str) -> dict[str, Any]:
    """Return an entry that stands in the tree at its place, as it was entered."""
    if set(item) != {"index", "leaf", "entry", "proof"} or type(item["index"]) is not int:
        raise Tampered(f"{what} {item.get('index')!r}: it is not in form")
    index, leaf, text = item["index"], _unb64(item["leaf"]), item["entry"]
    if text is not None and leaf_hash(text.encode()) != leaf:
        raise Tampered(f"{what} {index}: its words were changed; they do not give its leaf")
    proof = [_unb64(one) for one in item["proof"]]
    if root_of_inclusion(index, note.size, leaf, proof) != note.root:
        raise Tampered(f"{what} {index}: it is not in the tree of {note.size} entries at this place"
                       ", or its proof was changed")  # fmt: skip
    if text is None:
        return {"index": index, "withheld": True}
    content = json.loads(text)
    if not isinstance(content, dict) or not isinstance(content.get("id"), str):
        raise Tampered(f"{what} {index}: it is no entry")
    return {**content, "index": index, "withheld": False}


def _check_keys(items: list[Any], note: Note, trusted: PublicKey | None) -> list[str]:
    """Check the line of keys from the log's first to the one that signed the checkpoint."""
    if not items:
        raise Tampered("the bundle lacks the log's first key")
    key: PublicKey | None = None
    said, vouched, last = [], trusted is None, -1
    for item in items:
        entry = _check_item(item, note, "key entry")
        if entry["withheld"] or entry.get("kind") != "key" or entry["index"] <= last:
            raise Tampered(f"key entry {entry['index']}: it is no key, or not in order")
        last, made = entry["index"], _key_of(entry)
        is_signed = _follows(entry, made, key, note)
        if trusted is not None:
            vouched = made == trusted or (vouched and is_signed)
        if key is not None and not is_signed:
            said.append(f"CAUTION: key {made.id} replaced key {key.id} at entry {last} without its "
                        "signature: the key before was lost.")  # fmt: skip
        key = made
    assert key is not None
    note.check(key)
    if trusted is not None and not vouched:
        raise Tampered(f"nothing leads from the key that you trust ({trusted.id}) to the one that "
                       f"signed ({key.id})")  # fmt: skip
    how = "the bundle itself brought it: compare it with one that you got in another way"
    if trusted is not None:
        how = "you gave it, or it follows from the one you gave"
    return [*said, f"The checkpoint is signed by key {key.id}; {how}.", f"  {key}"]


def _key_of(entry: dict[str, Any]) -> PublicKey:
    index = entry["index"]
    names = {"index", "withheld", "id", "kind", "at", "previous", "public", "signature"}
    if set(entry) != names:
        raise Tampered(f"key entry {index}: it has other fields than a key")
    try:
        key = PublicKey.parse(entry["public"])
    except Unreadable as error:
        raise Tampered(f"key entry {index}: {error}") from None
    if str(key) != entry["public"]:
        raise Tampered(f"key entry {index}: its key is not written as it should be")
    return key


def _follows(entry: dict[str, Any], key: PublicKey, before: PublicKey | None, note: Note) -> bool:
    """Return whether the key before signed this one; raise Tampered where it cannot follow it."""
    index = entry["index"]
    if key.name != note.origin:
        raise Tampered(f"key entry {index}: it is the key of '{key.name}'")
    if before is None:
        owned = note.origin.endswith("/" + hashlib.sha256(key.raw).hexdigest()[:16])
        alone = (index, entry["previous"], entry["signature"]) == (0, None, None)
        if not owned or not alone:
            raise Tampered("key entry 0: it is not the first key of this log")
        return True
    if entry["previous"] != before.id:
        raise Tampered(f"key entry {index}: it follows key {entry['previous']}, not {before.id}")
    if entry["signature"] is None:
        return False
    body = {n: v for n, v in entry.items() if n not in {"index", "withheld"}}
    if not before.holds(_unb64(entry["signature"]), key_body(body)):
        raise Tampered(f"key entry {index}: the key before did not sign it")
    return True


def _check_since(given: Any, note: Note, since: Note | None) -> list[str]:
    """Check that the tree begins with an earlier one: the bundle's, and the one that is known."""
    if given is not None:
        if set(given) != {"size", "root", "proof"}:
            raise Tampered("'since' is not in form")
        proof = [_unb64(one) for one in given["proof"]]
        check_consistency(given["size"], note.size, _unb64(given["root"]), note.root, proof)
    if since is None:
        return [] if given is None else [f"It begins with its earlier tree of {given['size']:,}."]
    if since.origin != note.origin:
        raise Tampered(f"your checkpoint is of another log, '{since.origin}'")
    if note.size < since.size:
        raise Tampered(f"this is an older tree ({note.size} entries) than the one that you know "
                       f"({since.size})")  # fmt: skip
    if note.size == since.size:
        if note.root != since.root:
            raise Tampered(f"there are two trees of {note.size}: yours and the bundle's")
        return ["It is the tree that you know."]
    if given is None or given["size"] != since.size:
        raise Unreadable(f"the bundle has no proof that leads from your tree of {since.size}; "
                         f"export it with since={since.size}")  # fmt: skip
    if _unb64(given["root"]) != since.root:
        raise Tampered(f"the log was rewritten: its first {since.size} entries are not those that "
                       "you know")  # fmt: skip
    return [f"It begins with the tree of {since.size:,} that you know: nothing was rewritten."]


def _check_asked(asked: Any, entries: list[dict[str, Any]], note: Note) -> list[str]:
    """Check that the entries are those that the bundle was asked for, all and no others."""
    numbers = [entry["index"] for entry in entries]
    withheld = sum(entry["withheld"] for entry in entries)
    if set(asked) == {"from", "to"}:
        first, end = asked["from"], asked["to"]
        if not 0 <= first < end <= note.size or len(entries) != end - first:
            raise Tampered(f"entries {first} to {end} were asked for; there are {len(entries)}")
        for wanted, number in enumerate(numbers, first):
            if wanted != number:
                raise Tampered(f"entry {wanted} is missing; entry {number} is in its place")
        said = f"All entries from {first:,} to {end - 1:,} are in it as they were entered"
    elif set(asked) == {"facts"}:
        if [entry.get("id") for entry in entries] != asked["facts"] or not entries:
            raise Tampered("the entries are not the Facts that were asked for")
        if len(set(numbers)) != len(numbers):
            raise Tampered("a Fact is there twice")
        said = f"{len(entries):,} Facts are in it as they were entered"
    else:
        raise Tampered("'asked' is not in form")
    more = f"; of {withheld:,} only the hash is shown, their words are withheld" if withheld else ""
    return [f"{said}{more}."]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: str) -> bytes:
    """Return the bytes; raise ValueError for a text that another text stands for as well."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from None
    if _b64(raw) != text:
        raise ValueError("base64 that is not written as it should be")
    return raw


def _digits(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or text != str(int(text)) or len(text) > 18:
        raise ValueError(f"'{text[:20]}' is no number")
    return int(text)


def _time(at: int) -> str:
    try:
        return datetime.fromtimestamp(at / 1e6, UTC).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return f"{at} µs"


# --- the command ------------------------------------------------------------------------------


def _given(text: str) -> str:
    """Return the content of a file of this name, or the text itself."""
    path = Path(text)
    try:
        return path.read_text("utf-8") if path.is_file() else text
    except OSError:
        return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="verify.py", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--key", help="the log's public key, NAME+ID+BASE64, or a file with it")
    parser.add_argument("--since", help="a file with an earlier checkpoint of this log")
    parser.add_argument("--show", action="store_true", help="print the entries too")
    given = parser.parse_args(arguments)
    try:
        key = PublicKey.parse(_given(given.key)) if given.key else None
        since = parse_note(_given(given.since)) if given.since else None
        entries, said = verify(given.bundle.read_bytes(), key, since)
    except Tampered as error:
        print(f"TAMPERED: {error}")
        return 1
    except (Unreadable, OSError, UnicodeError) as error:
        print(f"NOT READABLE: {error}")
        return 2
    print("\n".join(said))
    for entry in entries if given.show else ():
        print(json.dumps(entry, ensure_ascii=False))
    print("ALL HOLDS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
