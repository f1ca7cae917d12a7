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

from runtime import App, Bundle, GuestFailed, HostClosed, Money, StartupError, pack
from runtime.blocking import BlockingHost

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
