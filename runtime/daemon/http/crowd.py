"""The crowd: who is connected, how much of requests is held, and who has to go when there is too much of either.

What lives here: counting, and one rule. Where there is no room, the connection goes that has kept the host waiting
longest: an honest client sends its request within milliseconds and is never the one, whoever else comes. No I/O.
"""

from __future__ import annotations

import trio

from runtime.daemon.http.settings import HttpSettings


class Visitor:
    """One connection, as the crowd sees it. `address`: whose it counts as."""

    __slots__ = ("address", "held", "is_answered", "is_gone", "scope")

    def __init__(self, address: str) -> None:
        self.address = address
        self.held = 0
        """Bytes of its request, received so far."""
        self.is_answered = False
        """It has one of the places of `requests`."""
        self.is_gone = False
        self.scope: trio.CancelScope | None = None
        """What it waits in for its client; cancelled when it has to go."""


class Crowd:
    """All connections of one server."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._by_address: dict[str, int] = {}
        self._waiting: dict[Visitor, None] = {}
        """Those that wait for their clients, in the order in which they began to."""
        self.connections = self.requests = self.held_bytes = 0

    def enter(self, address: str) -> Visitor | None:
        """Room for one more, or None."""
        most = self._settings.connections if self._settings.behind_proxy else self._settings.connections_per_address
        if self._by_address.get(address, 0) >= most and not self._send_away(address):
            return None
        if self.connections >= self._settings.connections and not self._send_away():
            return None
        self.connections += 1
        self._by_address[address] = self._by_address.get(address, 0) + 1
        visitor = Visitor(address)
        self._waiting[visitor] = None
        return visitor

    def leave(self, visitor: Visitor) -> None:
        """Gone, with all it had. May be called again."""
        if visitor.is_gone:
            return
        visitor.is_gone = True
        self.end(visitor)
        self.release(visitor)
        self._waiting.pop(visitor, None)
        self.connections -= 1
        self._by_address[visitor.address] -= 1
        if not self._by_address[visitor.address]:
            del self._by_address[visitor.address]

    def hold(self, visitor: Visitor, size: int) -> bool:
        """`size` more bytes of its request are kept; False where there is no room for them."""
        if visitor.is_gone:
            return False
        while self.held_bytes + size > self._settings.held_bytes:
            if not self._send_away(but=visitor, holding=True):
                return False
        visitor.held += size
        self.held_bytes += size
        return True

    def release(self, visitor: Visitor) -> None:
        self.held_bytes -= visitor.held
        visitor.held = 0

    def begin(self, visitor: Visitor) -> bool:
        """Its request is whole. False where too many are being answered; then it waits as before."""
        if visitor.is_gone or self.requests >= self._settings.requests:
            return False
        self.requests += 1
        visitor.is_answered = True
        self._waiting.pop(visitor, None)
        return True

    def end(self, visitor: Visitor) -> None:
        """Its request is answered: it waits again, as the last in line. May be called again."""
        if visitor.is_answered:
            visitor.is_answered = False
            self.requests -= 1
            self.release(visitor)
            if not visitor.is_gone:
                self._waiting[visitor] = None

    def send_all_away(self) -> None:
        """All that wait for their clients."""
        while self._send_away():
            pass

    def _send_away(self, address: str | None = None, *, but: Visitor | None = None, holding: bool = False) -> bool:
        for visitor in self._waiting:
            if visitor is not but and address in (None, visitor.address) and (visitor.held or not holding):
                break
        else:
            return False
        if visitor.scope is not None:
            visitor.scope.cancel()
        self.leave(visitor)
        return True
