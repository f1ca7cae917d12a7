"""From a case to what a target is sent: bundles are made, programs installed and users known by steps of their own, and
nothing is told of what is expected."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from .archive import bundle, key_text
from .case import Case, CaseError, Step

_AS_IT_IS = (
    "start", "end", "cancel", "told", "items", "advance_ms", "restart", "pay_out", "wait_for", "times", "messages",
)  # fmt: skip


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
        steps += [{"ask": "deposit", "params": {"user": name, "money": money}} for money in user.wallet]
    for name, program in case.programs.items():
        if program.install:
            steps.append({"ask": "install", "params": _install(bundles[name], program)})
    steps += [_step(step, bundles) for step in case.steps]
    head = {
        "case": case.id, "clock": case.clock, "settings": case.settings, "keyring": _keyring(case),
        "needs": list(case.needs),
    }  # fmt: skip
    if case.names:
        head["names"] = case.names
    if case.lost:
        head["lost"] = list(case.lost)
    return Expanded(head=head, steps=steps)


def _keyring(case: Case) -> list[dict[str, Any]]:
    """The keys as a target gets them, without what is left out."""
    told = [{"public_key": key_text(name), **msgspec.to_builtins(key)} for name, key in case.keyring.items()]
    return [{field: value for field, value in key.items() if value not in ("", False)} for key in told]


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
    for name in _AS_IT_IS:
        if (value := getattr(step, name)) is not UNSET:
            sent[name] = value
    if step.raw is not UNSET:
        sent["raw"] = _bytes(b"".join(map(_raw, step.raw)))
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


def _raw(piece: dict[str, Any]) -> bytes:
    match piece:
        case {"hex": text}:
            return bytes.fromhex(text)
        case {"message": value}:
            data = msgspec.msgpack.encode(value)
            return len(data).to_bytes(4, "big") + data
    raise CaseError(f"a piece of raw is hex or a message: {piece!r}")


def _bytes(data: bytes) -> dict[str, str]:
    return {"$bytes": base64.b64encode(data).decode("ascii")}
