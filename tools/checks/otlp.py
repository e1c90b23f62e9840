#!/usr/bin/env python3
"""Do spans arrive at a real OTLP receiver, over HTTP and gRPC, as they were told?

The receiver is made of OpenTelemetry's own protobuf definitions (PyPI opentelemetry-proto) on grpcio and
Python's HTTP server. First the example `spans` of veloz-exporter sends one span of each kind, and ids,
parents, nanoseconds, attributes and headers are compared with what it says it sent. Then the engine runs
against its embedded venue with nothing but the standard variables set, a client calls it with a W3C
`traceparent`, and the request's span has to arrive below that caller, inside the moments around the call. A
trace id that the metrics page shows as an exemplar, and one that a log line has, must each be a trace that arrived.
Then the variables that turn it off and to the console.
An order that is placed with a `traceparent` must be one trace: the request below the caller, the command below the
request, the order below the command, its execution below the order.
At last it runs with a collector that is down: the page must count what failed.

Usage: otlp.py PATH_OF_VELOZ PATH_OF_SPANS
"""

import concurrent.futures
import gzip
import http.server
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
import urllib.request

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2 as service,
    trace_service_pb2_grpc as service_grpc,
)

from stack.verdicts import awaited, must

WAIT_S = 30
API_KEY = "a b"
HEADERS = "x-api-key=a%20b"
CALLER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"
ORDER_TRACE = "0af7651916cd43dd8448eb211c80319c"
KINDS = {
    "http.request": {"http.method", "http.url", "http.status_code"},
    "engine.command": {"command.type", "command.symbol"},
    "order.place": {"order.symbol", "order.side", "order.type"},
    "order.execute": {"order.id", "venue.name"},
    "market.process": {"event.type", "symbol"},
    "strategy.signal": {"strategy.name", "signal.type"},
    "risk.check": {"check.name", "check.result"},
}


class Receiver:
    """Takes spans over HTTP and gRPC; both bind a free port on loopback."""

    def __init__(self):
        self.spans = queue.Queue()
        receiver = self

        class Http(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                good = (
                    self.path == "/v1/traces"
                    and self.headers["Content-Type"] == "application/x-protobuf"
                )
                if good:
                    request = service.ExportTraceServiceRequest.FromString(body)
                    receiver.take(request, self.headers.get("x-api-key"))
                self.send_response(200 if good else 400)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Grpc(service_grpc.TraceServiceServicer):
            def Export(self, request, context):
                metadata = dict(context.invocation_metadata())
                receiver.take(request, metadata.get("x-api-key"))
                return service.ExportTraceServiceResponse()

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Http)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        service_grpc.add_TraceServiceServicer_to_server(Grpc(), self.grpc)
        self.grpc_port = self.grpc.add_insecure_port("127.0.0.1:0")
        self.grpc.start()

    def take(self, request, api_key):
        for of_resource in request.resource_spans:
            resource = attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    self.spans.put((resource, api_key, span))

    def base(self, protocol):
        port = self.grpc_port if protocol == "grpc" else self.http.server_port
        return f"http://127.0.0.1:{port}"

    def until(self, wanted):
        """Spans up to the one that `wanted` accepts."""
        seen = []
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            try:
                seen.append(self.spans.get(timeout=1))
            except queue.Empty:
                continue
            if wanted(seen[-1]):
                return seen
        sys.exit(f"not within {WAIT_S} s; {len(seen)} spans came")


def attributes(pairs):
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs
    }


def one_of_each_kind(receiver, program, protocol):
    url = receiver.base(protocol) + ("" if protocol == "grpc" else "/v1/traces")
    ran = subprocess.run(
        [program, protocol, url, HEADERS], capture_output=True, text=True, check=True
    )
    told = json.loads(ran.stdout)
    must(dict(told["counts"])["exported"] == len(told["spans"]), told["counts"])
    got = {}
    for _ in told["spans"]:
        resource, api_key, span = receiver.spans.get(timeout=WAIT_S)
        must(api_key == API_KEY, f"header {api_key!r}")
        must(resource["service.name"] == "veloz-gateway", resource)
        got[span.span_id.hex()] = span
    for expected in told["spans"]:
        span = got[expected["span_id"]]
        must(span.name == expected["name"], expected)
        must(span.trace_id.hex() == expected["trace_id"], expected)
        must(span.parent_span_id.hex() == expected["parent_span_id"], expected)
        must(span.start_time_unix_nano == expected["start_unix_ns"], expected)
        must(span.end_time_unix_nano == expected["end_unix_ns"], expected)
        must(set(attributes(span.attributes)) == KINDS[span.name], span)
    must({span.name for span in got.values()} == set(KINDS), "a kind is missing")
    by_name = {span.name: span for span in got.values()}
    must(attributes(by_name["order.execute"].attributes)["venue.name"] == "binance", "")
    must(by_name["order.execute"].status.code == 2, "a rejected order is an error")
    print(f"{protocol}: {len(got)} spans of {len(KINDS)} kinds are as they were told")


