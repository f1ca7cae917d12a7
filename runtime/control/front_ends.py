"""Methods for front ends: what waits for a user's answer or eyes, and what a user allowed."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from host_api.contract import Result
from host_api.front_end.token import LIFE_S, LIFE_S_MAX, PROGRAMS_MAX
from host_api.notify.notices import Notice
from host_api.prompts.prompt import ABOUT_CHARS_MAX, Answer, Prompt
from host_api.user.consent import Consent
from runtime.control.method import AppId, ControlMethod, ControlParams, Done, Id, Nothing, Role, User

_PROMPT: Final = {
    "id": "c0ffee00c0ffee00c0ffee00c0ffee00", "kind": "payment", "app_id": "org.example.grocery", "user": "alice",
    "about": "5f0e1d2c3b4a5968",
    "shown": {"payee": "Fresh at home", "amount_text": "42.50 CNY", "subject": "Groceries",
              "amount": {"amount": 4250, "currency": "CNY"}},
    "digest": bytes(32), "opened_us": 1_800_000_000_000_000, "expires_us": 1_800_000_120_000_000, "token": "",
}  # fmt: skip


class OfUser(ControlParams, frozen=True, kw_only=True):
    user: User | None = None
    """Whose; left out: everybody's."""


class Prompts(Result, frozen=True, kw_only=True):
    prompts: tuple[Prompt, ...]
    """The oldest first, without tokens; 1,000 at most."""


class OnePrompt(ControlParams, frozen=True, kw_only=True):
    prompt_id: Annotated[str, Meta(min_length=1, max_length=ABOUT_CHARS_MAX)]


class PromptFound(Result, frozen=True, kw_only=True):
    prompt: Prompt | None
    """nil: none of that id waits now."""


class PromptIssued(Result, frozen=True, kw_only=True):
    prompt: Prompt
    """With a token for one answer."""


class AnswerPrompt(ControlParams, frozen=True, kw_only=True):
    prompt_id: Id
    token: Annotated[str, Meta(min_length=1, max_length=128)]
    digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    approved: bool


class PromptAnswered(Result, frozen=True, kw_only=True):
    answer: Answer
    """How the prompt ended."""


class Count(Result, frozen=True, kw_only=True):
    count: int


class Ended(Result, frozen=True, kw_only=True):
    ended: bool
    """False: it had ended before."""


class ConsentsOf(ControlParams, frozen=True, kw_only=True):
    user: Annotated[User, Meta(min_length=1)]


class Consents(Result, frozen=True, kw_only=True):
    consents: tuple[Consent, ...]


class RevokeConsent(ControlParams, frozen=True, kw_only=True):
    app_id: AppId
    user: Annotated[User, Meta(min_length=1)]
    scope: Annotated[str, Meta(max_length=64)] | None = None
    """Left out: everything the program was allowed."""


class Notices(Result, frozen=True, kw_only=True):
    notices: tuple[Notice, ...]
    """The oldest first; 100 at most."""


class TakeNotice(ControlParams, frozen=True, kw_only=True):
    notice_id: Id


class NoticeTaken(Result, frozen=True, kw_only=True):
    taken: bool
    """False: it was taken before, or its time is over."""


class IssueToken(ControlParams, frozen=True, kw_only=True):
    user: Annotated[User, Meta(min_length=1)]
    interactive: bool = True
    """The user is looking: prompts may open and be answered."""
    locale: Annotated[str, Meta(max_length=64)] = "en"
    time_zone: Annotated[str, Meta(max_length=64)] = "UTC"
    currency: Annotated[str, Meta(max_length=3)] = "CNY"
    programs: Annotated[list[AppId], Meta(max_length=PROGRAMS_MAX)] | None = None
    """What it may speak of; left out: all."""
    life_s: Annotated[int, Meta(ge=1, le=LIFE_S_MAX)] = LIFE_S
    """How long it counts, seconds."""


class TokenIssued(Result, frozen=True, kw_only=True):
    token: str


class EndSessions(ControlParams, frozen=True, kw_only=True):
    user: Annotated[User, Meta(min_length=1)]


