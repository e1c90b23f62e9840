"""The configurations of programs that are not to be had here: Loki, Promtail, Alloy, the Collector, and what Grafana is given.

Owns: check, problems_of. A closed schema of the keys that this stack uses of the pinned version (another key is a fault, as those
programs take it, or is left out by them without a word, as Grafana does), and what one file names of another: components,
receivers, services, ports, volumes. Facts about keys are those of the versions' own documentation.
Does not: compare the pipelines with log lines (logs.py).
"""

import re

from . import alloy
from .located import ROOT, Map, Problem, Seq, load

DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "docker-compose.yml"
LOKI = DOCKER / "loki" / "loki-config.yaml"
PROMTAIL = DOCKER / "promtail" / "promtail-config.yaml"
ALLOY = DOCKER / "alloy" / "config.alloy"
COLLECTOR = DOCKER / "otel-collector" / "config.yaml"
SOURCES = DOCKER / "grafana" / "provisioning" / "datasources" / "datasources.yml"
PROVIDERS = DOCKER / "grafana" / "provisioning" / "dashboards" / "dashboards.yml"

# A value's form: a regular expression that its text matches, a table of forms, [the form of each item], or {"*": the form of each
# value}. A key that ends in ? may be missing.
TEXT, NUMBER, SWITCH, EMPTY = r".+", r"\d+", r"True|False", r"None"
DURATION, PORT, PATH = r"(\d+(ms|s|m|h))+", r"\d{1,5}", r"/[\w./*-]*"
URL, ENDPOINT, NAME = r"http://[a-z-]+:\d+[\w/]*", r"[\w.-]+:\d+", r"[\w/-]+"

