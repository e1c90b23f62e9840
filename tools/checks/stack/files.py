"""Files of deployment, each read by the tool that it is for, or by its schema where that tool is not to be had here.

Owns: yamls, scripts, compose, image, kubernetes, units. Does not: run the engine in its image (image.sh).
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .located import ROOT, Problem, load, load_all

DOCKER = ROOT / "docker"
SYSTEMD = ROOT / "systemd"
# Tenths of systemd-analyze's exposure.
EXPOSURE_MAX = 15
BIN = Path(sys.executable).parent


def _run(path, *command, silent=False):
    """A problem when the command fails, or says anything though it should be silent."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    output = (done.stdout + done.stderr).strip()
    if done.returncode == 0 and not (silent and output):
        return []
    problems = []
    for line in output.splitlines() or [f"exit {done.returncode}"]:
        place = re.search(r":(\d+)(?::\d+)?:?\s", line)
        problems.append(Problem(path, int(place.group(1)) if place else 1, f"{Path(str(command[0])).name}: {line}"))
    return problems


def _all(paths, *command):
    """Problems of one run over all of these files; those that name none of them are the first one's."""
    problems = []
    for problem in _run(paths[0], *command, *paths):
        named = next((path for path in paths if str(path) in problem.text), problem.path)
        problems.append(Problem(named, problem.line, problem.text))
    return problems


def yamls():
    """Problems of every YAML file."""
    paths = [ROOT / "docker-compose.yml", *sorted(DOCKER.rglob("*.yml")), *sorted(DOCKER.rglob("*.yaml"))]
    for path in paths:
        load_all(path)
    return _all(paths, BIN / "yamllint", "--strict", "-f", "parsable", "-c", ROOT / "tools" / "checks" / "yamllint.yaml")


def scripts():
    """Problems of every shell script."""
    return _all(
        sorted(path for folder in (DOCKER, SYSTEMD, ROOT / "scripts", ROOT / "tools" / "checks") for path in folder.rglob("*.sh")),
        "shellcheck", "-f", "gcc",
    )  # fmt: skip


def image():
    """Problems of the Dockerfile."""
    return _run(DOCKER / "Dockerfile", BIN / "hadolint", DOCKER / "Dockerfile")


def kubernetes():
    """Problems of the manifests."""
    paths = [path for path in sorted((DOCKER / "kubernetes").glob("*.yaml")) if path.name != "kustomization.yaml"]
    problems = _all(paths, BIN / "kubernetes-validate", "-k", "1.35", "--strict", "--quiet")
    return [*problems, *_kubernetes()]


def compose():
    """Problems of docker-compose.yml, and of what its services and their configurations ask for."""
    path = DOCKER / "docker-compose.yml"
    schema = ["--builtin-schema", "vendor.compose-spec"]
    problems = _all([ROOT / "docker-compose.yml", path], BIN / "check-jsonschema", *schema)
    stack = load(path)
    for name, service in stack["services"].items():
        line = service.line
        tag = service["image"].rpartition(":")[2]
        if tag in ("latest", service["image"]):
            problems.append(Problem(path, line, f"{name}: the image's version is not pinned"))
        if not service.get("deploy", {}).get("resources", {}).get("limits"):
            problems.append(Problem(path, line, f"{name}: no limits of resources"))
        problems += _health(path, name, service)
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                problems.append(Problem(path, line, f"{name}: port {port} is open to other machines"))
        for secret in service.get("secrets", []):
            if secret not in stack["secrets"]:
                problems.append(Problem(path, line, f"{name}: no secret {secret}"))
        for volume in service.get("volumes", []):
            source = volume.split(":")[0] if isinstance(volume, str) else ""
            if source.startswith("./") and not (ROOT / source).exists():
                problems.append(Problem(path, line, f"{name}: {source} does not exist"))
            if source and not source.startswith((".", "/")) and source not in stack["volumes"]:
                problems.append(Problem(path, line, f"{name}: no volume {source}"))
    # A service that has secrets starts only when they are there: by our script, or, of the engine, by itself.
    for name, service in stack["services"].items():
        entry = service.get("entrypoint", [])
        asked = entry[2 : entry.index("--")] if "--" in entry else []
        if sorted(asked) != sorted(service.get("secrets", [])) and name != "veloz-gateway":
            problems.append(Problem(path, service.line, f"{name}: it has secrets {service.get('secrets', [])} and waits for {asked}"))
    # Every secret that a service insists on, or that a configuration names, is one that make-secrets.sh writes.
    with tempfile.TemporaryDirectory() as folder:
        made = _run(DOCKER / "make-secrets.sh", "sh", DOCKER / "make-secrets.sh", folder)
        problems += made
        written = {entry.name for entry in Path(folder).iterdir()}
    for name, secret in stack["secrets"].items():
        if name not in written or secret["file"] != f"./docker/secrets/{name}":
            problems.append(Problem(path, secret.line, f"{name} is not what make-secrets.sh writes"))
    for file in (DOCKER / "alertmanager" / "alertmanager.yml", DOCKER / "prometheus" / "prometheus.yml", path):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            for name in re.findall(r"/run/secrets/([a-z_]+)", line):
                if name not in written:
                    problems.append(Problem(file, number, f"no secret {name}"))
    return problems


