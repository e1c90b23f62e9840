"""YAML and JSON that remember where each value stands, and the problems found in them.

Owns: Map, Seq, load, Problem. Does not: know what a file means. JSON is read as YAML, which it is a part of, after
json itself has accepted it.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import yaml

# libyaml reads ten times as fast as Python does.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Another folder for the tests of these checks, which break copies of the files.
ROOT = Path(os.environ.get("STACK_ROOT") or Path(__file__).resolve().parents[3]).resolve()


@dataclass
class Problem(Exception):
    """Something wrong at a place."""

    path: Path
    line: int
    text: str

    def __str__(self):
        path = self.path
        if path.is_absolute() and path.is_relative_to(ROOT):
            path = path.relative_to(ROOT)
        return f"{path}:{self.line}: {self.text}"


class Map(dict):
    """A mapping; `line` is its own, `lines[key]` that of a key's value, `key_lines[key]` that of the key."""

    line = 0
    lines: dict
    key_lines: dict


class Seq(list):
    """A sequence; `line` is its own, `lines[i]` that of an item."""

    line = 0
    lines: list


def _built(node, loader):
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        out = Map()
        out.line, out.lines, out.key_lines = line, {}, {}
        own = [key.value for key, _ in node.value]
        for key_node, _ in node.value:
            if own.count(key_node.value) > 1:
                raise yaml.MarkedYAMLError(problem=f"key {key_node.value!r} is there twice", problem_mark=key_node.start_mark)
        # What `<<` brings in comes first, so that a mapping's own keys stand.
        loader.flatten_mapping(node)
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            out[key] = _built(value_node, loader)
            out.lines[key] = value_node.start_mark.line + 1
            out.key_lines[key] = key_node.start_mark.line + 1
        return out
    if isinstance(node, yaml.SequenceNode):
        out = Seq(_built(item, loader) for item in node.value)
        out.line, out.lines = line, [item.start_mark.line + 1 for item in node.value]
        return out
    return loader.construct_object(node, deep=True)


def load_all(path):
    """The documents of a YAML or JSON file; raises Problem."""
    text = Path(path).read_text()
    if str(path).endswith(".json"):
        try:
            json.loads(text)
        except json.JSONDecodeError as fault:
            raise Problem(Path(path), fault.lineno, f"no JSON: {fault.msg}") from None
    loader = Loader(text)
    documents = []
    try:
        while loader.check_node():
            documents.append(_built(loader.get_node(), loader))
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line = mark.line + 1 if mark else 1
        raise Problem(Path(path), line, f"no YAML: {fault.problem}") from None
    finally:
        loader.dispose()
    return documents


def load(path):
    """The only document of a file; raises Problem."""
    documents = load_all(path)
    if len(documents) != 1:
        raise Problem(Path(path), 1, f"{len(documents)} documents, expected one")
    return documents[0]
