"""The configuration read again, and what can change in a running host changed: for SIGHUP and for operators.

What lives here: that each change is audited before it is made. All other differences are named and wait for the next
start. A file that is refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import trio

from runtime.control.steering import Change, Reloaded
from runtime.daemon.config import Config, settings
from runtime.host import Host
from runtime.log import logger, set_level

_log = logger("daemon")


class Reload:
    """The configuration in effect, and how it becomes that of the file."""

    def __init__(self, host: Host, config: Config, read_again: Callable[[], Config]) -> None:
        self._host, self._config, self._read_again = host, config, read_again
        self._one_at_a_time = trio.Lock()

    async def __call__(self, by: str) -> Reloaded:
        """`by`: who asked, for the audit. Raises ConfigRefused and UsageError (the file), ApiError (the store): nothing
        changed then."""
        async with self._one_at_a_time:
            return await self._apply(self._read_again(), by)

    async def _apply(self, new: Config, by: str) -> Reloaded:
        differing = [
            (old, one) for old, one in zip(settings(self._config), settings(new), strict=True) if old.value != one.value
        ]
        waiting = tuple(one.name for _, one in differing if not one.is_live)
        if waiting:
            _log.warning("these settings take effect with the next start", settings=list(waiting))
        changes = {one.name: (old.value, one.value) for old, one in differing if one.is_live}
        if changes:
            await self._host.record_settings(changes, by=by)
            host = replace(self._config.host, limits=new.host.limits, journal=new.host.journal)
            self._host.change_settings(host)
            set_level(new.log.level)
            self._config = replace(self._config, host=host, log=replace(self._config.log, level=new.log.level))
        _log.info(
            "the configuration was read again", by=by, changes={name: list(values) for name, values in changes.items()}
        )
        told = (Change(setting=name, before=str(old), after=str(new)) for name, (old, new) in changes.items())
        return Reloaded(changes=tuple(told), waiting=waiting)
