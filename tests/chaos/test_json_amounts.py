"""Amounts as JSON has numbers, through a daemon's HTTP door to a guest that hands them on: whole numbers or none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import guests
from host_api.money import AMOUNT_MAX
from tests.chaos.daemon import serving

LIMITS = {**guests.UNRATED, "payment_amount": AMOUNT_MAX, "payment_day_amount": AMOUNT_MAX}
NONE = (
    "0", "-0", "-0.0", "1.0", "1e2", "1E2", "100e-2", "-1", "true", "null", '"5"', "[5]", f"{AMOUNT_MAX + 1}",
    f"{2**53 - 1}", f"{2**53 + 1}", f"{2**63 - 1}", f"{2**64 - 1}",
)  # fmt: skip


@pytest.mark.slow
async def test_an_amount_is_a_whole_number_or_none(tmp_path: Path) -> None:
    async with serving(tmp_path, host={"http": True}) as daemon, daemon.client() as client:
        await client.install(guests.archive("shop", guests.forward()), grant=guests.GRANT, limits=LIMITS)
        issued = await client.front_end.issue_token("alice")

        async def create(number: str) -> tuple[int, str]:
            """One key and one out_trade_no for all: what was refused used neither."""
            order = f'{{"key":"k","out_trade_no":"n","subject":"Tea","amount":{{"amount":{number},"currency":"JPY"}}}}'
            path = "/v1/programs/org.example.shop/call/payment.create"
            status, answer = await daemon.http("POST", path, token=issued, body=order.encode())
            return status, answer.partition(b"\r\n\r\n")[2].decode()

        for number in NONE:
            status, body = await create(number)
            assert (status, "invalid_params" in body) == (422, True), number
        for replayed in (False, True):
            status, body = await create(f"{AMOUNT_MAX}")
            made = json.loads(body)["result"]
            assert (status, made["amount"]["amount"], made["replayed"]) == (200, AMOUNT_MAX, replayed)
        assert "key_reused" in (await create("1"))[1]
        assert await client.verify() == []
