"""The command line as a platform's front end: it finds prompts that wait, shows and answers them.

What lives here: what payments.py and consent.py share. The answer goes the way of every front end's: a token for one
answer, bound to what was shown.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import trio
from cyclopts import Parameter

from host_api.prompts.cashier import TerminalCashier
from host_api.prompts.prompt import Answer, Prompt
from runtime.bundle.refusal import shown
from runtime.cli.door import Door
from runtime.errors import AnswerRefused, UsageError

if TYPE_CHECKING:
    from runtime.client import Client

T = TypeVar("T")

Whose = Annotated[str | None, Parameter(name="--user", help="Only this user's.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """A host's prompts, as a front end has them."""

    client: Client
    now_us: int
    """The host's time when it was asked."""

    async def waiting(self, kind: str, user: str | None) -> list[Prompt]:
        return [prompt for prompt in await self.client.prompts.pending(user) if prompt.kind == kind]

    async def find(self, kind: str, word: str) -> Prompt:
        """By its id, or by what it is about. Raises AnswerRefused."""
        found = await self.client.prompts.find(word) if word else None
        if found is None:
            found = next((prompt for prompt in await self.client.prompts.pending() if prompt.about == word), None)
        if found is None or found.kind != kind:
            raise AnswerRefused(
                f"nothing named {shown(word)} waits: it is answered, taken back, or its two minutes are over",
                code="prompt_not_found",
            )
        return found

    async def answer(self, found: Prompt, *, approved: bool) -> None:
        """Waits until it may be answered. Raises PromptError, ApiError; AnswerRefused if its time ended meanwhile."""
        prompts = self.client.prompts
        prompt = await prompts.issue(found.id)
        await trio.sleep(max(0, prompt.answerable_us - await self.client.ping()) / 1e6)
        if await prompts.answer(prompt.id, prompt.token, prompt.digest, approved) is Answer.TIMED_OUT:
            raise AnswerRefused("too late: the prompt's time is over", code="prompt_not_found")


async def ask(prompt: Prompt, *, yes: bool) -> None:
    """Show it and ask on the terminal. Raises UsageError without a terminal, AnswerRefused without a clear yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask on: add --yes to answer without being asked")
    if not (await TerminalCashier().confirm(prompt)).approved:
        raise AnswerRefused("not answered: the prompt waits on", code="not_answered")


def at_desk(door: Door, job: Callable[[FrontEnd], Awaitable[T]]) -> T:
    """What `job` gives for the prompts there. Raises StartupError, UsageError, AnswerRefused."""

    async def work(client: Client) -> T:
        return await job(FrontEnd(client=client, now_us=await client.ping()))

    return door.ask_desk(work)


def told(prompt: Prompt, now_us: int) -> dict[str, Any]:
    """What a command tells of a prompt."""
    return {
        "prompt": prompt.id,
        "program": prompt.app_id,
        "user": prompt.user,
        "about": prompt.about,
        "shown": dict(prompt.shown),
        "digest": prompt.digest.hex(),
        "expires_in_s": max(0, prompt.expires_us - now_us) // 1_000_000,
    }
