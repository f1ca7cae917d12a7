"""The cashier: where a user sees what is to be paid, and says yes or no. Only the host can answer for it.

What lives here: what a cashier is shown and answers, and two cashiers: one that follows a script (tests,
simulators) and one on a terminal (command line, development). When one opens, and what its answer does, is not
decided here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol, TextIO, final

import trio

_LINE_CHARS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a cashier draws. All of it comes from the host's records; only `subject` is the guest's, and it is clean.

    A front end shows `payee`, `amount_text` and `subject` apart from each other, and hands `digest` and `token` back.
    """

    order_id: str
    app_id: str
    user: str
    payee: str
    amount_text: str
    """The amount with its currency, as a person reads it; drawn by the host with the currency's exponent."""
    subject: str
    digest: bytes
    """SHA-256 over order, version, amount, currency and payee: what the yes is about."""
    token: str = field(repr=False)
    """256 random bits, good for one answer. Whoever has it can answer: it goes to the user's front end only."""
    expires_us: int
    """From then on no answer counts; µs since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The user's answer, with what it answers to. Made by `approve` or `decline` from the prompt that was shown."""

    approved: bool
    digest: bytes
    token: str = field(repr=False)

    @classmethod
    def approve(cls, prompt: Prompt) -> Decision:
        return cls(approved=True, digest=prompt.digest, token=prompt.token)

    @classmethod
    def decline(cls, prompt: Prompt) -> Decision:
        return cls(approved=False, digest=prompt.digest, token=prompt.token)


class Cashier(Protocol):
    """Asks one user. Many prompts, of different users, are open at once."""

    async def confirm(self, prompt: Prompt) -> Decision:
        """Show the prompt, return the user's answer.

        Cancelled when the prompt is withdrawn or its time is over: take it off the screen and let Cancelled pass.
        Whatever else is raised withdraws the prompt and is logged.
        """
        ...


Script = Callable[[Prompt], bool]


@final
class ScriptedCashier:
    """Answers by a script and remembers what it was shown: the cashier of tests and simulators.

    `script`: True (yes) and False (no), one a prompt, or a function of the prompt. A list that has run out answers
    no. With `hold()` prompts stay open until `release()`.
    """

    def __init__(self, script: Iterable[bool] | Script = ()) -> None:
        if callable(script):
            self._answer: Script = script
        else:
            answers = iter(script)
            self._answer = lambda _: next(answers, False)
        self.shown: list[Prompt] = []
        """Every prompt, in the order they opened."""
        self._released = trio.Event()
        self._released.set()

    def hold(self) -> None:
        """Let the prompts that open from now on wait, as a user who thinks."""
        self._released = trio.Event()

    def release(self) -> None:
        """Let every prompt that waits be answered."""
        self._released.set()

    async def confirm(self, prompt: Prompt) -> Decision:
        self.shown.append(prompt)
        await self._released.wait()
        return Decision.approve(prompt) if self._answer(prompt) else Decision.decline(prompt)


@final
class TerminalCashier:
    """Asks on a terminal: prints what is to be paid and reads y or N. One prompt at a time; others wait their turn.

    No terminal, end of input, or anything but y or yes is a no. A prompt that is cancelled leaves its question
    standing: a terminal's read cannot be taken back, and the next line typed answers nothing.
    """

    def __init__(self, *, source: TextIO | None = None, screen: TextIO | None = None) -> None:
        """`source`, `screen`: default to standard input and standard error (standard output carries results)."""
        self._source = sys.stdin if source is None else source
        self._screen = sys.stderr if screen is None else screen
        self._turn = trio.Lock()

    async def confirm(self, prompt: Prompt) -> Decision:
        async with self._turn:
            if not self._source.isatty():
                self._show(prompt, "no terminal to ask on: declined\n")
                return Decision.decline(prompt)
            self._show(prompt, "Pay? [y/N] ")
            answer = await trio.to_thread.run_sync(self._source.readline, _LINE_CHARS_MAX, abandon_on_cancel=True)
        return Decision.approve(prompt) if answer.strip().lower() in ("y", "yes") else Decision.decline(prompt)

    def _show(self, prompt: Prompt, question: str) -> None:
        """Subject and payee are printable by construction; a terminal's escapes are stripped once more all the same."""
        lines = [
            f"  {name:<8}{_plain(value)}"
            for name, value in (("payee", prompt.payee), ("amount", prompt.amount_text), ("for", prompt.subject))
        ]
        self._screen.write("\n".join(("", "Payment", *lines, question)))
        self._screen.flush()


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:200])
