"""Whether every heading, table row, variable, command and block of the monitoring guide is somewhere, and what proves it.

Owns: check, items. The answers stand in docker/conformance.tsv, one line an item; docker/CONFORMANCE.md is written from it
(`--write`). The guide itself is no part of the project: where it lies beside it, or where VELOZ_GUIDE says, it is taken
apart and compared with the answers, item by item. Does not: run the proofs, which other stages and tests do.

Usage: python -m stack.conformance [--write] (in tools/checks)
"""

import os
import re
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path

from . import guide_tables
from .located import ROOT, Problem

TABLE = ROOT / "docker" / "conformance.tsv"
PAGE = ROOT / "docker" / "CONFORMANCE.md"
# Taken out of the environment, because an engine that is started here refuses variables of its prefix that it does not know.
NAMED = os.environ.pop("VELOZ_GUIDE", None)
BESIDE = ROOT / ".." / "shared" / "contract" / "monitoring-guide.md"
COLUMNS = ["kind", "item", "where", "proof", "grade"]
KINDS = {
    "heading": "Headings",
    "row": "Table rows",
    "variable": "Variables",
    "command": "Commands",
    "query": "Queries and recordings",
    "script": "Scripts",
    "block": "Other blocks",
}
GRADES = {
    "run": "the engine itself, or the tool that the file is for, runs it",
    "parsed": "that tool's grammar reads it, and what it names exists; the tool cannot be had in a test",
    "schema": "a schema, or a comparison with another file, says so",
    "prose": "nothing to run: a sentence, a picture or a list of links",
    "in part": "run, and something differs or is missing: the proof's `but` says what",
    "not built": "it is not there; the line says why",
}
SHELLS = {"bash", "sh"}
QUERIES = {"promql", "logql"}


def items(text):
    """The guide's items as (kind, key, line), in order. A key is the innermost heading and what names the item under it."""
    found = []
    chapter = title = ""
    # Where in the text this is: in a fence, below a table's head, in a list of variables.
    fenced = in_table = in_variables = False
    language, start, body = "", 0, []
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"^\s*```(\w*)\s*$", line)
        if mark and not fenced:
            fenced, language, start, body = True, mark.group(1), number, []
            continue
        if mark:
            fenced = False
            found += _fenced(title, language, start, body)
            continue
        if fenced:
            body.append(line)
            continue
        heading = re.match(r"^(#{1,6}) (.*)$", line)
        if heading:
            name = _plain(heading.group(2))
            # Names that are there more than once are told apart by the chapter.
            if len(heading.group(1)) == 2:
                chapter = name
            title = name if len(heading.group(1)) <= 2 else f"{chapter} / {name}"
            found.append(("heading", title, number))
            continue
        if line.startswith("|"):
            cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            # Neither its head nor the line below that.
            if in_table and not set(line) <= set("|-: "):
                found.append(("row", f"{title} / {cells[0]} / {cells[1]}", number))
            in_table = True
            continue
        in_table = False
        if line.startswith("**Template Variables"):
            in_variables = True
        elif in_variables and line.startswith("- `"):
            found.append(("variable", f"{title} / {line.split('`')[1]}", number))
        elif line:
            in_variables = False
    seen = set()
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r"(?<![A-Za-z0-9_])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![A-Za-z0-9_])", line):
            if name not in seen:
                seen.add(name)
                found.append(("variable", name, number))
    return found


def _plain(text):
    return text.strip().replace("\\|", "|").replace("`", "").replace("**", "").replace("\t", " ")


def _fenced(title, language, start, body):
    if language in SHELLS and body and body[0].startswith("#!"):
        name = re.match(r"# (.*)", body[1])
        return [("script", f"{title} / {name.group(1)}", start)]
    if language in QUERIES:
        text = "\n".join("" if line.startswith("#") else line for line in body)
        lines = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
        return [("query", f"{title} / {line}", start) for line in lines]
    recorded = [("query", f"{title} / {line}", start) for line in body if re.fullmatch(r"veloz:[a-z0-9:_]+", line)]
    if recorded:
        return recorded
    if language not in SHELLS:
        first = next((line.strip() for line in body if line.strip()), "")
        return [("block", f"{title} / {language or 'text'} / {first}", start)]
    commands, whole, begun = [], "", 0
    quoted = False
    for offset, line in enumerate(body, 1):
        if not whole and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun = begun or start + offset
        whole = f"{whole} {line.strip()}".strip()
        quoted = whole.count("'") % 2 == 1
        if whole.endswith("\\"):
            whole = whole[:-1].strip()
        elif not quoted:
            commands.append(("command", f"{title} / {whole}", begun))
            whole, begun = "", 0
    return commands


def answers():
    """The lines of the table as (line, dict)."""
    lines = TABLE.read_text().splitlines()
    if lines[0].split("\t") != COLUMNS:
        raise Problem(TABLE, 1, f"its columns are {COLUMNS}")
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != len(COLUMNS) or not all(cell.strip() for cell in cells):
            raise Problem(TABLE, number, f"expected {len(COLUMNS)} cells, none of them empty")
        yield number, dict(zip(COLUMNS, cells, strict=True))


