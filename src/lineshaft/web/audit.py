"""The audit: every mutating call and every refusal becomes a Fact on the bus.

Rules. A Fact says who, by session, token or key, called which operation at which path, from which
address, and how it ended; never a body, a query or a secret. It is made when the call has ended and
waits in a queue until the bus has it on disk, in order, however long the bus is away; the call
itself does not wait. A mutating call takes its place in the queue before it runs: where there is
none, it is refused (503) and nothing is changed. So nothing is lost but what a killed web process
still held. Refusals (401, 403, 429) are cheap to cause: alike ones within a minute are counted in
one Fact; of each person, and of nobody, some hundred different ones are told apart an hour, the
rest are counted together. They never take a mutating call's last places, and are dropped where only
those are left.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken
from lineshaft.core.facts import Fact
from lineshaft.web.throttle import network_of

__all__ = ["Audit", "Call"]

_MOST: Final = 5_000
_FOR_CALLS: Final = 1_000
_WINDOW_S: Final = 60.0
_TELL_APART: Final = 200
_REFILL_S: Final = 10.0
_PAUSE_S: Final = 1.0
_DRAIN_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it ended."""

    who: str
    by: str
    operation: str
    method: str
    path: str
    status: int
    code: str
    address: str

    def fact(self, kind: str, at: int, more: dict[str, Any]) -> Fact:
        """Return the Fact that tells of it."""
        body = {
            "by": self.by, "operation": self.operation, "method": self.method,
            "subject": _told(self.path), "status": self.status, "code": self.code,
            "address": self.address, **more,
        }  # fmt: skip
        return Fact(kind, at, self.who, body)


@dataclass(slots=True)
class _Alike:
    """Refusals of one sort since the first, which was told at once."""

    call: Call
    since: float
    start: int
    end: int = 0
    count: int = field(default=0)


class Audit:
    """Takes calls down; `tell` puts a Fact on disk and may take as long as the bus is away."""

    def __init__(self, tell: Callable[[Fact], Awaitable[None]]) -> None:
        self._tell = tell
        self._queue: deque[Fact] = deque()
        self._taken = 0
        self._alike: dict[tuple[object, ...], _Alike] = {}
        self._left: dict[str, tuple[float, float]] = {}
        self._last_at = 0
        self._wake = asyncio.Event()

    def take_place(self) -> None:
        """Take a place in the queue for a call that is about to run; Broken where there is none."""
        if len(self._queue) + self._taken >= _MOST:
            raise Broken("the audit cannot be written now, so nothing may be changed",
                         hint="The bus is away or full; `lineshaft check` and its log say more",
                         code="audit.full")  # fmt: skip
        self._taken += 1

    def give_back(self) -> None:
        """Give the place back: the call was refused."""
        self._taken -= 1

    def called(self, call: Call) -> None:
        """Take down a call that had a place."""
        self.give_back()
        self._put(call.fact("audit.called", self._now(), {}))

    def refused(self, call: Call) -> None:
        """Take down a refusal, told at once or counted with others like it."""
        sort: tuple[object, ...] = (
            call.who, call.by, call.operation, call.status, network_of(call.address)
        )  # fmt: skip
        known = self._alike.get(sort)
        if known is None and not self._tells_apart(call.who):
            call = replace(call, by="", operation="", method="", path="", code="", address="")
            sort = (call.who, call.status)
            known = self._alike.setdefault(sort, _Alike(call, monotonic_s(), now_us()))
        if known is None:
            self._alike[sort] = _Alike(call, monotonic_s(), now_us())
            self._put_refusal(call.fact("audit.refused", self._now(), {"count": 1}))
            return
        known.count, known.end = known.count + 1, now_us()

    def _tells_apart(self, who: str) -> bool:
        """Return whether one more sort of refusal of this person, or of nobody, is told by itself;
        nobody's flood does not hide a person's."""
        now = monotonic_s()
        left, since = self._left.pop(who, (float(_TELL_APART), now))
        left = min(left + (now - since) / _REFILL_S, float(_TELL_APART))
        self._left[who] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _MOST:
            del self._left[next(iter(self._left))]
        return left >= 1

    async def run(self) -> None:
        """Write what is taken down, for ever; when cancelled, what is left, within seconds."""
        try:
            while True:
                await self._write()
                self._sum_up(monotonic_s() - _WINDOW_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_S):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            self._sum_up(monotonic_s())
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await self._write()

    async def _write(self) -> None:
        while self._queue:
            try:
                await self._tell(self._queue[0])
            except Broken:  # full, or closing: it stays the next one
                await asyncio.sleep(_PAUSE_S)
                continue
            self._queue.popleft()

    def _sum_up(self, before: float) -> None:
        """Tell how many refusals were like those told before that moment."""
        for sort, known in list(self._alike.items()):
            if known.since <= before:
                del self._alike[sort]
                if known.count:
                    more = {"count": known.count, "from": known.start, "to": known.end}
                    self._put_refusal(known.call.fact("audit.refused", self._now(), more))

    def _put_refusal(self, fact: Fact) -> None:
        if len(self._queue) + self._taken < _MOST - _FOR_CALLS:
            self._put(fact)

    def _put(self, fact: Fact) -> None:
        self._queue.append(fact)
        self._wake.set()

    def _now(self) -> int:
        """Return the time, never the same twice: two calls alike are two Facts."""
        self._last_at = max(now_us(), self._last_at + 1)
        return self._last_at


def _told(path: str) -> str:
    """Return a path as it may stand in a Fact: bounded, and only what any database takes."""
    return "".join(char if char.isprintable() else "?" for char in path)[:200]
