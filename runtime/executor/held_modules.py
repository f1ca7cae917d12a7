"""The modules that one worker holds, as its broker knows them: sent once, kept by use up to a sum of bytes.

What lives here: what is sent of a module and of a script, in which order, and what is forgotten first. Which call needs
which is worker_link.py's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from runtime.executor import frames
from runtime.executor.outbox import Outbox
from runtime.sandbox.checks import ModuleFacts

if TYPE_CHECKING:
    from runtime.executor.flight import Flight

AT_ONCE_BYTES: Final = 8 * frames.PIECE_BYTES
"""Of a module, after which others of this process have their turn: about what a socket takes at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerModule:
    """What `WorkerExecutor.load` gives: this process never maps it. Each worker gets it with the first call."""

    artifact: bytes = field(repr=False)
    facts: ModuleFacts
    posts: bool
    engine: WorkerModule | None = None
    """The module that `artifact` is a script image for; None: it is an artifact."""
    key: Hashable = field(default_factory=object)
    """The same for the same code, read again: a worker that has it is not sent it twice. By default nothing is the
    same."""


@dataclass(slots=True, kw_only=True, eq=False)
class Loaded:
    """What is known of a module that was sent: not its bytes, which this process need not keep for that."""

    key: Hashable
    facts: ModuleFacts
    size: int
    ref: int
    engine: Loaded | None
    """What this script runs on: it stays as long as the script does."""
    flights: int = 0
    """Calls in flight, and scripts that run on it."""
    held: list[Flight] | None = None
    """Calls that wait until the worker has all of it."""
    sent: trio.Event = field(default_factory=trio.Event)
    """The worker has all of it, or is gone."""


class HeldModules:
    """Of one worker. `start` is given the calls that waited for a module, with its number."""

    def __init__(self, *, bytes_most: int, nursery: trio.Nursery, start: Callable[[Flight, int], None]) -> None:
        self.outbox: Outbox
        self._bytes_most, self._nursery, self._start = bytes_most, nursery, start
        self._loaded: OrderedDict[Hashable, Loaded] = OrderedDict()
        self._bytes = self._refs = 0
        self._gone = False

    def take(self, module: WorkerModule) -> Loaded:
        """For one more call of it; sent unless the worker has it."""
        loaded = self._loaded.get(module.key) or self._send(module)
        loaded.flights += 1
        self._loaded.move_to_end(module.key)
        return loaded

    def numbered(self, ref: int) -> Loaded | None:
        return next((loaded for loaded in self._loaded.values() if loaded.ref == ref), None)

    def forget(self, loaded: Loaded) -> None:
        del self._loaded[loaded.key]
        self._bytes -= loaded.size
        if loaded.engine is not None:
            loaded.engine.flights -= 1
        self.outbox.send(frames.UNLOAD, loaded.ref)

    def lose(self) -> None:
        """The worker is gone."""
        self._gone = True

    def _send(self, module: WorkerModule) -> Loaded:
        """A large one goes in pieces, between which other frames have their turn; a script after what it runs on."""
        engine = None if module.engine is None else self.take(module.engine)
        self._refs += 1
        artifact = module.artifact
        loaded = Loaded(key=module.key, facts=module.facts, size=len(artifact), ref=self._refs, engine=engine)
        self._loaded[module.key] = loaded
        self._bytes += loaded.size
        if self._bytes > self._bytes_most:
            self._forget_oldest()
        facts = msgspec.json.encode(module.facts) if engine is None else b""
        head = frames.MODULE_HEAD.pack(loaded.size, 0 if engine is None else engine.ref)
        self.outbox.send(frames.MODULE, loaded.ref, head + facts)
        if loaded.size <= AT_ONCE_BYTES and (engine is None or engine.held is None):
            self._send_pieces(loaded.ref, artifact, 0)
            loaded.sent.set()
        else:
            loaded.held = []
            self._nursery.start_soon(self._transfer, loaded, artifact)
        return loaded

    def _send_pieces(self, ref: int, artifact: bytes, begin: int) -> None:
        """AT_ONCE_BYTES from there on, or what is left."""
        for at in range(begin, min(begin + AT_ONCE_BYTES, len(artifact)), frames.PIECE_BYTES):
            self.outbox.send(frames.PIECE, ref, artifact[at : at + frames.PIECE_BYTES])

    async def _transfer(self, loaded: Loaded, artifact: bytes) -> None:
        try:
            if loaded.engine is not None:
                await loaded.engine.sent.wait()
            for at in range(0, len(artifact), AT_ONCE_BYTES):
                if self._gone:
                    return
                self._send_pieces(loaded.ref, artifact, at)
                await self.outbox.taken()
            if self._gone:
                return
        finally:
            loaded.sent.set()
        held, loaded.held = loaded.held or [], None
        for flight in held:
            self._start(flight, loaded.ref)

    def _forget_oldest(self) -> None:
        """Those that no call needs, until there is room; the newest stays."""
        too_many, going = self._bytes - self._bytes_most, []
        for loaded in islice(self._loaded.values(), len(self._loaded) - 1):
            if too_many <= 0:
                break
            if not loaded.flights and loaded.held is None:
                too_many -= loaded.size
                going.append(loaded)
        for loaded in going:
            self.forget(loaded)
