"""Following a server's variables: subscriptions, publish requests, the watch for silence.

Rules: a publishing interval of 100 ms with queues that outlast a stall as long as the watch for
silence waits; several publish requests are always on their way, and their responses are handled in
the order of arrival; a missing sequence number, a status change of the subscription and silence for
three keep-alives end the attempt, because what was lost can then only be told by initial values.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Protocol

import numpy as np
from asyncua import ua

from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken
from lineshaft.core.quality import Reason, bad
from lineshaft.core.samples import Ints
from lineshaft.core.signals import Kind
from lineshaft.rooms.connect.alone import alone
from lineshaft.rooms.connect.engine import Rows, tamed
from lineshaft.rooms.connect.protocols.opcua.browse import limit_of
from lineshaft.rooms.connect.protocols.opcua.decode import (
    Changes,
    Malformed,
    Notice,
    read_publish,
)
from lineshaft.rooms.connect.protocols.opcua.nodeids import resolve
from lineshaft.rooms.connect.protocols.opcua.session import Session

__all__ = ["PUBLISHING_MS", "Listener", "follow"]

PUBLISHING_MS: Final = 100
_SAMPLING_MS: Final = 50
_QUEUE: Final = 100
_KEEP_ALIVES: Final = 10
_LIFETIME: Final = 600
_PER_SUBSCRIPTION: Final = 2000
_MOST_SUBSCRIPTIONS: Final = 50
_IN_FLIGHT: Final = 6
_MOST_EARLY: Final = 100
_SETTLE_S: Final = 1.0
_TOO_MANY: Final = {"BadTooManyMonitoredItems", "BadTooManyOperations"}


class Listener(Protocol):
    """Who hears what a server sends."""

    def heard(self, rows: Rows, *, initial: bool) -> None:
        """Take samples; `initial` ones tell how things stood when the subscription began."""
        ...

    def alive(self, arrival: int) -> None:
        """Take a sign of life without samples."""
        ...

    def settled(self, arrival: int, missing: Sequence[str]) -> None:
        """All initial values were heard, or the time for them is over; `missing` names the nodes
        that the server does not let be followed, and why."""
        ...

    def overflowed(self, rows: Rows) -> None:
        """The server's queue ran over before each of these samples."""
        ...


@dataclass(slots=True)
class _Subscription:
    sequence: int = 0
    silence_s: float = 3.0
    heard_at: float = field(default_factory=monotonic_s)


async def follow(
    session: Session, items: Sequence[tuple[str, int, str]], listener: Listener
) -> NoReturn:
    """Subscribe to (node id, sid, kind) and hand on what comes; ends only by raising."""
    await alone(_Follower(session, items, listener).run())
    raise Broken("the subscriptions ended", code="opcua.ended")


