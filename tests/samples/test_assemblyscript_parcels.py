"""The parcel counter, cut off at any point and called again; its scenarios are played elsewhere (test_scenarios.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runtime import wire
from tests.samples.conftest import FakeHost, Guest, Refused

FROM = {"recipient": "Lin Mei", "city": "Hangzhou", "street": "1 West Lake Road"}
TO = {"recipient": "Jun", "city": "Hangzhou", "street": '3 "Gulou"\\ 鼓楼'}
SENT = {"from": FROM, "to": TO, "grams": 500, "contents": "Tea"}
CARRIER = "https://carrier.example"
SHOP = "org.example.shop"
Answer = dict[str, Any]
SCOPE = {"scope": "user"}
LEFT_OUT: dict[str, Answer] = {
    "storage.get": SCOPE, "storage.put": SCOPE, "storage.delete": SCOPE, "storage.list": {"after": "", **SCOPE},
    "payment.create": {"ttl_s": 900},
}  # fmt: skip
"""What the fake host wants to be told, and the program leaves at what it is by default."""


class CutOff(Exception):
    """The program is stopped here, as a host stops it that goes down."""


class Outside(FakeHost):
    """A host with a carrier, which gives each shipment one label."""

    def __init__(self) -> None:
        super().__init__()
        self.config = {"carrier": CARRIER}
        self.labels: dict[str, Answer] = {}
        self.paid_back: dict[str, int] = {}
        self.seen: Answer | bytes = {"state": "in_transit", "at": "Hangzhou", "moved_ms": 5}
        self.acked: list[int] = []
        self.caller = ""
        self.cut_before: int | None = None
        self.cut_after: int | None = None

    def answer(self, method: str, params: Answer) -> Answer:
        if len(self.requests) == self.cut_before:
            raise CutOff
        found = super().answer(method, {**LEFT_OUT.get(method, {}), **params})
        if len(self.requests) - 1 == self.cut_after:
            raise CutOff
        return found

    def session_info(self) -> Answer:
        return {**super().session_info(), "caller": self.caller}

    def program_as_caller(self, method: str, params: Answer) -> Answer:
        """The caller's payments were delegated, and nothing else."""
        assert self.caller != "" and method.startswith("payment.")
        return {"value": getattr(self, method.replace(".", "_"))(**{**LEFT_OUT.get(method, {}), **params})}

    def payment_refund(self, key: str, order_id: str, out_request_no: str, amount: int, reason: str) -> Answer:
        self.paid_back[out_request_no] = amount
        return {
            "refund_id": "r", "order_id": order_id, "out_request_no": out_request_no, "status": "succeeded",
            "amount": {"amount": amount, "currency": "CNY"}, "reason": reason, "order_refunded": amount,
            "replayed": False,
        }  # fmt: skip

    def http_fetch(self, url: str, headers: Answer, timeout_ms: int, redirects: int, **more: Any) -> Answer:
        method, number = more.get("method", "GET"), url.rpartition("/")[2]
        assert url.startswith(CARRIER)
        if method == "PUT":
            self.labels[number] = json.loads(more["body"])
            body = json.dumps({"label": f"SF {number}", "more": [1.5e3, None, True, {}]}).encode()
        elif method == "DELETE":
            self.labels.pop(number, None)
            return {"status": 204, "headers": {}, "body": b"", "url": url}
        else:
            body = self.seen if isinstance(self.seen, bytes) else json.dumps(self.seen).encode()
        return {"status": 200, "headers": {}, "body": body, "url": url}

    def events_ack(self, seq: int) -> Answer:
        self.acked.append(seq)
        return {}

    def session_sleep(self, ms: int) -> Answer:
        return {}

    def notify_send(self, **params: Any) -> Answer:
        raise Refused("consent_required")


@pytest.fixture
def counter(guest: Callable[[str], Guest]) -> Any:
    made = guest("parcel_logistics")
    made.host = Outside()
    yield made
    assert made.host.invalid == []


