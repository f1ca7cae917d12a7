"""No limit is a promise only: each that is declared has a test that hits it from a real guest."""

from __future__ import annotations

import ast
from pathlib import Path

from runtime import Limits, ModuleCaps
from runtime.limits import specs
from tests.hostile.test_module_caps import CAPS

HERE = Path(__file__).parent


def names_of_tests(prefix: str) -> set[str]:
    """What follows the prefix in the names of this folder's test functions."""
    names = set()
    for path in HERE.glob("test_limits_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith(prefix):
                names.add(node.name.removeprefix(prefix))
    return names


def test_every_limit_is_met_by_a_guest() -> None:
    assert names_of_tests("test_limit_") == set(specs(Limits))


def test_every_cap_is_met_by_a_module() -> None:
    assert set(CAPS) == set(specs(ModuleCaps))
