"""A guest that computes on when its user has answered, in a worker of a daemon: its time goes on from the answer.

While the user was asked it stood still, by up to `prompt_wait_ms`; what they did not take of that is not the guest's.
Through the library, and to the second: tests/runtime/executor/test_deadlines.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from host_api.money import Money
from host_api.prompts.prompt import Prompt, PromptError
from runtime import wire
from runtime.client import Client
from runtime.errors import CallEnded, Ending
from tests.chaos.daemon import PATIENCE_S, serving, until_told
from tests.hostile.guests import Script, bundle, scripted

APP = "org.example.guest"
LIMITS = {"wall_ms": 4_000, "prompt_wait_ms": 600_000, "cpu_us": 600_000_000, "cpu_burst_us": 600_000_000}
"""Its own time is over long before this test loses patience, what a user may take of it long after."""
ORDER = {"key": "k", "out_trade_no": "n", "amount": {"amount": 900, "currency": "CNY"}, "subject": "Tea"}


async def answer(client: Client) -> None:
    """The user says yes when a call that began after the question, and has as long, is over: they were asked for longer
    than the guest has."""
    waiting: list[Prompt] = []

    async def is_open() -> bool:
        waiting.extend(await client.prompts.pending("alice"))
        return bool(waiting)

    await until_told(is_open)
    nap = Script().call(wire.request(1, "session.sleep", {"ms": 60_000}))
    assert await ending_of(client, nap, "bob") is Ending.DEADLINE_EXCEEDED
    shown = await client.prompts.issue(waiting[0].id)

    async def is_answered() -> bool:
        try:
            await client.prompts.answer(shown.id, shown.token, shown.digest, True)
        except PromptError:  # nobody can have read it yet
            return False
        return True

    await until_told(is_answered)


async def ending_of(client: Client, script: Script, user: str) -> Ending:
    with trio.fail_after(PATIENCE_S), pytest.raises(CallEnded) as caught:
        await client.call(APP, "run", script.params(), user=user)
    return caught.value.ending


@pytest.mark.slow
async def test_its_time_goes_on_when_its_user_has_answered(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, workers={"count": 1}) as daemon,
        daemon.client() as client,
        daemon.client() as front_end,
        trio.open_nursery() as nursery,
    ):
        await client.install(bundle(scripted(), APP), grant=["payment"], limits=LIMITS)
        await client.deposit("alice", Money(amount=1_000, currency="CNY"), reference="d")
        create = Script().ask(wire.request(1, "payment.create", ORDER))
        reply = await client.call(APP, "run", create.params(), user="alice")
        order_id = create.responses(reply.value)[0][3]["order_id"]
        ask = wire.request(2, "payment.request", {"order_id": order_id, "wait_ms": 600_000})
        nursery.start_soon(answer, front_end)
        spin = Script().call(ask).step("spin", 0).step("again", 1)
        assert await ending_of(client, spin, "alice") is Ending.DEADLINE_EXCEEDED
        assert (await client.order(APP, order_id)).status == "succeeded"
        assert await client.verify() == []
