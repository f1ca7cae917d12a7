"""The HTTP door: programs called by front ends, the cashier and consents of one user, health and metrics.

`serve(host, settings, metrics=…, ready=…)` runs it; docs/protocol.md §16 says what a client may rely on. Bytes of the
network are read here (head.py, connection.py, crowd.py) before any library sees them.
"""

from runtime.daemon.http.server import serve
from runtime.daemon.http.settings import HttpSettings

__all__ = ["HttpSettings", "serve"]
