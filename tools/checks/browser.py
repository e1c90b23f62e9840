#!/usr/bin/env python3
"""What can a web page do to a trader's engine, in a real browser?

Chromium loads pages that this program serves; each does something with the engine and posts what became of
it back here.

1. A page of another origin, while nobody has to say who he is: it can neither read (health, metrics, the
   stream) nor write (fetch without CORS, a form, a frame without an origin); the engine answers each of its
   writes with 403. Under a foreign name that resolves to loopback (DNS rebinding) everything is 421.
2. A page whose origin the configuration names follows the stream with EventSource. A proxy cuts its
   connection: it comes back by itself and misses nothing.
3. With identities: that page logs in, asks for a ticket and opens a stream with it; the ticket is good once,
   and after a logout the stream ends and does not come back.

Usage: browser.py PATH_OF_VELOZ [PATH_OF_CHROMIUM]
"""

import contextlib
import http.server
import json
import pathlib
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

from stack.processes import engine
from stack.verdicts import must

WAIT_S = 60
# An engine that nobody ends.
ENDS = "--for=300"
FOREIGN_NAME = "evil.test"
PASSWORD = "correct horse battery"

HELPERS = """
const report = (facts) => fetch('/report', {method: 'POST', body: JSON.stringify(facts)});
const outcome = (promise) => promise.then((answer) => answer.type + ' ' + answer.status, (error) => error.name);
const later = (ms) => new Promise((done) => setTimeout(done, ms));
const heard = (source, count) => new Promise((done) => {
  const ids = [];
  const take = (event) => { ids.push(Number(event.lastEventId)); if (ids.length === count) done(ids); };
  for (const kind of KINDS) source.addEventListener(kind, take);
  source.addEventListener('error', (event) => {
    // An event of the engine has this name too, and brings data.
    if (event.data !== undefined) take(event);
    else if (source.readyState === EventSource.CLOSED) done(ids);
  });
});
const KINDS = ['market', 'trade', 'book_top', 'subscription_status', 'order_update', 'fill', 'order_state',
  'account', 'order_received', 'cancel_received', 'strategy_loaded', 'strategy_started', 'strategy_stopped',
  'strategy_paused', 'strategy_resumed', 'strategy_status', 'strategy_params_updated', 'strategy_metrics',
  'risk_alert', 'engine_started', 'engine_stopped', 'gap'];
"""

FOREIGN = """
const base = 'BASE', rebound = 'REBOUND';
const simple = {method: 'POST', mode: 'no-cors', headers: {'Content-Type': 'text/plain'}, body: '{}'};
const facts = {};
for (const path of ['/health', '/metrics', '/api/config', '/api/orders_state'])
  facts['read ' + path] = await outcome(fetch(base + path));
const source = new EventSource(base + '/api/stream?last_id=0');
facts.stream = (await Promise.race([heard(source, 1), later(3000).then(() => [])])).length;
source.close();
for (const path of ['/api/order', '/api/auth/login', '/api/audit/archive'])
  facts['write ' + path] = await outcome(fetch(base + path, simple));
facts.json = await outcome(fetch(base + '/api/order',
  {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'}));
facts.delete = await outcome(fetch(base + '/api/auth/keys?key_id=x', {method: 'DELETE'}));
const frame = (html, sandbox) => new Promise((done) => {
  const made = document.createElement('iframe');
  if (sandbox) made.setAttribute('sandbox', sandbox);
  made.srcdoc = html;
  made.addEventListener('load', () => setTimeout(done, 500));
  document.body.append(made);
});
await frame('<form method=post enctype=text/plain action="' + base + '/api/cancel"><input name=x value=y></form>'
  + '<script>document.forms[0].submit()</' + 'script>');
await frame('<script>fetch("' + base + '/api/stop", {method: "POST", mode: "no-cors", body: "{}"})</' + 'script>',
  'allow-scripts');
facts.rebound = await outcome(fetch(rebound + '/metrics', {mode: 'no-cors'}));
facts.rebound_write = await outcome(fetch(rebound + '/api/order', simple));
await report(facts);
"""

FOLLOWS = """
const source = new EventSource('BASE/api/stream');
let opened = 0;
source.addEventListener('open', () => { opened += 1; });
const ids = await heard(source, 400);
source.close();
await report({ids, opened, wrote: await outcome(fetch('BASE/health'))});
"""

LOGS_IN = """
const ask = (path, body, token) => fetch('BASE' + path, {method: 'POST', body: JSON.stringify(body),
  headers: {'Content-Type': 'application/json', ...(token ? {Authorization: 'Bearer ' + token} : {})}});
const facts = {anonymous: (await heard(new EventSource('BASE/api/stream'), 1)).length};
const tokens = await (await ask('/api/auth/login', {user_id: 'admin', password: 'PASSWORD'})).json();
const {ticket} = await (await ask('/api/auth/stream-ticket', {}, tokens.access_token)).json();
const source = new EventSource('BASE/api/stream?ticket=' + ticket);
facts.heard = (await heard(source, 20)).length;
facts.again = (await heard(new EventSource('BASE/api/stream?ticket=' + ticket), 1)).length;
const closed = new Promise((done) => source.addEventListener('error', () => {
  if (source.readyState === EventSource.CLOSED) done('closed');
}));
facts.logout = (await ask('/api/auth/logout', {refresh_token: tokens.refresh_token})).status;
facts.end = await Promise.race([closed, later(20000).then(() => 'goes on')]);
await report(facts);
"""


