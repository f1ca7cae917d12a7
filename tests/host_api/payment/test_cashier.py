"""The two cashiers."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

import pytest
import trio
import trio.testing

from host_api.payment.cashier import Prompt, ScriptedCashier, TerminalCashier

PROMPT = Prompt(
    order_id="o1",
    app_id="shop",
    user="alice",
    payee="Example Shop",
    amount_text="12.50 CNY",
    subject="Fruit basket",
    digest=bytes(32),
    token="t",
    expires_us=1,
)


async def test_a_script_answers_in_order_and_then_no() -> None:
    cashier = ScriptedCashier([True, False])
    assert [(await cashier.confirm(PROMPT)).approved for _ in range(3)] == [True, False, False]
    assert cashier.shown == [PROMPT] * 3


async def test_a_script_may_look_at_the_prompt() -> None:
    cashier = ScriptedCashier(lambda prompt: prompt.payee == "Example Shop")
    assert (await cashier.confirm(PROMPT)).approved
    assert not (await cashier.confirm(replace(PROMPT, payee="Another"))).approved


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


async def test_without_a_terminal_the_answer_is_no() -> None:
    screen = io.StringIO()
    assert not (await TerminalCashier(source=io.StringIO("y\n"), screen=screen).confirm(PROMPT)).approved
    assert "declined" in screen.getvalue()


async def test_nothing_on_the_screen_is_an_escape(terminal: tuple[int, TextIO]) -> None:
    user, source = terminal
    screen = io.StringIO()
    os.write(user, b"n\n")
    await TerminalCashier(source=source, screen=screen).confirm(
        replace(PROMPT, payee="A\x1b[2J\nB\u202e", subject="x\r")
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
