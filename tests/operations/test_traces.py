"""Traces reach a real OTLP receiver: requests, queries, commits; nothing where nobody asked."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lineshaft.traces import span, start_traces
from tests.backup.conftest import counting
from tests.end_to_end.platform import running, until
from tests.web.conftest import House, made


class Receiver(ThreadingHTTPServer):
    """Takes spans as an OTLP collector does (OTLP/HTTP, protobuf)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[str, Span]] = []

    def named(self, name: str) -> list[tuple[str, Span]]:
        return [(process, one) for process, one in self.spans if one.name == name]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        assert self.headers["Content-Type"] == "application/x-protobuf"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            assert named["service.name"] == "lineshaft"
            for scope in resource.scope_spans:
                found = [(named["service.instance.id"], one) for one in scope.spans]
                self.server.spans.extend(found)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _value(one: Span, key: str) -> object:
    value = next(a.value for a in one.attributes if a.key == key)
    return value.int_value or value.string_value


async def test_requests_queries_and_commits_are_traced(receiver: Receiver, tmp_path: Path) -> None:
    environ = {
        "LINESHAFT__HISTORY__COMMIT_S": "0.2", "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
    }  # fmt: skip
    with running(tmp_path / "data", verb="up", environ=environ, kind=House) as house:
        assert isinstance(house, House)
        sid = house.register(made("traced"))[0]
        async with counting(house, sid) as counter:
            await counter.put(4)
        await house.stored()
        house.get("raw", sid=str(sid), **{"from": 1}, format="json")
        await asyncio.to_thread(
            until, "the spans have come", lambda: receiver.named("lineshaft.history.raw")
            and receiver.named("lineshaft.history.commit")
        )  # fmt: skip
        house.stop()
    commits = receiver.named("lineshaft.history.commit")
    assert {process for process, _ in commits} == {"history"}
    assert sum(int(str(_value(one, "rows"))) for _, one in commits) == 200
    [(process, query)] = receiver.named("lineshaft.history.raw")
    requests = {one.span_id: one for _, one in receiver.named("lineshaft.http.request")}
    asked = requests[query.parent_span_id]
    assert (process, _value(asked, "operation"), _value(asked, "status")) == ("web", "raw", 200)
    everything = b"".join(one.SerializeToString() for _, one in receiver.spans)
    assert house.key.encode() not in everything
    assert b"Bearer" not in everything


def test_nothing_is_traced_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    start_traces("web")
    with span("x", rows=1) as note:
        note(more=2)
    assert span("x") is span("y")
