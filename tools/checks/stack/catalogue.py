"""Which series exist: those of the engine, of the recording rules, and of the stack's own programs.

Owns: Catalogue. The engine's come from scraped pages, or from exporter/METRICS.md and, with the values of labels, from the page
that the exporter's tests keep; expected_metrics.tsv beside this file names those that the engine will have and has not yet, each of
which is shown when the check runs.
Does not: parse expressions (promql.py).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from .located import ROOT, Problem

DOCUMENT = ROOT / "exporter" / "METRICS.md"
GOLDEN = ROOT / "exporter" / "src" / "catalogue" / "golden" / "page.txt"
EXPECTED = Path(__file__).with_name("expected_metrics.tsv")
# Given by Prometheus to everything that it scrapes.
TARGET_LABELS = {"job", "instance"}
# Series of Prometheus and Alertmanager themselves, with the labels that we use.
OTHERS = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity", "service"},
    "prometheus_rule_evaluation_failures_total": {"rule_group"},
    "alertmanager_notifications_failed_total": {"integration"},
}
# Labels of a closed set whose values a page must show, also before anything has happened.
CLOSED = {"state", "stage", "ring", "phase", "budget", "role", "le", "reason", "cause", "error_type", "result", "side"}
# Of those, what the venue says and not the engine: only the page of an engine that runs has all of it.
OF_VENUE = {"budget"}
# What matches these values and no others.
_VALUES = re.compile(r"\w+(?:\|\w+)*")

_ROW = re.compile(r"^\| `([a-z0-9_:]+)` \| (counter|gauge|histogram) \| ([^|]*)\|")
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*?)\})? [^ ]+")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass
class Catalogue:
    """Names of series, each with its labels; what a page showed of their values; what is only expected."""

    labels: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)
    expected: dict = field(default_factory=dict)
    expected_values: dict = field(default_factory=dict)
    used_expected: set = field(default_factory=set)
    paged: bool = False

    def add(self, name, kind, labels):
        """A metric of the engine, as its series."""
        labels = set(labels) | TARGET_LABELS
        if kind == "histogram":
            self.labels[f"{name}_bucket"] = labels | {"le"}
            self.labels[f"{name}_sum"] = labels
            self.labels[f"{name}_count"] = labels
        else:
            self.labels[name] = labels

    def add_rule(self, name, labels):
        """A recording rule, which never takes away what a scrape has."""
        self.labels[name] = self.labels.get(name, set()) | set(labels) | TARGET_LABELS

    def problem(self, use):
        """What is wrong with a selector, or None."""
        if use.metric not in self.labels:
            if use.metric not in self.expected:
                return f"no series is named {use.metric}"
            self.used_expected.add(use.metric)
            labels = self.expected[use.metric]
        else:
            labels = self.labels[use.metric]
        for label, operator, value in use.matchers:
            if label not in labels:
                return f"{use.metric} has no label {label}; it has {', '.join(sorted(labels))}"
            seen = self.values.get((use.metric, label))
            for one in _named(operator, value):
                if one in self.expected_values.get((use.metric, label), ()):
                    self.used_expected.add(f"{use.metric}{{{label}={one}}}")
                elif label in CLOSED and seen is not None and one not in seen:
                    return f'{use.metric} is never shown with {label}="{one}"; it is with {", ".join(sorted(seen))}'
        return None

    def labels_of(self, metric):
        """Labels of a series that exists or is expected."""
        return self.labels.get(metric) or self.expected.get(metric, set())

    def words(self):
        """Every label, and every value that one was shown with, here or in the exporter's tests."""
        return set().union(*self.labels.values(), *self.values.values(), *_golden().values.values())


def _named(operator, value):
    """The values that a matcher is about; none when it is a pattern."""
    if operator in ("Equal", "NotEqual"):
        return [value]
    return value.split("|") if _VALUES.fullmatch(value) else []


def _engine_document(catalogue):
    rows = 0
    for line in DOCUMENT.read_text().splitlines():
        row = _ROW.match(line)
        if row:
            rows += 1
            catalogue.add(row.group(1), row.group(2), re.findall(r"`([a-z_]+)`", row.group(3)))
    if rows == 0:
        raise Problem(DOCUMENT, 1, "no row of a metric was found: has the table's form changed?")
    catalogue.values = {(name, label): seen for (name, label), seen in _golden().values.items() if label not in OF_VENUE}


def _golden():
    golden = Catalogue()
    _page(golden, GOLDEN)
    return golden


def _page(catalogue, path):
    kinds, families = {}, {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
            families.setdefault(name, set())
        elif line and not line.startswith("#"):
            sample = _SAMPLE.match(line)
            if sample is None:
                raise Problem(path, number, "no sample of the text format")
            name = sample.group(1)
            labels = dict(_LABEL.findall(sample.group(2) or ""))
            catalogue.labels[name] = catalogue.labels.get(name, set()) | set(labels) | TARGET_LABELS
            for label, value in labels.items():
                catalogue.values.setdefault((name, label), set()).add(value)
    catalogue.paged = True
    # A family without samples yet (nothing has happened) exists all the same.
    for name, kind in kinds.items():
        if kind != "histogram" and name not in catalogue.labels:
            catalogue.labels.setdefault(name if name.endswith("_total") or kind != "counter" else name + "_total", set())


def build(pages):
    """The catalogue of these scraped pages, or of the engine's document when there is none."""
    catalogue = Catalogue(labels={name: labels | TARGET_LABELS for name, labels in OTHERS.items()})
    for page in pages:
        _page(catalogue, page)
    if not pages:
        _engine_document(catalogue)
    wanted = Catalogue()
    for number, line in enumerate(EXPECTED.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 3:
            raise Problem(EXPECTED, number, "expected name, type and labels, separated by tabs")
        name, kind, labels = cells[0], cells[1], [label for label in cells[2].split(",") if label]
        # label=a|b: a metric that exists, and will show these values too.
        coming = dict(label.split("=") for label in labels if "=" in label)
        if coming:
            for label, values in coming.items():
                for series in (name, f"{name}_bucket", f"{name}_sum", f"{name}_count"):
                    catalogue.expected_values[series, label] = set(values.split("|")) - catalogue.values.get((series, label), set())
        else:
            wanted.add(name, kind, labels)
    catalogue.expected = wanted.labels
    return catalogue


def check_expression(catalogue, expression):
    """Problems of a parsed expression, as sentences."""
    sentences = []
    for use in expression.selectors:
        sentence = catalogue.problem(use)
        if sentence:
            sentences.append(sentence)
    known = set(expression.made)
    for use in expression.selectors:
        known |= catalogue.labels_of(use.metric)
    for label in sorted(expression.labels - known):
        sentences.append(f"nothing in the expression has the label {label}")
    return sentences
