"""Cashiers: front ends inside the host's own process. One follows a script (tests, simulators), one asks on a terminal.

What lives here: what a cashier is asked and answers. When a prompt opens, and what its answer does, is not decided
here. A front end in another process, or drawn by a platform, is no cashier: it answers through `Desk.answer`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TextIO, final

import trio

from host_api.prompts.prompt import Prompt

_LINE_CHARS_MAX: Final = 256
_TEXT_CHARS_MAX: Final = 200
_TITLES: Final = {"payment": ("Payment", "Pay?"), "consent": ("Permission", "Allow?")}
_NAMES: Final = {"payee": "payee", "amount_text": "amount", "subject": "for", "program": "program", "asks": "for"}
"""What stands before a value of `Prompt.shown`, in this order; the others come after, by their own names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The user's answer, with what it answers to. Made by `approve` or `decline` from the prompt that was shown."""

    approved: bool
    digest: bytes
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if (type(self.approved), type(self.digest), type(self.token)) != (bool, bytes, str):
            raise TypeError("a decision is a boolean, with the digest (bytes) and token (text) of its prompt")

    @classmethod
    def approve(cls, prompt: Prompt) -> Decision:
        return cls(approved=True, digest=prompt.digest, token=prompt.token)

    @classmethod
    def decline(cls, prompt: Prompt) -> Decision:
        return cls(approved=False, digest=prompt.digest, token=prompt.token)


@dataclass(frozen=True, slots=True)
class Later:
    """The user put the prompt aside. Calls that wait for it go on as if their time to wait were over; it stays open,
    for a front end or for a call that asks again."""


class Cashier(Protocol):
    """Asks one user. Many prompts, of different users, are open at once."""

    async def confirm(self, prompt: Prompt) -> Decision | Later:
        """Show the prompt, return the user's answer. It counts at once: a cashier is the host's own code, and sees to
        it that it is answered by somebody who has read it.

        Cancelled when the prompt is withdrawn, answered elsewhere, or over: take it off the screen and let Cancelled
        pass. Whatever else is raised withdraws the prompt and is logged.
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
    """Asks on a terminal: prints what is shown and reads y or N. One prompt at a time; others wait their turn.

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
                self._write(prompt, "no terminal to ask on: declined\n")
                return Decision.decline(prompt)
            self._write(prompt, f"{_titles(prompt)[1]} [y/N] ")
            answer = await trio.to_thread.run_sync(self._source.readline, _LINE_CHARS_MAX, abandon_on_cancel=True)
            if not answer.endswith("\n"):  # Ctrl-D, or more than a line may have: what comes next begins a new one
                self._screen.write("\n")
        return Decision.approve(prompt) if answer.strip().lower() in ("y", "yes") else Decision.decline(prompt)

    def _write(self, prompt: Prompt, question: str) -> None:
        lines = [f"  {name:<8} {text}" for name, text in described(prompt)]
        self._screen.write("\n".join(("", _titles(prompt)[0], *lines, question)))
        self._screen.flush()


def described(prompt: Prompt) -> list[tuple[str, str]]:
    """What a terminal shows of a prompt: names and texts, one line each.

    Subjects, payees and purposes are printable by construction; what is not is shown as ? once more all the same.
    """
    return [(_plain(_NAMES.get(name, name)), _plain(text)) for name, text in _texts(prompt.shown)]


def _texts(shown: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Texts as they stand; of a list of maps the texts of each, in one line. What else there is is for programs:
    whoever made the prompt has drawn it as text too (`amount` as `amount_text`)."""
    for name in (*(name for name in _NAMES if name in shown), *(name for name in shown if name not in _NAMES)):
        value = shown[name]
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, list | tuple):
            for entry in value:
                texts = entry.values() if isinstance(entry, Mapping) else (entry,)
                yield name, ": ".join(text for text in texts if isinstance(text, str))


def _titles(prompt: Prompt) -> tuple[str, str]:
    return _TITLES.get(prompt.kind, ("Question", "Yes?"))


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:_TEXT_CHARS_MAX])
