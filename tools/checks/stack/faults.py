"""Faults of running engines, each until the alert that is its own has come and gone.

Owns: run; the engines that are spoilt, and how. Does not: start Prometheus or Alertmanager, or know a threshold. Faults run
at once where they need not wait for each other: each engine has a thread here, which parks what is to be parked, because the
kernel knows one tracer of a thread. An alert counts when the receiver that the routes name has it, with the engine's
address in it.
"""

import contextlib
import ctypes
import json
import os
import re
import resource
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from .processes import free_ports

# Nothing that is waited for takes this long, also on a machine that has much else to do.
WAIT_S = 300
# Connections that each have a command under way. Nobody hears the core's answers while the drain is parked, so each is free
# again after two seconds; a batch is less than the core's queue of commands holds.
FLOOD, BATCH = 750, 50


class Parked:
    """A thread of a process, held by ptrace while every other one goes on. Made and released on one thread."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, process, name):
        tasks = Path(f"/proc/{process}/task")
        (self.thread,) = [int(task.name) for task in tasks.iterdir() if (task / "comm").read_text().strip() == name]
        self.libc = ctypes.CDLL(None, use_errno=True)
        self._ptrace(self.SEIZE)
        self._ptrace(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)

    def _ptrace(self, request):
        if self.libc.ptrace(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def release(self):
        """Lets it go on."""
        self._ptrace(self.DETACH)


class Engine:
    """An engine on its embedded venue that trades only what it is told."""

    def __init__(self, running, veloz, folder, name, **settings):
        (self.port,), self.name = free_ports(1), name
        self.address = f"127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        settings = {"http.port": self.port, "strategy.kind": "none", **settings}
        arguments = [f"--set={key.replace('__', '.')}={value}" for key, value in settings.items()]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VELOZ_")}
        with self.log.open("w") as out:
            self.process = running.start(
                [veloz, "run", "--no-status", *arguments], env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        self.until("trades", lambda: self.ask("GET", "/health/ready")[0] == 200)

    def ask(self, method, path, body=None):
        """Status and JSON of an answer; no status while nobody listens."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())
        except OSError:
            return None, {}

    def metric(self, sample):
        """A value of the page."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=WAIT_S) as page:
            found = re.search(rf"^{re.escape(sample)} (\S+)$", page.read().decode(), re.M)
        return float(found.group(1)) if found else None

    def until(self, what, holds):
        end = time.monotonic() + WAIT_S
        while not holds():
            if time.monotonic() > end or self.process.poll() is not None:
                tail = self.log.read_text()[-2000:]
                raise AssertionError(f"{self.name}: not in {WAIT_S} s: {what}\n{tail}")
            time.sleep(0.1)

    def far_bid(self):
        """A price that rests: two percent below the best bid, on the grid of a cent."""
        self.until("has a bid", lambda: self.ask("GET", "/api/book?symbol=BTCUSDT")[1].get("bids"))
        (price, *_) = self.ask("GET", "/api/book?symbol=BTCUSDT")[1]["bids"][0]
        return f"{float(price) * 0.98:.2f}"


class Receivers:
    """What came to which receiver, of which engine."""

    def __init__(self, case, sink):
        self.case, self.sink = case, sink
        # A warning of one alert about two engines: they are one group to Alertmanager, whose end is that of the last.
        self.shared = None

    def page(self, name, address, key="key-critical", since=0):
        """PagerDuty's event of this alert about this engine, among what came after the first `since` messages."""
        return self.sink.arrived(name, lambda *message: _pages(*message, name, address, key), WAIT_S, since)

    def quiet(self, name, address):
        """How many messages there are, once every page of this alert about this engine is over. A machine that gave the engine no
        turn for a while may have paged before; what comes after is the fault's."""
        end = time.monotonic() + WAIT_S
        while True:
            with self.sink.lock:
                messages = list(self.sink.messages)
            open_pages = set()
            for path, _, body in messages:
                if path != "/pagerduty":
                    continue
                event = json.loads(body)
                if event["event_action"] == "resolve":
                    open_pages.discard(event["dedup_key"])
                elif name in body and address in body:
                    open_pages.add(event["dedup_key"])
            if not open_pages:
                return len(messages)
            if time.monotonic() > end:
                raise AssertionError(f"{name} about {address} does not end before anything is spoilt")
            time.sleep(0.2)

    def resolved(self, page):
        """Whether PagerDuty was told the end of a page."""
        if page is None:
            return False
        key = json.loads(page[2])["dedup_key"]
        end = lambda path, _, body: path == "/pagerduty" and key in body and '"event_action":"resolve"' in body
        return self.sink.arrived("end", end, WAIT_S, self.sink.place(page)) is not None

    def warning(self, name, address):
        """Opsgenie's alert of this name about this engine."""
        wanted = lambda path, _, body: path == "/opsgenie/v2/alerts" and name in body and address in body
        return self.sink.arrived(name, wanted, WAIT_S)

    def closed(self, warning):
        """Whether Opsgenie was told the end of a warning."""
        if warning is None:
            return False
        alias = json.loads(warning[2])["alias"]
        end = lambda path, _, __: path.startswith(f"/opsgenie/v2/alerts/{alias}/close")
        return self.sink.arrived("end", end, WAIT_S) is not None


