"""SIGHUP: the file is read again, and what can change in a running host changes.

What lives here: that each change is audited before it is made. All other differences are named in the log and wait for
the next start. A file that is refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from host_api.errors import ApiError
from runtime.daemon.config import Config, settings
from runtime.errors import HostelError
from runtime.host import Host
from runtime.log import logger, set_level

_log = logger("daemon")


class Reload:
    """The configuration in effect, and how it becomes that of the file."""

    def __init__(self, host: Host, config: Config, read_again: Callable[[], Config]) -> None:
        self._host, self._config, self._read_again = host, config, read_again

    async def __call__(self, by: str) -> None:
        """`by`: who asked, for the audit. Raises nothing for a file that is wrong or a store that refuses: the host
        goes on as it was."""
        try:
            await self._apply(self._read_again(), by)
        except HostelError as error:
            _log.error("the configuration stays as it was", problems=error.details.get("problems", [error.message]))
        except ApiError as error:
            _log.error("the configuration stays as it was", problems=[error.message])

    async def _apply(self, new: Config, by: str) -> None:
        differing = [
            (old, one) for old, one in zip(settings(self._config), settings(new), strict=True) if old.value != one.value
        ]
        waiting = [one.name for _, one in differing if not one.is_live]
        if waiting:
            _log.warning("these settings take effect with the next start", settings=waiting)
        changes = {one.name: (old.value, one.value) for old, one in differing if one.is_live}
        if not changes:
            _log.info("the configuration was read again: nothing changes now")
            return
        await self._host.record_settings(changes, by=by)
        host = replace(self._config.host, limits=new.host.limits, journal=new.host.journal)
        self._host.change_settings(host)
        set_level(new.log.level)
        self._config = replace(self._config, host=host, log=replace(self._config.log, level=new.log.level))
        _log.info(
            "the configuration was changed", by=by, changes={name: list(values) for name, values in changes.items()}
        )