def _health(path, name, service):
    """A service without a health check says why beside itself; the engine's own is in its image."""
    if "healthcheck" in service or ("build" in service and "HEALTHCHECK" in (DOCKER / "Dockerfile").read_text()):
        return
    lines = path.read_text().splitlines()[service.line - 1 :]
    block = []
    for line in lines:
        if line and not line.startswith("    "):
            break
        block.append(line)
    if not any("# No health check: " in line for line in block):
        yield Problem(path, service.line, f"{name}: no health check, and no reason beside it")


def _kubernetes():
    """What a schema does not see: that the manifests fit each other."""
    folder = DOCKER / "kubernetes"
    listed = load(folder / "kustomization.yaml")["resources"]
    for path in folder.glob("*.yaml"):
        if path.name != "kustomization.yaml" and path.name not in listed:
            yield Problem(folder / "kustomization.yaml", 1, f"{path.name} is not listed")
    path = folder / "statefulset.yaml"
    template = load(path)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    scraped = template["metadata"]["annotations"]["prometheus.io/port"]
    if scraped != str(ports["metrics"]):
        yield Problem(path, template["metadata"].line, f"prometheus.io/port is {scraped}, the metrics port is {ports['metrics']}")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container[probe]["httpGet"]["port"] not in ports:
            yield Problem(path, container[probe].line, f"{probe}: no such port")
    labels = template["metadata"]["labels"]
    for name in ("networkpolicy.yaml", "poddisruptionbudget.yaml", "service.yaml"):
        document = load(folder / name)
        selector = document["spec"].get("podSelector", document["spec"].get("selector"))
        wanted = selector.get("matchLabels", selector)
        if not wanted.items() <= labels.items():
            yield Problem(folder / name, selector.line, f"selects {dict(wanted)}, the pod has {dict(labels)}")


def _unit(path):
    """Settings of a unit as (section, key, value), comments left out."""
    section = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            section = line
        else:
            key, _, value = line.partition("=")
            yield number, section, key, value


def units():
    """Problems of the units, and of their installation."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for source, name in (("veloz.service", "veloz.service"), ("veloz@.service", "veloz@3.service"), ("veloz.slice", "veloz.slice")):
            path = SYSTEMD / source
            text = path.read_text()
            # Of the programs that a unit names, the engine's need not be installed here.
            (folder / name).write_text(text.replace("/usr/bin/veloz", "/bin/true"))
            problems += _run(path, "systemd-analyze", "verify", "--man=no", folder / name, silent=True)
            if name.endswith(".service"):
                problems += _run(
                    path, "systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE_MAX}", folder / name
                )
        drop_in = folder / "veloz.service.d"
        drop_in.mkdir()
        (drop_in / "account.conf").write_text((SYSTEMD / "account.conf").read_text())
        problems += _run(SYSTEMD / "account.conf", "systemd-analyze", "verify", "--man=no", folder / "veloz.service", silent=True)
        # Installed under another root, and taken away again: nothing stays but what is kept on purpose.
        root = folder / "root"
        program = folder / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for script, *arguments in (("install.sh", "--account", "--instance", "3", program), ("uninstall.sh", "--purge")):
            problems += _run(SYSTEMD / script, "env", f"DESTDIR={root}", SYSTEMD / script, *arguments)
            if script == "install.sh":
                # systemd-sysusers falls back to the machine's own files without these.
                problems += _run(SYSTEMD / "veloz.sysusers", "systemd-sysusers", "--dry-run", root / "etc/sysusers.d/veloz.conf")
        left = [path for path in root.rglob("*") if path.is_file()]
        if left:
            problems.append(Problem(SYSTEMD / "uninstall.sh", 1, f"leaves {left}"))
    # The two services differ in what an instance needs, and in nothing else.
    may_differ = {"Description", "Environment", "EnvironmentFile", "CPUAffinity", "StateDirectory", "LogsDirectory"}
    one, many = (
        [(section, key, value) for _, section, key, value in _unit(SYSTEMD / name) if key not in may_differ]
        for name in ("veloz.service", "veloz@.service")
    )
    for difference in set(one) ^ set(many):
        problems.append(Problem(SYSTEMD / "veloz@.service", 1, f"differs from veloz.service in {difference[1]}={difference[2]}"))
    return problems