def engine(veloz, variables):
    quiet = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("VELOZ_", "OTEL_"))
    }
    process = subprocess.Popen(
        [veloz, "--set=http.port=0", "--set=log.format=json", "--for=60"],
        stdout=subprocess.PIPE,
        text=True,
        env=quiet | variables,
    )
    for line in process.stdout:
        started = json.loads(line)
        if "health" in started:
            # What comes later must not fill the pipe.
            log = []
            threading.Thread(target=lambda: log.extend(map(json.loads, process.stdout)), daemon=True).start()
            return process, started["health"], log
    sys.exit("the engine does not run")


def traces_resolve(receiver, seen, health, log):
    """Whoever follows an exemplar or a log line to its trace finds it."""

    def span_of(wanted):
        for got in seen:
            if wanted(got[2]):
                return got[2]
        seen.extend(receiver.until(lambda got: wanted(got[2])))
        return seen[-1][2]

    def exemplar():
        request = urllib.request.Request(
            health.removesuffix("/health") + "/metrics", headers={"Accept": "application/openmetrics-text"}
        )
        with urllib.request.urlopen(request) as answer:
            page = answer.read().decode()
        return re.search(r'^(veloz_order_latency_seconds_bucket).* # \{trace_id="([0-9a-f]{32})"', page, re.M)

    metric, trace = awaited("an exemplar", exemplar, WAIT_S).groups()
    span = span_of(lambda span: span.trace_id.hex() == trace)
    # Of an order that somebody asked for, the request and the command are in it too.
    must(span.name in KINDS and span.name != "market.process", span.name)
    line = awaited("a log line with a trace id", lambda: next((line for line in log if line.get("trace_id")), None), WAIT_S)
    logged = span_of(lambda span: span.trace_id.hex() == line["trace_id"])
    print(f"an exemplar of {metric} leads to {span.name}, a log line of {line['component']} to {logged.name}")


