"""What the runbooks say to do, done: the commands in their sentences and tables, and the blocks of their README.

Owns: run, main. An engine of its own is halted, its kill switch tripped and so on, each command until its effect shows on the page;
between two of them it is reset as the runbooks say. Addresses and files alone are replaced. What needs systemd or Docker is not run.
Does not: run what only asks, in blocks of their own (runbooks.py).
Usage: python -m stack.mitigation PATH_OF_VELOZ (in tools/checks)
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import faults, runbooks
from .located import Problem
from .processes import Running, drained
from .verdicts import Verdicts

README = runbooks.FOLDER / "README.md"
INLINE = re.compile(r"`((?:curl|grep|tail) [^`]*\$VELOZ[^`]*)`")
RESET, RESUME = 'curl -X POST "$VELOZ/api/kill-switch/reset"', 'curl -X POST "$VELOZ/api/resume"'
TRIP = 'curl -X POST "$VELOZ/api/kill-switch/trip"'
_STATE = 'veloz_trading_state{state="%s"}'
# A command that changes something, and what the page shows then.
EFFECTS = {
    "/api/halt": {_STATE % "HALTED": 1},
    "/api/reduce-only": {_STATE % "REDUCE_ONLY": 1},
    "/api/cancel-all": {"veloz_active_orders": 0},
    "/api/kill-switch/trip": {"veloz_kill_switch_active": 1, _STATE % "HALTED": 1, "veloz_active_orders": 0},
    "/api/kill-switch/reset": {"veloz_kill_switch_active": 0, _STATE % "HALTED": 1},
    "/api/resume": {_STATE % "ACTIVE": 1},
}


def commands():
    """Every command in a sentence or a table, with the first place where it stands."""
    found = {}
    for path in sorted(runbooks.FOLDER.glob("*.md")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for command in INLINE.findall(line):
                found.setdefault(command, (path, number))
    return found


def _shell(command, environment):
    # An answer that says no is a failure.
    text = re.sub(r"\bcurl ", "curl --silent --show-error --fail --max-time 60 ", command)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], env=dict(os.environ, **environment), capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip


def run(case, running, veloz, folder):
    """Does all of it."""
    folder = folder / "mitigation"
    folder.mkdir()
    engine = faults.Engine(running, veloz, folder, "mitigation", audit__dir=folder / "audit", state__dir=folder / "state")
    environment = _addresses(case, engine)
    _curlrc(case, folder)
    price = engine.far_bid()
    rests = lambda: (engine.metric("veloz_active_orders") or 0) >= 1
    found, failed = commands(), []
    for command, (path, line) in found.items():
        action = re.search(r"\$VELOZ(/api/[a-z/-]+)\"", command)
        effects = EFFECTS.get(action.group(1)) if action else None
        if "-X POST" in command and effects is None:
            failed.append(str(Problem(path, line, f"nothing is known of what {command} does")))
            continue
        # Something to stop, to cancel or to resume.
        engine.until("an order rests", lambda: rests() or (faults.order(engine, price, tif="GTC") and rests()))
        if command in (RESET, RESUME):
            _shell(TRIP, environment)
        if command == RESUME:
            _shell(RESET, environment)
        done = _shell(command, environment)
        if done.returncode or not done.stdout.strip():
            failed.append(str(Problem(path, line, f"exit {done.returncode}, {(done.stderr or done.stdout).strip()}: {command}")))
        elif effects:
            engine.until(f"{command} has its effect", lambda effects=effects: all(engine.metric(name) == value for name, value in effects.items()))
            _shell(RESET, environment)
            _shell(RESUME, environment)
            engine.until("trades again", lambda: engine.metric(_STATE % "ACTIVE") == 1)
    case(f"{len(found)} commands in the runbooks' sentences do what they say", found and not failed, "; ".join(failed))
    missing = [path for path in EFFECTS if not any(path in command for command in found)]
    case("each way to stop and to go on is among them", not missing, missing)
    _cancel_all(case, running, veloz, folder)


def _block(beginning):
    """The text block of the README that begins so."""
    (rows,) = [rows for _, _, rows in runbooks.blocks(README.read_text()) if rows and rows[0].startswith(beginning)]
    return "\n".join(rows)


def _addresses(case, engine):
    """The variables of all pages, as the block sets them, with the addresses and the file of this engine."""
    text = _block("export VELOZ=")
    here = {"http://127.0.0.1:8080": f"http://{engine.address}", "/var/log/veloz/veloz.log ": f"{engine.log} "}
    for old, new in here.items():
        text = text.replace(old, new, 1)
    names = ("VELOZ", "VELOZ_LOG", "PROMETHEUS", "ALERTMANAGER")
    asked = "".join(f'\nprintf "%s\\n" "${name}"' for name in names)
    done = subprocess.run(["bash", "-euc", text + asked], capture_output=True, text=True, check=False)
    values = dict(zip(names, done.stdout.splitlines(), strict=False))
    good = done.returncode == 0 and values.get("VELOZ") == f"http://{engine.address}" and values.get("VELOZ_LOG") == str(engine.log)
    case("the runbooks' variables are set as their README says", good and all(values.values()) and len(values) == len(names), done.stdout + done.stderr)
    return values


def _curlrc(case, folder):
    """The key is where curl finds it, for its user alone."""
    asked = '\ncurl --version >/dev/null && stat -c %a "$CURL_HOME/.curlrc" && cat "$CURL_HOME/.curlrc"'
    variables = dict(os.environ, HOME=str(folder), KEY="vk_test")
    done = subprocess.run(["bash", "-euc", _block("umask 077;") + asked], env=variables, capture_output=True, text=True, check=False)
    case("a key is kept where curl finds it", done.stdout == '600\nheader = "X-API-Key: vk_test"\n', done.stdout + done.stderr)


def _cancel_all(case, running, veloz, folder):
    """The command without the engine, against a venue of its own on which nothing is open."""
    venue = running.start([veloz, "venue", "--port=0", "--plain-port=0", f"--key-dir={folder}/keys"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    plain = next(re.search(r"(ws://\S+?)[,\s]", line).group(1) for line in venue.stdout if line.startswith("plain"))
    drained(venue)
    site = folder / "site.toml"
    site.write_text(
        f'[venue]\nsource = "binance"\nexecution_mode = "binance_testnet_spot"\nmarket_url = "{plain}/stream"\napi_url = "{plain}/ws-api/v3"\n'
    )
    text = _block("sudo env VELOZ_CONFIG=")
    here = {
        "sudo env ": "env ",
        "/etc/veloz/site.toml": site,
        "/var/lib/veloz": folder / "left",
        "/etc/veloz/credentials/binance_api_key": folder / "keys" / "api_key",
        "/etc/veloz/credentials/binance_private_key.pem": folder / "keys" / "ed25519.pem",
        " veloz cancel-all": f" {veloz} cancel-all",
    }
    replaced = all(old in text for old in here)
    for old, new in here.items():
        text = text.replace(old, str(new))
    done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, check=False, timeout=120)
    good = replaced and done.returncode == 0 and "no open order" in done.stdout + done.stderr
    case("orders are cancelled without the engine, as the runbooks' README says", good, f"exit {done.returncode}: {done.stdout}{done.stderr}")


def main():
    """Does it alone."""
    case = Verdicts()
    running = Running()
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(case, running, Path(sys.argv[1]).resolve(), Path(folder))
        finally:
            running.end()
    return case.end()


if __name__ == "__main__":
    sys.exit(main())
