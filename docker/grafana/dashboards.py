#!/usr/bin/env python3
"""Writes the dashboards of provisioning/dashboards/json.

Owns: what is on which dashboard. Does not: know whether a series exists; tools/checks/monitoring_stack.py does, and it
fails when the JSON files are not what this writes. Panels of the monitoring guide have its titles.

Usage: dashboards.py [--check]
"""

import json
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "provisioning" / "dashboards" / "json"
PROMETHEUS = {"type": "prometheus", "uid": "veloz-prometheus"}
LOKI = {"type": "loki", "uid": "veloz-loki"}
WIDTH = 24
GREEN, YELLOW, RED = "green", "yellow", "red"
I = 'instance=~"$instance"'  # noqa: E741 (in nearly every query)
JOB = f'job="veloz-gateway",{I}'


def query(expr, legend="", exemplar=False, instant=False, form="time_series"):
    """One question to Prometheus; `legend` names its lines."""
    return {"expr": expr, "legend": legend or "{{instance}}", "exemplar": exemplar, "instant": instant, "form": form}


def quantiles(metric, by="instance", where=I, legend="", exemplar=True, which=(0.5, 0.95, 0.99)):
    """Percentiles of a histogram, summed over everything but `by`."""
    return [
        query(
            f"histogram_quantile({q:g}, sum by ({by}, le) (rate({metric}_bucket{{{where}}}[$__rate_interval])))",
            f"p{q * 100:g} {legend or '{{instance}}'}",
            exemplar=exemplar and q == which[-1],
        )
        for q in which
    ]


