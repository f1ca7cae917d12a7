"""A scenario as values: the head and the steps of one file, each checked where it stands. docs/scenarios.md.

What lives here: what a scenario may say, with a bound on everything. What is done with it is player.py's; steps.py has
the steps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from host_api.money import Money
from host_api.user import fields
from runtime.bundle.files import read_file
from runtime.limits import Limits, specs
from runtime.scenarios import patterns
from runtime.scenarios.network import ENTRIES_MOST, Entry, read_entry
from runtime.scenarios.reading import At, parse
from runtime.scenarios.steps import Call, Step, read_grants, read_step

FILE_BYTES_MAX: Final = 1 << 20
STEPS_MOST: Final = 1_000
USERS_MOST: Final = 100
PROGRAMS_MOST: Final = 8
CLOCK: Final = "2026-11-23T08:00:00Z"
_USER: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KNOWN_OF_USER: Final = ("nickname", "avatar", "age_band", "phone", "address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How a program is installed, as `Host.install` takes it."""

    grant: Mapping[str, Mapping[str, Any]] | None = None
    """None: what its manifest asks for."""
    config: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    payee: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Another program on the same host."""

    bundle: str
    """Its folder or file, from the project's folder."""
    install: Installation


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who calls: what the platform says of the session, and what it knows of the user."""

    wallet: tuple[Money, ...] = ()
    locale: str = "en"
    time_zone: str = "UTC"
    currency: str = "CNY"
    interactive: bool = True
    fields: Mapping[str, str] = field(default_factory=dict)
    """For the embedded directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One file."""

    name: str
    """The file's, without its ending."""
    about: str
    clock_us: int
    seed: int
    install: Installation
    programs: Mapping[str, Beside]
    users: Mapping[str, User]
    network: tuple[Entry, ...]
    steps: tuple[Step, ...]

    def user(self, name: str) -> User:
        """Nobody, and who is not in the file, is a user of whom nothing is known."""
        return self.users.get(name, NOBODY)


NOBODY: Final = User()


def load(path: Path) -> Scenario:
    """Raises ScenarioError, and UsageError: it cannot be read."""
    return read(read_file(path, "scenario_bytes_max", FILE_BYTES_MAX), path.name)


def read(data: bytes, source: str) -> Scenario:
    """`source` is how errors name the file. Raises ScenarioError."""
    whole = parse(data, source, FILE_BYTES_MAX)
    head = whole.keys(
        "about", "clock", "seed", "install", "programs", "users", "network", "steps", needed=("about", "steps")
    )
    steps = tuple(read_step(at) for at in head["steps"].list(STEPS_MOST))
    if not steps:
        raise head["steps"].wrong("no step", 'write at least one, such as {"call": "list"}')
    _check_kept(head["steps"], steps)
    return Scenario(
        name=source.removesuffix(".json"),
        about=head["about"].text(300, least=1),
        clock_us=_clock(head["clock"]) if "clock" in head else _clock(At(CLOCK, "clock", source)),
        seed=head["seed"].whole(0, (1 << 53) - 1) if "seed" in head else 0,
        install=_installation(head["install"]) if "install" in head else Installation(),
        programs={} if "programs" not in head else {
            name: _beside(at) for name, at in head["programs"].items(PROGRAMS_MOST)
        },
        users={} if "users" not in head else {_user_name(at, name): _user(at)
                                              for name, at in head["users"].items(USERS_MOST)},
        network=tuple(map(read_entry, head["network"].list(ENTRIES_MOST))) if "network" in head else (),
        steps=steps,
    )  # fmt: skip


def _check_kept(at: At, steps: tuple[Step, ...]) -> None:
    """Every `${name}` was kept before."""
    kept: set[str] = set()
    for number, step in enumerate(steps):
        place = At(at.value[number], f"{at.path}[{number}]", at.source)
        for name in sorted(patterns.names(place.value) - kept):
            known = f"known here: {', '.join(sorted(kept)) or 'none'}"
            raise place.wrong(f"nothing was kept under the name {name}", known)
        if isinstance(step, Call):
            for name in step.keep:
                if not _NAME.fullmatch(name):
                    raise place.below("keep").wrong(f"{ascii(name)[:80]} is no name", "write letters, digits and _")
                kept.add(name)


def _clock(at: At) -> int:
    text = at.text(40, cure=f"write a time such as {CLOCK}")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise at.wrong("no time", f"write RFC 3339, such as {CLOCK}") from None
    if moment.tzinfo is None or moment.utcoffset() != UTC.utcoffset(None):
        raise at.wrong("not in UTC", f"end it with Z, as in {CLOCK}")
    if not 2000 <= moment.year < 2200:
        raise at.wrong(f"the year {moment.year}", "write one from 2000 to 2199")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000


def _installation(at: At) -> Installation:
    head = at.keys("grant", "config", "limits", "payee")
    limits = {} if "limits" not in head else {
        name: each.whole(0, 1 << 53) for name, each in head["limits"].keys(*specs(Limits)).items()
    }  # fmt: skip
    return Installation(
        grant=read_grants(head["grant"]) if "grant" in head else None,
        config=head["config"].object() if "config" in head else {},
        limits=limits,
        payee=head["payee"].text(64, least=1) if "payee" in head else None,
    )


def _beside(at: At) -> Beside:
    head = at.keys("bundle", "install", needed=("bundle",))
    path = head["bundle"].text(300, least=1)
    if PurePosixPath(path).is_absolute() or "\\" in path:
        raise head["bundle"].wrong("no path from the project's folder", 'write "../other/bundle"')
    return Beside(
        bundle=path, install=_installation(head["install"]) if "install" in head else Installation()
    )  # fmt: skip


def _user_name(at: At, name: str) -> str:
    if not _USER.fullmatch(name):
        raise at.wrong("no name for a user", "write 1 to 64 letters, digits, - . or _")
    return name


def _user(at: At) -> User:
    head = at.keys("wallet", "locale", "time_zone", "currency", "profile", "interactive")
    known = _profile(head["profile"]) if "profile" in head else {}
    locale = head["locale"].text(35, least=2) if "locale" in head else "en"
    if "locale" in head:
        known["locale"] = _field(head["locale"], "locale", locale)
    return User(
        wallet=_wallet(head["wallet"]) if "wallet" in head else (),
        locale=locale,
        time_zone=head["time_zone"].text(64, least=1) if "time_zone" in head else "UTC",
        currency=head["currency"].text(3, least=3) if "currency" in head else "CNY",
        interactive=head["interactive"].truth() if "interactive" in head else True,
        fields=known,
    )


def _wallet(at: At) -> tuple[Money, ...]:
    return tuple(map(_money, at.list(20))) if isinstance(at.value, list) else (_money(at),)


def _money(at: At) -> Money:
    head = at.keys("amount", "currency", needed=("amount", "currency"))
    try:
        return Money(amount=head["amount"].whole(1, 10**12), currency=head["currency"].text(3))
    except ValueError as error:
        raise at.wrong(str(error)) from None


def _profile(at: At) -> dict[str, str]:
    return {name: _field(each, name, each.value) for name, each in at.keys(*_KNOWN_OF_USER).items()}


def _field(at: At, name: str, value: Any) -> str:
    """As the directory keeps it: an address is JSON."""
    if name == "address" and isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False)
    try:
        return fields.checked(name, value)
    except ValueError as error:
        raise at.wrong(str(error)) from None
