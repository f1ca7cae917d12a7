"""Who may do what: constraints, grants, and the authority of one call.

Deny by default: a call may use what its program's manifest requested *and* its operator granted, inside the
constraints of both. Everything here is a value; combining two values only ever narrows. Grants are data (stored,
printed, compared), so nothing here is a function a caller could hand in. No I/O, no clock: the time is an argument.

A capability takes only the constraints that its service enforces (`CAPABILITIES`); any other is refused when the grant
is made, because a constraint nobody checks would be a promise not kept.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

from host_api.errors import ApiError, ErrorCode
from host_api.http.url import UrlRefused, parse_origin

_EXPIRY: Final = {"expires_at_us": "microseconds since the epoch; at that time the capability is gone"}

CAPABILITIES: Final[Mapping[str, Mapping[str, str]]] = {
    "payment": {
        "amount_max": "minor units of one payment",
        "day_max": "minor units that a user pays in any 24 hours, per currency",
        "currencies": "ISO 4217 codes that may be asked for",
        "count": "payments created in any hour, per user",
        **_EXPIRY,
    },
    "payment.refund": {
        "amount_max": "minor units of one refund",
        "currencies": "ISO 4217 codes that may be refunded",
        **_EXPIRY,
    },
    "storage": {"keys": "prefixes; a key must begin with one of them", **_EXPIRY},
    "user.login": _EXPIRY,
    "user.profile": _EXPIRY,
    "user.phone": _EXPIRY,
    "user.address": _EXPIRY,
    "notify": {"count": "notifications sent to one user in any 24 hours", **_EXPIRY},
    "http": {"hosts": "exact `host` (port 443) or `host:port`, lower case; no wildcards", **_EXPIRY},
    "program.call": {"programs": "ids of the programs that may be called", **_EXPIRY},
}
"""Every capability there is → the constraints it takes, and what each means there."""

NUMBER_MAX: Final = 2**53
ENTRIES_MAX: Final = 256
ENTRY_CHARS_MAX: Final = 256
_NEVER: Final = 2**63 - 1


class GrantError(ValueError):
    """A grant, or a manifest's request for one, that cannot be. The message names the part and the nearest right."""


def _unknown(kind: str, name: object, known: Iterable[str]) -> GrantError:
    listed = sorted(known)
    near = difflib.get_close_matches(str(name)[:64], listed, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(listed)}"
    return GrantError(f"unknown {kind} {ascii(name)[:100]}; {hint}")


def _texts(name: str, value: object) -> tuple[str, ...]:
    """Checked, sorted, without repeats; GrantError."""
    if isinstance(value, str) or not isinstance(value, Sequence | frozenset | set):
        raise GrantError(f"constraint {name} must be a list of texts, not {type(value).__name__}")
    if len(value) > ENTRIES_MAX:
        raise GrantError(f"constraint {name} has {len(value)} entries, the most is {ENTRIES_MAX}")
    for entry in value:
        if type(entry) is not str or not 1 <= len(entry) <= ENTRY_CHARS_MAX or not entry.isprintable():
            raise GrantError(
                f"constraint {name}: {ascii(entry)[:100]} must be a printable text of 1 to {ENTRY_CHARS_MAX} characters"
            )
        if name == "hosts":
            _check_host(entry)
        if name == "currencies":
            _check_currency(entry)
    return tuple(sorted(set(value)))


def _check_host(entry: str) -> None:
    try:
        written = str(parse_origin(entry))
    except UrlRefused as error:
        raise GrantError(f"constraint hosts: {ascii(entry)[:100]}: {error}") from None
    if written != entry:
        raise GrantError(f"constraint hosts: write {written} for {ascii(entry)[:100]}")


def _check_currency(entry: str) -> None:
    from host_api.money import EXPONENTS  # the list is read when somebody asks for it: most commands never do

    if entry not in EXPONENTS:
        known = f"write {entry.upper()}" if entry.upper() in EXPONENTS else "such as CNY or EUR"
        raise GrantError(f"constraint currencies: {ascii(entry)[:100]} is no ISO 4217 code to pay with; {known}")