class _Follower:
    def __init__(
        self, session: Session, items: Sequence[tuple[str, int, str]], listener: Listener
    ) -> None:
        self._session, self._items, self._listener = session, items, listener
        self._sids: Ints = np.array([sid for _, sid, _ in items], np.int64)
        self._is_text = [kind == Kind.STRING for _, _, kind in items]
        self._waiting = np.ones(len(items), bool)  # for their initial value
        self._all_told = asyncio.Event()
        self._settled = False
        self._subscriptions: dict[int, _Subscription] = {}
        self._acks: list[Any] = []
        self._missing: list[str] = []
        self._refused: list[int] = []
        self._early: list[tuple[Notice, int]] = []

    async def run(self) -> None:
        """Subscribe, publish, watch; the first to fail takes the others with it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._session.renew_channel())
            tasks.create_task(self.watch())
            await self.subscribe(tasks)

    async def subscribe(self, tasks: asyncio.TaskGroup) -> None:
        """Make the subscriptions with all items that the server lets us follow."""
        namespaces = await self._session.namespaces()
        at_once = min(1000, await limit_of(self._session, 11714))
        wanted: list[tuple[int, Any]] = []
        for handle, (node_id, _, _) in enumerate(self._items):
            node = resolve(node_id, namespaces)
            if node is None:
                self._refuse(handle, "BadNodeIdUnknown")
            else:
                wanted.append((handle, node))
        while wanted and len(self._subscriptions) < _MOST_SUBSCRIPTIONS:
            subscription = await self._make_subscription()
            if len(self._subscriptions) == 1:
                for _ in range(_IN_FLIGHT):
                    tasks.create_task(self._publish())
            part, wanted = wanted[:_PER_SUBSCRIPTION], wanted[_PER_SUBSCRIPTION:]
            refused: list[tuple[int, Any]] = []
            for start in range(0, len(part), at_once):
                refused += await self._monitor(subscription, part[start : start + at_once])
            if len(refused) == len(part):
                for handle, _ in refused:
                    self._refuse(handle, "BadTooManyMonitoredItems")
            else:
                wanted = refused + wanted
        self._note_refused()
        tasks.create_task(self._settle())

    async def _make_subscription(self) -> int:
        request = ua.CreateSubscriptionRequest()
        request.Parameters.RequestedPublishingInterval = ua.Double(PUBLISHING_MS)
        request.Parameters.RequestedLifetimeCount = ua.UInt32(_LIFETIME)
        request.Parameters.RequestedMaxKeepAliveCount = ua.UInt32(_KEEP_ALIVES)
        request.Parameters.MaxNotificationsPerPublish = ua.UInt32(10_000)
        request.Parameters.PublishingEnabled = True
        answer: Any = await self._session.call(request, ua.CreateSubscriptionResponse)
        made = answer.Parameters
        period_s = made.RevisedPublishingInterval * made.RevisedMaxKeepAliveCount / 1000
        state = _Subscription(silence_s=max(1.0, 3 * min(period_s, 20.0)))
        self._subscriptions[int(made.SubscriptionId)] = state
        early, self._early = self._early, []
        for notice, arrival in early:
            if notice.subscription == made.SubscriptionId:
                self._act_on(state, notice, arrival)
            else:
                self._early.append((notice, arrival))
        return int(made.SubscriptionId)

    async def _monitor(
        self, subscription: int, part: Sequence[tuple[int, Any]]
    ) -> list[tuple[int, Any]]:
        """Monitor items; return those that this subscription has no room for."""
        request = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = ua.UInt32(subscription)
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.ItemsToCreate = [_item(handle, node) for handle, node in part]
        answer: Any = await self._session.call(request, ua.CreateMonitoredItemsResponse)
        if len(answer.Results) != len(part):
            raise Broken("the server answered for other nodes than asked", code="opcua.response")
        full = []
        for (handle, node), result in zip(part, answer.Results, strict=True):
            name = result.StatusCode.name
            if name in _TOO_MANY:
                full.append((handle, node))
            elif not result.StatusCode.is_good():
                self._refuse(handle, name)
        return full

    def _refuse(self, handle: int, why: str) -> None:
        self._missing.append(f"{self._items[handle][0]}: {why}")
        self._waiting[handle] = False
        self._refused.append(handle)

    def _note_refused(self) -> None:
        """Say Bad/config of each item that cannot be followed: a dead signal must look dead."""
        if self._refused:
            count, arrival = len(self._refused), now_us()
            rows = Rows(
                self._sids[self._refused],
                np.full(count, arrival, np.int64),
                np.full(count, np.nan),
                np.full(count, bad(Reason.CONFIG), np.int64),
                None,
                arrival,
            )
            self._listener.heard(rows, initial=False)

    async def _publish(self) -> None:
        """Keep one publish request on its way."""
        while True:
            request = ua.PublishRequest()
            request.Parameters.SubscriptionAcknowledgements = self._acks
            self._acks = []
            try:
                body = await self._session.publish(request)
            except Broken as error:
                if error.code == "opcua.BadTooManyPublishRequests":
                    return  # the others go on
                if error.code == "opcua.BadTimeout":
                    continue
                raise
            self._take(body)

    def _take(self, body: bytes) -> None:
        arrival = now_us()
        try:
            notice = read_publish(body, self._is_text)
        except Malformed as error:
            raise Broken(str(error), code="opcua.notification") from error
        if notice.result >> 31:
            name = ua.StatusCode(ua.UInt32(notice.result)).name
            raise Broken(f"publishing failed: {name}", code=f"opcua.{name}")
        subscription = self._subscriptions.get(notice.subscription)
        if subscription is None:  # it is just being made: its first notice can overtake its making
            if len(self._early) >= _MOST_EARLY:
                raise Broken("the server publishes for a subscription that is not ours",
                             code="opcua.subscription")  # fmt: skip
            self._early.append((notice, arrival))
            return
        self._act_on(subscription, notice, arrival)

    def _act_on(self, subscription: _Subscription, notice: Notice, arrival: int) -> None:
        subscription.heard_at = monotonic_s()
        if notice.status is not None:
            name = ua.StatusCode(ua.UInt32(notice.status)).name
            raise Broken(f"the server ended the subscription: {name}", code=f"opcua.{name}")
        if notice.changes is None:
            self._listener.alive(arrival)
            return
        self._count(subscription, notice)
        self._hand_on(notice.changes, arrival)

    def _count(self, subscription: _Subscription, notice: Notice) -> None:
        """Check that no notification is missing and acknowledge this one (Part 4, 5.14.1.1)."""
        expected = subscription.sequence % 0xFFFF_FFFF + 1
        if subscription.sequence and notice.sequence != expected:
            raise Broken(f"notification {expected} is missing, {notice.sequence} came",
                         code="opcua.sequence")  # fmt: skip
        subscription.sequence = notice.sequence
        self._acks.append(
            ua.SubscriptionAcknowledgement(
                SubscriptionId=ua.UInt32(notice.subscription),
                SequenceNumber=ua.UInt32(notice.sequence),
            )
        )

    def _hand_on(self, changes: Changes, arrival: int) -> None:
        if not changes.handle:
            return
        handles = np.array(changes.handle, np.int64)
        texts = changes.s
        if texts is not None:
            texts.extend([None] * (len(handles) - len(texts)))
        rows = tamed(
            Rows(
                self._sids[handles],
                np.array(changes.ts, np.int64),
                np.array(changes.v, np.float64),
                np.array(changes.q, np.int64),
                texts,
                arrival,
            )
        )
        if changes.overflow:
            lost = np.zeros(len(rows), bool)
            lost[changes.overflow] = True
            self._listener.overflowed(rows.where(lost))
        if self._settled:
            self._listener.heard(rows, initial=False)
            return
        # Of several values of one item in this notification only the first is its initial one.
        first = np.zeros(len(handles), bool)
        first[np.unique(handles, return_index=True)[1]] = True
        first &= self._waiting[handles]
        self._waiting[handles] = False
        if not self._waiting.any():
            self._all_told.set()
        for part, initial in ((first, True), (~first, False)):
            if part.any():
                self._listener.heard(rows.where(part), initial=initial)

    async def _settle(self) -> None:
        """Wait until each item told its initial value, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S if self._waiting.any() else 0.001):
                await self._all_told.wait()
        self._settled = True
        self._listener.settled(now_us(), self._missing)

    async def watch(self) -> None:
        """End the attempt where a subscription says nothing, not even that it lives."""
        while True:
            await asyncio.sleep(0.25)
            now = monotonic_s()
            for state in self._subscriptions.values():
                if now - state.heard_at > state.silence_s:
                    raise Broken(
                        f"the server has said nothing for {state.silence_s:.0f} s",
                        hint="The link may be half open; a new one is being made",
                        code="opcua.silent",
                    )


def _item(handle: int, node: Any) -> Any:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=ua.UInt32(handle),
            SamplingInterval=ua.Double(_SAMPLING_MS),
            QueueSize=ua.UInt32(_QUEUE),
            DiscardOldest=True,
        ),
    )
