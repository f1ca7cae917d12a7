"""What an executor is: it takes a job, bytes in, and gives an outcome, bytes out. Here, or in jailed workers.

What lives here: the values that go down and come back, and the protocol that both placements meet. An executor knows
programs only as names to share CPU time between; no user, no grant.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec

from runtime.errors import Ending
from runtime.limits import Limits
from runtime.receipt import Usage
from runtime.sandbox.checks import ModuleFacts
from runtime.sandbox.sandbox import HostSide


class Job(NamedTuple):
    """One message to be handled by a program."""

    program: str
    """The app_id: CPU time is shared between programs, and a worker keeps to them."""
    group: str
    """Programs of different groups never share a process."""
    module: Any
    """What this executor's own `load` gave."""
    message: bytes
    limits: Limits
    notification: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. `response` is there for `completed` only; `detail` is safe to log and show."""

    ending: Ending
    response: bytes = b""
    detail: str = ""
    details: dict[str, Any] = {}


class Executor(Protocol):
    """Where sandboxes run. Used from the trio thread of its host."""

    def load(self, artifact: bytes, facts: ModuleFacts) -> Any:
        """An authenticated artifact becomes a module that jobs can name. Raises ArtifactRefused."""
        ...

    async def run(self, job: Job, host: HostSide, usage: Usage) -> Outcome:
        """One job to its end. `usage` is filled in, whatever the ending. Cancelled at any point, the guest is dropped
        and nothing of it is left when this returns."""
        ...

    def has_room(self, job_group: str) -> bool:
        """A sandbox would be had without waiting."""
        ...

    def status(self) -> ExecutorStatus: ...


class ExecutorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot for operators."""

    placement: str
    """`in_process` or `worker`."""
    sandbox_level: str
    """`none`, `partial` or `full` (runtime.jail)."""
    ticker: str
    slots: int
    sandboxes: int
