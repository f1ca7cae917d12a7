"""The two cashiers."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TextIO

import pytest
import trio
import trio.testing

from host_api.prompts.cashier import Decision, ScriptedCashier, TerminalCashier, described
from host_api.prompts.prompt import Prompt

PROMPT = Prompt(
    id="p1",
    kind="payment",
    app_id="shop",
    user="alice",
    about="o1",
    shown={
        "payee": "Example Shop",
        "amount_text": "12.50 CNY",
        "subject": "Fruit basket",
        "amount": {"amount": 1250, "currency": "CNY"},
    },
    digest=bytes(32),
    opened_us=0,
    expires_us=1,
    token="t",
)


async def test_a_script_answers_in_order_and_then_no() -> None:
    cashier = ScriptedCashier([True, False])
    assert [(await cashier.confirm(PROMPT)).approved for _ in range(3)] == [True, False, False]
    assert cashier.shown == [PROMPT] * 3


async def test_a_script_may_look_at_the_prompt() -> None:
    cashier = ScriptedCashier(lambda prompt: prompt.shown["payee"] == "Example Shop")
    assert (await cashier.confirm(PROMPT)).approved
    assert not (await cashier.confirm(replace(PROMPT, shown={"payee": "Another"}))).approved


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """A pseudo-terminal: what a user types into, and the program's end of it."""
    user, program = os.openpty()
    with os.fdopen(program, "r", encoding="utf-8") as source:
        yield user, source
    os.close(user)


@pytest.mark.parametrize(
    ("typed", "approved"),
    [
        ("y\n", True),
        ("YES\n", True),
        ("\n", False),
        ("n\n", False),
        ("yy\n", False),
        ("\x04", False),
        ("y" * 999 + "\n", False),
    ],
)
async def test_the_terminal_takes_only_a_clear_yes(terminal: tuple[int, TextIO], typed: str, approved: bool) -> None:
    user, source = terminal
    screen = io.StringIO()
    os.write(user, typed.encode())
    decision = await TerminalCashier(source=source, screen=screen).confirm(PROMPT)
    assert (decision.approved, decision.token, decision.digest) == (approved, "t", bytes(32))
    for shown in ("Example Shop", "12.50 CNY", "Fruit basket", "[y/N]"):
        assert shown in screen.getvalue()
    assert PROMPT.token not in screen.getvalue().split()
    assert screen.getvalue().endswith("[y/N] " if typed.endswith("\n") and len(typed) < 256 else "[y/N] \n")


async def test_without_a_terminal_the_answer_is_no() -> None:
    screen = io.StringIO()
    assert not (await TerminalCashier(source=io.StringIO("y\n"), screen=screen).confirm(PROMPT)).approved
    assert "declined" in screen.getvalue()


async def test_nothing_on_the_screen_is_an_escape(terminal: tuple[int, TextIO]) -> None:
    user, source = terminal
    screen = io.StringIO()
    os.write(user, b"n\n")
    await TerminalCashier(source=source, screen=screen).confirm(
        replace(PROMPT, shown={"payee": "A\x1b[2J\nB\u202e", "subject": "x\r"})
    )
    assert "\x1b" not in screen.getvalue()
    assert "A?[2J?B?" in screen.getvalue()


async def test_one_question_at_a_time(terminal: tuple[int, TextIO]) -> None:
    user, source = terminal
    screen = io.StringIO()
    cashier = TerminalCashier(source=source, screen=screen)
    answers: list[bool] = []

    async def ask() -> None:
        answers.append((await cashier.confirm(PROMPT)).approved)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert screen.getvalue().count("[y/N]") == 1
        os.write(user, b"y\nn\n")
    assert answers == [True, False]


def test_any_prompt_can_be_told_in_lines() -> None:
    asks = [{"covers": "your phone number", "purpose": "To call you", "record": {"scopes": ["phone"]}}, {"covers": "x"}]
    consent = replace(PROMPT, kind="consent", shown={"program": "Example Shop", "asks": asks, "valid_us": 1})
    assert described(consent) == [
        ("program", "Example Shop"),
        ("for", "your phone number: To call you"),
        ("for", "x"),
    ]
    assert [name for name, _ in described(PROMPT)] == ["payee", "amount", "for"]


@pytest.mark.parametrize("wrong", [{"token": None}, {"digest": "text"}, {"approved": 1}])
def test_a_decision_is_what_it_says(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        replace(Decision.approve(PROMPT), **wrong)
