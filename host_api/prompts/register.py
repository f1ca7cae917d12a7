"""The register: what is written when a prompt opens, gets a token, and ends. Jobs of `Store.write`, and no task.

What lives here: the order of the checks, and what is written together. A prompt is a row: whoever deletes the row has
ended it, and the service's part (`Settle`) is written in that very transaction. So of an answer, a withdrawal and the
end of its time one comes first at the store's writer, and the others find nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from host_api.contract import Session
from host_api.errors import ApiError, ErrorCode
from host_api.prompts import cooldown, records
from host_api.prompts.prompt import (
    LIFE_US,
    Answer,
    Prompt,
    PromptError,
    Shown,
    StoredPrompt,
    digest_of,
    token_hash,
)
from host_api.store.protocol import Transaction

OPEN_MAX: Final = 10_000
"""Prompts open on one host; one more is refused with BUSY."""

Settle = Callable[[Transaction, Prompt, Answer], None]
"""Carries an answer out: a job of `Store.write`, run in the transaction in which the prompt goes.

For APPROVED it may raise ApiError: then what it did is undone, the prompt goes all the same, and whoever answered is
told why. For the others it must not raise: what is not to be changed any more is left alone.
"""
Look = Callable[[Transaction], None]
Make = Callable[[Transaction], Shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a session wants asked; see `Desk.ask`."""

    session: Session
    kind: str
    about: str
    look: Look
    make: Make


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A front end's words, to be held against the prompt."""

    prompt_id: str
    token_hash: bytes
    digest: bytes
    approved: bool
    by_cashier: bool
    """From a cashier of this process: it counts at once."""


