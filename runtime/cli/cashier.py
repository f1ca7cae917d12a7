"""Who answers for the user when a program asks to be paid, or for consent: the terminal, or a word given beforehand."""

from __future__ import annotations

from typing import final

from host_api.prompts.cashier import Cashier, Decision, TerminalCashier, described
from host_api.prompts.prompt import Prompt
from runtime.cli import report
from runtime.errors import UsageError


@final
class ForetoldCashier:
    """Gives the same answer to every prompt, and tells what it answered."""

    def __init__(self, *, approve: bool) -> None:
        self._approve = approve

    async def confirm(self, prompt: Prompt) -> Decision:
        answer = "approved" if self._approve else "declined"
        report.say(f"{prompt.kind} {answer}: {sentence(prompt)}")
        return Decision.approve(prompt) if self._approve else Decision.decline(prompt)


def sentence(prompt: Prompt) -> str:
    """What is asked, in one line."""
    if prompt.kind == "payment":
        return "{amount_text} to {payee} for {subject}".format_map(prompt.shown)
    return " · ".join(text for name, text in described(prompt) if name != "app_id")


def cashier_of(*, approve: bool, decline: bool, ask: bool, later: bool) -> Cashier | None:
    """None for `later`: prompts are left to a front end. Raises UsageError where more than one was asked for; none is
    `ask`, which without a terminal is a no."""
    if approve + decline + ask + later > 1:
        raise UsageError("--approve, --decline, --ask and --later: one of them, please")
    if later:
        return None
    return ForetoldCashier(approve=approve) if approve or decline else TerminalCashier()
