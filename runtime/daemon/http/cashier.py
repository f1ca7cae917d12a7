"""The cashier's endpoints: prompts that wait for the session's user, opened and answered.

What belongs to another user, or to a program that the session was not issued for, is not there.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from host_api.prompts.prompt import Prompt
from runtime.daemon.http.endpoint import Answer, Ask, Body, Endpoint, Nothing
from runtime.daemon.http.refusal import Refused


class PromptAnswer(Answer, frozen=True, kw_only=True):
    """One question to the user (docs/protocol.md §8.6). Times are µs since the epoch."""

    id: str
    kind: str
    """payment or consent."""
    app_id: str
    """The program that asks."""
    about: str
    """An order's id, or the scopes asked for."""
    shown: dict[str, Any]
    """What to draw, each text apart from the others."""
    opened_us: int
    answerable_us: int
    """No answer counts before; each opening moves it."""
    expires_us: int
    """No answer counts from then on."""


class Prompts(Answer, frozen=True, kw_only=True):
    prompts: list[PromptAnswer]
    """The oldest first."""


class OpenedPrompt(Answer, frozen=True, kw_only=True):
    """A prompt to be shown now."""

    prompt: PromptAnswer
    token: str
    """Good for one answer; one issued before for this prompt is good no more."""
    digest: str
    """64 hex digits over what is shown; the answer gives it back."""


class Decision(Body, frozen=True, kw_only=True):
    """The user's answer."""

    token: Annotated[str, Meta(min_length=1, max_length=128)]
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    approved: bool


class Decided(Answer, frozen=True, kw_only=True):
    answer: str
    """approved, declined, or timed_out: it came too late."""


async def list_prompts(ask: Ask) -> Prompts:
    session = ask.session
    mine = [prompt for prompt in ask.host.prompts.pending(session.user) if session.may_reach(prompt.app_id)]
    return Prompts(prompts=[_told(prompt) for prompt in mine])


async def open_prompt(ask: Ask) -> OpenedPrompt:
    _check_mine(ask)
    prompt = await ask.host.prompts.issue(ask.of("id"))
    return OpenedPrompt(prompt=_told(prompt), token=prompt.token, digest=prompt.digest.hex())


async def answer_prompt(ask: Ask) -> Decided:
    _check_mine(ask)
    told: Decision = ask.body
    answer = await ask.host.prompts.answer(ask.of("id"), told.token, bytes.fromhex(told.digest), told.approved)
    return Decided(answer=answer.value)


def _check_mine(ask: Ask) -> None:
    if not ask.session.interactive:
        raise Refused("not_interactive", "this session is of no user who is looking: it answers no prompts")
    prompt = ask.host.prompts.find(ask.of("id"))
    if prompt is None or prompt.user != ask.session.user or not ask.session.may_reach(prompt.app_id):
        raise Refused("prompt_not_found", "no such prompt waits for an answer: it is answered, taken back or over")


def _told(prompt: Prompt) -> PromptAnswer:
    return PromptAnswer(
        id=prompt.id, kind=prompt.kind, app_id=prompt.app_id, about=prompt.about, shown=dict(prompt.shown),
        opened_us=prompt.opened_us, answerable_us=prompt.answerable_us, expires_us=prompt.expires_us,
    )  # fmt: skip


ENDPOINTS: Final = (
    Endpoint(
        name="listPrompts",
        method="GET",
        path="/v1/prompts",
        summary="The prompts that wait for the user.",
        run=list_prompts,
        answer=Prompts,
    ),
    Endpoint(
        name="openPrompt",
        method="POST",
        path="/v1/prompts/{id}/open",
        summary="Have a token issued for a prompt that is shown to the user now.",
        run=open_prompt,
        answer=OpenedPrompt,
        body=Nothing,
    ),
    Endpoint(
        name="answerPrompt",
        method="POST",
        path="/v1/prompts/{id}/answer",
        summary="Give the user's answer to a prompt that was opened.",
        run=answer_prompt,
        answer=Decided,
        body=Decision,
    ),
)
