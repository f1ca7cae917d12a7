"""The host as a whole, with the grocery program and small guests: installing, calling, limits given, closing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import wasmtime

from host_api import audit
from host_api.errors import ApiError, ErrorCode
from host_api.store import Store
from runtime import (
    App,
    Bundle,
    CallCancelled,
    Ending,
    GuestFailed,
    GuestProtocolError,
    Host,
    HostClosed,
    HostSettings,
    MessageTooLarge,
    ModuleError,
    Money,
    NotInstalled,
    ScriptedCashier,
    SignatureError,
    SigningKey,
    StartupError,
    UsageError,
    pack,
    sign,
)
from runtime.bundle import Keyring, TrustedKey, pack_contents
from runtime.testing import SeededIds, VirtualClock

SHOP = Path(__file__).parents[2] / "sample_programs" / "grocery_delivery" / "bundle"
ECHO = """(module (memory (export "memory") 1) (data (i32.const 0) "\\94\\01\\01\\c0\\a4{name}")
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "hostel_handle") (param i32 i32) (result i64) (i64.const 9)))"""
SILENT = """(module (memory (export "memory") 1)
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "hostel_handle") (param i32 i32) (result i64) (i64.const 0)))"""


def bundle(wat: str, *, code: int = 1, app_id: str = "org.example.small", **manifest: Any) -> Bundle:
    told = {
        "app_id": app_id, "name": "Small", "version": {"name": str(code), "code": code},
        "program": {"module": "p.wasm", **manifest.pop("program", {})}, **manifest,
    }  # fmt: skip
    return Bundle.from_bytes(
        pack_contents({"manifest.json": json.dumps(told).encode(), "p.wasm": bytes(wasmtime.wat2wasm(wat))})
    )


@asynccontextmanager
async def shop_host(**options: Any) -> AsyncIterator[tuple[Host, App]]:
    async with Host.open(allow_unsigned=True, **options) as host:
        app = await host.install(Bundle.from_bytes(pack(SHOP)), grant=["storage", "payment"])
        await host.deposit("alice", Money(amount=100_000, currency="CNY"))
        yield host, app


async def checkout(host: Host, app: App) -> Any:
    await host.call(app, "cart.add", {"items": {"apple": 2, "banana": 1}}, user="alice")
    slot = (await host.call(app, "slots.list", user="alice")).value["slots"][0]["slot"]
    return (await host.call(app, "checkout", {"slot": slot}, user="alice")).value


async def test_a_purchase_on_a_file_store_is_there_after_a_restart(tmp_path: Path) -> None:
    async with shop_host(state=tmp_path, cashier=ScriptedCashier([True])) as (host, app):
        bought = await checkout(host, app)
        assert bought["payment"] == "succeeded"
    async with shop_host(state=tmp_path) as (host, app):
        order = bought["order"]["order_id"]
        again = await host.call(app, "order.show", {"order_id": order}, user="alice")
        assert again.value["payment"] == "succeeded"


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    """Not wrapped in a group by the host's own nursery."""
    with pytest.raises(GuestFailed):
        async with shop_host() as (host, app):
            await host.call(app, "no.such.method")


async def test_a_user_never_sees_anothers_cart() -> None:
    async with shop_host() as (host, app):
        await host.call(app, "cart.add", {"items": {"apple": 2}}, user="alice")
        assert (await host.call(app, "cart.show", user="bob")).value["lines"] == []


@pytest.mark.parametrize("method", ["hostel.event", "hostel.", "hostel.anything"])
async def test_nobody_but_the_host_speaks_in_its_name(method: str) -> None:
    """Else whoever may call a program tells it that an order is paid."""
    async with Host.open(allow_unsigned=True) as host:
        app = await host.install(bundle(ECHO.replace("{name}", "name")))
        for speak in (host.call, host.notify):
            with pytest.raises(UsageError, match="the host's own"):
                await speak(app, method, {"topic": "payment.succeeded"}, user="alice")
        assert (await host.call(app, "hostels.event", user="alice")).value == "name"


