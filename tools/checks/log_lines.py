#!/usr/bin/env python3
"""Does every line of a real log fit its schema, wherever it is written?

Runs the engine against the embedded venue for some seconds: once with the log on standard output,
once in a directory that is moved away meanwhile and announced with SIGHUP. Each line must be one JSON
object of tools/src/logging/line.schema.json without a key that stands twice, and the lines that a run
cannot do without must be there.

Usage: log_lines.py PATH_OF_VELOZ
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import jsonschema
from stack.verdicts import awaited

SCHEMA = pathlib.Path(__file__).parents[1] / "src/logging/line.schema.json"
EXPECTED = {"started", "link_up", "book_state", "engine_state", "stopped"}
WAIT_S = 30


def without_duplicates(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key stands twice: {keys}")
    return dict(pairs)


def check(validator, lines, expected):
    seen = set()
    for line in lines:
        entry = json.loads(line, object_pairs_hook=without_duplicates)
        errors = [error.message for error in validator.iter_errors(entry)]
        if errors:
            sys.exit(f"{line}: {errors}")
        seen.add(entry.get("event_type"))
    if missing := expected - seen:
        sys.exit(f"no line of {missing} among {len(lines)}")
    return len(lines)


def run(veloz, *arguments):
    quiet = {name: text for name, text in os.environ.items() if "VELOZ_" not in name}
    return subprocess.Popen(
        [veloz, "--set=http.port=0", "--set=log.level=trace", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=quiet,
    )


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    veloz = sys.argv[1]
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    output, _ = run(veloz, "--for=4").communicate(timeout=60)
    count = check(validator, output.splitlines(), EXPECTED)

    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(directory, "logs", "veloz.log")
        moved = log.with_name("moved")
        process = run(veloz, "--for=60", f"--set=log.dir={log.parent}")
        awaited("books", lambda: log.exists() and '"to":"ready"' in log.read_text(), WAIT_S)
        started = [json.loads(line) for line in log.read_text().splitlines()]
        metrics = next(entry["metrics"] for entry in started if "metrics" in entry)
        try:
            urllib.request.urlopen(metrics.removesuffix("/metrics") + "/nothing", timeout=10)
            sys.exit("a path that is none was served")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        awaited("the request's line", lambda: '"http_request"' in log.read_text(), WAIT_S)
        log.rename(moved)
        process.send_signal(signal.SIGHUP)
        awaited("a new file", lambda: log.exists() and "log_reopened" in log.read_text(), WAIT_S)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        if process.returncode != 0 or output:
            sys.exit(f"exit code {process.returncode}, standard output {output!r}")
        lines = moved.read_text().splitlines() + log.read_text().splitlines()
        count += check(validator, lines, EXPECTED | {"http_request", "log_reopened"})
        if log.with_name("veloz-error.ndjson").read_text():
            sys.exit("a run without errors wrote some")
    print(f"{count} lines fit the schema")


if __name__ == "__main__":
    main()
