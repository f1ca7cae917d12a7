"""What the tests of the sample programs share: the build script, a guest run by wasmtime alone, and a host for it.

The host here is a plain model of the contract (dict storage, a scripted cashier), so that the guests are tested against
the contract and not against our own executor. What must not live here: checks of the real host.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
import wasmtime

from host_api import services
from runtime import wire

ROOT = Path(__file__).resolve().parents[2]
METHODS = {method.name: method for method in services.METHODS}
NOW_MS = 1_795_334_400_000  # 2026-11-22 08:00 UTC, 16:00 in China
MESSAGE_BYTES = 262_144
Answer = dict[str, Any]


class Refused(Exception):
    """What the fake host answers as an error."""

    def __init__(self, code: str, message: str = "refused by the test", **details: Any) -> None:
        super().__init__(code)
        self.wire = {"code": code, "message": message, "retryable": False, "retry_after_ms": None, "details": details}


class FakeHost:
    """Services by method name. `before[method]` runs first; `cashier` says what becomes of a payment request.

    Params and results are held to the contract's declarations; `invalid` lists the params that were not.
    """

    def __init__(self) -> None:
        self.stored: dict[str, tuple[Any, int]] = {}
        self.orders: dict[str, Answer] = {}
        self.outcomes: dict[str, Answer] = {}
        self.refunds: dict[tuple[str, str], int] = {}
        self.user = "alice"
        self.config: Answer = {}
        self.now_ms = NOW_MS
        self.cashier: Callable[[Answer], None] = lambda order: order.update(status="succeeded")
        self.before: dict[str, Callable[[Answer], None]] = {}
        self.requests: list[tuple[str, Answer]] = []
        self.invalid: list[tuple[str, str]] = []

    def answer(self, method: str, params: Answer) -> Answer:
        self.requests.append((method, params))
        if method in self.before:
            self.before[method](params)
        if method not in METHODS:
            raise Refused("unknown_method")
        try:
            msgspec.convert(params, METHODS[method].params)
        except msgspec.ValidationError as error:
            self.invalid.append((method, str(error)))
            raise Refused("invalid_params") from error
        found: Answer = getattr(self, method.replace(".", "_"))(**params)
        msgspec.convert(found, METHODS[method].result)
        return found

    def session_info(self) -> Answer:
        return {
            "app_id": "org.example.grocery", "release": {"name": "1.0.0", "code": 1}, "api_level": 1, "locale": "zh-CN",
            "time_zone": "Asia/Shanghai", "currency": "CNY", "config": self.config, "interactive": True, "caller": "",
            "time_ms": self.now_ms, "trace_id": "0" * 32,
        }  # fmt: skip

    def log_write(self, level: str, message: str) -> Answer:
        return {}

    def storage_get(self, key: str, scope: str = "user") -> Answer:
        value, version = self.stored.get(key, (None, 0))
        return {"found": version > 0, "value": value, "version": version}

    def storage_put(self, key: str, value: Any, scope: str = "user", if_version: int | None = None) -> Answer:
        version = self.stored.get(key, (None, 0))[1]
        if if_version is not None and if_version != version:
            raise Refused("version_conflict")
        self.stored[key] = (value, version + 1)
        return {"version": version + 1}

    def storage_delete(self, key: str, scope: str, if_version: int) -> Answer:
        if self.stored.get(key, (None, 0))[1] != if_version:
            raise Refused("version_conflict")
        del self.stored[key]
        return {"deleted": True}

    def storage_list(self, prefix: str, scope: str, after: str, limit: int) -> Answer:
        keys = sorted(key for key in self.stored if key.startswith(prefix) and key > after)
        listed = [{"key": key, "bytes": 1, "version": self.stored[key][1]} for key in keys[:limit]]
        return {"keys": listed, "more": len(keys) > limit}

    def payment_create(self, key: str, out_trade_no: str, amount: Answer, subject: str, ttl_s: int) -> Answer:
        for order in self.orders.values():
            if order["out_trade_no"] == out_trade_no:
                if order["amount"] != amount:
                    raise Refused("key_reused")
                return {**self.outcomes[key], "replayed": True}
        order = {
            "order_id": f"order{len(self.orders):027}", "out_trade_no": out_trade_no, "status": "pending",
            "close_reason": None, "amount": amount, "subject": subject, "replayed": False,
            "expires_at_ms": self.now_ms + 1000 * ttl_s,
        }  # fmt: skip
        self.orders[order["order_id"]] = order
        self.outcomes[key] = dict(order)
        return order

    def payment_request(self, order_id: str, wait_ms: int) -> Answer:
        self.cashier(self.orders[order_id])
        return self.orders[order_id]

    def payment_query(self, order_id: str = "", out_trade_no: str = "") -> Answer:
        for order in self.orders.values():
            if order_id == order["order_id"] or out_trade_no == order["out_trade_no"]:
                return order
        raise Refused("not_found", "no such order, or not yours", order_id=order_id)

    def payment_refund(self, key: str, order_id: str, out_request_no: str, amount: int, reason: str) -> Answer:
        made = self.refunds.setdefault((order_id, out_request_no), amount)
        if made != amount:
            raise Refused("order_mismatch")
        returned = sum(paid for (order, _), paid in self.refunds.items() if order == order_id)
        return {
            "refund_id": key, "order_id": order_id, "out_request_no": out_request_no, "status": "succeeded",
            "amount": {"amount": amount, "currency": "CNY"}, "reason": reason, "order_refunded": returned,
            "replayed": False,
        }  # fmt: skip

    def user_login(self) -> Answer:
        return {"id": self.user}


class Guest:
    """One module; every message gets a fresh instance, as hosts do by default."""

    def __init__(self, wasm: bytes) -> None:
        config = wasmtime.Config()
        config.consume_fuel = True
        self.engine = wasmtime.Engine(config)
        self.module = wasmtime.Module(self.engine, wasm)
        self.host = FakeHost()
        self.inbox = True
        self.taken = 0
        self.memory_pages = self.drawn = 0
        self.said = b""

    def raw(self, message: bytes, *, fuel: int = 50_000_000) -> bytes:
        """The bytes the guest answers; empty for none. Raises wasmtime.Trap."""
        store = wasmtime.Store(self.engine)
        store.set_fuel(fuel)
        self.kept, self.posted = b"", []
        instance = wasmtime.Instance(store, self.module, [self._import(store, item) for item in self.module.imports])
        exports = instance.exports(store)
        memory: wasmtime.Memory = exports["memory"]
        self.memory, self.store = memory, store
        pointer = self._place(exports, store, message)
        memory.write(store, message, pointer)
        packed = exports["hostel_handle"](store, pointer, len(message)) & 0xFFFFFFFFFFFFFFFF
        self.memory_pages = memory.size(store)
        start, size = packed >> 32, packed & 0xFFFFFFFF
        return bytes(memory.read(store, start, start + size)) if size else b""

    def call(self, method: str, params: Any | None = None) -> Any:
        """The result; raises Refused with the guest's own error."""
        kind, msgid, error, result = wire.decode(self.raw(wire.request(1, method, params or {})), MESSAGE_BYTES)
        assert (kind, msgid) == (1, 1)
        if error is not None:
            refused = Refused(error["code"])
            refused.wire = error
            raise refused
        return result

    def _place(self, exports: Any, store: wasmtime.Store, message: bytes) -> int:
        if self.inbox and len(message) <= exports["hostel_inbox_size"].value(store):
            return int(exports["hostel_inbox"].value(store))
        pointer = exports["hostel_alloc"](store, len(message)) & 0xFFFFFFFF
        assert pointer != 0, "no room for the message"
        return int(pointer)

    def _import(self, store: wasmtime.Store, item: Any) -> wasmtime.Func:
        functions = {
            "call": self._call,
            "take": self._take,
            "post": self._post,
            "wait": self._wait,
            "random_get": self._random,
            "fd_write": self._said,
        }
        return wasmtime.Func(store, item.type, functions[item.name])

    def _call(self, req: int, req_len: int, res: int, res_cap: int) -> int:
        return self._give(self._answer(req, req_len), res, res_cap)

    def _post(self, req: int, req_len: int) -> int:
        self.posted.append(self._answer(req, req_len))
        return 0

    def _wait(self, res: int, res_cap: int, timeout_ms: int) -> int:
        """The last one posted is done first."""
        return self._give(self.posted.pop(), res, res_cap) if self.posted else -1

    def _answer(self, req: int, req_len: int) -> bytes:
        kind, msgid, method, params = wire.decode(self._read(req, req_len), MESSAGE_BYTES)
        assert kind == 0
        try:
            return wire.response(msgid, self.host.answer(method, params))
        except Refused as refused:
            return wire.error_response(msgid, refused.wire)

    def _take(self, res: int, res_cap: int) -> int:
        self.taken += 1
        return self._give(self.kept, res, res_cap) if self.kept else -1

    def _give(self, response: bytes, res: int, res_cap: int) -> int:
        fits = len(response) <= res_cap & 0xFFFFFFFF
        self.kept = b"" if fits else response
        if fits:
            assert (res & 0xFFFFFFFF) + len(response) <= self.memory.data_len(self.store)
            self.memory.write(self.store, response, res & 0xFFFFFFFF)
        return len(response)

    def _random(self, at: int, size: int) -> int:
        self.drawn += 1
        self.memory.write(self.store, self.drawn.to_bytes(size), at & 0xFFFFFFFF)
        return 0

    def _said(self, descriptor: int, parts: int, count: int, written: int) -> int:
        """What was written to standard error is kept in `said`."""
        assert descriptor == 2
        for at in range(parts, parts + 8 * count, 8):
            pair = self._read(at, 8)
            self.said += self._read(int.from_bytes(pair[:4], "little"), int.from_bytes(pair[4:], "little"))
        return 0

    def _read(self, at: int, size: int) -> bytes:
        at, size = at & 0xFFFFFFFF, size & 0xFFFFFFFF
        assert at + size <= self.memory.data_len(self.store)
        return bytes(self.memory.read(self.store, at, at + size))


