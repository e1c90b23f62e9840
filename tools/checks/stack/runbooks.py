"""The runbooks: one for each alert, its parts, what it names (in sentences too), its queries, and its commands run against an engine.

Owns: check, blocks, query. STACK_ENGINE names a running engine, with STACK_LOG, STACK_PROMETHEUS and STACK_ALERTMANAGER beside it; without it
commands are not run. A command about a metric that the engine does not have yet (expected_metrics.tsv) is left out and counted.
"""

import os
import re
import subprocess

from . import promql, rules
from .catalogue import check_expression
from .located import ROOT, Problem

FOLDER = ROOT / "docker" / "runbooks"
PARTS = ["Meaning", "Impact", "Diagnose", "Mitigate", "Escalate"]
CONFIG = ROOT / "config" / "veloz.toml"
ROUTES = ROOT / "exporter" / "src" / "http" / "routes.rs"
# Words of this form that are no alerts: settings of systemd, products, and dashboards' first word.
OTHERS = {"MemoryMax", "PagerDuty", "VeloZ"}
# Words of code in sentences that are no labels and no values of one: of the API, of Prometheus and Alertmanager, of a shell.
WORDS = {"client_order_id", "engine_busy", "storage_unavailable", "metric_relabel_configs", "webhook", "timedatectl", "veloz"}
# Whose command's address is in which variable.
ADDRESSES = {"VELOZ": "STACK_ENGINE", "VELOZ_LOG": "STACK_LOG", "PROMETHEUS": "STACK_PROMETHEUS", "ALERTMANAGER": "STACK_ALERTMANAGER"}


def check(catalogue):
    """Problems of the runbooks."""
    problems = []
    alerts = {rule["alert"]: (path, line) for path, line, rule in rules.alerts()}
    pages = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"}
    for name in sorted(alerts.keys() - pages.keys()):
        problems.append(Problem(*alerts[name], f"{name}: no runbook {FOLDER.name}/{name}.md"))
    index = (FOLDER / "README.md").read_text()
    engine, ran, left_out = os.environ.get("STACK_ENGINE"), 0, 0
    keys = _keys()
    words = catalogue.words() | WORDS | _words_of_alerts()
    problems += _names(FOLDER / "README.md", index, alerts, keys)
    problems += _code(FOLDER / "README.md", index, catalogue, words)
    for name, path in pages.items():
        if name not in alerts:
            problems.append(Problem(path, 1, f"no alert is named {name}"))
        if f"[{name}]({name}.md)" not in index:
            problems.append(Problem(FOLDER / "README.md", 1, f"{name} is not in the table"))
        text = path.read_text()
        problems += _parts(path, name, text)
        problems += _names(path, text, alerts, keys)
        problems += _code(path, text, catalogue, words)
        for language, line, body in blocks(text):
            for offset, row in enumerate(body):
                if language == "promql":
                    problems += query(path, line + offset, row, catalogue)
                elif language == "sh":
                    for selector in re.findall(r"\bveloz_[a-z0-9_]+\{[^{}]*\}", row):
                        problems += query(path, line + offset, selector, catalogue)
                    named = set(re.findall(r"\bveloz_[a-z0-9_]+", row))
                    if engine and not catalogue.paged:
                        raise Problem(path, line, "an engine needs a page of it (--page)")
                    known = catalogue.labels.keys()
                    if any(not any(series.startswith(one) for series in known) for one in named):
                        left_out += 1
                        if not any(series.startswith(one) for series in catalogue.expected for one in named):
                            problems.append(Problem(path, line + offset, f"no series for {sorted(named)}"))
                    elif engine:
                        ran += 1
                        problems += _command(path, line + offset, row)
    if engine:
        print(f"runbooks: {ran} commands run, {left_out} left out for metrics that do not exist yet")
    return problems


def _parts(path, name, text):
    if not text.startswith(f"# {name}\n"):
        yield Problem(path, 1, f"its title is not {name}")
    found = re.findall(r"^## (.*)$", text, re.M)
    if found != PARTS:
        yield Problem(path, 1, f"its parts are {found}, expected {PARTS}")
    for number, line in enumerate(text.splitlines(), 1):
        for link in re.findall(r"\]\(([^)#:]+)\)", line):
            if not (path.parent / link).is_file():
                yield Problem(path, number, f"a link to {link}, which does not exist")


def _keys():
    """Every key of the configuration, with its table."""
    table, keys = "", set()
    for line in CONFIG.read_text().splitlines():
        if head := re.match(r"\[+([a-z_.]+)\]", line):
            table = head.group(1)
            keys.add(table)
        elif key := re.match(r"#? ?([a-z_0-9]+) *= ", line):
            keys.add(f"{table}.{key.group(1)}")
    return keys


def _names(path, text, alerts, keys):
    """Keys of the configuration, paths of the API and alerts that are named and do not exist."""
    routes = ROUTES.read_text()
    tables = {key.partition(".")[0] for key in keys}
    for number, line in enumerate(text.splitlines(), 1):
        for key in re.findall(r"`([a-z_]+\.[a-z_.]+[a-z])`", line):
            if key.partition(".")[0] in tables and key not in keys:
                yield Problem(path, number, f"no key of the configuration is {key}")
        for route in re.findall(r"/(?:api|health)(?:/[a-z-]+)+", line):
            # What Prometheus and Alertmanager have is asked for with a version.
            if f'"{route}"' not in routes and not route.startswith("/api/v"):
                yield Problem(path, number, f"the engine has no {route}")
        for word in re.findall(r"(?<![\w`$/.-])[A-Z][A-Za-z]*[a-z][A-Z][A-Za-z]*(?![\w=]|\.\w)", line):
            if word not in alerts and word not in OTHERS:
                yield Problem(path, number, f"no alert is named {word}")


def _words_of_alerts():
    """Labels of the alerts and their values, and their annotations."""
    words = set()
    for _, _, rule in rules.alerts():
        labels = rule.get("labels", {})
        words |= {*labels, *labels.values(), *rule.get("annotations", {})}
    return words


def _code(path, text, catalogue, words):
    """Problems of code in sentences and tables: of a series and its labels as of any query, and of words that nothing has."""
    for number, line in enumerate(text.splitlines(), 1):
        for code in re.findall(r"`([^`]+)`", line):
            if re.match(r"(?:veloz|process)[_:]", code):
                yield from query(path, number, code, catalogue)
            elif re.fullmatch(r"[a-z][a-z0-9_]*", code) and code not in words:
                yield Problem(path, number, f"no label and no value of one is {code}")


def blocks(text):
    """Fenced blocks as (language, line of the first row, rows)."""
    language, start, rows = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if language is None:
                language, start, rows = line[3:], number + 1, []
            else:
                yield language, start, rows
                language = None
        elif language is not None:
            rows.append(line)


def query(path, line, text, catalogue):
    """Problems of a query that stands there."""
    try:
        parsed = promql.read(text)
    except promql.Unparsable as fault:
        return [Problem(path, line, f"no PromQL: {fault}: {text}")]
    return [Problem(path, line, sentence) for sentence in check_expression(catalogue, parsed)]


def _command(path, line, row):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", row],
        env=dict(os.environ, **{name: os.environ[variable] for name, variable in ADDRESSES.items()}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        return [Problem(path, line, f"exit {done.returncode}, {done.stdout + done.stderr!r}: {row}")]
    return []
