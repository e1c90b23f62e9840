"""Does the stack see a running engine?

Starts the engine, the real Alertmanager and the real Prometheus, all on loopback, with the configuration of this
repository. In the copies that they read only addresses and files differ, and every duration of the rules is divided
(DIVISOR), which is proven: multiplied again they are the originals. Then:

- Prometheus scrapes the engine and evaluates every rule without a fault;
- the page that the engine shows has every metric, label and closed value that rules, dashboards and runbooks use, but for
  those that it will have (expected_metrics.tsv), which are named;
- every query of every dashboard has data, but for those: a number, because NaN is what a panel shows of nothing;
- what is NaN until there are periods enough (exporter/METRICS.md says how many) becomes a number, and nothing else is NaN;
- the commands of the runbooks run, those in sentences and tables on an engine that they may stop (mitigation.py); each alert's
  runbook is served where its runbook_url says; log lines fit the pipelines;
- the commands and queries of the monitoring guide work (conformance.tsv has them), and its scripts, where the guide is there;
- that it was started reaches Slack, the watchdog its heartbeat;
- a killed venue, a parked core thread, a stopped process, a limit that is used up and orders beyond it, an exhausted rate
  budget, a full ring of records, an audit log that is gone and answers with 5xx each reach their receiver as the alert that is
  theirs, and their end resolves it (faults.py).

Owns: main. Does not: test routes one by one (routing.py) or thresholds (promtool).
Usage: python -m stack.chain PATH_OF_VELOZ (in tools/checks)
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from . import catalogue, conformance, dashboards, delivery, faults, logs, mitigation, promql, rules, runbooks
from .located import ROOT, Problem
from .processes import Running, drained, free_ports, get, waited
from .verdicts import Verdicts, came

# Every duration in rules is divided by it: 5 minutes become 10 seconds.
DIVISOR = 30
DURATION = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=\bfor: )(\d+)([smhd])|(?<=\binterval: )(\d+)([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Of a dashboard's queries: those that show faults have no data while there is none.
SILENT = re.compile(r"> 0$|ALERTS")
# What the table of metrics says of those that have no value yet.
NAN = re.compile(r"^\| `(\w+)` .*; NaN ((?:below|while|without|before|until) [^|]*?)\. \|$", re.M)
# Names that the guide gives and promtool would not: they are kept as its clients know them.
DISLIKED = {"veloz_concentration_position_count", "veloz_market_data_lag_ms", "veloz_websocket_reconnects"}
# Where a query of the guide asks whether an objective is met.
OBJECTIVE = re.compile(r"(>=|<=) (\d)")
# Nothing that is waited for takes this long, also on a machine that has much else to do: what is waited for is always something
# that happens, and a time alone says only when to give up.
STACK_WAIT_S = 300


def divided(text):
    """The rules with every duration divided, at least a millisecond."""

    def shorter(match):
        number, unit = next((match.group(i), match.group(i + 1)) for i in (1, 3, 5) if match.group(i))
        return f"{int(number) * SECONDS[unit] * 1000 // DIVISOR}ms"

    return DURATION.sub(shorter, text)


def proven(original, short):
    """Whether nothing but durations differs: both without them are equal, and each is the other's DIVISOR-th part."""
    milliseconds = re.compile(r"(?<=\[)(\d+)ms(?=\])|(?<=\bfor: )(\d+)ms|(?<=\binterval: )(\d+)ms")
    of_original = [m.group(0) for m in DURATION.finditer(original)]
    of_short = [m.group(0) for m in milliseconds.finditer(short)]
    same = DURATION.sub("", original) == milliseconds.sub("", short)
    in_ms = [int(text[:-1]) * SECONDS[text[-1]] * 1000 for text in of_original]
    return same and [value // DIVISOR for value in in_ms] == [int(text[:-2]) for text in of_short]


def settled(problems):
    """What `problems` finds, as soon as that is nothing; what it found last when time is up. For what comes by itself, once."""
    end = time.monotonic() + STACK_WAIT_S
    while True:
        found = list(problems())
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.5)


def numbers(found):
    """The samples of an answer that are data."""
    return [sample for sample in found if sample["value"][1] != "NaN"]


def without_number(page):
    """Metrics that a page shows without a value; those of them of which the table of metrics does not say when."""
    shown = set(re.findall(r"^(\w+)(?:\{.*\})? NaN$", page, re.M))
    said = dict(NAN.findall((ROOT / "exporter" / "METRICS.md").read_text()))
    return [f"{name}: {said.get(name, 'at any time')}" for name in sorted(shown)], sorted(shown - said.keys())