def _pages(path, _, body, name, address, key):
    return (
        path == "/pagerduty" and f'"{key}"' in body and '"event_action":"trigger"' in body and name in body and address in body
    )  # fmt: skip


class Repeated:
    """Something that is done again and again, with a pause, until the block ends."""

    def __init__(self, action, pause_s):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(action, pause_s), daemon=True)

    def _run(self, action, pause_s):
        while not self.ended.wait(pause_s):
            action()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def engines(running, veloz, folder):
    """The engines that are spoilt, beside the one that the rest of the chain looks at."""
    # One connection of ours each, and as many of theirs.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files[1], 4 * FLOOD), files[1]))
    audit = folder / "kept" / "audit"
    (folder / "kept").mkdir()
    no_limit = {"risk__orders_per_second_max": "none"}
    return {
        "limits": Engine(running, veloz, folder, "limits", audit__dir=audit, **no_limit),
        "budget": Engine(running, veloz, folder, "budget", **no_limit),
        "ring": Engine(running, veloz, folder, "ring", http__connections_max=2 * FLOOD),
    }


def run(case, sink, spoilt, main):
    """Spoils all of them at once; `main` does what concerns the engine of the chain itself."""
    receivers = Receivers(case, sink)
    jobs = [
        lambda: main(receivers),
        lambda: limit_breached(receivers, spoilt["limits"]),
        lambda: audit_unwritable(receivers, spoilt["limits"]),
        lambda: budget_exhausted(receivers, spoilt["budget"]),
        lambda: ring_filled(receivers, spoilt["ring"]),
    ]

    def guarded(job):
        try:
            job()
        except Exception as fault:  # noqa: BLE001 (a fault of one must not hide the others)
            case("every fault is provoked", False, f"{type(fault).__name__}: {fault}")

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    case("no more 5xx of either engine end ErrorRateAboveObjective", receivers.closed(receivers.shared))


def order(engine, price, **more):
    return engine.ask("POST", "/api/order", {"side": "BUY", "symbol": "BTCUSDT", "qty": 0.001, "price": price, "type": "LIMIT", **more})


def limit_breached(receivers, engine):
    """Two orders rest, the limit becomes two, and more are asked for."""
    case, price = receivers.case, engine.far_bid()
    # An answer that the core does not give in time leaves the outcome open, so what rests is asked of the page.
    rests = lambda: (engine.metric("veloz_active_orders") or 0) >= 2
    engine.until("two orders rest", lambda: rests() or (order(engine, price, tif="GTC") and rests()))
    case("two orders rest", True)
    limit = {"global": {"open_orders_max": 2}}
    engine.until("a limit is tightened", lambda: engine.ask("POST", "/api/risk/limits", limit)[0] == 200)
    answered = []

    def refused():
        answered.append(order(engine, price))
        return answered[-1][0] in (409, 422)

    engine.until("refuses an order", refused)
    case(
        "an order beyond it is refused for it, and none is taken",
        "max_open_orders" in json.dumps(answered[-1]) and not any(status == 200 for status, _ in answered), answered,
    )  # fmt: skip
    with Repeated(lambda: order(engine, price), 0.2):
        risk = receivers.page("Risk Alert: ", engine.address, "key-risk")
        used = receivers.page("CriticalRiskUtilization", engine.address)
        case("a limit that is used up pages risk and who is on call, as CriticalRiskUtilization", risk and used)
        spike = receivers.warning("RiskRejectionsSpike", engine.address)
        case("orders beyond it warn as RiskRejectionsSpike", spike)
    # What rests is taken back. The limit stays: one that was set over the API is not loosened by files.
    taken_back = lambda: engine.metric("veloz_active_orders") == 0
    engine.until(
        "nothing rests",
        lambda: taken_back() or (engine.ask("POST", "/api/cancel-all", {})[0] in (200, 202) and taken_back()),
    )
    case("no more orders, and none that rest, resolve both", receivers.resolved(used) and receivers.closed(spike))