class Register:
    """The jobs, and what each kind of prompt does when it ends."""

    def __init__(self) -> None:
        self.settle: dict[str, Settle] = {}

    # ---- opening -----------------------------------------------------------------------------------------------------
    def admit(self, tx: Transaction, question: Question) -> Prompt | None:
        """The open prompt to join; None where one may open. Writes nothing. Raises ApiError as `Desk.ask` says."""
        return self._admitted(tx, question, records.at_place(tx, question.session.app_id, question.session.user))

    def _admitted(self, tx: Transaction, question: Question, taken: StoredPrompt | None) -> Prompt | None:
        session = question.session
        if taken is not None and taken.prompt.expires_us <= tx.now_us:
            taken = None
        if taken is not None and (taken.prompt.kind, taken.prompt.about) == (question.kind, question.about):
            return taken.prompt
        past = records.past(tx, session.app_id, session.user)
        try:
            question.look(tx)
        except ApiError as error:
            if error.code.number > ErrorCode.RATE_LIMITED.number:
                cooldown.admit(past, tx.now_us)
            raise
        cooldown.admit(past, tx.now_us)
        if taken is not None:
            raise ApiError(ErrorCode.CASHIER_BUSY, ErrorCode.CASHIER_BUSY.cure, retry_after_ms=1_000)
        if not session.interactive:
            raise not_interactive()
        if records.are_more_than(tx, OPEN_MAX - 1):
            raise ApiError(ErrorCode.BUSY, f"{OPEN_MAX} prompts are open on this host", retry_after_ms=1_000)
        return None

    def open(self, tx: Transaction, question: Question, prompt_id: str, token: str) -> Prompt:
        """The new prompt, with `prompt_id`; or one that opened meanwhile, to be joined. `token`: '' for none yet."""
        session = question.session
        before = records.at_place(tx, session.app_id, session.user)
        if before is not None and before.prompt.expires_us <= tx.now_us:
            self.end(tx, before, Answer.TIMED_OUT)
        joined = self._admitted(tx, question, before)
        if joined is not None:
            return joined
        made = question.make(tx)
        kind, app_id, user, about = question.kind, session.app_id, session.user, question.about
        expires_us = tx.now_us + LIFE_US
        digest = made.digest or digest_of(kind=kind, app_id=app_id, user=user, about=about, shown=made.shown)
        prompt = Prompt(
            id=prompt_id,
            kind=kind,
            app_id=app_id,
            user=user,
            about=about,
            shown=made.shown,
            digest=digest,
            opened_us=tx.now_us,
            expires_us=expires_us if made.expires_us is None else min(expires_us, made.expires_us),
            issued_us=tx.now_us if token else 0,
        )
        hashed = token_hash(token) if token else b""
        records.insert(tx, StoredPrompt(prompt=prompt, bounds=made.bounds, token_hash=hashed))
        records.set_past(tx, app_id, user, cooldown.opened(records.past(tx, app_id, user), tx.now_us))
        return prompt

    # ---- answering ---------------------------------------------------------------------------------------------------
    def issue(self, tx: Transaction, prompt_id: str, token: str) -> Prompt:
        """The prompt with this token, the only one that is good from now on, as shown now. Raises PromptError."""
        stored = records.by_id(tx, prompt_id)
        if stored is None or stored.prompt.expires_us <= tx.now_us:
            raise not_found()
        records.set_issued(tx, prompt_id, token_hash(token), tx.now_us)
        return replace(stored.prompt, token=token, issued_us=tx.now_us)

    def decide(self, tx: Transaction, reply: Reply) -> tuple[Answer, ApiError | None]:
        """How the prompt ended, and why a yes was not carried out. Raises PromptError: then it has not ended."""
        stored = records.by_id(tx, reply.prompt_id)
        if stored is None:
            raise not_found()
        prompt = stored.prompt
        if prompt.expires_us <= tx.now_us:
            return Answer.TIMED_OUT, self.end(tx, stored, Answer.TIMED_OUT)
        if not (stored.token_hash and hmac.compare_digest(reply.token_hash, stored.token_hash)):
            raise PromptError("token_refused", "this is not the token that was issued last for this prompt")
        if not hmac.compare_digest(reply.digest, prompt.digest):
            raise PromptError("token_refused", "the answer is to something else than this prompt shows")
        if not reply.by_cashier and tx.now_us < prompt.answerable_us:
            wait_ms = -(-(prompt.answerable_us - tx.now_us) // 1_000)
            raise PromptError("answer_early", "nobody can have read the prompt yet", retry_after_ms=wait_ms)
        answer = Answer.APPROVED if reply.approved else Answer.DECLINED
        return answer, self.end(tx, stored, answer)

    # ---- ending ------------------------------------------------------------------------------------------------------
    def end(self, tx: Transaction, stored: StoredPrompt, answer: Answer) -> ApiError | None:
        """The one way a prompt ends: the service's part, the row, what counts of it later. Gives why a yes failed."""
        prompt, refused = stored.prompt, None
        try:
            with tx.savepoint():
                self.settle[prompt.kind](tx, prompt, answer)
        except ApiError as error:
            refused = error
        records.delete(tx, prompt.id)
        if answer is Answer.APPROVED:
            records.forget_past(tx, prompt.app_id, prompt.user)
        elif answer is Answer.DECLINED:
            past = records.past(tx, prompt.app_id, prompt.user)
            records.set_past(tx, prompt.app_id, prompt.user, cooldown.declined(past, tx.now_us))
        return refused

    def take_back(self, tx: Transaction, prompt_id: str, answer: Answer) -> bool:
        """End it in another way than by an answer; False if there is no such prompt any more."""
        stored = records.by_id(tx, prompt_id)
        if stored is not None:
            self.end(tx, stored, Answer.TIMED_OUT if stored.prompt.expires_us <= tx.now_us else answer)
        return stored is not None

    def take_back_some(self, tx: Transaction, app_id: str, user: str | None, at_most: int) -> list[str]:
        """Withdraw a program's prompts, some at a time; their ids."""
        ids = [stored.prompt.id for stored in records.of_program(tx, app_id, user, at_most)]
        for prompt_id in ids:
            self.take_back(tx, prompt_id, Answer.WITHDRAWN)
        return ids

    def sweep(self, tx: Transaction, at_most: int) -> int:
        """See `Desk.sweep`."""
        over = records.over(tx, at_most)
        for stored in over:
            self.end(tx, stored, Answer.TIMED_OUT)
        return len(over) + records.forget_past_before(tx, tx.now_us, at_most - len(over))


def not_found() -> PromptError:
    return PromptError("prompt_not_found", "no such prompt waits for an answer: it is answered, taken back or over")


def not_interactive() -> ApiError:
    return ApiError(ErrorCode.NOT_INTERACTIVE, ErrorCode.NOT_INTERACTIVE.cure)
