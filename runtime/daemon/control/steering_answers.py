"""What answers the methods that steer a daemon (runtime/control/steering.py). What they do is the daemon's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from runtime.control import steering
from runtime.control.method import Done
from runtime.daemon.control.answers import Answer, by_name


class Steered(Protocol):
    """A daemon, as far as its operators may steer it. `by`: who asks, for the audit."""

    async def reload(self, by: str) -> steering.Reloaded:
        """Raises ConfigRefused, with nothing changed, and ApiError of the store."""
        ...

    async def drain(self, seconds: float | None, by: str) -> int:
        """Goes on when it is cancelled. Gives the calls that were in flight. Raises ApiError of the store."""
        ...

    async def stop(self, by: str) -> None:
        """Begins to. Raises ApiError of the store."""
        ...


class SteeringAnswers:
    """For one daemon."""

    def __init__(self, steered: Steered) -> None:
        self._steered = steered

    def all(self) -> Mapping[str, Answer]:
        return by_name(
            Answer(steering.RELOAD, self.reload, told_who=True),
            Answer(steering.DRAIN, self.drain, told_who=True),
            Answer(steering.STOP, self.stop, told_who=True),
        )

    async def reload(self, _: Any, who: str) -> steering.Reloaded:
        return await self._steered.reload(who)

    async def drain(self, asked: steering.Drain, who: str) -> steering.Drained:
        return steering.Drained(calls_in_flight=await self._steered.drain(asked.seconds, who))

    async def stop(self, _: Any, who: str) -> Done:
        await self._steered.stop(who)
        return Done()
