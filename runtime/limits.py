"""Every limit: one declaration each, with unit, scope, default, bounds and the error a guest or caller meets.

What lives here: numbers and their arithmetic. No I/O, no clock. Where a limit is enforced is named in its text; a test
hits each of them from a real guest, at the value and one over. All are on by default; a manifest may ask for more, only
the operator gives it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from runtime.errors import UsageError

KIB, MIB = 1 << 10, 1 << 20
WASM_PAGE = 64 * KIB
MEMORY_BYTES_CEILING = 64 * MIB
"""The largest memory any grant can give: address space the pool reserves for each slot."""
FUEL_MOST = 1 << 53
TABLE_ELEMENTS_CEILING = 100_000
"""The largest table any grant can give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSpec:
    """What is known about one limit besides its value."""

    unit: str
    scope: str
    error: str
    text: str
    least: int = 1
    most: int = 2**53


def _limit(default: int, unit: str, scope: str, error: str, text: str, *, least: int = 1, most: int = 2**53) -> Any:
    spec = LimitSpec(unit=unit, scope=scope, error=error, text=text, least=least, most=most)
    return field(default=default, metadata={"spec": spec})


class _Checked:
    """Shared by the tables below: values are whole numbers inside their bounds, so a held value is a valid one."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, spec in specs(type(self)).items():
            value = getattr(self, name)
            if type(value) is not int or not spec.least <= value <= spec.most:
                raise UsageError(
                    f"limit {name} = {value!r}: must be a whole number of {spec.unit} from {spec.least} to {spec.most}",
                    details={"limit": name, "value": value, "least": spec.least, "most": spec.most},
                )

    def changed(self, changes: Mapping[str, int]) -> Any:
        """A copy with some values changed. Unknown names are refused with the nearest known one."""
        known = specs(type(self))
        for name in changes:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
                raise UsageError(f"unknown limit {name!r}{hint}", details={"limit": name})
        return replace(self, **changes)  # type: ignore[type-var]


_SPECS: dict[type, dict[str, LimitSpec]] = {}


def specs(table: type) -> Mapping[str, LimitSpec]:
    """Name → what is known about it, of one of the tables below, in the order of declaration."""
    if table not in _SPECS:
        _SPECS[table] = {f.name: f.metadata["spec"] for f in fields(table)}
    return _SPECS[table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(_Checked):
    """What one program may use. The same snapshot holds for a whole call."""

    # -- one call
    cpu_us: int = _limit(
        50_000, "µs", "call", "cpu_exceeded", "CPU time of the guest, its start functions included", least=1_000,
        most=600_000_000,
    )  # fmt: skip
    fuel: int = _limit(
        0, "instructions", "call", "fuel_exhausted",
        "instructions of the guest, its start functions included: the same count for the same module, messages and"
        " version of the engine, on any machine; 0: not counted, which is faster", least=0, most=FUEL_MOST,
    )  # fmt: skip
    wall_ms: int = _limit(
        10_000, "ms", "call", "deadline_exceeded",
        "time from the first slice to the answer, host calls included; stands still while a person is asked", least=1,
        most=3_600_000,
    )  # fmt: skip
    prompt_wait_ms: int = _limit(
        150_000, "ms", "call", "", "how long one host call may wait for a person", least=0, most=600_000
    )
    memory_bytes: int = _limit(
        16 * MIB, "bytes", "sandbox", "", "linear memory; the guest sees a refused memory.grow as -1", least=WASM_PAGE,
        most=MEMORY_BYTES_CEILING,
    )  # fmt: skip
    script_memory_bytes: int = _limit(
        32 * MIB, "bytes", "sandbox", "",
        "memory_bytes of a program that is a script, unless that is given to it: the engine's own memory is in it",
        least=WASM_PAGE, most=MEMORY_BYTES_CEILING,
    )  # fmt: skip
    table_elements: int = _limit(
        10_000, "elements", "sandbox", "", "elements of the one table; a refused table.grow gives -1", least=0,
        most=TABLE_ELEMENTS_CEILING,
    )  # fmt: skip
    message_in_bytes: int = _limit(
        256 * KIB, "bytes", "message", "message_too_large", "the message given to a guest", least=16, most=16 * MIB
    )
    message_out_bytes: int = _limit(
        256 * KIB, "bytes", "message", "protocol_violation", "the guest's answer", least=16, most=16 * MIB
    )
    request_bytes: int = _limit(
        256 * KIB, "bytes", "message", "limit_exceeded", "one host call's request", least=16, most=16 * MIB
    )
    response_bytes: int = _limit(
        256 * KIB, "bytes", "message", "limit_exceeded", "one host call's response", least=512, most=16 * MIB
    )
    log_bytes: int = _limit(
        64 * KIB, "bytes", "call", "", "log text kept per call; what comes after is cut with a mark", least=0,
        most=16 * MIB,
    )  # fmt: skip
    host_calls: int = _limit(
        256, "calls", "call", "limit_exceeded", "host calls, posted ones included", least=0, most=1_000_000
    )
    posted: int = _limit(
        16, "requests", "call", "limit_exceeded", "requests posted and not yet waited for", least=0, most=4_096
    )
    # -- one program
    cpu_us_per_s: int = _limit(
        200_000, "µs/s", "program", "rate_limited", "CPU time per second, on average", least=1_000, most=64_000_000
    )
    cpu_burst_us: int = _limit(
        1_000_000, "µs", "program", "rate_limited", "CPU time that may be used at once", least=1_000, most=3_600_000_000
    )
    calls_per_s: int = _limit(
        500, "calls/s", "program", "rate_limited", "calls per second, on average", most=10_000_000
    )
    calls_burst: int = _limit(1_000, "calls", "program", "rate_limited", "calls that may come at once", most=10_000_000)
    calls_in_flight: int = _limit(
        64, "calls", "program", "queue_full", "calls at once; more wait in the queue", most=100_000
    )
    calls_queued: int = _limit(
        256, "calls", "program", "queue_full", "calls waiting; more are refused", least=0, most=100_000
    )
    sandboxes: int = _limit(
        64, "sandboxes", "program", "queue_full", "sandboxes alive; more calls wait in the queue", most=100_000
    )
    live_memory_bytes: int = _limit(
        256 * MIB, "bytes", "program", "queue_full",
        "memory of all live sandboxes, each counted with what it may grow to (the lesser of"
        " memory_bytes and the module's declared maximum)", least=WASM_PAGE, most=1 << 40,
    )  # fmt: skip
    mailbox_calls: int = _limit(
        32, "calls", "program and user", "queue_full", "calls waiting for a resident sandbox; more are refused",
        least=0, most=100_000,
    )  # fmt: skip
    held_bytes: int = _limit(
        8 * MIB, "bytes", "program", "overloaded",
        "memory the host holds for the program: queued messages, responses not taken", least=64 * KIB, most=1 << 40,
    )  # fmt: skip
    # -- one program and one user
    storage_bytes: int = _limit(
        10 * MIB, "bytes", "program and user", "quota_exceeded", "keys and values kept", least=0, most=1 << 40
    )
    storage_value_bytes: int = _limit(
        200 * KIB, "bytes", "program and user", "quota_exceeded", "one value, encoded", least=0, most=16 * MIB
    )
    storage_keys: int = _limit(
        1_000, "keys", "program and user", "quota_exceeded", "keys kept", least=0, most=10_000_000
    )
    payment_amount: int = _limit(
        200_000, "minor units", "program and user", "limit_exceeded", "one payment", least=0, most=10**12
    )
    payment_day_amount: int = _limit(
        1_000_000, "minor units", "program and user", "limit_exceeded", "payments of any 24 hours, per currency",
        least=0, most=10**15,
    )  # fmt: skip
    call_depth: int = _limit(
        4, "calls", "call", "limit_exceeded", "program.call in program.call, the first one counted", least=0, most=16
    )
    fetch_request_bytes: int = _limit(
        224 * KIB, "bytes", "message", "limit_exceeded", "the body sent by http.fetch", least=0, most=16 * MIB
    )
    fetch_response_bytes: int = _limit(
        224 * KIB, "bytes", "message", "limit_exceeded",
        "the body read by http.fetch, as received; by default it fits into response_bytes with its headers", least=0,
        most=16 * MIB,
    )  # fmt: skip
    notices_per_day: int = _limit(
        20, "messages", "program and user", "limit_exceeded", "notify.send in any 24 hours", least=0, most=1_000_000
    )
    payment_hour_count: int = _limit(
        20, "payments", "program and user", "limit_exceeded", "payments created in any hour", least=0, most=1_000_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeveloperLimits(_Checked):
    """What all programs of one developer use together: ten times what one program may, unless the operator says
    otherwise. Programs that nobody owns share nothing."""

    cpu_us_per_s: int = _limit(
        2_000_000, "µs/s", "developer", "rate_limited", "CPU time per second, on average", least=1_000, most=640_000_000
    )
    cpu_burst_us: int = _limit(
        10_000_000, "µs", "developer", "rate_limited", "CPU time that may be used at once", least=1_000, most=10**12
    )
    calls_per_s: int = _limit(
        5_000, "calls/s", "developer", "rate_limited", "calls per second, on average", most=100_000_000
    )
    calls_burst: int = _limit(
        10_000, "calls", "developer", "rate_limited", "calls that may come at once", most=100_000_000
    )
    calls_in_flight: int = _limit(
        640, "calls", "developer", "queue_full", "calls at once; more wait in their programs' queues", most=1_000_000
    )
    live_memory_bytes: int = _limit(
        2_560 * MIB, "bytes", "developer", "queue_full", "memory of all live sandboxes, counted as for one program",
        least=WASM_PAGE, most=1 << 42,
    )  # fmt: skip
    uploads_per_day: int = _limit(
        50, "uploads", "developer", "uploads_per_day", "uploads in any 24 hours, refused ones too", least=0,
        most=100_000,
    )  # fmt: skip
    uploads_pending: int = _limit(
        10, "uploads", "developer", "uploads_pending", "releases that wait for a review", least=0, most=10_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleCaps(_Checked):
    """Structural caps on a module, checked before it is compiled; a compile limit stands behind them (compiler.py).

    Values: ../docs/protocol.md §9; at least twice what honest modules need (QuickJS, a libc program, the samples).
    """

    module_bytes: int = _limit(4 * MIB, "bytes", "module", "module_refused", "size of the module")
    types: int = _limit(2_000, "types", "module", "module_refused", "function types")
    imports: int = _limit(100, "imports", "module", "module_refused", "imports")
    functions: int = _limit(20_000, "functions", "module", "module_refused", "functions defined")
    globals: int = _limit(4_000, "globals", "module", "module_refused", "globals")
    exports: int = _limit(4_000, "exports", "module", "module_refused", "exports")
    elements: int = _limit(4_000, "segments", "module", "module_refused", "element segments")
    element_items: int = _limit(20_000, "items", "module", "module_refused", "references in all element segments")
    data_segments: int = _limit(4_000, "segments", "module", "module_refused", "data segments")
    tables: int = _limit(1, "tables", "module", "module_refused", "tables", least=0, most=1)
    table_elements: int = _limit(10_000, "elements", "module", "module_refused", "initial elements of the table")
    params: int = _limit(32, "parameters", "function", "module_refused", "parameters of a function type")
    results: int = _limit(8, "results", "function", "module_refused", "results of a function type")
    locals: int = _limit(1_000, "locals", "function", "module_refused", "locals of a function, run lengths expanded")
    body_bytes: int = _limit(128 * KIB, "bytes", "function", "module_refused", "one function body")
    nesting: int = _limit(1_024, "levels", "function", "module_refused", "blocks in blocks")
    br_table: int = _limit(1_024, "targets", "function", "module_refused", "targets of one br_table")
    name_bytes: int = _limit(256, "bytes", "module", "module_refused", "an import or export name")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileLimits(_Checked):
    """What compiling one module may use. Compilation cannot be interrupted, so a child process bears these limits."""

    cpu_s: int = _limit(10, "s", "compilation", "compile_limit", "CPU time of the child", most=3_600)
    wall_ms: int = _limit(
        25_000, "ms", "compilation", "compile_limit", "from the start of the child to its answer", least=100,
        most=36_000_000,
    )  # fmt: skip
    memory_bytes: int = _limit(
        1_536 * MIB, "bytes", "compilation", "compile_limit", "address space of the child", least=256 * MIB,
        most=1 << 40,
    )  # fmt: skip
    artifact_bytes: int = _limit(
        32 * MIB, "bytes", "compilation", "compile_limit", "size of the compiled module", least=4 * KIB, most=1 << 30
    )
