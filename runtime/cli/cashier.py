"""Who answers for the user when a program asks to be paid: the terminal, or a word given beforehand."""

from __future__ import annotations

from typing import final

from host_api.payment.cashier import Cashier, Decision, Prompt, TerminalCashier
from runtime.cli import report
from runtime.errors import UsageError


@final
class ForetoldCashier:
    """Gives the same answer to every prompt, and tells what it answered."""

    def __init__(self, *, approve: bool) -> None:
        self._approve = approve

    async def confirm(self, prompt: Prompt) -> Decision:
        answer = "approved" if self._approve else "declined"
        report.say(f"payment {answer}: {prompt.amount_text} to {prompt.payee} for {prompt.subject}")
        return Decision.approve(prompt) if self._approve else Decision.decline(prompt)


def cashier_of(approve: bool, decline: bool, ask: bool) -> Cashier:
    """Raises UsageError where more than one was asked for; none is `ask`, which without a terminal is a no."""
    if approve + decline + ask > 1:
        raise UsageError("--approve, --decline and --ask: one of them, please")
    return ForetoldCashier(approve=approve) if approve or decline else TerminalCashier()
