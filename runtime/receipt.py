"""Usage (measured), Receipt (usage and ending of one call), Reply (the guest's answer, and the receipt). Plain values;
nothing here reads a clock.

Structs, because one of each is made for every call."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.errors import Ending


class Usage(msgspec.Struct, kw_only=True):
    """What one call used. Filled in while it runs, by the executor (guest side) and the broker (host side)."""

    cpu_us: int = 0
    called_cpu_us: int = 0
    """CPU time of the programs it called (program.call), theirs included; counts against cpu_us like its own."""
    fuel: int = 0
    """Instructions; 0 where they are not counted."""
    wall_us: int = 0
    asked_us: int = 0
    """Time in which a person was asked; not counted against the wall deadline."""
    memory_bytes_peak: int = 0
    memory_at_limit: bool = False
    """No further page would have fitted: a refused memory.grow looks like this from outside."""
    host_calls: int = 0
    """Those of the programs it called included."""
    message_in_bytes: int = 0
    message_out_bytes: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    log_bytes: int = 0
    log_cut: bool = False
    storage_delta_bytes: int = 0
    denials: int = 0
    """Host calls answered with an error."""
    unclaimed: int = 0
    """Responses to posted requests that nobody waited for."""
    dropped: int = 0
    """Posted requests and notifications that the call's end, or its deadline, left without an outcome."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a call cost and how it ended. One for every call that began, also for those that raise."""

    call_id: str
    app_id: str
    release: str
    method: str
    ending: Ending
    usage: Usage

    def as_dict(self) -> dict[str, Any]:
        """Flat plain values: what docs/protocol.md §10 lists."""
        told = {name: getattr(self, name) for name in self.__struct_fields__ if name != "usage"}
        return {**told, "ending": self.ending.value, **msgspec.structs.asdict(self.usage)}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What `Host.call` gives: the guest's result, and what the call cost."""

    value: Any
    receipt: Receipt
