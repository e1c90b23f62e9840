"""Alert and recording rules: promtool, what they use, and what their tests leave out.

Owns: check. Does not: route alerts (routing.py).
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import promql, rule_tests
from .catalogue import check_expression
from .located import ROOT, Problem, load

PROMETHEUS = ROOT / "docker" / "prometheus"
SEVERITIES = {"critical", "warning", "info", "none"}
SERVICES = {"gateway", "engine", "market-data", "execution", "oms", "risk", "monitoring"}
RUNBOOK = "{{ $externalURL }}/user/runbooks/%s.md"


def files():
    """The rule files."""
    return sorted((PROMETHEUS / "alerts").glob("*.yml"))


def rules():
    """Every rule as (path, line, rule)."""
    for path in files():
        for group in load(path)["groups"]:
            for rule in group["rules"]:
                yield path, rule.line, rule


def alerts():
    """Every alert as (path, line, rule)."""
    return [found for found in rules() if "alert" in found[2]]


def learn(catalogue):
    """Adds what the rules record to the catalogue; problems of texts that do not parse come from check."""
    for _, _, rule in rules():
        if "record" in rule:
            try:
                expression = promql.read(rule["expr"])
            except promql.Unparsable:
                continue
            labels = set(expression.labels)
            if not expression.labels:
                for use in expression.selectors:
                    labels |= catalogue.labels_of(use.metric)
            catalogue.add_rule(rule["record"], labels)


def check(catalogue):
    """Problems of the rules, then those of promtool."""
    problems = []
    for path, line, rule in rules():
        place = rule.lines["expr"]
        try:
            expression = promql.read(rule["expr"])
        except promql.Unparsable as fault:
            problems.append(Problem(path, place, f"no PromQL: {fault}"))
            continue
        problems += [Problem(path, place, text) for text in check_expression(catalogue, expression)]
        if "alert" in rule:
            problems += _alert(path, line, rule)
    problems += rule_tests.untested(rules())
    if not problems:
        problems += _promtool()
    return problems


def _alert(path, line, rule):
    name = rule["alert"]
    labels, annotations = rule.get("labels", {}), rule.get("annotations", {})
    if labels.get("severity") not in SEVERITIES:
        yield Problem(path, line, f"{name}: severity is {labels.get('severity')!r}, expected one of {sorted(SEVERITIES)}")
    if labels.get("service") not in SERVICES:
        yield Problem(path, line, f"{name}: service is {labels.get('service')!r}, expected one of {sorted(SERVICES)}")
    for key in ("summary", "description", "runbook_url"):
        if not annotations.get(key):
            yield Problem(path, line, f"{name}: the annotation {key} is missing")
    if annotations.get("runbook_url") != RUNBOOK % name:
        yield Problem(path, line, f"{name}: runbook_url is expected to be {RUNBOOK % name}")


def _run(path, *command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    output = (done.stdout + done.stderr).strip()
    line = re.search(r"(?:line |:)(\d+):", output)
    return [Problem(path, int(line.group(1)) if line else 1, f"{' '.join(command[:3])}: {output}")]


def rendered_config(folder):
    """A copy of prometheus.yml whose files are those of this repository; the path of the copy."""
    folder = Path(folder)
    shutil.copytree(PROMETHEUS / "alerts", folder / "alerts")
    (folder / "scrape_token").write_text("token")
    text = (PROMETHEUS / "prometheus.yml").read_text()
    for old, new in (("/etc/prometheus/", f"{folder}/"), ("/run/secrets/", f"{folder}/")):
        if old not in text:
            raise Problem(PROMETHEUS / "prometheus.yml", 1, f"{old} is not in it")
        text = text.replace(old, new)
    config = folder / "prometheus.yml"
    config.write_text(text)
    return config


def _promtool():
    problems = []
    for path in files():
        problems += _run(path, "promtool", "check", "rules", "--lint=all", "--lint-fatal", str(path))
    with tempfile.TemporaryDirectory() as folder:
        config = rendered_config(folder)
        problems += _run(PROMETHEUS / "prometheus.yml", "promtool", "check", "config", "--lint-fatal", str(config))
    problems += rule_tests.run()
    return problems
