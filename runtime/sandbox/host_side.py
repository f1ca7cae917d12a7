"""What a sandbox asks of whoever runs it: answers to its requests, and the call's deadline.

What lives here: protocols only. The broker's record of a call is the host side in process (broker.py), frames to it in
a worker (executor/remote_host.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Generator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from host_api.errors import ApiError


class Deadline(Protocol):
    """The call's wall deadline; it may stand still (runtime.deadline.Deadline)."""

    def expired(self) -> bool: ...
    def scope(self) -> AbstractContextManager[object, bool]:
        """Cancels what is awaited inside it when the deadline passes."""
        ...


class Elsewhere:
    """A request that another process answers; awaiting it gives the response. It needs no scope of the deadline: when
    that passes, it ends by itself, with Over. A plain class to derive from: to ask whether something is one is part of
    every host call, and of an abstract class that costs as much as the rest of the question."""

    __slots__ = ()

    @abstractmethod
    def __await__(self) -> Generator[Any, Any, bytes | None]: ...

    @abstractmethod
    def accepted(self) -> Awaitable[bytes | Elsewhere | None]:
        """What `HostSide.answer` would have given here: the response if there is one at once, else itself, which is
        then to be awaited in a scope like everything else."""


class HostSide(Protocol):
    """The other end of a guest's requests: the broker's record of this call."""

    @property
    def deadline(self) -> Deadline: ...
    def answer(self, request: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The response; None for a notification. Raises MalformedMessage if the bytes are no request."""
        ...

    def refuse(self, request: bytes, error: ApiError) -> bytes | None:
        """The response that says no, for a request that never reaches the broker. `request` may be its first bytes
        only."""
        ...

    def log(self, stream: int, data: bytes) -> None: ...
    def hold(self, size: int) -> bool:
        """Room for a response kept for the guest; False when its program holds too much already."""
        ...

    def release(self, size: int) -> None: ...
