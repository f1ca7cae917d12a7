"""How a module is refused: four kinds, each one line that says what, where, which limit, its value and what was found.

What lives here: the making of `ModuleError`s, and the meter that holds structural caps while a module is read. Every
text from the module is escaped and cut here. `details["check"]` is the kind: malformed, proposal, cap or abi.
"""

from __future__ import annotations

from typing import Any

from runtime.errors import ModuleError
from runtime.limits import ModuleCaps, specs

TEXT_MOST = 80
"""Characters shown of a name that the module chose."""


def shown(text: str) -> str:
    """A text of the module's choosing, quoted, escaped to ASCII and cut."""
    quoted = ascii(text)
    return quoted if len(quoted) <= TEXT_MOST else f"{quoted[:TEXT_MOST]}…'"


def malformed(offset: int, what: str) -> ModuleError:
    """The bytes are not a module in the binary format."""
    return ModuleError(
        f"not a well-formed WebAssembly module: {what} at offset {offset}; build it again or check the transfer",
        details={"check": "malformed", "offset": offset, "what": what},
    )


def proposal_off(proposal: str, offset: int, what: str) -> ModuleError:
    """The module uses a part of WebAssembly that the feature profile leaves out."""
    return ModuleError(
        f"{what} at offset {offset} needs the proposal {proposal!r}, which is not in hostel_v1's feature profile;"
        " build without it",
        details={"check": "proposal", "proposal": proposal, "offset": offset, "what": what},
    )


def abi_broken(what: str, **details: Any) -> ModuleError:
    """The module does not fit the guest ABI."""
    return ModuleError(what, details={"check": "abi", **details})


class Meter:
    """Holds the caps and remembers the largest value met of each. `meet` is called before what it counts is read."""

    __slots__ = ("caps", "measured")

    def __init__(self, caps: ModuleCaps) -> None:
        self.caps = caps
        self.measured = dict.fromkeys(specs(ModuleCaps), 0)

    def meet(self, cap: str, found: int, where: str) -> None:
        """Raises `ModuleError` if `found` is over the cap."""
        if found > self.measured[cap]:
            value = getattr(self.caps, cap)
            if found > value:
                raise over_cap(cap, value, found, where)
            self.measured[cap] = found


def over_cap(cap: str, value: int, found: int, where: str) -> ModuleError:
    """The module is over one structural cap."""
    spec = specs(ModuleCaps)[cap]
    return ModuleError(
        f"{where}: {found} {spec.unit} ({spec.text}); the cap {cap} is {value};"
        " make it smaller or ask the operator for more",
        details={"check": "cap", "cap": cap, "value": value, "found": found, "unit": spec.unit, "where": where},
    )
