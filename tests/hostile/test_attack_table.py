"""The table of attacks on payments and users, row by row: what a hostile program says, and at which prompt.

What lives here: `ROWS`, which names the test behind each row wherever it stands, and the attacks by message and by
prompt that no other file tries. Attacks by number, race and clock are in test_attack_money.py, the death of a guest at
any await in test_payment_awaits.py.
"""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from host_api.contract import Method
from host_api.payment.methods import CAPTURE, CLOSE, CREATE, QUERY, REQUEST
from host_api.payment.refund_methods import REFUND, REFUND_QUERY
from host_api.prompts.prompt import PromptError
from runtime import Ending, wire
from tests.hostile.conftest import Opened
from tests.hostile.guests import Script, bundle, module, scripted
from tests.hostile.shop import GRANT, Shop, open_shop

ROWS: dict[str, tuple[str, ...]] = {
    "replay of create, capture, refund": (
        "payments::test_every_message_three_times", "payments::test_other_content_under_one_name",
        "attack_money::test_three_times_then_after_a_restart_then_without_its_key",
        "attack_money::test_sixteen_guests_send_one_message",
    ),
    "an amount that is none": (
        "attack_table::test_an_amount_that_is_none", "payments::test_params_that_are_refused",
        "attack_table::test_a_number_in_a_longer_form_is_that_number",
    ),
    "a currency that is none": ("attack_table::test_a_currency_that_is_none",),
    "amount twice in one map": ("attack_table::test_an_amount_that_is_there_twice",),
    "another currency in capture and refund": ("payments::test_params_that_are_refused",),
    "racing refunds, capture against close": (
        "attack_money::test_sixteen_guests_refund_one_order", "attack_money::test_captures_against_closes",
    ),
    "one wallet spent by two programs": ("attack_money::test_sixteen_programs_spend_one_wallet",),
    "orders of others": (
        "attack_table::test_what_is_foreign_and_what_is_not_are_told_in_the_same_bytes",
        "payments::test_what_is_another_programs_or_users_is_not_found",
        "events::test_one_users_call_sees_and_acknowledges_nothing_of_another",
    ),
    "choosing the payee": (
        "attack_table::test_no_method_takes_a_payee", "attack_table::test_the_payee_is_the_hosts",
        "program_calls::test_a_delegated_payment_is_the_callers",
    ),
    "a cashier of its own": (
        "attack_table::test_no_method_answers_a_prompt",
        "attack_table::test_a_guest_never_sees_what_answers_its_prompt",
    ),
    "consent fatigue": (
        "prompts::test_a_program_that_pesters_meets_every_pause", "payments::test_the_third_no_closes",
        "prompts::test_an_order_is_asked_for_so_often_and_no_more",
        "users::test_a_guest_that_begs_gets_one_prompt_and_then_none",
    ),
    "a prompt at start-up or unseen": (
        "attack_table::test_no_prompt_before_hostel_handle", "attack_table::test_no_prompt_from_a_notification",
        "prompts::test_one_prompt_at_a_time_and_only_while_the_user_looks",
        "users::test_nobody_is_asked_who_does_not_look", "notify::test_nobody_who_does_not_look_is_asked",
    ),
    "a subject that spoofs": (
        "attack_table::test_a_subject_that_spoofs_is_refused", "attack_table::test_a_subject_that_lies_stands_apart",
    ),
    "the order changed under an open prompt": (
        "attack_table::test_an_order_does_not_change_under_its_prompt",
        "attack_table::test_a_yes_is_good_for_what_was_shown_alone",
        "payments::test_closing_while_the_user_thinks",
    ),
    "limits evaded by splitting, refunds, midnight": (
        "attack_money::test_a_day_is_24_hours_whatever_the_date", "attack_money::test_an_hour_rolls_too",
        "attack_money::test_holds_that_are_let_go_count_no_more_and_those_that_stand_do",
        "limits_of_a_user::test_limit_payment_day_amount",
    ),
    "rounding gained by small refunds": ("attack_money::test_however_a_refund_is_split_it_is_one_refund",),
    "user ids joined, or asked with": (
        "users::test_ids_cannot_be_joined_and_stay_over_a_restart",
        "users::test_one_program_learns_nothing_through_another",
        "users::test_without_a_user_all_methods_say_the_same",
    ),
    "floods of the outbox, keys and audit": (
        "attack_money::test_what_one_program_can_fill_in_an_hour", "payments::test_keys_of_an_hour_are_bounded",
        "payments::test_refunds_of_one_order_are_bounded",
        "events::test_what_a_guest_was_refused_is_counted_into_the_audit",
    ),
    "dying between request and answer": (
        "payment_awaits::test_a_guest_that_dies_right_after_it_posted",
        "payment_awaits::test_a_guest_that_returns_without_its_answer",
        "payment_awaits::test_a_call_that_is_ended_at_every_step",
        "payment_awaits::test_a_prompt_goes_with_the_call_that_waits_for_it",
        "payment_awaits::test_a_program_uninstalled_at_every_step_of_its_call",
        "payment_awaits::test_a_user_erased_at_every_step_of_a_call",
        "payment_awaits::test_a_host_that_closes_at_every_step_of_a_call",
    ),
    "removed with holds": (
        "payments::test_removing_a_program_gives_the_user_back_what_it_held",
        "payments::test_revoking_payments_ends_them",
        "prompts::test_a_program_that_loses_its_grant_loses_its_prompts",
        "attack_table::test_a_call_that_outlives_its_grant_takes_no_payment",
        "erasure::test_a_prompt_that_waits_is_gone_and_nobody_can_answer_it",
    ),
}  # fmt: skip
"""The attack → the tests that try it, each from inside a real guest: `<file>::<test>`, of test_<file>.py here."""


