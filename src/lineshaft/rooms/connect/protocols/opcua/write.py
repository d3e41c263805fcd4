"""Writing and reading single variables through an open session (Part 4, 5.11.2 and 5.11.4).

Rules: a value is sent once, alone in its request, in the type that the variable has, without a
status or a stamp of ours (many servers refuse those); a number that the type cannot hold is refused
and never rounded to another; whatever is not an answer of the server is `unknown`: the value may be
in force or not, and only reading tells. Nothing is retried here.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from lineshaft.clock import now_us
from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.rooms.connect.protocols.opcua.nodeids import resolve
from lineshaft.rooms.connect.protocols.opcua.session import Session

__all__ = ["Answer", "Now", "Writer"]

_WRITE_S: Final = 5.0
_LOOK_S: Final = 2.0
_CAN_WRITE: Final = 0x02  # AccessLevel, CurrentWrite (Part 3, 8.57)
_VARIANTS: Final = ua.VariantType
_INTEGERS: Final = {
    _VARIANTS.SByte: (-(2**7), 2**7 - 1), _VARIANTS.Byte: (0, 2**8 - 1),
    _VARIANTS.Int16: (-(2**15), 2**15 - 1), _VARIANTS.UInt16: (0, 2**16 - 1),
    _VARIANTS.Int32: (-(2**31), 2**31 - 1), _VARIANTS.UInt32: (0, 2**32 - 1),
    _VARIANTS.Int64: (-(2**63), 2**63 - 1), _VARIANTS.UInt64: (0, 2**64 - 1),
}  # fmt: skip
#: What a status of a write means for people; others are told by their name.
_SENTENCES: Final = {
    "BadNotWritable": "the machine does not let this value be written",
    "BadUserAccessDenied": "the user that we sign in as may not write this",
    "BadOutOfRange": "the machine says that the value is out of its range",
    "BadTypeMismatch": "the machine wants a value of another type",
    "BadInvalidState": "the machine does not take it in its present state; is it under remote "
    "control?",
    "BadWriteNotSupported": "the machine cannot take a value written like this",
    "BadNodeIdUnknown": "the machine does not know this variable any more",
    "BadOutOfService": "the machine is out of service",
    "BadDeviceFailure": "the device behind the server has failed",
    "BadTooManyOperations": "the machine is too busy",
}
#: Bad results after which the value may be in force all the same (Part 4, 7.39.2).
_UNSURE: Final = frozenset({
    "BadTimeout", "BadRequestTimeout", "BadUnexpectedError", "BadInternalError",
    "BadCommunicationError", "BadNoCommunication", "BadConnectionClosed", "BadShutdown",
    "BadRequestInterrupted", "BadUnknownResponse",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a write. `result`: accepted; refused or expired, where nothing changed for
    certain; unknown, where only reading tells. `status` is the server's own word."""

    result: str
    reason: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """What a variable has now: a number or a text; neither where `status` is bad."""

    value: float | None
    text: str | None
    status: str


@dataclass(frozen=True, slots=True)
class _Target:
    node: Any
    kind: Any
    writable: bool


