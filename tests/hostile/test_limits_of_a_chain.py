"""The limit on programs that call programs, at the value and one over."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Site
from tests.hostile.test_program_calls import Script, calling, chain, refusal


@pytest.mark.parametrize("depth", [0, 2])
async def test_limit_call_depth(site: Site, depth: int) -> None:
    outermost, request = await chain(site, depth or 1, call_depth=depth)
    if depth:
        assert (await site.ask(request, outermost))[2] is None
        outermost, request = await chain(site, depth + 1, call_depth=depth)
        value = (await site.ask(request, outermost))[3]["value"]
        value = Script().ask(b"").responses(value)[0][3]["value"] if depth > 1 else value
        error = Script().ask(b"").responses(value)[0][2]
    else:
        error = await refusal(site, outermost, request)
    assert (error["code"], error["details"]["value"], error["details"]["used"]) == ("limit_exceeded", depth, depth + 1)
    assert calling("org.example.any", Script())
