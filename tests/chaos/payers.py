"""Users who pay through a daemon that keeps being killed, and the front end that answers for them.

Whatever becomes of a call, its payer sends it again with the same key until it is answered, on a new connection if need
be, as a platform would. What lives here: the load, and what it was answered. What is expected is the tests'.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from benchmarks import guests
from host_api.prompts.prompt import Prompt, PromptError
from runtime.client import Client
from runtime.errors import AnswerRefused, ConnectionLost, GuestFailed, HostelError
from tests.chaos.daemon import Daemon

PAYERS: Final = 64
AMOUNT, REFUND, REFUNDS_MOST = 10, 1, 4
GRANT: Final = ("payment", "payment.refund")
LIMITS: Final = {
    **guests.UNRATED, "calls_in_flight": 256, "sandboxes": 256, "payment_hour_count": 1_000_000,
    "payment_day_amount": 10**12,
}  # fmt: skip
ANSWER_S: Final = 60.0
"""A call that has no answer and no error after this has neither."""
AGAIN_S: Final = 0.02
WAIT_MS: Final = 20_000
_LOOK_S: Final = 0.05


@dataclass
class Told:
    """What was acknowledged, and how calls ended."""

    endings: Counter[str] = field(default_factory=Counter)
    """Answers, and errors by their code."""
    answers: Counter[str] = field(default_factory=Counter)
    """What became of the front end's answers."""
    orders: dict[tuple[str, int], str] = field(default_factory=dict)
    """(user, number) → the order's id, as it was first acknowledged."""
    paid: set[str] = field(default_factory=set)
    refunds: dict[tuple[str, int], str] = field(default_factory=dict)
    """(order, which of its refunds) → the refund's id."""
    again: Counter[str] = field(default_factory=Counter)
    """Requests with a key that were sent again: whether they had been carried out before."""
    wrong: list[str] = field(default_factory=list)


class Load:
    """Payers and a front end on one daemon."""

    def __init__(self, daemon: Daemon, app: str) -> None:
        self.daemon, self.app, self.told = daemon, app, Told()
        self.stopping = False

    async def run(self) -> None:
        """Until `stopping`, and then until every payment that was begun is at its end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._front_end)
            async with trio.open_nursery() as payers:
                for number in range(PAYERS):
                    payers.start_soon(Payer(self, f"user{number}").pay_on)
            nursery.cancel_scope.cancel()

    # ---- the front end -----------------------------------------------------------------------------------------------
    async def _front_end(self) -> None:
        """Looks at what waits, and says yes to all of it as soon as an answer counts."""
        while True:
            await self.daemon.up.wait()
            try:
                async with self.daemon.client() as client:
                    while True:
                        await self._answer_all(client)
                        await trio.sleep(_LOOK_S)
            except ConnectionLost:
                await trio.sleep(AGAIN_S)

    async def _answer_all(self, client: Client) -> None:
        waiting = await client.prompts.pending()  # not in the nursery, which would wrap what it raises
        async with trio.open_nursery() as nursery:
            for prompt in waiting:
                nursery.start_soon(self._answer, client, prompt)

    async def _answer(self, client: Client, prompt: Prompt) -> None:
        try:
            issued = await client.prompts.issue(prompt.id)
            await trio.sleep(max(0, issued.answerable_us - await client.ping()) / 1e6)
            answer = await client.prompts.answer(issued.id, issued.token, issued.digest, True)
            self.told.answers[answer.value] += 1
        except (PromptError, AnswerRefused, ConnectionLost) as error:
            self.told.answers[error.code] += 1


class Payer:
    """One user, one payment after the other, each to its end."""

    def __init__(self, load: Load, user: str) -> None:
        self._load, self._told, self.user = load, load.told, user

    async def pay_on(self) -> None:
        begun = done = 0
        while True:
            await self._load.daemon.up.wait()
            try:
                async with self._load.daemon.client() as client:
                    while begun > done or not self._load.stopping:
                        begun = done + 1
                        await self._pay(client, begun)
                        done = begun
                    return
            except ConnectionLost as error:
                self._told.endings[error.code] += 1
                await trio.sleep(AGAIN_S)

    async def _pay(self, client: Client, number: int) -> None:
        """Begun again from its beginning, it is the same one: that is what the keys are for."""
        ask, told = partial(self._ask, client), self._told
        order = await ask("create", **order_of(self.user, number))
        order_id, replayed = order["order_id"], order["replayed"]
        told.again["carried out before" if replayed else "new"] += 1
        if told.orders.setdefault((self.user, number), order_id) != order_id:
            told.wrong.append(f"{self.user} {number}: another order")
        if replayed:
            order = await ask("query", order_id=order_id)
        while order["status"] in ("pending", "confirming"):
            try:
                order = await ask("request", order_id=order_id, wait_ms=WAIT_MS)
            except GuestFailed as error:  # the user's answer came while nobody waited for it
                if error.details["error"]["code"] != "invalid_state":
                    raise
                order = await ask("query", order_id=order_id)
        if order["status"] == "authorized":
            order = await ask("capture", key=f"p{number}", order_id=order_id)
        if order["status"] != "succeeded":
            told.wrong.append(f"{self.user} {number}: {order['status']} {order['close_reason']}")
            return
        for part in range(number % (REFUNDS_MOST + 1)):
            asked = {"order_id": order_id, "out_request_no": f"{part}", "amount": REFUND, "reason": "late"}
            refund = (await ask("refund", key=f"r{number}-{part}", **asked))["refund_id"]
            if told.refunds.setdefault((order_id, part), refund) != refund:
                told.wrong.append(f"{self.user} {number}: another refund")
        told.paid.add(order_id)

    async def _ask(self, client: Client, method: str, **params: Any) -> dict[str, Any]:
        """Until there is an answer; whatever else comes has to have a name, and to be worth another try."""
        endings = self._told.endings
        while True:
            try:
                with trio.fail_after(ANSWER_S):
                    reply = await client.call(self._load.app, f"payment.{method}", params, user=self.user)
            except ConnectionLost:
                raise
            except GuestFailed as error:
                told = error.details["error"]
                endings[f"guest: {told['code']}"] += 1
                if not told["retryable"]:
                    raise
            except HostelError as error:
                endings[error.code] += 1
                if not error.retryable and error.code != "host_closed":
                    raise
            else:
                endings["answer"] += 1
                return dict(reply.value)
            await trio.sleep(AGAIN_S)


def order_of(user: str, number: int) -> dict[str, Any]:
    """What this payer asks for: every third one is captured by the program itself."""
    return {
        "key": f"c{number}", "out_trade_no": f"{user}-{number}", "subject": "Tea",
        "amount": {"amount": AMOUNT, "currency": "CNY"}, "capture": "auto" if number % 3 else "manual",
    }  # fmt: skip
