"""medical_triage where its scenarios cannot go: cut off at any host call, settings that cannot be, answers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.samples.conftest import FakeHost, Refused

SLOT = 1_795_348_800_000  # four hours after the fake host's time
Answer = dict[str, Any]


class Clinic(FakeHost):
    """The contract's model with what this program asks for besides."""

    def __init__(self) -> None:
        super().__init__()
        self.says = "granted"
        self.refunded: dict[str, Answer] = {}

    def user_authorize(self, scopes: list[str], wait_ms: int) -> Answer:
        return {"scopes": dict.fromkeys(scopes, self.says)}

    def user_profile(self, scopes: list[str]) -> Answer:
        return {"profile": dict.fromkeys(scopes, "18+")}

    def user_phone(self, masked: bool) -> Answer:
        return {"phone": "+8613800138000"}

    def storage_delete(self, key: str, scope: str = "user", if_version: int | None = None) -> Answer:
        if if_version not in (None, self.stored.get(key, (None, 0))[1]):
            raise Refused("version_conflict")
        return {"deleted": self.stored.pop(key, None) is not None}

    def payment_create(self, key: str, out_trade_no: str, amount: Answer, subject: str, ttl_s: int = 900) -> Answer:
        return super().payment_create(key, out_trade_no, amount, subject, ttl_s)

    def payment_query(self, order_id: str | None = None, out_trade_no: str | None = None) -> Answer:
        for order in self.orders.values():
            if out_trade_no == order["out_trade_no"]:
                return order
        raise Refused("not_found")

    def payment_refund(self, key: str, order_id: str, out_request_no: str, amount: int, reason: str) -> Answer:
        replayed = order_id in self.refunded
        self.refunded[order_id] = {
            "refund_id": "r", "order_id": order_id, "out_request_no": out_request_no, "status": "succeeded",
            "amount": {"amount": amount, "currency": "CNY"}, "reason": reason, "order_refunded": amount,
            "replayed": replayed,
        }  # fmt: skip
        return self.refunded[order_id]


@pytest.fixture
def program(guest: Callable[[str], Any]) -> Iterator[Any]:
    made = guest("medical_triage")
    made.host, made.inbox = Clinic(), False
    yield made
    assert made.host.invalid == []


@pytest.fixture
def code(program: Any) -> Callable[..., str]:
    def get(method: str, /, **params: Any) -> str:
        with pytest.raises(Refused) as caught:
            program.call(method, params)
        return str(caught.value.wire["code"])

    return get


def answered(program: Any) -> Any:
    """A questionnaire to its end."""
    program.call("start", {"agree": True})
    for question, value in (("complaint", "headache"), ("signs", []), ("pain", 6), ("days", 1)):
        came = program.call("answer", {"question": question, "value": value})
    return came["result"]


class CutOff(Exception):
    """The call is gone; nothing after it runs."""


def cut(program: Any, at: int) -> None:
    """From now on the host call of that number is the last: its effect is there, its answer comes to nobody."""
    answer, left = type(program.host).answer, [at]

    def counted(method: str, params: Answer) -> Answer:
        found: Answer = answer(program.host, method, params)
        left[0] -= 1
        if left[0] == 0:
            raise CutOff
        return found

    program.host.answer = counted


def played(program: Any, method: str, params: Answer, at: int) -> bool:
    """Cut off at that host call, and sent again whole. False where it has no such host call."""
    cut(program, at)
    try:
        program.call(method, params)
    except CutOff:
        del program.host.answer
        return True
    del program.host.answer
    return False


def test_a_booking_cut_off_at_any_host_call_is_paid_once(program: Any, code: Callable[..., str]) -> None:
    for at in range(1, 40):
        program.host = Clinic()
        answered(program)
        was_cut = played(program, "book", {"at_ms": SLOT, "call_back": True}, at)
        try:
            came = program.call("book", {"at_ms": SLOT, "call_back": True})
        except Refused as refused:
            assert refused.wire["code"] == "already_booked"
            came = program.call("booking", {})
        assert came["booking"]["paid"] and came["booking"]["phone"] == "****8000"
        assert [order["status"] for order in program.host.orders.values()] == ["succeeded"]
        if not was_cut:
            break
    assert 8 <= at < 40


