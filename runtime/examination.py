"""What can be said of a bundle without running it: what it asks for, what it seems to use, what a host will say to it.

What lives here: findings, each with its cure. Names of methods are looked for as text, in a module's data or in the
scripts: a hint, as a name may be put together, or stand there unused. Whether the code is well-formed is checks.py's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from host_api.capability import GrantError, parse_grants
from host_api.contract import Method
from host_api.services import METHODS
from runtime.bundle import Bundle, Manifest
from runtime.limits import Limits
from runtime.offers import by_language

_BY_NAME: Final[Mapping[str, Method[Any, Any]]] = {method.name: method for method in METHODS}


def _camel(name: str) -> str:
    """As scripts name the methods of a service."""
    service, _, rest = name.partition(".")
    first, *more = rest.split("_")
    return f"{service}.{first}{''.join(word.capitalize() for word in more)}"


_SPELLED: Final = {spelled.encode(): name for name in _BY_NAME for spelled in (name, _camel(name))}
_WIDE: Final = {spelled.decode().encode("utf-16-le"): name for spelled, name in _SPELLED.items()}
"""As AssemblyScript keeps texts."""


def _any_of(texts: Mapping[bytes, str]) -> re.Pattern[bytes]:
    """The longest first: payment.refund_query is no payment.refund."""
    return re.compile(b"|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)))


_NARROW_PATTERN, _WIDE_PATTERN = _any_of(_SPELLED), _any_of(_WIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to know, and what to do about it."""

    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.cure}" if self.cure else self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A capability that the manifest asks for, or that the code seems to need."""

    name: str
    asked: str
    """`required`, `optional`, or `no`."""
    methods: tuple[str, ...]
    """Those whose names stand in the code."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """Of one bundle."""

    capabilities: tuple[Asked, ...]
    methods: tuple[str, ...]
    """Names of all methods that stand in the code, those too that need no capability."""
    refused: tuple[Finding, ...]
    """For which an installation is refused."""
    hints: tuple[Finding, ...]


def methods_in(code: bytes) -> tuple[str, ...]:
    """Names of methods of the host API that stand in it as text, in order of name."""
    found = {_SPELLED[text] for text in _NARROW_PATTERN.findall(code)}
    found |= {_WIDE[text] for text in _WIDE_PATTERN.findall(code)}
    return tuple(sorted(found))


def examine(bundle: Bundle, default: Limits) -> Examined:
    """`default`: the limits of the host it is meant for."""
    image = bundle.script_image
    methods = methods_in(bundle.module if image is None else image)
    capabilities = _capabilities(bundle.manifest, methods)
    hints = [*_unlike(capabilities), *_limits(bundle.manifest, default), *_signature(bundle)]
    return Examined(
        capabilities=capabilities, methods=methods, refused=tuple(_permissions(bundle.manifest)), hints=tuple(hints)
    )


def _capabilities(manifest: Manifest, methods: tuple[str, ...]) -> tuple[Asked, ...]:
    used: dict[str, list[str]] = {}
    for name in methods:
        if (capability := _BY_NAME[name].capability) is not None:
            used.setdefault(capability, []).append(name)
    asked = {
        one.name: Asked(
            name=one.name, asked="required" if one.required else "optional", methods=tuple(used.get(one.name, ())),
            reason=next(iter(by_language(one.reason).values()), ""),
        )
        for one in manifest.req_permissions
    }  # fmt: skip
    more = {
        name: Asked(name=name, asked="no", methods=tuple(found), reason="")
        for name, found in used.items()
        if name not in asked
    }
    return tuple({**asked, **more}.values())


def _permissions(manifest: Manifest) -> list[Finding]:
    found = []
    for index, permission in enumerate(manifest.req_permissions):
        try:
            parse_grants({permission.name: dict(permission.constraints)})
        except GrantError as error:
            what = f"manifest.json $.req_permissions[{index}]: {error}"
            found.append(Finding(problem=what, cure="as it stands, no host installs it"))
    return found


def _limits(manifest: Manifest, default: Limits) -> list[Finding]:
    wanted = manifest.program.limits
    return [
        Finding(
            problem=f"it wants {name} = {value}, and gets {getattr(default, name)}",
            cure=f"more is the operator's to give: --limit {name}={value}",
        )
        for name, value in wanted.items()
        if value > getattr(default, name)
    ]


def _unlike(capabilities: tuple[Asked, ...]) -> list[Finding]:
    """Asked for and not used, and the other way round: as far as names in the code tell."""
    found = []
    for one in capabilities:
        if one.asked == "no":
            found.append(
                Finding(
                    problem=f"{', '.join(one.methods)} will be refused as capability_undeclared",
                    cure=f'add {{"name": "{one.name}", "reason": …}} to req_permissions in manifest.json',
                )
            )
        elif not one.methods:
            found.append(
                Finding(
                    problem=f"{one.name} is asked for, and no method that needs it is named in the code",
                    cure="leave it out, if that is so: a program gets what it needs",
                )
            )
    return found


def _signature(bundle: Bundle) -> list[Finding]:
    if bundle.signature is not None:
        return []
    return [
        Finding(
            problem="it is not signed: hostel run and hostel dev take it so, hostel serve where its operator says so",
            cure="hostel sign, with a key of hostel keygen",
        )
    ]
