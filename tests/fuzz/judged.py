"""A host that meets strangers' bundles one after the other, and what has to hold of it after each.

What lives here: installing, calling, uninstalling, and the judgement. A bundle is refused with a code of
docs/refused.md, or its calls end in a documented ending; the host counts no fault, no limit is passed, nothing of it is
left, and a neighbour answers rightly. Where the bundles come from is not known here.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from host_api.capability import CAPABILITIES
from runtime import App, Bundle, CallEnded, Ending, Host, HostelError, HostSettings, ScriptedCashier, wire
from runtime.bundle import Keyring
from runtime.executor.in_process import InProcessExecutor
from runtime.receipt import Usage
from runtime.session import CallSession
from tests.executor_choice import in_workers
from tests.hostile.guests import Script, bundle, scripted
from tests.hostile.test_cycles import ENDLESS

Call = tuple[str, dict[str, Any]]
Reader = Callable[[], Bundle]

REFUSED: Final = Path(__file__).resolve().parents[2] / "docs/refused.md"
NO_FAULT: Final = frozenset(Ending) - {Ending.INTERNAL, Ending.WORKER_LOST, Ending.CANCELLED, Ending.REVOKED}
"""Endings that are the guest's own doing: nobody cancels, revokes or kills here."""
LIMITS: Final = {**ENDLESS, "cpu_us": 10_000, "wall_ms": 300, "memory_bytes": 16 << 20, "log_bytes": 4_096,
                 "host_calls": 64, "message_out_bytes": 65_536, "response_bytes": 65_536}  # fmt: skip
CPU_OVER_US: Final = 20_000
"""What is looked at between two ticks may have taken longer: the CPU time of the longest import and of loading."""
WALL_OVER_S: Final = 20
"""No bound of the host's, whose machine may be full: what is over it hangs."""
MESSAGE_CHARS: Final = 4_096
SLOTS: Final = 8


class Fault(Exception):
    """The host did what it must not. The text says what."""


def documented(*sections: str) -> frozenset[str]:
    """The first column of the tables under these headings of docs/refused.md."""
    found: set[str] = set()
    for part in REFUSED.read_text().split("\n## ")[1:]:
        if part.split("\n", 1)[0] in sections:
            found |= set(re.findall(r"^\| `([a-z_]+)` \|", part, re.MULTILINE))
    return frozenset(found)


