"""The dashboards: shape, layout, what they ask, and that they are what docker/grafana/dashboards.py writes.

Owns: check, queries. Does not: parse LogQL (logs.py).
"""

import re
import subprocess
import sys

from . import configs, promql
from .catalogue import check_expression
from .located import ROOT, Problem, load

GRAFANA = ROOT / "docker" / "grafana"
FOLDER = GRAFANA / "provisioning" / "dashboards" / "json"
RUNBOOKS = ROOT / "docker" / "runbooks"
WIDTH = 24
KINDS = {"row", "stat", "timeseries", "gauge", "bargauge", "heatmap", "logs"}
# What the monitoring guide says of its four dashboards: sections, and the panels of all of them.
GUIDE = {
    "veloz-trading": (
        ["System Overview", "Order Flow", "Market Data", "Risk & Positions", "Gateway & API"],
        ["System Uptime", "Event Loop Pending Tasks", "Total Orders", "Total Fills", "Order Rate", "Order Latency",
         "Market Data Rate", "Market Data Latency", "Position Value", "Risk Rejections", "Risk Utilization",
         "HTTP Request Rate", "HTTP Request Latency"],
    ),
    "veloz-system": (
        ["Service Health", "Event Loop Performance", "Exchange Connectivity", "Memory & Resources"],
        ["Gateway Status", "Engine Status", "WebSocket Status", "Active Connections", "Error Rate", "SSE Clients",
         "Event Loop Queue Depth", "Event Loop Task Latency", "Exchange API Latency", "Exchange Errors & Reconnects",
         "Memory Pool Usage", "Data Structures"],
    ),
    "veloz-logs": (
        ["Log Overview", "Error Logs", "Trading Logs", "All Logs"],
        ["Log Volume by Level", "Total Errors", "Total Warnings", "Logs by Component", "Error Logs",
         "Order & Trade Logs", "All VeloZ Logs"],
    ),
    "veloz-slo": (
        ["SLO Overview", "Error Budget", "Latency SLIs", "Throughput SLIs"],
        ["Gateway Availability", "Order Latency SLO", "API Success Rate", "Market Data Freshness",
         "Availability Error Budget (30d)", "Error Budget Burn Rate (24h)", "Order Latency Distribution",
         "API Latency Distribution", "Order Throughput", "System Throughput"],
    ),
}  # fmt: skip


def files():
    """The dashboards' files."""
    return sorted(FOLDER.glob("*.json"))


def _variables(board):
    values = {}
    for variable in board["templating"]["list"]:
        values[variable["name"]] = ".*" if variable["type"] in ("query", "custom") else variable["query"]
    return values


def queries(kind):
    """Every query to data sources of this kind as (path, line, expression with variables filled in)."""
    for path in files():
        board = load(path)
        variables = _variables(board)
        asked = [(panel, target) for panel in board["panels"] for target in panel.get("targets", [])]
        asked += [(item, item) for item in board["annotations"]["list"]]
        for _, target in asked:
            if target["datasource"]["type"] == kind:
                line = target.lines["expr"]
                try:
                    yield path, line, promql.substituted(target["expr"], variables)
                except promql.Unparsable as fault:
                    raise Problem(path, line, str(fault)) from None
        if kind == "prometheus":
            for item in board["templating"]["list"]:
                found = re.fullmatch(r"label_values\((.*), \w+\)", item.get("definition", ""))
                if found:
                    yield path, item.lines["definition"], found.group(1)


def check(catalogue):
    """Problems of the dashboards."""
    problems = []
    problems += [problem for path in (configs.SOURCES, configs.PROVIDERS) for problem in configs.of(path)]
    if problems:
        return problems
    sources = load(GRAFANA / "provisioning" / "datasources" / "datasources.yml")["datasources"]
    sources = {source["uid"]: source["type"] for source in sources}
    providers = load(GRAFANA / "provisioning" / "dashboards" / "dashboards.yml")["providers"]
    folders = {provider["folder"] for provider in providers}
    uids = {}
    for path in files():
        board = load(path)
        problems += _board(path, board, sources, folders)
        uids.setdefault(board["uid"], []).append(path)
        if f"{board['uid']}.json" != path.name:
            problems.append(Problem(path, board.lines["uid"], f"uid {board['uid']} is not the file's name"))
    for uid in GUIDE.keys() - uids.keys():
        problems.append(Problem(FOLDER, 1, f"the guide's dashboard {uid} is missing"))
    for path, line, expression in queries("prometheus"):
        try:
            parsed = promql.read(expression)
        except promql.Unparsable as fault:
            problems.append(Problem(path, line, f"no PromQL: {fault}: {expression}"))
            continue
        problems += [Problem(path, line, text) for text in check_expression(catalogue, parsed)]
    written = subprocess.run(
        [sys.executable, str(GRAFANA / "dashboards.py"), "--check"], capture_output=True, text=True, check=False
    )
    if written.returncode:
        problems.append(Problem(GRAFANA / "dashboards.py", 1, written.stderr.strip().splitlines()[-1]))
    return problems


def _board(path, board, sources, folders):
    if board["title"] in folders:
        yield Problem(path, board.lines["title"], "the title is its folder's name, which Grafana refuses")
    variables = _variables(board)
    ids, taken = set(), {}
    for panel in board["panels"]:
        line, name = panel.line, panel.get("title")
        if panel["type"] not in KINDS:
            yield Problem(path, line, f"{name}: unknown kind {panel['type']}")
        if panel["id"] in ids:
            yield Problem(path, line, f"{name}: id {panel['id']} is there twice")
        ids.add(panel["id"])
        if not name:
            yield Problem(path, line, "a panel without a title")
        yield from _place(path, panel, taken)
        if panel["type"] == "row":
            continue
        if not panel.get("description"):
            yield Problem(path, line, f"{name}: no description")
        if panel["type"] != "logs" and not panel["fieldConfig"]["defaults"].get("unit"):
            yield Problem(path, line, f"{name}: no unit")
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        if not steps or values[0] is not None or values[1:] != sorted(values[1:]):
            yield Problem(path, line, f"{name}: thresholds do not start at the bottom and rise: {values}")
        if not panel.get("targets"):
            yield Problem(path, line, f"{name}: asks nothing")
        for target in panel.get("targets", []):
            if not target.get("legendFormat"):
                yield Problem(path, target.line, f"{name}: a query without a legend")
            source = target["datasource"]
            if sources.get(source["uid"]) != source["type"]:
                yield Problem(path, target.line, f"{name}: no data source {source}")
        for link in panel.get("links", []):
            runbook = link["url"].removeprefix("${runbooks}/")
            if "runbooks" not in variables or not (RUNBOOKS / runbook).is_file():
                yield Problem(path, link.lines["url"], f"{name}: no runbook {link['url']}")
    sections, panels = GUIDE.get(board["uid"], ([], []))
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    if sections and rows != sections:
        yield Problem(path, board.lines["panels"], f"sections are {rows}, the guide's are {sections}")
    titles = {panel["title"] for panel in board["panels"]}
    for missing in [name for name in panels if name not in titles]:
        yield Problem(path, board.lines["panels"], f"the guide's panel {missing} is missing")


def _place(path, panel, taken):
    place = panel["gridPos"]
    if place["x"] + place["w"] > WIDTH:
        yield Problem(path, panel.line, f"{panel['title']}: reaches over the right edge")
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            if (x, y) in taken:
                yield Problem(path, panel.line, f"{panel['title']}: lies over {taken[x, y]}")
                return
            taken[x, y] = panel["title"]
