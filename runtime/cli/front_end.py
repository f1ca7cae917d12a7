"""The command line as a platform's front end: it finds prompts that wait in a state directory, shows and answers them.

What lives here: what payments.py and consent.py share. The answer goes the way of every front end's: a token for one
answer, bound to what was shown.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import trio
from cyclopts import Parameter

from host_api.errors import ApiError
from host_api.payment.checkout import Checkout
from host_api.prompts.cashier import TerminalCashier
from host_api.prompts.desk import Desk
from host_api.prompts.prompt import Answer, Prompt, PromptError
from host_api.store import Store
from host_api.user.asking import ConsentPrompts
from host_api.user.consent import ConsentStore
from runtime import sources
from runtime.bundle.refusal import shown
from runtime.cli.state import on_state
from runtime.errors import AnswerRefused, UsageError

T = TypeVar("T")

Whose = Annotated[str | None, Parameter(name="--user", help="Only this user's.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """A desk without programs: prompts that waited when their host stopped."""

    store: Store
    desk: Desk
    consents: ConsentStore

    def waiting(self, kind: str, user: str | None) -> list[Prompt]:
        return [prompt for prompt in self.desk.pending(user) if prompt.kind == kind]

    def find(self, kind: str, word: str) -> Prompt:
        """By its id, or by what it is about. Raises AnswerRefused."""
        found = self.desk.find(word)
        if found is None:
            found = next((prompt for prompt in self.desk.pending() if prompt.about == word), None)
        if found is None or found.kind != kind:
            raise AnswerRefused(
                f"nothing named {shown(word)} waits: it is answered, taken back, or its two minutes are over",
                code="prompt_not_found",
            )
        return found

    async def answer(self, found: Prompt, *, approved: bool) -> None:
        """Waits until it may be answered. Raises PromptError, ApiError; AnswerRefused if its time ended meanwhile."""
        prompt = await self.desk.issue(found.id)
        await trio.sleep(max(0, prompt.answerable_us - self.now_us()) / 1e6)
        if await self.desk.answer(prompt.id, prompt.token, prompt.digest, approved) is Answer.TIMED_OUT:
            raise AnswerRefused("too late: the prompt's time is over", code="prompt_not_found")

    def now_us(self) -> int:
        return self.store.now_us()


async def ask(prompt: Prompt, *, yes: bool) -> None:
    """Show it and ask on the terminal. Raises UsageError without a terminal, AnswerRefused without a clear yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask on: add --yes to answer without being asked")
    if not (await TerminalCashier().confirm(prompt)).approved:
        raise AnswerRefused("not answered: the prompt waits on", code="not_answered")


def at_desk(directory: Path, job: Callable[[FrontEnd], Awaitable[T]]) -> T:
    """What `job` gives at the desk of that state directory. Raises StartupError, UsageError, AnswerRefused."""

    async def work(store: Store) -> T:
        try:
            return await _at_desk_of(store, job)
        except PromptError as error:
            raise AnswerRefused(error.message, code=error.code, retry_after_ms=error.retry_after_ms) from error
        except ApiError as error:
            raise AnswerRefused(error.message, code=error.code.code, details=error.details) from error

    return on_state(directory, work)


async def _at_desk_of(store: Store, job: Callable[[FrontEnd], Awaitable[T]]) -> T:
    raised: Exception | None = None
    async with trio.open_nursery() as nursery:
        desk = Desk(
            store=store, clock=store, nursery=nursery, cashier=None, new_id=sources.new_id,
            new_token=lambda: secrets.token_hex(32),
        )  # fmt: skip
        consents = ConsentStore(store=store, new_salt=sources.new_salt)
        Checkout(store=store, desk=desk)
        ConsentPrompts(store=store, desk=desk, consents=consents)
        try:
            return await job(FrontEnd(store=store, desk=desk, consents=consents))
        except Exception as error:  # out of the nursery as it is, not in a group
            raised = error
    raise raised


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
