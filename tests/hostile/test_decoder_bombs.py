"""Decoder bombs from a real guest, as requests, params and answers; a neighbour is answered meanwhile.

Row 21 of checklist.json. That any bytes give a value or the one documented error is tests/runtime/test_wire.py's, with
a decoder of its own to agree with; here it is what becomes of the call, of memory, and of everybody else.
"""

from __future__ import annotations

import tracemalloc

import pytest

from runtime import Ending, wire
from runtime.limits import MIB
from runtime.wire import MalformedMessage
from tests.hostile.conftest import Site
from tests.hostile.decoder_bombs import ANSWER, PARAMS, REFUSED, ROOM_FOR_BOMBS, TAKEN, WAYS, sent
from tests.hostile.guests import Script
from tests.hostile.neighbour import Neighbour

GROWN_MOST = 2 * MIB
"""What one decoding may allocate, besides the bytes themselves."""


@pytest.mark.parametrize("bomb", REFUSED)
def test_decoding_it_costs_little(bomb: str) -> None:
    """One error, and no more memory than the elements that a message may have."""
    data = REFUSED[bomb]()
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage) as caught:
            wire.decode(data, 4 * MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0 < len(caught.value.reason) < 80
    assert peak - len(data) < GROWN_MOST


@pytest.mark.parametrize("plain", TAKEN)
def test_its_nearest_neighbours_are_taken(plain: str) -> None:
    wire.decode(TAKEN[plain](), 4 * MIB)


@pytest.mark.parametrize("way", WAYS)
async def test_a_guest_that_sends_them(site: Site, neighbour: Neighbour, way: str) -> None:
    """Each ends its own call with one ending, whatever it was."""
    app = await site.install(**ROOM_FOR_BOMBS)

    async def attack() -> None:
        for bomb, make in REFUSED.items():
            ending, error, receipt = await site.end(sent(way, make()), app)
            assert ending is Ending.PROTOCOL_VIOLATION, bomb
            assert receipt.usage.response_bytes == 0
            assert error.message.isprintable() and len(error.message) < 300

    await neighbour.beside(attack)


async def test_a_guest_that_sends_what_is_just_a_value(site: Site, neighbour: Neighbour) -> None:
    """At its bounds it is taken: the refusals above are of the bomb, not of its wrapping."""
    app = await site.install(**ROOM_FOR_BOMBS)

    async def attack() -> None:
        for plain, make in TAKEN.items():
            answer = (await site.run(Script().ask(PARAMS + make()), app))[1]
            assert wire.decode(answer, 4_096)[2]["code"] == "invalid_params", plain  # session.info takes none
            said, script = ANSWER + make(), Script()
            reply = await site.host.call(app, "run", script.step("give", script.bring(said), len(said)).params())
            assert reply.value == wire.decode(make(), 4 * MIB)

    await neighbour.beside(attack)
