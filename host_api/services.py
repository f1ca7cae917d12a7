"""Every concrete service, named once: this is the host API of this release.

Nothing else imports them all; what they need is handed in here. `METHODS` is what guests may ask, `Services` what the
host itself asks of the same objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from host_api import assets, idempotency, log, program, session, storage_methods
from host_api.assets import AssetService
from host_api.contract import Bound, Clock, Codec, Method
from host_api.erasure.service import Erasure, Journal
from host_api.events import delivery
from host_api.events import methods as event_methods
from host_api.events.service import EventService
from host_api.http import methods as http_methods
from host_api.http.access import HttpAccess
from host_api.http.service import HttpService
from host_api.log import LogService
from host_api.notify import methods as notify_methods
from host_api.notify import notices
from host_api.notify.notices import Notices
from host_api.notify.push import Announcer, Notifier
from host_api.notify.service import NotifyService
from host_api.payment import methods as payment_methods
from host_api.payment import refund_methods, sweep
from host_api.payment.service import PaymentService
from host_api.program import Programs, ProgramService
from host_api.prompts.desk import Desk
from host_api.session import SessionService
from host_api.storage import StorageService
from host_api.store import Store, Transaction
from host_api.user import methods as user_methods
from host_api.user.asking import ConsentPrompts
from host_api.user.consent import ConsentStore
from host_api.user.directory import Directory, EmbeddedDirectory
from host_api.user.pairwise import PairwiseIds
from host_api.user.service import UserService

METHODS: Final[tuple[Method[Any, Any], ...]] = (
    session.INFO,
    session.SLEEP,
    log.WRITE,
    assets.READ,
    user_methods.LOGIN,
    user_methods.AUTHORIZE,
    user_methods.GET_PROFILE,
    user_methods.GET_PHONE,
    user_methods.GET_ADDRESS,
    user_methods.CONSENTS,
    payment_methods.CREATE,
    payment_methods.REQUEST,
    payment_methods.CAPTURE,
    payment_methods.QUERY,
    payment_methods.CLOSE,
    refund_methods.REFUND,
    refund_methods.REFUND_QUERY,
    event_methods.LIST,
    event_methods.ACK,
    storage_methods.GET,
    storage_methods.PUT,
    storage_methods.DELETE,
    storage_methods.LIST,
    storage_methods.USAGE,
    notify_methods.REQUEST,
    notify_methods.SEND,
    http_methods.FETCH,
    program.CALL,
    program.AS_CALLER,
)
"""All declared methods: what the reference page, the schemas and the guests' bindings are made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a host's services get time, randomness and bytes from. All of it is injected in tests."""

    store: Store
    clock: Clock
    """What guests are shown and grants expire by: the store is one, that never goes back."""
    codec: Codec
    new_id: Callable[[], str]
    """128 random bits as text."""
    new_salt: Callable[[], bytes]
    """See `audit.subject`."""
    journal: Journal | None = None
    """What is kept of calls beside the store, for erasures to reach."""


class Interference(Protocol):
    """What stands between programs and the services, for development and scenarios (runtime.faults)."""

    def around(self, bound: Bound) -> Bound:
        """What answers in place of that."""
        ...

    def deliveries(self) -> int:
        """How often the event that is pushed next is handed to its program."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a platform brings along, or leaves to the host."""

    directory: Directory | None = None
    """Where users are known; None: the embedded directory."""
    notifier: Notifier | None = None
    """Hands notices on as they come; None: they wait to be taken."""
    http: HttpAccess | None = None
    """How programs reach hosts outside; None: as HttpAccess says."""
    faults: Interference | None = None
    """None, as it is wherever users are served: every service is reached as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services of one host. They live as long as this; what was handed in stays its giver's to close."""

    bound: Mapping[str, Bound]
    """Method name → what answers it."""
    payments: PaymentService
    users: EmbeddedDirectory
    consents: ConsentStore
    notices: Notices
    announcer: Announcer
    http: HttpService
    erasure: Erasure
    sweeps: tuple[Callable[[Transaction, int], int], ...]
    """What is written down as time passes; see runtime.housekeeping."""


def build(
    sources: Sources,
    outside: Outside,
    *,
    desk: Desk,
    pairwise: PairwiseIds,
    programs: Programs,
    acknowledged: Callable[[str], None],
) -> Services:
    """`desk` is where users are asked; `programs` runs programs that programs call; `acknowledged` is told the program
    whose event was acknowledged."""
    store, clock, new_salt = sources.store, sources.clock, sources.new_salt
    users = EmbeddedDirectory(store=store, new_salt=new_salt)
    consents = ConsentStore(store=store, new_salt=new_salt)
    asking = ConsentPrompts(store=store, desk=desk, consents=consents)
    storage = StorageService(store=store, codec=sources.codec)
    payments = PaymentService(store=store, codec=sources.codec, desk=desk, ids=sources.new_id)
    announcer = Announcer(outside.notifier, store)
    http = HttpService(access=outside.http or HttpAccess(), clock=clock)
    answering = (
        SessionService(clock=clock),
        LogService(),
        AssetService(store=store),
        UserService(
            clock=clock, directory=outside.directory or users, consents=consents, prompts=asking, pairwise=pairwise
        ),
        payments,
        EventService(store=store, acknowledged=acknowledged),
        storage,
        NotifyService(
            store=store,
            consents=consents,
            prompts=asking,
            announce=announcer.announce,
            new_id=sources.new_id,
            new_salt=new_salt,
        ),
        http,
        ProgramService(programs=programs, clock=clock),
    )
    bound = {bound.method.name: bound for service in answering for bound in service.bound()}
    return Services(
        bound=bound if outside.faults is None else {name: outside.faults.around(one) for name, one in bound.items()},
        payments=payments,
        users=users,
        consents=consents,
        notices=Notices(store=store),
        announcer=announcer,
        http=http,
        erasure=Erasure(
            store=store,
            codec=sources.codec,
            cache=storage,
            journal=sources.journal,
            new_id=sources.new_id,
            new_salt=new_salt,
        ),
        sweeps=(sweep.sweep, desk.sweep, notices.prune, delivery.prune, idempotency.prune),
    )