def audit_unwritable(receivers, engine):
    """The directory of the audit log is gone: administrative actions are refused, with 503."""
    case = receivers.case
    archived = lambda: engine.ask("POST", "/api/audit/archive")[0] == 200
    engine.until("an administrative action is taken", archived)
    kept = engine.log.parent / "kept"
    (kept / "audit").rename(kept / "moved")
    refused = engine.ask("POST", "/api/audit/archive")
    case("without an audit log it is refused with 503", refused[0] == 503, refused)
    with Repeated(lambda: engine.ask("POST", "/api/audit/archive"), 0.2):
        page = receivers.page("AuditUnwritable", engine.address)
        case("an audit log that cannot be written pages as AuditUnwritable", page)
        errors = receivers.warning("ErrorRateAboveObjective", engine.address)
        case("answers with 5xx warn as ErrorRateAboveObjective", errors)
    (kept / "moved").rename(kept / "audit")
    engine.until("an audit log that is back takes the action", archived)
    case("an audit log that is back takes the action, and resolves the page", receivers.resolved(page))
    receivers.shared = errors


def budget_exhausted(receivers, engine):
    """Orders that end at once, one after the other, until the venue's budget has no more for orders."""
    case, price = receivers.case, engine.far_bid()
    answers = deque(maxlen=1)
    with Repeated(lambda: answers.append(order(engine, price, tif="IOC")), 0.005):
        engine.until("refuses for the budget", lambda: answers and "venue_rate_budget" in json.dumps(answers[0][1]))
        trading = receivers.page("Trading Alert: ", engine.address, "key-trading")
        page = receivers.page("RateBudgetExhausted", engine.address)
    case("an exhausted rate budget pages trading and who is on call, as RateBudgetExhausted", trading and page)
    case("the venue's next window resolves it", receivers.resolved(page))
    engine.until("orders are taken again", lambda: order(engine, price, tif="IOC")[0] == 200)
    case("and orders are taken again", True)


def ring_filled(receivers, engine):
    """The drain is parked, which pages by itself; then the core is given commands, whose answers fill the ring of records."""
    case = receivers.case
    before = receivers.quiet("TelemetryBacklog", engine.address)
    connections = [HTTPConnection(engine.address, timeout=WAIT_S) for _ in range(FLOOD)]
    parked = Parked(engine.process.pid, "veloz-drain")
    statuses = set()

    def flood():
        for start in range(0, FLOOD, BATCH):
            # Each changes the state of trading, which is a record, and is answered, which is another.
            for number, connection in enumerate(connections[start : start + BATCH]):
                with contextlib.suppress(HTTPException, OSError):
                    connection.request("POST", ("/api/halt", "/api/resume")[number % 2])
            time.sleep(0.02)
        for connection in connections:
            try:
                answer = connection.getresponse()
                answer.read()
                statuses.add(answer.status)
            except (HTTPException, OSError):
                # A connection that was idle for too long; the next request makes another.
                connection.close()

    try:
        backlog = receivers.page("TelemetryBacklog", engine.address, since=before)
        case("a drain that stands still pages as TelemetryBacklog", backlog and engine.metric("veloz_telemetry_backlog") == 0)
        case("and what waits is told all the same", engine.metric('veloz_ring_used{ring="samples"}') > 0)

        # A quarter of a minute on a machine that does nothing else; the server's thread is the last to get a turn on another.
        def flood_until(what, holds):
            end = time.monotonic() + 2 * WAIT_S
            while not (good := holds()) and time.monotonic() < end:
                flood()
            case(what, good)

        flood_until("a ring of records is past its mark", lambda: engine.metric("veloz_telemetry_backlog") == 1)
        errors = receivers.warning("ErrorRateAboveObjective", engine.address)
        # 408 is to a request that we did not get a turn to finish.
        case("commands that nobody answers end with 503", 503 in statuses and statuses <= {503, 408}, statuses)
        case("and these warn as ErrorRateAboveObjective", errors)
        flood_until("a ring of records is full", lambda: engine.metric('veloz_ring_lost_total{ring="records"}') > 0)
        page = receivers.page("TelemetryRecordsLost", engine.address)
        case("a full ring pages as TelemetryRecordsLost, while the drain stands still", page)
    finally:
        parked.release()
        for connection in connections:
            connection.close()
    case("a drain that turns again resolves both pages", receivers.resolved(backlog) and receivers.resolved(page))