async def test_nothing_is_granted_by_default() -> None:
    async with Host.open(allow_unsigned=True) as host:
        shop = Bundle.from_bytes(pack(SHOP))
        with pytest.raises(UsageError) as refused:
            await host.install(shop)
        assert (refused.value.code, refused.value.details["missing"]) == ("permission_missing", ["storage"])
        app = await host.install(shop, grant=["storage"])  # payment is not required
        await host.call(app, "cart.add", {"items": {"apple": 3}}, user="alice")
        with pytest.raises(GuestFailed) as failed:
            await host.call(app, "checkout", {"slot": "2030-01-01T09"}, user="alice")
        assert failed.value.receipt is not None


async def test_a_new_release_replaces_the_old_one_and_codes_never_go_down() -> None:
    async with Host.open(allow_unsigned=True) as host:
        for code, name in ((1, "one1"), (2, "two2"), (2, "same")):
            app = await host.install(bundle(ECHO.replace("{name}", name), code=code))
            assert (await host.call(app, "x")).value == name
        with pytest.raises(UsageError, match="never goes down"):
            await host.install(bundle(ECHO.replace("{name}", "one1"), code=1))
        assert (await host.call("org.example.small", "x")).value == "same"
        assert host.statistics().programs == 1


async def test_an_uninstalled_program_is_not_there() -> None:
    async with Host.open(allow_unsigned=True) as host:
        app = await host.install(bundle(SILENT))
        await host.uninstall(app)
        with pytest.raises(NotInstalled, match=r"org\.example\.small"):
            await host.call(app, "x")


async def test_unsigned_bundles_need_leave_and_signed_ones_a_known_key() -> None:
    key, made = SigningKey.generate(), pack(SHOP)
    async with Host.open() as host:
        with pytest.raises(SignatureError) as refused:
            await host.install(Bundle.from_bytes(made))
        assert refused.value.code == "unsigned_bundle"
        with pytest.raises(SignatureError) as refused:
            await host.install(Bundle.from_bytes(sign(made, key)))
        assert refused.value.code == "key_unknown"
    async with Host.open(keyring=Keyring([TrustedKey(public_key=key.public_key)])) as host:
        app = await host.install(Bundle.from_bytes(sign(made, key)), grant=["storage"])
        assert app.signed_by == key.public_key.key_id


async def test_a_manifest_may_want_less_and_never_gets_more_by_itself() -> None:
    async with Host.open(allow_unsigned=True) as host:
        more = bundle(SILENT, app_id="org.example.more", program={"limits": {"message_in_bytes": 1_000_000}})
        less = bundle(SILENT, app_id="org.example.less", program={"limits": {"message_in_bytes": 100}})
        for made, limit in ((more, 262_144), (less, 100)):
            app = await host.install(made)
            with pytest.raises(MessageTooLarge) as refused:
                await host.notify(app, "x", {"v": b"x" * limit})
            assert refused.value.details["value"] == limit
        app = await host.install(more, limits={"message_in_bytes": 1_000_000})
        with pytest.raises(GuestProtocolError, match="outside the memory"):  # it gets in: the guest has no room for it
            await host.notify(app, "x", {"v": b"x" * 262_144})


async def test_limits_that_no_sandbox_can_have_are_refused() -> None:
    async with Host.open(allow_unsigned=True) as host:
        with pytest.raises(UsageError, match="memory_bytes"):
            await host.install(bundle(SILENT), limits={"memory_bytes": 1 << 30})
        with pytest.raises(UsageError, match="did you mean cpu_us"):
            await host.install(bundle(SILENT), limits={"cpu_u": 1})
        with pytest.raises(UsageError, match="did you mean"):
            await host.install(bundle(SILENT), grant=["storag"])
        assert host.statistics().programs == 0


async def test_config_reaches_the_program_and_is_bounded() -> None:
    async with Host.open(allow_unsigned=True) as host:
        with pytest.raises(UsageError, match="config"):
            await host.install(bundle(SILENT), config={"k": "x" * 20_000})


async def test_a_notification_gives_a_receipt_and_no_value() -> None:
    async with Host.open(allow_unsigned=True) as host:
        app = await host.install(bundle(SILENT))
        receipt = await host.notify(app, "order.paid", {"order": 1})
        assert receipt.ending is Ending.COMPLETED and receipt.usage.message_out_bytes == 0