def test_a_cancellation_cut_off_at_any_host_call_is_refunded_once(program: Any) -> None:
    for at in range(1, 40):
        program.host = Clinic()
        answered(program)
        program.call("book", {"at_ms": SLOT})
        was_cut = played(program, "cancel", {}, at)
        try:
            program.call("cancel", {})
        except Refused as refused:
            assert refused.wire["code"] == "no_booking"
        assert len(program.host.refunded) == 1 and "triage/booking" not in program.host.stored
        if not was_cut:
            break
    assert 4 <= at < 40


def test_the_last_answer_cut_off_at_any_host_call_comes_to_its_result(program: Any, code: Callable[..., str]) -> None:
    for at in range(1, 40):
        program.host = Clinic()
        program.call("start", {"agree": True})
        program.call("answer", {"question": "complaint", "value": "fever"})
        was_cut = played(program, "answer", {"question": "signs", "value": ["rash"]}, at)
        if was_cut and "triage/answers" in program.host.stored:
            assert program.call("answer", {"question": "signs", "value": ["rash"]})["result"]["urgency"] == "emergency"
        assert set(program.host.stored) == {"triage/results"}
        assert len(program.call("results", {})["results"]) == 1
        if not was_cut:
            break
    assert 3 <= at < 40


def test_two_who_answer_at_once_are_not_mixed(program: Any, code: Callable[..., str]) -> None:
    program.call("start", {"agree": True})

    def meanwhile(_: Answer) -> None:
        program.host.before.clear()
        value, version = program.host.stored["triage/answers"]
        program.host.stored["triage/answers"] = ({**value, "complaint": "stomach"}, version + 1)

    program.host.before["storage.put"] = meanwhile
    assert code("answer", question="complaint", value="fever") == "moved_on"
    assert program.call("show", {})["question"]["any_of"][0]["value"] == "blood"


@pytest.mark.parametrize(
    "config", [{"fee": 99}, {"fee": "30"}, {"cancel_hours": 73}, {"clinic": ""}, {"emergency_number": 120}]
)
def test_settings_that_cannot_be_keep_it_shut(program: Any, code: Callable[..., str], config: Answer) -> None:
    program.host.config = config
    with pytest.raises(Refused) as caught:
        program.call("results", {})
    assert caught.value.wire["code"] == "bad_config"
    assert caught.value.wire["details"]["setting"] == next(iter(config))


@pytest.mark.parametrize("refusal", ["capability_not_granted", "capability_undeclared", "not_interactive", "busy"])
def test_without_the_age_it_is_asked_for(program: Any, refusal: str) -> None:
    def refuse(_: Answer) -> None:
        raise Refused(refusal)

    program.host.before["user.authorize"] = refuse
    assert program.call("start", {"agree": True})["question"]["id"] == "age"


@pytest.mark.parametrize("value", [None, "fever", [], 11, -1, 1.0, True, {"a": 1}])
def test_what_is_no_answer_changes_nothing(program: Any, code: Callable[..., str], value: Any) -> None:
    program.call("start", {"agree": True})
    for question, right in (("complaint", "other"), ("signs", [])):
        program.call("answer", {"question": question, "value": right})
    assert code("answer", question="pain", value=value) == "no_answer"
    assert program.call("show", {})["answered"] == 3


def test_not_more_than_ten_results_are_kept(program: Any) -> None:
    for _ in range(12):
        program.host.now_ms += 1_000
        answered(program)
    results = program.call("results", {})["results"]
    assert [result["at_ms"] for result in results] == [program.host.now_ms - 1_000 * n for n in range(10)]


def test_a_refusal_of_the_host_is_passed_on_whole(program: Any) -> None:
    def refuse(_: Answer) -> None:
        raise Refused("capability_not_granted", capability="storage")

    program.host.before["storage.get"] = refuse
    with pytest.raises(Refused) as caught:
        program.call("results", {})
    assert caught.value.wire["details"] == {"capability": "storage"}


def test_nothing_personal_is_logged(program: Any) -> None:
    answered(program)
    program.call("book", {"at_ms": SLOT, "call_back": True})
    program.call("cancel", {})
    program.call("forget", {})
    lines = [params["message"] for method, params in program.host.requests if method == "log.write"]
    assert lines == [
        "a questionnaire began", "a questionnaire came to its result", "a talk was booked", "a talk was cancelled",
        "a user had everything deleted",
    ]  # fmt: skip
