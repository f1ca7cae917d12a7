"""A state directory that no host runs on, behind the same protocol as a host: for commands (door.py).

What lives here: opening the store, and what of a host works without one: money, users, prompts, proof, journal,
registry. Nothing of a guest runs here.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from host_api.erasure.service import Erasure
from host_api.front_end.sessions import FrontEnds
from host_api.front_end.token import KEY_PURPOSE
from host_api.notify.notices import Notices
from host_api.payment.checkout import Checkout
from host_api.prompts.desk import Desk
from host_api.releases.records import authority
from host_api.store import Store, StoreError, open_store
from host_api.store.key_file import KEY_BYTES, is_made, open_key
from host_api.store.sqlite import FILE_NAME
from host_api.user.asking import ConsentPrompts
from host_api.user.consent import ConsentStore
from host_api.user.directory import EmbeddedDirectory
from runtime import sources, wire
from runtime.bundle.refusal import shown
from runtime.client import Client
from runtime.daemon.control import serve_one
from runtime.daemon.control.answers import Answer, StateAnswers
from runtime.daemon.control.registry_answers import DeveloperAnswers, ProgramAnswers, ReleaseAnswers
from runtime.daemon.control.upkeep_answers import JournalAnswers
from runtime.errors import StartupError
from runtime.journal.journal import Journal
from runtime.journal.opening import open_journal
from runtime.offline import OfflineRegistry, open_registry
from runtime.state import StateOperations

VALUE_BYTES_MAX: Final = 16 << 20
"""Of one value of a program: the most any limit allows."""


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Client]:
    """A client of the state in `directory`. Raises StartupError: there is none, or it cannot be used now."""
    if not (directory / FILE_NAME).is_file():  # opening would make one: that is not for who wants to look
        raise StartupError(
            f"there is no state directory {shown(str(directory))}: no state of a host is kept there",
            code="state_missing",
        )
    raised: BaseException | None = None
    try:
        async with open_store(directory, sources.SystemClock()) as store:
            journal = await open_journal(store, directory, None)
            front_end = await _front_ends(store, directory)
            async with open_registry(store, directory) as registry, trio.open_nursery() as nursery:
                state = _state(store, directory, nursery, front_end, journal)
                here, there = socket.socketpair()
                nursery.start_soon(serve_one, _answers(state, registry), there)
                async with Client.over(here) as client:
                    try:
                        yield client
                    except BaseException as error:  # out of the nurseries as it is, not in groups
                        raised = error
                nursery.cancel_scope.cancel()
    except StoreError as error:
        raise StartupError(str(error), code=error.code) from error
    except OSError as error:
        raise StartupError(f"the state directory {shown(str(directory))} cannot be used: {error.strerror}") from error
    if raised is not None:
        raise raised


async def _front_ends(store: Store, directory: Path) -> FrontEnds:
    """To end sessions. Where no key was made there is no token to end: nothing is made for who wants to look."""
    key = secrets.token_bytes(KEY_BYTES)
    if is_made(store, KEY_PURPOSE):
        key = await open_key(store, directory, KEY_PURPOSE, lambda: key)
    return FrontEnds(store=store, key=key, new_salt=sources.new_salt)


def _state(
    store: Store, directory: Path, nursery: trio.Nursery, front_end: FrontEnds, journal: Journal | None
) -> StateOperations:
    desk = Desk(
        store=store, clock=store, nursery=nursery, cashier=None, new_id=sources.new_id,
        new_token=lambda: secrets.token_hex(32), installed=authority,
    )  # fmt: skip
    consents = ConsentStore(store=store, new_salt=sources.new_salt)
    Checkout(store=store, desk=desk)
    ConsentPrompts(store=store, desk=desk, consents=consents)
    erasure = Erasure(
        store=store, codec=wire.CanonicalCodec(VALUE_BYTES_MAX), cache=None, journal=journal, new_id=sources.new_id,
        new_salt=sources.new_salt,
    )  # fmt: skip
    return StateOperations(
        store=store, directory=directory, desk=desk, users=EmbeddedDirectory(store=store, new_salt=sources.new_salt),
        consents=consents, notices=Notices(store=store), front_end=front_end, erasure=erasure, journal=journal,
    )  # fmt: skip


def _answers(state: StateOperations, registry: OfflineRegistry) -> Mapping[str, Answer]:
    parts = (
        StateAnswers(state), JournalAnswers(state), ProgramAnswers(registry), DeveloperAnswers(registry.developers),
        ReleaseAnswers(registry.releases),
    )  # fmt: skip
    return {name: answer for part in parts for name, answer in part.all().items()}
