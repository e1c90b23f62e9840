"""The numbers and names in the monitoring guide's tables, held against the files that they are about.

Owns: check. That each row is somewhere is conformance.py's matter; here a row of an alert is compared with the rule (duration,
severity, threshold), one of a panel with the dashboard of its section, one of a key metric with the colours of its panel, a block of settings with the routes, waits and
receivers of Alertmanager. Does not: know what a row means beyond that.
"""

import json
import re

from . import thresholds
from .located import ROOT, Problem, load

ALERTS = ROOT / "docker" / "prometheus" / "alerts" / "veloz-alerts.yml"
DASHBOARDS = ROOT / "docker" / "grafana" / "provisioning" / "dashboards" / "json"
ALERTMANAGER = ROOT / "docker" / "alertmanager" / "alertmanager.yml"


def check(path):
    """Problems of the files, each at the guide's line that says otherwise."""
    lines = path.read_text().splitlines()
    return [*_alerts(path, lines), *_panels(path, lines), *_key_metrics(path, lines), *_routes(path, lines), *_objectives(path, lines)]


def _cells(line):
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _alerts(path, lines):
    rules = {rule["alert"]: rule for group in load(ALERTS)["groups"] for rule in group["rules"] if "alert" in rule}
    rows = 0
    for number, line in enumerate(lines, 1):
        row = re.match(r"\| `\w+` \| .* \| \d+[smh] \| (Critical|Warning|Info) \|", line)
        if not row:
            continue
        rows += 1
        name, expression, duration, severity, _ = _cells(line)
        rule = rules.get(name.strip("`"))
        if rule is None:
            yield Problem(path, number, f"no rule {name}")
            continue
        if rule.get("for") != duration or rule["labels"]["severity"] != severity.lower():
            yield Problem(path, number, f"{name}: the rule has {rule.get('for')}, {rule['labels']['severity']}")
        threshold = re.search(r"(==|[<>]=?) ([\d.]+)`?$", expression)
        if threshold and not re.search(rf"{re.escape(threshold.group(1))} {re.escape(threshold.group(2))}\b", rule["expr"]):
            yield Problem(path, number, f"{name}: the rule compares otherwise: {rule['expr']}")
    if not rows:
        yield Problem(path, 1, "no row of an alert was found")


def _panels(path, lines):
    file, titles, found = "", set(), 0
    for number, line in enumerate(lines, 1):
        heading = re.match(r"#+ .*\(`(veloz-\w+\.json)`\)", line)
        if heading:
            file = heading.group(1)
            panels = json.loads((DASHBOARDS / file).read_text())["panels"]
            titles = {panel["title"] for row in panels for panel in (row, *row.get("panels", []))}
        elif re.match(r"#+ ", line):
            file = ""
        elif file and line.startswith("| ") and "----" not in line and _cells(line)[0] != "Panel":
            found += 1
            title = _cells(line)[0]
            if title not in titles:
                yield Problem(path, number, f"{file} has no panel {title}")
        elif file and re.match(r"- [A-Z][\w& /]+$", line):
            found += 1
            if line[2:] not in titles:
                yield Problem(path, number, f"{file} has no section {line[2:]}")
    if not found:
        yield Problem(path, 1, "no row of a panel was found")


# The panel whose colours change at a key metric's thresholds, and its units in one of the guide's.
KEY_METRICS = {
    "Order latency (p99)": ("veloz-trading.json", "Order Latency", 0.001),
    "Error rate": ("veloz-system.json", "Error Rate", 60),
    "Drawdown": ("veloz-trading.json", "Drawdown", 1),
    "Leverage": ("veloz-trading.json", "Leverage", 1),
    "Risk utilization": ("veloz-trading.json", "Risk Utilization", 1),
    # Up or down: its colour is its value's.
    "WebSocket connections": ("veloz-system.json", "WebSocket Status", None),
}


def _key_metrics(path, lines):
    """The thresholds of the table of key metrics, as steps of panels."""
    start = next((number for number, line in enumerate(lines, 1) if line.startswith("| Metric | Warning Threshold |")), None)
    if start is None:
        yield Problem(path, 1, "no table of key metrics was found")
        return
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if not line.startswith("|"):
            return
        name, *thresholds = _cells(line)
        if name not in KEY_METRICS:
            yield Problem(path, number, f"no panel is known for {name}")
            continue
        file, title, unit = KEY_METRICS[name]
        rows = json.loads((DASHBOARDS / file).read_text())["panels"]
        panels = [panel for row in rows for panel in (row, *row.get("panels", [])) if panel["title"] == title]
        if len(panels) != 1:
            yield Problem(path, number, f"{file} has {len(panels)} panels {title}")
            continue
        if unit is None:
            continue
        steps = [step["value"] for step in panels[0]["fieldConfig"]["defaults"]["thresholds"]["steps"] if step["value"] is not None]
        wanted = [float(re.search(r"[\d.]+", text).group()) * unit for text in thresholds]
        if [round(value, 9) for value in wanted] != [round(value, 9) for value in steps]:
            yield Problem(path, number, f"{name}: {title} of {file} changes its colour at {steps}, expected {wanted}")


def _objectives(path, lines):
    """The table of objectives, which thresholds.py keeps and compares with the alerts."""
    start = next((number for number, line in enumerate(lines, 1) if line.startswith("| SLO | Target |")), None)
    if start is None:
        yield Problem(path, 1, "no table of objectives was found")
        return
    seen = set()
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if not line.startswith("|"):
            break
        name, target, _, threshold = _cells(line)
        name = name.strip("*")
        seen.add(name)
        if thresholds.OBJECTIVES.get(name, ())[:2] != (target, threshold):
            yield Problem(path, number, f"{name}: the objective is kept as {thresholds.OBJECTIVES.get(name, ())[:2]}")
    for name in thresholds.OBJECTIVES.keys() - seen:
        yield Problem(path, start, f"the objective {name} is not in the guide")


def _routes(path, lines):
    """Names and waits of the block of routes, and names of receivers."""
    config = load(ALERTMANAGER)
    routes = [config["route"], *config["route"]["routes"]]
    waits = {route["receiver"]: route for route in routes}
    receiver, found = "", 0
    for number, line in enumerate(lines, 1):
        named = re.match(r"\s+receiver: '([\w-]+)'", line)
        waited = re.match(r"\s+(group_wait|group_interval|repeat_interval): (\w+)", line)
        if named:
            receiver = named.group(1)
            found += 1
            if receiver not in waits or receiver not in {entry["name"] for entry in config["receivers"]}:
                yield Problem(path, number, f"no route to a receiver {receiver}")
        elif waited and receiver in waits:
            key, value = waited.groups()
            if waits[receiver].get(key) != value:
                yield Problem(path, number, f"{receiver}: {key} is {waits[receiver].get(key)}")
        elif line.startswith("```"):
            receiver = ""
    if not found:
        yield Problem(path, 1, "no route was found")
