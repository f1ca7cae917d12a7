"""What a daemon can be told while it lives, by signals and by operators: to reload, to drain, to stop.

What lives here: what each of them sets off. The order of a daemon's life is serve.py's.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable

import trio

from host_api.errors import ApiError
from runtime.control.steering import Reloaded
from runtime.daemon.config import Config
from runtime.daemon.reload import Reload
from runtime.errors import HostelError
from runtime.host import Host
from runtime.log import logger

_log = logger("daemon")


class Life:
    """Of one daemon: a `Steered` of the control protocol, and an ear for signals."""

    def __init__(self, host: Host, config: Config, nursery: trio.Nursery, read_again: Callable[[], Config]) -> None:
        """`nursery`: lives as long as the host is open."""
        self._host, self._nursery = host, nursery
        self._reload = Reload(host, config, read_again)
        self._drain_s = config.host.drain_s
        self.stopping = trio.Event()
        self.at_once = trio.CancelScope()
        """What waits for calls in flight; cancelled, they end now."""

    # ---- operators ---------------------------------------------------------------------------------------------------
    async def reload(self, by: str) -> Reloaded:
        """See `Steered`."""
        return await self._reload(by)

    async def drain(self, seconds: float | None, by: str) -> int:
        """See `Steered`: whoever asked may go away."""
        await self._host.record_steering("host.draining", by=by)
        in_flight, over = self._host.statistics().calls_in_flight, trio.Event()
        _log.info("draining", by=by, calls_in_flight=in_flight)

        async def drain() -> None:
            await self._host.drain(self._drain_s if seconds is None else seconds)
            over.set()

        self._nursery.start_soon(drain, name="drain")
        await over.wait()
        return in_flight

    async def stop(self, by: str) -> None:
        """See `Steered`."""
        await self._host.record_steering("host.stopping", by=by)
        self._stop(by)

    def _stop(self, by: str) -> None:
        _log.info("stopping", by=by)
        self.stopping.set()

    # ---- signals -----------------------------------------------------------------------------------------------------
    async def hear(self, signals: AsyncIterator[int]) -> None:
        """For ever. What cannot be done is logged: the host goes on as it was."""
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                await self._hang_up(name)
            elif self.stopping.is_set():
                _log.warning("asked again: what is in flight ends now", signal=name)
                self.at_once.cancel()
            else:
                self._stop(name)

    async def _hang_up(self, name: str) -> None:
        try:
            await self._reload(name)
        except HostelError as error:
            _log.error("the configuration stays as it was", problems=error.details.get("problems", [error.message]))
        except ApiError as error:
            _log.error("the configuration stays as it was", problems=[error.message])
