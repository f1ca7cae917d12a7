"""The shop: every way in which a checkout can go, and what is left when it is cut off."""

from __future__ import annotations

from typing import Any

import pytest

SLOT = "2026-11-23T09"


def yuan(fen: int) -> dict[str, Any]:
    return {"amount": fen, "currency": "CNY"}


def quantities(cart: Any) -> dict[str, int]:
    return {line["sku"]: line["quantity"] for line in cart["lines"]}


def only_order(shop: Any) -> Any:
    (order,) = shop.host.orders.values()
    return order


def test_a_confirmed_checkout_is_paid_recorded_and_empties_the_cart(shop: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 3, "milk": 1}})
    answer = shop.call("checkout", {"slot": SLOT})
    order = answer["order"]
    assert answer["payment"] == "succeeded" and order["status"] == "paid" and order["slot"] == SLOT
    assert only_order(shop)["amount"] == order["total"] == yuan(4250)
    assert shop.host.stored[f"order/{order['number']}"][0] == order
    assert quantities(shop.call("cart.show")) == {}
    shown = shop.call("order.show", {"order_id": order["order_id"]})
    assert shown == {"payment": "succeeded", "close_reason": None, "order": order}
    (listed,) = shop.call("orders.list")["orders"]
    assert (
        listed["order_id"] == order["order_id"] and listed["payment"] == "succeeded" and listed["total"] == yuan(4250)
    )


def test_the_record_is_there_before_money_is_asked_for(shop: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 1}})
    shop.call("checkout", {"slot": SLOT})
    methods = [method for method, params in shop.host.requests if not str(params.get("key", "")).startswith("cart")]
    assert methods.index("storage.put") < methods.index("payment.request")


def test_wait_ms_is_the_users_time(shop: Any, code: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 1}})
    shop.call("checkout", {"slot": SLOT, "wait_ms": 5})
    assert ("payment.request", {"order_id": only_order(shop)["order_id"], "wait_ms": 5}) in shop.host.requests
    assert code("checkout", {"slot": SLOT, "wait_ms": -1}) == "invalid_params"
    assert code("checkout", {"slot": SLOT, "wait_ms": "5"}) == "invalid_params"


def test_a_declined_checkout_keeps_the_cart_and_can_be_tried_again(shop: Any, code: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 3}})
    shop.host.cashier = lambda order: order.update(status="pending")
    assert code("checkout", {"slot": SLOT}) == "declined"
    assert quantities(shop.call("cart.show")) == {"apple": 3}
    shop.host.cashier = lambda order: order.update(status="succeeded")
    assert shop.call("checkout", {"slot": "2026-11-23T12"})["order"]["slot"] == "2026-11-23T12"
    assert len(shop.host.orders) == 1  # the same cart is the same order


def test_an_error_of_the_cashier_is_passed_on_and_keeps_the_cart(shop: Any, code: Any, refused: Any) -> None:
    def busy(_: Any) -> None:
        raise refused("cashier_busy")

    shop.call("cart.add", {"items": {"apple": 3}})
    shop.host.cashier = busy
    assert code("checkout", {"slot": SLOT}) == "cashier_busy"
    assert quantities(shop.call("cart.show")) == {"apple": 3}


def test_a_closed_order_is_replaced_and_its_record_goes(shop: Any, code: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 3}})
    shop.host.cashier = lambda order: order.update(status="closed", close_reason="declined")
    assert code("checkout", {"slot": SLOT}) == "declined"
    assert list(shop.host.stored) == ["cart"]
    shop.host.cashier = lambda order: order.update(status="succeeded")
    assert shop.call("checkout", {"slot": SLOT})["payment"] == "succeeded"
    assert [order["status"] for order in shop.host.orders.values()] == ["closed", "succeeded"]


def test_a_changed_price_makes_a_new_order(shop: Any, code: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 1}})
    shop.host.cashier = lambda order: order.update(status="pending")
    assert code("checkout", {"slot": SLOT}) == "declined"
    shop.host.config = {"delivery_fee": 700}
    shop.host.cashier = lambda order: order.update(status="succeeded")
    assert shop.call("checkout", {"slot": SLOT})["order"]["total"] == yuan(1390)
    assert [order["amount"]["amount"] for order in shop.host.orders.values()] == [1290, 1390]


def test_a_payment_confirmed_later_is_settled_by_order_show(shop: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 3, "milk": 1}})
    shop.host.cashier = lambda order: order.update(status="confirming")
    answer = shop.call("checkout", {"slot": SLOT, "wait_ms": 0})
    assert answer["payment"] == "confirming" and answer["order"]["status"] == "unpaid"
    shop.call("cart.add", {"items": {"apple": 2, "rice": 1}})
    only_order(shop)["status"] = "succeeded"
    shown = shop.call("order.show", {"order_id": answer["order"]["order_id"]})
    assert shown["order"]["status"] == "paid"
    assert quantities(shop.call("cart.show")) == {"apple": 2, "rice": 1}  # what came later stays
    assert shop.call("order.show", {"order_id": answer["order"]["order_id"]}) == shown
    assert quantities(shop.call("cart.show")) == {"apple": 2, "rice": 1}  # and is taken out once only


