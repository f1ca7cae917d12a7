"""Goods that were missing from a delivery: who may report them, and that each is paid back once whatever is cut off."""

from __future__ import annotations

from typing import Any

import pytest

SLOT = "2026-11-24T09"
CODE = "spring-onion-17"


@pytest.fixture
def order(shop: Any) -> Any:
    """A paid order of 3 apples and 2 milks, and a packer."""
    shop.host.config = {"staff_code": CODE}
    shop.host.user = "pan"
    assert shop.call("staff.join", {"code": CODE}) == {"staff": True}
    assert shop.call("staff.join", {"code": CODE}) == {"staff": True}
    shop.call("cart.add", {"items": {"apple": 3, "milk": 2}})
    slot = shop.call("slots.list")["slots"][0]["slot"]
    placed = shop.call("checkout", {"slot": slot})
    assert placed["payment"] == "succeeded"
    return placed["order"]


def show(shop: Any, order: Any) -> Any:
    return shop.call("order.show", {"order_id": order["order_id"]})["order"]


def report(shop: Any, order: Any, **items: int) -> Any:
    return shop.call("order.missing", {"number": order["number"], "items": items})


def refunds_asked(shop: Any) -> int:
    return [method for method, _ in shop.host.requests].count("payment.refund")


def test_what_is_missing_is_paid_back_once(shop: Any, order: Any) -> None:
    assert "refunds" not in show(shop, order)
    assert report(shop, order, milk=2)["missing"] == {"milk": 2}
    assert report(shop, order, milk=2, apple=1)["missing"] == {"milk": 2, "apple": 1}
    told = show(shop, order)
    assert told["refunded"] == {"amount": 2 * 1580 + 690, "currency": "CNY"}
    assert {(line["sku"], line["quantity"]) for line in told["refunds"]} == {("milk", 2), ("apple", 1)}
    assert show(shop, order) == told
    assert refunds_asked(shop) == 2 == len(shop.host.refunds)


def test_more_than_was_ordered_is_not_paid_back(shop: Any, order: Any) -> None:
    report(shop, order, apple=9, tofu=1)
    assert show(shop, order)["refunds"] == [
        {"sku": "apple", "quantity": 3, "amount": {"amount": 2070, "currency": "CNY"}}
    ]


def test_a_report_cannot_be_changed(shop: Any, order: Any, code: Any) -> None:
    report(shop, order, milk=2)
    assert code("order.missing", {"number": order["number"], "items": {"milk": 1}}) == "already_reported"
    assert shop.host.stored[f"missing/{order['number']}"][0] == {"milk": 2}


@pytest.mark.parametrize("items", [{}, {"milk": 0}, {"milk": 100}, {"milk": "2"}, [], "milk", {"": 1}, {"x" * 33: 1}])
def test_a_report_that_is_none_is_refused(shop: Any, order: Any, code: Any, items: Any) -> None:
    assert code("order.missing", {"number": order["number"], "items": items}) == "invalid_params"
    assert code("order.missing", {"items": {"milk": 1}}) == "invalid_params"


def test_only_packers_report(shop: Any, order: Any, code: Any) -> None:
    shop.host.user = "alice"
    assert code("order.missing", {"number": order["number"], "items": {"milk": 1}}) == "not_staff"
    assert code("staff.join", {"code": "another"}) == "not_staff"
    shop.host.config = {}
    for params in ({"code": CODE}, {"code": ""}, {}):
        assert code("staff.join", params) == "not_staff"


@pytest.mark.parametrize("method", ["payment.refund", "storage.put"])
def test_a_refund_that_is_cut_off_is_completed_by_the_next_look(
    shop: Any, order: Any, refused: Any, method: str
) -> None:
    report(shop, order, milk=1, apple=1)

    def fail(_params: Any) -> None:
        raise refused("busy")

    shop.host.before[method] = fail
    show(shop, order)
    assert "refunds" not in shop.host.stored[f"order/{order['number']}"][0]
    del shop.host.before[method]
    assert show(shop, order)["refunded"] == {"amount": 1580 + 690, "currency": "CNY"}
    assert len(shop.host.refunds) == 2
    assert shop.host.stored[f"order/{order['number']}"][0]["refunded"]["amount"] == 1580 + 690
