#!/usr/bin/env python3
"""Are broken files of the stack found, with file and line, and is the guide taken apart as it stands?

Each case breaks one copy of a file in one place and runs the check that must see it.

Usage: python -m unittest test_stack (in tools/checks)
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stack import conformance

ROOT = Path(__file__).resolve().parents[2]
ALERTS = "docker/prometheus/alerts/veloz-alerts.yml"
RECORDINGS = "docker/prometheus/alerts/veloz-slo-recording.yml"
TRADING = "docker/grafana/provisioning/dashboards/json/veloz-trading.json"
FLOW = "docker/grafana/provisioning/dashboards/json/veloz-flow.json"
LOGS = "docker/grafana/provisioning/dashboards/json/veloz-logs.json"
LOKI = "docker/loki/loki-config.yaml"
PROMTAIL = "docker/promtail/promtail-config.yaml"
ALLOY = "docker/alloy/config.alloy"
COLLECTOR = "docker/otel-collector/config.yaml"
SOURCES = "docker/grafana/provisioning/datasources/datasources.yml"
COMPOSE = "docker/docker-compose.yml"

# What is broken: the check, the file, text in it, what takes its place, and what is said after FILE:LINE.
CASES = {
    "a metric that does not exist": ("rules", ALERTS, "expr: veloz_engine_running == 0", "expr: veloz_engine_runs == 0", "no series is named veloz_engine_runs"),
    "a label that does not exist": ("rules", ALERTS, 'veloz_trading_state{state="HALTED"}', 'veloz_trading_state{status="HALTED"}', "has no label status"),
    "a value that its label never has": ("rules", ALERTS, 'veloz_trading_state{state="HALTED"}', 'veloz_trading_state{state="HALTD"}', 'is never shown with state="HALTD"'),
    "an expression that does not parse": ("rules", ALERTS, "expr: veloz_sse_clients > 100", "expr: veloz_sse_clients > (100", "no PromQL: unclosed left parenthesis"),
    "a grouping by a label that nothing has": ("rules", RECORDINGS, "sum by (job, instance) (rate(veloz_fills_total", "sum by (job, instant) (rate(veloz_fills_total", "nothing in the expression has the label instant"),
    "an unknown severity": ("rules", ALERTS, "severity: info", "severity: informational", "severity is 'informational'"),
    "a runbook of another name": ("rules", ALERTS, "runbooks/HighAPILatency.md", "runbooks/SlowAPI.md", "runbook_url is expected"),
    "YAML that does not parse": ("rules", ALERTS, "  - name: veloz-latency", "  - name: [veloz-latency", "no YAML"),
    "a key twice": ("rules", ALERTS, "        for: 30s\n", "        for: 30s\n        for: 1m\n", "is there twice"),
    "an alert without a test": ("rules", ALERTS, "alert: HighSSEClients", "alert: ManySSEClients", "ManySSEClients: no test in which it fires"),
    "a recording without a test": ("rules", RECORDINGS, "record: veloz:fills:rate_5m", "record: veloz:fills:rate_5min", "veloz:fills:rate_5min: no test of its value"),
    "an alert that does not fire as its test says": ("rules", "docker/prometheus/tests/alerts-guide_test.yml", "        eval_time: 30s\n        exp_samples: []", "        eval_time: 2m\n        exp_samples: []", "promtool test rules: expr: "),
    "a test of an alert that does not exist": ("rules", "docker/prometheus/tests/alerts-guide_test.yml", 'ALERTS{alertname="HighAPILatency"', 'ALERTS{alertname="SlowAPI"', "a test of SlowAPI, of which its files have no rule"),
    "a test at which an alert has fired for long": ("mutants", "docker/prometheus/tests/alerts-short_test.yml", "        eval_time: 35s\n        exp_samples:\n          - labels: 'ALERTS{alertname=\"AuditUnwritable\"", "        eval_time: 100s\n        exp_samples:\n          - labels: 'ALERTS{alertname=\"AuditUnwritable\"", "AuditUnwritable: no test would see `for` twice as long"),
    "a bound that is not the engine's": ("thresholds", ALERTS, "veloz_rate_budget_limit < 0.2", "veloz_rate_budget_limit < 0.25", "stops at 80 % of a window"),
    "a recording whose window is not its name's": ("thresholds", RECORDINGS, "expr: sum by (job, instance) (rate(veloz_fills_total[5m]))", "expr: sum by (job, instance) (rate(veloz_fills_total[10m]))", "veloz:fills:rate_5m is made of windows of 10m"),
    "a burn rate made of another window": ("thresholds", RECORDINGS, "'veloz:slo:availability:error_ratio_rate1h / 0.001'", "'veloz:slo:availability:error_ratio_rate6h / 0.001'", "veloz:error_budget:burn_rate:1h is made of windows of 6h"),
    "an alert that is not its objective's": ("thresholds", ALERTS, "'veloz:api:error_rate:ratio_rate5m > 0.01'", "'veloz:api:error_rate:ratio_rate5m > 0.011'", "compares otherwise than the objective of Error Rate"),
    "an objective whose alert is gone": ("thresholds", ALERTS, "alert: APILatencyAboveObjective", "alert: APILatencyBeyondObjective", "has no alert APILatencyAboveObjective of its own"),
    "a data source without its table": ("logs", SOURCES, "    jsonData:\n      maxLines", "    jsondata:\n      maxLines", "datasources has no key jsondata"),
    "an alert that waits otherwise than its objective": ("thresholds", ALERTS, "expr: veloz_market_data_lag_ms > 50\n        for: 5m", "expr: veloz_market_data_lag_ms > 50\n        for: 10m", "takes another time than the objective of Market Data Freshness"),
    "a burn alert of another pace": ("thresholds", "docker/prometheus/alerts/veloz-slo-burn.yml", "error_ratio_rate5m > 14.4 * 0.001", "error_ratio_rate5m > 1.44 * 0.001", "of 1h is not 14.4 times 0.001 over 5m"),
    "a panel that changes its colour elsewhere than the engine": ("thresholds", FLOW, '"value": 0.2', '"value": 0.3', "changes its colour at [0.1, 0.3]"),
    "an alert without a route's line": ("routing", ALERTS, "alert: HighSSEClients", "alert: ManySSEClients", ""),
    "a variable in Alertmanager's configuration": ("routing", "docker/alertmanager/alertmanager.yml", "#veloz-alerts", "${CHANNEL}", "never expands variables"),
    "a template that is not defined": ("routing", "docker/alertmanager/alertmanager.yml", 'template "opsgenie.veloz.message"', 'template "opsgenie.veloz.massage"', 'not defined'),
    "a receiver that does not exist": ("routing", "docker/alertmanager/alertmanager.yml", "receiver: 'slack-info'", "receiver: 'slack-inform'", "undefined receiver"),
    "a route that is not taken": ("routing", "docker/alertmanager/tests/routes.tsv", "HighRiskUtilization\twarning\trisk\trisk-alerts,opsgenie-warning", "HighRiskUtilization\twarning\trisk\topsgenie-warning", "WARNING: Expected receivers did not match"),
    "JSON that does not parse": ("dashboards", TRADING, '"refresh": "5s",', '"refresh": "5s"', "no JSON"),
    "a panel that asks for a series that does not exist": ("dashboards", TRADING, "veloz_system_uptime{", "veloz_uptime{", "no series is named veloz_uptime"),
    "a panel over another": ("dashboards", TRADING, '"x": 6,', '"x": 3,', "lies over System Uptime"),
    "a panel without a unit": ("dashboards", TRADING, '"unit": "s",', '"unit": "",', "no unit"),
    "a variable that is not defined": ("dashboards", TRADING, '"veloz_event_loop_pending_tasks{instance=~\\"$instance\\"}"', '"veloz_event_loop_pending_tasks{instance=~\\"$machine\\"}"', "the variable $machine is not defined"),
    "a data source that does not exist": ("dashboards", "docker/grafana/provisioning/datasources/datasources.yml", "uid: veloz-prometheus", "uid: prometheus", ""),
    "a component of log lines that cannot be chosen": ("dashboards", LOGS, '"query": "audit,auth,', '"query": "audit,', "not what docker/grafana/dashboards.py writes"),
    "a dashboard changed by hand": ("dashboards", TRADING, '"title": "System Uptime"', '"title": "Uptime of System"', "the guide's panel System Uptime is missing"),
    "LogQL that does not parse": ("logs", LOGS, '| json | level = \\"ERROR\\" [$__range]', '| json | level = [$__range]', "no LogQL"),
    "pipelines that differ": ("logs", "docker/alloy/config.alloy", 'trace_id  = "trace_id",', 'trace_id  = "trace",', "takes no trace_id out of a line"),
    "a key that Loki does not know": ("configs", LOKI, "  ingestion_rate_mb:", "  ingestion_rate_megabytes:", "limits_config has no key ingestion_rate_megabytes"),
    "a key of Loki that is misspelt": ("configs", LOKI, "  delete_request_store:", "  delete_request_stores:", "compactor has no key delete_request_stores"),
    "a place of Loki that is on no volume": ("configs", LOKI, "/loki/compactor", "/tmp/compactor", "/tmp/compactor of loki is on no volume"),
    "a port of Loki that nobody asks": ("configs", LOKI, "http_listen_port: 3100", "http_listen_port: 3101", "loki listens on 3101"),
    "a key that Promtail does not know": ("configs", PROMTAIL, "  grpc_listen_port:", "  grpc_listenport:", "server has no key grpc_listenport"),
    "a table of Promtail of another name": ("configs", PROMTAIL, "\nclients:", "\nclient:", "has no key client;"),
    "the same, where pipelines are compared": ("logs", PROMTAIL, "\nclients:", "\nclient:", "has no key client;"),
    "positions of Promtail that are lost": ("configs", PROMTAIL, "/var/lib/promtail/positions", "/tmp/positions", "/tmp/positions.yaml of promtail is on no volume"),
    "positions of Promtail on a file system in memory": ("configs", COMPOSE, "      - promtail-positions:/var/lib/promtail\n    depends_on", "      - {type: tmpfs, target: /var/lib/promtail}\n    depends_on", "positions.yaml of promtail is on no volume"),
    "a stage of Promtail that does not exist": ("configs", PROMTAIL, "      - timestamp:\n", "      - timestamps:\n", "pipeline_stages has no key timestamps"),
    "a receiver that no component is": ("configs", ALLOY, "loki.write.loki.receiver", "loki.write.lokki.receiver", "no component exports loki.write.lokki.receiver"),
    "a bracket of Alloy that does not close": ("configs", ALLOY, "forward_to = [loki.process.veloz.receiver]", "forward_to = [loki.process.veloz.receiver", "no Alloy: expected ,"),
    "a key that Alloy does not know": ("configs", ALLOY, "  forward_to = [loki.write", "  forward = [loki.write", "loki.process has no forward;"),
    "a component that Alloy does not know": ("configs", ALLOY, 'loki.write "loki"', 'loki.writes "loki"', "no component loki.writes is known"),
    "an exporter that does not exist": ("configs", COLLECTOR, "exporters: [otlp/jaeger]", "exporters: [otlp/jager]", "exporters has no otlp/jager"),
    "a key that the Collector does not know": ("configs", COLLECTOR, "    limit_mib:", "    limit_mb:", "memory_limiter has no key limit_mb"),
    "an exporter's port where nobody listens": ("configs", COLLECTOR, "endpoint: jaeger:4317", "endpoint: jaeger:4371", "jaeger does not listen on 4371"),
    "a key that Grafana leaves out without a word": ("configs", SOURCES, "exemplarTraceIdDestinations", "exemplarTraceDestinations", "jsonData has no key exemplarTraceDestinations"),
    "a data source's port where nobody listens": ("configs", SOURCES, "http://jaeger:16686", "http://jaeger:1668", "jaeger does not listen on 1668"),
    "traces in a data source that does not exist": ("configs", SOURCES, "datasourceUid: veloz-jaeger", "datasourceUid: jaeger", "no data source of jaeger has the uid jaeger"),
    "a folder of dashboards that is empty": ("configs", "docker/grafana/provisioning/dashboards/dashboards.yml", "path: /var/lib/grafana/dashboards", "path: /var/lib/grafana/dashboard", "mounts the dashboards elsewhere"),
    "a service whose version is not the one whose keys are known": ("configs", COMPOSE, "image: grafana/loki:2.9.2", "image: grafana/loki:3.0.0", "loki is 3.0.0, and the keys known"),
    "an engine whose traces go nowhere": ("configs", COMPOSE, "http://jaeger:4317", "http://jeager:4317", "no service jeager"),
    "a service without a health check": ("compose", COMPOSE, "    # No health check: the image is", "    # The image is", "otel-collector: no health check"),
    "a runbook without a part": ("runbooks", "docker/runbooks/HighSSEClients.md", "## Escalate", "## Who", "its parts are"),
    "a runbook that asks for a series that does not exist": ("runbooks", "docker/runbooks/HighSSEClients.md", "\nveloz_sse_clients\n", "\nveloz_sse_readers\n", "no series is named veloz_sse_readers"),
    "a runbook that asks by a label that does not exist": ("runbooks", "docker/runbooks/TelemetryRecordsLost.md", '{ring="records"}', '{rings="records"}', "has no label rings"),
    "a runbook that groups by a label that nothing has": ("runbooks", "docker/runbooks/ErrorRateAboveObjective.md", "sum by (endpoint, status)", "sum by (endpoint, stati)", "nothing in the expression has the label stati"),
    "a runbook that asks for a value that its label never has": ("runbooks", "docker/runbooks/TelemetryRecordsLost.md", '{ring="records"}', '{ring="record"}', 'is never shown with ring="record"'),
    "a runbook that asks for such a value among others": ("runbooks", "docker/runbooks/HighOrderLatency.md", "tick_to_order|order_ack|", "tick_to_order|order_acks|", 'is never shown with stage="order_acks"'),
    "a runbook that searches a page for such a value": ("runbooks", "docker/runbooks/TelemetryRecordsLost.md", "'^veloz_ring_lost_total'", "'^veloz_ring_lost_total{ring=\"record\"}'", 'is never shown with ring="record"'),
    "a runbook whose sentence names a series that does not exist": ("runbooks", "docker/runbooks/VelozVaRBreach.md", "`veloz_risk_var_95`", "`veloz_risk_var_94`", "no series is named veloz_risk_var_94"),
    "a runbook whose sentence names a label that does not exist": ("runbooks", "docker/runbooks/AvailabilityErrorBudgetBurn.md", "label `window`", "label `windows`", "no label and no value of one is windows"),
    "a runbook whose sentence names a value that no label has": ("runbooks", "docker/runbooks/BookNotLive.md", "`sequence_gap`", "`sequence_hole`", "no label and no value of one is sequence_hole"),
    "a runbook that names a key that does not exist": ("runbooks", "docker/runbooks/HighActiveOrders.md", "`risk.open_orders_max`", "`risk.orders_open_max`", "no key of the configuration is risk.orders_open_max"),
    "a runbook that names a path that does not exist": ("runbooks", "docker/runbooks/TradingHalted.md", "/api/resume", "/api/restart", "the engine has no /api/restart"),
    "a runbook that names an alert that does not exist": ("runbooks", "docker/runbooks/TelemetryRecordsLost.md", ": TelemetryBacklog", ": TelemetryBehind", "no alert is named TelemetryBehind"),
    "a link that asks for a series that does not exist": ("documents", "docker/demo.sh", "veloz_market_updates_total%5B1m", "veloz_market_update_total%5B1m", "no series is named veloz_market_update_total"),
    "a document that asks for a series that does not exist": ("documents", "docker/README.md", "## Traces", "```promql\nsum(veloz_no_such)\n```\n\n## Traces", "no series is named veloz_no_such"),
    "a secret that is read by somebody who cannot": ("documents", "docker/README.md", "sudo cat docker/secrets", "cat docker/secrets", "root alone reads docker/secrets"),
    "YAML that a person would misread": ("yaml", "docker/loki/loki-config.yaml", "retention_enabled: true", "retention_enabled: yes", "yamllint: "),
    "a version that is not pinned": ("compose", "docker/docker-compose.yml", "image: grafana/loki:2.9.2", "image: grafana/loki:latest", "loki: the image's version is not pinned"),
    "a port open to everybody": ("compose", "docker/docker-compose.yml", '"127.0.0.1:3000:3000"', '"3000:3000"', "grafana: port 3000:3000 is open to other machines"),
    "a key that compose does not know": ("compose", "docker/docker-compose.yml", "    stop_grace_period: 90s", "    stop_grace: 90s", "check-jsonschema"),
    "a secret that nobody writes": ("compose", "docker/prometheus/prometheus.yml", "/run/secrets/scrape_token", "/run/secrets/token", "no secret token"),
    "a setting that systemd does not know": ("units", "systemd/veloz.service", "WatchdogSec=10", "WatchdogSecs=10", "Unknown key"),
    "a unit that is open wide": ("units", "systemd/veloz.service", "CapabilityBoundingSet=\n", "", "xposure level"),
    "instances that are less protected": ("units", "systemd/veloz@.service", "ProtectClock=yes", "ProtectClock=no", "differs from veloz.service in ProtectClock"),
    "a probe at a port that is not there": ("kubernetes", "docker/kubernetes/statefulset.yaml", "path: /health/ready\n              port: metrics", "path: /health/ready\n              port: http", "readinessProbe: no such port"),
    "a field that Kubernetes does not know": ("kubernetes", "docker/kubernetes/networkpolicy.yaml", "policyTypes:", "policyType:", "kubernetes-validate"),
    "an unpinned base image": ("image", "docker/Dockerfile", "rust:1.95.0-slim-bookworm", "rust", "DL3006"),
    "a proof that does not exist": ("conformance", "docker/conformance.tsv", "tools/checks/stack/routing.py::check", "tools/checks/stack/routing.py::checks", "proof: tools/checks/stack/routing.py has no checks"),
    "an empty cell": ("conformance", "docker/conformance.tsv", "tools/checks/stack/files.py::compose\tschema", "\tschema", "none of them empty"),
    "a page that is not the table": ("conformance", "docker/CONFORMANCE.md", "| prose |", "| run |", "is not what the table says"),
    "a broken script": ("scripts", "docker/make-secrets.sh", 'printf \'%s\' "$2"', "printf $2", "shellcheck"),
}  # fmt: skip


GUIDE = """# Guide

