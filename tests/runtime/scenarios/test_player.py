"""Playing: each kind of step on a real host with a real guest, and what a step that fails says."""

from __future__ import annotations

import time
from typing import Any

import pytest
from trio.testing import MockClock

from runtime.scenarios import player
from runtime.scenarios.stage import Answered
from tests.runtime.scenarios.conftest import Plays, asks, echoes, failure, passed

YUAN = {"amount": 250, "currency": "CNY"}
ALICE = {"users": {"alice": {"wallet": {"amount": 1_000, "currency": "CNY"}, "profile": {"phone": "+8613800138000"}}}}
ORDER = {"key": "k", "out_trade_no": "t-1", "subject": "apples", "amount": YUAN}
CREATE = {**asks("payment.create", **ORDER), "keep": {"order": "/result/order_id"}}

STATUS = asks("payment.query", order_id="${order}")


def request(*answers: str, wait_ms: int = 60_000, **more: Any) -> dict[str, Any]:
    return {**asks("payment.request", _answers=answers, order_id="${order}", wait_ms=wait_ms), **more}


# ---- what can be played ----------------------------------------------------------------------------------------------
async def test_a_payment_from_a_no_to_a_yes(plays: Plays) -> None:
    played = await plays(
        CREATE,
        request("decline", expect={"result": {"status": "pending"}}),
        request(expect={"error": {"code": "rate_limited"}}),
        {"advance": "30s"},
        request("confirm", expect={"result": {"status": "succeeded"}}),
        {"balances": {"alice": {"amount": 750, "currency": "CNY"}, "@payee": YUAN}},
        **ALICE,
    )
    assert [result.number for result in passed(played).results] == [1, 2, 3, 4, 5, 6]


async def test_a_user_who_waits_answers_later_or_not_at_all(plays: Plays) -> None:
    """The call goes on at once, by its own word for waiting; the prompt is open still, also after a restart."""
    played = passed(
        await plays(
            CREATE,
            request("wait", expect={"result": {"status": "confirming"}}),
            {"restart": True},
            {"answer": "confirm", "user": "alice"},
            STATUS | {"expect": {"result": {"status": "succeeded"}}},
            **ALICE,
        )
    )
    assert sum(result.seconds for result in played.results) < 30
    passed(
        await plays(
            CREATE,
            request(expect={"result": {"status": "confirming"}}),
            {"advance": "16m"},
            asks("payment.query", order_id="${order}")
            | {"expect": {"result": {"status": {"$match": "closed|pending"}}}},
            **ALICE,
        )
    )


async def test_whoever_is_not_waited_for_answers_after_the_call(plays: Plays) -> None:
    """Never beside it."""
    both = [{"method": "payment.request", "params": {"order_id": "${order}", "wait_ms": 0}},
            {"method": "payment.query", "params": {"order_id": "${order}"}}]  # fmt: skip
    passed(
        await plays(
            CREATE,
            {"call": "post", "user": "alice", "params": {"requests": both}, "answers": ["confirm"],
             "expect": {"$length": 2}},
            STATUS | {"expect": {"result": {"status": "succeeded"}}},
            **ALICE,
        )
    )  # fmt: skip


async def test_consent_is_given_and_taken_back(plays: Plays) -> None:
    phone = asks("user.phone", masked=False)
    passed(
        await plays(
            phone | {"expect": {"error": {"code": "consent_required"}}},
            asks("user.authorize", _answers=("allow",), scopes=["phone"], wait_ms=60_000),
            phone | {"expect": {"result": {"phone": "+8613800138000"}}},
            {"consent": {"user": "alice", "revoke": ["phone"]}},
            phone | {"expect": {"error": {"code": "consent_denied"}}},
            **ALICE,
        )
    )


async def test_messages_are_shown_and_gone(plays: Plays) -> None:
    send = asks("notify.send", template="shipped", params={"order_no": "17"})
    passed(
        await plays(
            asks("notify.request", _answers=("allow",), wait_ms=60_000),
            send,
            {"notices": {"user": "alice", "expect": [{"$match": "^Order 17 is"}]}},
            {"notices": {"user": "alice", "expect": []}},
            **ALICE,
        )
    )


async def test_grants_come_and_go(plays: Plays) -> None:
    put = asks("storage.put", key="k", value=1)
    passed(
        await plays(
            put | {"expect": {"error": {"code": "capability_not_granted"}}},
            {"grant": ["storage"]},
            put | {"expect": {"result": {"version": 1}}},
            {"revoke": ["storage"]},
            put | {"expect": {"error": {"code": "capability_not_granted"}}},
            install={"grant": []},
        )
    )


async def test_what_goes_wrong(plays: Plays, movable_clock: MockClock) -> None:
    """28 seconds of the world are over at once."""
    began = time.perf_counter()
    get = asks("storage.get", key="k")
    passed(
        await plays(
            {"fault": {"method": "storage.get", "kind": "busy", "times": 2}},
            get | {"expect": {"error": {"code": "busy"}}},
            get | {"expect": {"error": {"code": "busy"}}},
            get | {"expect": {"result": {"found": False}}},
            {"fault": {"method": "storage.get", "kind": "slow", "ms": 8_000}},
            get | {"expect": {"result": {"found": False}}},
            {"fault": {"method": "storage.get", "kind": "slow", "ms": 20_000}},
            get | {"expect_error": {"code": "deadline_exceeded"}, "receipt": {"ending": "deadline_exceeded"}},
        )
    )
    assert time.perf_counter() - began < 8