_SERVER = {"http_listen_port": PORT, "grpc_listen_port": PORT, "http_listen_address?": TEXT, "log_level?": TEXT}
_LOKI = {
    "auth_enabled": SWITCH,
    "server": _SERVER,
    "common": {
        "path_prefix": PATH,
        "replication_factor": NUMBER,
        "ring": {"kvstore": {"store": r"inmemory"}},
        "storage": {"filesystem": {"chunks_directory": PATH, "rules_directory": PATH}},
    },
    "schema_config": {
        "configs": [
            {
                "from": r"\d{4}-\d\d-\d\d",
                "store": r"tsdb",
                "object_store": r"filesystem",
                "schema": r"v1[123]",
                "index": {"prefix": TEXT, "period": r"24h"},
            }
        ]
    },
    "limits_config": {
        "retention_period": DURATION,
        "max_global_streams_per_user": NUMBER,
        "max_entries_limit_per_query": NUMBER,
        "ingestion_rate_mb": NUMBER,
        "ingestion_burst_size_mb": NUMBER,
    },
    "compactor": {
        "working_directory": PATH,
        "retention_enabled": SWITCH,
        "retention_delete_delay": DURATION,
        "delete_request_store": r"filesystem",
        "compaction_interval?": DURATION,
    },
    "analytics": {"reporting_enabled": SWITCH},
}
_STAGES = {
    "json": {"expressions": {"*": TEXT}},
    "labels": {"*": EMPTY},
    "timestamp": {"source": NAME, "format": TEXT},
}
_PROMTAIL = {
    "server": _SERVER,
    "positions": {"filename": PATH, "sync_period?": DURATION},
    "clients": [{"url": URL, "batchwait?": DURATION, "batchsize?": NUMBER, "timeout?": DURATION}],
    "scrape_configs": [
        {
            "job_name": NAME,
            "static_configs": [{"targets": [r"localhost"], "labels": {"job": NAME, "__path__": PATH}}],
            "pipeline_stages": [{f"{name}?": form for name, form in _STAGES.items()}],
        }
    ],
}
_COLLECTOR = {
    "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": ENDPOINT}, "http": {"endpoint": ENDPOINT}}}},
    "processors": {
        "memory_limiter": {"check_interval": DURATION, "limit_mib": NUMBER, "spike_limit_mib": NUMBER},
        "batch": {"timeout": DURATION, "send_batch_size": NUMBER, "send_batch_max_size?": NUMBER},
    },
    "exporters": {"otlp/jaeger": {"endpoint": ENDPOINT, "tls": {"insecure": SWITCH}}},
    "extensions": {"health_check": {"endpoint": ENDPOINT}},
    "service": {
        "extensions": [NAME],
        "telemetry": {"metrics": {"address": ENDPOINT}},
        "pipelines": {"traces": {"receivers": [NAME], "processors": [NAME], "exporters": [NAME]}},
    },
}
_JSON_DATA = {
    "prometheus": {
        "timeInterval": DURATION,
        "httpMethod": r"POST|GET",
        "prometheusType": r"Prometheus",
        "manageAlerts": SWITCH,
        "exemplarTraceIdDestinations": [{"name": NAME, "datasourceUid": NAME}],
    },
    "loki": {
        "maxLines": NUMBER,
        "derivedFields": [{"name": NAME, "matcherRegex": TEXT, "url": TEXT, "datasourceUid": NAME}],
    },
    "jaeger": {
        "tracesToLogsV2": {
            "datasourceUid": NAME,
            "spanStartTimeShift": r"-?\d+[smh]",
            "spanEndTimeShift": r"-?\d+[smh]",
            "customQuery": SWITCH,
            "query": TEXT,
        }
    },
    "alertmanager": {"implementation": r"prometheus", "handleGrafanaManagedAlerts": SWITCH},
}
_SOURCES = {
    "apiVersion": r"1",
    "datasources": [
        {
            "name": TEXT,
            "uid": NAME,
            "type": "|".join(_JSON_DATA),
            "access": r"proxy",
            "url": URL,
            "isDefault?": SWITCH,
            "jsonData": {"*": None},
        }
    ],
}
_PROVIDERS = {
    "apiVersion": r"1",
    "providers": [
        {
            "name": TEXT,
            "orgId": NUMBER,
            "folder": TEXT,
            "type": r"file",
            "disableDeletion": SWITCH,
            "allowUiUpdates": SWITCH,
            "editable": SWITCH,
            "options": {"path": PATH, "foldersFromFilesStructure?": SWITCH},
        }
    ],
}
# Of each file its form, the service that reads it, and the version of that whose keys these are.
FILES = {
    LOKI: (_LOKI, "loki", "2.9.2"),
    PROMTAIL: (_PROMTAIL, "promtail", "2.9.2"),
    COLLECTOR: (_COLLECTOR, "otel-collector", "0.91.0"),
    SOURCES: (_SOURCES, "grafana", "10.2.2"),
    PROVIDERS: (_PROVIDERS, "grafana", "10.2.2"),
    ALLOY: (None, "alloy", "v1.5.1"),
}
# Alloy's components and the blocks in them: what they set, what they hold, what they export.
_RECEIVERS = "receivers"
COMPONENTS = {
    "local.file_match": ({"path_targets": list, "sync_period?": str}, {}, {"targets"}),
    "loki.source.file": ({"targets": "targets", "forward_to": _RECEIVERS, "tail_from_end?": bool}, {}, set()),
    "loki.process": (
        {"forward_to": _RECEIVERS},
        {
            "stage.json": {"expressions": dict},
            "stage.labels": {"values": dict},
            "stage.timestamp": {"source": str, "format": str},
        },
        {"receiver"},
    ),
    "loki.write": ({}, {"endpoint": {"url": str, "batch_wait?": str, "batch_size?": str}}, {"receiver"}),
}


