"""Do the tests of the rules see a rule that is a little wrong?

Owns: check. Beside each rule that a test names there come copies of it, each with one fault: windows twice as long, `for` twice as
long or none, a number that is compared with, divided by or a quantile a tenth higher or lower. The copies have names of their own
and the rule's tests under that name, so that one run of promtool tries all of a file's; a copy of which no test fails is told.
Does not: judge the rules as they are (rule_tests.py).
"""

import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import promql, rule_tests, rules
from .located import Problem, load

WINDOW = re.compile(r"\[(\d+)([smhd])\]")
# Numbers that decide: after a comparison (not with 0, and not of equality), a budget that is divided by, a quantile.
NUMBER = re.compile(r"(?:(?<=[<>] )|(?<=[<>]= )|(?<=[<>] bool )|(?<=[<>]= bool )|(?<=/ )|(?<=quantile\())(?!0(?![.\d]))(\d+(?:\.\d+)?)(?![\w.])")


def _mutants(rule):
    """The copies of a rule as (what is wrong, rule)."""
    expression = rule["expr"]
    if WINDOW.search(expression):
        yield "windows twice as long", dict(rule, expr=WINDOW.sub(lambda m: f"[{2 * int(m.group(1))}{m.group(2)}]", expression))
    for found in NUMBER.finditer(expression):
        for word, factor in (("higher", 1.1), ("lower", 0.9)):
            number = f"{float(found.group()) * factor:.10g}"
            # There is no quantile above 1.
            if not (expression[: found.start()].endswith("quantile(") and float(number) > 1):
                yield f"{found.group()} a tenth {word}", dict(rule, expr=expression[: found.start()] + number + expression[found.end() :])
    if "for" in rule:
        number, unit = int(rule["for"][:-1]), rule["for"][-1]
        yield "`for` twice as long", dict(rule, **{"for": f"{2 * number}{unit}"})
        yield "no `for`", {key: value for key, value in rule.items() if key != "for"}


def _concerns(case, rule):
    """Whether a case is about this rule: of its name, and not of another one's labels (three alerts may share a name)."""
    for use in promql.read(case["expr"]).selectors:
        named = use.metric if "record" in rule else next((value for label, _, value in use.matchers if label == "alertname"), None)
        labels = rule.get("labels", {})
        if named == rule_tests._name(rule) and all(labels.get(label, value) == value for label, _, value in use.matchers if label in labels):
            return True
    return False


class _Run:
    """One file of tests with the copies of some of its rules."""

    def __init__(self, path, part, number):
        self.path, self.told = path, {}
        document = json.loads(part.read_text())
        tests = [dict(test, promql_expr_test=[]) for test in document["tests"]]
        for file in list(document["rule_files"]):
            groups = []
            for group in load(part.parent / file)["groups"]:
                copies = [copy for rule in group["rules"] for copy in self._copies(file, rule, document["tests"], tests)]
                if copies:
                    groups.append({"name": f"{group['name']}-mutants", "rules": copies})
                    if group["name"] in document.get("group_eval_order", []):
                        document["group_eval_order"].append(groups[-1]["name"])
            (part.parent / f"mutants-{file}").write_text(json.dumps({"groups": groups}))
            document["rule_files"].append(f"mutants-{file}")
        document["tests"] = [test for test in tests if test["promql_expr_test"]]
        self.file = part.parent / f"mutants-{number}_test.yml"
        self.file.write_text(json.dumps(document))

    def _copies(self, file, rule, originals, tests):
        name, key = rule_tests._name(rule), "alert" if "alert" in rule else "record"
        about = [
            (test, case)
            for original, test in zip(originals, tests, strict=True)
            for case in original.get("promql_expr_test", [])
            if _concerns(case, rule)
        ]
        if not about:
            return
        for what, copy in _mutants(rule):
            own = f"{name}_mutant{len(self.told)}_"
            self.told[own] = (file, name, rule.get("labels", {}).get("window"), what)
            word = re.compile(rf"(?<![\w:]){re.escape(name)}(?![\w:])")
            for test, case in about:
                samples = [dict(sample, labels=word.sub(own, sample.get("labels", ""))) for sample in case["exp_samples"]]
                test["promql_expr_test"].append(dict(case, expr=word.sub(own, case["expr"]), exp_samples=samples))
            yield dict(copy, **{key: own})

    def survivors(self):
        """What no case of the file saw, and what one did."""
        if not self.told:
            return set(), set()
        done = subprocess.run(["promtool", "test", "rules", str(self.file)], capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        if done.returncode and not re.search(r"expr: ", output):
            raise Problem(self.path, 1, f"promtool test rules, of changed copies: {output.strip()}")
        seen = {told for own, told in self.told.items() if own in output}
        return set(self.told.values()) - seen, seen


def check():
    """Faults of rules that no test would see, each at its rule."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = []
        for path in rule_tests.files():
            runs += [_Run(path, part, number) for number, part in enumerate(rule_tests._parts(path, Path(folder)))]
        found = list(pool.map(_Run.survivors, runs))
    seen = set().union(*(killed for _, killed in found))
    missed = set().union(*(survived for survived, _ in found)) - seen
    for path, line, rule in rules.rules():
        for file, name, window, what in sorted(missed, key=str):
            if (file, name, window) == (path.name, rule_tests._name(rule), rule.get("labels", {}).get("window")):
                yield Problem(path, line, f"{name}: no test would see {what}")
