"""Spans of a Python program beside the engine, in the same traces as the engine's own.

Owns: the tracing API of the monitoring guide (init_tracing, TracingConfig, get_tracing_manager, traced, add_span_attribute), on
OpenTelemetry's SDK. Does not: trace the engine, which makes its own spans (exporter/src/traces.rs); replace a tracer provider
that the program has set for itself.

    from apps.gateway.tracing import TracingConfig, get_tracing_manager, init_tracing

    init_tracing(TracingConfig(service_name="my-client", otlp_endpoint="http://localhost:4317"))
    manager = get_tracing_manager()
    with manager.span("process_order", attributes={"symbol": "BTCUSDT"}):
        requests.post(f"{engine}/api/order", json=order, headers=manager.headers())

The engine's `http.request`, and what the order causes, are then below `process_order`. Spans wait in a bounded queue of
OpenTelemetry's (2,048) and the newest are dropped when it is full; a collector that is down costs the program nothing else.
What waits is sent when the program ends, or by `manager.shutdown()`. Until init_tracing was called, and where tracing is not
enabled, everything here does nothing.
"""

import functools
import inspect
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Status, StatusCode

PROTOCOLS = ("auto", "grpc", "http/protobuf")
# gRPC's registered port of OTLP. `auto` takes gRPC on it and HTTP on any other, as the engine does.
GRPC_PORT = 4317
HTTP_PATH = "/v1/traces"
TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class TracingConfig:
    """What is sent, and where to. A value that means nothing is a ValueError."""

    # As others see this program.
    service_name: str = "veloz-client"
    # The collector's base address; None sends nothing.
    otlp_endpoint: str | None = None
    enabled: bool = True
    # The part of traces that is kept, 0 to 1. A span below another one is kept when that is.
    sample_rate: float = 1.0
    # Every span is printed too, as JSON.
    console_export: bool = False
    environment: str = "development"
    protocol: str = field(default_factory=lambda: os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "auto"))
    # Further attributes of the program.
    resource: dict = field(default_factory=dict)

    def __post_init__(self):
        if not 0 <= self.sample_rate <= 1:
            raise ValueError(f"sample_rate is {self.sample_rate}, expected a part of all traces from 0 to 1")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is {self.protocol!r}, expected one of {', '.join(PROTOCOLS)}")
        if self.otlp_endpoint is not None:
            parts = urlsplit(self.otlp_endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"otlp_endpoint is {self.otlp_endpoint!r}, expected http://HOST:PORT")

    @classmethod
    def from_environment(cls, **more):
        """Of the guide's variables, which the engine reads too; `more` is what they do not say."""
        return cls(
            **{
                "otlp_endpoint": os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
                "enabled": _truth("OTEL_ENABLED", True),
                "console_export": _truth("OTEL_CONSOLE_EXPORT", False),
                "environment": os.environ.get("VELOZ_ENV", "development"),
                "service_name": os.environ.get("OTEL_SERVICE_NAME", "veloz-client"),
                **more,
            }
        )


def _truth(name, default):
    text = os.environ.get(name)
    if text is None:
        return default
    if text.lower() not in TRUTH:
        raise ValueError(f"{name} is {text!r}, expected true or false")
    return TRUTH[text.lower()]


class TracingManager:
    """Makes spans; the current one is that of the thread or task."""

    def __init__(self, config=None):
        self._provider = None
        if config is None or not config.enabled:
            self._tracer = trace.NoOpTracer()
            return
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(config.sample_rate)),
            resource=Resource.create(
                {
                    **config.resource,
                    "service.name": config.service_name,
                    "deployment.environment.name": config.environment,
                }
            ),
        )
        if config.otlp_endpoint is not None:
            self._provider.add_span_processor(BatchSpanProcessor(_exporter(config)))
        if config.console_export:
            self._provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stdout)))
        self._tracer = self._provider.get_tracer("veloz")

    @contextmanager
    def span(self, name, attributes=None):
        """A span around the block, below the current one. An exception passes through, and the span says so."""
        with self._tracer.start_as_current_span(name, attributes=attributes, set_status_on_exception=False) as span:
            try:
                yield span
            except Exception as fault:
                span.set_status(Status(StatusCode.ERROR, type(fault).__name__))
                raise

    def headers(self):
        """`traceparent`, and `tracestate` where there is one, for a request within the current span."""
        carrier = {}
        propagate.inject(carrier)
        return carrier

    def shutdown(self):
        """Sends what waits, and ends."""
        if self._provider is not None:
            self._provider.shutdown()


def _exporter(config):
    base = config.otlp_endpoint.rstrip("/")
    grpc = config.protocol == "grpc" or (config.protocol == "auto" and urlsplit(base).port == GRPC_PORT)
    # One of the two libraries is enough.
    if grpc:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=base, insecure=base.startswith("http:"))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{base}{HTTP_PATH}")


_lock = threading.Lock()
_manager = TracingManager()


def init_tracing(config=None):
    """Begins to trace as `config`, or the environment, says. A second call ends what the first began."""
    global _manager
    begun = TracingManager(config or TracingConfig.from_environment())
    with _lock:
        ended, _manager = _manager, begun
    ended.shutdown()
    return begun


def get_tracing_manager():
    """That of the last init_tracing; before, one that makes no spans."""
    return _manager


def add_span_attribute(key, value):
    """Says something of the current span, if there is one."""
    trace.get_current_span().set_attribute(key, value)


def traced(name=None, attributes=None):
    """A span around every call of a function or coroutine; its name, unless another is given."""

    def around(function):
        called = name or function.__qualname__
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waited(*args, **more):
                with get_tracing_manager().span(called, attributes):
                    return await function(*args, **more)

            return waited

        @functools.wraps(function)
        def wrapped(*args, **more):
            with get_tracing_manager().span(called, attributes):
                return function(*args, **more)

        return wrapped

    return around
