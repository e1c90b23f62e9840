#!/usr/bin/env python3
"""Do a Python client's spans arrive, and are the engine's below them?

Runs the tracing API of docker/clients against the OTLP receiver of otlp.py, over HTTP and gRPC: the examples of its page and,
where the monitoring guide lies beside the project (or VELOZ_GUIDE says where), the guide's own two blocks, word for word but for
the collector's address. Then a request within a client's span to a running engine, whose span must be below it. Then what must
not arrive: spans of a client that is not enabled, or keeps none. At last values that mean nothing are refused.

Usage: client_traces.py PATH_OF_VELOZ
"""

import asyncio
import contextlib
import io
import json
import os
import re
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "docker" / "clients"))
# Before the SDK, which reads it: the collector's answer is waited for, and nothing else decides when spans are sent.
os.environ["OTEL_BSP_SCHEDULE_DELAY"] = "200"

from apps.gateway.tracing import TracingConfig, add_span_attribute, get_tracing_manager, init_tracing, traced  # noqa: E402
from otlp import Receiver, attributes, engine  # noqa: E402
from stack.verdicts import must  # noqa: E402

# Taken out of the environment, because an engine that is started here refuses variables that it does not know.
NAMED = os.environ.pop("VELOZ_GUIDE", None)
GUIDE = Path(NAMED or ROOT / ".." / "shared" / "contract" / "monitoring-guide.md")
PAGE = ROOT / "docker" / "clients" / "README.md"


def drained(receiver):
    """What arrived, after everything that waited was sent."""
    get_tracing_manager().shutdown()
    found = []
    while not receiver.spans.empty():
        found.append(receiver.spans.get())
    return found


def kept(headers):
    """Whether a request's headers say that its trace is kept: the lowest bit of the flags. Another says that its id is random."""
    return bool(int(headers.get("traceparent", "0").rpartition("-")[2], 16) & 1)


def blocks(path):
    return re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S)


def page_example(receiver, protocol):
    (block,) = blocks(PAGE)
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.base(protocol),
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "example",
        "VELOZ_ENV": "check",
    }
    os.environ.update(variables)
    names = {}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 (the page of this repository)
    for variable in variables:
        del os.environ[variable]
    spans = {span.name: (resource, span) for resource, _, span in drained(receiver)}
    must(set(spans) == {"process_order", "calculate_risk"}, set(spans))
    resource, order = spans["process_order"]
    must(resource["service.name"] == "example" and resource["deployment.environment.name"] == "check", resource)
    must(attributes(order.attributes) == {"symbol": "BTCUSDT", "risk": 0.06}, order)
    (_, risk) = spans["calculate_risk"]
    must(risk.parent_span_id == order.span_id and risk.trace_id == order.trace_id, "one trace")
    ids = f"00-{order.trace_id.hex()}-{order.span_id.hex()}"
    must(set(names["headers"]) == {"traceparent"}, names["headers"])
    must(names["headers"]["traceparent"].rpartition("-")[0] == ids and kept(names["headers"]), names["headers"])
    print(f"{protocol}: the page's example is a trace of two spans")


def guide_examples(receiver):
    """The guide's blocks. The second one makes a span, and a function that makes one when it is called."""
    if NAMED and not GUIDE.is_file():
        sys.exit(f"VELOZ_GUIDE names no file: {GUIDE}")
    if not GUIDE.is_file():
        print("the guide's examples are not run: the guide is not here (VELOZ_GUIDE)")
        return
    configure, use = [block for block in blocks(GUIDE) if "apps.gateway.tracing" in block]
    address = receiver.base("grpc")
    must("http://jaeger:4317" in configure, configure)
    # Its port is not gRPC's own, which is how that is told where nothing says so.
    os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
    configure = configure.replace("http://jaeger:4317", address)
    names = {}
    exec(compile(configure, "guide: Tracing Configuration", "exec"), names)  # noqa: S102 (the guide's text)
    exec(compile(use, "guide: Using the Tracing API", "exec"), names)  # noqa: S102
    must(names["calculate_risk"]({"size": 1}) is None and names["calculate_risk"].__name__ == "calculate_risk", "the function")
    del os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"]
    spans = {span.name: (resource, span) for resource, _, span in drained(receiver)}
    must(set(spans) == {"process_order", "calculate_risk"}, set(spans))
    must(all(resource["service.name"] == "veloz-gateway" for resource, _ in spans.values()), "the service")
    must(attributes(spans["process_order"][1].attributes) == {"symbol": "BTCUSDT", "order_id": "12345"}, "attributes")
    must(attributes(spans["calculate_risk"][1].attributes) == {"component": "risk"}, "attributes")
    print("the guide's two blocks run, and their spans arrive")


