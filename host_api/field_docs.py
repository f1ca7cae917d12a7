"""What the source says of a struct's fields: the text that stands under each.

Python keeps no docstring of an attribute, so the source is read. Only documents are made of it (docs/generate.py); no
service needs it, and nothing else of the shipped code does.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache


def field_docs(struct: type) -> Mapping[str, str]:
    """Name of the attribute → its docstring on one line, those of base classes too; only attributes that have one.

    Raises OSError where there is no source to read.
    """
    found: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if kind.__module__ in sys.modules and kind.__module__.split(".")[0] not in ("builtins", "msgspec", "typing"):
            found |= _of_module(kind.__module__).get(kind.__qualname__, {})
    return found


@cache
def _of_module(module: str) -> Mapping[str, Mapping[str, str]]:
    """Qualified name of a class → name of an attribute → its docstring."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {name: dict(_attributes(node)) for name, node in _classes(tree, "")}


def _classes(tree: ast.AST, outer: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield outer + node.name, node
            yield from _classes(node, f"{outer}{node.name}.")


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for declared, below in zip(node.body, node.body[1:], strict=False):
        match declared, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(told))):
                yield name, " ".join(told.split())