def test_a_checkout_cut_off_after_the_payment_is_settled_by_the_list(shop: Any) -> None:
    def cut_off(params: Any) -> None:
        raise KeyboardInterrupt  # the call is gone; nothing after it runs

    shop.call("cart.add", {"items": {"apple": 3}})
    shop.host.before["payment.request"] = cut_off
    with pytest.raises(KeyboardInterrupt):
        shop.call("checkout", {"slot": SLOT})
    shop.host.before.clear()
    only_order(shop)["status"] = "succeeded"
    (listed,) = shop.call("orders.list")["orders"]
    assert listed["payment"] == "succeeded" and quantities(shop.call("cart.show")) == {}


def test_a_checkout_tried_again_after_the_payment_does_not_ask_for_money_again(shop: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 3}})
    shop.host.cashier = lambda order: order.update(status="confirming")
    shop.call("checkout", {"slot": SLOT, "wait_ms": 0})
    only_order(shop)["status"] = "succeeded"
    shop.host.requests.clear()
    assert shop.call("checkout", {"slot": SLOT})["order"]["status"] == "paid"
    assert "payment.request" not in [method for method, _ in shop.host.requests] and len(shop.host.orders) == 1


def test_paid_is_paid_even_if_the_cart_cannot_be_emptied(shop: Any, refused: Any) -> None:
    def full(params: Any) -> None:
        if params["key"] == "cart":
            raise refused("quota_exceeded")

    shop.call("cart.add", {"items": {"apple": 3}})
    shop.host.before["storage.put"] = full
    assert shop.call("checkout", {"slot": SLOT})["order"]["status"] == "paid"
    logged = [params for method, params in shop.host.requests if method == "log.write"]
    assert logged == [{"level": "warning", "message": "paid, but the cart could not be emptied"}]


def test_a_closed_order_is_not_listed(shop: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 3}})
    shop.host.cashier = lambda order: order.update(status="confirming")
    shop.call("checkout", {"slot": SLOT, "wait_ms": 0})
    only_order(shop).update(status="closed", close_reason="expired")
    assert shop.call("orders.list") == {"orders": [], "next": None}
    assert list(shop.host.stored) == ["cart"]


def test_orders_are_listed_newest_first_in_pages(shop: Any) -> None:
    for _ in range(23):
        shop.host.now_ms += 1000
        shop.call("cart.add", {"items": {"apple": 1}})
        shop.call("checkout", {"slot": SLOT})
    first = shop.call("orders.list")
    second = shop.call("orders.list", {"after": first["next"]})
    placed = [order["placed_ms"] for order in first["orders"] + second["orders"]]
    assert (len(first["orders"]), len(second["orders"]), second["next"]) == (20, 3, None)
    assert placed == sorted(placed, reverse=True)


def test_two_users_never_share_an_order_number(shop: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 1}})
    shop.call("checkout", {"slot": SLOT})
    shop.host.stored = {}  # another user: own storage, same time, same goods, same program
    shop.call("cart.add", {"items": {"apple": 1}})
    shop.call("checkout", {"slot": SLOT})
    assert len(shop.host.orders) == 2


def test_the_largest_order_fits(shop: Any) -> None:
    item = {"name": {"zh": "国" * 21, "en": "n" * 64}, "unit": {"zh": "斤" * 21, "en": "u" * 64}, "price": 50}
    shop.host.config = {"catalogue": {f"{n:032}": item for n in range(40)}}
    shop.call("cart.add", {"items": {f"{n:032}": 99 for n in range(40)}})
    order = shop.call("checkout", {"slot": SLOT})["order"]
    assert len(order["lines"]) == 40 and order["total"] == yuan(40 * 99 * 50)


def test_refusals_of_checkout(shop: Any, code: Any) -> None:
    assert code("checkout", {"slot": SLOT}) == "empty_cart"
    shop.call("cart.add", {"items": {"apple": 1}})
    assert code("checkout") == "invalid_params"
    assert code("checkout", {"slot": "2026-11-22T09"}) == "unknown_slot"  # over
    assert code("checkout", {"slot": "soon"}) == "unknown_slot"
    assert shop.host.orders == {}


def test_an_order_id_that_is_not_ones_own_is_the_hosts_not_found(shop: Any, refused: Any, code: Any) -> None:
    with pytest.raises(refused) as caught:
        shop.call("order.show", {"order_id": "made up"})
    assert caught.value.wire["code"] == "not_found" and caught.value.wire["details"] == {"order_id": "made up"}
    assert code("order.show") == "invalid_params"


def test_an_unknown_method(code: Any) -> None:
    assert code("cart.steal") == "unknown_method"


@pytest.mark.parametrize("method", ["session.info", "storage.get", "storage.put"])
def test_a_refusal_of_the_host_is_passed_on_whole(shop: Any, refused: Any, method: str) -> None:
    def refuse(_: Any) -> None:
        raise refused("capability_not_granted", capability="storage")

    shop.host.before[method] = refuse
    with pytest.raises(refused) as caught:
        shop.call("cart.add", {"items": {"apple": 1}})
    assert caught.value.wire["code"] == "capability_not_granted"
    assert caught.value.wire["details"] == {"capability": "storage"}
