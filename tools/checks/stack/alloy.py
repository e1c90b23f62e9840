"""Alloy's configuration, read by its grammar: blocks, attributes and the values that this stack writes.

Owns: Block, Reference, read. Calls, operators and string escapes beyond JSON's are refused, because nothing here needs them.
Does not: know components (configs.py).
"""

import json
import re
from dataclasses import dataclass, field

from .located import Problem

_TOKEN = re.compile(
    r"(?P<skip>[ \t\r]+|//[^\n]*|/\*.*?\*/)|(?P<end>\n)|(?P<string>\"(?:[^\"\\\n]|\\.)*\")|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[{}\[\]=,.])",
    re.S,
)


@dataclass
class Reference:
    """Something that another block exports: a.b.label.field."""

    path: list
    line: int


@dataclass
class Block:
    """A block: its name with dots, its label, what it sets as name to (value, line), and the blocks in it."""

    name: str
    label: str
    line: int
    values: dict = field(default_factory=dict)
    blocks: list = field(default_factory=list)


class _Reader:
    def __init__(self, path):
        self.path, self.tokens, self.at = path, [], 0
        text, place, line = path.read_text(), 0, 1
        while place < len(text):
            found = _TOKEN.match(text, place)
            if not found:
                raise Problem(path, line, f"no Alloy: unexpected {text[place]!r}")
            if found.lastgroup != "skip":
                self.tokens.append((found.lastgroup, found.group(), line))
            line += found.group().count("\n")
            place = found.end()
        self.tokens.append(("eof", "the end of the file", line))

    def next(self, *wanted):
        kind, text, line = self.tokens[self.at]
        if kind not in wanted and text not in wanted:
            raise Problem(self.path, line, f"no Alloy: expected {' or '.join(wanted)}, found {text!r}")
        self.at += 1
        return kind, text, line

    def peek(self):
        return self.tokens[self.at][:2]

    def lines(self):
        while self.peek()[0] == "end":
            self.at += 1

    def names(self):
        parts = [self.next("name")[1]]
        while self.peek()[1] == ".":
            self.next(".")
            parts.append(self.next("name")[1])
        return parts

    def body(self, block, end):
        self.lines()
        while self.peek()[1 if end == "}" else 0] != end:
            line = self.tokens[self.at][2]
            name = ".".join(self.names())
            if self.peek()[1] == "=":
                self.next("=")
                if name in block.values:
                    raise Problem(self.path, line, f"no Alloy: {name} is there twice")
                block.values[name] = (self.value(), line)
            else:
                label = json.loads(self.next("string")[1]) if self.peek()[0] == "string" else ""
                self.next("{")
                inner = Block(name, label, line)
                self.body(inner, "}")
                self.next("}")
                block.blocks.append(inner)
            if self.peek()[1] != "}":
                self.next("end", "eof")
                self.at -= self.peek()[0] == "eof" and self.tokens[self.at - 1][0] == "eof"
            self.lines()

    def value(self):
        kind, text, line = self.next("string", "number", "name", "{", "[")
        if kind in ("string", "number"):
            return json.loads(text)
        if kind == "name":
            self.at -= 1
            path = self.names()
            return {"true": True, "false": False, "null": None}.get(path[0], Reference(path, line)) if len(path) == 1 else Reference(path, line)
        close, members = ("}", {}) if text == "{" else ("]", [])
        self.lines()
        while self.peek()[1] != close:
            if close == "}":
                kind, name, _ = self.next("name", "string")
                self.next("=")
                members[json.loads(name) if kind == "string" else name] = self.value()
            else:
                members.append(self.value())
            # The last of several lines has a comma too.
            if self.peek()[1] != close:
                self.next(",")
                self.lines()
        self.next(close)
        return members


def read(path):
    """The file as a block that holds the others; raises Problem."""
    reader, file = _Reader(path), Block("", "", 1)
    reader.body(file, "eof")
    return file