def _shortest(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """Without the prefixes that another one covers. Sorted input: what covers an entry comes before it."""
    kept: list[str] = []
    for prefix in prefixes:
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def _least(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def _common(a: tuple[str, ...] | None, b: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return b if a is None else a if b is None else tuple(sorted(set(a) & set(b)))


def _common_prefixes(a: tuple[str, ...] | None, b: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The keys that begin with one of `a` and with one of `b` are those that begin with the longer of such a pair."""
    if a is None or b is None:
        return b if a is None else a
    longer = [max(x, y, key=len) for x in a for y in b if x.startswith(y) or y.startswith(x)]
    return _shortest(tuple(sorted(set(longer))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """How far a capability goes. None: no constraint but the program's limits. An empty tuple: nothing is allowed."""

    amount_max: int | None = None
    """Minor units of one payment, or of one refund."""
    day_max: int | None = None
    """Minor units of all payments in any 24 hours, per currency."""
    currencies: tuple[str, ...] | None = None
    """ISO 4217 codes."""
    count: int | None = None
    """Payments created in any hour; notifications sent to one user in any 24 hours."""
    hosts: tuple[str, ...] | None = None
    """Exact `host` (port 443) or `host:port`, lower case; no wildcards."""
    programs: tuple[str, ...] | None = None
    """Ids of the programs that may be called."""
    keys: tuple[str, ...] | None = None
    """Prefixes; a storage key must begin with one of them."""
    expires_at_us: int | None = None
    """Microseconds since the epoch; at that time the capability is gone."""

    def __post_init__(self) -> None:
        for name in ("amount_max", "day_max", "count", "expires_at_us"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 0 <= value <= NUMBER_MAX):
                raise GrantError(
                    f"constraint {name} must be a whole number from 0 to {NUMBER_MAX}, not {ascii(value)[:40]}"
                )
        for name in ("currencies", "keys", "hosts", "programs"):
            value = getattr(self, name)
            if value is not None:
                texts = _texts(name, value)
                object.__setattr__(self, name, _shortest(texts) if name == "keys" else texts)

    def narrowed(self, other: Constraints) -> Constraints:
        """What both allow. Never more than either: `a.narrowed(b) == b.narrowed(a)`, `a.narrowed(a) == a`."""
        return Constraints(
            amount_max=_least(self.amount_max, other.amount_max),
            day_max=_least(self.day_max, other.day_max),
            currencies=_common(self.currencies, other.currencies),
            count=_least(self.count, other.count),
            hosts=_common(self.hosts, other.hosts),
            programs=_common(self.programs, other.programs),
            keys=_common_prefixes(self.keys, other.keys),
            expires_at_us=_least(self.expires_at_us, other.expires_at_us),
        )

    def as_dict(self) -> dict[str, Any]:
        """Only what is constrained, in plain values; `parse_grants` takes it back."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: list(v) if type(v) is tuple else v for k, v in found.items() if v is not None}


UNCONSTRAINED: Final = Constraints()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One capability and how far it goes. Raises GrantError for a capability or constraint that does not exist."""

    capability: str
    constraints: Constraints = UNCONSTRAINED

    def __post_init__(self) -> None:
        if self.capability not in CAPABILITIES:
            raise _unknown("capability", self.capability, CAPABILITIES)
        for name in self.constraints.as_dict():
            if name not in CAPABILITIES[self.capability]:
                raise _unknown(f"constraint of {self.capability}", name, CAPABILITIES[self.capability])


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """A set of grants, at most one a capability: what a manifest requests, or what an operator grants."""

    grants: tuple[Grant, ...] = ()

    def __post_init__(self) -> None:
        names = [grant.capability for grant in self.grants]
        if len(set(names)) != len(names):
            raise GrantError(f"a capability is granted twice: {', '.join(sorted(names))}")
        object.__setattr__(self, "grants", tuple(sorted(self.grants, key=lambda grant: grant.capability)))

    def __iter__(self) -> Iterator[Grant]:
        return iter(self.grants)

    def constraints(self, capability: str) -> Constraints | None:
        """None where the capability is not among them."""
        return next((grant.constraints for grant in self.grants if grant.capability == capability), None)

    def without(self, others: Grants) -> Grants:
        """All but the capabilities that `others` names, whatever its constraints."""
        return Grants(grants=tuple(grant for grant in self.grants if others.constraints(grant.capability) is None))

    def narrowed(self, other: Grants) -> Grants:
        """Only the capabilities in both, each inside the constraints of both."""
        both = ((grant, other.constraints(grant.capability)) for grant in self.grants)
        return Grants(
            grants=tuple(
                Grant(capability=grant.capability, constraints=grant.constraints.narrowed(theirs))
                for grant, theirs in both
                if theirs is not None
            )
        )

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain values, in a fixed order, to be stored and printed; `parse_grants` takes them back."""
        return {grant.capability: grant.constraints.as_dict() for grant in self.grants}


def parse_grants(source: Sequence[str] | Mapping[str, Mapping[str, Any]]) -> Grants:
    """Grants from names, or from names and constraints: `["storage"]`, `{"payment": {"amount_max": 5000}}`.

    Raises GrantError for whatever is not that; unknown names are refused with the nearest known one.
    """
    if isinstance(source, str | bytes) or not isinstance(source, Mapping | Sequence):
        raise GrantError(f"grants must be a list of names or a map of name to constraints, not {ascii(source)[:60]}")
    named = source.items() if isinstance(source, Mapping) else [(name, {}) for name in source]
    return Grants(grants=tuple(_parse_grant(capability, given) for capability, given in named))


def _parse_grant(capability: object, given: object) -> Grant:
    if not isinstance(capability, str) or capability not in CAPABILITIES:
        raise _unknown("capability", capability, CAPABILITIES)
    if not isinstance(given, Mapping):
        raise GrantError(f"constraints of {capability} must be a map, not {type(given).__name__}")
    for name in given:
        if name not in CAPABILITIES[capability]:
            raise _unknown(f"constraint of {capability}", name, CAPABILITIES[capability])
    return Grant(capability=capability, constraints=Constraints(**given))


NO_GRANTS: Final = Grants()


class Authority:
    """What calls of one release may do: requested ∩ granted. It is asked by calls in flight, so that what is taken away
    is gone for them at once; nothing is ever added."""

    __slots__ = ("__weakref__", "_above", "_held", "_requested")

    def __init__(
        self, *, requested: Grants = NO_GRANTS, granted: Grants = NO_GRANTS, above: Authority | None = None
    ) -> None:
        """`above`: whose authority this one came from; whatever is asked here is asked there too."""
        self._above = above
        self._requested, self._held = _met(requested, granted)

    def require(self, capability: str, now_us: int) -> Constraints:
        """The constraints to stay inside. One look-up and one comparison: it is on the path of every host call.

        Raises ApiError: CAPABILITY_UNDECLARED (not in the manifest), CAPABILITY_NOT_GRANTED (or revoked),
        GRANT_EXPIRED.
        """
        held = self._held.get(capability)
        if held is None or now_us >= held[0]:
            raise self._refusal(capability)
        if self._above is not None:
            self._above.require(capability, now_us)
        return held[1]

    def constraints(self, capability: str) -> Constraints:
        """For a service whose request the broker has just let pass: as `require`, but no time is looked at."""
        held = self._held.get(capability)
        if held is None:
            raise self._refusal(capability)
        return held[1]

    def grants(self) -> Grants:
        """What is held now."""
        return Grants(grants=tuple(Grant(capability=name, constraints=held[1]) for name, held in self._held.items()))

    def narrow(self, granted: Grants) -> None:
        """From now on, also for calls in flight: only what `granted` has too, inside the constraints of both."""
        self._held = _held(self.grants().narrowed(granted))

    def narrowed(self, wanted: Grants) -> Authority:
        """An authority of its own inside this one and inside `wanted`; what this one loses, that one loses too."""
        return Authority(requested=wanted, granted=self.grants(), above=self)

    @property
    def outermost(self) -> Authority:
        """Whose authority this one came from in the end: it is there as long as its release, while one that was made
        for a call is emptied with it."""
        return self if self._above is None else self._above.outermost

    def _refusal(self, capability: str) -> ApiError:
        details: dict[str, Any] = {"capability": capability}
        held = self._held.get(capability)
        if capability not in self._requested:
            code, why = ErrorCode.CAPABILITY_UNDECLARED, "is not in the manifest's req_permissions"
        elif held is None:
            code, why = ErrorCode.CAPABILITY_NOT_GRANTED, "is not granted by the operator"
        else:
            code, why = ErrorCode.GRANT_EXPIRED, "was granted for a time that is over"
            details["expired_at_us"] = held[0]
        return ApiError(code, f"capability {capability} {why}: {code.cure}", details=details)


# Programs of one template ask for the same and are given the same. Nobody changes what comes of it.
@lru_cache(maxsize=256)
def _met(requested: Grants, granted: Grants) -> tuple[frozenset[str], dict[str, tuple[int, Constraints]]]:
    return frozenset(grant.capability for grant in requested), _held(requested.narrowed(granted))


def _held(grants: Grants) -> dict[str, tuple[int, Constraints]]:
    """Capability → (until when, constraints)."""
    return {
        grant.capability: (
            _NEVER if grant.constraints.expires_at_us is None else grant.constraints.expires_at_us,
            grant.constraints,
        )
        for grant in grants
    }
