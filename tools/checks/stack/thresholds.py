"""Thresholds of alerts: the engine's own bounds, held against its source and on panels, and those of the table of objectives.

Owns: check, OBJECTIVES. Does not: judge other thresholds of the guide (guide_tables.py), or whether an alert fires at one (promtool,
and mutants.py for how well that is tested).
"""

import re

from . import dashboards, promql, rules
from .located import ROOT, Problem, load

RATE = ROOT / "core" / "src" / "venue" / "binance" / "rate.rs"
# An alert, and what its expression compares with: what is left of a window where a purpose may spend no more.
BUDGETS = {
    "RateBudgetLow": (r"< (0\.\d+)$", r"SHARE_PERCENT: u32 = (\d+);"),
    "RateBudgetExhausted": (r"<= (0\.\d+)$", r"Self::Order => (\d+),"),
}
# Of each row of the guide's table of objectives: its target and its alert's threshold as they stand there, the alert, what one of
# the threshold's units is in the alert's, and the recorded error ratio with the share of it that the objective allows.
OBJECTIVES = {
    "Availability": ("99.9%", "< 99.5% over 1h", "AvailabilityBelowObjective", 0.01, "availability", "0.001"),
    "Order Latency P99": ("< 100ms", "> 100ms for 5m", "HighOrderLatency", 0.001, "order_latency", "0.01"),
    "API Latency P99": ("< 500ms", "> 500ms for 5m", "APILatencyAboveObjective", 0.001, "api_latency", "0.01"),
    "Order Success Rate": ("> 99%", "< 98% for 5m", "OrderSuccessBelowObjective", 0.01, "order_success", "0.01"),
    "Error Rate": ("< 0.1%", "> 1% for 5m", "ErrorRateAboveObjective", 0.01, "error_rate", "0.001"),
    "Market Data Freshness": ("99% < 50ms", "> 50ms for 5m", "MarketDataStaleAboveObjective", 1, "freshness", "0.01"),
}
# Paces of the burn alerts: of the budget, by the long window.
PACES = {"1h": ("14.4", "5m"), "6h": ("6", "30m"), "3d": ("1", "6h")}
WINDOW = re.compile(r"\[(\w+)\]")
NAMED = re.compile(r"[:_](?:rate)?(\d+[smhd])$")


def check():
    """Problems of all of them."""
    yield from _engine()
    yield from _windows()
    yield from _objectives()
    yield from _panels()


def _windows():
    """A recording whose name says a window has that one, in its own expression or in the recordings that it is made of."""
    for path, _, rule in rules.rules():
        name, line = rule.get("record", ""), rule.lines["expr"]
        used = set(WINDOW.findall(rule["expr"]))
        said = NAMED.search(name)
        if said and not used:
            used = {found.group(1) for use in promql.read(rule["expr"]).selectors if (found := NAMED.search(use.metric))}
        if said and used != {said.group(1)}:
            yield Problem(path, line, f"{name} is made of windows of {', '.join(sorted(used)) or 'nothing'}")
        if name and used and not said:
            yield Problem(path, line, f"{name} does not say its window of {', '.join(sorted(used))}")


def _objectives():
    """The alerts of the table of objectives, and the burn alerts of each."""
    alerts = {}
    for path, _, rule in rules.alerts():
        alerts.setdefault(rule["alert"], []).append((path, rule))
    for row, (_, threshold, alert, unit, kind, budget) in OBJECTIVES.items():
        operator, number, _, how, time = re.fullmatch(r"([<>]) ([\d.]+)(%|ms) (for|over) (\w+)", threshold).groups()
        if len(alerts.get(alert, ())) != 1:
            yield Problem(rules.PROMETHEUS / "alerts" / "veloz-alerts.yml", 1, f"the objective of {row} has no alert {alert} of its own")
            continue
        ((path, rule),) = alerts[alert]
        wanted = float(number) * unit
        compared = [float(value) for value in re.findall(rf"{operator} ([\d.]+)", rule["expr"])]
        if round(wanted, 9) not in compared:
            yield Problem(path, rule.lines["expr"], f"{alert} compares otherwise than the objective of {row}: {threshold}")
        if how == "for" and rule.get("for") != time or how == "over" and f"_rate{time} " not in rule["expr"]:
            yield Problem(path, rule.lines["expr"], f"{alert} takes another time than the objective of {row}: {threshold}")
        burning = [found for found in rules.alerts() if f"veloz:slo:{kind}:error_ratio" in found[2]["expr"] and "window" in found[2]["labels"]]
        if {rule["labels"]["window"] for _, _, rule in burning} != PACES.keys():
            yield Problem(rules.PROMETHEUS / "alerts" / "veloz-slo-burn.yml", 1, f"the burn alerts of {kind} have not the windows {', '.join(PACES)}")
        for path, _, rule in burning:
            window = rule["labels"]["window"]
            pace, short = PACES.get(window, ("", ""))
            for one in (window, short):
                if not re.search(rf"veloz:slo:{kind}:error_ratio_rate{one} > {re.escape(pace)} \* {re.escape(budget)}(?![.\d])", rule["expr"]):
                    yield Problem(path, rule.lines["expr"], f"{rule['alert']} of {window} is not {pace} times {budget} over {one}")


def _panels():
    """Panels of rate budgets change their colour where the engine changes what it does."""
    bounds = {}
    for name, (compared, _) in BUDGETS.items():
        found = [re.search(compared, rule["expr"]) for _, _, rule in rules.alerts() if rule["alert"] == name]
        if len(found) != 1 or found[0] is None:
            # _engine has said so.
            return
        bounds[name] = float(found[0].group(1))
    path = dashboards.FOLDER / "veloz-flow.json"
    found = 0
    for panel in load(path)["panels"]:
        if not any("veloz_rate_budget_remaining" in target["expr"] for target in panel.get("targets", [])):
            continue
        found += 1
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps if step["value"] is not None]
        if values != sorted(bounds.values()):
            yield Problem(path, steps.line, f"{panel['title']} changes its colour at {values}, the engine what it does at {sorted(bounds.values())}")
    if not found:
        yield Problem(path, 1, "no panel of a rate budget was found")


def _engine():
    """Problems of alerts whose bound the engine no longer has."""
    source = RATE.read_text()
    by_name = {rule["alert"]: (path, rule) for path, _, rule in rules.alerts()}
    for name, (compared, bound) in BUDGETS.items():
        if name not in by_name:
            yield Problem(rules.PROMETHEUS / "alerts" / "veloz-alerts.yml", 1, f"there is no alert {name}, which is about the engine's bound")
            continue
        path, rule = by_name[name]
        line = rule.lines["expr"]
        used = re.search(bound, source)
        left = re.search(compared, rule["expr"])
        if not used:
            yield Problem(RATE, 1, f"has no {bound}, which {name} is about")
        elif not left or round(float(left.group(1)) * 100) != 100 - int(used.group(1)):
            yield Problem(path, line, f"{name} compares otherwise than the engine, which stops at {used.group(1)} % of a window")
