"""From a case to what a target is sent: bundles are made, programs installed and users known by steps of their own, and
nothing is told of what is expected."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UNSET

from .archive import bundle
from .case import Case, CaseError, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """`steps` begins with those that set the case up; each of them must succeed."""

    head: dict[str, Any]
    steps: list[dict[str, Any]]
    first_step = Step(say="The case is set up.", ask="setup")

    @property
    def message(self) -> dict[str, Any]:
        return {**self.head, "steps": self.steps}


def expand(case: Case, guests: Path) -> Expanded:
    """Raises CaseError: it names a program or a guest that is not there."""
    bundles = {name: bundle(program, name, guests) for name, program in case.programs.items()}
    steps: list[dict[str, Any]] = []
    for name, user in case.users.items():
        if user.known:
            steps.append({"ask": "users.put", "params": {"user": name, "fields": user.known}})
        steps += [
            {"ask": "deposit", "params": {"user": name, "money": money, "$key": f"{name}-{number}"}}
            for number, money in enumerate(user.wallet)
        ]
    for name, program in case.programs.items():
        if program.install:
            steps.append({"ask": "install", "params": _install(bundles[name], program)})
    steps += [_step(step, bundles) for step in case.steps]
    head = {"case": case.id, "clock": case.clock, "settings": case.settings, "needs": list(case.needs)}
    return Expanded(head=head, steps=steps)


def _install(data: bytes, program: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"bundle": _bytes(data), "grant": program.grant, "limits": program.limits}
    if program.config:
        params["config"] = program.config
    if program.payee:
        params["payee"] = program.payee
    return params


def _step(step: Step, bundles: dict[str, bytes]) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    if step.ask:
        sent["ask"], sent["params"] = step.ask, _filled(step.params, bundles)
    for name in ("start", "end", "cancel", "advance_ms", "restart", "wait_for", "times"):
        if (value := getattr(step, name)) is not UNSET:
            sent[name] = value
    if step.keep:
        sent["keep"] = step.keep
    return sent


def _filled(value: Any, bundles: dict[str, bytes]) -> Any:
    """With each {"$bundle": name} as the bytes of that bundle, and {"$repeat": text, "times": n} written out."""
    if isinstance(value, list):
        return [_filled(item, bundles) for item in value]
    if not isinstance(value, dict):
        return value
    if "$bundle" in value:
        if value["$bundle"] not in bundles:
            raise CaseError(f"there is no program {value['$bundle']!r}")
        return _bytes(bundles[value["$bundle"]])
    if "$repeat" in value:
        return value["$repeat"] * value["times"]
    return {key: _filled(item, bundles) for key, item in value.items()}


def _bytes(data: bytes) -> dict[str, str]:
    return {"$bytes": base64.b64encode(data).decode("ascii")}