def fetched(url, body=None, headers=None):
    """An answer's status and JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | (headers or {}))
    with urllib.request.urlopen(request) as answer:
        return answer.status, json.load(answer)


def order_traces(receiver, base):
    """One order over HTTP is one trace, with each span below the one that it came from."""

    def bid():
        trading = fetched(f"{base}/api/status")[1]["trading"]
        return trading and trading["phase"] == "ready" and fetched(f"{base}/api/market")[1]["best_bid"]

    order = {"side": "BUY", "symbol": "BTCUSDT", "qty": "0.001", "price": awaited("a price", bid, WAIT_S)}
    caller = {"traceparent": f"00-{ORDER_TRACE}-{CALLER_SPAN}-01"}
    status, placed = fetched(f"{base}/api/order", order, caller)
    must(status == 200 and placed["ok"], placed)
    below = {
        "http.request": CALLER_SPAN,
        "engine.command": "http.request",
        "risk.check": "engine.command",
        "order.place": "engine.command",
        "order.execute": "order.place",
    }
    got = {}

    def complete(arrived):
        span = arrived[2]
        if span.trace_id.hex() == ORDER_TRACE:
            must(span.name in below and span.name not in got, f"{span.name} in the order's trace")
            got[span.name] = span
        return len(got) == len(below)

    seen = receiver.until(complete)
    for name, parent in below.items():
        expected = got[parent].span_id.hex() if parent in got else parent
        must(got[name].parent_span_id.hex() == expected, f"{name} is not below {parent}")
        must(got[name].start_time_unix_nano <= got[name].end_time_unix_nano, name)
    facts = attributes(got["order.place"].attributes)
    must((facts["order.symbol"], facts["order.side"]) == ("BTCUSDT", "BUY"), facts)
    must(attributes(got["http.request"].attributes)["http.method"] == "POST", "the request is a POST")
    print(f"an order over HTTP is one trace of {len(got)} spans below its caller")
    return seen


def engine_traces(receiver, veloz, protocol):
    process, health, log = engine(
        veloz,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.base(protocol),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": HEADERS,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_RESOURCE_ATTRIBUTES": "host.name=here",
            "VELOZ_ENV": "check",
        },
    )
    before = time.time_ns()
    request = urllib.request.Request(
        f"{health}?secret=1",
        headers={
            "traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01",
            "tracestate": "other=1",
        },
    )
    with urllib.request.urlopen(request) as answer:
        after = time.time_ns()
        parent, state = answer.headers["traceparent"], answer.headers["tracestate"]
    seen = receiver.until(lambda got: got[2].name == "http.request")
    resource, api_key, span = seen[-1]
    must(api_key == API_KEY, f"header {api_key!r}")
    must(resource["service.name"] == "veloz-gateway", resource)
    must(resource["deployment.environment.name"] == "check", resource)
    must(resource["host.name"] == "here", resource)
    must(span.trace_id.hex() == CALLER_TRACE, "the caller's trace")
    must(span.parent_span_id.hex() == CALLER_SPAN, "the caller's span")
    must(parent == f"00-{CALLER_TRACE}-{span.span_id.hex()}-01", parent)
    must(state == f"veloz={span.span_id.hex()},other=1", state)
    must(span.trace_state == "other=1", span.trace_state)
    # The offset of wall time is good to some microseconds.
    slack = 1_000_000
    must(before - slack <= span.start_time_unix_nano, "it starts after the call")
    must(span.start_time_unix_nano <= span.end_time_unix_nano, "it ends after its start")
    must(span.end_time_unix_nano <= after + slack, "it ends before the answer")
    facts = attributes(span.attributes)
    must(facts["http.method"] == "GET" and facts["http.status_code"] == 200, facts)
    must(facts["http.url"] == health, facts)
    seen += receiver.until(lambda got: got[2].name == "market.process")
    market = seen[-1][2]
    must(attributes(market.attributes)["event.type"] == "depth", market)
    length = market.end_time_unix_nano - market.start_time_unix_nano
    must(0 < length < 1_000_000_000, f"{length} ns from the bytes to the book")
    seen += order_traces(receiver, health.removesuffix("/health"))
    traces_resolve(receiver, seen, health, log)
    process.terminate()
    must(process.wait(timeout=30) == 0, "the engine's exit code")
    while not receiver.spans.empty():
        receiver.spans.get()
    print(f"{protocol}: the engine's spans arrive below their caller, {length} ns to the book")


def variables_decide(receiver, veloz):
    """Nothing is sent where tracing is not enabled, and the console has every span where it is to."""
    base = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.base("http/protobuf"), "OTEL_BSP_SCHEDULE_DELAY": "100"}
    process, health, _ = engine(veloz, base | {"OTEL_ENABLED": "false"})
    urllib.request.urlopen(health).read()
    process.terminate()
    must(process.wait(timeout=30) == 0, "the engine's exit code")
    # What waits is sent before the process ends.
    must(receiver.spans.empty(), "a span of an engine that does not trace")
    process, health, log = engine(veloz, {"OTEL_CONSOLE_EXPORT": "true"})
    urllib.request.urlopen(health).read()
    line = awaited("a span in the log", lambda: next((line for line in log if line.get("span_id") and "http.request" in json.dumps(line)), None), WAIT_S)
    process.terminate()
    must(process.wait(timeout=30) == 0, "the engine's exit code")
    print(f"OTEL_ENABLED=false sends nothing, OTEL_CONSOLE_EXPORT=true logs spans: {line['message']}")


def collector_down(veloz):
    process, health, _ = engine(
        veloz,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        },
    )
    metrics = health.removesuffix("/health") + "/metrics"
    end = time.monotonic() + WAIT_S
    failed = 0
    while not failed and time.monotonic() < end:
        page = urllib.request.urlopen(metrics).read().decode()
        for line in page.splitlines():
            if line.startswith('veloz_trace_spans_total{result="failed"}'):
                failed = int(line.split()[-1])
        time.sleep(0.2)
    process.terminate()
    must(process.wait(timeout=30) == 0 and failed, f"{failed} spans failed")
    print(f"without a collector {failed} spans are counted as failed, and nothing else happens")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    veloz, spans = sys.argv[1:]
    receiver = Receiver()
    for protocol in ("http/protobuf", "grpc"):
        one_of_each_kind(receiver, spans, protocol)
        engine_traces(receiver, veloz, protocol)
    variables_decide(receiver, veloz)
    collector_down(veloz)


if __name__ == "__main__":
    main()
