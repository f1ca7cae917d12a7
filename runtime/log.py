"""The host's own log: structlog through the standard library's logging, so that an embedding service decides where
it goes.

Silent until that logging is configured (warnings and worse go to standard error, as Python does by itself). The daemon
configures it with `write_to`: one JSON object a line for machines, a coloured line for people. What a program logs is
not here: it goes to the host's log sink.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

_SOURCES: Final = ("hostel", "host_api", "runtime")
"""Whose records `write_to` takes: other libraries' warnings too, by the root."""
_FIRST: Final = ("timestamp", "level", "logger", "event", "incident", "trace_id")
_PROCESSORS: list[Any] = [
    structlog.stdlib.filter_by_level,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_text: Final = structlog.processors.KeyValueRenderer(key_order=["event", "incident"])
_with_traceback: Final = structlog.processors.format_exc_info


def logger(name: str) -> Any:
    """A structured logger under `hostel.`: `logger("broker").error("service failed", incident=…)`."""
    return structlog.wrap_logger(
        logging.getLogger(f"hostel.{name}"), processors=[*_PROCESSORS, _hand_over],
        wrapper_class=structlog.stdlib.BoundLogger,
    )  # fmt: skip


def _hand_over(found: Any, name: str, event: MutableMapping[str, Any]) -> Any:
    """As values to our own formatter where there is one, else as text to whatever the service configured."""
    if _formatter is not None:
        return structlog.stdlib.ProcessorFormatter.wrap_for_formatter(found, name, event)
    return _text(found, name, _with_traceback(found, name, event))


_formatter: structlog.stdlib.ProcessorFormatter | None = None


def write_to(stream: TextIO, *, level: str, as_json: bool) -> None:
    """All of this process's log to `stream`, from `level` up. Called again, it replaces what it set before; lines of
    other libraries come from `warning` up."""
    global _formatter
    last: list[Any] = [_with_traceback, structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)]
    if not as_json:
        plain = structlog.dev.plain_traceback  # the rich one shows what variables hold: keys, people
        last = [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    before = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, _PROCESSORS[-1]]
    _formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[_in_order, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    sink = logging.StreamHandler(stream)
    sink.setFormatter(_formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(sink)
    root.setLevel(logging.WARNING)
    set_level(level)


def set_level(level: str) -> None:
    """Of this process's own lines, from now on."""
    for name in _SOURCES:
        logging.getLogger(name).setLevel(level.upper())


def _in_order(found: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """When, how bad, which part of the host, what: the same for every line, before what is its own."""
    event["logger"] = event["_record"].name
    return {**{key: event.pop(key) for key in _FIRST if key in event}, **event}
