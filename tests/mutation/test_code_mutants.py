"""What is changed of a source, and which block a change is in: held against small sources, and against this host."""

from __future__ import annotations

import ast
import builtins

import pytest

from tests.mutation import protocol
from tests.mutation.code_mutants import changes
from tests.mutation.reached import block_of, noting

SOURCE = '''"""A module."""

from __future__ import annotations

from functools import cache

MOST = 20


def admit(used: int, asked: int) -> int:
    if used + asked > MOST and asked:
        raise ValueError
    used += asked
    return min(used, MOST)


@cache
def kept(sql: str) -> str:
    return sql + " WHERE app_id = :app_id AND created_us > :since"
'''


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("compare-1", "asked > MOST", "asked >= MOST"),
        ("and-or-1", "used + asked > MOST and asked", "(used + asked > MOST or asked)"),
        ("guard-1", "if used + asked > MOST and asked:", "if False:"),
        ("increment-1", "used += asked", "pass"),
        ("min-max-1", "min(used, MOST)", "max(used, MOST)"),
    ],
)
def test_a_function_is_changed(kind: str, before: str, after: str) -> None:
    found = {change.id: change.text for change in changes("m.py", SOURCE)}
    assert found[f"m.py:admit:{kind}"] == SOURCE.replace(before, after)


def test_numbers_are_moved_both_ways() -> None:
    found = {change.id: change.text for change in changes("m.py", SOURCE)}
    assert found["m.py::one-more-1"] == SOURCE.replace("20", "(21)")
    assert found["m.py::one-less-1"] == SOURCE.replace("20", "(19)")


def test_words_in_brackets_stay_in_them() -> None:
    source = "def f(a, b, c):\n    return (a or (b)) and not (b or c)\n"
    found = {change.id: change.text for change in changes("m.py", source)}
    assert ast.dump(ast.parse(found["m.py:f:and-or-1"])) == ast.dump(
        ast.parse("def f(a, b, c):\n    return (a or (b)) or not (b or c)\n")
    )


def test_a_statement_to_the_store_is_changed() -> None:
    source = 'def f(tx):\n    tx.execute("SELECT n FROM t WHERE app_id = :app_id AND at_us > :since")\n'
    found = {change.id: change.text for change in changes("m.py", source)}
    assert found["m.py:f:sql-edge-1"] == source.replace("at_us > :since", "at_us >= :since")
    assert found["m.py:f:sql-any-1"] == source.replace("app_id = :app_id", "app_id = app_id")


def test_a_block_is_the_innermost_that_a_line_is_in() -> None:
    lines = SOURCE.splitlines()
    raised, counted = lines.index("        raise ValueError") + 1, lines.index("    used += asked") + 1
    assert block_of("m.py", SOURCE, raised) == f"m.py:{raised}"
    assert block_of("m.py", SOURCE, counted) == f"m.py:{counted - 2}"
    assert block_of("m.py", SOURCE, lines.index("MOST = 20") + 1) is None
    assert block_of("m.py", SOURCE, len(lines)) is None, "its result is kept, so that later cases do not run it"


def test_blocks_that_run_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[str] = set()
    monkeypatch.setattr(builtins, "_reached", reached, raising=False)
    names: dict[str, object] = {}
    exec(compile(noting("m.py", SOURCE), "m.py", "exec"), names)  # noqa: S102
    assert reached == set()
    names["admit"](1, 2)  # type: ignore[operator]
    assert reached == {"m.py:11"}


def test_mutants_of_the_host_compile_and_change_it() -> None:
    found = protocol.generated()
    assert len(found) == protocol.SAMPLE and {mutant.file for mutant in found} == set(protocol.FILES)
    for mutant in found:
        text = (protocol.ROOT / mutant.file).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(mutant.applied(text))) != ast.dump(ast.parse(text)), mutant.id