## Part

| Thing | Does |
|-------|------|
| `a` | one \\| two |

### Do it

```bash
# how
curl -X POST http://a \\
  -d '[
  1]'
export A_B=1
```

```promql
# this
sum(a) /
 sum(b)

c
```

**Template Variables:**
- `level`: of lines
"""


class Guide(unittest.TestCase):
    """How the guide is taken apart."""

    def test_each_kind_of_item_is_found_under_its_heading(self):
        self.assertEqual(
            conformance.items(GUIDE),
            [
                ("heading", "Guide", 1),
                ("heading", "Part", 3),
                ("row", "Part / a / one | two", 7),
                ("heading", "Part / Do it", 9),
                ("command", "Part / Do it / curl -X POST http://a -d '[ 1]'", 13),
                ("command", "Part / Do it / export A_B=1", 16),
                ("query", "Part / Do it / sum(a) / sum(b)", 19),
                ("query", "Part / Do it / c", 19),
                ("variable", "Part / Do it / level", 28),
                ("variable", "A_B", 16),
            ],
        )

    def test_an_item_without_an_answer_and_an_answer_without_an_item_are_told(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "guide.md"
            path.write_text(GUIDE)
            answers = [(2, {"kind": kind, "item": key}) for kind, key, _ in conformance.items(GUIDE)[1:]]
            answers.append((3, {"kind": "row", "item": "gone"}))
            told = [problem.text for problem in conformance._against(path, answers)]
        self.assertEqual(told, ["heading 'Guide' has no line in docker/conformance.tsv", "row 'gone' is not in the guide"])


def found(check, name, old, new):
    """What the check says of a copy in which the text is replaced, and the line of that."""
    text = (ROOT / name).read_text()
    if old not in text:
        raise AssertionError(f"{name} does not have {old}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for part in ("docker", "systemd", "config", "scripts", "tools/checks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
        for part in ("exporter/METRICS.md", "README.md", "docker-compose.yml"):
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / part, folder / part)
        # Never changed by a case.
        for part in ("core/src", "exporter/src", "tools/src"):
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            (folder / part).symlink_to(ROOT / part)
        # The grammar of LogQL is installed once.
        if (ROOT / "target" / "logql").is_dir():
            (folder / "target").mkdir()
            (folder / "target" / "logql").symlink_to(ROOT / "target" / "logql")
        (folder / name).write_text(text.replace(old, new, 1))
        done = subprocess.run(
            [sys.executable, str(ROOT / "tools/checks/monitoring_stack.py"), "--only", check],
            env=dict(os.environ, STACK_ROOT=str(folder)),
            capture_output=True,
            text=True,
            check=False,
        )
    return text[: text.index(old)].count("\n") + 1, done.returncode, done.stderr


class BrokenFiles(unittest.TestCase):
    """One test a case. All of them are started at once, as many together as there are CPUs."""

    @classmethod
    def setUpClass(cls):
        cls.pool = ThreadPoolExecutor(os.cpu_count())
        cls.addClassCleanup(cls.pool.shutdown)
        cls.started = {name: cls.pool.submit(found, *broken[:4]) for name, broken in CASES.items()}


def _case(case, check, name, old, new, said):
    def run(self):
        line, code, output = self.started[case].result()
        self.assertNotIn("Traceback", output)
        self.assertEqual(code, 1, output)
        rows = [row for row in output.splitlines() if said in row]
        self.assertTrue(rows, output)
        # A file and a line, where the fault lies or where it shows.
        self.assertRegex(rows[0], r"^[\w/.@-]+:\d+: ")
        place = [row.split(":", 2)[:2] for row in rows]
        near = [int(at) for file, at in place if file == name and abs(int(at) - line) <= 12]
        by_tool = said in ("", "no test", "check-jsonschema", "xposure level", "not defined", "kubernetes-validate") or "no test" in said
        by_whole = "of its own" in said or "not what docker" in said or "no test would" in said or "changes its colour" in said or "of promtail is on no volume" in said or "no health check" in said or "no test would" in said or "differs" in said or "its parts" in said or "takes no" in said or "panel" in said or "lies over" in said or "undefined" in said
        self.assertTrue(near or by_tool or by_whole, f"line {line} of {name} is not named:\n{output}")

    return run


for _number, (_name, _broken) in enumerate(CASES.items()):
    _test = _case(_name, *_broken)
    _test.__doc__ = _name
    setattr(BrokenFiles, f"test_{_number:02}_{_name.replace(' ', '_').replace(chr(39), '')}", _test)

if __name__ == "__main__":
    unittest.main()