def problems_of(path, value, form, name="it"):
    """Where a value has another form."""
    line = getattr(value, "line", 0) or 1
    if form is None:
        return
    if isinstance(form, dict):
        if not isinstance(value, Map):
            yield Problem(path, line, f"{name} is no table")
            return
        known = {key.rstrip("?"): inner for key, inner in form.items()}
        for key, item in value.items():
            inner = known.get(key, known.get("*"))
            if key not in known and "*" not in known:
                yield Problem(path, value.key_lines[key], f"{name} has no key {key}; it has {', '.join(sorted(known))}")
            elif isinstance(inner, str) and (isinstance(item, (Map, Seq)) or not re.fullmatch(inner, str(item), re.S)):
                yield Problem(path, value.key_lines[key], f"{key} is {item!r}, expected is {inner}")
            elif not isinstance(inner, str):
                if isinstance(item, (Map, Seq)):
                    yield from problems_of(path, item, inner, key)
                elif inner is not None:
                    yield Problem(path, value.key_lines[key], f"{key} is {item!r}, expected is a {'table' if isinstance(inner, dict) else 'list'}")
        for key in form:
            if key != "*" and not key.endswith("?") and key not in value:
                yield Problem(path, line, f"{name} lacks {key}")
    elif not isinstance(value, Seq):
        yield Problem(path, line, f"{name} is no list")
    else:
        if not value:
            yield Problem(path, line, f"{name} is empty")
        for number, item in enumerate(value):
            if isinstance(form[0], str):
                if not re.fullmatch(form[0], str(item), re.S):
                    yield Problem(path, value.lines[number], f"{name} has {item!r}, expected is {form[0]}")
            else:
                yield from problems_of(path, item, form[0], name)


class Stack:
    """What docker-compose.yml offers to its services: hosts with their ports, and where files stay."""

    def __init__(self):
        self.services = load(COMPOSE)["services"]

    def ports(self, name):
        """Ports on which a service listens."""
        return {port.split("/")[0].rpartition(":")[2] for port in self.services[name].get("ports", [])}

    def asked(self, path, line, address):
        """Problems of an address of the form host:port, which another service is asked at."""
        host, _, port = address.removeprefix("http://").split("/")[0].partition(":")
        if host not in self.services:
            yield Problem(path, line, f"no service {host} in docker-compose.yml")
        elif port not in self.ports(host) | COLLECTOR_PORTS.get(host, set()):
            yield Problem(path, line, f"{host} does not listen on {port}; it does on {', '.join(sorted(self.ports(host)))}")

    def mounts(self, name):
        """A service's mounts as (kind or source, target)."""
        for volume in self.services[name].get("volumes", []):
            if isinstance(volume, str):
                source, target, *_ = volume.split(":")
                yield source, target
            else:
                yield volume.get("source", volume["type"]), volume["target"]

    def kept(self, path, line, name, place):
        """Problems of a place in a container that must outlive it: it lies on a volume with a name."""
        place = place.rstrip("/")
        covers = [(target, source) for source, target in self.mounts(name) if place == target or place.startswith(f"{target}/")]
        source = max(covers)[1] if covers else None
        if source is None or source == "tmpfs" or source.startswith((".", "/")):
            yield Problem(path, line, f"{place} of {name} is on no volume of its own in docker-compose.yml")


# The collector has no port to this machine: its receivers are asked inside the network alone.
COLLECTOR_PORTS = {"otel-collector": {"4317", "4318"}}


def check():
    """Problems of all of them."""
    problems, sound = [], set()
    stack = Stack()
    for path, (form, service, version) in FILES.items():
        tag = stack.services[service]["image"].rpartition(":")[2]
        if tag != version:
            line = stack.services[service].lines["image"]
            problems.append(Problem(COMPOSE, line, f"{service} is {tag}, and the keys known here are those of {version}"))
        found = list(of(path)) if form else []
        problems += found
        if not found:
            sound.add(path)
    checks = {LOKI: _loki, PROMTAIL: _promtail, COLLECTOR: _collector, SOURCES: _sources, PROVIDERS: _providers, ALLOY: _alloy}
    for path, more in checks.items():
        if path in sound:
            problems += more(stack)
    return [*problems, *_addresses(stack)]


