"""The scopes: what a user says yes or no to, one by one. A closed list.

What lives here: each scope, the capability it needs, and what it covers in words for the user. Who consented to what is
in consent.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

ProfileScope: TypeAlias = Literal["nickname", "avatar", "locale", "age_band"]
UserScope: TypeAlias = Literal["nickname", "avatar", "locale", "age_band", "phone_masked", "phone", "address"]
"""What user.authorize asks for. `notify` is asked for by notify.request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One thing a user can say yes or no to."""

    name: str
    capability: str
    """What must be requested by the manifest and granted by the operator before the user is asked."""
    covers: str
    """What the program gets, in English; a front end has its own words for `name` in other languages."""


SCOPES: Final[Mapping[str, Scope]] = {
    scope.name: scope
    for scope in (
        Scope(name="nickname", capability="user.profile", covers="the name you go by"),
        Scope(name="avatar", capability="user.profile", covers="your picture"),
        Scope(name="locale", capability="user.profile", covers="the language and region you chose"),
        Scope(name="age_band", capability="user.profile", covers="your age group, not your birthday"),
        Scope(name="phone_masked", capability="user.phone", covers="the last digits of your phone number"),
        Scope(name="phone", capability="user.phone", covers="your phone number"),
        Scope(name="address", capability="user.address", covers="your name and postal address"),
        Scope(name="notify", capability="notify", covers="sending you messages"),
    )
}
