"""The client itself: calls, programs, money, proof. What a front end does with prompts and users is in parts.py."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from host_api.audit import Head
from host_api.balances import Total
from host_api.erasure.program import Uninstalled
from host_api.erasure.user import Erased
from host_api.ledger import AccountName, Balance
from host_api.money import Money
from host_api.payment.fees import FeeTerms
from host_api.releases.values import ProgramStatus
from runtime import signed_head, wire
from runtime.bundle import Bundle
from runtime.client.link import Link
from runtime.client.parts import Consents, FrontEnd, Notices, Prompts, Steering, Users
from runtime.client.places import connect
from runtime.client.registry import Developers, Releases, grant_map
from runtime.client.upkeep import ClientUpkeep
from runtime.control import calling, money, programs, proof, users
from runtime.control.calling import Welcome
from runtime.control.tls import Channel, PlainChannel
from runtime.errors import ConnectionLost, HostelError, UsageError
from runtime.receipt import Receipt, Reply
from runtime.registry import App
from runtime.signed_head import SignedHead
from runtime.statistics import HostStatistics

EXPORT_BYTES_MAX: Final = 1 << 30
Params = Mapping[str, Any]


class Client(ClientUpkeep):
    """A host behind a socket. Made by `connect`; used from the trio thread that made it, by any number of tasks."""

    def __init__(self, link: Link, welcome: Welcome) -> None:
        """Not to be called: `Client.connect` makes the connection and closes it."""
        self._link = link
        self.welcome = welcome
        """In which role the host serves this client, and within which bounds."""
        self.prompts = Prompts(link)
        """As `Host.prompts`: what waits for users' answers."""
        self.users = Users(link)
        """As `Host.users`: what is known of users."""
        self.consents = Consents(link)
        """As `Host.consents`: what users allowed which program."""
        self.notices = Notices(link)
        """As `Host.notices`: messages from programs to users."""
        self.front_end = FrontEnd(link)
        """As `Host.front_end`: tokens with which front ends speak for their users."""
        self.developers = Developers(link)
        """As `Host.developers`: who may upload, with which keys."""
        self.releases = Releases(link)
        """As `Host.releases`: from an upload to the release that everybody gets, and back."""
        self.host = Steering(link)
        """The daemon itself: reload, drain, stop."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, address: Path | str, *, token: str | None = None, tls: ssl.SSLContext | Path | None = None
    ) -> AsyncIterator[Client]:
        """A client of the host at a Unix socket (a Path, or a text with a `/` in it) or at `host:port`, which takes a
        `token` and TLS: `tls` is an SSL context, or a PEM file of the authorities to trust; None: this machine's.

        Leaving the block closes the connection; requests that other tasks still wait for end as ConnectionLost.
        Raises ConnectionLost (`unreachable`) and AccessDenied; UsageError: no address, no PEM file, or trio
        does not run.
        """
        if not trio.lowlevel.in_trio_run():
            raise UsageError(
                "Client runs under trio, which does not run here: call it from a function that trio.run starts, or use"
                " runtime.blocking.BlockingClient under asyncio and in threads"
            )
        async with cls.over(*await connect(address, tls), token=token) as client:
            yield client

    @classmethod
    @asynccontextmanager
    async def over(
        cls, sock: socket.socket, channel: Channel | None = None, *, token: str | None = None
    ) -> AsyncIterator[Client]:
        """As `connect`, over a socket that is connected already; it is closed with the client."""
        sock.setblocking(False)
        link = Link(sock, PlainChannel() if channel is None else channel)
        raised: BaseException | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.read_for_ever, name="client reader")
            nursery.start_soon(link.send_for_ever, name="client writer")
            try:
                yield cls(link, await _greet(link, token))
            except BaseException as error:  # out of the nursery as it is, not in a group
                raised = error
            link.lose("closed here")
            nursery.cancel_scope.cancel()
        if raised is not None:
            raise raised

    async def ping(self) -> int:
        """The host's time, µs since the epoch."""
        return (await self._link.request(calling.PING, calling.PING.params())).now_us

    # ---- calls -------------------------------------------------------------------------------------------------------
    async def call(
        self, app: App | str, method: str, params: Params | None = None, *, user: str = "", interactive: bool = True,
        locale: str = "en", time_zone: str = "UTC", currency: str = "CNY", trace_id: str = "",
    ) -> Reply:  # fmt: skip
        """See `Host.call`. Cancelled, the host drops the guest as soon as it hears of it."""
        asked = calling.Call(
            app=_id(app), method=method, params=_plain(params), user=user, interactive=interactive, locale=locale,
            time_zone=time_zone, currency=currency, trace_id=trace_id,
        )  # fmt: skip
        replied = await self._link.request(calling.CALL, asked)
        return Reply(value=replied.value, receipt=replied.receipt)

    async def notify(
        self, app: App | str, method: str, params: Params | None = None, *, user: str = "", trace_id: str = ""
    ) -> Receipt:
        """See `Host.notify`."""
        asked = calling.Notify(app=_id(app), method=method, params=_plain(params), user=user, trace_id=trace_id)
        return (await self._link.request(calling.NOTIFY, asked)).receipt

    # ---- programs ----------------------------------------------------------------------------------------------------
    async def install(
        self, bundle: Bundle | bytes, *, grant: Sequence[str] | Mapping[str, Params] = (),
        limits: Mapping[str, int] | None = None, payee: str | None = None, sector: str | None = None,
        config: Params | None = None, allow_unsigned: bool | None = None, new_owner: bool = False,
        isolation: str | None = None,
    ) -> App:  # fmt: skip
        """See `Host.install`; the bundle as it was read, or its file's bytes."""
        asked = programs.Install(
            bundle=bundle if isinstance(bundle, bytes) else bundle.data,
            grant=grant_map(grant), limits=None if limits is None else dict(limits), payee=payee, sector=sector,
            config=None if config is None else dict(config), allow_unsigned=allow_unsigned, new_owner=new_owner,
            isolation=isolation,
        )  # fmt: skip
        return (await self._link.request(programs.INSTALL, asked)).app

    async def uninstall(self, app: App | str, *, end_calls: bool = False, erase: bool = False) -> Uninstalled:
        """See `Host.uninstall`."""
        asked = programs.Uninstall(app=_id(app), end_calls=end_calls, erase=erase)
        return (await self._link.request(programs.UNINSTALL, asked)).uninstalled

    async def revoke(self, app: App | str, *capabilities: str) -> None:
        """See `Host.revoke`."""
        await self._link.request(programs.REVOKE, programs.Revoke(app=_id(app), capabilities=list(capabilities)))

    async def program(self, app: App | str) -> ProgramStatus:
        """See `Host.program`."""
        return (await self._link.request(programs.SHOW, programs.ProgramOf(app=_id(app)))).program

    async def programs(self, after: str = "", limit: int = 100) -> list[ProgramStatus]:
        """See `Host.programs`."""
        return list(
            (await self._link.request(programs.LIST, programs.ProgramsAfter(after=after, limit=limit))).programs
        )

    async def set_grants(self, app: App | str, grant: Sequence[str] | Mapping[str, Params]) -> ProgramStatus:
        """See `Host.set_grants`."""
        asked = programs.SetGrants(app=_id(app), grant=grant_map(grant))
        return (await self._link.request(programs.SET_GRANTS, asked)).program

    async def set_limits(self, app: App | str, limits: Mapping[str, int]) -> ProgramStatus:
        """See `Host.set_limits`."""
        asked = programs.SetLimits(app=_id(app), limits=dict(limits))
        return (await self._link.request(programs.SET_LIMITS, asked)).program

    async def set_fees(self, app: App | str, terms: FeeTerms) -> None:
        """See `Host.set_fees`."""
        await self._link.request(programs.SET_FEES, programs.SetFees(app=_id(app), terms=terms))

    # ---- money -------------------------------------------------------------------------------------------------------
    async def deposit(self, user: str, money: Money, *, reference: str | None = None) -> bool:
        """See `Host.deposit`."""
        return (await self._link.request(_DEPOSIT, _Deposit(user=user, money=money, reference=reference))).booked

    async def balance(self, account: AccountName) -> Balance:
        """See `Host.balance`."""
        return (await self._link.request(money.BALANCE, money.BalanceOf(account=account))).balance

    async def balances(self, owner: str = "") -> list[Total]:
        """See `Host.balances`."""
        told = await self._link.request(money.BALANCES, money.Balances(owner=owner))
        return [
            Total(kind=row.kind, currency=row.currency, accounts=row.accounts, balance=row.balance) for row in told.rows
        ]

    async def order(self, app_id: str, order_id: str) -> money.OrderTold:
        """How an order stands; see `Host.order`, which tells all of it."""
        return await self._link.request(money.ORDER, money.OrderOf(app=app_id, order_id=order_id))

    # ---- users -------------------------------------------------------------------------------------------------------
    async def export_user(self, user: str) -> dict[str, Any]:
        """See `Host.export_user`. At most 1 GiB is taken."""
        document = bytearray()

        def add(piece: users.Piece) -> None:
            if len(document) + len(piece.data) > EXPORT_BYTES_MAX:
                raise HostelError(f"the export has over {EXPORT_BYTES_MAX} bytes", code="answer_unknown")
            document.extend(piece.data)

        told = await self._link.request(users.EXPORT, users.ExportUser(user=user), add)
        if told.bytes != len(document):
            raise HostelError(f"{len(document)} of {told.bytes} bytes of the export came", code="answer_unknown")
        found: dict[str, Any] = wire.decode_bounded_by_size(bytes(document))
        return found

    async def erase_user(self, user: str, *, forfeit_balance: bool = False) -> Erased:
        """See `Host.erase_user`."""
        asked = users.EraseUser(user=user, forfeit_balance=forfeit_balance)
        return (await self._link.request(users.ERASE, asked)).erased

    # ---- proof -------------------------------------------------------------------------------------------------------
    async def audit_head(self) -> Head:
        """See `Host.audit_head`."""
        return (await self._link.request(proof.AUDIT_HEAD, proof.AUDIT_HEAD.params())).head

    async def audit_key(self) -> str:
        """See `Host.audit_key`."""
        return (await self._link.request(proof.AUDIT_KEY, proof.AUDIT_KEY.params())).public_key

    async def signed_head(self) -> SignedHead:
        """See `Host.signed_head`; the signature is checked."""
        told = await self._link.request(proof.SIGNED_HEAD, proof.SIGNED_HEAD.params())
        return signed_head.from_dict(msgspec.structs.asdict(told))

    async def audit_records(
        self, after: int = 0, limit: int = 100, *, effect: str = "", app: str = ""
    ) -> tuple[list[tuple[int, str]], int]:
        """See `Host.audit_records`: those of `effect` and `app` among them, and the number of the last one looked at,
        to go on after."""
        asked = proof.AuditRecords(after=after, limit=limit, effect=effect, app=app)
        page = await self._link.request(proof.AUDIT_RECORDS, asked)
        return [(record.n, record.record) for record in page.records], page.last

    async def verify(self, head: Head | None = None, *, progress: Callable[[str], None] | None = None) -> list[str]:
        """See `Host.verify`; the host goes on meanwhile, and tells of a thousand findings at most."""
        seen = ""

        def part(told: proof.Part) -> None:
            nonlocal seen
            if progress is not None and told.part != seen:
                progress(told.part)
            seen = told.part

        return list((await self.survey(head, on_part=part)).findings)

    async def survey(
        self, head: Head | None = None, *, audit_only: bool = False, on_part: Callable[[proof.Part], None] | None = None
    ) -> proof.Verified:
        """See `Host.survey`."""
        return await self._link.request(proof.VERIFY, proof.Verify(head=head, audit_only=audit_only), on_part)

    async def statistics(self) -> HostStatistics:
        """See `Host.statistics`."""
        return (await self._link.request(proof.STATISTICS, proof.STATISTICS.params())).statistics


_DEPOSIT, _Deposit = money.DEPOSIT, money.Deposit  # where a parameter takes the module's name


async def _greet(link: Link, token: str | None) -> Welcome:
    try:
        return await link.request(calling.HELLO, calling.Hello(client="runtime.Client", bearer=token))
    except ConnectionLost:
        if link.refused is not None:
            raise link.refused from None
        raise


def _id(app: App | str) -> str:
    return app if isinstance(app, str) else app.app_id


def _plain(params: Params | None) -> dict[str, Any]:
    return {} if params is None else params if isinstance(params, dict) else dict(params)
