"""How a service refuses: what tests of every service ask."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from host_api.errors import ApiError


async def refusal(awaitable: Awaitable[object]) -> ApiError:
    """What it raises; that it raises nothing fails the test."""
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value
