#!/usr/bin/env python3
"""Does the server keep to its own description, whatever it is asked?

Starts the engine with the embedded venue, reads /api/openapi.json from it, has the document judged by a
validator that is not ours, and then lets schemathesis make requests from it, good and bad ones. No answer
may be a 5xx, and the engine must turn and answer afterwards. The stream is left out: it does not end.

Usage: openapi.py PATH_OF_VELOZ
"""

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

WAIT_S = 60
EXAMPLES = 40
# The stream does not end. Logging in is limited to a few attempts, and nobody logs in here.
LEFT_OUT = ["/api/stream", "/metrics"]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def main(veloz):
    quiet = {name: text for name, text in os.environ.items() if "VELOZ_" not in name}
    engine = subprocess.Popen(
        [veloz, "--no-status", "--set=http.port=0", "--for=900"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=quiet,
    )
    try:
        url = next(
            json.loads(line)["metrics"].removesuffix("/metrics")
            for line in engine.stdout
            if '"metrics"' in line
        )
        # The rest of the log goes nowhere, so that the engine never waits for us.
        drained = subprocess.Popen(["cat"], stdin=engine.stdout, stdout=subprocess.DEVNULL)
        until = time.monotonic() + WAIT_S
        while (get(f"{url}/api/status")[1]["trading"] or {}).get("phase") != "ready":
            if time.monotonic() > until:
                sys.exit("trading was never ready")
            time.sleep(0.1)
        _, document = get(f"{url}/api/openapi.json")
        validate(document)
        with tempfile.TemporaryDirectory() as directory:
            schema = pathlib.Path(directory) / "openapi.json"
            schema.write_text(json.dumps(document))
            tester = pathlib.Path(sys.executable).with_name("schemathesis")
            command = [
                tester,
                "run",
                schema,
                f"--url={url}",
                "--checks=not_a_server_error",
                f"--max-examples={EXAMPLES}",
                "--mode=all",
                "--request-timeout=15",
                "--workers=1",
                *(f"--exclude-path={path}" for path in LEFT_OUT),
            ]
            tested = subprocess.run(command, cwd=directory, check=False)
        if tested.returncode != 0:
            sys.exit("an answer was a 5xx, or the tester could not go on")
        status, body = get(f"{url}/health/live")
        if (status, body["ok"]) != (200, True) or engine.poll() is not None:
            sys.exit("the engine did not survive it")
        print(f"{len(document['paths'])} paths keep to their description")
        drained.kill()
    finally:
        engine.kill()
        engine.wait()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