def booked(counter: Any) -> str:
    number: str = counter.call("book", {"from": FROM, "to": TO, "grams": 500, "contents": "Tea"})["shipment"]["number"]
    return number


def refusal(counter: Any, method: str, params: Answer) -> str:
    with pytest.raises(Refused) as caught:
        counter.call(method, params)
    return str(caught.value.wire["code"])


def numbered(number: str) -> Answer:
    return {"number": number}


def again_after_cut_offs(
    counter: Any, method: str, prepare: Callable[[], str], check: Callable[[str], None], params: Any = numbered
) -> int:
    """Cuts the call off before and after each of its requests in turn, and sends it again; how many there were."""
    cuts = 0
    while True:
        for kind in ("cut_before", "cut_after"):
            number = prepare()
            host = counter.host
            setattr(host, kind, len(host.requests) + cuts)
            try:
                counter.call(method, params(number))
                was_cut = False
            except CutOff:
                was_cut = True
            host.cut_before = host.cut_after = None
            counter.call(method, params(number))
            check(number)
            if not was_cut:
                return cuts
        cuts += 1


def test_cut_off_anywhere_a_payment_is_made_once_and_its_label_is_there(counter: Any) -> None:
    def prepare() -> str:
        counter.host = Outside()
        return booked(counter)

    def check(number: str) -> None:
        assert [order["status"] for order in counter.host.orders.values()] == ["succeeded"]
        assert list(counter.host.labels) == [number]
        assert counter.call("track", {"number": number})["shipment"]["label"] == f"SF {number}"

    assert again_after_cut_offs(counter, "pay", prepare, check) >= 9


def test_cut_off_anywhere_a_cancelled_parcel_is_paid_back_once_and_has_no_label(counter: Any) -> None:
    def prepare() -> str:
        counter.host = Outside()
        number = booked(counter)
        counter.call("pay", {"number": number})
        return number

    def check(number: str) -> None:
        assert counter.host.paid_back == {f"{number}-refund": 900}
        assert counter.host.labels == {}
        assert counter.call("track", {"number": number})["shipment"]["state"] == "cancelled"

    assert again_after_cut_offs(counter, "cancel", prepare, check) >= 7


def test_cut_off_anywhere_a_parcel_on_account_is_sent_once(counter: Any) -> None:
    def prepare() -> str:
        counter.host = Outside()
        counter.host.caller, counter.host.config["accounts"] = SHOP, [SHOP]
        return "order-17"

    def check(_: str) -> None:
        host = counter.host
        assert [order["status"] for order in host.orders.values()] == ["succeeded"]
        (number,) = host.labels
        assert counter.call("send", {**SENT, "reference": "order-17"})["shipment"]["number"] == number
        assert not {method for method, _ in host.requests} & {"payment.create", "payment.query", "payment.request"}

    assert again_after_cut_offs(counter, "send", prepare, check, lambda number: {**SENT, "reference": number}) >= 11


def test_a_parcel_on_account_is_paid_and_cancelled_by_nobody_else(counter: Any) -> None:
    counter.host.config["accounts"] = [SHOP]
    for counter.host.caller in ("", "org.example.other"):
        assert refusal(counter, "send", {**SENT, "reference": "1"}) == "no_account"
    counter.host.caller, counter.host.cashier = SHOP, lambda order: None
    assert refusal(counter, "send", {**SENT, "reference": "1"}) == "declined"
    counter.host.caller = ""
    (number,) = (one["number"] for one in counter.call("list")["shipments"])
    assert refusal(counter, "pay", {"number": number}) == "other_payer"
    assert refusal(counter, "cancel", {"number": number}) == "other_payer"


