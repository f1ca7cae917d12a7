"""docs/refused.md tells of every code that the code can say."""

from __future__ import annotations

import ast

from docs import refused_page, refused_sentences
from host_api.errors import ErrorCode
from runtime.errors import Ending
from tests.style.source import SHIPPED, sources

RAISED_WITH_A_CODE_FIRST = ("RegistryRefused", "StoreError", "PromptError")
INSIDE = frozenset({"deposit_mismatch", "ledger_refused", "not_pending", "insufficient_funds"})
"""Of ledger errors, which payments answer as errors of the host API and nobody else sees."""


def codes(tree: ast.AST) -> set[str]:
    """Every code that a class declares, or an error is raised with."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found |= _texts([keyword.value for keyword in node.keywords if keyword.arg == "code"])
            if isinstance(node.func, ast.Name) and node.func.id in RAISED_WITH_A_CODE_FIRST:
                found |= _texts(node.args[:1])
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                named = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
                value = getattr(line, "value", None)
                if value is not None and any(isinstance(name, ast.Name) and name.id == "code" for name in named):
                    found |= _texts([value])
    return found


def _texts(values: list[ast.expr]) -> set[str]:
    return {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)} - {""}


def told() -> set[str]:
    return {code for _, _, sentences in refused_sentences.SECTIONS for code in sentences}


def test_every_code_has_its_sentences() -> None:
    said = {code for source in sources(*SHIPPED) for code in codes(source.tree)}
    assert said - told() - INSIDE - {code.code for code in ErrorCode} == set()


def test_a_code_that_is_new_is_found() -> None:
    tree = ast.parse('class E(X):\n    code = "new"\nraise Y("m", code="other")\nraise StoreError("third", "m")')
    assert codes(tree) == {"new", "other", "third"}


def test_no_sentence_is_about_a_code_that_nobody_says() -> None:
    said = {code for source in sources(*SHIPPED) for code in codes(source.tree)}
    assert told() - said == set()


def test_every_error_of_a_guest_and_every_ending_is_there() -> None:
    page = refused_page.refused_page()
    assert set(refused_sentences.WHY) == set(ErrorCode) and set(refused_sentences.ENDINGS) == set(Ending)
    for code in [*told(), *(code.code for code in ErrorCode), *Ending]:
        assert f"| `{code}` |" in page
