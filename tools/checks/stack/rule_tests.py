"""The tests of the rules, run by promtool: each beside those rules only that it is about.

Owns: untested, run. promtool evaluates every rule of a test's files at every step of every test, which is nearly all that
it does. So first it gets copies in which rules that a test neither names nor needs are left out, and what stays is the
original's text, line for line: a fault is found in seconds. What holds there is then tested once more with the originals,
whole, because a rule that a copy leaves out might have made a difference. Does not: check expressions (rules.py).
"""

import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import promql
from .located import ROOT, Problem, load

FOLDER = ROOT / "docker" / "prometheus" / "tests"
# Of promtool's output: what it says of one expectation that was not met.
_FAILED = re.compile(r"^\s+(?:expr: (?P<expr>\".*\")|alertname: ?(?P<alert>\w+)), time: ?(?P<time>\w+),", re.M)


def files():
    """The files of tests."""
    return sorted(FOLDER.glob("*_test.yml"))


def untested(rules):
    """Alerts without a case that fires and one that does not, and recordings without a value; `rules` as of rules.rules()."""
    fires, quiet, valued = set(), set(), set()
    for path in files():
        for group in load(path)["tests"]:
            for case in group.get("promql_expr_test", []):
                names = {use.metric for use in promql.read(case["expr"]).selectors}
                if names == {"ALERTS"}:
                    # The last case of a group says how it ends; earlier ones, that it waits.
                    alert = re.search(r'alertname="(\w+)"', case["expr"]).group(1)
                    ends = group["promql_expr_test"][-1] is case
                    (fires if case["exp_samples"] else quiet if ends else set()).add(alert)
                elif case["exp_samples"]:
                    valued |= names
    for path, line, rule in rules:
        name = rule.get("alert")
        if name and name not in fires:
            yield Problem(path, line, f"{name}: no test in which it fires")
        # It has no condition.
        if name and name not in quiet and rule["expr"] != "vector(1)":
            yield Problem(path, line, f"{name}: no test in which it stays quiet")
        if "record" in rule and rule["record"] not in valued:
            yield Problem(path, line, f"{rule['record']}: no test of its value")


class _Rules:
    """The rules of one file, each with its text."""

    def __init__(self, path):
        self.path = path
        self.lines = path.read_text().splitlines()
        self.groups = load(path)["groups"]
        self.needs = {}
        for group in self.groups:
            for rule in group["rules"]:
                used = {use.metric for use in promql.read(rule["expr"]).selectors}
                self.needs.setdefault(_name(rule), set()).update(used)

    def text(self, names):
        """The file with the rules of these names only."""
        out = ["groups:"]
        for group, end in zip(self.groups, [*(after.line for after in self.groups[1:]), len(self.lines) + 1], strict=True):
            starts = [rule.line for rule in group["rules"]]
            kept = [(start, after) for rule, start, after in zip(group["rules"], starts, [*starts[1:], end], strict=True) if _name(rule) in names]
            if kept:
                out += self.lines[group.line - 1 : starts[0] - 1]
                for start, after in kept:
                    out += self.lines[start - 1 : after - 1]
        return "\n".join(out) + "\n"


def _name(rule):
    return rule.get("alert") or rule["record"]


def _about(path, test, known):
    """Names of the rules that a test names or needs."""
    named = {(case["alertname"], case.line) for case in test.get("alert_rule_test", [])}
    for case in test.get("promql_expr_test", []):
        for use in promql.read(case["expr"]).selectors:
            alert = next((value for label, operator, value in use.matchers if (label, operator) == ("alertname", "Equal")), None)
            named.add((alert if use.metric == "ALERTS" else use.metric, case.line))
    for name, line in named:
        if name not in known:
            raise Problem(path, line, f"a test of {name}, of which its files have no rule")
    about, next_ones = set(), {name for name, _ in named}
    while next_ones:
        about |= next_ones
        next_ones = {used for name in next_ones for used in known[name] if used in known} - about
    return frozenset(about)


def _parts(path, folder):
    """Copies of a file of tests, each with the tests about the same rules and a copy of those."""
    document = load(path)
    rules = [_Rules((path.parent / file).resolve()) for file in document["rule_files"]]
    known = {name: used for file in rules for name, used in file.needs.items()}
    tests = {}
    for test in document["tests"]:
        tests.setdefault(_about(path, test, known), []).append(test)
    parts = []
    for number, (about, group) in enumerate(tests.items()):
        part = folder / f"{path.stem}-{number}"
        part.mkdir()
        copies = []
        for file in rules:
            if about & file.needs.keys():
                copies.append(file.path.name)
                (part / file.path.name).write_text(file.text(about))
        copy = dict(document, rule_files=copies, tests=group)
        (part / path.name).write_text(json.dumps(copy))
        parts.append(part / path.name)
    return parts


def run():
    """Problems that promtool finds, with the place of the expectation that is not met."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            parts = [(path, part) for path in files() for part in _parts(path, Path(folder))]
        except Problem as problem:
            return [problem]
        problems = [problem for found in pool.map(_promtool, parts) for problem in found]
        if problems:
            return problems
        return [problem for found in pool.map(_promtool, [(path, path) for path in files()]) for problem in found]


def _promtool(pair):
    path, part = pair
    done = subprocess.run(["promtool", "test", "rules", str(part)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    output = (done.stdout + done.stderr).strip()
    failed = list(_FAILED.finditer(output))
    if not failed:
        return [Problem(path, 1, f"promtool test rules: {output}")]
    ends = [*(match.start() for match in failed[1:]), len(output)]
    return [
        Problem(path, _place(path, match), f"promtool test rules: {' '.join(output[match.start() : end].split())}")
        for match, end in zip(failed, ends, strict=True)
    ]


def _place(path, failed):
    """The line of the expectation that promtool names."""
    wanted = (json.loads(failed["expr"]) if failed["expr"] else failed["alert"], failed["time"])
    for test in load(path)["tests"]:
        for case in [*test.get("promql_expr_test", []), *test.get("alert_rule_test", [])]:
            if (case.get("expr", case.get("alertname")), str(case["eval_time"])) == wanted:
                return case.line
    return 1
