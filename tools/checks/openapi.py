#!/usr/bin/env python3
"""Does the server keep to its own description, whatever it is asked?

Starts the engine with the embedded venue, reads /api/openapi.json from it, has the document judged by a
validator that is not ours, and then lets schemathesis make requests from it, good and bad ones:

1. on loopback, where nobody has to say who he is;
2. with identities, as an admin, by a key whose rate lets the tester through;
3. with identities, as somebody who may only read the market: mostly refusals.

Every answer must have a status that its route describes, the type that stands there, and exactly the shape of
that status's schema; none may be a 5xx; what the schemas rule out must be refused; and the engine must turn and
answer afterwards.

Checks that are left out, and why:
- positive_data_acceptance: no schema knows which symbols, prices and orders there are.
- unsupported_method, allow_header_conformance, ignored_auth, missing_required_header, response_headers_conformance:
  tests of the server's own ask these questions route by route.
- use_after_free, ensure_resource_availability, object_level_authorization: the document has no links.
Left out of the routes: the stream, because it does not end; and, with identities, what would end the run: keys and
roles that the tester itself needs.

Usage: openapi.py PATH_OF_VELOZ
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from openapi_spec_validator import validate
from stack.verdicts import must

WAIT_S = 60
PASSWORD = "correct horse battery"
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
]
# Requests of a route that fuzzing makes, beside those that the examples and the bounds of its schema make.
EXAMPLES = {"nobody": 14, "admin": 8, "reader": 2}
LEFT_OUT = ["/api/stream"]
# Bad data may be refused for being long too, which the tester would not take for a refusal.
TESTER = '[checks]\nnegative_data_rejection.expected-statuses = ["4xx", "5xx"]\n'


def ask(url, body=None, headers=None):
    """Status and JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, (headers or {}) | {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@contextlib.contextmanager
def engine(veloz, *arguments, **variables):
    """The address of a running engine's server; it must live until the end."""
    quiet = {name: text for name, text in os.environ.items() if "VELOZ_" not in name}
    process = subprocess.Popen(
        [veloz, "--no-status", "--set=http.port=0", "--for=900", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=quiet | variables,
    )
    drained = None
    try:
        url = next(
            json.loads(line)["metrics"].removesuffix("/metrics")
            for line in process.stdout
            if '"metrics"' in line
        )
        # The rest of the log goes nowhere, so that the engine never waits for us.
        drained = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        wait_ready(url)
        yield url
        status, body = ask(f"{url}/health/live")
        if (status, body["ok"]) != (200, True) or process.poll() is not None:
            sys.exit("the engine did not survive it")
    finally:
        process.kill()
        process.wait()
        if drained is not None:
            drained.kill()
            drained.wait()


def wait_ready(url):
    until = time.monotonic() + WAIT_S
    while (ask(f"{url}/api/health")[1]["components"]).get("trading") != "ready":
        if time.monotonic() > until:
            sys.exit("trading was never ready")
        time.sleep(0.1)


def test(document, url, who, headers=None):
    """Asks a server what its document says that it answers."""
    with tempfile.TemporaryDirectory() as directory:
        schema = pathlib.Path(directory) / "openapi.json"
        schema.write_text(json.dumps(document))
        schema.with_name("schemathesis.toml").write_text(TESTER)
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            str(schema),
            f"--url={url}",
            f"--checks={','.join(CHECKS)}",
            f"--max-examples={EXAMPLES[who]}",
            "--phases=examples,fuzzing" if who == "reader" else "--phases=examples,coverage,fuzzing",
            "--mode=all",
            "--request-timeout=15",
            "--workers=1",
            "--no-shrink",
            "--continue-on-failure",
            "--warnings=off",
            "--generation-database=none",
            *(f"--header={name}: {value}" for name, value in (headers or {}).items()),
            *(f"--exclude-path={path}" for path in LEFT_OUT),
        ]
        if headers:
            command.append("--exclude-path=/api/auth/roles")
        started = time.monotonic()
        tested = subprocess.run(command, cwd=directory, check=False)
    if tested.returncode != 0:
        sys.exit(f"an answer is not as it is described, to {who}, or the tester could not go on")
    print(f"as {who}: {time.monotonic() - started:.0f} s", flush=True)


def with_nobody(veloz):
    with engine(veloz) as url:
        _, document = ask(f"{url}/api/openapi.json")
        validate(document)
        test(document, url, "nobody")
    return document


def with_identities(veloz, document):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        password = pathlib.Path(directory, "password")
        password.write_text(PASSWORD)
        password.chmod(0o600)
        arguments = [f"--set=state.dir={directory}", "--set=auth.enabled=true"]
        with engine(veloz, *arguments, VELOZ_ADMIN_PASSWORD_FILE=str(password)) as url:
            credentials = {"user_id": "admin", "password": PASSWORD}
            status, tokens = ask(f"{url}/api/auth/login", credentials)
            must(status == 200, f"nobody logs in: {tokens}")
            login = {"Authorization": f"Bearer {tokens['access_token']}"}

            def key(name, permissions):
                wanted = {
                    "name": name,
                    "permissions": permissions,
                    "rate_limit": {"capacity": 1_000_000, "refill": 10_000},
                }
                status, made = ask(f"{url}/api/auth/keys", wanted, login)
                must(status == 201, f"no key is made: {made}")
                return {"X-API-Key": made["api_key"]}

            admin = key("tester", ["read", "write", "admin"])
            reader = key("reader", ["read:market"])
            must(ask(f"{url}/api/audit/logs", headers=admin)[0] == 200, "an admin reads the audit log")
            test(document, url, "admin", admin)
            must(ask(f"{url}/api/account", headers=reader)[0] == 403, "a reader of markets reads no account")
            test(document, url, "reader", reader)


def main(veloz):
    document = with_nobody(veloz)
    with_identities(veloz, document)
    print(f"{len(document['paths'])} paths keep to their description")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
