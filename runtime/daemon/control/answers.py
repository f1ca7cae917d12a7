"""What answers each method: one function a method, from its parameters to its result.

What lives here: methods that need a state and no running program, so that the command line can answer them on a state
directory that no host uses. Those of a host are in host_answers.py. Nothing here checks who asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import trio

from runtime import wire
from runtime.control import calling, front_ends, money, programs, proof, users
from runtime.control.method import ControlMethod, Done, Result
from runtime.errors import UsageError
from runtime.state import StateOperations


class Stream(Protocol):
    """Where the items go that come before an answer."""

    async def send(self, item: Result) -> None:
        """Waits until the client has taken most of what was sent before."""
        ...

    def offer(self, item: Result) -> bool:
        """At once, or not at all: False where the client is behind."""
        ...

    def goes_on(self) -> None:
        """From here on it follows what comes, for ever: a host that drains ends it as `host_closed`."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A method and what answers it. `run` takes its params, a Stream where the method streams, and a text that names
    who asks where `told_who` is set; it gives the result, or an awaitable of it where the method waits.

    It raises what the library raises (runtime/control/failures.py); anything else is a bug of ours.
    """

    method: ControlMethod[Any, Any]
    run: Callable[..., Any]
    told_who: bool = False
    stream: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stream", self.method.stream is not None)


def by_name(*answers: Answer) -> Mapping[str, Answer]:
    return {answer.method.name: answer for answer in answers}


class StateAnswers:
    """For one state."""

    def __init__(self, state: StateOperations) -> None:
        self._state = state

    def all(self) -> Mapping[str, Answer]:
        return by_name(
            Answer(calling.PING, self.ping),
            Answer(programs.UNINSTALL, self.uninstall),
            Answer(money.DEPOSIT, self.deposit),
            Answer(money.BALANCE, self.balance),
            Answer(money.BALANCES, self.balances),
            Answer(money.ORDER, self.order),
            Answer(front_ends.PENDING, self.pending),
            Answer(front_ends.FIND, self.find),
            Answer(front_ends.COUNT, self.count),
            Answer(front_ends.ISSUE, self.issue),
            Answer(front_ends.ANSWER, self.answer),
            Answer(front_ends.WITHDRAW, self.withdraw),
            Answer(front_ends.CONSENTS, self.consents),
            Answer(front_ends.REVOKE_CONSENT, self.revoke_consent),
            Answer(front_ends.NOTICES, self.notices),
            Answer(front_ends.TAKE, self.take),
            Answer(front_ends.END_SESSIONS, self.end_sessions),
            Answer(users.PUT, self.put_user),
            Answer(users.FIELDS, self.user_fields),
            Answer(users.EXPORT, self.export_user),
            Answer(users.ERASE, self.erase_user),
            Answer(proof.AUDIT_HEAD, self.audit_head),
            Answer(proof.SIGNED_HEAD, self.signed_head),
            Answer(proof.AUDIT_KEY, self.audit_key),
            Answer(proof.AUDIT_RECORDS, self.audit_records),
            Answer(proof.VERIFY, self.verify),
        )

    def ping(self, _: Any) -> calling.Pong:
        return calling.Pong(now_us=self._state.now_us())

    async def uninstall(self, asked: programs.Uninstall) -> programs.UninstallTold:
        gone = await self._state.uninstall(asked.app, end_calls=asked.end_calls, erase=asked.erase)
        return programs.UninstallTold(uninstalled=gone)

    # ---- money -------------------------------------------------------------------------------------------------------
    async def deposit(self, asked: money.Deposit) -> money.Deposited:
        reference = asked.key if asked.reference is None else asked.reference
        if asked.key not in (None, reference):
            raise UsageError("reference and $key are one thing: give one of them", code="invalid_params")
        return money.Deposited(booked=await self._state.deposit(asked.user, asked.money, reference=reference))

    def balance(self, asked: money.BalanceOf) -> money.BalanceTold:
        return money.BalanceTold(balance=self._state.balance(asked.account))

    def balances(self, asked: money.Balances) -> money.BalancesTold:
        rows = self._state.balances(asked.owner)
        return money.BalancesTold(
            rows=tuple(
                money.AccountRow(kind=row.kind, currency=row.currency, accounts=row.accounts, balance=row.balance)
                for row in rows
            )
        )

    def order(self, asked: money.OrderOf) -> money.OrderTold:
        order = self._state.order(asked.app, asked.order_id)
        return money.OrderTold(
            status=order.status.value, close_reason=None if order.close_reason is None else order.close_reason.value
        )

    # ---- front ends --------------------------------------------------------------------------------------------------
    def pending(self, asked: front_ends.OfUser) -> front_ends.Prompts:
        return front_ends.Prompts(prompts=tuple(self._state.prompts.pending(asked.user)))

    def find(self, asked: front_ends.OnePrompt) -> front_ends.PromptFound:
        return front_ends.PromptFound(prompt=self._state.prompts.find(asked.prompt_id))

    def count(self, _: Any) -> front_ends.Count:
        return front_ends.Count(count=self._state.prompts.count())

    async def issue(self, asked: front_ends.OnePrompt) -> front_ends.PromptIssued:
        return front_ends.PromptIssued(prompt=await self._state.prompts.issue(asked.prompt_id))

    async def answer(self, asked: front_ends.AnswerPrompt) -> front_ends.PromptAnswered:
        ended = await self._state.prompts.answer(asked.prompt_id, asked.token, asked.digest, asked.approved)
        return front_ends.PromptAnswered(answer=ended)

    async def withdraw(self, asked: front_ends.OnePrompt) -> front_ends.Ended:
        return front_ends.Ended(ended=await self._state.prompts.withdraw(asked.prompt_id))

    def consents(self, asked: front_ends.ConsentsOf) -> front_ends.Consents:
        return front_ends.Consents(consents=tuple(self._state.consents.of_user(asked.user)))

    async def revoke_consent(self, asked: front_ends.RevokeConsent) -> front_ends.Count:
        return front_ends.Count(count=await self._state.consents.revoke(asked.app_id, asked.user, asked.scope))

    def notices(self, asked: front_ends.OfUser) -> front_ends.Notices:
        return front_ends.Notices(notices=tuple(self._state.notices.pending(asked.user)))

    async def take(self, asked: front_ends.TakeNotice) -> front_ends.NoticeTaken:
        return front_ends.NoticeTaken(taken=await self._state.notices.take(asked.notice_id))

    async def end_sessions(self, asked: front_ends.EndSessions) -> Done:
        await self._state.front_end.end_sessions(asked.user)
        return Done()

    # ---- users -------------------------------------------------------------------------------------------------------
    async def put_user(self, asked: users.PutUser) -> Done:
        await self._state.users.put(asked.user, asked.fields)
        return Done()

    async def user_fields(self, asked: users.UserFields) -> users.FieldsTold:
        return users.FieldsTold(fields=dict(await self._state.users.fields(asked.user, asked.names)))

    async def export_user(self, asked: users.ExportUser, stream: Stream) -> users.Exported:
        document = wire.encode(await self._state.export_user(asked.user))
        for at in range(0, len(document), users.EXPORT_PIECE_BYTES):
            await stream.send(users.Piece(data=document[at : at + users.EXPORT_PIECE_BYTES]))
        return users.Exported(bytes=len(document))

    async def erase_user(self, asked: users.EraseUser) -> users.UserErased:
        erased = await self._state.erase_user(asked.user, forfeit_balance=asked.forfeit_balance)
        return users.UserErased(erased=erased)

    # ---- proof -------------------------------------------------------------------------------------------------------
    def audit_head(self, _: Any) -> proof.HeadTold:
        return proof.HeadTold(head=self._state.audit_head())

    async def signed_head(self, _: Any) -> proof.SignedHeadTold:
        signed = await self._state.signed_head()
        return proof.SignedHeadTold(**signed.as_dict())  # type: ignore[arg-type]

    async def audit_key(self, _: Any) -> proof.KeyTold:
        return proof.KeyTold(public_key=await self._state.audit_key())

    def audit_records(self, asked: proof.AuditRecords) -> proof.AuditPage:
        records = self._state.audit_records(asked.after, asked.limit)
        wanted = tuple(
            proof.AuditRecord(n=n, record=text) for n, text in records if _wanted(text, asked.effect, asked.app)
        )
        return proof.AuditPage(records=wanted, last=records[-1][0] if records else asked.after)

    async def verify(self, asked: proof.Verify, stream: Stream) -> proof.Verified:
        """A client that is slow to read what is looked at misses some of it."""
        token = trio.lowlevel.current_trio_token()

        def progress(part: str, rows: int) -> None:
            token.run_sync_soon(stream.offer, proof.Part(part=part, rows=rows))

        survey = await self._state.survey(asked.head, audit_only=asked.audit_only, progress=progress)
        return proof.Verified(
            findings=tuple(survey.findings[: proof.FINDINGS_MAX]), count=len(survey.findings), head=survey.head,
            rows=survey.rows,
        )  # fmt: skip


def _wanted(record: str, effect: str, app: str) -> bool:
    if not effect and not app:
        return True
    told = json.loads(record)
    same = told["effect"].startswith(effect) if effect.endswith(".") else effect in ("", told["effect"])
    return same and app in ("", told.get("app_id"))
