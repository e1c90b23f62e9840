#!/usr/bin/env python3
"""Does a client that is not ours follow /api/stream, with and without identities?

Everything is read with PyPI's sseclient-py over requests. Without identities: events of the embedded venue
arrive with rising ids; a client that lost its connection goes on right after the event that it had, by header
and by query; filters hold; an id that is not kept is answered with a `gap`; comments come on a quiet stream;
the last event before the end is the engine's. With identities: no stream without a token or a ticket, one
stream a ticket, and a logout ends the streams that the login had opened, and no others.

Usage: sse_client.py PATH_OF_VELOZ
"""

import json
import pathlib
import signal
import sys
import tempfile
import time

import requests
import sseclient
from stack.processes import engine
from stack.verdicts import must

WAIT_S = 30
# An engine that nobody ends.
ENDS = "--for=120"
PASSWORD = "correct horse battery"


class Stream:
    """One connection; iterating gives events until it ends."""

    def __init__(self, base, query="", headers=None):
        self.response = requests.get(
            f"{base}/api/stream{query}",
            headers={"Accept": "text/event-stream"} | (headers or {}),
            stream=True,
            timeout=WAIT_S,
        )

    def __enter__(self):
        must(self.response.status_code == 200, self.response.status_code)
        return sseclient.SSEClient(self.response).events()

    def __exit__(self, *_):
        self.response.close()


def take(events, count):
    taken = []
    for event in events:
        taken.append(event)
        if len(taken) == count:
            return taken
    sys.exit(f"the stream ended after {len(taken)} of {count} events")


def ids(events):
    return [int(event.id) for event in events]


def on_this_machine(veloz):
    with engine(veloz, ENDS) as (process, base):
        with Stream(base) as events:
            first = take(events, 50)
        must(ids(first) == list(range(int(first[0].id), int(first[0].id) + 50)), ids(first))
        for event in first:
            must(json.loads(event.data)["type"] == event.event, event)
        last = first[-1].id
        # What happened meanwhile is not lost, whichever way the client says where it was.
        for query, headers in ((f"?last_id={last}", {}), ("", {"Last-Event-ID": last})):
            with Stream(base, query, headers) as events:
                again = take(events, 20)
            must(ids(again) == list(range(int(last) + 1, int(last) + 21)), ids(again))

        with Stream(base, "?events=trade&symbols=ETHUSDT") as events:
            for event in take(events, 5):
                trade = json.loads(event.data)
                must(event.event == "trade" and trade["symbol"] == "ETHUSDT", trade)
        with Stream(base, "?last_id=7") as events:
            gap = take(events, 1)[0]
            must(gap.event == "gap", gap.event)
            told = json.loads(gap.data)
            must(told["from"] == 8 and told["to"] >= told["from"], told)
            must(int(take(events, 1)[0].id) == told["to"] + 1, told)

        with requests.get(f"{base}/api/stream?events=risk_alert", stream=True, timeout=WAIT_S) as quiet:
            started = time.monotonic()
            comments = (line for line in quiet.iter_lines() if line == b": keep-alive")
            next(comments)
            waited = time.monotonic() - started
            must(5 < waited < 20, f"a comment after {waited:.1f} s")
        bad = requests.get(f"{base}/api/stream?events=nonsense", timeout=WAIT_S)
        must(bad.status_code == 400 and bad.json()["error"] == "bad_params", bad.text)

        with Stream(base, "?events=engine_stopped") as events:
            process.send_signal(signal.SIGTERM)
            end = [event.event for event in events]
        must(end == ["engine_stopped"], end)
        must(process.wait(timeout=WAIT_S) == 0, "the engine's exit code")
    print("without identities: in order, without a hole, filtered, and ended by the engine's last event")


def with_identities(veloz):
    with tempfile.TemporaryDirectory() as directory:
        password = pathlib.Path(directory, "password")
        password.write_text(PASSWORD)
        password.chmod(0o600)
        arguments = (f"--set=state.dir={directory}", "--set=auth.enabled=true")
        with engine(veloz, ENDS, *arguments, VELOZ_ADMIN_PASSWORD_FILE=str(password)) as (_, base):

            def ask(method, path, token=None, **body):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                return requests.request(
                    method, base + path, json=body, headers=headers, timeout=WAIT_S
                )

            def login():
                answer = ask("POST", "/api/auth/login", user_id="admin", password=PASSWORD)
                must(answer.status_code == 200, answer.text)
                return answer.json()

            must(Stream(base).response.status_code == 401, "a stream without an identity")
            must(Stream(base, "?ticket=made-up").response.status_code == 401, "a made-up ticket")
            mine, other = login(), login()
            bearer = {"Authorization": f"Bearer {other['access_token']}"}
            answer = ask("POST", "/api/auth/stream-ticket", mine["access_token"])
            ticket = f"?ticket={answer.json()['ticket']}"
            with Stream(base, ticket) as of_mine, Stream(base, "", bearer) as of_other:
                take(of_mine, 10)
                must(Stream(base, ticket).response.status_code == 401, "a ticket used twice")
                out = ask("POST", "/api/auth/logout", refresh_token=mine["refresh_token"])
                must(out.status_code == 200, out.text)
                until = time.monotonic() + WAIT_S
                for _ in of_mine:
                    must(time.monotonic() < until, "a stream goes on after its logout")
                take(of_other, 10)
    print("with identities: one stream a ticket, and a logout ends it")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    on_this_machine(sys.argv[1])
    with_identities(sys.argv[1])


if __name__ == "__main__":
    main()
