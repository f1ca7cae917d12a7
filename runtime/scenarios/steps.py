"""The steps of a scenario: what each may say. Values and how they are read; what they do is player.py's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from host_api.capability import CAPABILITIES, GrantError, parse_grants
from host_api.money import EXPONENTS
from host_api.user.scopes import SCOPES
from runtime.errors import UsageError
from runtime.faults import Fault
from runtime.outcomes import named
from runtime.scenarios import patterns
from runtime.scenarios.network import ENTRIES_MOST, Entry, read_entry
from runtime.scenarios.reading import At

ANSWERS: Final[Mapping[str, tuple[str, bool]]] = {
    "confirm": ("payment", True),
    "decline": ("payment", False),
    "allow": ("consent", True),
    "refuse": ("consent", False),
}
"""What a user says → to which kind of prompt, and whether it is a yes."""
WAIT: Final = "wait"
PAYEE: Final = "@payee"
_UNITS_US: Final = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
DURATION_MOST_US: Final = 3_660 * _UNITS_US["d"]
_KEPT_MOST: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    say: str = ""
    """Shown as it is played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(_Said):
    """A request, and what must come of it. Patterns are checked; `${name}` is not filled in yet."""

    method: str
    user: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    expect: Any = None
    expects: bool = False
    expect_error: Mapping[str, Any] | None = None
    receipt: Mapping[str, Any] | None = None
    keep: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(_Said):
    method: str
    user: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance(_Said):
    us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(_Said):
    """The host is closed and opened again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFault(_Said):
    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNetwork(_Said):
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(_Said):
    """To a prompt that an earlier call left open."""

    answer: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeConsent(_Said):
    user: str
    scopes: tuple[str, ...]
    """Empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(_Said):
    grant: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke(_Said):
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances(_Said):
    balances: Mapping[str, Mapping[str, int]]
    """Name → currency → minor units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices(_Said):
    user: str
    expect: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(_Said):
    parts: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


Step: TypeAlias = (
    Call | Notify | Advance | Restart | AddFault | AddNetwork | Answer | RevokeConsent | Grant | Revoke | Balances
    | Notices | Log
)  # fmt: skip


def read_step(at: At) -> Step:
    """Raises ScenarioError."""
    found = [key for key in at.object() if key in _KINDS]
    if len(found) != 1:
        what = f"{found[0]} and {found[1]} in one step" if found else "no step"
        raise at.wrong(what, f"write one of {', '.join(_KINDS)} in each")
    more, reader = _KINDS[found[0]]
    head = at.keys("say", found[0], *more)
    said = {"say": head["say"].text(300)} if "say" in head else {}
    return reader(head, said)


def _call(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    if "expect" in head and "expect_error" in head:
        raise head["expect_error"].wrong("stands beside expect", "a call either completes or fails: keep one of them")
    for name in ("expect", "expect_error", "receipt"):
        if name in head:
            patterns.check(head[name])
    if "expect_error" in head:
        head["expect_error"].keys("code", "details", "message", "retryable", needed=("code",))
    keep = {} if "keep" not in head else {name: _pointer(at) for name, at in head["keep"].items(_KEPT_MOST)}
    return Call(
        method=_method(head["call"]), user=_user(head), params=_params(head),
        answers=() if "answers" not in head else tuple(
            each.one_of((*ANSWERS, WAIT)) for each in head["answers"].list(32)
        ),
        expect=head["expect"].value if "expect" in head else None, expects="expect" in head,
        expect_error=head["expect_error"].object() if "expect_error" in head else None,
        receipt=head["receipt"].object() if "receipt" in head else None, keep=keep, **said,
    )  # fmt: skip


def _notify(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    return Notify(method=_method(head["notify"]), user=_user(head), params=_params(head), **said)


def _method(at: At) -> str:
    try:
        return named(at.text(1_000))
    except UsageError as error:
        raise at.wrong(error.message) from None


def _user(head: Mapping[str, At]) -> str:
    return head["user"].text(64) if "user" in head else ""


def _params(head: Mapping[str, At]) -> dict[str, Any]:
    if "params" not in head:
        return {}
    patterns.decoded(head["params"])
    return head["params"].object()


def _pointer(at: At) -> str:
    pointer = at.text(200)
    if pointer and not pointer.startswith("/"):
        raise at.wrong("no JSON Pointer", 'write "/order/order_id", or "" for the whole answer')
    return pointer


def _advance(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    at = head["advance"]
    found = _DURATION.fullmatch(at.text(20, cure='write "90s", "15m", "2h" or "3d"'))
    if found is None or not 0 < (us := int(found[1]) * _UNITS_US[found[2]]) <= DURATION_MOST_US:
        raise at.wrong("no time to go on by", 'write "90s", "15m", "2h" or "3d", at most ten years')
    return Advance(us=us, **said)


def _restart(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    if not head["restart"].truth():
        raise head["restart"].wrong("false", "write true, or leave the step out")
    return Restart(**said)


def _fault(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    at = head["fault"]
    given = at.keys("method", "kind", "times", "ms", "code", needed=("kind",))
    words: dict[str, Any] = {name: given[name].text(64) for name in ("method", "kind", "code") if name in given}
    words |= {name: given[name].whole(1, 1 << 31) for name in ("times", "ms") if name in given}
    try:
        return AddFault(fault=Fault.of(**words), **said)
    except UsageError as error:
        raise at.wrong(error.message) from None


def _network(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    at = head["network"]
    entries = at.list(ENTRIES_MOST) if isinstance(at.value, list) else [at]
    return AddNetwork(entries=tuple(map(read_entry, entries)), **said)


def _answer(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    return Answer(answer=head["answer"].one_of(tuple(ANSWERS)), user=_user(head), **said)


def _consent(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    given = head["consent"].keys("user", "revoke", needed=("user", "revoke"))
    at = given["revoke"]
    scopes: tuple[str, ...] = ()
    if at.value is not True:
        scopes = tuple(each.one_of(tuple(SCOPES)) for each in at.list(len(SCOPES)))
        if not scopes:
            raise at.wrong("nothing to take back", 'write scopes such as ["phone"], or true for all')
    return RevokeConsent(user=given["user"].text(64, least=1), scopes=scopes, **said)


def read_grants(at: At) -> dict[str, dict[str, Any]]:
    """Capabilities: a list of names, or name → constraints."""
    plain: dict[str, dict[str, Any]]
    if isinstance(at.value, list):
        plain = {each.text(64): {} for each in at.list(64)}
    else:
        plain = {name: each.object() for name, each in at.items(64)}
    try:
        parse_grants(plain)
    except (GrantError, ValueError, TypeError) as error:
        raise at.wrong(str(error)) from None
    return plain


def _grant(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    return Grant(grant=read_grants(head["grant"]), **said)


def _revoke(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    names = tuple(each.one_of(tuple(CAPABILITIES)) for each in head["revoke"].list(64))
    if not names:
        raise head["revoke"].wrong("nothing to take away", 'write capabilities such as ["payment"]')
    return Revoke(capabilities=names, **said)


def _balances(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    wanted = {name: _amounts(at) for name, at in head["balances"].items(100)}
    return Balances(balances=wanted, **said)


def _amounts(at: At) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in at.list(20) if isinstance(at.value, list) else [at]:
        money = each.keys("amount", "currency", needed=("amount", "currency"))
        if money["currency"].text(3) not in EXPONENTS:
            raise money["currency"].wrong("no currency", "write an ISO 4217 code such as CNY")
        found[money["currency"].value] = money["amount"].whole(0, 1 << 53)
    return found


def _notices(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    given = head["notices"].keys("user", "expect", needed=("user", "expect"))
    patterns.check(given["expect"])
    return Notices(
        user=given["user"].text(64, least=1), expect=tuple(at.value for at in given["expect"].list(100)), **said
    )


def _log(head: Mapping[str, At], said: dict[str, Any]) -> Step:
    parts = tuple(each.text(1_000, least=1) for each in head["log"].list(100))
    never = tuple(each.text(1_000, least=1) for each in head["never"].list(100)) if "never" in head else ()
    return Log(parts=parts, never=never, **said)


_Reader: TypeAlias = Callable[[Mapping[str, At], dict[str, Any]], Step]
_KINDS: Final[Mapping[str, tuple[tuple[str, ...], _Reader]]] = {
    "call": (("user", "params", "answers", "expect", "expect_error", "receipt", "keep"), _call),
    "notify": (("user", "params"), _notify),
    "advance": ((), _advance),
    "restart": ((), _restart),
    "fault": ((), _fault),
    "network": ((), _network),
    "answer": (("user",), _answer),
    "consent": ((), _consent),
    "grant": ((), _grant),
    "revoke": ((), _revoke),
    "balances": ((), _balances),
    "notices": ((), _notices),
    "log": (("never",), _log),
}
"""The key that makes a step one → the others it may have, and how it is read."""
