"""What a case is: one JSON file below `cases/`, read strictly.

What lives here: the values and the reading. What a target is sent of a case is in expand.py, what comes of it in
verdict.py. docs/conformance.md describes the format; `case.schema.json` is made from these classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Requirement = Annotated[str, Meta(pattern=r"^P[0-9]+(\.[0-9]+)?-[0-9]+$")]
Feature = Literal[
    "clock", "restart", "http", "control", "releases", "workers", "store", "names", "fresh", "faults", "payouts"
]
"""What a target has beyond installing, calling and answering prompts; docs/conformance.md says what each is."""


class CaseError(Exception):
    """A case file is not valid: a fault of the suite, never of a host."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Program(_Part, frozen=True, kw_only=True):
    """One bundle. It is installed before the first step unless `install` says otherwise."""

    guest: str = "probe"
    """The module: guests/NAME.wasm."""
    manifest: dict[str, Any] = {}
    """What differs from the ordinary manifest; a key with null is left out."""
    members: dict[str, Any] = {}
    """Other members: path → text, {"$bytes": …}, {"$hex": …, "times": n}, {"$repeat": "x", "times": n},
    {"$numbered": "a#", "times": n} (# is 0000, 0001 …), or a list of these, one behind the other. `wat` beside `$hex`
    is the same module as text, for who reads the case."""
    archive: dict[str, Any] = {}
    """What is wrong with the container, for archive.py; {} for nothing."""
    key: str = ""
    """Which of the suite's keys signs it; "" for none."""
    install: bool = True
    grant: list[str] | dict[str, dict[str, Any]] = []
    limits: dict[str, int] = {}
    config: dict[str, Any] = {}
    payee: str = ""


class TrustedKey(_Part, frozen=True, kw_only=True):
    """When one of the suite's keys counts; "" for no bound."""

    not_before: str = ""
    not_after: str = ""
    revoked: bool = False


class User(_Part, frozen=True, kw_only=True):
    """Somebody whom the host knows."""

    known: dict[str, Any] = {}
    """As `users.put` takes it."""
    wallet: list[dict[str, Any]] = []
    """Money deposited before the first step."""


class Step(_Part, frozen=True, kw_only=True):
    """One thing that is done to the host, and what must come of it."""

    say: str = ""
    ask: str = ""
    """A method of the control protocol."""
    params: dict[str, Any] = {}
    start: Name | UnsetType = UNSET
    """Begins `ask` under that name and does not wait."""
    end: Name | UnsetType = UNSET
    """Waits for what was started under that name."""
    cancel: Name | UnsetType = UNSET
    told: Name | UnsetType = UNSET
    """Waits until the stream that was started under that name has given `items` items, 5 s at most."""
    items: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    advance_ms: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    restart: Literal[True] | UnsetType = UNSET
    pay_out: dict[str, Any] | UnsetType = UNSET
    """Where `needs` has `payouts`: that much money leaves the merchant account of a program, as {"app", "money"}."""
    raw: list[dict[str, Any]] | UnsetType = UNSET
    """Bytes sent on a connection of their own: {"hex": …} as they are, {"message": value} framed (§15.1)."""
    messages: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    """Of `raw`: how many messages to wait for; else until the host closes the connection."""
    wait_for: str | dict[str, Any] | UnsetType = UNSET
    """`ask` is repeated until its result has something at this JSON Pointer, or these values at these: 5 s at most."""
    times: Annotated[int, Meta(ge=1, le=2000)] | UnsetType = UNSET
    """`ask` is done so many times, one after the other; what came of the last one counts."""
    keep: dict[Name, str] = {}
    """Name → JSON Pointer into the result; `"${name}"` in the params of later steps is that value."""
    expect: Any = UNSET
    """A pattern of the result."""
    expect_items: Any = UNSET
    """A pattern of the list of what a stream gave before its result."""
    expect_error: dict[str, Any] | UnsetType = UNSET
    """A pattern of the error."""


class Case(_Part, frozen=True, kw_only=True):
    """A story that a conforming host goes through with exactly these results."""

    id: str
    about: str
    """What the host must do, in one sentence."""
    must: tuple[Requirement, ...] = ()
    """The requirements of docs/protocol.md that it is evidence for."""
    level: Literal["MUST", "SHOULD"] = "MUST"
    needs: tuple[Feature, ...] = ()
    clock: str = "2026-11-23T08:00:00Z"
    settings: dict[str, Any] = {}
    """What the host is set up with where it differs from the defaults, as in hostel.toml: section → key → value."""
    names: dict[str, list[str] | None] = {}
    """What names of hosts outside are looked up as, where `needs` has `names`; null: a look-up that never ends."""
    lost: tuple[str, ...] = ()
    """Where `needs` has `faults`: methods of the host API whose next answer is lost, one for each: it is done, and the
    guest is told that its outcome is unknown."""
    keyring: dict[str, TrustedKey] = {}
    """Which of the suite's keys the host trusts, by the name that `key` of a program says; {} for none."""
    programs: dict[Name, Program] = {}
    users: dict[Name, User] = {}
    steps: Annotated[tuple[Step, ...], Meta(min_length=1)]

    @property
    def section(self) -> str:
        """Where it stands in docs/protocol.md: `4.4`."""
        return self.id.partition("/")[0]


_KINDS = ("ask", "end", "cancel", "told", "advance_ms", "restart", "pay_out", "raw")


def read(file: Path) -> Case:
    """Raises CaseError, with the file's name and the place."""
    try:
        case = msgspec.json.decode(file.read_bytes(), type=Case)
    except (msgspec.DecodeError, OSError) as error:
        raise CaseError(f"{file.name}: {error}") from None
    if problem := _problem(case, file):
        raise CaseError(f"{file.name}: {problem}")
    return case


def _problem(case: Case, file: Path) -> str:
    wanted = f"{file.parent.name}/{file.stem}"
    if case.id != wanted:
        return f"its id is {case.id!r} and its place says {wanted!r}"
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?/[a-z0-9][a-z0-9-]*", case.id):
        return "an id is SECTION/words-with-hyphens"
    if case.level == "MUST" and not case.must:
        return "a case of level MUST names its requirements"
    for number, step in enumerate(case.steps):
        kinds = [kind for kind in _KINDS if getattr(step, kind) not in ("", UNSET)]
        if len(kinds) != 1:
            return f"step {number} must have exactly one of {', '.join(_KINDS)}, and has {kinds or 'none'}"
        if step.expect is not UNSET and step.expect_error is not UNSET:
            return f"step {number} expects a result and an error"
    return ""


def read_all(folder: Path) -> Iterator[Case]:
    """In the order of sections and names. Raises CaseError for the first that is not valid, or where an id is twice."""
    for file in sorted(folder.glob("*/*.json"), key=lambda file: (_number(file.parent.name), file.stem)):
        yield read(file)


def _number(section: str) -> tuple[int, ...]:
    return tuple(int(part) for part in section.split(".") if part.isdigit())


def schema() -> bytes:
    """JSON Schema of a case, as it is kept beside the cases."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Case)), indent=2) + b"\n"