def test_the_event_of_a_payment_completes_what_a_cut_off_call_began(counter: Any) -> None:
    number = booked(counter)
    counter.host.before["payment.query"] = lambda params: None

    def down(params: Answer) -> None:
        raise Refused("fetch_failed")

    counter.host.before["http.fetch"] = down
    assert counter.call("pay", {"number": number})["shipment"]["state"] == "paid"
    (order,) = counter.host.orders
    event = {"seq": 4, "topic": "payment.succeeded", "stream": order, "stream_seq": 3, "payload": {"order_id": order}}
    counter.raw(wire.notification("hostel.event", event))
    assert counter.host.acked == []
    del counter.host.before["http.fetch"]
    counter.raw(wire.notification("hostel.event", event))
    assert (counter.host.acked, list(counter.host.labels)) == ([4], [number])


def test_the_carrier_is_told_the_very_address(counter: Any) -> None:
    number = booked(counter)
    counter.call("pay", {"number": number})
    sent = counter.host.labels[number]
    assert (sent["to"]["street"], sent["grams"], sent["contents"]) == (TO["street"], 500, "Tea")


@pytest.mark.parametrize(
    "said",
    [
        b"", b"{", b"[1,2", b"nul", b'{"state":"in_transit"}', b"\xff\xfe", b'{"state":"paid","at":"x","moved_ms":9}',
        b'{"state":"delivered","at":"x","moved_ms":-1}', b'{"state":"delivered","at":"x","moved_ms":1e99}',
        b'{"state":"delivered","at":"\x01","moved_ms":9}', b'{"state":"delivered","at":"x","moved_ms":09}',
        b"[" * 2_000, b'{"state":"delivered","at":"x","moved_ms":9} more', b'{"state":"delivered",}',
        b'{"state":"delivered","at":"\\u12g4","moved_ms":9}', b"1" * 16_385, b'"' + b"\\" * 101,
    ],
)  # fmt: skip
def test_a_carrier_that_says_nothing_sensible_moves_no_parcel(counter: Any, said: bytes) -> None:
    number = booked(counter)
    counter.call("pay", {"number": number})
    assert counter.call("track", {"number": number})["shipment"]["state"] == "in_transit"
    counter.host.seen = said
    shown = counter.call("track", {"number": number})["shipment"]
    assert (shown["state"], shown["tracking"]["fresh"]) == ("in_transit", False)


def test_json_is_read_as_it_is_written(counter: Any) -> None:
    number = booked(counter)
    counter.call("pay", {"number": number})
    counter.host.seen = rb' { "at" : "\u676d\u5dde \"A\"\n\ud83d\ude42" , "state":"in_transit", "moved_ms": 12 } '
    assert counter.call("track", {"number": number})["shipment"]["tracking"]["at"] == '杭州 "A"\n🙂'


def test_ten_shipments_a_page_newest_first(counter: Any) -> None:
    numbers: list[str] = []
    for _ in range(12):
        counter.host.now_ms += 1_000
        numbers.insert(0, booked(counter))
    page = counter.call("list")
    more = counter.call("list", {"after": page["next"]})
    assert [one["number"] for one in (*page["shipments"], *more["shipments"])] == numbers
    assert (len(page["shipments"]), more["next"]) == (10, None)


def test_a_booking_nobody_paid_for_goes_after_a_day(counter: Any) -> None:
    booked(counter)
    kept = len(counter.call("list")["shipments"])
    counter.host.now_ms += 24 * 3_600_000 + 1
    assert (kept, counter.call("list")["shipments"], counter.host.stored) == (1, [], {})


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        ({}, "carrier"), ({"carrier": "http://carrier.example"}, "carrier"),
        ({"carrier": CARRIER, "rates": {"city": -1}}, "rates"), ({"carrier": CARRIER, "rates": {"city": 1.5}}, "rates"),
    ],
)  # fmt: skip
def test_a_counter_that_is_set_up_wrongly_stays_closed(counter: Any, config: Answer, setting: str) -> None:
    counter.host.config = config
    with pytest.raises(Refused) as caught:
        counter.call("list")
    assert caught.value.wire["code"] == "bad_config"
    assert setting in str(caught.value.wire["message"])
