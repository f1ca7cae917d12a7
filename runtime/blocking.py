"""The host for programs that do not run trio: threads and asyncio services. Trio runs in one thread that this owns.

`BlockingHost` is a host in that thread, `BlockingClient` a client of one that runs elsewhere; both have the methods
most wanted, with the same arguments and errors, from any thread. Everything else goes through `submit`, which gives a
future instead of waiting; asyncio awaits it through `asyncio.wrap_future`. What runs is `runtime.host.Host` or
`runtime.client.Client`; nothing is decided here.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from runtime.errors import HostClosed

if TYPE_CHECKING:
    from typing import Self

    from host_api import ledger
    from host_api.money import Money
    from runtime.bundle import Bundle
    from runtime.client import Client
    from runtime.host import Host
    from runtime.receipt import Receipt, Reply
    from runtime.registry import App
    from runtime.statistics import HostStatistics

T = TypeVar("T")
H = TypeVar("H", bound="Host | Client")


class _Blocking(Generic[H]):
    """What is opened in a thread of its own, and the jobs that run on it. Used from any number of threads at once."""

    def __init__(self, host: H, token: trio.lowlevel.TrioToken, nursery: trio.Nursery) -> None:
        """Not to be called: it is made, and its thread started and ended, by a context of the class."""
        self._host, self._token, self._nursery = host, token, nursery

    @classmethod
    @contextmanager
    def _opened(cls, door: Callable[[], AbstractAsyncContextManager[H]]) -> Iterator[Self]:
        opened: Future[Self] = Future()
        closing = trio.Event()

        async def run() -> None:
            try:
                async with trio.open_nursery() as nursery:
                    async with door() as host:
                        opened.set_result(cls(host, trio.lowlevel.current_trio_token(), nursery))
                        await closing.wait()
                    nursery.cancel_scope.cancel()  # jobs that are no calls: those have ended with the host
            except BaseException as error:
                if opened.done():
                    raise
                opened.set_exception(_alone(error))

        thread = threading.Thread(target=trio.run, args=(run,), name="hostel")
        thread.start()
        try:
            made = opened.result()
        except BaseException:
            thread.join()
            raise
        try:
            yield made
        finally:
            with suppress(trio.RunFinishedError):  # a job's SystemExit ended the thread
                made._token.run_sync_soon(closing.set)
            thread.join()

    def submit(self, job: Callable[[H], Awaitable[T]]) -> Future[T]:
        """Runs `job(host)` in the host's thread. The future gives its result or error; cancelling it cancels the job.

        `asyncio.wrap_future(host.submit(lambda h: h.call(app, "cart.show", user="alice")))` awaits a call under
        asyncio.
        """
        future: Future[T] = Future()

        def begin() -> None:
            try:
                self._nursery.start_soon(_carry_out, self._host, job, future)
            except RuntimeError:  # the nursery is closed
                _settle(future, HostClosed("the host is closed"))

        try:
            self._token.run_sync_soon(begin)
        except trio.RunFinishedError:
            future.set_exception(HostClosed("the host is closed"))
        return future

    def install(self, bundle: Bundle, **options: Any) -> App:
        """See `Host.install`."""
        return self.submit(lambda host: host.install(bundle, **options)).result()

    def uninstall(self, app: App | str, **options: Any) -> None:
        """See `Host.uninstall`."""
        self.submit(lambda host: host.uninstall(app, **options)).result()

    def revoke(self, app: App | str, *capabilities: str) -> None:
        """See `Host.revoke`."""
        self.submit(lambda host: host.revoke(app, *capabilities)).result()

    def call(self, app: App | str, method: str, params: dict[str, Any] | None = None, **options: Any) -> Reply:
        """See `Host.call`. Waits in the calling thread."""
        return self.submit(lambda host: host.call(app, method, params, **options)).result()

    def notify(self, app: App | str, method: str, params: dict[str, Any] | None = None, **options: Any) -> Receipt:
        """See `Host.notify`."""
        return self.submit(lambda host: host.notify(app, method, params, **options)).result()

    def deposit(self, user: str, money: Money, *, reference: str | None = None) -> bool:
        """See `Host.deposit`."""
        return self.submit(lambda host: host.deposit(user, money, reference=reference)).result()

    def balance(self, account: ledger.AccountName) -> ledger.Balance:
        """See `Host.balance`."""
        return self.submit(_awaited(lambda host: host.balance(account))).result()

    def statistics(self) -> HostStatistics:
        """See `Host.statistics`."""
        return self.submit(_awaited(lambda host: host.statistics())).result()


class BlockingHost(_Blocking["Host"]):
    """A host in a thread of its own. Made by `open`; may be used from any number of threads at once."""

    @classmethod
    @contextmanager
    def open(cls, *arguments: Any, **options: Any) -> Iterator[BlockingHost]:
        """Takes what `Host.open` takes. Leaving the block closes the host as `Host.open` says and ends the thread."""
        from runtime.host import Host

        with cls._opened(lambda: Host.open(*arguments, **options)) as host:
            yield host


class BlockingClient(_Blocking["Client"]):
    """A client of a host that runs elsewhere, in a thread of its own. Made by `connect`; may be used from any number of
    threads at once."""

    @classmethod
    @contextmanager
    def connect(cls, *arguments: Any, **options: Any) -> Iterator[BlockingClient]:
        """Takes what `Client.connect` takes. Leaving the block closes the connection and ends the thread; what threads
        still wait for then ends as ConnectionLost or HostClosed."""
        from runtime.client import Client

        with cls._opened(lambda: Client.connect(*arguments, **options)) as client:
            yield client


def _awaited(job: Callable[[H], T | Awaitable[T]]) -> Callable[[H], Awaitable[T]]:
    """What a host gives at once, and a client when it was answered."""

    async def run(host: H) -> T:
        given = job(host)
        return await given if isinstance(given, Awaitable) else given

    return run


async def _carry_out(host: H, job: Callable[[H], Awaitable[T]], future: Future[T]) -> None:
    """One job in a task of its own. Nothing it raises reaches the nursery."""
    token = trio.lowlevel.current_trio_token()
    with trio.CancelScope() as scope:

        def cancelled(done: Future[T]) -> None:
            if done.cancelled():
                try:
                    token.run_sync_soon(scope.cancel)
                except trio.RunFinishedError:
                    return

        future.add_done_callback(cancelled)
        try:
            result = await job(host)
        except Exception as error:
            _settle(future, error)
        except BaseException:  # cancelled, alone or in the group of a nursery of the job's; a SystemExit of the job's
            _settle(future, HostClosed("the host closed before the job was done"))
            raise
        else:
            _settle(future, None, result)


def _settle(future: Future[Any], error: Exception | None, result: Any = None) -> None:
    """A future that was cancelled meanwhile keeps that."""
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _alone(error: BaseException) -> BaseException:
    """Out of the group a nursery wraps it in, where it is alone in it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
