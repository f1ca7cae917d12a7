"""Developers, releases and programs: what the commands that concern them share.

What lives here: asking, and showing what is answered.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.cli import report
from runtime.errors import AccessDenied, NotInstalled

if TYPE_CHECKING:
    from runtime.client import Client

_MOMENTS: Final = frozenset(
    {"created_us", "valid_from_us", "valid_until_us", "revoked_us", "uploaded_us", "decided_us", "installed_us",
     "changed_us", "expires_at_us"}
)  # fmt: skip
"""Points in time; other names that end so are how long something takes."""


def plain(value: Any) -> Any:
    """A value of the registry as JSON shows it."""
    return msgspec.to_builtins(value)


def show(value: Any, title: str, as_json: bool) -> None:
    """One value, as JSON or as a table of its fields."""
    told = plain(value)
    if as_json:
        report.show_json(told)
    else:
        report.show_table((title, ""), [(heading(name), _cell(name, one)) for name, one in told.items()])


def heading(name: str) -> str:
    """A moment is shown as a date: its name there has no unit."""
    return name.removesuffix("_us") if name in _MOMENTS else name


async def must_be_known(client: Client, app: str) -> None:
    """Raises NotInstalled where no program and no upload has that id. Who may not look is told nothing."""
    try:
        await client.program(app)
    except AccessDenied:
        return
    except NotInstalled:
        if not await client.releases.list(app):
            raise


def when(at_us: int) -> str:
    """'' for never; µs since 1970 where no calendar goes so far."""
    if not at_us:
        return ""
    try:
        return f"{datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError):
        return str(at_us)


def _cell(name: str, value: Any) -> object:
    if name in _MOMENTS and isinstance(value, int):
        return when(value)
    if name == "share" and isinstance(value, int):
        return f"{value / 100:g} %"  # of hundredths of a percent
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(key, one)}" if one != {} else key for key, one in value.items())
    return ", ".join(str(_cell("", one)) for one in value) if isinstance(value, list) else value
