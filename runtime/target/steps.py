"""The steps of a case, done to a host one after the other.

What lives here: what each kind of step means, names that are kept, and values of the wire as JSON. Expectations are not
known here: the suite keeps them to itself.
"""

from __future__ import annotations

import re
import socket
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from runtime.daemon.http.json_values import outgoing
from runtime.target.asking import Asking, Told
from runtime.target.raw import exchange

WAIT_FOR_S: Final = 5.0
PAUSE_S: Final = 0.005
_KEPT: Final = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


class Stage:
    """What a case is played on: a connection, and what a host's tests can do beside it."""

    def __init__(
        self, asking: Asking, advance: Callable[[int], Awaitable[None]], restart: Callable[[], Awaitable[Asking]],
        connect: Callable[[], socket.socket], pay_out: Callable[[str, int, str], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        """`advance` moves the host's clock by so many ms and lets what is due be done; `restart` closes the host and
        opens it again on what it kept; `connect` gives a connection of its own; `pay_out` takes (app id, minor units,
        currency) from a merchant account, None: this host cannot."""
        self._asking, self._advance, self._restart, self._connect = asking, advance, restart, connect
        self._pay_out = pay_out
        self._kept: dict[str, Any] = {}
        self._started: dict[str, int] = {}

    async def do(self, step: Mapping[str, Any]) -> Told:
        """What came of it: `result` or `error` of a request, nothing of the others."""
        match step:
            case {"advance_ms": ms}:
                await self._advance(ms)
            case {"restart": True}:
                self._started.clear()
                self._asking = await self._restart()
            case {"pay_out": {"app": app_id, "money": {"amount": amount, "currency": currency}}} if self._pay_out:
                await self._pay_out(app_id, amount, currency)
            case {"raw": {"$bytes": text}}:
                return {"result": await exchange(self._connect(), b64decode(text), step.get("messages"))}
            case {"end": name}:
                return self._told(step, await self._asking.end(self._started.pop(name)))
            case {"cancel": name}:
                self._asking.give_up(self._started[name])
                await self._asking.flush()
            case {"told": name, "items": items}:
                with trio.move_on_after(WAIT_FOR_S):
                    await self._asking.told(self._started[name], items)
            case {"start": name, "ask": method, "params": params}:
                self._started[name] = self._asking.begin(method, self._filled(params))
                await self._asking.flush()
            case {"ask": method, "params": params}:
                return self._told(step, await self._ask(method, self._filled(params), step))
        return {"result": None}

    async def _ask(self, method: str, params: Any, step: Mapping[str, Any]) -> Told:
        told: Told = {}
        for _ in range(step.get("times", 1)):
            told = await self._once(method, params)
        if (wanted := step.get("wait_for")) is not None:
            with trio.move_on_after(WAIT_FOR_S):
                while not _is_there(wanted, told.get("result")):
                    await trio.sleep(PAUSE_S)
                    told = await self._once(method, params)
        return told

    async def _once(self, method: str, params: Any) -> Told:
        msgid = self._asking.begin(method, params)
        await self._asking.flush()
        return await self._asking.end(msgid)

    def _told(self, step: Mapping[str, Any], told: Told) -> Told:
        for name, pointer in step.get("keep", {}).items():
            if _has(told.get("result"), pointer):
                self._kept[name] = _at(told["result"], pointer)
        return {key: outgoing(value) for key, value in told.items()}

    def _filled(self, value: Any) -> Any:
        """JSON to a value of the wire, with what was kept."""
        if isinstance(value, dict):
            if set(value) == {"$bytes"}:
                return b64decode(value["$bytes"])
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, str):
            if (whole := _KEPT.fullmatch(value)) is not None:
                return self._kept.get(whole[1])
            return _KEPT.sub(lambda found: str(self._kept.get(found[1])), value)
        return value


def _at(value: Any, pointer: str) -> Any:
    """RFC 6901. Raises LookupError."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)] if key.isdigit() else _missing(key)
        elif isinstance(value, dict):
            value = value[key]
        else:
            _missing(key)
    return value


def _missing(key: str) -> Any:
    raise LookupError(key)


def _is_there(wanted: str | Mapping[str, Any], value: Any) -> bool:
    """Something at that pointer, or exactly these values at these pointers."""
    if isinstance(wanted, str):
        return _has(value, wanted)
    return all(_has(value, pointer) and _at(value, pointer) == one for pointer, one in wanted.items())


def _has(value: Any, pointer: str) -> bool:
    try:
        _at(value, pointer)
    except LookupError:
        return False
    return True
