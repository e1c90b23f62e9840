"""The runbooks: one for each alert, its parts, its queries, and its commands run against an engine.

Owns: check. STACK_ENGINE names a running engine; without it commands are not run. A command about a metric that
the engine does not have yet (expected_metrics.tsv) is left out and counted.
"""

import os
import re
import subprocess

from . import promql, rules
from .catalogue import check_expression
from .located import ROOT, Problem

FOLDER = ROOT / "docker" / "runbooks"
PARTS = ["Meaning", "Impact", "Diagnose", "Mitigate", "Escalate"]


def check(catalogue):
    """Problems of the runbooks."""
    problems = []
    alerts = {rule["alert"]: (path, line) for path, line, rule in rules.alerts()}
    pages = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"}
    for name in sorted(alerts.keys() - pages.keys()):
        problems.append(Problem(*alerts[name], f"{name}: no runbook {FOLDER.name}/{name}.md"))
    index = (FOLDER / "README.md").read_text()
    engine, ran, left_out = os.environ.get("STACK_ENGINE"), 0, 0
    for name, path in pages.items():
        if name not in alerts:
            problems.append(Problem(path, 1, f"no alert is named {name}"))
        if f"[{name}]({name}.md)" not in index:
            problems.append(Problem(FOLDER / "README.md", 1, f"{name} is not in the table"))
        text = path.read_text()
        problems += _parts(path, name, text)
        for language, line, body in _blocks(text):
            for offset, row in enumerate(body):
                if language == "promql":
                    problems += _query(path, line + offset, row, catalogue)
                elif language == "sh":
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
                        problems += _command(path, line + offset, row, engine)
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


def _blocks(text):
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


def _query(path, line, text, catalogue):
    try:
        parsed = promql.read(text)
    except promql.Unparsable as fault:
        return [Problem(path, line, f"no PromQL: {fault}: {text}")]
    return [Problem(path, line, sentence) for sentence in check_expression(catalogue, parsed)]


def _command(path, line, row, engine):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", row],
        env=dict(os.environ, VELOZ=engine),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        return [Problem(path, line, f"exit {done.returncode}, {done.stdout + done.stderr!r}: {row}")]
    return []