async def test_a_receipt_is_plain_data() -> None:
    async with Host.open(allow_unsigned=True, new_id=SeededIds(1)) as host:
        app = await host.install(bundle(SILENT))
        told = (await host.notify(app, "x")).as_dict()
        assert told["ending"] == "completed" and told["cpu_us"] > 0 and json.loads(json.dumps(told)) == told


async def test_a_closing_host_lets_calls_finish_within_its_time() -> None:
    cashier, bought = ScriptedCashier([True]), []
    cashier.hold()

    async def buy(host: Host, app: App) -> None:
        bought.append(await checkout(host, app))

    async with trio.open_nursery() as nursery:
        async with shop_host(cashier=cashier, settings=HostSettings(drain_s=30.0)) as (host, app):
            nursery.start_soon(buy, host, app)
            while not cashier.shown:
                await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(_release_later, cashier, host)
        assert bought[0]["payment"] == "succeeded"


async def _release_later(cashier: ScriptedCashier, host: Host) -> None:
    while True:
        try:
            await host.call("org.example.grocery", "catalogue.list")
        except HostClosed:
            break  # it refuses new calls, the one in flight goes on
        await trio.lowlevel.checkpoint()
    cashier.release()


async def test_a_closed_host_ends_what_is_left_as_cancelled() -> None:
    cashier, ended = ScriptedCashier(), []
    cashier.hold()

    async def buy(host: Host, app: App) -> None:
        with pytest.raises(CallCancelled) as cancelled:
            await checkout(host, app)
        ended.append(cancelled.value)

    async with trio.open_nursery() as nursery:
        async with shop_host(cashier=cashier, settings=HostSettings(drain_s=0.0)) as (host, app):
            nursery.start_soon(buy, host, app)
            while not cashier.shown:
                await trio.testing.wait_all_tasks_blocked()
        assert host.statistics().calls_in_flight == 0 and host.statistics().sandboxes == 0
    (error,) = ended
    assert error.receipt.ending is Ending.CANCELLED and error.receipt.usage.host_calls > 0


async def test_the_state_directory_belongs_to_one_host(tmp_path: Path) -> None:
    async with Host.open(tmp_path):
        with pytest.raises(StartupError) as refused:
            async with Host.open(tmp_path):
                pass
        assert refused.value.code == "state_in_use"


async def test_a_module_is_loaded_again_after_it_was_dropped_from_memory(tmp_path: Path) -> None:
    settings = HostSettings(loaded_bytes_max=1, cache_dir=tmp_path)
    async with Host.open(allow_unsigned=True, settings=settings) as host:
        apps = [
            await host.install(bundle(ECHO.replace("{name}", f"app{n}"), app_id=f"org.example.app{n}"))
            for n in range(3)
        ]
        for _ in range(2):
            for n, app in enumerate(apps):
                assert (await host.call(app, "x")).value == f"app{n}"


async def test_a_module_too_large_for_its_memory_limit_is_refused() -> None:
    async with Host.open(allow_unsigned=True) as host:
        with pytest.raises(ModuleError, match="memory"):
            await host.install(bundle(SILENT.replace("1)", "2)", 1)), limits={"memory_bytes": 65_536})


async def test_rates_follow_the_hosts_clock() -> None:
    clock = VirtualClock()
    async with Host.open(allow_unsigned=True, clock=clock) as host:
        app = await host.install(bundle(SILENT), limits={"calls_per_s": 1, "calls_burst": 1})
        await host.notify(app, "x")
        with pytest.raises(Exception, match="calls_per_s"):
            await host.notify(app, "x")
        clock.advance(s=1)
        await host.notify(app, "x")


