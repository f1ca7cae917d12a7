"""Which cases of the conformance suite reach which lines of the host: a mutant is played against those alone.

What lives here: a copy of the host that notes which blocks it runs, and the suite played on it once. A block is what
runs as a whole: the body of a function, of a loop, of an `if`.
"""

from __future__ import annotations

import ast
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from tests.conformance.suite.case import Case
from tests.conformance.suite.expand import expand
from tests.conformance.suite.target import Target

NOTING = "import builtins\n_reached = builtins.__dict__.setdefault('_reached', set())\n"
PLAYER = """
import builtins, json, sys
reached = builtins._reached = set()
from runtime.target.play import play_lines
def write(line):
    told = {"steps": [], "reached": sorted(reached)}
    reached.clear()
    print(json.dumps(told), flush=True)
play_lines(sys.stdin.buffer, write)
"""
CACHED = ("cache", "lru_cache", "cached_property")


def cases_of_blocks(folder: Path, files: Collection[str], cases: Iterable[Case], guests: Path) -> dict[str, list[str]]:
    """Block (`file:line`) → ids of the cases that run it. `folder` holds a copy of the host, and is changed."""
    for name in files:
        file = folder / name
        text = noting(name, file.read_text(encoding="utf-8"))
        file.unlink()  # it may be a link
        file.write_text(text, encoding="utf-8")
    (folder / "player.py").write_text(PLAYER)
    found: dict[str, list[str]] = {}
    with Target(shlex.join(("env", f"PYTHONPATH={folder}", sys.executable, str(folder / "player.py")))) as target:
        for case in cases:
            for block in target.play(expand(case, guests).message)["reached"]:
                found.setdefault(block, []).append(case.id)
    return found


def block_of(name: str, text: str, line: int) -> str | None:
    """The innermost block that the line is in; None where it runs when the module is read, or its result is kept."""
    inside = [body for body in _blocks(ast.parse(text)) if body[0].lineno <= line <= (body[-1].end_lineno or 0)]
    return f"{name}:{max(body[0].lineno for body in inside)}" if inside else None


def blocks_of(name: str, text: str, line: int, sources: Mapping[str, str]) -> set[str] | None:
    """What has to run for a change of this line to be noticed: its block; of a value of the module, every block that
    uses it. None where nobody can say: another file of `sources` imports it, or it is used where the module is read."""
    if (block := block_of(name, text, line)) is not None:
        return {block}
    tree = ast.parse(text)
    given = {node: target for node in tree.body if (target := _assigned(node)) is not None}
    names = {target for node, target in given.items() if node.lineno <= line <= (node.end_lineno or 0)}
    while more := {target for node, target in given.items() if _mentions(node, names)} - names:
        names |= more
    module = name.removesuffix(".py").replace("/", ".")
    if not names or any(_imports(other, module, names) for file, other in sources.items() if file != name):
        return None
    found = {
        block_of(name, text, node.lineno)
        for statement in tree.body if statement not in given
        for node in ast.walk(statement) if isinstance(node, ast.Name) and node.id in names
    }  # fmt: skip
    return None if None in found or not found else {block for block in found if block}


def _assigned(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return None


def _mentions(statement: ast.stmt, names: Collection[str]) -> bool:
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(statement))


def _imports(text: str, module: str, names: Collection[str]) -> bool:
    """Any of the names, or the module as a whole."""
    if module not in text and f"import {module.rpartition('.')[2]}" not in text:
        return False
    parent, _, last = module.rpartition(".")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            imported = {one.name for one in node.names}
            if (node.module == module and imported & {*names}) or (node.module == parent and last in imported):
                return True
    return False


def noting(name: str, text: str) -> str:
    """The source with a note at the beginning of each block."""
    tree = ast.parse(text)
    for body in list(_blocks(tree)):
        body.insert(0, ast.parse(f"_reached.add('{name}:{body[0].lineno}')").body[0])
    after = next(n for n, one in enumerate(tree.body) if not _stands_first(one))
    tree.body[after:after] = ast.parse(NOTING).body
    return ast.unparse(tree)


def _stands_first(statement: ast.stmt) -> bool:
    """A docstring, or an import from __future__."""
    return isinstance(statement, ast.Expr) or getattr(statement, "module", "") == "__future__"


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not any(_name(one) in CACHED for one in node.decorator_list):
                yield from _inside(node)
        elif isinstance(node, ast.ClassDef | ast.If):
            yield from _blocks(node)


def _name(decorator: ast.expr) -> str:
    while isinstance(decorator, ast.Call):
        decorator = decorator.func
    return decorator.id if isinstance(decorator, ast.Name) else getattr(decorator, "attr", "")


def _inside(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for child in ast.walk(node):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(child, field, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                yield body