class _Faults(logging.Handler):
    """Whatever the host's log calls an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record.getMessage()[:4_000])


class Judge:
    """One host with a neighbour on it. `seen` counts what became of the bundles."""

    def __init__(
        self, host: Host, neighbour: App, seen: Counter[str], log_bytes: Counter[str], faults: _Faults
    ) -> None:
        self.host, self.seen = host, seen
        self._neighbour, self._log_bytes, self._faults = neighbour, log_bytes, faults
        self._told = 0
        self._codes = documented("The bundle is refused", "Installing and releasing")
        self._endings = documented("Your program is ended") & {ending.value for ending in NO_FAULT}

    async def meet(self, kind: str, read: Reader, calls: Sequence[Call]) -> None:
        """One bundle, from its bytes to its end. Raises Fault, or whatever a fault of the host's raises."""
        try:
            made = read()
            app = await self.host.install(made, grant=sorted(CAPABILITIES), limits=LIMITS)
        except HostelError as error:
            self.seen[f"{kind}: refused, {self._refused(error)}"] += 1
        else:
            for method, params in calls:
                self.seen[f"{kind}: {await self._called(app, method, params)}"] += 1
            await self.host.uninstall(app)
        await self._neighbour_answers()
        self._nothing_left()

    def _refused(self, error: HostelError) -> str:
        if error.code not in self._codes:
            raise Fault(f"refused with {error.code}, which docs/refused.md does not have there: {error.message}")
        plain = error.message.replace("µ", "u").replace("…", ".")
        if not (plain.isascii() and plain.isprintable()) or not 0 < len(plain) <= MESSAGE_CHARS:
            raise Fault(f"a refusal that is no line of printable text: {error.message!a}")
        check = error.details.get("check") or error.details.get("limit") or ""
        return f"{error.code} {check}".strip()

    async def _called(self, app: App, method: str, params: dict[str, Any]) -> str:
        self._log_bytes.clear()
        try:
            receipt = (await self.host.call(app, method, params, user="alice")).receipt
        except CallEnded as error:
            if error.receipt is None or error.ending is not error.receipt.ending or error.code != error.ending.value:
                raise Fault(f"{error.code}: ending and receipt say different things") from error
            receipt = error.receipt
        if receipt.ending.value not in self._endings:
            raise Fault(f"ended as {receipt.ending}, which is no doing of a guest's; {self._faults.records}")
        self._inside_limits(receipt.usage)
        return f"ended, {receipt.ending.value}"

    def _inside_limits(self, usage: Usage) -> None:
        logged = sum(self._log_bytes.values())
        for what, used, most in (
            ("cpu_us", usage.cpu_us, LIMITS["cpu_us"] + CPU_OVER_US),
            ("wall_ms", usage.wall_us // 1_000, LIMITS["wall_ms"] + WALL_OVER_S * 1_000),
            ("memory_bytes", usage.memory_bytes_peak, LIMITS["memory_bytes"]),
            ("message_out_bytes", usage.message_out_bytes, LIMITS["message_out_bytes"]),
            ("response_bytes", usage.response_bytes, LIMITS["response_bytes"] * max(1, usage.host_calls)),
            ("log_bytes", usage.log_bytes, LIMITS["log_bytes"]),
            ("log_bytes, as they came", logged, LIMITS["log_bytes"] + MARK_BYTES),
        ):  # fmt: skip
            if used > most:
                raise Fault(f"{what}: {used} are used, the most is {most}")

    async def _neighbour_answers(self) -> None:
        """It writes a number and reads it again: the one of this turn, and no other."""
        self._told += 1
        put = wire.request(1, "storage.put", {"key": "k", "value": self._told})
        get = wire.request(2, "storage.get", {"key": "k"})
        script = Script().ask(put).ask(get)
        reply = await self.host.call(self._neighbour, "run", script.params(), user="bob")
        written, read = script.responses(reply.value)
        if written[2] is not None or read[1:3] != [2, None] or read[3]["value"] != self._told:
            raise Fault(f"the neighbour was answered wrongly: {written}, {read}")

    def _nothing_left(self) -> None:
        if self._faults.records:
            raise Fault("the host logged errors: " + "\n".join(self._faults.records))
        self.host._calls.residents.drop()
        told = self.host.statistics()
        left = told.calls_in_flight, told.calls_queued, told.sandboxes, told.fetches, told.prompts_open
        running = self.host._executor.ticker.running if isinstance(self.host._executor, InProcessExecutor) else 0
        if any(left) or running or told.programs != 1:
            raise Fault(f"something is left of it: {told}, {running} guests running")


MARK_BYTES: Final = 64
"""Of the line that says that the rest was cut."""


@asynccontextmanager
async def judging(cache: Path, keyring: Keyring | None, seen: Counter[str]) -> AsyncIterator[Judge]:
    """A host in this process, or in jailed workers with HOSTEL_WORKERS=1; with a keyring it takes signed bundles only.
    `cache` keeps what was compiled; what became of each is counted in `seen`."""
    log_bytes, faults = Counter[str](), _Faults()

    def sink(session: CallSession, level: str, line: str) -> None:
        log_bytes[session.call_id] += len(line.encode())

    settings = HostSettings(
        slots=SLOTS, allow_unsigned=keyring is None, cache_dir=cache, workers=in_workers(SLOTS),
    )  # fmt: skip
    root = logging.getLogger()
    root.addHandler(faults)
    try:
        async with Host.open(
            settings=settings, cashier=ScriptedCashier(lambda _: True), log_sink=sink, keyring=keyring
        ) as host:  # fmt: skip
            honest = bundle(scripted(), "org.example.neighbour")
            neighbour = await host.install(honest, grant=["storage"], limits=ENDLESS, allow_unsigned=True)
            yield Judge(host, neighbour, seen, log_bytes, faults)
    finally:
        root.removeHandler(faults)
