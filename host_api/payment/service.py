"""The payment service: its three methods, as sessions call them.

What lives here: who may ask, the prompt and who waits for it. What is checked and written is in steps.py, what an
order is in orders.py. The guest never confirms: that is the cashier's alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from host_api.contract import Bound, Codec, Session
from host_api.errors import ApiError, ErrorCode
from host_api.idempotency import KeyedRequest, fingerprint
from host_api.money import amount_text
from host_api.payment import records, steps
from host_api.payment.cashier import Prompt
from host_api.payment.methods import CREATE, QUERY, REQUEST, CreateParams, OrderResult, QueryParams, RequestParams
from host_api.payment.orders import Event, FeeTerms, Order, Status, after, at, digest
from host_api.payment.prompts import LIFE_US, Answer, Place, Prompts
from host_api.payment.steps import Bounds
from host_api.store.protocol import Store, Transaction

CREATE_SCHEMA: Final = 1
"""Counts what payment.create's params mean, for idempotency; see idempotency.py."""


class PaymentService:
    """Orders and payments of all programs. Holds nothing but what it was given: closing the store and the nursery of
    the prompts is their owner's business.

    `ids`: a new order id of 128 random bits, as text of at most 64 characters. `tokens`: a new token of 256 random
    bits.
    """

    def __init__(
        self, *, store: Store, codec: Codec, prompts: Prompts, ids: Callable[[], str], tokens: Callable[[], str]
    ) -> None:
        self._store = store
        self._codec = codec
        self._prompts = prompts
        self._ids = ids
        self._tokens = tokens

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(CREATE, self.create), Bound(REQUEST, self.request), Bound(QUERY, self.query))

    async def set_fee_terms(self, app_id: str, terms: FeeTerms) -> None:
        """The operator's: what the program's payee pays from the next capture on."""
        await self._store.write(lambda tx: records.set_fee_terms(tx, app_id, terms))

    # -- payment.create
    async def create(self, session: Session, params: CreateParams) -> OrderResult:
        """Raises ApiError as steps.create; INVALID_PARAMS for a session without a user: nobody could pay."""
        if not session.user:
            raise ApiError(
                ErrorCode.INVALID_PARAMS,
                "this session acts for no user, and an order needs one who pays",
                details={"parameter": "user"},
            )
        content = {
            "out_trade_no": params.out_trade_no,
            "amount": [params.amount.amount, params.amount.currency],
            "subject": params.subject,
            "ttl_s": params.ttl_s,
        }
        keyed = KeyedRequest(
            app_id=session.app_id,
            user=session.user,
            method=CREATE.name,
            key=params.key,
            schema_version=CREATE_SCHEMA,
            fingerprint=fingerprint(self._codec, CREATE.name, CREATE_SCHEMA, content),
        )
        wanted = partial(_wanted, session.app_id, session.user, self._ids(), params)
        bounds = Bounds(limits=session.limits, authority=session.authority)
        return await self._store.write(
            lambda tx: steps.create(tx, wanted, keyed, bounds, self._encode_outcome, self._decode_outcome)
        )

    def _encode_outcome(self, result: OrderResult) -> bytes:
        return self._codec.encode(msgspec.to_builtins(result))

    def _decode_outcome(self, outcome: bytes) -> OrderResult:
        result = msgspec.convert(self._codec.decode(outcome), OrderResult)
        return msgspec.structs.replace(result, replayed=True)

    # -- payment.request
    async def request(self, session: Session, params: RequestParams) -> OrderResult:
        """Opens the cashier, or joins the prompt that is open for this very order (a request sent again).

        Raises ApiError NOT_INTERACTIVE, CASHIER_BUSY, and what steps.open_cashier and the store raise. Cancelled
        while it waits, it withdraws the prompt, unless another call waits too or the user has answered.
        """
        if not session.user:
            raise _not_interactive()
        place = self._prompts.find(session.app_id, session.user)
        joined = place is not None and place.order_id == params.order_id
        if place is None or not joined:
            place = await self._open(session, params.order_id)
        with session.stand_still():
            seconds = min(params.wait_ms, session.limits.prompt_wait_ms) / 1000
            settled = await self._prompts.wait(place, seconds)
        order = place.outcome() if settled else self._look(session, order_id=params.order_id)
        return OrderResult.of(order, replayed=joined)

    async def _open(self, session: Session, order_id: str) -> Place:
        # Looked at first, so that a busy cashier is not the answer where the order itself is: the order of ErrorCode.
        after(self._look(session, order_id=order_id), Event.REQUEST)
        if not session.interactive:
            raise _not_interactive()
        place = self._prompts.reserve(session.app_id, session.user, order_id)
        try:
            opened = await self._store.write(lambda tx: steps.open_cashier(tx, session.app_id, session.user, order_id))
            bounds = Bounds(limits=session.limits, authority=session.authority)
            self._prompts.ask(place, self._prompt(opened, session.payee), partial(self._settle, bounds))
        except BaseException as error:
            if isinstance(error, Exception):
                place.error = error
            self._prompts.leave(place)
            raise
        return place

    def _prompt(self, order: Order, payee: str) -> Prompt:
        return Prompt(
            order_id=order.id,
            app_id=order.app_id,
            user=order.user,
            payee=payee,
            amount_text=amount_text(order.money),
            subject=order.subject,
            digest=digest(order, payee),
            token=self._tokens(),
            expires_us=min(self._store.now_us() + LIFE_US, order.expires_us),
        )

    async def _settle(self, bounds: Bounds, prompt: Prompt, answer: Answer) -> Order:
        return await self._store.write(lambda tx: steps.settle(tx, prompt, answer, bounds))

    # -- payment.query
    def query(self, session: Session, params: QueryParams) -> OrderResult:
        """Raises ApiError NOT_FOUND, the same for an order that does not exist and one of another program or user."""
        return OrderResult.of(self._look(session, order_id=params.order_id, out_trade_no=params.out_trade_no))

    def _look(self, session: Session, *, order_id: str | None, out_trade_no: str | None = None) -> Order:
        """The order as it is now: expired if its time is over, pending again if its prompt is gone."""

        def find(tx: Transaction) -> Order:
            if order_id is not None:
                found = records.order_by_id(tx, session.app_id, order_id)
            else:
                found = records.order_by_trade_no(tx, session.app_id, out_trade_no or "")
            return at(steps.own_order(found, session.user), tx.now_us)

        order = self._store.read(find)
        if order.status is Status.CONFIRMING:
            place = self._prompts.find(session.app_id, session.user)
            if place is None or place.order_id != order.id:
                return after(order, Event.WITHDRAW)
        return order


def _not_interactive() -> ApiError:
    return ApiError(ErrorCode.NOT_INTERACTIVE, ErrorCode.NOT_INTERACTIVE.cure)


def _wanted(app_id: str, user: str, order_id: str, params: CreateParams, now_us: int) -> Order:
    """The order as it would be, created at that time."""
    return Order(
        id=order_id,
        app_id=app_id,
        user=user,
        out_trade_no=params.out_trade_no,
        money=params.amount,
        subject=params.subject,
        created_us=now_us,
        expires_us=now_us + params.ttl_s * 1_000_000,
    )
