"""The way of a log line: Promtail, Alloy, Loki, and the queries of the logs dashboard.

Owns: check, follow. Loki and Promtail themselves are in no registry: LogQL is parsed by Grafana's grammar, and what the
pipelines take out of a line is compared with lines that the engine really writes (`--log FILE` of the command).
Does not: check units of Grafana (dashboards.py).
"""

import json
import os
import re
import shutil
import subprocess
from datetime import datetime

from . import alloy, configs, dashboards
from .located import ROOT, Problem, load

DOCKER = ROOT / "docker"
HERE = ROOT / "tools" / "checks" / "logql"
PROMTAIL = DOCKER / "promtail" / "promtail-config.yaml"
ALLOY = DOCKER / "alloy" / "config.alloy"
LOKI = DOCKER / "loki" / "loki-config.yaml"
LEVELS = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"}
# The monitoring guide's examples.
GUIDE = [
    '{job="veloz-gateway"} |= "ERROR"',
    '{job="veloz-gateway"} | json | level = "ERROR"',
    '{job="veloz-gateway"} | json | message =~ "Order.*"',
    '{job="veloz-gateway"} | json | latency_ms > 100',
    '{job="veloz-gateway"} | json | component = "engine"',
    '{job="veloz-gateway"} | json | event_type =~ "order.*|trade.*|fill.*"',
    '{job="veloz-gateway"} | json | trace_id = "abc123def456"',
    'sum(count_over_time({job="veloz-gateway"} | json | level = "ERROR" [5m]))',
    'sum by (level) (count_over_time({job="veloz-gateway"} | json [1m]))',
]


def _parsed(queries):
    """For each query None, or what the grammar says."""
    folder = ROOT / "target" / "logql"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "parse.mjs"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules" / "@grafana" / "lezer-logql").is_dir():
        install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts", "--no-package-lock"]
        subprocess.run(install, cwd=folder, check=True)
    done = subprocess.run(["node", "parse.mjs"], cwd=folder, input=json.dumps(queries), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def check():
    """Problems of queries and pipelines."""
    problems = []
    asked = list(dashboards.queries("loki"))
    asked += [(ROOT / "tools/checks/stack/logs.py", 1, query) for query in GUIDE]
    problems += configs.of(configs.SOURCES)
    if problems:
        return problems
    sources = load(configs.SOURCES)["datasources"]
    for source in sources:
        query = source["jsonData"].get("tracesToLogsV2", {}).get("query")
        if query:
            asked.append((configs.SOURCES, source["jsonData"]["tracesToLogsV2"].lines["query"], query.replace("$${__span.traceId}", "0af7")))
    # A parser that accepts everything would pass everything.
    broken = '{job="x"} | json | level = '
    faults = _parsed([query for _, _, query in asked] + [broken])
    if faults.pop() is None:
        problems.append(Problem(HERE / "parse.mjs", 1, f"accepts {broken}"))
    for (path, line, query), fault in zip(asked, faults, strict=True):
        if fault:
            problems.append(Problem(path, line, f"no LogQL {fault}: {query}"))
    problems += _pipelines()
    log = os.environ.get("STACK_LOG")
    if log:
        problems += follow(log)
    return problems


def _pipelines():
    for path in (PROMTAIL, LOKI):
        broken = list(configs.of(path))
        yield from broken
        if broken:
            return
    alloy.read(ALLOY)
    promtail = load(PROMTAIL)
    (scrape,) = promtail["scrape_configs"]
    stages = {next(iter(stage)): stage[next(iter(stage))] for stage in scrape["pipeline_stages"]}
    labels = scrape["static_configs"][0]["labels"]
    taken = set(stages["json"]["expressions"])
    text_of_alloy = ALLOY.read_text()
    for name in taken:
        if not re.search(rf'^\s+{name}\s*= "{name}",$', text_of_alloy, re.M):
            yield Problem(ALLOY, 1, f"takes no {name} out of a line, and Promtail does")
    for text in (labels["__path__"], labels["job"], promtail["clients"][0]["url"], stages["timestamp"]["format"]):
        if f'"{text}"' not in text_of_alloy:
            yield Problem(ALLOY, 1, f"does not have {text}, and Promtail does")
    for name in [*stages["labels"], stages["timestamp"]["source"]]:
        if name not in taken:
            yield Problem(PROMTAIL, scrape.line, f"uses {name}, which the json stage does not take out")
    loki = load(LOKI)
    if loki["limits_config"]["retention_period"] != "168h" or not loki["compactor"]["retention_enabled"]:
        yield Problem(LOKI, loki.lines["limits_config"], "lines are kept 168h, by the compactor")
    if loki["schema_config"]["configs"][-1]["schema"] != "v13":
        yield Problem(LOKI, loki.lines["schema_config"], "the schema is v13")


def follow(path):
    """Problems of the engine's real lines: each must be what the pipelines and the dashboard take it for."""
    seen = set()
    for number, line in enumerate(open(path), 1):
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as fault:
            yield Problem(path, number, f"no JSON: {fault}")
            continue
        for name in ("timestamp", "level", "component", "message"):
            if not isinstance(fields.get(name), str):
                yield Problem(path, number, f"no text {name}")
                return
        if fields["level"] not in LEVELS:
            yield Problem(path, number, f"level is {fields['level']}")
        try:
            datetime.fromisoformat(fields["timestamp"])
        except ValueError:
            yield Problem(path, number, f"timestamp is {fields['timestamp']}")
        # Loki's json parser takes scalars; a label's name is made of these.
        for name, value in fields.items():
            if isinstance(value, (dict, list)) or not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name):
                yield Problem(path, number, f"{name} is no scalar with the name of a label")
        if re.fullmatch("order.*|trade.*|fill.*", fields.get("event_type", "")):
            seen.add("trading")
        seen.add(fields["component"])
    offered = next(item for item in load(dashboards.FOLDER / "veloz-logs.json")["templating"]["list"] if item["name"] == "component")
    for component in sorted(seen - {"trading"} - set(offered["query"].split(","))):
        yield Problem(dashboards.FOLDER / "veloz-logs.json", offered.line, f"the choice of components lacks {component}")
    if "trading" not in seen:
        yield Problem(path, 1, "no line is one of the dashboard's order and trade logs")