async def test_bytes_and_values_that_were_kept(plays: Plays) -> None:
    data = {"$base64": "AAEC"}
    passed(
        await plays(
            echoes({"data": data, "n": 3}, keep={"all": "", "n": "/n", "data": "/data"}),
            echoes(["${data}", "it is ${n}", "${n}"], expect=[data, "it is 3", 3]),
            echoes("${all}", expect={"$exactly": {"data": data, "n": 3}}),
        )
    )


async def test_the_same_again_is_the_same_to_the_byte(plays: Plays) -> None:
    """Ids and all; a receipt but for its times."""
    first, second, other = [
        [result.answered for result in passed(await plays(CREATE, seed=seed, **ALICE)).results] for seed in (1, 1, 2)
    ]
    assert first[0] is not None and second[0] is not None and other[0] is not None
    assert first[0].result == second[0].result != other[0].result
    assert first[0].receipt is not None and second[0].receipt is not None
    assert first[0].receipt["call_id"] == second[0].receipt["call_id"]


# ---- what fails ------------------------------------------------------------------------------------------------------
async def test_an_answer_that_is_another_one(plays: Plays) -> None:
    played = await plays(echoes({"a": {"b": [1, 2]}}, expect={"a": {"b": [1, 3]}}), echoes(1))
    found = failure(played, 1)
    assert found.mismatch is not None
    assert (found.mismatch.path, found.mismatch.expected, found.mismatch.came) == ("/a/b/1", 3, 2)
    assert found.problem == "the answer is not what was expected at /a/b/1" and found.came == {"a": {"b": [1, 2]}}
    assert len(played.results) == 1


@pytest.mark.parametrize(
    ("ending", "error", "why"),
    [
        ("failed", {"code": "empty", "message": "say something"}, "empty: say something"),
        ("cpu_exceeded", {"code": "cpu_exceeded", "message": "too long"}, "too long"),
        ("failed", {"code": "script_error", "message": "x is not defined",
                    "details": {"path": "a\x1b.js", "line": 3, "column": 9}},
         "script_error: x is not defined (a\\x1b.js, line 3, column 9)"),
        ("failed", {"code": "script_error", "message": "of the program's own", "details": {"line": "\x1b"}},
         "script_error: of the program's own"),
    ],
)  # fmt: skip
def test_why_a_call_ended_is_said_once_and_where(ending: str, error: dict[str, Any], why: str) -> None:
    assert player.why(Answered(ending=ending, error=error)) == why


async def test_a_prompt_that_was_put_aside_is_a_hint(plays: Plays) -> None:
    asked = request(expect={"result": {"status": "succeeded"}})
    found = failure(await plays(CREATE, asked, **ALICE), 2)
    assert found.hints[0] == "a prompt for payment was put aside: answers said nothing to it"
    found = failure(await plays(CREATE, {**asked, "answers": ["wait"]}, **ALICE), 2)
    assert not any("put aside" in hint for hint in found.hints)


async def test_calls_that_end_otherwise(plays: Plays) -> None:
    found = failure(await plays({"call": "nothing"}), 1)
    assert found.problem.startswith("the call ended as failed: unknown_method")
    found = failure(await plays(echoes(1, expect_error={"code": "empty"})), 1)
    assert found.problem == "it completed; the error empty was expected"
    found = failure(await plays({"call": "nothing", "expect_error": {"code": "empty"}}), 1)
    assert found.mismatch is not None and (found.mismatch.path, found.mismatch.came) == ("/code", "unknown_method")
    found = failure(await plays(echoes(1, receipt={"host_calls": 1})), 1)
    assert found.problem == "the receipt is not what was expected at /host_calls"


async def test_answers_without_prompts_and_of_another_kind(plays: Plays) -> None:
    found = failure(await plays(CREATE | {"answers": ["confirm"]}, **ALICE), 1)
    assert found.problem == "no prompt came for the answers confirm"
    found = failure(await plays(CREATE, request("allow"), **ALICE), 2)
    assert found.problem.startswith("the answer allow came to a prompt for payment")
    found = failure(await plays({"answer": "confirm", "user": "alice"}), 1)
    assert found.problem == "0 prompts for payment wait for alice"


async def test_balances_messages_and_logs_that_are_not_so(plays: Plays) -> None:
    found = failure(await plays({"balances": {"alice": {"amount": 5, "currency": "CNY"}}}, **ALICE), 1)
    assert found.mismatch is not None and (found.mismatch.expected, found.mismatch.came) == (5, 1_000)
    found = failure(await plays({"notices": {"user": "alice", "expect": ["a"]}}), 1)
    assert found.problem == "the messages are not what was expected at /0"
    log = asks("log.write", level="info", message="the phone is +86")
    assert failure(await plays(log, {"log": ["email"]}), 2).problem == "no line of the log has 'email'"
    found = failure(await plays(log, {"log": ["phone"], "never": ["+86"]}), 2)
    assert found.problem == "a line of the log has '+86'"


async def test_a_value_that_cannot_be_kept(plays: Plays) -> None:
    found = failure(await plays(echoes({"a": 1}, keep={"b": "/b"})), 1)
    assert found.problem == "keep: the answer has nothing at /b"
