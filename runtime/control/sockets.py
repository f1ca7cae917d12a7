"""Where the daemon of a state directory listens, and where clients on its machine look for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "hostel.sock"
PATH_BYTES_MAX: Final = 107
"""Of a Unix socket's path, on Linux."""


def default_socket(state: Path) -> Path:
    """In the state directory, which is its owner's alone."""
    return state / SOCKET_NAME