def check():
    """Problems of the table, of the page made of it, and of what the guide has and the table has not."""
    problems = []
    rows = list(answers())
    seen = set()
    for number, row in rows:
        problems += [Problem(TABLE, number, text) for text in _row(row)]
        key = (row["kind"], row["item"])
        if key in seen:
            problems.append(Problem(TABLE, number, f"{row['item']} is there twice"))
        seen.add(key)
    if not PAGE.is_file() or PAGE.read_text() != page(rows):
        problems.append(Problem(PAGE, 1, "is not what the table says: run python -m stack.conformance --write in tools/checks"))
    text = guide()
    if text is not None:
        problems += _against(text, rows)
        problems += guide_tables.check(text)
    return problems


def guide():
    """The path of the guide, or None where it is not."""
    path = Path(NAMED or BESIDE)
    if path.is_file():
        return path
    if NAMED:
        raise Problem(path, 1, "VELOZ_GUIDE names no file")
    return None


def _row(row):
    if row["kind"] not in KINDS:
        yield f"unknown kind {row['kind']}"
    if row["grade"] not in GRADES:
        yield f"unknown grade {row['grade']}, expected one of {', '.join(GRADES)}"
    if row["grade"] == "not built":
        # Where it would be, or nowhere; the proof is the reason.
        if row["where"] != "nowhere":
            yield "what is not built is nowhere"
        return
    if (row["grade"] == "in part") != ("; but " in row["proof"]):
        yield "what is there in part says what is not: a last part of the proof that begins with `but`, and nothing else does"
    for cell in ("where", "proof"):
        for part in row[cell].partition("; but ")[0].split("; "):
            fault = named(part)
            if fault:
                yield f"{cell}: {fault}"


@lru_cache(maxsize=None)
def _text(path):
    return path.read_text() if path.is_file() else None


def named(part):
    """What is wrong with `path` or `path::name`, or None. In Rust a name is a test, or any other text in quotes."""
    path, _, name = part.partition("::")
    file = ROOT / path
    if not name:
        return None if file.exists() else f"{path} does not exist"
    text = _text(file)
    if text is None:
        return f"{path} does not exist"
    if name.startswith('"'):
        good = name.strip('"') in text
    elif path.endswith(".rs"):
        good = re.search(rf"^\s*(?:async )?fn {re.escape(name)}\(", text, re.M) and ("#[test]" in text or "proptest!" in text)
    elif path.endswith(".py"):
        good = re.search(rf"^(?:def|class) {re.escape(name)}\b", text, re.M)
    elif path.endswith(".tsv"):
        good = any(line.startswith(f"{name}\t") for line in text.splitlines())
    elif path.endswith("_test.yml"):
        good = re.search(rf"^  - name: {re.escape(name)}$", text, re.M)
    else:
        good = re.search(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])", text)
    return None if good else f"{path} has no {name}"


def _against(path, rows):
    wanted = items(path.read_text())
    places = {(row["kind"], row["item"]): number for number, row in rows}
    for kind, key, line in wanted:
        if (kind, key) not in places:
            yield Problem(path, line, f"{kind} {key!r} has no line in {TABLE.relative_to(ROOT)}")
    there = {(kind, key) for kind, key, _ in wanted}
    for key, number in places.items():
        if key not in there:
            yield Problem(TABLE, number, f"{key[0]} {key[1]!r} is not in the guide")


def page(rows):
    """docker/CONFORMANCE.md."""
    counts = Counter((row["kind"], row["grade"]) for _, row in rows)
    out = [
        "# The monitoring guide, item by item",
        "",
        "Where each heading, table row, variable, command and block of the guide is, and what proves it. Written from",
        "`conformance.tsv` by `python -m stack.conformance --write` (in `tools/checks`), which also checks that every file and test",
        "named here exists, and, where the guide lies beside the project, that no item of it is missing.",
        "",
        "| grade | meaning |",
        "| --- | --- |",
        *(f"| {name} | {meaning} |" for name, meaning in GRADES.items()),
        "",
        "| | " + " | ".join(GRADES) + " |",
        "| --- |" + " --- |" * len(GRADES),
        *(f"| {title} | " + " | ".join(str(counts[kind, grade]) for grade in GRADES) + " |" for kind, title in KINDS.items()),
    ]
    for kind, title in KINDS.items():
        out += ["", f"## {title}", "", "| item | where | proof | grade |", "| --- | --- | --- | --- |"]
        out += [
            "| " + " | ".join([_code(row["item"]), _code(row["where"]), _code(row["proof"]), row["grade"]]) + " |"
            for _, row in rows
            if row["kind"] == kind
        ]
    return "\n".join(out) + "\n"


def _code(text):
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def main():
    """Writes the page, or prints problems."""
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(list(answers())))
    problems = list(check())
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