class Pages:
    """Serves pages, and takes what they report."""

    def __init__(self):
        self.scripts = {}
        self.reports = queue.Queue()
        pages = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                script = pages.scripts.get(self.path)
                body = f"<!doctype html><body><script type=module>{HELPERS}{script}</script>"
                self.send_response(404 if script is None else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(body.encode())

            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"]))
                pages.reports.put(json.loads(text))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.origin = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def run(self, chromium, script, **words):
        """What a page with this script reports."""
        for word, text in words.items():
            script = script.replace(word, text)
        path = f"/{len(self.scripts)}"
        self.scripts[path] = script
        # The browser's helpers may write a moment longer than it lives.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            browser = subprocess.Popen(
                [
                    chromium,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--remote-debugging-port=0",
                    f"--user-data-dir={profile}",
                    f"--host-resolver-rules=MAP {FOREIGN_NAME} 127.0.0.1",
                    self.origin + path,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                return self.reports.get(timeout=WAIT_S)
            except queue.Empty:
                sys.exit(f"the page {path} reported nothing within {WAIT_S} s")
            finally:
                browser.terminate()
                browser.wait()


class Cutting:
    """A proxy that cuts its first connection after so many bytes."""

    def __init__(self, base, after):
        self.target = base.removeprefix("http://").rsplit(":", 1)
        self.after = after
        self.cut = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection((self.target[0], int(self.target[1])))
            threading.Thread(target=self.pump, args=(client, server, None), daemon=True).start()
            budget = None if self.cut.is_set() else self.after
            threading.Thread(target=self.pump, args=(server, client, budget), daemon=True).start()

    def pump(self, source, target, budget):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)
                if budget is not None and (budget := budget - len(data)) < 0:
                    self.cut.set()
                    break
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


def answers(base):
    """Counts of the engine's answers by method and status."""
    page = urllib.request.urlopen(f"{base}/metrics").read().decode()
    counts = {}
    pattern = r'^veloz_http_requests_total\{method="(\w+)",endpoint="[^"]*",status="(\d+)"\} (\d+)'
    for method, status, count in re.findall(pattern, page, re.MULTILINE):
        key = (method, int(status))
        counts[key] = counts.get(key, 0) + int(count)
    return counts


def foreign_page(pages, chromium, veloz):
    with engine(veloz, ENDS) as (_, base):
        rebound = base.replace("127.0.0.1", FOREIGN_NAME)
        facts = pages.run(chromium, FOREIGN, BASE=base, REBOUND=rebound)
        for what, result in facts.items():
            if what.startswith("read ") or what in ("json", "delete"):
                must(result == "TypeError", f"{what}: {result}")
            elif what == "stream":
                must(result == 0, f"the page read {result} events")
            else:
                # What was sent, was sent; the page sees nothing of the answer.
                must(result == "opaque 0", f"{what}: {result}")
        counts = answers(base)
        # Refusals count under the method that was tried: of writes, and of the two questions before `json` and `delete`, which
        # find nobody who answers. Under the rebound name nothing is read either.
        refused = {status: count for (method, status), count in counts.items() if method != "GET"}
        must(refused.pop(403, 0) >= 5, counts)
        must(refused.pop(421, 0) >= 2, counts)
        must(refused.pop(405, 0) <= 2, counts)
        must(not refused, f"other answers to writes: {counts}")
        must(all(status in (200, 421) for method, status in counts if method == "GET"), counts)
        must(counts[("GET", 421)] >= 1, counts)
    print("a page of another origin reads nothing and writes nothing")


def named_page(pages, chromium, veloz):
    with engine(veloz, ENDS, f"--set=http.cors_origins={pages.origin}") as (_, base):
        proxy = Cutting(base, 20_000)
        facts = pages.run(chromium, FOLLOWS, BASE=proxy.base)
        ids = facts["ids"]
        must(proxy.cut.is_set() and facts["opened"] >= 2, "the connection was not cut")
        must(ids == list(range(ids[0], ids[0] + len(ids))), f"a hole in {ids}")
        must(facts["wrote"] == "cors 200", facts["wrote"])
    print(f"EventSource of a named page: {len(ids)} events over a cut connection, none missed")


def page_with_identity(pages, chromium, veloz):
    with tempfile.TemporaryDirectory() as directory:
        password = pathlib.Path(directory, "password")
        password.write_text(PASSWORD)
        password.chmod(0o600)
        arguments = (
            f"--set=state.dir={directory}",
            "--set=auth.enabled=true",
            f"--set=http.cors_origins={pages.origin}",
        )
        with engine(veloz, ENDS, *arguments, VELOZ_ADMIN_PASSWORD_FILE=str(password)) as (_, base):
            facts = pages.run(chromium, LOGS_IN, BASE=base, PASSWORD=PASSWORD)
            expected = {"anonymous": 0, "heard": 20, "again": 0, "logout": 200, "end": "closed"}
            must(facts == expected, facts)
            with contextlib.suppress(urllib.error.HTTPError):
                answers(base)
                sys.exit("failed: the metrics need no identity")
    print("a page with an identity follows by a ticket, until its session ends")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    veloz = sys.argv[1]
    chromium = sys.argv[2] if len(sys.argv) == 3 else "chromium"
    pages = Pages()
    foreign_page(pages, chromium, veloz)
    named_page(pages, chromium, veloz)
    page_with_identity(pages, chromium, veloz)


if __name__ == "__main__":
    main()