def of(path):
    """Problems of the form of one file."""
    form, service, version = FILES[path]
    yield from problems_of(path, load(path), form, f"the configuration of {service} {version}")


def _listens(stack, path, line, service, port):
    if str(port) not in stack.ports(service):
        yield Problem(path, line, f"{service} listens on {port}, and docker-compose.yml opens {', '.join(sorted(stack.ports(service)))}")


def _loki(stack):
    config = load(LOKI)
    yield from _listens(stack, LOKI, config["server"].lines["http_listen_port"], "loki", config["server"]["http_listen_port"])
    files = config["common"]["storage"]["filesystem"]
    for table, key in ((config["common"], "path_prefix"), (files, "chunks_directory"), (files, "rules_directory"), (config["compactor"], "working_directory")):
        yield from stack.kept(LOKI, table.lines[key], "loki", table[key])


def _promtail(stack):
    config = load(PROMTAIL)
    yield from _listens(stack, PROMTAIL, config["server"].lines["http_listen_port"], "promtail", config["server"]["http_listen_port"])
    yield from stack.kept(PROMTAIL, config["positions"].lines["filename"], "promtail", config["positions"]["filename"])
    for client in config["clients"]:
        yield from stack.asked(PROMTAIL, client.lines["url"], client["url"])
    for scrape in config["scrape_configs"]:
        for static in scrape["static_configs"]:
            yield from stack.kept(PROMTAIL, static["labels"].lines["__path__"], "promtail", static["labels"]["__path__"])
        for stage in scrape["pipeline_stages"]:
            if len(stage) != 1:
                yield Problem(PROMTAIL, stage.line, f"a stage is one of {', '.join(sorted(_STAGES))}, this is {', '.join(stage)}")


def _collector(stack):
    config = load(COLLECTOR)
    service = config["service"]
    (pipeline,) = service["pipelines"].values()
    for kind, used in (("extensions", service["extensions"]), *((kind, pipeline[kind]) for kind in ("receivers", "processors", "exporters"))):
        for number, name in enumerate(used):
            if name not in config[kind]:
                yield Problem(COLLECTOR, used.lines[number], f"{kind} has no {name}; it has {', '.join(config[kind])}")
        for name in config[kind]:
            if name not in used:
                yield Problem(COLLECTOR, config[kind].key_lines[name], f"nothing uses {name}")
    for exporter in config["exporters"].values():
        yield from stack.asked(COLLECTOR, exporter.lines["endpoint"], exporter["endpoint"])
    for protocol in config["receivers"]["otlp"]["protocols"].values():
        if protocol["endpoint"].partition(":")[2] not in COLLECTOR_PORTS["otel-collector"]:
            yield Problem(COLLECTOR, protocol.line, f"the engine is told the ports {', '.join(sorted(COLLECTOR_PORTS['otel-collector']))}")
    limits = config["processors"]["memory_limiter"]
    memory = int(stack.services["otel-collector"]["deploy"]["resources"]["limits"]["memory"].removesuffix("M"))
    if not limits["spike_limit_mib"] < limits["limit_mib"] < memory:
        yield Problem(COLLECTOR, limits.line, f"spike_limit_mib is below limit_mib, which is below the container's {memory}M")


def _sources(stack):
    sources = load(SOURCES)["datasources"]
    uids = {source["uid"]: source["type"] for source in sources}
    for source in sources:
        found = list(problems_of(SOURCES, source["jsonData"], _JSON_DATA[source["type"]], "jsonData"))
        yield from found
        yield from stack.asked(SOURCES, source.lines["url"], source["url"])
        if found:
            continue
        data = source["jsonData"]
        for names, kind in (
            (data.get("exemplarTraceIdDestinations", []), "jaeger"),
            (data.get("derivedFields", []), "jaeger"),
            ([data["tracesToLogsV2"]] if "tracesToLogsV2" in data else [], "loki"),
        ):
            for named in names:
                if uids.get(named["datasourceUid"]) != kind:
                    yield Problem(SOURCES, named.lines["datasourceUid"], f"no data source of {kind} has the uid {named['datasourceUid']}")


