"""Every method of the control protocol, by name. Nothing is declared here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runtime.control import calling, developers, front_ends, money, programs, proof, releases, steering, upkeep, users
from runtime.control.method import ControlMethod

METHODS: Final[tuple[ControlMethod[Any, Any], ...]] = (
    *calling.METHODS, *programs.METHODS, *developers.METHODS, *releases.METHODS, *money.METHODS,
    *front_ends.METHODS, *users.METHODS, *proof.METHODS, *upkeep.METHODS, *steering.METHODS,
)  # fmt: skip
BY_NAME: Final[Mapping[str, ControlMethod[Any, Any]]] = {method.name: method for method in METHODS}
