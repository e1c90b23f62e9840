#!/usr/bin/env python3
"""Do the files of the monitoring stack and of the deployment hold together?

Reads the rules, their tests, the routes, dashboards, runbooks, log pipelines, containers and units with the tools that
will read them, takes every metric, label and closed value out of every expression with a PromQL parser, and compares them with
the engine's catalogue (exporter/METRICS.md, and the page that the exporter's tests keep), or with pages scraped from a running
engine (--page, repeatable). Each problem is one line: FILE:LINE: SENTENCE.

Usage: monitoring_stack.py [--page FILE]... [--only NAME]...
"""

import argparse
import importlib
import sys
from pathlib import Path

from stack import catalogue, rules
from stack.located import Problem
from stack.verdicts import Verdicts

# Name, module, function, whether it takes the catalogue.
CHECKS = [
    ("rules", "rules", "check", True),
    ("mutants", "mutants", "check", False),
    ("thresholds", "thresholds", "check", False),
    ("routing", "routing", "check", False),
    ("dashboards", "dashboards", "check", True),
    ("runbooks", "runbooks", "check", True),
    ("documents", "documents", "check", True),
    ("configs", "configs", "check", False),
    ("logs", "logs", "check", False),
    ("yaml", "files", "yamls", False),
    ("scripts", "files", "scripts", False),
    ("compose", "files", "compose", False),
    ("image", "files", "image", False),
    ("kubernetes", "files", "kubernetes", False),
    ("units", "files", "units", False),
    ("conformance", "conformance", "check", False),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", action="append", default=[], type=Path)
    parser.add_argument("--only", action="append", default=[], choices=[name for name, *_ in CHECKS])
    arguments = parser.parse_args()
    verdicts = Verdicts()
    try:
        series = catalogue.build(arguments.page)
        rules.learn(series)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    for name, module, function, with_series in CHECKS:
        if arguments.only and name not in arguments.only:
            continue
        check = getattr(importlib.import_module(f"stack.{module}"), function)
        try:
            problems = list(check(series) if with_series else check())
        except Problem as problem:
            problems = [problem]
        for problem in problems:
            print(problem, file=sys.stderr)
        print(f"{name}: {'ok' if not problems else f'{len(problems)} problems'}", flush=True)
        verdicts.count(not problems)
    if series.used_expected:
        print("used and not in the engine's catalogue yet:", " ".join(sorted(series.used_expected)))
    return verdicts.end()


if __name__ == "__main__":
    sys.exit(main())
