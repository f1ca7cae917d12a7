"""What an executor is: it takes a job, bytes in, and gives an outcome, bytes out. Here, or in jailed workers.

What lives here: the values that go down and come back, and the protocol that both placements meet. An executor knows
programs only as names to share CPU time between; no user, no grant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from runtime.deadline import Deadline
from runtime.errors import Ending
from runtime.limits import Limits
from runtime.receipt import Usage
from runtime.sandbox.checks import ModuleFacts
from runtime.sandbox.fiber import Fiber
from runtime.sandbox.host_side import HostSide
from runtime.statistics import WorkerFigures


class Resident(NamedTuple):
    """Which sandbox that is kept between calls a job is for: its program's, of this user."""

    user: str
    before: int
    """The call that left the memory it is to find; where that is not there (any more), and for 0, it gets a fresh
    one."""
    after: int
    """This call, which leaves it if it completes."""


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
    resident: Resident | None = None
    """None: a fresh sandbox for this job alone."""
    trial: bool = False
    """There is no message: the script is loaded, and the response is why it did not load; b"" if it did."""
    seed: bytes = b""
    """In a rehearsal (runtime.rehearsal): what the guest's randomness follows from; its clock stands still. b"": both
    are the system's."""
    place: Callable[[], Fiber] | None = None
    """Makes the place of its guest, where what crosses the sandbox's border is noted or played (runtime.recording), and
    the executor is in this process; None: any place."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. `response` is there for `completed` only, as an executor gives it, and `value` once that was
    read; `detail` is safe to log and show."""

    ending: Ending
    response: bytes = b""
    value: Any = None
    detail: str = ""
    details: dict[str, Any] = {}


class CallHost(HostSide, Protocol):
    """What an executor needs of the broker's record of a call: the guest's other end, and the call's own deadline."""

    @property
    def deadline(self) -> Deadline: ...
    def refused_elsewhere(self, count: int) -> None:
        """So many requests were over a limit of the call and were answered where the guest is."""
        ...


Start: TypeAlias = Callable[[Job, CallHost, Usage, Callable[[Outcome], None]], Any]
"""Begins a job; what it was given is called once with the outcome, from a later turn of the loop. Gives what `give_up`
takes. Raises HostBusy: nothing was begun."""


class Executor(Protocol):
    """Where sandboxes run. Used from the trio thread of its host."""

    def load(self, artifact: bytes, facts: ModuleFacts) -> Any:
        """An authenticated artifact becomes a module that jobs can name. Raises ArtifactRefused."""
        ...

    def scripted(self, module: Any, image: bytes) -> Any:
        """The module that `load` gave for the host's own JavaScript, with a script image: a module that jobs can
        name."""
        ...

    async def run(self, job: Job, host: CallHost, usage: Usage) -> Outcome:
        """One job to its end. `usage` is filled in, whatever the ending. Cancelled at any point, the guest is dropped
        and nothing of it is left when this returns. Raises HostBusy where too many calls wait for a sandbox."""
        ...

    @property
    def start(self) -> Start | None:
        """As `run`, for who is called back; None where only `run` will do."""
        ...

    def give_up(self, started: Any) -> None:
        """Nobody wants the outcome of what `start` began: the guest is dropped, which is the outcome."""
        ...

    def abandon(self) -> None:
        """The host closes, and jobs that were told to end have not: they end now as `deadline_exceeded`, whatever their
        guests do. No job is begun after this."""
        ...

    def forget(self, program: str, user: str) -> None:
        """Drops the resident sandbox of that user where there is one and no job is in it."""
        ...

    def has_room(self, job_group: str) -> bool:
        """A sandbox would be had without waiting."""
        ...

    @property
    def is_able(self) -> bool:
        """False while no worker can take a call: those that there were died, and none is back yet."""
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
    workers: tuple[WorkerFigures, ...] = ()