async def test_calls_that_never_wait_let_others_run() -> None:
    """Each is cheap and answered in place, so none is a checkpoint of its own; the host sees to others' turns."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with Host.open(allow_unsigned=True) as host, trio.open_nursery() as nursery:
        app = await host.install(bundle(SILENT), limits={"calls_burst": 100_000, "cpu_burst_us": 3_600_000_000})
        nursery.start_soon(other)
        for _ in range(300):
            await host.notify(app, "x")
        nursery.cancel_scope.cancel()
    assert turns > 20


@pytest.mark.parametrize(("method", "sent"), [("", False), ("m", True), ("m" * 64, True), ("m" * 65, False)])
async def test_a_methods_name_is_bounded_before_the_guest_sees_it(method: str, sent: bool) -> None:
    async with Host.open(allow_unsigned=True) as host:
        app = await host.install(bundle(SILENT))
        if sent:
            await host.notify(app, method)
        else:
            with pytest.raises(UsageError, match="1 to 64"):
                await host.notify(app, method)


# ---- whose a program is ----------------------------------------------------------------------------------------------
async def test_an_id_stays_with_the_developer_who_signed_first(tmp_path: Path) -> None:
    first, second, rotated = (SigningKey.generate() for _ in range(3))
    keyring = Keyring(
        [
            TrustedKey(public_key=first.public_key, owner="Ann Ltd"),
            TrustedKey(public_key=rotated.public_key, owner="Ann Ltd"),
            TrustedKey(public_key=second.public_key, owner="Bob Ltd"),
        ]
    )
    made = pack(SHOP)
    async with Host.open(tmp_path / "state", keyring=keyring, allow_unsigned=True) as host:
        await host.install(Bundle.from_bytes(made), grant=["storage"])  # nobody's yet
        await host.install(Bundle.from_bytes(sign(made, first)), grant=["storage"])
        await host.uninstall("org.example.grocery")
    async with Host.open(tmp_path / "state", keyring=keyring, allow_unsigned=True) as host:
        for foreign in (made, sign(made, second)):
            with pytest.raises(UsageError) as refused:
                await host.install(Bundle.from_bytes(foreign), grant=["storage"])
            assert (refused.value.code, refused.value.details["owner"]) == ("other_developer", "Ann Ltd")
            assert host.statistics().programs == 0
        await host.install(Bundle.from_bytes(sign(made, rotated)), grant=["storage"])
        app = await host.install(Bundle.from_bytes(sign(made, second)), grant=["storage"], new_owner=True)
        assert app.signed_by == second.public_key.key_id
        with pytest.raises(UsageError):
            await host.install(Bundle.from_bytes(sign(made, first)), grant=["storage"])


@pytest.mark.parametrize("user", ["x" * 257, "\ud800", "erased:1"])
async def test_a_users_id_is_bounded_and_can_be_written_down(user: str) -> None:
    async with Host.open(allow_unsigned=True) as host:
        app = await host.install(Bundle.from_bytes(pack(SHOP)), grant=["storage"])
        with pytest.raises(UsageError, match="user"):
            await host.call(app, "run", user=user)
        assert host.statistics().calls_in_flight == 0


@pytest.mark.parametrize("payee", ["", "\u2800" * 3, "Bank\u202egro", "two\nlines", "x" * 65])
async def test_a_payee_is_one_clean_line(payee: str) -> None:
    async with Host.open(allow_unsigned=True) as host:
        with pytest.raises(UsageError, match="payee"):
            await host.install(Bundle.from_bytes(pack(SHOP)), grant=["storage"], payee=payee)
        assert host.statistics().programs == 0


# ---- a store that refuses --------------------------------------------------------------------------------------------
class Moody:
    """A store that says BUSY to writes while it is told to."""

    def __init__(self, store: Store) -> None:
        self._store, self.refuses = store, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, job: Any) -> Any:
        if self.refuses:
            raise ApiError(ErrorCode.BUSY, "the disk refused")
        return await self._store.write(job)


async def test_what_the_store_refuses_is_not_installed_and_can_be_uninstalled_again() -> None:
    shop = Bundle.from_bytes(pack(SHOP))
    async with Host.open(allow_unsigned=True) as host:
        host._store = host._changes._store = store = Moody(host._store)  # type: ignore[assignment]
        store.refuses = True
        with pytest.raises(ApiError):
            await host.install(shop, grant=["storage"])
        assert host.statistics().programs == 0
        store.refuses = False
        app = await host.install(shop, grant=["storage"])
        store.refuses = True
        with pytest.raises(ApiError):
            await host.uninstall(app)
        with pytest.raises(NotInstalled):
            await host.call(app, "catalogue.list")
        store.refuses = False
        await host.uninstall(app)
        assert host.statistics().programs == 0
        with pytest.raises(NotInstalled):
            await host.uninstall(app)
        records = host._store.read(lambda tx: audit.records_after(tx, 0, 9))
    assert [json.loads(text)["effect"] for _, text in records] == ["program.installed", "program.uninstalled"]
