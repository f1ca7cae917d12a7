"""The host in a thread of its own: the same values, receipts and errors for threads and asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.ledger import AccountKind, AccountName
from runtime import App, Bundle, GuestFailed, HostClosed, Money, StartupError, pack, wire
from runtime.blocking import BlockingClient, BlockingHost
from runtime.daemon import control
from runtime.daemon.control import ControlSettings
from runtime.errors import ConnectionLost
from tests.hostile.guests import Script, bundle, scripted

SHOP = Path(__file__).parents[2] / "sample_programs" / "grocery_delivery" / "bundle"


@pytest.fixture
def host() -> Iterator[BlockingHost]:
    with BlockingHost.open(allow_unsigned=True) as host:
        yield host


@pytest.fixture
def shop(host: BlockingHost) -> App:
    return host.install(Bundle.from_bytes(pack(SHOP)), grant=["storage", "payment"])


def test_calls_from_many_threads(host: BlockingHost, shop: App) -> None:
    sums: list[int] = []

    def buy(user: str) -> None:
        host.call(shop, "cart.add", {"items": {"apple": 2}}, user=user)
        sums.append(host.call(shop, "cart.show", user=user).value["lines"][0]["quantity"])

    threads = [threading.Thread(target=buy, args=(f"user-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [2] * 8


def test_errors_come_out_as_they_are(host: BlockingHost, shop: App) -> None:
    with pytest.raises(GuestFailed) as failed:
        host.call(shop, "no.such.method")
    assert failed.value.receipt is not None and failed.value.receipt.method == "no.such.method"


def test_asyncio_awaits_calls(host: BlockingHost, shop: App) -> None:
    def show(user: str) -> Future[Any]:
        return host.submit(lambda h: h.call(shop, "catalogue.list", user=user))

    async def main() -> list[Any]:
        return await asyncio.gather(*(asyncio.wrap_future(show(f"user-{n}")) for n in range(10)))

    assert all(reply.value["items"] for reply in asyncio.run(main()))


def test_a_cancelled_future_cancels_the_job(host: BlockingHost) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def job(_: Any) -> None:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    future = host.submit(job)
    assert begun.wait(5)
    assert future.cancel()
    assert ended.wait(5)


def test_money_and_statistics(host: BlockingHost, shop: App) -> None:
    assert host.deposit("alice", Money(amount=500, currency="CNY"), reference="top-up-1")
    assert not host.deposit("alice", Money(amount=500, currency="CNY"), reference="top-up-1")
    assert host.statistics().programs == 1
    host.uninstall(shop)
    assert host.statistics().programs == 0


# ---- a client of a host elsewhere ------------------------------------------------------------------------------------
@pytest.fixture
def place(host: BlockingHost, tmp_path: Path) -> Iterator[Path]:
    """Where the host answers."""
    began = threading.Event()

    async def serve(served: Any) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(control.serve, served, ControlSettings(socket=tmp_path / "hostel.sock"))
            began.set()

    serving = host.submit(serve)
    assert began.wait(20)
    yield tmp_path / "hostel.sock"
    serving.cancel()


def test_a_client_awaits_calls_under_asyncio(place: Path, shop: App) -> None:
    async def main(client: BlockingClient) -> list[Any]:
        def call(method: str, params: dict[str, Any], user: str) -> Any:
            return asyncio.wrap_future(client.submit(lambda c: c.call(shop, method, params, user=user)))

        users = [f"user-{n}" for n in range(10)]
        await asyncio.gather(*(call("cart.add", {"items": {"apple": 2}}, user) for user in users))
        shown = await asyncio.gather(*(call("cart.show", {}, user) for user in users))
        with pytest.raises(GuestFailed) as failed:
            await call("no.such.method", {}, "alice")
        assert failed.value.receipt is not None
        return [reply.value["lines"][0]["quantity"] for reply in shown]

    with BlockingClient.connect(place) as client:
        assert asyncio.run(main(client)) == [2] * 10


def test_a_task_that_is_cancelled_cancels_the_call(place: Path, host: BlockingHost) -> None:
    async def main(client: BlockingClient) -> None:
        call = asyncio.wrap_future(client.submit(lambda c: c.call("org.example.guest", "run", asleep.params())))
        while not (await asyncio.wrap_future(client.submit(lambda c: c.statistics()))).calls_in_flight:
            pass
        call.cancel()
        while (await asyncio.wrap_future(client.submit(lambda c: c.statistics()))).calls_in_flight:
            pass

    asleep = Script().ask(wire.request(1, "session.sleep", {"ms": 60_000}))
    host.install(bundle(scripted(), "org.example.guest"))
    with BlockingClient.connect(place) as client:
        asyncio.run(asyncio.wait_for(main(client), 20))


def test_a_client_has_the_methods_of_a_host(place: Path, host: BlockingHost, shop: App) -> None:
    wallet = AccountName(kind=AccountKind.WALLET, owner="alice", currency="CNY")
    with BlockingClient.connect(place) as client:
        assert client.deposit("alice", Money(amount=500, currency="CNY"), reference="top-up-1")
        assert client.balance(wallet) == host.balance(wallet)
        assert client.statistics() == host.statistics()
        assert client.call(shop, "cart.show", user="alice").receipt.method == "cart.show"
        client.revoke(shop, "payment")
        client.uninstall(shop)
    with pytest.raises(HostClosed):
        client.statistics()


def test_where_no_host_is_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match="no host answers"), BlockingClient.connect(tmp_path / "nowhere.sock"):
        pass


async def _forever(_: Any) -> None:
    await trio.sleep_forever()


def test_a_closed_host_answers_so() -> None:
    with BlockingHost.open() as host:
        job = host.submit(_forever)
    with pytest.raises(HostClosed):
        job.result(5)
    with pytest.raises(HostClosed):
        host.call("org.example.shop", "x")


async def _forever_in_a_nursery(_: Any) -> None:
    """Cancelled, it ends with a group of Cancelled, one for each of its tasks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.sleep_forever()


def test_a_job_with_tasks_of_its_own_is_answered_when_the_host_closes() -> None:
    with BlockingHost.open() as host:
        job = host.submit(_forever_in_a_nursery)
    with pytest.raises(HostClosed):
        job.result(5)


async def _leave(_: Any) -> None:
    raise SystemExit(3)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_leaves_the_process_leaves_nobody_waiting() -> None:
    with BlockingHost.open() as host:
        with pytest.raises(HostClosed):
            host.submit(_leave).result(5)
        with pytest.raises(HostClosed):
            host.submit(_forever).result(5)


def test_a_host_that_cannot_open_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(StartupError), BlockingHost.open(tmp_path / "file"):
        pass
