"""The open prompts that this process knows of: who waits for them here, and who shows them here.

What lives here: memory only, and nothing that decides. The store says which prompts there are; this is where tasks meet
until one of them, whichever it is, has ended a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import trio

from host_api.capability import Authority
from host_api.prompts.prompt import Prompt

_LOOKED_AT = 2
"""Of the oldest, each time one is added: more go than come, so that what others ended does not stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What `Desk.ask` gives: the prompt, and whether it was open before (then it was asked for again, and joined)."""

    prompt: Prompt
    joined: bool


class OpenPrompt:
    """One prompt, as this process knows it."""

    __slots__ = ("answering", "authority", "ended", "error", "prompt", "released", "scope", "served",
                 "waiting", "withdrawn")  # fmt: skip

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.authority: Authority | None = None
        """Of the session that opened it; None where that was another process."""
        self.scope = trio.CancelScope()
        """Around the cashier."""
        self.ended = trio.Event()
        self.released = trio.Event()
        """Who waits goes on: it has ended, or the user put it aside."""
        self.error: Exception | None = None
        """Why who waits learns nothing, if so."""
        self.waiting = 0
        """Calls that wait for the answer."""
        self.answering = 0
        """Answers being carried out. From the first one on nothing withdraws the prompt."""
        self.served = False
        """A cashier of this process shows it."""
        self.withdrawn = False

    @property
    def place(self) -> tuple[str, str]:
        return self.prompt.app_id, self.prompt.user

    def withdraw(self) -> None:
        """Off the screen; an answer that is not being carried out yet counts no more."""
        self.withdrawn = True
        self.scope.cancel()

    def restore(self) -> None:
        """It was not taken back after all: nobody shows it now."""
        self.withdrawn = self.served = False
        self.scope = trio.CancelScope()

    def put_aside(self) -> None:
        """Off the screen, and open: nobody shows it now."""
        self.served, self.scope = False, trio.CancelScope()
        self.released.set()
        self.released = trio.Event()

    def end(self) -> None:
        """Off the screen; whoever waits looks at the store for how it ended."""
        self.scope.cancel()
        self.ended.set()
        self.released.set()


class Places:
    """At most one open prompt for each program and user."""

    def __init__(self) -> None:
        self._by_id: dict[str, OpenPrompt] = {}
        self._by_place: dict[tuple[str, str], OpenPrompt] = {}
        self._asking: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[OpenPrompt]:
        return iter(list(self._by_id.values()))

    def find(self, prompt_id: str) -> OpenPrompt | None:
        return self._by_id.get(prompt_id)

    def at(self, app_id: str, user: str) -> OpenPrompt | None:
        return self._by_place.get((app_id, user))

    @contextmanager
    def asking(self, app_id: str, user: str) -> Iterator[None]:
        """Inside it a call opens or joins a prompt, and is about to wait for it."""
        place = app_id, user
        self._asking[place] = self._asking.get(place, 0) + 1
        try:
            yield
        finally:
            self._asking[place] -= 1
            if not self._asking[place]:
                del self._asking[place]

    def is_asked(self, app_id: str, user: str) -> bool:
        return (app_id, user) in self._asking

    def enter(self, prompt: Prompt, now_us: int) -> OpenPrompt:
        """The prompt as it is known, or known from now on; any other at its place has ended."""
        before = self.at(prompt.app_id, prompt.user)
        if before is not None:
            if before.prompt.id == prompt.id:
                return before
            self.leave(before.prompt.id)
        for old in list(islice(self._by_id.values(), _LOOKED_AT)):
            if old.prompt.expires_us <= now_us and not old.served:
                self.leave(old.prompt.id)
        entered = OpenPrompt(prompt)
        self._by_id[prompt.id] = self._by_place[entered.place] = entered
        return entered

    def leave(self, prompt_id: str) -> None:
        """It has ended: wakes who waits. May be called for any id."""
        found = self._by_id.pop(prompt_id, None)
        if found is not None:
            del self._by_place[found.place]
            found.end()
