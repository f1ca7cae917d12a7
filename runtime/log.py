"""The host's own log: structlog through the standard library's logging, so that an embedding service decides where
it goes.

Silent until that logging is configured (warnings and worse go to standard error, as Python does by itself). What a
program logs is not here: it goes to the host's log sink.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

_PROCESSORS: list[Any] = [
    structlog.stdlib.filter_by_level,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.KeyValueRenderer(key_order=["event", "incident"]),
]


def logger(name: str) -> Any:
    """A structured logger under `hostel.`: `logger("broker").error("service failed", incident=…)`."""
    return structlog.wrap_logger(
        logging.getLogger(f"hostel.{name}"), processors=_PROCESSORS, wrapper_class=structlog.stdlib.BoundLogger
    )
