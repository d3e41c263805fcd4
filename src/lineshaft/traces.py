"""Traces: what took how long, for an OpenTelemetry collector; off unless the environment asks.

On where `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) names a collector and the extra
`otel` is installed; every other `OTEL_` variable of the specification holds. A span has names,
numbers and states, never content: no query, no header, no address. Where traces are off a span
costs nothing worth measuring.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

__all__ = ["span", "start_traces", "stop_traces", "traced"]

_LOG = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")
Note = Callable[..., None]
_on: list[Any] = []  # the tracer and its provider, where traces are on


def start_traces(process: str) -> None:
    """Begin to trace where the environment asks for it."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    wanted = any(os.environ.get(name) for name in names)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not wanted or off or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _LOG.warning("traces are asked for, but not installed: pip install 'lineshaft[otel]'")
        return
    resource = Resource.create({"service.name": "lineshaft", "service.instance.id": process})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _on[:] = [provider.get_tracer("lineshaft"), provider]


def stop_traces() -> None:
    """Send what is left and end."""
    if _on:
        provider = _on[1]
        _on.clear()
        provider.shutdown()


def _nothing(**_: object) -> None:
    """Take no note."""


@contextmanager
def _spanned(name: str, attributes: dict[str, Any]) -> Iterator[Note]:
    with _on[0].start_as_current_span(f"lineshaft.{name}", attributes=attributes) as held:

        def note(**more: Any) -> None:
            held.set_attributes(more)

        yield note


class _Off:
    def __enter__(self) -> Note:
        return _nothing

    def __exit__(self, *_: object) -> None:
        return None


_OFF = _Off()


def span(name: str, **attributes: Any) -> Any:
    """Return a context that traces what runs in it; its value adds attributes: `note(rows=3)`."""
    return _spanned(name, attributes) if _on else _OFF


def traced(name: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Trace every call of a function."""

    def wrap(function: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(function)
        def call(*arguments: _P.args, **named: _P.kwargs) -> _T:
            if not _on:
                return function(*arguments, **named)
            with _spanned(name, {}):
                return function(*arguments, **named)

        return call

    return wrap