class Writer:
    """Writes and reads what a session's source feeds, by sid; `items` are (node id, sid, kind)."""

    def __init__(self, session: Session, items: Sequence[tuple[str, int, str]]) -> None:
        self._session = session
        self._names = {sid: node for node, sid, _ in items}
        self._namespaces: list[str] | None = None
        self._targets: dict[int, _Target] = {}

    def feeds(self, sid: int) -> bool:
        """Return whether this signal is one of the source's."""
        return sid in self._names

    async def write(self, sid: int, value: float, expires: int) -> Answer:
        """Write a number once, unless the time is past `expires` (µs) by then."""
        try:
            target = await self._target(sid)
            sent = _typed(value, target.kind)
        except Refused as error:
            return Answer("refused", error.message, error.code)
        except LineshaftError as error:  # nothing was sent yet
            return Answer("refused", f"the machine does not answer: {error.message}", error.code)
        if not target.writable:
            return Answer("refused", _SENTENCES["BadNotWritable"], "BadNotWritable")
        if now_us() >= expires:
            return Answer("expired", "it expired before it reached the machine")
        return await self._send(target, sent)

    async def _send(self, target: _Target, value: Any) -> Answer:
        request = ua.WriteRequest()
        request.Parameters.NodesToWrite = [
            ua.WriteValue(
                NodeId=target.node,
                AttributeId=ua.AttributeIds.Value,
                Value=ua.DataValue(ua.Variant(value, target.kind), StatusCode=None),
            )
        ]
        try:
            answer: Any = await self._session.call(request, ua.WriteResponse, _WRITE_S)
            (status,) = answer.Results
        except LineshaftError as error:
            return Answer("unknown", error.message, error.code)
        except ValueError:
            return Answer("unknown", "the server answered for other nodes than asked")
        name = str(status.name)
        if status.is_good():
            return Answer("accepted", "the machine clamped it" if "Clamped" in name else "", name)
        reason = _SENTENCES.get(name, f"the machine says {name}")
        return Answer("unknown" if name in _UNSURE else "refused", reason, name)

    async def read(self, sid: int) -> Now:
        """Read what the machine has now, from the device and not from a cache. Raises Refused where
        the variable is not known, Broken where the machine does not answer."""
        (found,) = await self._look([(await self._node(sid), ua.AttributeIds.Value)])
        status = found.StatusCode or ua.StatusCode()
        value = None if found.Value is None else found.Value.Value
        if status.is_bad() or value is None or isinstance(value, list):
            return Now(None, None, str(status.name))
        if isinstance(value, int | float):
            number = float(value)
            return Now(number if math.isfinite(number) else None, None, str(status.name))
        return Now(None, str(getattr(value, "Text", value))[:1000], str(status.name))

    async def _node(self, sid: int) -> Any:
        if self._namespaces is None:
            self._namespaces = await self._session.namespaces()
        node = resolve(self._names[sid], self._namespaces)
        if node is None:
            raise Refused(_SENTENCES["BadNodeIdUnknown"], code="BadNodeIdUnknown")
        return node

    async def _target(self, sid: int) -> _Target:
        """Look up, once a session, of which type a variable is and whether we may write it."""
        known = self._targets.get(sid)
        if known is not None:
            return known
        node = await self._node(sid)
        wanted = (ua.AttributeIds.Value, ua.AttributeIds.DataType, ua.AttributeIds.UserAccessLevel)
        value, declared, access = await self._look([(node, attribute) for attribute in wanted])
        kind = _kind(value.Value, None if declared.Value is None else declared.Value.Value)
        level = None if access.Value is None else access.Value.Value
        target = _Target(node, kind, level is None or bool(int(level) & _CAN_WRITE))
        self._targets[sid] = target
        return target

    async def _look(self, wanted: list[tuple[Any, Any]]) -> list[Any]:
        return await self._session.read(wanted, _LOOK_S)


def _kind(value: Any, declared: Any) -> Any:
    """Return the type to write: that of the present value, else the declared one."""
    if value is not None and value.Value is not None:
        if value.is_array or isinstance(value.Value, list):
            raise Refused("a list of values cannot be written", code="write.type")
        return value.VariantType
    try:
        return ua.VariantType(int(declared.Identifier))
    except (AttributeError, TypeError, ValueError):
        raise Refused("the machine does not say of which type the value is",
                      code="write.type") from None  # fmt: skip


def _typed(value: float, kind: Any) -> Any:
    """Return the number as this type; raise Refused where the type cannot hold it exactly (a
    Float: to its own precision).

    >>> _typed(3.0, ua.VariantType.Int16), _typed(1.0, ua.VariantType.Boolean)
    (3, True)
    """
    if kind == _VARIANTS.Double and math.isfinite(value):
        return float(value)
    if kind == _VARIANTS.Float and abs(value) <= 3.4028234e38:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    if kind == _VARIANTS.Boolean and value in (0.0, 1.0):
        return bool(value)
    if kind in _INTEGERS and math.isfinite(value) and value == int(value):
        low, high = _INTEGERS[kind]
        if low <= int(value) <= high:
            return int(value)
    raise Refused(f"{value:g} is no value of the type {kind.name}", code="write.type")
