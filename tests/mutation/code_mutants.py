"""Mutants of the host's own source: a comparison moved by one, a number one off, `and` for `or`, a guard or an
increment left out, the smaller of two for the larger, an edge or a condition of a statement to the store moved.

What lives here: how a file's text is changed. Which files, and what notices, is in protocol.py.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_MOVED = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "=="}
_SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_OTHER = {"min": "max", "max": "min", "and": "or", "or": "and", "<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_SQL = re.compile(r'f?"\s*(SELECT|UPDATE|INSERT|DELETE|WHERE|AND|ORDER BY|FROM)\b')
_SQL_EDGE = re.compile(r" (<=|>=|<|>) (?=[:?])")
_SQL_OWNER = re.compile(r"\b(\w+) = :\w+")
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
Nodes = list[tuple[ast.AST, str]]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a file. `id` stays the same while the function it is in does."""

    id: str
    line: int
    """From 1, in the file as it is."""
    was: str
    """The line as it is."""
    text: str
    """The whole file, changed."""


def changes(name: str, text: str) -> Iterator[Change]:
    """All of them, in an order of their own."""
    data, lines = text.encode(), text.splitlines()
    counted: Counter[str] = Counter()
    for start, end, instead, kind, where in _edits(text):
        changed = (data[:start] + instead.encode() + data[end:]).decode()
        line = data[:start].count(b"\n") + 1
        what = f"{name}:{where}:{kind}"
        counted[what] += 1
        yield Change(f"{what}-{counted[what]}", line, lines[line - 1].strip(), changed)


Edit = tuple[int, int, str, str, str]
"""From which byte to which, what stands there instead, what kind of a change it is, and in which function."""


def _edits(text: str) -> Iterator[Edit]:
    begins = [0]
    for line in text.encode().splitlines(keepends=True):
        begins.append(begins[-1] + len(line))

    def at(node: ast.AST, end: bool = False) -> int:
        line, column = (node.end_lineno, node.end_col_offset) if end else (node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return int(begins[line - 1] + column)

    source = text.encode()
    for node, where in _nodes(ast.parse(text)):
        start, end = at(node), at(node, end=True)
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _MOVED:
                if source[at(left, end=True) : at(right)].decode().strip() == _SIGNS[type(op)]:
                    yield at(left, end=True), at(right), f" {_MOVED[type(op)]} ", "compare", where
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                yield start, end, f"({value + 1})", "one-more", where
                if value > 1:
                    yield start, end, f"({value - 1})", "one-less", where
            case ast.BoolOp(values=[first, *others]):
                told, before = source[start : at(first, end=True)].decode(), at(first, end=True)
                for one in others:
                    told += _swapped(source[before : at(one)].decode()) + source[at(one) : at(one, end=True)].decode()
                    before = at(one, end=True)
                yield start, end, f"({told}{source[before:end].decode()})", "and-or", where
            case ast.If(test=test, body=[*_, ast.Raise() | ast.Return()], orelse=[]):
                if not any(isinstance(one, ast.NamedExpr) for one in ast.walk(test)):
                    yield at(test), at(test, end=True), "False", "guard", where
            case ast.AugAssign():
                yield start, end, "pass", "increment", where
            case ast.Call(func=ast.Name(id="min" | "max" as which) as called):
                yield at(called), at(called, end=True), _OTHER[which], "min-max", where
    yield from _sql_edits(text, begins)


def _swapped(gap: str) -> str:
    """What stands between two operands, brackets too, with the other word."""
    return re.sub(r"\b(and|or)\b", lambda found: _OTHER[found[1]], gap, count=1)


def _sql_edits(text: str, begins: list[int]) -> Iterator[Edit]:
    """Lines that are a piece of a statement: an edge moved; whose row it is, not asked."""
    functions = [(node, where) for node, where in _nodes(ast.parse(text)) if isinstance(node, _FUNCTION)]
    for number, line in enumerate(text.splitlines()):
        if _SQL.search(line) is None:
            continue
        where = next((name for one, name in functions if one.lineno <= number < (one.end_lineno or 0)), "")
        for found in _SQL_EDGE.finditer(line):
            start = begins[number] + len(line[: found.start(1)].encode())
            yield start, start + len(found[1]), _OTHER[found[1]], "sql-edge", where
        for found in _SQL_OWNER.finditer(line):
            start = begins[number] + len(line[: found.start()].encode())
            yield start, start + len(found[0].encode()), f"{found[1]} = {found[1]}", "sql-any", where


def _nodes(tree: ast.Module) -> Nodes:
    """Each node that runs, with the name of the function or class it is in. Left out is what says
    no bound: annotations, texts with values in them, and which item of a row is meant."""
    found: Nodes = []

    def visit(node: ast.AST, where: str) -> None:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_comment"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr) or name == "slice":
                    continue
                named = isinstance(child, (*_FUNCTION, ast.ClassDef))
                inside = ".".join(filter(None, (where, getattr(child, "name", "")))) if named else where
                if hasattr(child, "lineno"):
                    found.append((child, inside))
                visit(child, inside)

    visit(tree, "")
    return found
