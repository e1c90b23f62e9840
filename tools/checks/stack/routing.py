"""Alertmanager: its configuration, its templates, and who is told of each alert.

Owns: check. docker/alertmanager/tests/routes.tsv says who is told; amtool says who would be. Does not: deliver
(delivery.py).
"""

import re
import subprocess

from . import rules
from .located import ROOT, Problem, load

FOLDER = ROOT / "docker" / "alertmanager"
CONFIG = FOLDER / "alertmanager.yml"
ROUTES = FOLDER / "tests" / "routes.tsv"
# The guide's templates, and those that it names without defining them.
TEMPLATES = [
    "slack.veloz.title",
    "slack.veloz.text",
    "pagerduty.veloz.description",
    "pagerduty.veloz.firing",
    "opsgenie.veloz.message",
    "opsgenie.veloz.description",
]


def _amtool(*arguments):
    done = subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def check():
    """Problems of the configuration, the templates and the table of routes."""
    code, output = _amtool("check-config", str(CONFIG))
    if code:
        line = re.search(r"line (\d+)", output)
        return [Problem(CONFIG, int(line.group(1)) if line else 1, output)]
    problems = [*_secrets(), *_templates()]
    wanted = {(rule["alert"], rule["labels"]["severity"], rule["labels"]["service"]) for _, _, rule in rules.alerts()}
    seen = set()
    for number, line in enumerate(ROUTES.read_text().splitlines(), 1):
        if line.startswith(("#", "alertname\t")):
            continue
        name, severity, service, receivers = line.split("\t")
        if name != "-":
            seen.add((name, severity, service))
        labels = [f"{key}={value}" for key, value in (("alertname", name), ("severity", severity), ("service", service)) if value]
        code, output = _amtool(
            "config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={receivers}", *labels
        )
        if code:
            problems.append(Problem(ROUTES, number, output.replace("\n", "; ")))
    for name, severity, service in sorted(wanted - seen):
        problems.append(Problem(ROUTES, 1, f"no line for {name} with severity {severity} and service {service}"))
    for name, severity, service in sorted(seen - wanted):
        problems.append(Problem(ROUTES, 1, f"{name} with severity {severity} and service {service} is no alert"))
    return problems


def _secrets():
    """Variables, which would be sent as they stand, and keys that hold a secret instead of naming its file."""
    for number, line in enumerate(CONFIG.read_text().splitlines(), 1):
        if "${" in line:
            yield Problem(CONFIG, number, "Alertmanager never expands variables: name a file")
        if re.match(r"\s*-?\s*(smtp_auth_password|slack_api_url|api_url|routing_key|service_key|(opsgenie_)?api_key):", line):
            yield Problem(CONFIG, number, "a secret in the configuration: use the key that ends in _file")


def _templates():
    """check-config does not look into the texts; rendering does."""
    glob = str(FOLDER / "templates" / "*.tmpl")
    texts = [(FOLDER / "templates" / "veloz.tmpl", 1, f'{{{{ template "{name}" . }}}}') for name in TEMPLATES]

    def strings(value, path=CONFIG):
        if isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, str) and "{{" in item:
                    texts.append((path, value.lines[key], item))
                strings(item)
        elif isinstance(value, list):
            for item in value:
                strings(item)

    strings(load(CONFIG)["receivers"])
    for path, line, text in texts:
        code, output = _amtool("template", "render", f"--template.glob={glob}", f"--template.text={text}")
        if code or "<no value>" in output:
            yield Problem(path, line, f"{text}: {output}")