def main():
    veloz = Path(sys.argv[1]).resolve()
    case = Verdicts()
    running = Running()
    with tempfile.TemporaryDirectory() as temporary:
        try:
            chain(case, running, veloz, Path(temporary))
        finally:
            running.end()
    return case.end()


def chain(case, running, veloz, folder):
    engine_port, prometheus_port, alertmanager_port, venue_port = free_ports(4)
    engine, prometheus = f"http://127.0.0.1:{engine_port}", f"http://127.0.0.1:{prometheus_port}"

    # A venue of its own process, so that it can be killed; the engine trades on it with an account.
    def start_venue():
        command = [veloz, "venue", "--port=0", f"--plain-port={venue_port}", f"--key-dir={folder}/keys"]
        venue = running.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        next(line for line in venue.stdout if line.startswith("plain"))
        drained(venue)
        return venue

    venue = start_venue()
    log = folder / "veloz.log"
    (folder / "audit").mkdir()
    settings = {
        "http.port": engine_port,
        "log.format": "json",
        "venue.source": "binance",
        "venue.execution_mode": "binance_testnet_spot",
        "venue.market_url": f"ws://localhost:{venue_port}/stream",
        "venue.api_url": f"ws://localhost:{venue_port}/ws-api/v3",
        "venue.private_key_file": f"{folder}/keys/ed25519.pem",
        "state.dir": f"{folder}/state",
        "strategy.kind": "market_maker",
        # Of a day there is nothing to see here.
        "analytics.period_s": 1,
    }
    with log.open("w") as out:
        core = running.start(
            [veloz, "run", "--no-status", *[f"--set={key}={value}" for key, value in settings.items()]],
            env=dict(
                os.environ,
                VELOZ_BINANCE_API_KEY_FILE=f"{folder}/keys/api_key",
                VELOZ_AUDIT_LOG_ENABLED="true",
                VELOZ_AUDIT_LOG_FILE=f"{folder}/audit/audit.log",
            ),
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip

    # Alertmanager, as in delivery.py.
    sink = delivery.Sink()
    sink_url = f"http://127.0.0.1:{sink.http.server_port}"
    delivery.make_secrets(folder, sink_url)
    config = delivery.rendered(folder, sink_url, sink.mail.server_address[1])
    alertmanager = delivery.start(folder, config, alertmanager_port)
    running.processes.append(alertmanager)
    drained(alertmanager)

    # Prometheus: the copy of its configuration, the divided rules, the runbooks.
    (folder / "prometheus").mkdir()
    config = rules.rendered_config(folder / "prometheus")
    text = config.read_text()
    for old, new in (
        ("veloz-gateway:8080", f"127.0.0.1:{engine_port}"),
        ("alertmanager:9093", f"127.0.0.1:{alertmanager_port}"),
        ("localhost:9090", f"127.0.0.1:{prometheus_port}"),
        ("scrape_interval: 15s", "scrape_interval: 500ms"),
        ("scrape_interval: 5s", "scrape_interval: 500ms"),
        ("evaluation_interval: 15s", "evaluation_interval: 500ms"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    config.write_text(text)
    all_proven = True
    for path in rules.files():
        short = divided(path.read_text())
        all_proven = all_proven and proven(path.read_text(), short)
        (folder / "prometheus" / "alerts" / path.name).write_text(short)
    case(f"the rules with durations divided by {DIVISOR} differ in nothing else", all_proven)
    assets = folder / "assets"
    assets.mkdir()
    (assets / "runbooks").symlink_to(ROOT / "docker" / "runbooks")
    waited(f"{engine}/health/live", log, STACK_WAIT_S)
    running.start(
        [
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{prometheus_port}", f"--web.external-url={prometheus}",
            f"--web.user-assets={assets}", "--web.enable-lifecycle", "--enable-feature=exemplar-storage", "--log.level=warn",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    waited(f"{prometheus}/-/ready", None, STACK_WAIT_S)

    def ask(expression):
        query = urllib.parse.urlencode({"query": expression})
        return json.loads(get(f"{prometheus}/api/v1/query?{query}"))["data"]["result"]

    # The engine alone, by its own page.
    case("Prometheus scrapes the engine", came(lambda: ask('up{job="veloz-gateway"} == 1'), STACK_WAIT_S))
    page = folder / "page.txt"
    series = None

    def unknown_to_the_page():
        """The page has every series once each kind of thing has happened: an order, a fill, an answer."""
        nonlocal series
        page.write_text(get(f"{engine}/metrics"))
        series = catalogue.build([page])
        rules.learn(series)
        return _expressions(series)

    settled(unknown_to_the_page)
    linted = subprocess.run(["promtool", "check", "metrics"], input=page.read_text(), capture_output=True, text=True)
    disliked = {line.split()[0] for line in (linted.stdout + linted.stderr).splitlines() if line.strip()}
    case("promtool dislikes the guide's three names and nothing else on the page", disliked == DISLIKED, sorted(disliked ^ DISLIKED))
    alertmanager_address = f"http://127.0.0.1:{alertmanager_port}"
    os.environ.update(STACK_ENGINE=engine, STACK_LOG=str(log), STACK_PROMETHEUS=prometheus, STACK_ALERTMANAGER=alertmanager_address)
    for name, check in (
        ("rules", lambda: [p for p in _expressions(series)]),
        ("dashboards", lambda: dashboards.check(series)),
        ("runbooks, their commands among it", lambda: runbooks.check(series)),
        ("log lines", lambda: list(logs.follow(log))),
    ):
        problems = check()
        case(f"{name} fit what the engine shows", not problems, "; ".join(map(str, problems[:5])))
    for name in sorted(series.used_expected):
        print(f"not yet shown by the engine: {name}")

    evaluated = []

    def not_yet_evaluated():
        nonlocal evaluated
        groups = json.loads(get(f"{prometheus}/api/v1/rules"))["data"]["groups"]
        evaluated = [rule for group in groups for rule in group["rules"]]
        return [rule["name"] for rule in evaluated if rule["health"] == "unknown"]

    pending = settled(not_yet_evaluated)
    case("every rule is evaluated", not pending, pending[:3])
    broken = [f"{rule['name']}: {rule.get('lastError')}" for rule in evaluated if rule["health"] == "err"]
    case(f"{len(evaluated)} rules are evaluated without a fault", evaluated and not broken, broken[:3])

    # Dashboards: data for whatever is about series that exist.
    asked, left_out = [], 0
    waiting = _waiting(series)
    for path, line, expression in dashboards.queries("prometheus"):
        uses = promql.read(expression).selectors
        if any(_coming(series, use) or use.metric in waiting for use in uses):
            left_out += 1
        elif not SILENT.search(expression):
            short = DURATION.sub(lambda match: f"{max(int(match.group(1)) * SECONDS[match.group(2)] // DIVISOR, 3)}s", expression)
            asked.append((str(Problem(path, line, expression)), short))
    empty = settled(lambda: [place for place, short in asked if not numbers(ask(short))])
    case(f"{len(asked)} queries of dashboards have data ({left_out} wait for metrics)", not empty, "; ".join(empty[:5]))

    never = set()

    def unknown_figures():
        figures, unsaid = without_number(get(f"{engine}/metrics"))
        never.update(unsaid)
        return figures

    figures = settled(unknown_figures)
    case("what needs a minimum of periods has become a number", not figures, "; ".join(figures))
    case("nothing is NaN of which the table of metrics does not say so", not never, sorted(never))

    fired = sorted({found["metric"]["alertname"] for found in ask('max_over_time(ALERTS{alertstate="firing",alertname=~"OrderSuccess.*"}[10m])')})
    case("a strategy that quotes undisturbed fires no alert about its orders", not fired, fired)

    missing = []
    for _, _, rule in rules.alerts():
        url = rule["annotations"]["runbook_url"].replace("{{ $externalURL }}", prometheus)
        try:
            if f"# {rule['alert']}" not in get(url):
                missing.append(url)
        except urllib.error.URLError:
            missing.append(url)
    case("Prometheus serves the runbook of every alert", not missing, missing[:3])

    ports = {
        "127.0.0.1:8080": f"127.0.0.1:{engine_port}",
        "localhost:9090": f"127.0.0.1:{prometheus_port}",
        "localhost:9093": f"127.0.0.1:{alertmanager_port}",
    }
    guide_commands(case, ports)
    guide_queries(case, series, ask)
    guide_scripts(case, ports)
    guide_gateway(case, running, veloz, folder)

    mitigation.run(case, running, veloz, folder)

    # What fires, and faults.
    slack = lambda path, _, body: path == "/slack" and "VeloZRestarted" in body
    heartbeat = lambda path, _, __: path == "/heartbeats/veloz/ping"
    case("the start of the engine reaches Slack", sink.arrived("start", slack, STACK_WAIT_S))
    case("the watchdog reaches its heartbeat", sink.arrived("watchdog", heartbeat, STACK_WAIT_S))
    # An engine that gets no turn on this machine is down as far as anybody sees; then the page is right.
    seen = {
        "VeloZGatewayDown": 'min_over_time(up{job="veloz-gateway"}[1h]) == 0',
        "VeloZEngineDown": "min_over_time(veloz_engine_running[1h]) == 0",
        "NoBookLive": 'min_over_time((max by (job, instance) (veloz_orderbook_state{state="live"}))[1h:500ms]) == 0',
    }
    for name, expression in seen.items():
        paged = sink.arrived("nothing", delivery.pagerduty("key-critical", name), 0) is not None
        case(f"an engine that runs, as Prometheus saw it, does not page {name}", not paged or ask(expression))

    # More engines for more faults at a time; Prometheus goes on, and reads of them.
    spoilt = faults.engines(running, veloz, folder)
    one = f"'127.0.0.1:{engine_port}'"
    assert config.read_text().count(f"[{one}]") == 1
    all_of_them = ", ".join([one, *(f"'{more.address}'" for more in spoilt.values())])
    config.write_text(config.read_text().replace(f"[{one}]", f"[{all_of_them}]"))
    urllib.request.urlopen(urllib.request.Request(f"{prometheus}/-/reload", method="POST"), timeout=60).read()
    up = lambda: len(ask('up{job="veloz-gateway"} == 1')) == 1 + len(spoilt)
    case(f"Prometheus scrapes {len(spoilt)} more engines", came(up, STACK_WAIT_S))

    def main_engine(receivers):
        address = f"127.0.0.1:{engine_port}"
        before = receivers.quiet("NoBookLive", address)
        venue.kill()
        venue.wait()
        paged = receivers.page("NoBookLive", address, since=before)
        case("a killed venue pages as NoBookLive", paged)
        case("and warns as VeloZWebSocketDisconnected", receivers.warning("VeloZWebSocketDisconnected", address))
        start_venue()
        case("a venue that is back resolves it", receivers.resolved(paged))

        before = receivers.quiet("VeloZEngineDown", address)
        parked = faults.Parked(core.pid, "veloz-core")
        paged = receivers.page("VeloZEngineDown", address, since=before)
        parked.release()
        case("a parked core pages as VeloZEngineDown", paged)
        case("a core that turns again resolves it", receivers.resolved(paged))

        before = receivers.quiet("VeloZGatewayDown", address)
        core.send_signal(signal.SIGSTOP)
        paged = receivers.page("VeloZGatewayDown", address, since=before)
        core.send_signal(signal.SIGCONT)
        case("a stopped engine pages as VeloZGatewayDown", paged)
        case("an engine that goes on resolves it", receivers.resolved(paged))

    faults.run(case, sink, spoilt, main_engine)


def _here(text, ports):
    """The guide's text with the addresses of this test."""
    for old, new in ports.items():
        text = text.replace(old, new)
    return text


def guide_commands(case, ports):
    """Runs the guide's commands that are about the engine, Prometheus or Alertmanager: each answers, and with something."""
    failed, ran = [], 0
    for _, row in conformance.answers():
        if row["kind"] != "command" or "chain.py::guide_commands" not in row["proof"]:
            continue
        command = row["item"].split(" / ", 2)[2]
        # The stream has no end; everything else has one, and no error.
        stream = "curl -N" in command
        short = command.replace("curl ", f"curl --silent --show-error --fail --max-time {10 if stream else 60} ", 1)
        done = subprocess.run(["bash", "-c", _here(short, ports)], capture_output=True, text=True, check=False)
        ran += 1
        if done.returncode not in ((28,) if stream else (0,)) or not done.stdout.strip():
            failed.append(f"{command}: exit {done.returncode}, {(done.stderr or done.stdout).strip()}")
    case(f"{ran} commands of the guide answer", ran and not failed, "; ".join(failed))


def guide_queries(case, series, ask):
    """Asks the guide's PromQL, comparisons for their truth; those of what the engine shows have data, but for a rate of server errors."""
    waiting = _waiting(series)
    asked, left_out = [], 0
    for _, row in conformance.answers():
        if row["kind"] != "query" or "chain.py::guide_queries" not in row["proof"]:
            continue
        query = row["item"].split(" / ", 2)[2]
        uses = promql.read(query).selectors
        if any(_coming(series, use) or use.metric in waiting for use in uses):
            left_out += 1
            continue
        asked.append(query)

    def without_data():
        for query in asked:
            try:
                # What a busy machine does not meet is still data: 0 instead of nothing.
                found = ask(OBJECTIVE.sub(r"\1 bool \2", query))
            except urllib.error.HTTPError as fault:
                yield f"{query}: {fault.read().decode()}"
                continue
            if not numbers(found) and "5.." not in query:
                yield f"{query}: no data"

    failed = settled(without_data)
    case(f"{len(asked)} queries of the guide have data ({left_out} wait for metrics)", asked and not failed, "; ".join(failed))


def guide_scripts(case, ports):
    """Runs the scripts of the guide, where it lies beside the project: each says every few seconds what it should."""
    guide = conformance.guide()
    if guide is None:
        print("the guide's scripts are not run: the guide is not here (VELOZ_GUIDE)")
        return
    said = {"health_monitor.sh": r"\[[-0-9: ]+\] OK\n", "market data latency": r"Market data latency: -?\d{1,5}ms\n"}
    scripts = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", guide.read_text(), re.S)
    for name, wanted in said.items():
        (script,) = [text for text in scripts if name in text]
        # It says a line, and goes on; with its children it is a group, which is ended as one.
        running = subprocess.Popen(["bash", "-c", _here(script, ports)], stdout=subprocess.PIPE, text=True, start_new_session=True)
        first, _, _ = select.select([running.stdout], [], [], STACK_WAIT_S)
        output = running.stdout.readline() if first else ""
        goes_on = running.poll() is None
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        case(f"the guide's script {name} works", re.fullmatch(wanted, output) and goes_on, output)


def guide_gateway(case, running, veloz, folder):
    """Runs the guide's block that turns the audit log on and starts the gateway, with this program and files here."""
    (port,) = free_ports(1)
    (folder / "gateway").mkdir()
    (folder / "password").write_text("correct horse battery staple")
    (folder / "password").chmod(0o600)
    variables = {
        "VELOZ_AUTH_ENABLED": "true",
        "VELOZ_AUDIT_LOG_ENABLED": "true",
        "VELOZ_AUDIT_LOG_FILE": f"{folder}/gateway/audit.log",
        "VELOZ_ADMIN_PASSWORD_FILE": f"{folder}/password",
        "VELOZ_STATE__DIR": f"{folder}/gateway",
        "VELOZ_HTTP__PORT": str(port),
        "PROGRAM": str(veloz),
    }
    log = folder / "gateway.log"
    with log.open("w") as out:
        gateway = running.start(
            [ROOT / "scripts" / "run_gateway.sh", "dev", "--no-status"],
            env=dict(os.environ, **variables), stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    waited(f"http://127.0.0.1:{port}/health", log, STACK_WAIT_S)
    login = json.dumps({"user_id": "admin", "password": "not this one"}).encode()
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/auth/login", login, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60)
        status = 200
    except urllib.error.HTTPError as refused:
        status = refused.code
    audit = Path(variables["VELOZ_AUDIT_LOG_FILE"])
    logged = lambda: audit.exists() and '"log_type":"auth"' in audit.read_text()
    good = came(logged, STACK_WAIT_S) and status == 401
    case("the guide's run_gateway.sh starts an engine with logins, which are in its audit log", good, log.read_text()[-800:])
    gateway.terminate()
    gateway.wait(timeout=STACK_WAIT_S)


def _coming(series, use):
    if use.metric in series.expected and use.metric not in series.labels:
        return True
    return any(value in series.expected_values.get((use.metric, label), ()) for label, _, value in use.matchers) or any(
        operator == "Re" and set(value.split("|")) & series.expected_values.get((use.metric, label), set())
        for label, operator, value in use.matchers
    )


def _waiting(series):
    """Recordings that are made of what the engine does not show yet, directly or through others."""
    waiting = set()
    while True:
        before = len(waiting)
        for _, _, rule in rules.rules():
            uses = promql.read(rule["expr"]).selectors
            if "record" in rule and any(_coming(series, use) or use.metric in waiting for use in uses):
                waiting.add(rule["record"])
        if len(waiting) == before:
            return waiting


def _expressions(series):
    for path, _, rule in rules.rules():
        for sentence in catalogue.check_expression(series, promql.read(rule["expr"])):
            yield Problem(path, rule.lines["expr"], sentence)


if __name__ == "__main__":
    sys.exit(main())