@cache
def known_in(file: str) -> frozenset[str]:
    tree = ast.parse((Path(__file__).parent / f"test_{file}.py").read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_its_tests(row: str) -> None:
    for file, _, test in (name.partition("::") for name in ROWS[row]):
        assert test.startswith("test_") and test in known_in(file)


@pytest.fixture(params=["memory", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, opened: Opened) -> AsyncIterator[Shop]:
    async with open_shop(opened, tmp_path / "state" if request.param == "file" else None) as made:
        yield made


# ---- messages --------------------------------------------------------------------------------------------------------
MARK = 0x7A6B5C4D
"""Stands for the bytes a test puts there."""
NUMBERS = {
    "-1": b"\xff", "0": b"\0", "10^12 + 1": b"\xcf" + (10**12 + 1).to_bytes(8, "big"), "2^63": b"\xcf\x80" + bytes(7),
    "2^64 - 1": b"\xcf" + b"\xff" * 8, "-2^63": b"\xd3\x80" + bytes(7), "1.0": b"\xcb\x3f\xf0" + bytes(6),
    "1.0 of 32 bits": b"\xca\x3f\x80\0\0", "true": b"\xc3", "the text 5": b"\xa15", "the bytes 5": b"\xc4\x015",
    "[1]": b"\x91\1", "{}": b"\x80", "{amount: 1}": b"\x81\xa6amount\1",
}  # fmt: skip
NO_VALUES = {
    "NaN": b"\xcb\x7f\xf8" + bytes(6), "infinity": b"\xcb\x7f\xf0" + bytes(6), "ext": b"\xd4\5\1",
    "ext of no bytes": b"\xc7\0\5", "timestamp": b"\xd6\xff" + bytes(4), "never used": b"\xc1",
}  # fmt: skip


def asking(method: str, order_id: str, amount: Any) -> bytes:
    """A request in which everything is right but, perhaps, the amount."""
    keyed = {"key": "k", "order_id": order_id}
    params = {
        "create": {"key": "k", "out_trade_no": "n", "amount": {"amount": amount, "currency": "CNY"}, "subject": "Tea"},
        "capture": {**keyed, "amount": amount},
        "refund": {**keyed, "out_request_no": "n", "amount": amount, "reason": "Bad"},
    }[method]
    return wire.request(1, f"payment.{method}", params)


def put_in(request: bytes, raw: bytes) -> bytes:
    assert request.count(b"\xce" + MARK.to_bytes(4, "big")) == 1
    return request.replace(b"\xce" + MARK.to_bytes(4, "big"), raw)


async def order_for(shop: Shop, method: str) -> str:
    if method == "create":
        return "f" * 32
    return str((await (shop.pay(500) if method == "refund" else shop.hold(500)))["order_id"])


@pytest.mark.parametrize("method", ["create", "capture", "refund"])
async def test_an_amount_that_is_none(shop: Shop, method: str) -> None:
    """As the bytes come: what is a value is refused, and the guest lives; what is none ends it."""
    order_id = await order_for(shop, method)
    had = shop.available(), await shop.status({"order_id": order_id}) if method != "create" else None
    request = asking(method, order_id, MARK)
    for name, raw in NUMBERS.items():
        _, _, error, _ = await shop.site.ask(put_in(request, raw), shop.app)
        assert error is not None and error["code"] == "invalid_params", name
    for name, raw in NO_VALUES.items():
        ending, _, _ = await shop.site.end(Script().ask(put_in(request, raw)), shop.app)
        assert ending is Ending.PROTOCOL_VIOLATION, name
    assert had == (shop.available(), await shop.status({"order_id": order_id}) if method != "create" else None)
    assert (await shop.ask("query", out_trade_no="n"))[0] == "not_found"
    _, _, error, result = await shop.site.ask(put_in(request, b"\5"), shop.app)
    assert error is None and result["replayed"] is False  # the key was used by none of them


@pytest.mark.parametrize("raw", [b"\xcc\5", b"\xcf" + bytes(7) + b"\5", b"\xd3" + bytes(7) + b"\5"])
async def test_a_number_in_a_longer_form_is_that_number(shop: Shop, raw: bytes) -> None:
    created = await shop.site.ask(put_in(asking("create", "", MARK), raw), shop.app)
    again = await shop.site.ask(asking("create", "", 5), shop.app)
    assert (created[3]["amount"]["amount"], again[3]["replayed"]) == (5, True)


@pytest.mark.parametrize("method", ["create", "capture", "refund"])
async def test_an_amount_that_is_there_twice(shop: Shop, method: str) -> None:
    """Whichever of the two a reader would take, this one takes neither."""
    order_id = await order_for(shop, method)
    whole = asking(method, order_id, 5)
    at = whole.index(b"\xa6amount\5")
    head = at - 1 if method == "create" else whole.index({"capture": b"\x83\xa3key", "refund": b"\x85\xa3key"}[method])
    for twice in (b"\xa6amount\5\xa6amount\1", b"\xa6amount\1\xd9\6amount\5", b"\xa6amount\5\xda\0\6amount\5"):
        request = whole[:head] + bytes([whole[head] + 1]) + whole[head + 1 : at] + twice + whole[at + 8 :]
        ending, error, _ = await shop.site.end(Script().ask(request), shop.app)
        assert (ending, "equal keys" in error.message) == (Ending.PROTOCOL_VIOLATION, True)
    if method == "create":
        assert (await shop.ask("query", out_trade_no="n"))[0] == "not_found"
    else:
        seen = await shop.ask("query", order_id=order_id)
        assert (seen["status"], seen["refunded"]) == ("succeeded" if method == "refund" else "authorized", 0)


@pytest.mark.parametrize(
    "currency",
    ["EUR\n", "\nEUR", "eur", "Eur", " EUR", "EUR ", "EU", "EURO", "", "EUR\0", "Е" + "UR", "ＥＵＲ", "EUᎡ", "€", "US$",
     "XXX", "XAU", "XTS", "CHW", 978, b"EUR", None, True, ["EUR"]],
)  # fmt: skip
async def test_a_currency_that_is_none(site: Any, currency: Any) -> None:
    app = await site.install(grant=GRANT)
    money = {"amount": 5, "currency": currency}
    params = {"key": "k", "out_trade_no": "n", "amount": money, "subject": "Tea"}
    _, _, error, _ = await site.ask(wire.request(1, "payment.create", params), app)
    assert error["code"] == "invalid_params"
    assert (await site.ask(wire.request(1, "payment.query", {"out_trade_no": "n"}), app))[2]["code"] == "not_found"


# ---- what is another's -----------------------------------------------------------------------------------------------
async def test_what_is_foreign_and_what_is_not_are_told_in_the_same_bytes(shop: Shop) -> None:
    """An order of another program, of this program's other user, and of nobody: to the byte the same."""
    await shop.deposit(5_000, "bob")
    other = await shop.site.install(grant=GRANT)
    foreign = [await make(user=user, app=app) for user, app in (("alice", other), ("bob", shop.app), ("bob", other))
               for make in (shop.create, shop.hold, shop.pay)]  # fmt: skip
    for paid, user, app in zip(foreign[2::3], ("alice", "bob", "bob"), (other, shop.app, other), strict=True):
        assert (await shop.refund(paid, 1, out_request_no="n", user=user, app=app))["status"] == "succeeded"
    answers: dict[str, set[bytes]] = {}
    for order_id in [order["order_id"] for order in foreign] + ["0" * 32, "x", foreign[0]["order_id"].upper()]:
        keyed = {"key": "k", "order_id": order_id}
        refund = {**keyed, "out_request_no": "n", "amount": 1, "reason": "Bad"}
        for method, params in {
            "query": {"order_id": order_id}, "request": {"order_id": order_id}, "capture": keyed, "close": keyed,
            "refund": refund, "refund_query": {"order_id": order_id, "out_request_no": "n"},
        }.items():  # fmt: skip
            script = Script().ask(wire.request(7, f"payment.{method}", params))
            told = await shop.site.run(script, shop.app)
            answers.setdefault(method, set()).update(one for one in told if isinstance(one, bytes))
    assert {method: len(different) for method, different in answers.items()} == dict.fromkeys(answers, 1)
    numbers = [foreign[0]["out_trade_no"], foreign[4]["out_trade_no"], foreign[8]["out_trade_no"], "unheard-of"]
    by_number = {
        (await shop.site.run(Script().ask(wire.request(7, "payment.query", {"out_trade_no": no})), shop.app))[1]
        for no in numbers
    }
    assert by_number == answers["query"]


# ---- payee and answer ------------------------------------------------------------------------------------------------
PARAMETERS: tuple[tuple[Method[Any, Any], set[str]], ...] = (
    (CREATE, {"key", "out_trade_no", "amount", "subject", "ttl_s", "capture"}),
    (REQUEST, {"order_id", "wait_ms"}),
    (QUERY, {"order_id", "out_trade_no"}),
    (CAPTURE, {"key", "order_id", "amount"}),
    (CLOSE, {"key", "order_id"}),
    (REFUND, {"key", "order_id", "out_request_no", "amount", "reason"}),
    (REFUND_QUERY, {"order_id", "out_request_no"}),
)


async def test_no_method_takes_a_payee(shop: Shop) -> None:
    """A parameter that is new here is to be thought about."""
    names = [name for name in shop.site.host._calls.broker.routes if name.startswith("payment.")]
    assert sorted(names) == sorted(method.name for method, _ in PARAMETERS)
    for method, parameters in PARAMETERS:
        assert {field.name for field in msgspec.structs.fields(method.params)} == parameters
        for extra in ("payee", "merchant", "to", "account", "app_id", "user", "payer", "confirmed", "token", "digest"):
            request = wire.request(1, method.name, {**method.example, extra: "org.example.other"})
            assert (await shop.site.ask(request, shop.app))[2]["code"] == "invalid_params"


async def test_the_payee_is_the_hosts(shop: Shop) -> None:
    made = bundle(scripted(), "org.example.payee")
    app = await shop.site.host.install(made, grant=GRANT, payee="The Tea House")
    await shop.pay(500, app=app, subject="Payee: Somebody Else")
    (shown,) = [prompt.shown for prompt in shop.site.cashier.shown]
    assert shown["payee"] == "The Tea House"
    found = shop.site.host._store.read(lambda tx: tx.execute("SELECT owner FROM accounts WHERE credits_posted = 500"))
    assert found == [(app.app_id,)]


async def test_no_method_answers_a_prompt(shop: Shop) -> None:
    shop.site.cashier.hold()
    order = await shop.create()
    await shop.ask("request", order_id=order["order_id"], wait_ms=0)
    (prompt,) = shop.site.host.prompts.pending()
    for method in ("payment.confirm", "payment.approve", "payment.decline", "prompts.answer", "prompts.issue",
                   "cashier.confirm", "user.confirm", "host.call"):  # fmt: skip
        request = wire.request(1, method, {"id": prompt.id, "order_id": order["order_id"], "approved": True})
        assert (await shop.site.ask(request, shop.app))[2]["code"] == "unknown_method"
    assert await shop.status(order) == ("confirming", None)
    await shop.site.host.prompts.withdraw(prompt.id)


async def test_a_guest_never_sees_what_answers_its_prompt(shop: Shop) -> None:
    shop.site.cashier.hold()
    order = await shop.create()
    script = Script().ask(wire.request(1, "payment.request", {"order_id": order["order_id"], "wait_ms": 0}))
    for method, params in (("payment.query", {"order_id": order["order_id"]}), ("events.list", {}),
                           ("session.info", {})):  # fmt: skip
        script.ask(wire.request(1, method, params))
    told = await shop.site.run(script, shop.app)
    while not shop.site.cashier.shown:
        await trio.lowlevel.checkpoint()
    (prompt,) = shop.site.cashier.shown
    everything = b"".join(one for one in told if isinstance(one, bytes))
    for secret in (prompt.token.encode(), prompt.id.encode(), prompt.digest, prompt.digest.hex().encode()):
        assert len(secret) >= 32 and secret not in everything
    await shop.site.host.prompts.withdraw(prompt.id)


# ---- prompts that nobody asked to see --------------------------------------------------------------------------------
def asks_at_once(order_id: str, where: str) -> bytes:
    """A module that asks for its payment as soon as it runs, and prints what it is told."""
    request = wire.request(1, "payment.request", {"order_id": order_id, "wait_ms": 60_000})
    text = "".join(f"\\{byte:02x}" for byte in request)
    ask = f"(call $call (i32.const 0x800) (i32.const {len(request)}) (i32.const 0x2000) (i32.const 0x1000))"
    tell = f"""(i32.store (i32.const 0x700) (i32.const 0x2000)) (i32.store (i32.const 0x704) {ask})
        (drop (call $fd_write (i32.const 1) (i32.const 0x700) (i32.const 1) (i32.const 0x708)))"""
    parts = {where: ask if where == "alloc" else f"{tell} (i64.const 0)" if where == "handle" else tell}
    return module(imports=("call", "fd_write"), more=f'(data (i32.const 0x800) "{text}")', **parts)


@pytest.mark.parametrize("where", ["start", "initialize", "alloc"])
async def test_no_prompt_before_hostel_handle(shop: Shop, where: str) -> None:
    order = await shop.create()
    made = bundle(asks_at_once(order["order_id"], where), shop.app.app_id, code=2)
    app = await shop.site.host.install(made, grant=GRANT)
    ending, _, _ = await shop.site.end(Script(), app)
    assert ending is Ending.PROTOCOL_VIOLATION
    assert shop.site.cashier.shown == []


async def test_no_prompt_from_a_notification(shop: Shop) -> None:
    order = await shop.create()
    made = bundle(asks_at_once(order["order_id"], "handle"), shop.app.app_id, code=2)
    app = await shop.site.host.install(made, grant=GRANT)
    await shop.site.host.notify(app, "tick", user="alice")
    assert "not_interactive" in "".join(line for _, line in shop.site.log.lines)
    assert shop.site.cashier.shown == []


# ---- what the user reads ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "subject",
    ["Tea\nAmount: 0.01 CNY", "Tea\r\x1b[2K", "Tea\u202e01.0", "Tea\u2066x\u2069", "Te\u200ba", "Tea\u00ad",
     "Tea\u2028", "T\u0335\u0336\u0337\u0338\u0334ea", "\u3164", "Tea\U000e0041", "Tea\x00", "Tea\u20dd", "\ue000",
     "x" * 65, " ", ""],
    ids=ascii,
)  # fmt: skip
async def test_a_subject_that_spoofs_is_refused(site: Any, subject: str) -> None:
    app = await site.install(grant=GRANT)
    money = {"amount": 5, "currency": "CNY"}
    for method, params in (
        ("create", {"key": "k", "out_trade_no": "n", "amount": money, "subject": subject}),
        ("refund", {"key": "k", "order_id": "o", "out_request_no": "n", "amount": 1, "reason": subject}),
    ):
        _, _, error, _ = await site.ask(wire.request(1, f"payment.{method}", params), app)
        assert error["code"] == "invalid_params"
        assert error["message"].isascii() and error["message"].isprintable()


async def test_a_subject_that_lies_stands_apart(shop: Shop) -> None:
    """What one line can say it may say; the amount that counts is drawn by the host, beside it."""
    await shop.pay(1_250, subject="Total\u00a0 0.01 CNY  (paid)")
    (prompt,) = shop.site.cashier.shown
    assert (prompt.shown["subject"], prompt.shown["amount_text"]) == ("Total 0.01 CNY (paid)", "12.50 CNY")


# ---- the order under its prompt --------------------------------------------------------------------------------------
async def test_an_order_does_not_change_under_its_prompt(shop: Shop) -> None:
    shop.site.cashier.hold()
    order = await shop.create(5, out_trade_no="n")
    await shop.ask("request", order_id=order["order_id"], wait_ms=0)
    for params in ({"amount": {"amount": 9_999, "currency": "CNY"}}, {"amount": {"amount": 5, "currency": "EUR"}},
                   {"subject": "Gold"}, {"capture": "manual"}, {"ttl_s": 60}):  # fmt: skip
        changed = await shop.create(5, **{"out_trade_no": "n", **params})
        assert changed == ("order_mismatch", {"out_trade_no": "n"})
    shop.site.cashier.release()
    while shop.site.host.prompts.count():
        await trio.lowlevel.checkpoint()
    assert (await shop.status(order), shop.available()) == (("succeeded", None), 9_995)


async def test_a_yes_is_good_for_what_was_shown_alone(shop: Shop) -> None:
    """The user says yes to a cheap order; meanwhile it was closed, asked for anew, or another took its place."""
    desk = shop.site.host.prompts
    shop.site.cashier.hold()

    async def prompt_of(order: Any) -> Any:
        assert (await shop.ask("request", order_id=order["order_id"], wait_ms=0))["status"] == "confirming"
        (waiting,) = desk.pending()
        issued = await desk.issue(waiting.id)
        shop.clock.advance(s=1)
        return issued

    cheap, dear = await shop.create(5), await shop.create(9_999)
    first = await prompt_of(cheap)
    assert await desk.withdraw(first.id)
    again = await prompt_of(cheap)  # the same order, at another version
    await shop.keyed("close", order_id=cheap["order_id"])
    other = await prompt_of(dear)
    for yes in (first, again):
        for prompt_id in (yes.id, other.id):
            with pytest.raises(PromptError):
                await desk.answer(prompt_id, yes.token, yes.digest, True)
    with pytest.raises(PromptError, match="something else"):
        await desk.answer(other.id, other.token, first.digest, True)
    assert (await shop.status(cheap), await shop.status(dear)) == (("closed", "closed"), ("confirming", None))
    assert shop.available() == 10_000
    await desk.answer(other.id, other.token, other.digest, True)
    assert shop.available() == 1


# ---- going on --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["uninstalled", "revoked", "revoked after an update"])
async def test_a_call_that_outlives_its_grant_takes_no_payment(shop: Shop, how: str) -> None:
    """It began while it might, with the release it has; what it asks for later is refused, or nobody gave it back."""
    order, host = await shop.create(500, capture="manual"), shop.site.host
    create = {"key": "late", "out_trade_no": "late", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    late = (
        wire.request(2, "payment.create", create),
        wire.request(3, "payment.request", {"order_id": order["order_id"], "wait_ms": 60_000}),
        wire.request(4, "payment.close", {"key": "late", "order_id": order["order_id"]}),
    )
    script = Script().ask(wire.request(1, "session.sleep", {"ms": 50}))
    for request in late:
        script.ask(request)
    told: list[Any] = []

    async def call() -> None:
        told.extend(script.responses((await host.call(shop.app, "run", script.params(), user="alice")).value))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        while not host.statistics().calls_in_flight:
            await trio.lowlevel.checkpoint()
        if how == "revoked after an update":
            await host.install(bundle(scripted(), shop.app.app_id, code=2), grant=GRANT)
        await (host.uninstall(shop.app) if how == "uninstalled" else host.revoke(shop.app.app_id, "payment"))
    assert [error and error["code"] for _, _, error, _ in told] == [None] + ["capability_not_granted"] * len(late)
    assert (shop.available(), shop.site.cashier.shown) == (10_000, [])
    found = host._store.read(lambda tx: tx.execute("SELECT out_trade_no, status, close_reason FROM orders"))
    assert found == [(order["out_trade_no"], "closed", how.partition(" ")[0])]
