"""Every concrete service, named once: this is the host API of this release.

Nothing else imports them all, and they do not import each other; what they need is handed in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from host_api import log, session, storage_methods
from host_api.contract import Bound, Clock, Codec, Method
from host_api.log import LogService
from host_api.payment import methods as payment_methods
from host_api.payment.prompts import Prompts
from host_api.payment.service import PaymentService
from host_api.session import SessionService
from host_api.storage import StorageService
from host_api.store import Store

METHODS: Final[tuple[Method[Any, Any], ...]] = (
    session.INFO,
    session.SLEEP,
    log.WRITE,
    storage_methods.GET,
    storage_methods.PUT,
    storage_methods.DELETE,
    storage_methods.LIST,
    storage_methods.USAGE,
    payment_methods.CREATE,
    payment_methods.REQUEST,
    payment_methods.QUERY,
)
"""All declared methods: what the reference page, the schemas and the guests' bindings are made from."""


def build(
    *,
    store: Store,
    clock: Clock,
    codec: Codec,
    prompts: Prompts,
    new_order_id: Callable[[], str],
    new_token: Callable[[], str],
) -> Mapping[str, Bound]:
    """Method name → what answers it. The services live as long as the mapping; what is handed in stays the caller's.

    `clock` is what guests are shown and grants expire by: `store` is one, that never goes back. `new_order_id` and
    `new_token`: see PaymentService.
    """
    services = (
        SessionService(clock=clock),
        LogService(),
        StorageService(store=store, codec=codec),
        PaymentService(store=store, codec=codec, prompts=prompts, ids=new_order_id, tokens=new_token),
    )
    return {bound.method.name: bound for service in services for bound in service.bound()}
