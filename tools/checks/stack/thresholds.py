"""Thresholds of alerts that are the engine's own bounds, held against its source.

Owns: check. Does not: judge thresholds of the guide (guide_tables.py), or whether an alert fires at one (promtool).
"""

import re

from . import rules
from .located import ROOT, Problem

RATE = ROOT / "core" / "src" / "venue" / "binance" / "rate.rs"
# An alert, and what its expression compares with: what is left of a window where a purpose may spend no more.
BUDGETS = {
    "RateBudgetLow": (r"< (0\.\d+)$", r"SHARE_PERCENT: u32 = (\d+);"),
    "RateBudgetExhausted": (r"<= (0\.\d+)$", r"Self::Order => (\d+),"),
}


def check():
    """Problems of alerts whose bound the engine no longer has."""
    source = RATE.read_text()
    by_name = {rule["alert"]: (path, rule) for path, _, rule in rules.alerts()}
    for name, (compared, bound) in BUDGETS.items():
        path, rule = by_name[name]
        line = rule.lines["expr"]
        used = re.search(bound, source)
        left = re.search(compared, rule["expr"])
        if not used:
            yield Problem(RATE, 1, f"has no {bound}, which {name} is about")
        elif not left or round(float(left.group(1)) * 100) != 100 - int(used.group(1)):
            yield Problem(path, line, f"{name} compares otherwise than the engine, which stops at {used.group(1)} % of a window")