def _load(name: str) -> bytes:
    return (ROOT / "sample_programs" / name / "bundle/program.wasm").read_bytes()


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """sample_programs/build.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("sample_programs_build", ROOT / "sample_programs/build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled modules are kept, so that the JavaScript engine is compiled once."""
    folder = tmp_path_factory.mktemp("cache") / "hostel"  # as `hostel` finds it below $XDG_CACHE_HOME
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="session")
def _modules() -> dict[str, Guest]:
    return {}


@pytest.fixture
def guest(_modules: dict[str, Guest]) -> Iterator[Callable[[str], Guest]]:
    """Gives the guest of a sample by name, with a new host."""

    def get(name: str) -> Guest:
        if name not in _modules:
            _modules[name] = Guest(_load(name))
        found = _modules[name]
        found.host, found.inbox, found.taken = FakeHost(), True, 0
        return found

    yield get


@pytest.fixture
def guest_of() -> type[Guest]:
    """Makes a guest from a module's bytes."""
    return Guest


@pytest.fixture(scope="session")
def refused() -> type[Refused]:
    return Refused


@pytest.fixture
def shop(guest: Callable[[str], Guest]) -> Iterator[Guest]:
    """The shop. Whatever a test does to it, it must not send params that the contract refuses."""
    made = guest("grocery_delivery")
    yield made
    assert made.host.invalid == []


@pytest.fixture
def code(shop: Guest, refused: type[Refused]) -> Callable[..., str]:
    """The code of the error that a call must give."""

    def get(method: str, params: Any | None = None) -> str:
        with pytest.raises(refused) as caught:
            shop.call(method, params)
        found: str = caught.value.wire["code"]
        return found

    return get
