"""Which series exist: those of the engine, of the recording rules, and of the stack's own programs.

Owns: Catalogue. The engine's come from exporter/METRICS.md or from scraped pages; expected_metrics.tsv beside this
file names those that the engine will have and has not yet, each of which is shown when the check runs.
Does not: parse expressions (promql.py).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from .located import ROOT, Problem

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
# Labels of a closed set whose values a page must show.
CLOSED = {"state", "stage", "ring", "phase", "budget", "role", "le"}

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
            if value in self.expected_values.get((use.metric, label), ()):
                self.used_expected.add(f"{use.metric}{{{label}={value}}}")
                continue
            if operator == "Equal" and label in CLOSED and seen is not None and value not in seen:
                return f'{use.metric} is never shown with {label}="{value}"; it is with {", ".join(sorted(seen))}'
        return None

    def labels_of(self, metric):
        """Labels of a series that exists or is expected."""
        return self.labels.get(metric) or self.expected.get(metric, set())


def _engine_document(catalogue):
    path = ROOT / "exporter" / "METRICS.md"
    rows = 0
    for line in path.read_text().splitlines():
        row = _ROW.match(line)
        if row:
            rows += 1
            catalogue.add(row.group(1), row.group(2), re.findall(r"`([a-z_]+)`", row.group(3)))
    if rows == 0:
        raise Problem(path, 1, "no row of a metric was found: has the table's form changed?")


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
                    if catalogue.paged:
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
