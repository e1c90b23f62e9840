"""Does the real Alertmanager deliver what our configuration says?

Starts it on loopback with docker/alertmanager/alertmanager.yml and its templates, in which only addresses, the files of
secrets and the waits are replaced, and a receiver that records what arrives. Then: a critical alert pages, a warning
reaches Opsgenie, trading and risk alerts reach both their receivers, information reaches Slack, the watchdog its
heartbeat, mail goes out; a page is resolved; critical inhibits warning, by name and by topic; a dead gateway and a dead
engine inhibit what they explain, and only on their instance. And: a missing secret ends the start of each service that
has one with a sentence, the engine's too, and an operator who rehearses with `veloz alert-sink` sees the same deliveries, and no key.

Owns: main. Prints one line a case.
Usage: python -m stack.delivery [PATH_OF_VELOZ] (in tools/checks); without the program nothing is rehearsed with it
"""

import json
import os
import queue
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .located import ROOT, load
from .processes import drained, free_ports
from .verdicts import Verdicts

FOLDER = ROOT / "docker" / "alertmanager"
# Nothing that is waited for takes this long; silence is believed after the second.
ARRIVES_S, SILENT_S = 20, 3


class Sink:
    """Records requests and mails; `arrived` waits for one."""

    def __init__(self):
        self.lock = threading.Condition()
        self.messages = []
        sink = self

        class Http(BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802 (the base class names it)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                sink.put((self.path, self.headers.get("Authorization"), body))
                self.send_response(202)
                self.end_headers()
                self.wfile.write(b"{}")

            do_PUT = do_POST  # noqa: N815

            def log_message(self, *_):
                pass

        class Mail(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"220 sink\r\n")
                data = None
                for raw in self.rfile:
                    line = raw.decode(errors="replace")
                    word = line.strip().upper()
                    if data is not None:
                        if line == ".\r\n":
                            sink.put(("mail", None, "".join(data)))
                            data = None
                            self.wfile.write(b"250 ok\r\n")
                        else:
                            data.append(line)
                    elif word.startswith("EHLO"):
                        self.wfile.write(b"250-sink\r\n250 AUTH PLAIN LOGIN\r\n")
                    elif word.startswith("AUTH"):
                        sink.put(("mail-auth", None, line))
                        self.wfile.write(b"235 ok\r\n")
                    elif word == "DATA":
                        data = []
                        self.wfile.write(b"354 go\r\n")
                    elif word == "QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    else:
                        self.wfile.write(b"250 ok\r\n")

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
        self.mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
        for server in (self.http, self.mail):
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def put(self, message):
        with self.lock:
            self.messages.append(message)
            self.lock.notify_all()

    def place(self, message):
        """How many messages had come before this one."""
        with self.lock:
            return next(at for at, one in enumerate(self.messages) if one is message)

    def arrived(self, what, wanted, seconds=ARRIVES_S, since=0):
        """The first message after the first `since` that `wanted` accepts, waiting for it; None when none came."""
        end = time.monotonic() + seconds
        with self.lock:
            while True:
                for message in self.messages[since:]:
                    if wanted(*message):
                        return message
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.lock.wait(left)


def rendered(folder, http, mail_port):
    """The configuration with loopback addresses and short waits; everything else stays."""
    text = (FOLDER / "alertmanager.yml").read_text()
    for old, new in (
        ("https://events.pagerduty.com/v2/enqueue", f"{http}/pagerduty"),
        ("https://api.opsgenie.com/v2/heartbeats", f"{http}/heartbeats"),
        ("https://api.opsgenie.com/", f"{http}/opsgenie/"),
        ("smtp.example.com:587", f"127.0.0.1:{mail_port}"),
        ("/run/secrets/", f"{folder}/secrets/"),
        ("/etc/alertmanager/templates/", f"{FOLDER}/templates/"),
        # Loopback has no TLS.
        ("  smtp_from:", "  smtp_require_tls: false\n  smtp_from:"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    text = re.sub(r"group_wait: \S+", "group_wait: 100ms", text)
    text = re.sub(r"group_interval: \S+", "group_interval: 1s", text)
    path = folder / "alertmanager.yml"
    path.write_text(text)
    return path


def make_secrets(folder, http):
    """Every secret of the stack, each with a value that tells it from the others."""
    variables = dict(
        os.environ,
        SMTP_USERNAME="mailer@example.org",
        SMTP_PASSWORD="mail-secret",
        SLACK_WEBHOOK_URL=f"{http}/slack",
        PAGERDUTY_SERVICE_KEY="key-critical",
        PAGERDUTY_TRADING_KEY="key-trading",
        PAGERDUTY_RISK_KEY="key-risk",
        OPSGENIE_API_KEY="key-opsgenie",
    )
    make = ["sh", str(ROOT / "docker" / "make-secrets.sh"), str(folder / "secrets")]
    subprocess.run(make, env=variables, check=True, stdout=subprocess.DEVNULL)


def ready(running, port):
    """Waits until Alertmanager serves; what it says is read meanwhile and afterwards, so that it never waits for a reader."""
    drained(running)
    until = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=20).read()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until or running.poll() is not None:
                raise SystemExit("Alertmanager does not start") from None
            time.sleep(0.2)


def start(folder, config, port):
    environment = dict(
        os.environ,
        SECRETS_DIR=str(folder / "secrets"),
        ALERTMANAGER_CONFIG=str(config),
        ALERTMANAGER_RENDERED=str(folder / "rendered.yml"),
        ALERTMANAGER_BIN="prometheus-alertmanager",
    )
    secrets = ["smtp_username", "smtp_password", "slack_webhook_url", "opsgenie_api_key"]
    secrets += ["pagerduty_service_key", "pagerduty_trading_key", "pagerduty_risk_key"]
    command = ["sh", str(ROOT / "docker" / "require-secrets.sh"), *secrets, "--", "sh", str(FOLDER / "start.sh")]
    command += [f"--storage.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def post(port, alerts):
    body = json.dumps(alerts).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).read()


def alert(name, severity, service, instance="a:8080", ends=None, **more):
    now = datetime.now(timezone.utc)
    return {
        "labels": {"alertname": name, "severity": severity, "service": service, "instance": instance, **more},
        "annotations": {
            "summary": f"summary of {name}",
            "description": f"description of {name}",
            "runbook_url": f"http://prometheus:9090/user/runbooks/{name}.md",
        },
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        "endsAt": (ends or now + timedelta(hours=1)).isoformat(),
    }


def main():
    case = Verdicts()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sink = Sink()
        http = f"http://127.0.0.1:{sink.http.server_port}"
        make_secrets(folder, http)
        config = rendered(folder, http, sink.mail.server_address[1])
        (port,) = free_ports(1)

        # A missing secret: one sentence, before anything starts.
        hidden = folder / "secrets" / "pagerduty_risk_key"
        kept = hidden.read_text()
        hidden.unlink()
        refused = start(folder, config, port)
        said = refused.communicate(timeout=20)[0]
        case(
            "a missing secret ends the start with a sentence that names it",
            refused.returncode == 78 and said.count("\n") == 1 and str(hidden) in said,
        )
        hidden.write_text(kept)
        entry_points(case, folder / "secrets")

        running = start(folder, config, port)
        try:
            ready(running, port)
            cases(case, sink, port)
        finally:
            running.terminate()
            running.wait(timeout=20)
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as temporary:
            engine_secrets(case, Path(sys.argv[1]).resolve(), Path(temporary))
            rehearsal(case, Path(sys.argv[1]).resolve(), Path(temporary))
    else:
        print("not rehearsed with veloz alert-sink: no PATH_OF_VELOZ")
    return case.end()


def entry_points(case, secrets):
    """What docker-compose.yml starts of its services that have secrets, with each of them missing and empty in turn."""
    for name, service in load(ROOT / "docker" / "docker-compose.yml")["services"].items():
        entry = service.get("entrypoint", [])
        if "--" not in entry:
            continue
        asked = entry[2 : entry.index("--")]
        # The script of this repository, as it is mounted; what it starts is another test's.
        command = ["sh", str(ROOT / "docker" / "require-secrets.sh"), *asked, "--", "echo", "started"]
        run = lambda command=command: subprocess.run(
            command, env=dict(os.environ, SECRETS_DIR=str(secrets)), capture_output=True, text=True, check=False
        )
        good = run().stdout == "started\n"
        for secret in asked:
            path, moved = secrets / secret, secrets / "moved"
            path.rename(moved)
            missing = run()
            path.touch()
            empty = run()
            path.unlink()
            moved.rename(path)
            for refused in (missing, empty):
                said = refused.stderr
                good = good and refused.returncode == 78 and not refused.stdout and said.count("\n") == 1 and str(path) in said
        case(f"{name} starts with its {len(asked)} secrets, and without one says which", good)


def engine_secrets(case, veloz, folder):
    """The engine names the variable and the file of a secret that is not there, before anything starts."""
    for variable in ("VELOZ_ADMIN_PASSWORD_FILE", "VELOZ_AUTH__SCRAPE_TOKEN_FILE", "VELOZ_BINANCE_API_KEY_FILE"):
        path = folder / "no-such-secret"
        quiet = {key: value for key, value in os.environ.items() if not key.startswith("VELOZ_")}
        refused = subprocess.run(
            [str(veloz), "run", "--no-status", "--set=http.port=0", "--for=5"],
            env=dict(quiet, **{variable: str(path)}), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said = refused.stderr + refused.stdout
        good = refused.returncode == 2 and said.count("\n") == 1 and variable in said and str(path) in said
        case(f"the engine without the file of {variable} says so", good)


def rehearsal(case, veloz, folder):
    """What docker/README.md tells an operator to do: another Alertmanager, with the program as every receiver."""
    port, sink_port, nobody = free_ports(3)
    sink = subprocess.Popen([str(veloz), "alert-sink", f"--port={sink_port}"], stdout=subprocess.PIPE, text=True)
    running = None
    lines, seen = queue.Queue(), []

    def read():
        for line in sink.stdout:
            lines.put(line)

    def told(**wanted):
        """Whether a line with these values comes; each value is equal, or for `text` a part."""
        end = time.monotonic() + ARRIVES_S
        fits = lambda line: all(
            value in (line.get(key) or "") if key == "text" else line.get(key) == value for key, value in wanted.items()
        )
        while not any(fits(line) for line in seen):
            try:
                seen.append(json.loads(lines.get(timeout=max(end - time.monotonic(), 0))))
            except queue.Empty:
                return False
        return True

    try:
        threading.Thread(target=read, daemon=True).start()
        case("veloz alert-sink says where it listens", told(listening=f"http://127.0.0.1:{sink_port}"))
        make_secrets(folder, f"http://127.0.0.1:{sink_port}")
        # No mail in a rehearsal: nobody listens there.
        running = start(folder, rendered(folder, f"http://127.0.0.1:{sink_port}", nobody), port)
        ready(running, port)
        post(port, [alert("PageX", "critical", "engine")])
        case("it tells a page", told(kind="pagerduty", status="firing", text="summary of PageX"))
        post(port, [alert("WarnX", "warning", "gateway"), alert("InfoX", "info", "engine"), alert("Watchdog", "none", "monitoring")])
        case("a warning", told(kind="opsgenie", status="firing", text="WarnX"))
        case("information in Slack", told(kind="slack", text="InfoX"))
        case("and the watchdog's heartbeat", told(kind="webhook", status="firing", alerts=["Watchdog"]))
        past = datetime.now(timezone.utc)
        post(port, [alert("PageX", "critical", "engine", ends=past), alert("WarnX", "warning", "gateway", ends=past)])
        case("the end of the page", told(kind="pagerduty", status="resolved", text="PageX"))
        case("and of the warning", told(kind="opsgenie", status="resolved"))
        strange = [line for line in seen if line.get("kind") == "unknown"]
        case("it knows everything that came, and shows no key", not strange and "key-" not in json.dumps(seen))
    finally:
        for process in (running, sink):
            if process is not None:
                process.terminate()
                process.wait(timeout=20)


def pagerduty(key, name, action="trigger"):
    """Accepts PagerDuty's event of this key about this alert."""

    def wanted(path, _, body):
        return path == "/pagerduty" and f'"{key}"' in body and name in body and f'"event_action":"{action}"' in body

    return wanted


def cases(case, sink, port):
    slack = lambda name, channel: lambda path, _, body: path == "/slack" and name in body and f'"{channel}"' in body
    opsgenie = lambda name: lambda path, authorization, body: (
        path == "/opsgenie/v2/alerts" and name in body and authorization == "GenieKey key-opsgenie"
    )
    got = lambda what, wanted: sink.arrived(what, wanted) is not None
    nothing = lambda wanted: sink.arrived("nothing", wanted, SILENT_S) is None

    post(port, [alert("VeloZEngineX", "critical", "engine")])
    page = sink.arrived("page", pagerduty("key-critical", "VeloZEngineX"))
    case("a critical alert pages through PagerDuty", page is not None)
    event = json.loads(page[2]) if page else {"payload": {"custom_details": {}}}
    case(
        "the page has its texts: severity, description, what fires with its runbook, and how many",
        event["payload"].get("severity") == "critical"
        and event["payload"].get("summary") == "VeloZEngineX on a:8080: summary of VeloZEngineX"
        and "description of VeloZEngineX (http://prometheus:9090/user/runbooks/VeloZEngineX.md)"
        in event["payload"]["custom_details"].get("firing", "")
        and event["payload"]["custom_details"].get("num_firing") == "1",
    )
    past = datetime.now(timezone.utc)
    post(port, [alert("VeloZEngineX", "critical", "engine", ends=past)])
    case("its end resolves the page", got("resolve", pagerduty("key-critical", "", "resolve")))

    post(port, [alert("HighX", "warning", "gateway")])
    case("a warning reaches Opsgenie with the key of the file", got("warning", opsgenie("HighX")))
    message = sink.arrived("warning", opsgenie("HighX"))
    case("the warning has priority P3 and its tags", message and '"P3"' in message[2] and '"gateway"' in message[2])
    post(port, [alert("InfoX", "info", "engine")])
    case("information reaches Slack", got("info", slack("InfoX", "#veloz-alerts")))
    post(port, [alert("Watchdog", "none", "monitoring")])
    heartbeat = lambda path, authorization, _: path == "/heartbeats/veloz/ping" and authorization == "GenieKey key-opsgenie"
    case("the watchdog reaches its heartbeat", got("watchdog", heartbeat))
    post(port, [alert("StrangeX", "unknown", "nobody")])
    case("what nobody claims is mailed", got("mail", lambda path, _, body: path == "mail" and "StrangeX" in body))
    case("and shown in Slack", got("default", slack("StrangeX", "#veloz-alerts")))
    # The mail server gets the user of the file, which start.sh put into the configuration.
    case("the mail server is told the user of the file", got("auth", lambda path, _, body: path == "mail-auth"))

    post(port, [alert("TradingX", "critical", "execution", "t:1")])
    case("a trading alert pages trading", got("trading", pagerduty("key-trading", "TradingX")))
    case("and shows in the trading channel", got("trading", slack("TradingX", "#veloz-trading-alerts")))
    case("and, being critical, pages who is on call", got("trading", pagerduty("key-critical", "TradingX")))
    post(port, [alert("RiskX", "warning", "risk", "r:1")])
    case("a risk alert pages risk", got("risk", pagerduty("key-risk", "RiskX")))
    case("and reaches Opsgenie as P2", got("risk", lambda path, _, body: path.startswith("/opsgenie") and "Risk Alert: summary of RiskX" in body and '"P2"' in body))

    post(port, [alert("SameX", "critical", "engine", "s:1")])
    got("critical", pagerduty("key-critical", "SameX"))
    post(port, [alert("SameX", "warning", "engine", "s:1")])
    case("critical inhibits the warning of its name", nothing(opsgenie("SameX")))
    post(port, [alert("CriticalLagX", "critical", "market-data", "l:1", topic="lag-x")])
    got("critical", pagerduty("key-critical", "CriticalLagX"))
    post(port, [alert("HighLagX", "warning", "market-data", "l:1", topic="lag-x")])
    case("critical inhibits the warning of its topic", nothing(opsgenie("HighLagX")))
    post(port, [alert("HighLagX", "warning", "market-data", "l:2", topic="lag-x")])
    case("and not that of another instance", got("other", opsgenie("HighLagX")))
    post(port, [alert("BudgetGoneX", "critical", "engine", "b:1", topic="budget-x", budget="orders_10s")])
    got("critical", pagerduty("key-critical", "BudgetGoneX"))
    post(port, [alert("BudgetLowX", "warning", "engine", "b:1", topic="budget-x", budget="orders_10s"), alert("OtherLowX", "warning", "engine", "b:1", topic="budget-x", budget="orders_day")])
    case("a budget that is gone leaves the warning of another", got("other", opsgenie("OtherLowX")))
    case("and inhibits its own", nothing(opsgenie("BudgetLowX")))

    post(port, [alert("VeloZGatewayDown", "critical", "gateway", "g:1")])
    case("a dead gateway pages", got("gateway", pagerduty("key-critical", "VeloZGatewayDown")))
    post(port, [alert("GatewayX", "warning", "gateway", "g:1"), alert("GatewayY", "warning", "gateway", "g:2")])
    case("a dead gateway leaves others alone", got("others", opsgenie("GatewayY")))
    case("and inhibits its own", nothing(opsgenie("GatewayX")))
    post(port, [alert("VeloZEngineDown", "critical", "engine", "e:1")])
    case("a dead engine pages", got("engine", pagerduty("key-critical", "VeloZEngineDown")))
    post(port, [alert("OmsX", "warning", "oms", "e:1"), alert("OmsY", "warning", "oms", "e:2")])
    case("a dead engine leaves others alone", got("others", opsgenie("OmsY")))
    case("and inhibits orders and risk of its own", nothing(opsgenie("OmsX")))


if __name__ == "__main__":
    sys.exit(main())
