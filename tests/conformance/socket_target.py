"""A target that is a running daemon: `python tests/conformance/socket_target.py PATH`, for `--socket PATH`.

It speaks the control protocol (docs/protocol.md §15) over a Unix socket. A case's programs are uninstalled and its
users erased when it is over, as the daemon goes on. It cannot start it anew, nor move its clock: it waits where a
case moves it by a moment, and skips those that need more.
Written from the protocol alone; also an example of a client in a few lines.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from base64 import b64decode, b64encode
from typing import Any

import msgspec

HAS = {"control", "releases", "workers", "store"}
WAIT_FOR_S, PAUSE_S = 5.0, 0.01
ANSWER_S = 60.0
RECV_BYTES = 256 << 10
_KEPT = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


class Connection:
    """Requests out, answers in: whoever waits reads until its own answer is there."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        self._socket.connect(path)
        self._input = bytearray()
        self._last = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._items: dict[int, list[Any]] = {}

    def begin(self, method: str, params: Any) -> int:
        self._last += 1
        self._send([0, self._last, method, params])
        return self._last

    def end(self, msgid: int) -> dict[str, Any]:
        while msgid not in self._answers:
            self._read()
        told = self._answers.pop(msgid)
        return told | ({"items": self._items.pop(msgid)} if msgid in self._items else {})

    def told(self, msgid: int, items: int) -> None:
        """Reads until it has streamed so many items, or is over; WAIT_FOR_S at most."""
        until = time.monotonic() + WAIT_FOR_S
        while msgid not in self._answers and len(self._items.get(msgid, ())) < items:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                self._read()
            except TimeoutError:
                break
        self._socket.settimeout(ANSWER_S)

    def give_up(self, msgid: int) -> None:
        self._send([2, "$cancel", {"msgid": msgid}])

    def close(self) -> None:
        self._socket.close()

    def _send(self, message: list[Any]) -> None:
        data = msgspec.msgpack.encode(message)
        self._socket.sendall(len(data).to_bytes(4, "big") + data)

    def _read(self) -> None:
        while len(self._input) < 4 or len(self._input) < 4 + int.from_bytes(self._input[:4], "big"):
            data = self._socket.recv(RECV_BYTES)
            if not data:
                raise ConnectionError("the daemon closed the connection")
            self._input += data
        size = 4 + int.from_bytes(self._input[:4], "big")
        message = msgspec.msgpack.decode(self._input[4:size])
        del self._input[:size]
        match message:
            case [1, msgid, error, result]:
                self._answers[msgid] = {"result": result} if error is None else {"error": error}
            case [2, "$item", {"msgid": msgid, "item": item}]:
                self._items.setdefault(msgid, []).append(item)
            case [2, "$closing", error]:
                raise ConnectionError(f"the daemon closed the connection: {error}")


def exchange(path: str, data: bytes, messages: int | None) -> dict[str, Any]:
    """These bytes on a connection of their own, and what came: so many messages, or all until the host closes it."""
    told: list[Any] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(WAIT_FOR_S)
        connection.connect(path)
        connection.sendall(data)
        with connection.makefile("rb") as coming:
            while messages is None or len(told) < messages:
                try:
                    head = coming.read(4)
                except TimeoutError:
                    break
                except ConnectionError:
                    head = b""
                if len(head) < 4:
                    return {"messages": _as_json(told), "closed": True}
                told.append(msgspec.msgpack.decode(coming.read(int.from_bytes(head, "big"))))
    return {"messages": _as_json(told), "closed": False}


class Player:
    """One case, its kept names, and what it leaves behind."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection, self._path = connection, path
        self._kept: dict[str, Any] = {}
        self._started: dict[str, int] = {}
        self._users: set[str] = set()
        self._programs: set[str] = set()

    def do(self, step: dict[str, Any]) -> dict[str, Any]:
        match step:
            case {"raw": {"$bytes": text}}:
                return {"result": exchange(self._path, b64decode(text), step.get("messages"))}
            case {"end": name}:
                return self._told(step, self._connection.end(self._started.pop(name)))
            case {"advance_ms": ms}:
                time.sleep(ms / 1000)
            case {"cancel": name}:
                self._connection.give_up(self._started[name])
            case {"told": name, "items": items}:
                self._connection.told(self._started[name], items)
            case {"start": name, "ask": method, "params": params}:
                self._started[name] = self._connection.begin(method, self._noted(params))
            case {"ask": method, "params": params}:
                return self._told(step, self._ask(method, self._noted(params), step))
        return {"result": None}

    def clear(self) -> None:
        """The programs first: then nobody is paid any more, and what users hold is theirs."""
        for app in self._programs:
            self._once("uninstall", {"app": app, "erase": True})
        for user in self._users:
            self._once("erase_user", {"user": user, "forfeit_balance": True})

    def _ask(self, method: str, params: Any, step: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for _ in range(step.get("times", 1)):
            told = self._once(method, params)
        if "wait_for" in step:
            until = time.monotonic() + WAIT_FOR_S
            while not _is_there(step["wait_for"], told.get("result")) and time.monotonic() < until:
                time.sleep(PAUSE_S)
                told = self._once(method, params)
        if method == "install" and "result" in told:
            self._programs.add(told["result"]["app"]["app_id"])
        return told

    def _once(self, method: str, params: Any) -> dict[str, Any]:
        return self._connection.end(self._connection.begin(method, params))

    def _told(self, step: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
        for name, pointer in step.get("keep", {}).items():
            if _has(told.get("result"), pointer):
                self._kept[name] = _at(told["result"], pointer)
        result: dict[str, Any] = _as_json(told)
        return result

    def _noted(self, params: dict[str, Any]) -> Any:
        if isinstance(user := params.get("user"), str) and user:
            self._users.add(user)
        return self._filled(params)

    def _filled(self, value: Any) -> Any:
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


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode("ascii")}
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list) else value


def _at(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _is_there(wanted: str | dict[str, Any], value: Any) -> bool:
    if isinstance(wanted, str):
        return _has(value, wanted)
    return all(_has(value, pointer) and _at(value, pointer) == one for pointer, one in wanted.items())


def _has(value: Any, pointer: str) -> bool:
    try:
        _at(value, pointer)
    except (LookupError, ValueError, TypeError):
        return False
    return True


def play(case: dict[str, Any], path: str) -> dict[str, Any]:
    if missing := sorted({*case["needs"]} - HAS):
        return {"case": case["case"], "skipped": f"a running daemon has no {', '.join(missing)} to offer"}
    if case["settings"] or case["keyring"]:
        return {"case": case["case"], "skipped": "it needs settings or a keyring that a running daemon does not have"}
    connection = Connection(path)
    player = Player(connection, path)
    try:
        return {"case": case["case"], "steps": [player.do(step) for step in case["steps"]]}
    finally:
        player.clear()
        connection.close()


def main() -> int:
    if len(sys.argv) != 2:
        print("python socket_target.py PATH: the daemon's control socket", file=sys.stderr)
        return 2
    for line in sys.stdin.buffer:
        print(json.dumps(play(json.loads(line), sys.argv[1])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
