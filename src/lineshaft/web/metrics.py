"""Metrics as Prometheus reads them: text exposition format 0.0.4.

What happens in this process is counted here; what happens in the others is what they show on the
bus and what the catalogue says, so one scrape of one door tells all of the platform. Names hold no
signal, user or address: their number does not grow with use.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Response

from lineshaft.clock import monotonic_s
from lineshaft.traces import span
from lineshaft.web.system import Overview, SystemView

__all__ = ["Metered", "Requests", "metrics_router"]

_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ENDLESS: Final = frozenset({"events"})
_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Requests:
    """How often each operation was asked, how it ended, and how long it took."""

    def __init__(self) -> None:
        self.ended: dict[tuple[str, str], int] = {}
        self.seconds: dict[str, list[float]] = {}

    def add(self, operation: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (operation, f"{status // 100}xx")
        self.ended[key] = self.ended.get(key, 0) + 1
        if operation in _ENDLESS:
            return
        held = self.seconds.get(operation)
        if held is None:
            held = self.seconds[operation] = [0.0] * (len(_BOUNDS) + 2)
        held[bisect_left(_BOUNDS, seconds)] += 1
        held[-1] += seconds


class Metered:
    """ASGI wrapper that counts and times what the doors answer, and traces it where that is on."""

    def __init__(self, app: App, requests: Requests) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        began, status = monotonic_s(), 500

        async def watch(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with span("http.request", method=scope["method"]) as note:
            try:
                await self._app(scope, receive, watch)
            finally:
                operation = getattr(scope.get("route"), "name", "none")
                self._requests.add(operation, status, monotonic_s() - began)
                note(operation=operation, status=status)


def metrics_router(
    overview: Overview, requests: Requests,
    sources: Callable[[], Sequence[Mapping[str, Any]]],
) -> APIRouter:  # fmt: skip
    """Return the operation that Prometheus scrapes."""
    api = APIRouter(tags=["system"])

    @api.get(
        "/metrics", summary="Metrics for Prometheus", response_class=Response,
        openapi_extra={"x-right": "system.read"},
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    async def metrics() -> Response:
        view = await overview.view()
        named = await asyncio.to_thread(overview.catalogue.size)
        listed = await asyncio.to_thread(sources)
        parts = [*_platform(view, named, overview), *_processes(view), *_sources(listed)]
        return Response("\n".join([*parts, *_requests(requests), ""]), media_type=_TYPE)

    return api


def _platform(
    view: SystemView, named: tuple[int, int, int], overview: Overview
) -> Iterable[str]:  # fmt: skip
    count, size, commits = named
    yield from _metric("info", "gauge", "The platform", [({"version": view.version,
                       "site": view.site}, 1)])  # fmt: skip
    plain = (
        ("samples_total", "counter", "Samples heard since this process began",
         overview.heard_samples),
        ("samples_per_second", "gauge", "Samples accepted, a second", view.samples_per_s),
        ("stored_samples_total", "counter", "Samples in files", view.stream.stored_rows),
        ("lag_samples", "gauge", "Samples accepted and not yet in a file", view.stream.lag_rows),
        ("stream_bytes", "gauge", "Bytes of the stream", view.stream.bytes),
        ("files", "gauge", "Files that the catalogue names", count),
        ("files_bytes", "gauge", "Bytes of these files", size),
        ("commits_total", "counter", "Commits of the writer", commits),
        ("disk_free_bytes", "gauge", "Bytes free under the data folder", view.disk.free),
    )  # fmt: skip
    for name, kind, text, value in plain:
        yield from _metric(name, kind, text, [({}, value)])
    if view.disk.forecast_days is not None:
        yield from _metric("disk_forecast_days", "gauge", "Days until the disk is full",
                           [({}, view.disk.forecast_days)])  # fmt: skip


def _processes(view: SystemView) -> Iterable[str]:
    rows = [({"process": process.name}, process) for process in view.processes]
    memory = [(labels, p.pss_mb * 1e6) for labels, p in rows if p.pss_mb is not None]
    restarts = [(labels, p.restarts) for labels, p in rows]
    running = [(labels, int(p.state == "running")) for labels, p in rows]
    yield from _metric("process_memory_bytes", "gauge", "Proportional memory (PSS)", memory)
    yield from _metric("process_restarts_total", "counter", "Times it was started again", restarts)
    yield from _metric("process_up", "gauge", "Whether it runs", running)


def _sources(listed: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    counts: dict[str, int] = {}
    for source in listed:
        state = str(source.get("link", "unknown"))
        counts[state] = counts.get(state, 0) + 1
    rows = [({"link": state}, number) for state, number in sorted(counts.items())]
    yield from _metric("sources", "gauge", "Sources by the state of their link", rows)


def _requests(requests: Requests) -> Iterable[str]:
    ended = [({"operation": name, "status": status}, count)
             for (name, status), count in sorted(requests.ended.items())]  # fmt: skip
    yield from _metric("requests_total", "counter", "Requests answered", ended)
    name = "lineshaft_request_seconds"
    yield f"# HELP {name} Seconds to answer"
    yield f"# TYPE {name} histogram"
    for operation, held in sorted(requests.seconds.items()):
        total = 0.0
        for bound, count in zip((*_BOUNDS, "+Inf"), held, strict=False):
            total += count
            yield f'{name}_bucket{{operation="{operation}",le="{bound}"}} {total:.0f}'
        yield f'{name}_sum{{operation="{operation}"}} {held[-1]!r}'
        yield f'{name}_count{{operation="{operation}"}} {total:.0f}'


def _metric(
    name: str, kind: str, text: str, rows: Sequence[tuple[Labels, float]]
) -> Iterable[str]:  # fmt: skip
    yield f"# HELP lineshaft_{name} {text}"
    yield f"# TYPE lineshaft_{name} {kind}"
    for labels, value in rows:
        inner = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        yield f"lineshaft_{name}{{{inner}}} {value!r}" if inner else f"lineshaft_{name} {value!r}"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