def _providers(stack):
    for provider in load(PROVIDERS)["providers"]:
        options = provider["options"]
        here = {target: source for source, target in stack.mounts("grafana")}
        if here.get(options["path"]) != "./docker/grafana/provisioning/dashboards/json":
            yield Problem(PROVIDERS, options.lines["path"], f"docker-compose.yml mounts the dashboards elsewhere than {options['path']}")


def _alloy(stack):
    try:
        file = alloy.read(ALLOY)
    except Problem as problem:
        yield problem
        return
    known = {(block.name, block.label): COMPONENTS.get(block.name, ({}, {}, set()))[2] for block in file.blocks}
    for name, (_, line) in file.values.items():
        yield Problem(ALLOY, line, f"{name} stands outside of a component")
    for block in file.blocks:
        if block.name not in COMPONENTS:
            yield Problem(ALLOY, block.line, f"no component {block.name} is known; those are {', '.join(COMPONENTS)}")
            continue
        values, inner, _ = COMPONENTS[block.name]
        yield from _settings(block, values, known)
        for part in block.blocks:
            if part.name not in inner:
                yield Problem(ALLOY, part.line, f"{block.name} has no block {part.name}; it has {', '.join(inner) or 'none'}")
            else:
                yield from _settings(part, inner[part.name], known)
                if "url" in part.values and isinstance(part.values["url"][0], str):
                    yield from stack.asked(ALLOY, part.values["url"][1], part.values["url"][0])
        if block.name == "loki.write" and not block.blocks:
            yield Problem(ALLOY, block.line, "loki.write has no endpoint")
    storage = next((part.partition("=")[2] for part in stack.services["alloy"]["command"] if part.startswith("--storage.path=")), "")
    yield from stack.kept(COMPOSE, stack.services["alloy"].lines["command"], "alloy", storage)


def _settings(block, form, known):
    wanted = {name.rstrip("?"): kind for name, kind in form.items()}
    for name, (value, line) in block.values.items():
        kind = wanted.get(name)
        if kind is None:
            yield Problem(ALLOY, line, f"{block.name} has no {name}; it has {', '.join(wanted) or 'nothing to set'}")
        elif kind == _RECEIVERS and isinstance(value, list) and value:
            for item in value:
                yield from _referred(item, line, "receiver", known)
        elif kind == "targets":
            yield from _referred(value, line, "targets", known)
        elif isinstance(kind, str) or not isinstance(value, kind):
            yield Problem(ALLOY, line, f"{name} of {block.name} has another form than {kind if isinstance(kind, str) else kind.__name__}")
    for name in form:
        if not name.endswith("?") and name not in block.values:
            yield Problem(ALLOY, block.line, f"{block.name} lacks {name}")


def _referred(value, line, export, known):
    if not isinstance(value, alloy.Reference):
        yield Problem(ALLOY, line, f"expected is what a component exports as {export}")
        return
    *name, label, exported = value.path if len(value.path) > 2 else ("", "", "")
    if exported != export or export not in known.get((".".join(name), label), set()):
        has = ", ".join(f"{component}.{one}.{export}" for (component, one), exports in known.items() if export in exports)
        yield Problem(ALLOY, value.line, f"no component exports {'.'.join(value.path)}; there is {has}")


def _addresses(stack):
    """Addresses in the files that other tools read: hosts with ports that their services have."""
    for path in (DOCKER / "prometheus" / "prometheus.yml", COMPOSE):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for address in re.findall(r"(?:http://|\[')([a-z][a-z-]+:\d+)", line.split("#")[0]):
                if not address.startswith("localhost"):
                    yield from stack.asked(path, number, address)
