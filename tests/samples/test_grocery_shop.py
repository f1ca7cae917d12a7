"""The shop: catalogue and configuration, cart, delivery slots."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HOUR_MS = 3_600_000
SLOT = "2026-11-23T09"
README = Path(__file__).resolve().parents[2] / "sample_programs/grocery_delivery/README.md"


def yuan(fen: int) -> dict[str, Any]:
    return {"amount": fen, "currency": "CNY"}


def quantities(cart: Any) -> dict[str, int]:
    return {line["sku"]: line["quantity"] for line in cart["lines"]}


# ---- catalogue and configuration -------------------------------------------------------------------------------------
def test_the_catalogue_has_names_in_two_languages_and_prices_in_fen(shop: Any) -> None:
    found = shop.call("catalogue.list")
    assert found["shop"] == "鲜到家买菜" and found["delivery_fee"] == yuan(600)
    apple = found["items"][0]
    assert apple["sku"] == "apple" and apple["name"] == {"zh": "红富士苹果", "en": "Fuji apples"}
    assert apple["price"] == yuan(690) and apple["stock"] == "plenty"
    assert len({item["sku"] for item in found["items"]}) == len(found["items"]) == 16


def test_a_shopkeeper_sets_goods_and_fees_in_the_configuration(shop: Any) -> None:
    tea = {"name": {"zh": "茶"}, "unit": "100 g", "price": 1500, "stock": "few"}
    shop.host.config = {"shop": "Tea house", "delivery_fee": 0, "free_delivery_from": 0, "catalogue": {"tea": tea}}
    found = shop.call("catalogue.list")
    assert found["shop"] == "Tea house" and found["delivery_fee"] == yuan(0)
    assert found["items"] == [
        {
            "sku": "tea",
            "name": {"zh": "茶", "en": "茶"},
            "unit": {"zh": "100 g", "en": "100 g"},
            "price": yuan(1500),
            "stock": "few",
        }
    ]
    assert shop.call("cart.add", {"items": {"tea": 2}})["total"] == yuan(3000)


def test_the_configuration_of_the_readme_opens_the_shop(shop: Any) -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    shop.host.config = json.loads(example)
    assert [item["sku"] for item in shop.call("catalogue.list")["items"]] == ["apple", "tea"]


def test_the_largest_catalogue_fits_the_answer_and_one_more_does_not_open(shop: Any, code: Any) -> None:
    item = {
        "name": {"zh": "国" * 21, "en": "n" * 64},
        "unit": {"zh": "斤" * 21, "en": "u" * 64},
        "price": 10_000_000,
        "stock": "plenty",
    }
    shop.host.config = {"catalogue": {f"{n:032}": item for n in range(100)}}
    assert len(shop.call("catalogue.list")["items"]) == 100
    shop.host.config["catalogue"]["one more"] = item
    assert code("catalogue.list") == "bad_config"


@pytest.mark.parametrize(
    "config",
    [
        {"delivery_fee": -1}, {"delivery_fee": 1.5}, {"free_delivery_from": "99"}, {"utc_offset_minutes": 10_000},
        {"catalogue": []}, {"catalogue": {"a": {"name": "A", "unit": "1", "price": 0}}},
        {"catalogue": {"a": {"name": "A", "unit": "1", "price": 10.0}}},
        {"catalogue": {"a": {"unit": "1", "price": 1}}},
        {"catalogue": {"a" * 33: {"name": "A", "unit": "1", "price": 1}}}, {"catalogue": {"a": None}},
    ],
)  # fmt: skip
def test_a_wrong_configuration_keeps_the_shop_shut(shop: Any, code: Any, config: Any) -> None:
    shop.host.config = config
    assert code("catalogue.list") == "bad_config"


# ---- cart ------------------------------------------------------------------------------------------------------------
def test_several_items_are_added_at_once_and_summed(shop: Any) -> None:
    cart = shop.call("cart.add", {"items": {"apple": 3, "milk": 1}})
    assert quantities(cart) == {"apple": 3, "milk": 1}
    assert (cart["goods"], cart["delivery_fee"], cart["total"]) == (yuan(3650), yuan(600), yuan(4250))
    cart = shop.call("cart.add", {"items": {"apple": 2}})
    assert quantities(cart) == {"apple": 5, "milk": 1} and cart["version"] == 2
    assert shop.call("cart.show") == cart


def test_delivery_is_free_from_a_sum_on(shop: Any) -> None:
    shop.host.config = {"free_delivery_from": 6900}
    assert shop.call("cart.add", {"items": {"apple": 9}})["delivery_fee"] == yuan(600)
    assert shop.call("cart.add", {"items": {"apple": 1}})["delivery_fee"] == yuan(0)


def test_set_replaces_and_zero_takes_out(shop: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 3, "milk": 1}})
    assert quantities(shop.call("cart.set", {"items": {"apple": 99, "milk": 0, "rice": 1}})) == {"apple": 99, "rice": 1}
    assert quantities(shop.call("cart.clear")) == {}
    assert shop.call("cart.show")["total"] == yuan(0)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({"gold": 1}, "unknown_sku"), ({"shrimp": 1}, "sold_out"), ({}, "invalid_params"), (None, "invalid_params"),
        ({"apple": 0}, "quantity_out_of_range"), ({"apple": 100}, "quantity_out_of_range"),
        ({"apple": -1}, "quantity_out_of_range"),
        ({"apple": 1.0}, "invalid_params"), ({"apple": "1"}, "invalid_params"), ({"apple": True}, "invalid_params"),
        ({"apple": 2**40}, "invalid_params"), ({"a" * 33: 1}, "invalid_params"), ([["apple", 1]], "invalid_params"),
        ({"apple": 1, "gold": 1}, "unknown_sku"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_is_refused_and_changes_nothing(shop: Any, code: Any, items: Any, expected: str) -> None:
    assert code("cart.add", {"items": items}) == expected
    assert shop.host.stored == {}


def test_a_quantity_stays_in_bounds_over_several_adds(shop: Any, code: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 98}})
    assert code("cart.add", {"items": {"apple": 2}}) == "quantity_out_of_range"
    assert quantities(shop.call("cart.add", {"items": {"apple": 1}})) == {"apple": 99}


def test_a_cart_takes_forty_kinds(shop: Any, code: Any) -> None:
    shop.host.config = {"catalogue": {f"s{n}": {"name": "S", "unit": "1", "price": 10_000_000} for n in range(41)}}
    cart = shop.call("cart.add", {"items": {f"s{n}": 99 for n in range(40)}})
    assert cart["total"] == yuan(40 * 99 * 10_000_000)
    assert code("cart.add", {"items": {"s40": 1}}) == "cart_full"


def test_the_refusal_names_the_sku(shop: Any, refused: Any) -> None:
    with pytest.raises(refused) as caught:
        shop.call("cart.add", {"items": {"gold": 1}})
    assert caught.value.wire["details"] == {"sku": "gold"} and caught.value.wire["retryable"] is False


def test_a_change_made_meanwhile_is_kept(shop: Any) -> None:
    def meanwhile(_: Any) -> None:
        del shop.host.before["storage.put"]
        value, version = shop.host.stored["cart"]
        shop.host.stored["cart"] = ({**value, "items": {**value["items"], "milk": 2}}, version + 1)

    shop.call("cart.add", {"items": {"apple": 1}})
    shop.host.before["storage.put"] = meanwhile
    assert quantities(shop.call("cart.add", {"items": {"apple": 1}})) == {"apple": 2, "milk": 2}


def test_a_cart_that_never_stands_still_is_the_hosts_error(shop: Any, code: Any) -> None:
    def always(_: Any) -> None:
        shop.host.stored["cart"] = ({}, shop.host.stored.get("cart", (None, 0))[1] + 1)

    shop.host.before["storage.put"] = always
    assert code("cart.add", {"items": {"apple": 1}}) == "version_conflict"
    assert code("cart.clear") == "version_conflict"


def test_what_is_not_sold_any_more_is_shown_not_counted_and_keeps_the_checkout_shut(shop: Any, code: Any) -> None:
    shop.call("cart.add", {"items": {"apple": 1, "milk": 1}})
    shop.host.config = {"catalogue": {"apple": {"name": "A", "unit": "1", "price": 100}}}
    cart = shop.call("cart.show")
    assert (cart["unavailable"], cart["goods"]) == (1, yuan(100))
    assert cart["lines"][1] == {"sku": "milk", "quantity": 1, "available": False}
    assert code("checkout", {"slot": SLOT}) == "unavailable_item"
    assert shop.call("cart.set", {"items": {"milk": 0}})["unavailable"] == 0


SOME_ITEMS = st.dictionaries(
    st.sampled_from(["apple", "milk", "rice", "tofu"]), st.integers(-1, 101), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(["cart.add", "cart.set"]), SOME_ITEMS), max_size=8))
def test_a_cart_follows_its_model(guest: Callable[[str], Any], refused: Any, changes: Any) -> None:
    shop = guest("grocery_delivery")
    model: dict[str, int] = {}
    for method, items in changes:
        add = method == "cart.add"
        wanted = {sku: n + (model.get(sku, 0) if add else 0) for sku, n in items.items()}
        allowed = all(
            (1 <= wanted[sku] <= 99 and (n >= 1 or not add)) or (n == 0 and not add) for sku, n in items.items()
        )
        try:
            shop.call(method, {"items": items})
        except refused as error:
            assert not allowed and error.wire["code"] == "quantity_out_of_range"
        else:
            assert allowed
            model = {sku: n for sku, n in {**model, **wanted}.items() if n > 0}
        assert quantities(shop.call("cart.show")) == model


# ---- slots -----------------------------------------------------------------------------------------------------------
def test_slots_are_the_next_two_days_from_an_hour_ahead(shop: Any) -> None:
    slots = shop.call("slots.list")["slots"]
    assert [slot["slot"] for slot in slots] == [
        "2026-11-22T18", "2026-11-23T09", "2026-11-23T12", "2026-11-23T15", "2026-11-23T18", "2026-11-24T09",
        "2026-11-24T12", "2026-11-24T15",
    ]  # fmt: skip
    assert slots[0] == {
        "slot": "2026-11-22T18", "date": "2026-11-22", "from": "18:00", "to": "21:00",
        "starts_ms": shop.host.now_ms + 2 * HOUR_MS, "ends_ms": shop.host.now_ms + 5 * HOUR_MS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("now_ms", "offset", "first"),
    [
        (0, 0, "1970-01-01T09"), (951_782_400_000, 0, "2000-02-29T09"), (951_868_800_000 - 1, 0, "2000-03-01T09"),
        (1_798_761_599_000, 0, "2027-01-01T09"), (4_107_542_400_000, 0, "2100-03-01T09"), (0, -720, "1970-01-01T09"),
        (9_999_999_999_999, 840, "2286-11-21T09"),
    ],
)  # fmt: skip
def test_dates(shop: Any, now_ms: int, offset: int, first: str) -> None:
    shop.host.now_ms, shop.host.config = now_ms, {"utc_offset_minutes": offset}
    assert shop.call("slots.list")["slots"][0]["slot"] == first
