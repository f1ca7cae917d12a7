"""The order's table cell by cell, logical expiry, and the confirmation's digest."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace

from host_api.errors import ApiError, ErrorCode
from host_api.money import Money
from host_api.payment.orders import (
    REFUND_WINDOW_US,
    TRANSITIONS,
    Capture,
    CloseReason,
    Effect,
    Event,
    Order,
    Status,
    after,
    at,
    digest,
    exact,
)

S, E, R = Status, Event, CloseReason
EXPECTED: dict[tuple[Status, Event], tuple[Status, CloseReason | None, Effect]] = {
    (S.PENDING, E.REQUEST): (S.CONFIRMING, None, Effect.NONE),
    (S.PENDING, E.CLOSE): (S.CLOSED, R.CLOSED, Effect.NONE),
    (S.PENDING, E.EXPIRE): (S.CLOSED, R.EXPIRED, Effect.NONE),
    (S.PENDING, E.UNINSTALL): (S.CLOSED, R.UNINSTALLED, Effect.NONE),
    (S.PENDING, E.REVOKE): (S.CLOSED, R.REVOKED, Effect.NONE),
    (S.CONFIRMING, E.CONFIRM): (S.SUCCEEDED, None, Effect.PAY),
    (S.CONFIRMING, E.AUTHORIZE): (S.AUTHORIZED, None, Effect.HOLD),
    (S.CONFIRMING, E.DECLINE): (S.PENDING, None, Effect.NONE),
    (S.CONFIRMING, E.PROMPT_TIMEOUT): (S.PENDING, None, Effect.NONE),
    (S.CONFIRMING, E.LAST_DECLINE): (S.CLOSED, R.DECLINED, Effect.NONE),
    (S.CONFIRMING, E.WITHDRAW): (S.PENDING, None, Effect.NONE),
    (S.CONFIRMING, E.NO_FUNDS): (S.CLOSED, R.NO_FUNDS, Effect.NONE),
    (S.CONFIRMING, E.OVER_LIMIT): (S.CLOSED, R.LIMIT, Effect.NONE),
    (S.CONFIRMING, E.CLOSE): (S.CLOSED, R.CLOSED, Effect.NONE),
    (S.CONFIRMING, E.EXPIRE): (S.CLOSED, R.EXPIRED, Effect.NONE),
    (S.CONFIRMING, E.UNINSTALL): (S.CLOSED, R.UNINSTALLED, Effect.NONE),
    (S.CONFIRMING, E.REVOKE): (S.CLOSED, R.REVOKED, Effect.NONE),
    (S.AUTHORIZED, E.CAPTURE): (S.SUCCEEDED, None, Effect.POST),
    (S.AUTHORIZED, E.CLOSE): (S.CLOSED, R.VOIDED, Effect.VOID),
    (S.AUTHORIZED, E.EXPIRE): (S.CLOSED, R.EXPIRED, Effect.VOID),
    (S.AUTHORIZED, E.UNINSTALL): (S.CLOSED, R.UNINSTALLED, Effect.VOID),
    (S.AUTHORIZED, E.REVOKE): (S.CLOSED, R.REVOKED, Effect.VOID),
    (S.SUCCEEDED, E.REFUND): (S.SUCCEEDED, None, Effect.REFUND),
    (S.SUCCEEDED, E.FINISH): (S.FINISHED, None, Effect.NONE),
}
"""Written here a second time on purpose: a change of the table must be made in two places."""


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "id": "o1",
        "app_id": "shop",
        "user": "alice",
        "out_trade_no": "1",
        "money": Money(amount=1250, currency="CNY"),
        "subject": "Tea",
        "created_us": 1_000,
        "expires_us": 2_000,
    }
    return Order(**{**fields, **changes})


@pytest.mark.parametrize(("status", "event"), list(product(Status, Event)))
def test_every_cell_of_the_table(status: Status, event: Event) -> None:
    before = order(status=status, close_reason=R.CLOSED if status is S.CLOSED else None, version=4)
    expected = EXPECTED.get((status, event))
    if expected is None:
        with pytest.raises(ApiError) as refused:
            after(before, event)
        finished = (status, event) == (S.FINISHED, E.REFUND)
        assert refused.value.code is (ErrorCode.REFUND_WINDOW_OVER if finished else ErrorCode.INVALID_STATE)
        assert refused.value.details["status"] == status.value
        return
    changed = after(before, event)
    assert (changed.status, changed.close_reason, TRANSITIONS[status, event].effect) == expected
    declined = event in (E.DECLINE, E.PROMPT_TIMEOUT, E.LAST_DECLINE)
    assert changed == replace(
        before, status=expected[0], close_reason=expected[1], version=5, declines=1 if declined else 0
    )


def test_the_table_has_these_cells_and_no_others() -> None:
    assert set(TRANSITIONS) == set(EXPECTED)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (R.EXPIRED, ErrorCode.EXPIRED),
        (R.DECLINED, ErrorCode.DECLINED),
        (R.NO_FUNDS, ErrorCode.INSUFFICIENT_FUNDS),
        (R.LIMIT, ErrorCode.INVALID_STATE),
        (R.CLOSED, ErrorCode.INVALID_STATE),
        (R.VOIDED, ErrorCode.INVALID_STATE),
        (R.UNINSTALLED, ErrorCode.INVALID_STATE),
        (R.REVOKED, ErrorCode.INVALID_STATE),
    ],
)
@pytest.mark.parametrize("event", [E.REQUEST, E.CAPTURE, E.CLOSE, E.REFUND])
def test_a_closed_order_answers_why_it_is_closed(reason: CloseReason, code: ErrorCode, event: Event) -> None:
    with pytest.raises(ApiError) as refused:
        after(order(status=S.CLOSED, close_reason=reason), event)
    assert refused.value.code is code
    assert refused.value.details == {"status": "closed", "close_reason": reason.value}


@pytest.mark.parametrize(
    ("changes", "due_us", "then"),
    [
        ({"status": S.PENDING}, 2_000, (S.CLOSED, R.EXPIRED)),
        ({"status": S.CONFIRMING}, 2_000, (S.CLOSED, R.EXPIRED)),
        ({"status": S.AUTHORIZED, "hold_until_us": 7_000}, 7_000, (S.CLOSED, R.EXPIRED)),
        ({"status": S.SUCCEEDED, "captured_us": 1_500}, 1_500 + REFUND_WINDOW_US, (S.FINISHED, None)),
    ],
)
def test_what_time_does_is_exact(changes: dict[str, Any], due_us: int, then: tuple[Status, CloseReason | None]) -> None:
    before = order(**changes)
    assert before.due_us == due_us
    assert at(before, due_us - 1) is before
    over = at(before, due_us)
    assert (over.status, over.close_reason) == then
    assert at(over, 2**62) is over


@pytest.mark.parametrize("status", [S.CLOSED, S.FINISHED])
def test_closed_and_finished_are_the_end(status: Status) -> None:
    assert status not in {before for before, _ in TRANSITIONS}
    before = order(status=status, close_reason=R.DECLINED if status is S.CLOSED else None)
    assert at(before, 2**62) is before


@pytest.mark.parametrize("event", [E.DECLINE, E.PROMPT_TIMEOUT])
def test_the_third_no_is_the_last(event: Event) -> None:
    assert [exact(order(declines=n), event) for n in range(3)] == [event, event, E.LAST_DECLINE]


def test_a_yes_takes_the_money_or_holds_it() -> None:
    assert exact(order(), E.CONFIRM) is E.CONFIRM
    assert exact(order(capture=Capture.MANUAL), E.CONFIRM) is E.AUTHORIZE


def test_the_same_request_is_the_same_in_every_word() -> None:
    changes: list[dict[str, Any]] = [
        {"app_id": "other"}, {"user": "bob"}, {"out_trade_no": "2"}, {"money": Money(amount=1, currency="CNY")},
        {"subject": "Cake"}, {"expires_us": 2_001}, {"capture": Capture.MANUAL},
    ]  # fmt: skip
    assert order().same_request(order(id="o2", created_us=1_100, expires_us=2_100, status=S.CONFIRMING, version=2))
    assert not any(order().same_request(order(**change)) for change in changes)


def test_the_digest_covers_order_version_amount_currency_and_payee() -> None:
    digests = {
        digest(order(), "Shop"),
        digest(order(id="o2"), "Shop"),
        digest(order(version=2), "Shop"),
        digest(order(money=Money(amount=1251, currency="CNY")), "Shop"),
        digest(order(money=Money(amount=1250, currency="EUR")), "Shop"),
        digest(order(), "Shop2"),
        digest(order(id="o11", version=1), "Shop"),
        digest(order(id="o1", version=11), "Shop"),
    }
    assert len(digests) == 8
    assert digest(order(version=3), "Shop", version=1) == digest(order(version=1), "Shop")