def engine_below_client(receiver, veloz, protocol):
    base = receiver.base(protocol)
    process, health, _ = engine(
        veloz,
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": base,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
    )
    manager = init_tracing(TracingConfig(service_name="check", otlp_endpoint=base, protocol=protocol))
    with manager.span("call") as span:
        own = span.get_span_context()
        with urllib.request.urlopen(urllib.request.Request(health, headers=manager.headers())) as answer:
            must(answer.status == 200, answer.status)
    manager.shutdown()
    below = lambda got: got[2].name == "http.request" and got[2].parent_span_id.hex() == f"{own.span_id:016x}"
    seen = receiver.until(below)
    must(seen[-1][2].trace_id.hex() == f"{own.trace_id:032x}", "one trace")
    must(seen[-1][0]["service.name"] == "veloz-gateway", seen[-1][0])
    if not any(got[2].name == "call" for got in seen):
        receiver.until(lambda got: got[2].name == "call")
    process.terminate()
    must(process.wait(timeout=60) == 0, "the engine's exit code")
    drained(receiver)
    print(f"{protocol}: the engine's span is below its client's")


def faults_and_coroutines(receiver):
    manager = init_tracing(TracingConfig(otlp_endpoint=receiver.base("grpc"), protocol="grpc"))

    @traced()
    async def waits():
        await asyncio.sleep(0)
        return 7

    must(asyncio.run(waits()) == 7, "its result")
    with contextlib.suppress(KeyError), manager.span("fails"):
        raise KeyError("gone")
    spans = {span.name.rpartition(".")[2]: span for _, _, span in drained(receiver)}
    must(set(spans) == {"waits", "fails"}, set(spans))
    must(spans["fails"].status.code == 2 and spans["fails"].status.message == "KeyError", spans["fails"])
    must([event.name for event in spans["fails"].events] == ["exception"], spans["fails"])
    must(spans["waits"].status.code == 0, spans["waits"])
    print("coroutines have spans, and exceptions are told and passed on")


def what_does_not_arrive(receiver):
    base = receiver.base("grpc")
    off = TracingConfig(otlp_endpoint=base, protocol="grpc", enabled=False)
    for config in (off, TracingConfig(otlp_endpoint=base, protocol="grpc", sample_rate=0.0)):
        manager = init_tracing(config)
        with manager.span("nothing"):
            add_span_attribute("of", "it")
            headers = manager.headers()
        must(bool(headers) == config.enabled and not kept(headers), headers)
        must(not drained(receiver), "nothing arrives")
    add_span_attribute("outside", "of any span")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        with init_tracing(TracingConfig(console_export=True)).span("shown"):
            pass
        get_tracing_manager().shutdown()
    must(json.loads(printed.getvalue())["name"] == "shown", printed.getvalue())
    print("what is not enabled or not kept is not sent; the console shows spans")


def refusals():
    for wrong, says in (
        ({"sample_rate": 1.5}, "from 0 to 1"),
        ({"protocol": "udp"}, "expected one of auto, grpc, http/protobuf"),
        ({"otlp_endpoint": "jaeger:4317"}, "expected http://HOST:PORT"),
    ):
        try:
            TracingConfig(**wrong)
        except ValueError as fault:
            must(says in str(fault), fault)
        else:
            must(False, f"{wrong} is taken")
    os.environ["OTEL_ENABLED"] = "perhaps"
    try:
        init_tracing()
    except ValueError as fault:
        must("OTEL_ENABLED is 'perhaps'" in str(fault), fault)
    else:
        must(False, "a variable that means nothing is taken")
    del os.environ["OTEL_ENABLED"]
    print("values that mean nothing are refused")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    receiver = Receiver()
    for protocol in ("http/protobuf", "grpc"):
        page_example(receiver, protocol)
        engine_below_client(receiver, sys.argv[1], protocol)
    guide_examples(receiver)
    faults_and_coroutines(receiver)
    what_does_not_arrive(receiver)
    refusals()


if __name__ == "__main__":
    main()
