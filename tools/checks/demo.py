#!/usr/bin/env python3
"""Does docker/demo.sh do what it says, and leave nothing behind?

Starts it as from a terminal, on free ports: every address that it prints answers, Prometheus scrapes the engine and knows the rules
and Alertmanager. Then it is ended, once by a Ctrl-C, which a terminal sends to the whole group, and once by SIGTERM to the script
alone: the engine has to say that it stopped in order, no process and no folder may be left, and no port may be open. At last it is
started where it cannot run: without the program, and on a port that is taken. Waits are for what happens; a time only says when to
give up.

Usage: demo.py PATH_OF_VELOZ
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
from pathlib import Path

from stack.processes import free_ports, get
from stack.verdicts import awaited, must

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_S = 300
PORTS = ["ENGINE_DEMO_PORT", "PROMETHEUS_DEMO_PORT", "ALERTMANAGER_DEMO_PORT", "ALERT_SINK_DEMO_PORT"]


def start(veloz, ports, *arguments):
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("VELOZ_", "SLACK_", "OTEL_"))}
    environment |= {"PROGRAM": str(veloz)} | {name: str(port) for name, port in zip(PORTS, ports, strict=False)}
    return subprocess.Popen(
        ["sh", str(ROOT / "docker" / "demo.sh"), *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def descendants(process):
    """Ids of the processes below one."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, look = [], [process]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


def runs(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def printed(demo):
    """What it says up to its last line."""
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            return "".join(lines)
    sys.exit(f"failed: it ended with {demo.wait()}:\n{''.join(lines)}")


def looked_at(text, ports):
    addresses = re.findall(r"http://\S+", text)
    must(len(addresses) == 7, text)
    for address in addresses:
        try:
            must(get(address).strip(), f"{address} is empty")
        except urllib.error.URLError as fault:
            sys.exit(f"failed: {address}: {fault}")
    prometheus = f"http://127.0.0.1:{ports[1]}/api/v1"
    asked = lambda path: json.loads(get(f"{prometheus}/{path}"))["data"]
    awaited("the engine is scraped", lambda: asked("query?query=up%7Bjob%3D%22veloz-gateway%22%7D%20%3D%3D%201")["result"], WAIT_S)
    must(sum(len(group["rules"]) for group in asked("rules")["groups"]) > 100, "the rules")
    must(len(asked("alertmanagers")["activeAlertmanagers"]) == 1, "Alertmanager")
    return len(addresses)


def ended(veloz, sent, whole_group, folder):
    ports = free_ports(4 if folder else 3)
    demo = start(veloz, ports, *([folder] if folder else []))
    text = printed(demo)
    count = looked_at(text, ports)
    data = Path(re.search(r"^logs, data +(\S+)$", text, re.M).group(1))
    processes = descendants(demo.pid)
    must(len(processes) >= len(ports), processes)
    if folder:
        awaited("a delivery to the sink", lambda: "VeloZRestarted" in (data / "deliveries.jsonl").read_text(), WAIT_S)
        must("has no effect" not in (data / "veloz.log").read_text(), "the engine is told what is for Alertmanager")
    (os.killpg if whole_group else os.kill)(demo.pid, sent)
    said = demo.stdout.read()
    must(demo.wait() == 128 + sent, demo.returncode)
    must(not said, said)
    awaited("no process is left", lambda: not any(map(runs, processes)), WAIT_S)
    for port in ports:
        with socket.socket() as probe:
            must(probe.connect_ex(("127.0.0.1", port)) != 0, f"port {port} is still open")
    if folder:
        must('"engine_stopped"' in (data / "veloz.log").read_text(), "the engine did not stop in order")
    else:
        must(not data.exists(), f"{data} is left")
    print(f"{count} addresses answer; after {sent.name} nothing is left")


def refused(veloz):
    demo = start(veloz.parent / "no such program", free_ports(3))
    said = demo.communicate(timeout=WAIT_S)[0]
    must(demo.returncode == 69 and "build it with" in said, said)
    ports = free_ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[0]))
        taken.listen()
        demo = start(veloz, ports)
        said = demo.communicate(timeout=WAIT_S)[0]
    must(demo.returncode == 1 and "a program has ended" in said and str(ports[0]) in said, said)
    print("without its program, or with a port that is taken, it says so and ends")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    veloz = Path(sys.argv[1]).resolve()
    # Whoever started this in the background may have it ignore Ctrl-C, and the demo would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        # With a folder and a receiver of alerts, then as it is.
        ended(veloz, signal.SIGINT, True, folder)
    ended(veloz, signal.SIGTERM, False, None)
    refused(veloz)


if __name__ == "__main__":
    main()
