"""Reading publish responses straight into columns. Pure: bytes in, columns out.

The library's own reader makes about eight objects a value and gives up a whole notification over
one value that it cannot read. Here a value costs some list entries, and a value of a kind that
nobody expected becomes null and Bad/type while the rest of its notification stays.

Rules: nothing read is trusted (a length beyond the end is a `Malformed`); values nested deeper than
MAX_DEPTH are refused. Clauses are those of OPC UA Part 6 (binary encoding) and Part 4 (services).
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lineshaft.core.quality import BAD, Reason, bad, uncertain
from lineshaft.rooms.connect.protocols.opcua.quality import is_overflow, quality_of

__all__ = ["MAX_TEXT", "Changes", "Malformed", "Notice", "read_publish"]

MAX_TEXT: Final = 1000
MAX_DEPTH: Final = 8
_EPOCH: Final = 116_444_736_000_000_000  # 1970 in 100 ns since 1601 (Part 6, 5.2.2.5)
_NAN: Final = float("nan")
_TYPE: Final = bad(Reason.TYPE)
_DATA_CHANGE, _STATUS_CHANGE = 811, 820  # node ids of the encodings, namespace 0 (Part 6, A.3)

_Unpack = Callable[[bytes, int], tuple[Any, ...]]
_HEAD: Final = struct.Struct("<IB").unpack_from
_I32: Final = struct.Struct("<i").unpack_from
_U32: Final = struct.Struct("<I").unpack_from
_I64: Final = struct.Struct("<q").unpack_from
# Numbers by type byte (Part 6, 5.1.2): how to read one, and its length.
_NUMBERS: Final[dict[int, tuple[_Unpack, int]]] = {
    kind: (struct.Struct("<" + letter).unpack_from, struct.calcsize("<" + letter))
    for kind, letter in enumerate("?bBhHiIqQfd", start=1)
}
_STRING, _DATETIME, _GUID, _BYTES, _XML, _STATUS = 12, 13, 14, 15, 16, 19
_FIXED: Final = {0: 0, _DATETIME: 8, _GUID: 16, _STATUS: 4} | {
    kind: length for kind, (_, length) in _NUMBERS.items()
}
_NODE_IDS: Final = {0: 2, 1: 4, 2: 7, 4: 19}  # by form: length; 3 and 5 carry a string


class Malformed(ValueError):
    """These bytes are no publish response."""


@dataclass(slots=True)
class Changes:
    """Values of one notification as columns; `ts` µs UTC, 0 where the server gave no stamp.

    `overflow` lists rows before which the server lost values.
    """

    handle: list[int] = field(default_factory=list)
    ts: list[int] = field(default_factory=list)
    v: list[float] = field(default_factory=list)
    q: list[int] = field(default_factory=list)
    s: list[str | None] | None = None
    overflow: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Notice:
    """One publish response: `result` the service's status, `changes` None for a sign of life,
    `status` the new status of the subscription where that is what it tells."""

    result: int
    subscription: int = 0
    sequence: int = 0
    published: int = 0
    changes: Changes | None = None
    status: int | None = None


def read_publish(data: bytes, is_text: Sequence[bool]) -> Notice:
    """Read a PublishResponse; `is_text[handle]` says which items carry text.

    Raises Malformed for anything else. Values of handles out of range are left out.
    """
    try:
        return _read(data, is_text)
    except (struct.error, IndexError, ValueError) as error:
        raise Malformed(f"{len(data)} bytes are no publish response: {error}") from None


def _read(data: bytes, is_text: Sequence[bool]) -> Notice:
    pos = _skip_node_id(data, 0)  # type of the response
    result = _U32(data, pos + 12)[0]  # after time stamp and request handle (Part 4, 7.34)
    pos = _skip_diagnostics(data, pos + 16, 0)
    pos = _skip_array(data, pos, _skip_bytes)
    pos = _skip_extension(data, pos)
    if result >> 31:
        return Notice(result)
    notice = Notice(result, _U32(data, pos)[0])
    pos = _skip_array(data, pos + 4, lambda _, at: at + 4) + 1
    notice.sequence, published = _U32(data, pos)[0], _I64(data, pos + 4)[0]
    notice.published = (published - _EPOCH) // 10
    count, pos = _I32(data, pos + 12)[0], pos + 16
    for _ in range(count):
        kind = _encoding_id(data, pos)
        body = _skip_node_id(data, pos) + 1
        end = _skip_extension(data, pos)
        if kind == _DATA_CHANGE:
            notice.changes = notice.changes or Changes()
            _read_changes(data, body + 4, is_text, notice.changes)
        elif kind == _STATUS_CHANGE:
            notice.status = _U32(data, body + 4)[0]
        pos = end
    return notice


def _read_changes(data: bytes, pos: int, is_text: Sequence[bool], into: Changes) -> int:
    """Read a DataChangeNotification (Part 4, 7.25.2)."""
    handles, stamps, values, quality = into.handle, into.ts, into.v, into.q
    known = len(is_text)
    count = _I32(data, pos)[0]
    pos += 4
    for _ in range(count):
        handle, mask = _HEAD(data, pos)  # Part 6, 5.2.2.17
        pos += 5
        value: float = _NAN
        text: str | None = None
        status = q = ts = 0
        if mask & 1:
            number = _NUMBERS.get(data[pos])
            if number is not None and handle < known and not is_text[handle]:
                value = number[0](data, pos + 1)[0]
                pos += 1 + number[1]
            else:
                wants_text = handle < known and bool(is_text[handle])
                text, q, pos = _read_odd(data, pos, wants_text)
        if mask & 2:
            status = _U32(data, pos)[0]
            pos += 4
        if mask & 4:
            ts = _I64(data, pos)[0]
            pos += 8
        if mask & 16:
            pos += 2
        if mask & 8:
            ts = ts or _I64(data, pos)[0]  # no source stamp: the server's
            pos += 8
        if mask & 32:
            pos += 2
        if handle >= known:
            continue
        if status:
            told = quality_of(status)  # what the server says goes before what we find odd
            q = told if told >= BAD else max(q, told)
            if is_overflow(status):
                into.overflow.append(len(handles))
        if q >= BAD:  # a value is not meant to be used then (Part 4, 7.39)
            value, text = _NAN, None
        handles.append(handle)
        stamps.append((ts - _EPOCH) // 10 if ts else 0)
        values.append(value)
        quality.append(q)
        if text is not None or into.s is not None:
            into.s = into.s or []
            into.s.extend([None] * (len(handles) - 1 - len(into.s)))
            into.s.append(text)
    return pos


def _read_odd(data: bytes, pos: int, wants_text: bool) -> tuple[str | None, int, int]:
    """Read a value that is no number where one is wanted, or any where a text is wanted:
    its text, its quality, the position after it."""
    kind = data[pos]
    end = _skip_variant(data, pos, 0)
    if kind == 0:
        return None, bad(Reason.NOT_A_NUMBER), end
    if not wants_text or kind & 0xC0:
        return None, _TYPE, end
    kind &= 0x3F
    if kind in {_STRING, _XML}:
        return *_text_at(data, pos + 1), end
    if kind == 21:  # LocalizedText (Part 6, 5.2.2.14)
        mask, at = data[pos + 1], pos + 2
        at = _skip_bytes(data, at) if mask & 1 else at
        return (*_text_at(data, at), end) if mask & 2 else ("", 0, end)
    if kind == _DATETIME:
        return str((_I64(data, pos + 1)[0] - _EPOCH) // 10), 0, end
    return None, _TYPE, end


def _text_at(data: bytes, pos: int) -> tuple[str, int]:
    length = _I32(data, pos)[0]
    if length <= 0:
        return "", 0
    text = data[pos + 4 : pos + 4 + min(length, 4 * MAX_TEXT)].decode("utf-8", "replace")
    if len(text) > MAX_TEXT or length > 4 * MAX_TEXT:
        return text[:MAX_TEXT], uncertain(Reason.TYPE)  # cut off
    return text, 0


def _checked(data: bytes, pos: int) -> int:
    if pos > len(data):
        raise Malformed("a length reaches beyond the end")
    return pos


def _skip_bytes(data: bytes, pos: int) -> int:
    return _checked(data, pos + 4 + max(0, _I32(data, pos)[0]))


def _skip_array(data: bytes, pos: int, skip: Callable[[bytes, int], int]) -> int:
    count = _I32(data, pos)[0]
    pos += 4
    for _ in range(count):
        pos = _checked(data, skip(data, pos))
    return pos


def _skip_node_id(data: bytes, pos: int) -> int:
    """Skip a NodeId or ExpandedNodeId (Part 6, 5.2.2.9 and 5.2.2.10)."""
    form = data[pos]
    fixed = _NODE_IDS.get(form & 0x3F)
    end = pos + fixed if fixed else _skip_bytes(data, pos + 3)
    end = _skip_bytes(data, end) if form & 0x80 else end
    return _checked(data, end + 4 if form & 0x40 else end)


def _encoding_id(data: bytes, pos: int) -> int:
    form = data[pos]
    if form == 1 and data[pos + 1] == 0:
        return int.from_bytes(data[pos + 2 : pos + 4], "little")
    if form == 2 and data[pos + 1 : pos + 3] == b"\0\0":
        return int(_U32(data, pos + 3)[0])
    return 0


def _skip_extension(data: bytes, pos: int) -> int:
    """Skip an ExtensionObject (Part 6, 5.2.2.15)."""
    pos = _skip_node_id(data, pos)
    return _skip_bytes(data, pos + 1) if data[pos] else pos + 1


def _skip_diagnostics(data: bytes, pos: int, depth: int) -> int:
    """Skip a DiagnosticInfo (Part 6, 5.2.2.12)."""
    mask = data[pos]
    pos += 1 + 4 * (mask & 0x0F).bit_count()
    pos = _skip_bytes(data, pos) if mask & 0x10 else pos
    pos += 4 if mask & 0x20 else 0
    if mask & 0x40:
        if depth >= MAX_DEPTH:
            raise Malformed("diagnostics nested too deep")
        pos = _skip_diagnostics(data, pos, depth + 1)
    return _checked(data, pos)


def _skip_variant(data: bytes, pos: int, depth: int) -> int:
    """Skip a Variant with its array and dimensions (Part 6, 5.2.2.16)."""
    if depth > MAX_DEPTH:
        raise Malformed("values nested too deep")
    mask = data[pos]
    kind = mask & 0x3F
    if mask & 0x80:
        fixed = _FIXED.get(kind)
        if fixed is not None:
            pos = _checked(data, pos + 5 + fixed * max(0, _I32(data, pos + 1)[0]))
        else:
            pos = _skip_array(data, pos + 1, lambda d, at: _skip_value(d, at, kind, depth))
    else:
        pos = _skip_value(data, pos + 1, kind, depth)
    return _skip_array(data, pos, lambda _, at: at + 4) if mask & 0x40 else pos


def _skip_value(data: bytes, pos: int, kind: int, depth: int) -> int:
    fixed = _FIXED.get(kind)
    if fixed is not None:
        return _checked(data, pos + fixed)
    if kind in {17, 18}:
        return _skip_node_id(data, pos)
    if kind == 20:  # QualifiedName
        return _skip_bytes(data, pos + 2)
    if kind == 21:  # LocalizedText
        mask, pos = data[pos], pos + 1
        pos = _skip_bytes(data, pos) if mask & 1 else pos
        return _skip_bytes(data, pos) if mask & 2 else pos
    if kind == 22:
        return _skip_extension(data, pos)
    if kind == 23:  # DataValue
        mask, pos = data[pos], pos + 1
        pos = _skip_variant(data, pos, depth + 1) if mask & 1 else pos
        lengths = ((2, 4), (4, 8), (16, 2), (8, 8), (32, 2))
        return _checked(data, pos + sum(n for bit, n in lengths if mask & bit))
    if kind == 24:
        return _skip_variant(data, pos, depth + 1)
    if kind == 25:
        return _skip_diagnostics(data, pos, depth + 1)
    return _skip_bytes(data, pos)  # String, ByteString, XmlElement and kinds to come (26 … 31)
