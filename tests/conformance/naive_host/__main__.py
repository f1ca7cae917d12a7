"""`python tests/conformance/naive_host`: a target of the conformance suite (docs/conformance.md), one case a line."""

from __future__ import annotations

import base64
import json
import secrets
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from naive_host.call import Call
from naive_host.clock import SOON_S, Clock
from naive_host.host import CallEnded, Host
from naive_host.wire import Refused

HAS_NOT = ("restart", "http", "control", "releases", "workers", "store", "names", "faults", "payouts")
WAITED_TIMES = 250


class Begun:
    """A step that was started and is not waited for yet."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.call: Call | None = None
        self.cancelled = False

    def is_on(self, call: Call) -> None:
        self.call = call


class Player:
    def __init__(self, case: dict[str, Any]) -> None:
        self.clock = Clock(case["clock"])
        self.host = Host(self.clock, unsigned=case["settings"].get("host", {}).get("allow_unsigned", True))
        self.kept: dict[str, Any] = {}
        self.begun: dict[str, Begun] = {}

    def do(self, step: dict[str, Any]) -> dict[str, Any]:
        match step:
            case {"advance_ms": ms}:
                self.clock.advance(ms)
                self._settle()
                return {"result": {}}
            case {"cancel": name}:
                begun = self.begun[name]
                begun.cancelled = True
                if begun.call is not None:
                    begun.call.taken = "cancelled"
                return {}
            case {"end": name}:
                self._wait_for_end(self.begun[name])
                return self.begun.pop(name).answer or {}
            case {"start": name, "ask": method}:
                return self._start(name, method, self._filled(step["params"]))
            case {"ask": method}:
                return self._repeated(step, method)
        return {"error": Refused("invalid_params", f"this target has no step {sorted(step)}").value()}

    def _repeated(self, step: dict[str, Any], method: str) -> dict[str, Any]:
        params = self._filled(step["params"])
        for _ in range(step.get("times", 1)):
            answer = self._ask(method, params)
        wanted = step.get("wait_for", {})
        wanted = {wanted: None} if isinstance(wanted, str) else wanted
        for _ in range(WAITED_TIMES if wanted else 0):
            is_there = all(_is_there(answer.get("result"), place, value) for place, value in wanted.items())
            if is_there or self._is_settled():
                break
            with self.clock.lock:
                self.clock.changed.wait(SOON_S)
            answer = self._ask(method, params)
        for name, pointer in step.get("keep", {}).items():
            self.kept[name] = at(answer.get("result"), pointer)
        return answer

    def _ask(self, method: str, params: Any, began: Any = None) -> dict[str, Any]:
        try:
            result, items = self.host.ask(method, params, began)
            answer: Any = {"result": result, **({"items": items} if items else {})}
        except CallEnded as ended:
            answer = {"error": ended.error}
        except Refused as refused:
            answer = {"error": refused.value()}
        except Exception:
            traceback.print_exc()
            answer = {"error": Refused("internal", "a fault of this host", incident=secrets.token_hex(8)).value()}
        told: dict[str, Any] = as_json(answer)
        return told

    # ---- calls in threads of their own -------------------------------------------------------------------------------
    def _start(self, name: str, method: str, params: Any) -> dict[str, Any]:
        begun = self.begun[name] = Begun()

        def run() -> None:
            answer = self._ask(method, params, begun.is_on)
            with self.clock.lock:
                begun.answer = answer
                self.clock.changed.notify_all()

        threading.Thread(target=run, daemon=True).start()
        self._settle()
        return {}

    def _settle(self) -> None:
        """Until all that was started waits, or is over; what computes is not waited for long."""
        for _ in range(3):
            with self.clock.lock:
                if self._is_settled():
                    return
                self.clock.changed.wait(SOON_S)

    def _is_settled(self) -> bool:
        return sum(one.answer is None for one in self.begun.values()) <= len(self.clock.sleepers)

    def _wait_for_end(self, begun: Begun) -> None:
        """Meanwhile the clock is free to go to whatever is waited for, once all that can happen without that has."""
        with self.clock.lock:
            while begun.answer is None:
                self.clock.player_waits = self._is_settled() and not begun.cancelled
                self.clock.changed.wait(SOON_S)
            self.clock.player_waits = False

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, dict):
            if list(value) == ["$bytes"]:
                return base64.b64decode(value["$bytes"])
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
            return self._filled(self.kept.get(value[2:-1]))
        return value


def at(value: Any, pointer: str) -> Any:
    """What stands at a JSON Pointer; None where nothing does."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)] if key.isdigit() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_there(result: Any, place: str, wanted: Any) -> bool:
    found = at(result, place)
    return found is not None and wanted in (None, found)


def as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list | tuple) else value


def play(case: dict[str, Any]) -> dict[str, Any]:
    if missing := [need for need in case["needs"] if need in HAS_NOT]:
        return {"case": case["case"], "skipped": f"this host has no {', '.join(missing)}"}
    player = Player(case)
    return {"case": case["case"], "steps": [player.do(step) for step in case["steps"]]}


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        print(json.dumps(play(json.loads(line))), flush=True)
