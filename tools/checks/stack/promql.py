"""What a PromQL expression uses, found by its grammar.

Owns: Use, uses, Unparsable. Does not: know which series exist (catalogue.py).
"""

import re
from dataclasses import dataclass, field

import promql_parser as grammar

# What Grafana puts in before it asks; any valid value does for parsing.
_GRAFANA = [
    (re.compile(r"\$\{?__rate_interval\}?"), "5m"),
    (re.compile(r"\$\{?__interval\}?"), "1m"),
    (re.compile(r"\$\{?__range\}?"), "1h"),
]
_VARIABLE = re.compile(r"\$\{?([a-z_]+)(?::[a-z]+)?\}?")


class Unparsable(Exception):
    """The grammar does not accept the text."""


@dataclass
class Use:
    """One selector: a metric's name, and its matchers as (label, operator, value)."""

    metric: str
    matchers: list = field(default_factory=list)


@dataclass
class Expression:
    """All selectors of an expression, the labels that it groups or joins by, and labels that it makes."""

    selectors: list = field(default_factory=list)
    labels: set = field(default_factory=set)
    made: set = field(default_factory=set)


def substituted(text, variables):
    """The text with Grafana's variables filled in; `variables` maps the dashboard's own to a value."""
    for pattern, value in _GRAFANA:
        text = pattern.sub(value, text)

    def own(match):
        name = match.group(1)
        if name not in variables:
            raise Unparsable(f"the variable ${name} is not defined")
        return variables[name]

    return _VARIABLE.sub(own, text)


def read(text):
    """What the expression uses; raises Unparsable."""
    try:
        tree = grammar.parse(text)
    except ValueError as fault:
        raise Unparsable(str(fault).strip()) from None
    found = Expression()
    _walk(tree, found)
    return found


def _walk(node, found):
    if isinstance(node, grammar.VectorSelector):
        matchers = [(m.name, str(m.op).rsplit(".", 1)[-1], m.value) for m in node.matchers.matchers]
        name = node.name
        for label, operator, value in matchers:
            if label == "__name__" and operator == "Equal":
                name = value
        if name is None:
            raise Unparsable(f"a selector without a metric's name: {node}")
        found.selectors.append(Use(name, [m for m in matchers if m[0] != "__name__"]))
    elif isinstance(node, grammar.MatrixSelector):
        _walk(node.vector_selector, found)
    elif isinstance(node, grammar.AggregateExpr):
        if node.modifier is not None:
            found.labels.update(node.modifier.labels)
        _walk(node.expr, found)
        if node.param is not None:
            _walk(node.param, found)
    elif isinstance(node, grammar.BinaryExpr):
        if node.modifier is not None:
            if node.modifier.matching is not None:
                found.labels.update(node.modifier.matching.labels)
            found.labels.update(node.modifier.group_labels or [])
        _walk(node.lhs, found)
        _walk(node.rhs, found)
    elif isinstance(node, grammar.Call):
        arguments = list(node.args)
        if node.func.name in ("label_replace", "label_join"):
            found.made.add(arguments[1].val)
        for argument in arguments:
            _walk(argument, found)
    elif isinstance(node, (grammar.ParenExpr, grammar.UnaryExpr, grammar.SubqueryExpr)):
        _walk(node.expr, found)
    elif not isinstance(node, (grammar.NumberLiteral, grammar.StringLiteral)):
        raise Unparsable(f"a kind of node that this check does not know: {type(node).__name__}")