def panel(kind, title, what, queries, width=12, height=8, unit="short", steps=None, runbook=None, source=None, **more):
    """One panel. `steps` are thresholds as (from, colour); `runbook` names the alert that this panel explains."""
    source = source or PROMETHEUS
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": []}, "mappings": more.pop("mappings", [])}
    for value, colour in steps or [(None, GREEN)]:
        defaults["thresholds"]["steps"].append({"color": colour, "value": value})
    for key in ("min", "max", "decimals", "noValue"):
        if key in more:
            defaults[key] = more.pop(key)
    if kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": more.pop("draw", "line"),
            "fillOpacity": 10,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": more.pop("stacking", "none"), "group": "A"},
            "thresholdsStyle": {"mode": "line" if steps else "off"},
        }
        options = {
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    elif kind in ("stat", "gauge"):
        defaults["color"] = {"mode": "thresholds"}
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "textMode": "auto"}
        if kind == "stat":
            options |= {"colorMode": "background" if defaults["mappings"] else "value", "graphMode": "area"}
        else:
            options = {"reduceOptions": options["reduceOptions"], "showThresholdMarkers": True}
    elif kind == "bargauge":
        defaults["color"] = {"mode": "thresholds"}
        options = {
            "displayMode": "gradient",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    elif kind == "heatmap":
        options = {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "legend": {"show": True},
            "tooltip": {"show": True, "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "unit": unit},
        }
    elif kind == "logs":
        options = {
            "showTime": True,
            "wrapLogMessage": True,
            "enableLogDetails": True,
            "dedupStrategy": "none",
            "sortOrder": "Descending",
            "prettifyLogMessage": False,
        }
    else:
        raise ValueError(kind)
    assert not more, more
    targets = []
    for index, asked in enumerate(queries):
        target = {
            "refId": chr(ord("A") + index),
            "datasource": source,
            "expr": asked["expr"],
            "legendFormat": asked["legend"],
        }
        if source is LOKI:
            target["queryType"] = "instant" if asked["instant"] else "range"
        else:
            target |= {
                "exemplar": asked["exemplar"],
                "instant": asked["instant"],
                "range": not asked["instant"],
                "format": asked["form"],
            }
        targets.append(target)
    built = {
        "type": kind,
        "title": title,
        "description": what,
        "datasource": source,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
        "gridPos": {"w": width, "h": height},
    }
    if runbook:
        built["links"] = [{"title": f"Runbook {runbook}", "url": f"${{runbooks}}/{runbook}.md", "targetBlank": True}]
    return built


def variable(name, label, expr):
    """A choice of values of a label, all of them at first."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PROMETHEUS,
        "definition": expr,
        "query": {"query": expr, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def custom(name, label, values):
    """A choice of fixed values, all of them at first."""
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(values),
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }


INSTANCE = variable("instance", "Instance", 'label_values(up{job="veloz-gateway"}, instance)')
SYMBOL = variable("symbol", "Symbol", "label_values(veloz_orderbook_messages_total, symbol)")
# Prometheus serves the runbooks; put its address for browsers here.
RUNBOOKS = {
    "name": "runbooks",
    "label": "Runbooks",
    "type": "textbox",
    "query": "http://localhost:9090/user/runbooks",
    "current": {"text": "http://localhost:9090/user/runbooks", "value": "http://localhost:9090/user/runbooks"},
    "options": [],
    "hide": 2,
}


def dashboard(uid, title, refresh, variables, sections, span="1h"):
    """A dashboard: each section is a row with its panels, laid out from left to right."""
    panels, y, number = [], 0, 0
    for name, members in sections:
        number += 1
        panels.append(
            {
                "id": number,
                "type": "row",
                "title": name,
                "collapsed": False,
                "panels": [],
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
            }
        )
        y += 1
        x = tallest = 0
        for member in members:
            place = member["gridPos"]
            if x + place["w"] > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            panels.append(member | {"id": number, "gridPos": place | {"x": x, "y": y}})
            x += place["w"]
            tallest = max(tallest, place["h"])
        y += tallest
    return {
        "uid": uid,
        "title": title,
        "tags": ["veloz"],
        "timezone": "utc",
        "schemaVersion": 38,
        "version": 1,
        "refresh": refresh,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": f"now-{span}", "to": "now"},
        "templating": {"list": [*variables, RUNBOOKS]},
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "datasource": PROMETHEUS,
                    "enable": True,
                    "iconColor": "red",
                    "expr": 'ALERTS{alertstate="firing",severity="critical"}',
                    "titleFormat": "{{alertname}}",
                    "textFormat": "{{instance}}",
                }
            ]
        },
        "links": [{"title": "VeloZ", "type": "dashboards", "tags": ["veloz"], "asDropdown": True, "keepTime": True}],
        "panels": panels,
    }


UP = [{"type": "value", "options": {"1": {"text": "UP", "color": GREEN}, "0": {"text": "DOWN", "color": RED}}}]
CONNECTED = [
    {"type": "value", "options": {"1": {"text": "CONNECTED", "color": GREEN}, "0": {"text": "DISCONNECTED", "color": RED}}}
]
ON = [{"type": "value", "options": {"1": {"text": "LATCHED", "color": RED}, "0": {"text": "off", "color": GREEN}}}]


def rate(metric, where=I, by="instance", window="$__rate_interval"):
    return f"sum by ({by}) (rate({metric}{{{where}}}[{window}]))"


def trading():
    return dashboard("veloz-trading", "VeloZ Trading Dashboard", "5s", [INSTANCE, SYMBOL], [
        ("System Overview", [
            panel("stat", "System Uptime", "Time since the process started.", [query(f"veloz_system_uptime{{{I}}}")], 6, 5, "s", runbook="VeloZRestarted"),
            panel("stat", "Event Loop Pending Tasks", "Commands and frames that wait for the core.", [query(f"veloz_event_loop_pending_tasks{{{I}}}")], 6, 5, steps=[(None, GREEN), (100, YELLOW), (500, RED)], runbook="EventLoopBacklog"),
            panel("stat", "Total Orders", "Orders submitted since the start.", [query(f"sum by (instance) (veloz_orders_total{{{I}}})")], 6, 5),
            panel("stat", "Total Fills", "Fills since the start.", [query(f"sum by (instance) (veloz_fills_total{{{I}}})")], 6, 5),
        ]),
        ("Order Flow", [
            panel("timeseries", "Order Rate", "Orders, fills and cancels a second.", [
                query(rate("veloz_orders_total"), "orders {{instance}}"), query(rate("veloz_fills_total"), "fills {{instance}}"), query(rate("veloz_cancels_total"), "cancels {{instance}}")], unit="ops"),
            panel("timeseries", "Order Latency", "From an order in the kernel's hands to the venue's first word on it.", quantiles("veloz_order_latency_seconds"), unit="s", steps=[(None, GREEN), (0.05, YELLOW), (0.1, RED)], runbook="HighOrderLatency"),
        ]),
        ("Market Data", [
            panel("timeseries", "Market Data Rate", "Messages a second by type.", [query(rate("veloz_market_updates_total", by="type"), "{{type}}")], unit="ops", stacking="normal", runbook="LowMarketDataRate"),
            panel("timeseries", "Market Data Latency", "How far the worst live book is behind the venue.", [query(f"veloz_market_data_lag_ms{{{I}}}")], unit="ms", steps=[(None, GREEN), (50, YELLOW), (100, RED)], runbook="HighMarketDataLag"),
        ]),
        ("Risk & Positions", [
            panel("timeseries", "Position Value", "Value of each position in account currency.", [query(f'veloz_position_value{{{I},symbol=~"$symbol"}}', "{{symbol}}")], 8, unit="currencyUSD"),
            panel("timeseries", "Risk Rejections", "Orders refused by risk, by reason.", [query(f"sum by (reason) (increase(veloz_risk_rejections_total{{{I}}}[$__rate_interval])) > 0", "{{reason}}")], 8, stacking="normal", draw="bars", runbook="RiskRejectionsSpike", noValue="none"),
            panel("gauge", "Risk Utilization", "The most that is used of any limit.", [query(f"veloz_risk_utilization_percent{{{I}}}")], 8, unit="percent", steps=[(None, GREEN), (80, YELLOW), (95, RED)], min=0, max=100, runbook="HighRiskUtilization"),
            panel("timeseries", "Profit and Loss", "Realized since the start and unrealized at the mark, account currency.", [
                query(f"veloz_position_total_realized_pnl{{{I}}}", "realized {{instance}}"), query(f"veloz_position_total_unrealized_pnl{{{I}}}", "unrealized {{instance}}"), query(f"veloz_equity_change_day{{{I}}}", "equity today {{instance}}"), query(f"-veloz_risk_var_95{{{I}}} * sqrt(86400 / veloz_risk_period_seconds{{{I}}})", "-VaR 95 of a day {{instance}}")], unit="currencyUSD", runbook="VelozVaRBreach"),
            panel("timeseries", "Drawdown", "Fall of equity from its peak, in percent.", [query(f"veloz_risk_current_drawdown{{{I}}}", "now {{instance}}"), query(f"veloz_risk_max_drawdown{{{I}}}", "worst {{instance}}")], unit="percent", steps=[(None, GREEN), (10, YELLOW), (20, RED)], runbook="VelozHighDrawdown"),
            panel("timeseries", "Exposure", "Sums of position values.", [query(f"veloz_exposure_{kind}{{{I}}}", f"{kind} {{{{instance}}}}") for kind in ("gross", "net", "long", "short")], 8, unit="currencyUSD"),
            panel("stat", "Leverage", "Gross exposure over equity.", [query(f"veloz_exposure_leverage_ratio{{{I}}}")], 4, steps=[(None, GREEN), (2, YELLOW), (3, RED)], runbook="VelozHighLeverage"),
            panel("stat", "Largest Position", "Share of the largest position.", [query(f"veloz_concentration_largest_pct{{{I}}}")], 4, unit="percent", steps=[(None, GREEN), (50, RED)], runbook="VelozHighConcentration"),
            panel("stat", "Sharpe Ratio", "Annualized; no value below two periods.", [query(f"veloz_risk_sharpe_ratio{{{I}}}")], 4, steps=[(None, RED), (0, GREEN)], runbook="VelozNegativeSharpe"),
            panel("stat", "Win Rate", "Periods won of those with a result.", [query(f"veloz_risk_win_rate{{{I}}}")], 4, unit="percent", steps=[(None, RED), (30, GREEN)], runbook="VelozLowWinRate"),
        ]),
        ("Gateway & API", [
            panel("timeseries", "HTTP Request Rate", "Requests a second by endpoint.", [query(rate("veloz_http_requests_total", by="endpoint"), "{{endpoint}}")], unit="reqps", stacking="normal"),
            panel("timeseries", "HTTP Request Latency", "All endpoints together.", quantiles("veloz_http_request_duration_seconds"), unit="s", steps=[(None, GREEN), (0.5, YELLOW), (1, RED)], runbook="HighAPILatency"),
        ]),
    ])


def system():
    return dashboard("veloz-system", "VeloZ System Health", "5s", [INSTANCE, SYMBOL], [
        ("Service Health", [
            panel("stat", "Gateway Status", "Whether Prometheus can scrape it.", [query(f"up{{{JOB}}}")], 4, 5, mappings=UP, runbook="VeloZGatewayDown"),
            panel("stat", "Engine Status", "Whether the core turns.", [query(f"veloz_engine_running{{{I}}}")], 4, 5, mappings=UP, runbook="VeloZEngineDown"),
            panel("stat", "WebSocket Status", "Whether a market data connection is up.", [query(f"veloz_websocket_connected{{{I}}}")], 4, 5, mappings=CONNECTED, runbook="VeloZWebSocketDisconnected"),
            panel("stat", "Active Connections", "Open HTTP connections.", [query(f"veloz_active_connections{{{I}}}")], 4, 5),
            panel("stat", "Error Rate", "Errors of all components a minute.", [query(rate("veloz_errors_total", window="5m") + " * 60")], 4, 5, "cpm", steps=[(None, GREEN), (3, YELLOW), (6, RED)], runbook="HighErrorRate"),
            panel("stat", "SSE Clients", "Clients of the event stream.", [query(f"veloz_sse_clients{{{I}}}")], 4, 5, steps=[(None, GREEN), (100, YELLOW)], runbook="HighSSEClients"),
            panel("timeseries", "Errors by Type", "Errors a second.", [query(rate("veloz_errors_total", by="component, type") + " > 0", "{{component}} {{type}}")], unit="ops", runbook="HighErrorRate", noValue="none"),
            panel("timeseries", "Books", "1 while a book is in a state.", [query(f'sum by (symbol, state) (veloz_orderbook_state{{{I},symbol=~"$symbol"}}) > 0', "{{symbol}} {{state}}")], runbook="BookNotLive"),
        ]),
        ("Event Loop Performance", [
            panel("timeseries", "Event Loop Queue Depth", "Commands and frames that wait for the core.", [query(f"veloz_event_loop_pending_tasks{{{I}}}")], 8, steps=[(None, GREEN), (100, YELLOW), (500, RED)], runbook="EventLoopBacklog"),
            panel("timeseries", "Event Loop Task Latency", "Length of the core's turns that handled something.", quantiles("veloz_event_loop_task_latency_seconds"), 8, unit="s"),
            panel("timeseries", "Rings", "Fill of the rings between core and sidecar.", [query(f"veloz_ring_used{{{I}}} / veloz_ring_size{{{I}}}", "{{ring}} {{instance}}")], 8, unit="percentunit", min=0, max=1, runbook="TelemetryBacklog"),
        ]),
        ("Exchange Connectivity", [
            panel("timeseries", "Exchange API Latency", "99th percentile by exchange and method.", quantiles("veloz_exchange_api_latency_seconds", by="exchange, endpoint", legend="{{exchange}} {{endpoint}}", which=(0.99,)), 8, unit="s"),
            panel("timeseries", "Exchange Errors & Reconnects", "A minute.", [
                query(rate("veloz_exchange_api_errors_total", by="exchange, error_type", window="5m") + " * 60 > 0", "errors {{exchange}} {{error_type}}"), query(rate("veloz_websocket_reconnects_total", by="exchange", window="5m") + " * 60", "reconnects {{exchange}}")], 8, unit="cpm", runbook="ExchangeAPIErrors"),
            panel("timeseries", "Venue Clock Offset", "The venue's clock minus ours.", [query(f"veloz_venue_clock_offset_seconds{{{I}}}")], 8, unit="s", runbook="VenueClockOffset"),
        ]),
        ("Memory & Resources", [
            panel("timeseries", "Memory Pool Usage", "Memory reserved at start and what of it holds something; the whole process; what it may use.", [
                query(f"veloz_memory_pool_used_bytes{{{I}}}", "used {{instance}}"), query(f"veloz_memory_pool_allocated_bytes{{{I}}}", "allocated {{instance}}"), query(f"process_resident_memory_bytes{{{JOB}}}", "resident {{instance}}"), query(f"veloz_memory_limit_bytes{{{I}}}", "limit {{instance}}")], 8, unit="bytes", runbook="MemoryUsageHigh"),
            panel("timeseries", "Data Structures", "Price levels in all books, and active orders.", [query(f"veloz_orderbook_depth{{{I}}}", "orderbook depth {{instance}}"), query(f"veloz_active_orders{{{I}}}", "active orders {{instance}}")], 8, runbook="HighActiveOrders"),
            panel("timeseries", "CPU", "CPUs in use; a spinning core is one.", [query(f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])")], 8, steps=[(None, GREEN), (1.8, YELLOW)], runbook="HighCPUUsage"),
        ]),
    ])


def components():
    """What the engine's log lines have as component, by its source: tests left out, which end a file or have one of their own."""
    root = Path(__file__).resolve().parents[2]
    found = set()
    for path in (file for crate in ("core", "exporter", "tools") for file in (root / crate / "src").rglob("*.rs")):
        if "tests" not in path.parts and path.stem != "tests":
            text = path.read_text().split("#[cfg(test)]\nmod ")[0]
            found |= set(re.findall(r'\bcomponent = "([a-z_]+)"', text))
    if not found:
        raise SystemExit(f"{root}: no line of a log names its component")
    return sorted(found)


LOG_JOB = '{job="veloz-gateway"}'
PARSED = f'{LOG_JOB} | json | level =~ "$level" | component =~ "$component"'


def logs():
    stream = lambda expr: [query(expr, "{{level}}")]
    return dashboard("veloz-logs", "VeloZ Logs", "10s", [
        custom("level", "Level", ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]),
        custom("component", "Component", components()),
    ], [
        ("Log Overview", [
            panel("timeseries", "Log Volume by Level", "Lines in each interval.", [query(f'sum by (level) (count_over_time({PARSED} | level != "" [$__interval]))', "{{level}}")], 10, draw="bars", stacking="normal", source=LOKI),
            panel("stat", "Total Errors", "Error lines in the range.", [query(f'sum(count_over_time({LOG_JOB} | json | level = "ERROR" [$__range]))', "errors", instant=True)], 4, source=LOKI, steps=[(None, GREEN), (1, RED)], noValue="0", runbook="HighErrorRate"),
            panel("stat", "Total Warnings", "Warning lines in the range. Our text is WARN; WARNING is what other programs write.", [query(f'sum(count_over_time({LOG_JOB} | json | level =~ "WARN|WARNING" [$__range]))', "warnings", instant=True)], 4, source=LOKI, steps=[(None, GREEN), (1, YELLOW)], noValue="0"),
            panel("timeseries", "Logs by Component", "Lines in each interval.", [query(f'sum by (component) (count_over_time({PARSED} | component != "" [$__interval]))', "{{component}}")], 6, draw="bars", stacking="normal", source=LOKI),
        ]),
        ("Error Logs", [panel("logs", "Error Logs", "Errors as they come.", stream(f'{LOG_JOB} | json | level = "ERROR" | component =~ "$component"'), 24, 9, source=LOKI)]),
        ("Trading Logs", [panel("logs", "Order & Trade Logs", "What became of orders.", stream(f'{PARSED} | event_type =~ "order.*|trade.*|fill.*"'), 24, 9, source=LOKI)]),
        ("All Logs", [panel("logs", "All VeloZ Logs", "Everything.", stream('{job=~"veloz.*"} | json | level =~ "$level" | component =~ "$component"'), 24, 12, source=LOKI)]),
    ])


def slo():
    percent = lambda ratio: f"(1 - {ratio}) * 100"
    where = f"{{{I}}}"
    good = lambda bad, everything: f"100 * (1 - (({bad}) or 0 * {everything}) / ({everything} > 0)) or 100 + 0 * {everything}"
    ranged = lambda metric, more="": rate(metric, I + more, window="$__range")
    return dashboard("veloz-slo", "VeloZ SLO Dashboard", "30s", [INSTANCE], [
        ("SLO Overview", [
            panel("gauge", "Gateway Availability", "Objective 99.9 %: scrapes of the range that succeeded.", [query(f"avg by (instance) (avg_over_time(up{{{JOB}}}[$__range])) * 100", instant=True)], 6, 6, "percent", [(None, RED), (99.5, YELLOW), (99.9, GREEN)], min=99, max=100, decimals=3, runbook="AvailabilityErrorBudgetBurn"),
            panel("gauge", "Order Latency SLO", "Objective 99 % below 100 ms.", [query(good(f"{ranged('veloz_order_latency_seconds_count')} - {ranged('veloz_order_latency_seconds_bucket', ',le=' + chr(34) + '0.1' + chr(34))}", ranged("veloz_order_latency_seconds_count")), instant=True)], 6, 6, "percent", [(None, RED), (98, YELLOW), (99, GREEN)], min=90, max=100, decimals=2, runbook="OrderLatencyErrorBudgetBurn"),
            panel("gauge", "API Success Rate", "Objective 99.9 % answered with success.", [query(f"100 * ({ranged('veloz_http_requests_total', ',status=~' + chr(34) + '2..' + chr(34))} or 0 * {ranged('veloz_http_requests_total')}) / ({ranged('veloz_http_requests_total')} > 0)", instant=True)], 6, 6, "percent", [(None, RED), (99, YELLOW), (99.9, GREEN)], min=95, max=100, decimals=3, runbook="ErrorRateErrorBudgetBurn"),
            panel("gauge", "Market Data Freshness", "Objective 99 % of moments at most 50 ms behind the venue.", [query(f"avg by (instance) (avg_over_time(veloz:market_data:fresh{where}[$__range])) * 100", instant=True)], 6, 6, "percent", [(None, RED), (98, YELLOW), (99, GREEN)], min=90, max=100, decimals=2, runbook="FreshnessErrorBudgetBurn"),
            panel("stat", "Order Success Rate", "Objective 99 % taken by the venue.", [query(f"veloz:orders:success_rate:ratio_rate5m{where} * 100")], 6, 4, "percent", [(None, RED), (98, YELLOW), (99, GREEN)], decimals=2, runbook="OrderSuccessBelowObjective"),
            panel("stat", "Error Rate", "Objective below 0.1 % of answers with a server error.", [query(f"veloz:api:error_rate:ratio_rate5m{where} * 100")], 6, 4, "percent", [(None, GREEN), (0.1, YELLOW), (1, RED)], decimals=3, runbook="ErrorRateAboveObjective"),
            panel("stat", "Compliance Score", "Objectives met, of four: availability, order latency, API latency, error rate.", [query(f"veloz:slo:overall_compliance_score{where}")], 6, 4, steps=[(None, RED), (3, YELLOW), (4, GREEN)]),
            panel("stat", "API Latency P99", "Objective below 500 ms.", [query(f"veloz:api_latency:p99_5m{where}")], 6, 4, "s", [(None, GREEN), (0.5, RED)], runbook="APILatencyAboveObjective"),
        ]),
        ("Error Budget", [
            panel("timeseries", "Availability Error Budget (30d)", "What is left of a month's budgets; below 0 more than all is spent.", [
                query(f"veloz:error_budget:{kind}:remaining_ratio{where}", f"{kind} {{{{instance}}}}") for kind in ("availability", "latency", "errors")], unit="percentunit", steps=[(None, RED), (0.1, YELLOW), (0.5, GREEN)], runbook="AvailabilityErrorBudgetBurn"),
            panel("timeseries", "Error Budget Burn Rate (24h)", "1 lasts exactly the month; 6 and 14.4 page.", [
                query(f"(1 - avg by (instance) (avg_over_time(up{{{JOB}}}[1d]))) / 0.001", "availability, 24 h, {{instance}}"),
                query(f"({rate('veloz_http_requests_total', I + ',status=~' + chr(34) + '5..' + chr(34), window='1d')} or 0 * {rate('veloz_http_requests_total', window='1d')}) / {rate('veloz_http_requests_total', window='1d')} / 0.001", "errors, 24 h, {{instance}}"),
                query(f"veloz:error_budget:burn_rate:1h{where}", "availability, 1 h, {{instance}}"), query(f"veloz:error_budget:burn_rate:6h{where}", "availability, 6 h, {{instance}}")], steps=[(None, GREEN), (1, YELLOW), (6, RED)], runbook="ErrorRateErrorBudgetBurn"),
        ]),
        ("Latency SLIs", [
            panel("timeseries", "Order Latency Distribution", "Objective: p99 below 100 ms.", [query(f"veloz:order_latency:{p}_5m{where}", f"{p} {{{{instance}}}}") for p in ("p50", "p90", "p99")], unit="s", steps=[(None, GREEN), (0.1, RED)], runbook="HighOrderLatency"),
            panel("timeseries", "API Latency Distribution", "Objective: p99 below 500 ms.", [query(f"veloz:api_latency:{p}_5m{where}", f"{p} {{{{instance}}}}") for p in ("p50", "p90", "p99")], unit="s", steps=[(None, GREEN), (0.5, RED)], runbook="APILatencyAboveObjective"),
        ]),
        ("Throughput SLIs", [
            panel("timeseries", "Order Throughput", "Orders and fills a second.", [query(f"veloz:orders:rate_5m{where}", "orders {{instance}}"), query(f"veloz:fills:rate_5m{where}", "fills {{instance}}")], unit="ops"),
            panel("timeseries", "System Throughput", "Market updates and API requests a second.", [query(f"veloz:market_updates:rate_5m{where}", "market updates {{instance}}"), query(f"veloz:api_requests:rate_5m{where}", "API requests {{instance}}")], unit="ops"),
        ]),
    ], span="24h")


PATH = ("recv_to_decoded", "decoded_to_book", "book_to_decided", "decided_to_admitted", "admitted_to_encoded", "encoded_to_sent")


def latency():
    def stage(name):
        return quantiles("veloz_stage_latency_seconds", where=f'{I},stage="{name}"', which=(0.5, 0.99, 0.999), legend=name)

    heat = lambda metric, where: [query(f"sum by (le) (increase({metric}_bucket{{{where}}}[$__rate_interval]))", "{{le}}", form="heatmap", exemplar=True)]
    return dashboard("veloz-latency", "VeloZ Latency", "5s", [INSTANCE, SYMBOL], [
        ("From Tick to Order", [
            panel("timeseries", "Tick to Order", "Bytes in user space to the order that they caused in the kernel's hands.", stage("tick_to_order"), unit="s"),
            panel("heatmap", "Tick to Order, Distribution", "Every order; exemplars lead to its trace.", heat("veloz_stage_latency_seconds", f'{I},stage="tick_to_order"'), unit="s"),
            panel("timeseries", "Stages, p99", "Each step between two stamps; every event is counted.", quantiles("veloz_stage_latency_seconds", by="stage", where=f'{I},stage=~"{"|".join(PATH)}"', legend="{{stage}}", which=(0.99,)), 24, unit="s"),
        ]),
        ("Stages", [panel("timeseries", name, "Median and tail.", stage(name), 8, 7, "s") for name in PATH]),
        ("The Venue", [
            panel("timeseries", "Order to Acknowledgment", "An order in the kernel's hands to the venue's first word.", quantiles("veloz_order_latency_seconds", which=(0.5, 0.99, 0.999)), unit="s", steps=[(None, GREEN), (0.1, YELLOW), (0.5, RED)], runbook="HighOrderLatency"),
            panel("heatmap", "Order to Acknowledgment, Distribution", "Every order.", heat("veloz_order_latency_seconds", I), unit="s", runbook="CriticalOrderLatency"),
            panel("timeseries", "Round Trips, p99", "Requests of each kind to the venue's answer.", quantiles("veloz_stage_latency_seconds", by="stage", where=f'{I},stage=~".+_round_trip"', legend="{{stage}}", which=(0.99,)), unit="s"),
            panel("timeseries", "Market Data Lag by Symbol", "Receive time minus the venue's event time.", [query(f'veloz_orderbook_lag_seconds{{{I},symbol=~"$symbol"}}', "{{symbol}}")], unit="s", runbook="HighMarketDataLag"),
        ]),
        ("The Core's Loop", [
            panel("timeseries", "Busy Turns", "Length of turns that handled something.", quantiles("veloz_event_loop_task_latency_seconds", which=(0.5, 0.99, 0.999)), unit="s"),
            panel("heatmap", "Market Data to Book, Distribution", "Every message.", heat("veloz_market_processing_latency_seconds", I), unit="s"),
        ]),
    ])

# Where the engine changes what it does with what is left, as RateBudgetLow and RateBudgetExhausted have it.
BUDGET_STEPS = [(None, RED), (0.1, YELLOW), (0.2, GREEN)]


def flow():
    budget = lambda name: f'veloz_rate_budget_remaining{{{I},budget="{name}"}} / veloz_rate_budget_limit{{{I},budget="{name}"}}'
    stages = ("signals", "admitted", "encoded", "sent", "acknowledged")
    return dashboard("veloz-flow", "VeloZ Order Funnel and Rate Budgets", "5s", [INSTANCE], [
        ("State", [
            panel("stat", "Trading State", "What may be traded.", [query(f"veloz_trading_state{{{I}}} == 1", "{{state}}")], 6, 5, runbook="TradingHalted"),
            panel("stat", "Trading Phase", "How far trading has come.", [query(f"veloz_trading_phase{{{I}}} == 1", "{{phase}}")], 6, 5),
            panel("stat", "Kill Switch", "Latched until somebody resets it.", [query(f"veloz_kill_switch_active{{{I}}}")], 6, 5, mappings=ON, runbook="KillSwitchActive"),
            panel("stat", "Unresolved Orders", "Orders whose outcome is unknown.", [query(f"veloz_orders_unresolved{{{I}}}")], 6, 5, steps=[(None, GREEN), (1, RED)], runbook="UnresolvedOrders"),
        ]),
        ("Funnel", [
            panel("bargauge", "Signal to Acknowledgment", "Orders that passed each stage in the range.", [query(f'sum by (stage) (increase(veloz_order_funnel_total{{{I},stage="{name}"}}[$__range]))', "{{stage}}", instant=True) for name in stages]),
            panel("timeseries", "Stages", "A second.", [query(rate("veloz_order_funnel_total", I + f',stage=~"{"|".join(stages)}"', by="stage"), "{{stage}}")], unit="ops"),
            panel("timeseries", "Refused by Risk", "A second, by reason.", [query(rate("veloz_risk_rejections_total", by="reason") + " > 0", "{{reason}}")], unit="ops", stacking="normal", runbook="RiskRejectionsSpike", noValue="none"),
            panel("timeseries", "Refused by the Venue", "A second, by reason.", [query(rate("veloz_orders_rejected_total", by="reason") + " > 0", "{{reason}}")], unit="ops", stacking="normal", runbook="OrderSuccessBelowObjective", noValue="none"),
            panel("timeseries", "Age of the Oldest Unresolved Order", "0 while there is none.", [query(f"veloz_orders_unresolved_oldest_age_seconds{{{I}}}")], unit="s", steps=[(None, GREEN), (120, RED)], runbook="UnresolvedOrdersOld"),
            panel("timeseries", "Fills and Cancels", "A second.", [query(rate("veloz_fills_total", by="side"), "fills {{side}}"), query(rate("veloz_cancels_total"), "cancels {{instance}}")], unit="ops"),
            panel("timeseries", "Client Order Ids", "Ids that clients gave, of those that can be kept.", [query(f"veloz_client_order_ids_used{{{I}}} / veloz_client_order_ids_size{{{I}}}", "{{instance}}")], unit="percentunit", min=0, max=1, steps=[(None, GREEN), (0.9, YELLOW)], runbook="ClientOrderIdsNearlyUsedUp"),
        ]),
        ("Rate Budgets", [
            *[panel("gauge", title, "What is left of the venue's window.", [query(budget(name))], 8, 6, "percentunit", BUDGET_STEPS, min=0, max=1, runbook="RateBudgetLow")
              for name, title in (("request_weight_minute", "Request Weight of the Minute"), ("orders_10s", "Orders of Ten Seconds"), ("orders_day", "Orders of the Day"))],
            panel("timeseries", "Left of Each Budget", "Cancels keep a reserve.", [query(f"veloz_rate_budget_remaining{{{I}}} / veloz_rate_budget_limit{{{I}}}", "{{budget}} {{instance}}")], 24, unit="percentunit", min=0, max=1, steps=BUDGET_STEPS, runbook="RateBudgetExhausted"),
        ]),
    ])


DASHBOARDS = [trading, system, logs, slo, latency, flow]


def main():
    stale = []
    for build in DASHBOARDS:
        built = build()
        path = FOLDER / f"{built['uid']}.json"
        text = json.dumps(built, indent=2) + "\n"
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        print(f"{', '.join(stale)}: not what docker/grafana/dashboards.py writes; run it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
