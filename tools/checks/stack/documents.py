"""Documents beside the runbooks: their queries, those in links to Prometheus, and that secrets are read as their owner.

Owns: check. Does not: read runbooks (runbooks.py) or the guide (conformance.py).
"""

import re
import urllib.parse

from . import runbooks
from .located import ROOT, Problem

FOLDERS = ("docker", "systemd", "config", "scripts", "docker/runbooks", "docker/clients")
# A link that Prometheus draws a graph of.
GRAPH = re.compile(r"/graph\?(g0\.expr=[^\s>]+)")
# make-secrets.sh leaves its folder to root alone, so that a shell of anybody else opens nothing in it.
SECRET = re.compile(r"docker/secrets/[a-z_]+\b")


def check(catalogue):
    """Problems of the documents, and of what docker/demo.sh prints."""
    problems, queries = [], 0
    paths = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md")))]
    for path in [*paths, ROOT / "docker" / "demo.sh"]:
        text = path.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            for link in GRAPH.findall(line):
                # Markdown's own parenthesis around a link.
                if link.count(")") > link.count("("):
                    link = link.removesuffix(")")
                (query,) = urllib.parse.parse_qs(link)["g0.expr"]
                queries += 1
                problems += runbooks.query(path, number, query, catalogue)
        if path.suffix != ".md":
            continue
        for language, line, body in runbooks.blocks(text):
            for offset, row in enumerate(body):
                if language == "promql" and row.strip() and not row.startswith("#") and path.parent.name != "runbooks":
                    queries += 1
                    problems += runbooks.query(path, line + offset, row, catalogue)
                elif language == "sh" and SECRET.search(row) and "sudo " not in row:
                    problems.append(Problem(path, line + offset, f"root alone reads docker/secrets: {row}"))
    if not queries:
        problems.append(Problem(ROOT / "docker" / "demo.sh", 1, "no query was found in any document"))
    return problems
