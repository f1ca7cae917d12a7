"""Bounds of settings that both doors have: what means the same on the control socket and over HTTP has the same bounds.

What lives here: pairs of the least and the most. Times in seconds.
"""

from __future__ import annotations

from typing import Final

CONNECTIONS: Final = (1, 100_000)
"""At once."""
IDLE_S: Final = (0.05, 86_400.0)
"""A connection that asks for nothing."""
FIRST_S: Final = (0.05, 60.0)
"""Until a stranger has said who they are, or what they want: token, TLS handshake, head of a request."""
WHOLE_S: Final = (0.05, 600.0)
"""From the first byte to the last: of a frame, of a body."""
WRITE_S: Final = (0.05, 600.0)
"""A client that takes nothing of its answers."""
