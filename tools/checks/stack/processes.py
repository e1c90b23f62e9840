"""Programs that run while a check talks to them.

Owns: Running, engine, drained, free_ports, get, waited. Does not: know what is started, but for an engine that says where it is.
Invariant: what is started here is ended by its handle, however the check ends.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request


class Running:
    """Processes that are ended by their handles, whatever happens."""

    def __init__(self):
        self.processes = []

    def start(self, command, **more):
        process = subprocess.Popen([str(part) for part in command], **more)
        self.processes.append(process)
        return process

    def end(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def engine(veloz, *arguments, **variables):
    """An engine on a port of its own choice, and the address of its server."""
    quiet = {name: text for name, text in os.environ.items() if "VELOZ_" not in name}
    process = subprocess.Popen(
        [veloz, "--set=http.port=0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=quiet | variables,
    )
    try:
        for line in process.stdout:
            started = json.loads(line)
            if "health" in started:
                drained(process)
                yield process, started["health"].removesuffix("/health")
                break
        else:
            sys.exit("the engine does not run")
    finally:
        process.kill()
        process.wait()


def drained(process):
    """Reads what the process says from now on, so that it never waits for a reader."""
    threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()


def free_ports(count):
    """Different ports of loopback that nobody has."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def get(url):
    """The text of an answer."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def waited(url, log, seconds):
    """What the address answers, as soon as it does; `log` is shown when it never does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return get(url)
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                tail = log.read_text()[-2000:] if log else ""
                raise SystemExit(f"{url} does not answer\n{tail}") from None
            time.sleep(0.2)
