"""The payment service: its methods, as sessions call them.

What lives here: who may ask, and the keys. What is checked and written is in steps.py and refunds.py, what an order is
in orders.py, and how the user is asked in checkout.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from host_api import audit
from host_api.contract import Bound, Codec, Method, Result, Session, acting_user
from host_api.errors import ApiError, ErrorCode
from host_api.idempotency import KeyedRequest, fingerprint, once
from host_api.payment import records, refunds, steps
from host_api.payment.bounds import Bounds
from host_api.payment.checkout import Checkout
from host_api.payment.fees import FeeTerms
from host_api.payment.methods import (
    CAPTURE,
    CLOSE,
    CREATE,
    QUERY,
    REQUEST,
    CaptureParams,
    CloseParams,
    CreateParams,
    OrderResult,
    QueryParams,
    RequestParams,
)
from host_api.payment.orders import Capture, Order
from host_api.payment.refund_methods import REFUND, REFUND_QUERY, RefundParams, RefundQueryParams, RefundResult
from host_api.payment.standing import as_seen, own_order
from host_api.prompts.desk import Desk
from host_api.store.protocol import Store, Transaction

SCHEMA: Final = 1
"""Counts what the params of methods with a key mean, for idempotency; see idempotency.py."""

R = TypeVar("R", bound=Result)


class PaymentService:
    """Orders, payments and refunds of all programs. Holds nothing but what it was given.

    `desk`: where users are asked; prompts of payments are registered there. `ids`: a new id of 128 random bits, as text
    of at most 64 characters.
    """

    def __init__(self, *, store: Store, codec: Codec, desk: Desk, ids: Callable[[], str]) -> None:
        self._store = store
        self._codec = codec
        self._desk = desk
        self._ids = ids
        self._checkout = Checkout(store=store, desk=desk)

    def bound(self) -> tuple[Bound, ...]:
        return (
            Bound(CREATE, self.create),
            Bound(REQUEST, self.request),
            Bound(CAPTURE, self.capture),
            Bound(QUERY, self.query),
            Bound(CLOSE, self.close),
            Bound(REFUND, self.refund),
            Bound(REFUND_QUERY, self.refund_query),
        )

    async def set_fee_terms(self, app_id: str, terms: FeeTerms) -> None:
        """The operator's: what the program's payee pays from the next capture on."""

        def job(tx: Transaction) -> None:
            records.set_fee_terms(tx, app_id, terms)
            audit.record(tx, "program.fees", app_id=app_id, bps=terms.bps, fixed=terms.fixed)

        await self._store.write(job)

    # -- payment.create
    async def create(self, session: Session, params: CreateParams) -> OrderResult:
        """Raises ApiError as steps.create; INVALID_PARAMS for a session without a user: nobody could pay."""
        acting_user(session)
        content: dict[str, Any] = {
            "out_trade_no": params.out_trade_no,
            "amount": [params.amount.amount, params.amount.currency],
            "subject": params.subject,
            "ttl_s": params.ttl_s,
        }
        if params.capture != "auto":  # newer than the rest: a request without it is what it was before
            content["capture"] = params.capture
        order_id = self._ids()
        bounds = Bounds(limits=session.limits, authority=session.authority)

        def effect(tx: Transaction) -> OrderResult:
            return steps.create(tx, _wanted(session.app_id, session.user, order_id, params, tx.now_us), bounds)

        return await self._once(session, CREATE, params.key, content, effect)

    # -- payment.request
    async def request(self, session: Session, params: RequestParams) -> OrderResult:
        """See Checkout.request."""
        return await self._checkout.request(session, params)

    # -- payment.capture, payment.close
    async def capture(self, session: Session, params: CaptureParams) -> OrderResult:
        """Raises ApiError as steps.capture; what hangs on the order's state is kept under the key."""

        def effect(tx: Transaction) -> OrderResult:
            return steps.capture(tx, session.app_id, session.user, params.order_id, params.amount, session.authority)

        content = {"order_id": params.order_id, "amount": params.amount}
        return await self._once(session, CAPTURE, params.key, content, effect, steps.CAPTURE_KEEPS)

    async def close(self, session: Session, params: CloseParams) -> OrderResult:
        """Raises ApiError as steps.close. A prompt that was open for the order is gone, and who waited for it woken."""

        def effect(tx: Transaction) -> OrderResult:
            return steps.close(tx, session.app_id, session.user, params.order_id)

        closed = await self._once(session, CLOSE, params.key, {"order_id": params.order_id}, effect)
        self._desk.refresh(session.app_id, session.user)
        return closed

    # -- payment.refund, payment.refund_query
    async def refund(self, session: Session, params: RefundParams) -> RefundResult:
        """Raises ApiError as refunds.refund; what hangs on order and merchant account is kept under the key."""
        refund_id = self._ids()
        who = session.app_id, session.user

        def effect(tx: Transaction) -> RefundResult:
            return refunds.refund(tx, *who, refund_id, params, session.authority)

        content = {name: getattr(params, name) for name in ("order_id", "out_request_no", "amount", "reason")}
        return await self._once(session, REFUND, params.key, content, effect, refunds.REFUND_KEEPS)

    def refund_query(self, session: Session, params: RefundQueryParams) -> RefundResult:
        """Raises ApiError NOT_FOUND, the same for what does not exist and what is another program's or user's."""
        return self._store.read(
            lambda tx: refunds.query(tx, session.app_id, session.user, params.order_id, params.out_request_no)
        )

    async def _once(
        self,
        session: Session,
        method: Method[Any, R],
        key: str,
        content: Mapping[str, Any],
        effect: Callable[[Transaction], R],
        keeps: frozenset[ErrorCode] = frozenset(),
    ) -> R:
        """Carries a request with a key out. The hand-over to the store is the point of no return: the grant is asked
        once more right before it."""
        keyed = KeyedRequest(
            app_id=session.app_id,
            user=session.user,
            method=method.name,
            key=key,
            schema_version=SCHEMA,
            fingerprint=fingerprint(self._codec, method.name, SCHEMA, content),
        )
        if method.capability is not None:
            session.authority.require(method.capability, self._store.now_us())
        given = await self._store.write(
            lambda tx: once(tx, keyed, lambda: effect(tx), codec=self._codec, result=method.result, keeps=keeps)
        )
        if isinstance(given, ApiError):
            raise given
        return given

    # -- payment.query
    def query(self, session: Session, params: QueryParams) -> OrderResult:
        """Raises ApiError NOT_FOUND, the same for an order that does not exist and one of another program or user."""

        def find(tx: Transaction) -> Order:
            if params.order_id is not None:
                found = records.order_by_id(tx, session.app_id, params.order_id)
            else:
                found = records.order_by_trade_no(tx, session.app_id, params.out_trade_no or "")
            return as_seen(tx, own_order(found, session.user))

        return OrderResult.of(self._store.read(find))


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
        capture=Capture(params.capture),
    )
