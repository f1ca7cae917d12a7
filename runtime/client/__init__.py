"""A host somewhere else, with the methods of `Host`: `async with Client.connect("state/hostel.sock") as client`.

Same names, parameters, results and errors. What a host gives at once is awaited here. What lives here: one method for
each of the protocol's (docs/control.md); how they travel is link.py's. Nothing is tried again by itself: a connection
that is lost is an error which says whether the request may have had its effect.
"""

from __future__ import annotations

from runtime.client.client import Client

__all__ = ["Client"]
