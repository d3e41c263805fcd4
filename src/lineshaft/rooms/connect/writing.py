"""What may be written to machines, and by whom: the verbs `write`, `read` and `beat` of the bus.

Rules: only a source that people opened for writing is written, and only a signal that it feeds; an
id is taken once; what is refused here changed nothing. Whether a write is wise is not judged here:
it comes from the process `decide`, through all its guards. `beat` keeps remote control alive and
can do nothing else: it takes whole numbers and switches only, never a set-point.
"""

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind
from lineshaft.rooms.connect.model import Source
from lineshaft.rooms.connect.protocols.opcua.write import Answer, Writer

__all__ = ["Outlet", "Writing"]

_REMEMBERED: Final = 20_000
_BEATS: Final = 100  # so small that every type of whole number holds it
_BEAT_US: Final = 3_000_000
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outlet:
    """A source that feeds a signal: what people wrote of it, the signal's kind, and the writer of
    its session, None while it is not connected."""

    source: Source
    kind: str
    writer: Writer | None


class Writing:
    """Answers for all sources; `find` returns the outlet of a signal, None where no running source
    feeds it."""

    def __init__(self, find: Callable[[int], Outlet | None]) -> None:
        self._find = find
        self._taken: OrderedDict[str, None] = OrderedDict()

    def verbs(self) -> Mapping[str, Callable[[Body], Awaitable[Body]]]:
        """Return what may be asked, by verb."""
        return {"write": self.write, "read": self.read, "beat": self.beat}

    async def write(self, body: Body) -> Body:
        """Write `{id, sid, value, expires}` once; return `{result, reason, status}`, see Answer."""
        try:
            number, sid = _text(body.get("id")), _whole(body.get("sid"), "sid")
            value, expires = _finite(body.get("value")), _whole(body.get("expires"), "expires")
            writer = self._open(sid).writer
        except Refused as error:
            return asdict(Answer("refused", error.message, error.code))
        if writer is None:
            return asdict(Answer("refused", "the machine is not connected", "write.link"))
        if not self._take(number):
            return asdict(Answer("refused", "this write was given before", "write.again"))
        return asdict(await writer.write(sid, value, expires))

    async def read(self, body: Body) -> Body:
        """Read `{sid}` from the machine; return `{value, text, status}`. Raises Refused where no
        connected source feeds it."""
        sid = _whole(body.get("sid"), "sid")
        outlet = self._find(sid)
        if outlet is None or outlet.writer is None:
            raise Refused(f"no connected source feeds the signal {sid}", code="read.link",
                          hint="Look at its source")  # fmt: skip
        return asdict(await outlet.writer.read(sid))

    async def beat(self, body: Body) -> Body:
        """Write `{number}` to the signal `heartbeat`, and where the signal `wish` is not as
        `remote` says, that too; with `remote` false the heart is left alone. Raises Refused where
        the plant does not take it."""
        heartbeat, wish = body.get("heartbeat"), body.get("wish")
        remote = bool(body.get("remote", True))
        if heartbeat is not None and remote:
            sid = _whole(heartbeat, "heartbeat")
            number = _whole(body.get("number"), "number") % _BEATS
            await self._switch(sid, number % 2 if self._simple(sid) == Kind.BOOL else number)
        if wish is not None:
            sid = _whole(wish, "wish")
            self._simple(sid)
            if (await self.read({"sid": sid}))["value"] != float(remote):
                await self._switch(sid, int(remote))
        return {}

    def _simple(self, sid: int) -> str:
        """Return the kind of a signal of remote control; Refused where it could be a set-point."""
        kind = self._open(sid).kind
        if kind not in (Kind.BOOL, Kind.INT):
            raise Refused(f"the signal {sid} is no heartbeat and no switch", code="write.beat",
                          hint="Take a signal of whole numbers or of yes and no")  # fmt: skip
        return kind

    async def _switch(self, sid: int, value: int) -> None:
        writer = self._open(sid).writer
        if writer is None:
            raise Refused("the machine is not connected", code="write.link")
        answer = await writer.write(sid, float(value), now_us() + _BEAT_US)
        if answer.result != "accepted":
            raise Refused(answer.reason, code=answer.status or "write.beat")

    def _open(self, sid: int) -> Outlet:
        """Return a signal's outlet; Refused where its source is not open for writing."""
        outlet = self._find(sid)
        if outlet is None:
            raise Refused(f"no running source feeds the signal {sid}", code="write.source")
        if not outlet.source.writes:
            raise Refused(f"the source '{outlet.source.name}' is not open for writing",
                          hint="Somebody who may change sources can open it",
                          code="write.closed")  # fmt: skip
        return outlet

    def _take(self, number: str) -> bool:
        """Return whether this id is new; remember it."""
        if number in self._taken:
            return False
        self._taken[number] = None
        if len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
        return True


def _text(given: Any) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= 300:
        raise Refused("a write needs an id", code="write.form")
    return given


def _whole(given: Any, name: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise Refused(f"'{name}' must be a whole number", code="write.form")
    return given


def _finite(given: Any) -> float:
    plain = isinstance(given, int | float) and not isinstance(given, bool)
    if not plain or not math.isfinite(given):
        raise Refused("the value must be a finite number", code="write.form")
    return float(given)