PENDING: Final = ControlMethod(
    name="prompts.pending", role=Role.CALLER, params=OfUser, result=Prompts, effect=False, waits=False,
    summary="The questions that wait for users' answers.", example={"user": "alice"}, answer={"prompts": [_PROMPT]},
)  # fmt: skip
FIND: Final = ControlMethod(
    name="prompts.find", role=Role.CALLER, params=OnePrompt, result=PromptFound, effect=False, waits=False,
    summary="One question, if it waits now.", example={"prompt_id": _PROMPT["id"]}, answer={"prompt": _PROMPT},
)  # fmt: skip
COUNT: Final = ControlMethod(
    name="prompts.count", role=Role.CALLER, params=Nothing, result=Count, effect=False, waits=False,
    summary="How many questions wait now.", example={}, answer={"count": 1},
)  # fmt: skip
ISSUE: Final = ControlMethod(
    name="prompts.issue", role=Role.CALLER, params=OnePrompt, result=PromptIssued, effect=True,
    summary="The question with a token for one answer; a token issued before is good no more.",
    example={"prompt_id": _PROMPT["id"]}, answer={"prompt": {**_PROMPT, "token": "9f" * 32}},
)  # fmt: skip
ANSWER: Final = ControlMethod(
    name="prompts.answer", role=Role.CALLER, params=AnswerPrompt, result=PromptAnswered, effect=True,
    summary="The user's answer, with the token that was issued and the digest of what was shown.",
    example={"prompt_id": _PROMPT["id"], "token": "9f" * 32, "digest": bytes(32), "approved": True},
    answer={"answer": "approved"},
)  # fmt: skip
WITHDRAW: Final = ControlMethod(
    name="prompts.withdraw", role=Role.CALLER, params=OnePrompt, result=Ended, effect=True,
    summary="Takes a question back.", example={"prompt_id": _PROMPT["id"]}, answer={"ended": True},
)  # fmt: skip
CONSENTS: Final = ControlMethod(
    name="consents.of_user", role=Role.CALLER, params=ConsentsOf, result=Consents, effect=False, waits=False,
    summary="What a user decided last, holding or not, by program and scope.", example={"user": "alice"},
    answer={"consents": [{
        "app_id": "org.example.grocery", "user": "alice", "scope": "phone", "given": True,
        "purpose": {"text": "To call you when the food is there.", "language": "en", "version": "00" * 16},
        "decided_us": 1_800_000_000_000_000, "expires_us": 1_831_536_000_000_000,
    }]},
)  # fmt: skip
REVOKE_CONSENT: Final = ControlMethod(
    name="consents.revoke", role=Role.CALLER, params=RevokeConsent, result=Count, effect=True,
    summary="The user takes consent back, to one scope or to all; how many there were.",
    example={"app_id": "org.example.grocery", "user": "alice", "scope": "phone"}, answer={"count": 1},
)  # fmt: skip
NOTICES: Final = ControlMethod(
    name="notices.pending", role=Role.CALLER, params=OfUser, result=Notices, effect=False, waits=False,
    summary="Messages from programs that wait for their users.", example={"user": "alice"},
    answer={"notices": [{
        "id": "11" * 16, "app_id": "org.example.grocery", "user": "alice", "template": "on_its_way",
        "text": "Your order is on its way.", "language": "en", "created_us": 1_800_000_000_000_000,
    }]},
)  # fmt: skip
TAKE: Final = ControlMethod(
    name="notices.take", role=Role.CALLER, params=TakeNotice, result=NoticeTaken, effect=True,
    summary="A message was shown: the host forgets its text.", example={"notice_id": "11" * 16},
    answer={"taken": True},
)  # fmt: skip

ISSUE_TOKEN: Final = ControlMethod(
    name="front_end.issue_token", role=Role.CALLER, params=IssueToken, result=TokenIssued, effect=False, waits=False,
    summary="A token with which a front end speaks for a user over HTTP; nothing is stored.",
    example={"user": "alice", "programs": ["org.example.grocery"]}, answer={"token": "…"},
)  # fmt: skip
END_SESSIONS: Final = ControlMethod(
    name="front_end.end_sessions", role=Role.CALLER, params=EndSessions, result=Done, effect=True,
    summary="Tokens issued for the user up to now count no more.", example={"user": "alice"}, answer={},
)  # fmt: skip

METHODS: Final = (
    PENDING, FIND, COUNT, ISSUE, ANSWER, WITHDRAW, CONSENTS, REVOKE_CONSENT, NOTICES, TAKE,
    ISSUE_TOKEN, END_SESSIONS,
)  # fmt: skip
