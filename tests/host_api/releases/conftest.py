"""A registry on a store in memory: developers and offers in few words, without bundles."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any, TypeVar

import pytest

from host_api import audit
from host_api.releases import developers, uploads
from host_api.releases.values import Asset, Developer, DeveloperKey, Facts, Given, Offer, Upload
from host_api.store import Store, Transaction, open_store
from runtime.testing import SeededIds, VirtualClock
from tests.host_api.store.plans import Explained, all_by_index

T = TypeVar("T")
APP = "org.example.shop"
NOTHING = Given(grants={}, limits={}, config=b"\x80", payee="Shop")
FACTS = Facts(
    program_name="Shop", reasons={}, notices={}, requested={"storage": {}, "payment": {}}, required=(),
    limits_wanted={}, memory_max_pages=None,
)  # fmt: skip


def offer(
    code: int = 1, app_id: str = APP, *, developer: str = "", key: str = "", wasm: bytes = b"\0asm", **more: Any
) -> Offer:
    fields: dict[str, Any] = {
        "identity": sha256(f"{app_id} {code} {more}".encode()).hexdigest(), "assets": (), "facts": FACTS,
        "report": {"n": code}, **more,
    }  # fmt: skip
    return Offer(
        app_id=app_id, code=code, name=f"{code}.0", developer=developer, signed_by=key,
        module_sha256=sha256(wasm).hexdigest(), wasm=wasm, **fields,
    )  # fmt: skip


def asset(path: str, content: bytes) -> Asset:
    return Asset(path=path, sha256=sha256(content).hexdigest(), content=content)


def key_of(number: int, developer: str, **changes: Any) -> DeveloperKey:
    fields = {
        "key_id": f"{number:032x}", "developer": developer, "public_key": f"ed25519:{number}", "valid_from_us": 0,
        "valid_until_us": 0, "revoked_us": 0, "revoke_reason": "", "rotated_from": "", "created_us": 0, **changes,
    }  # fmt: skip
    return DeveloperKey(**fields)


def by_index(tx: Transaction, job: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Does the job, and looks at the plan of each of its statements: none may grow with the registry."""
    explained = Explained(tx)
    try:
        return job(explained, *arguments, **options)
    finally:
        all_by_index(explained.plans, few="INDEX sqlite_autoindex_releases_1 (app_id=?)")  # KEPT_MAX


class Registry:
    """The store, and what tests do with it: whatever they ask of the registry is asked by an index."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.store, self.clock, self.ids = store, clock, SeededIds(1)

    async def do(self, job: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """A job of host_api/releases, in a transaction of its own, a µs later than the one before."""
        self.clock.advance(us=1)
        return await self.store.write(lambda tx: by_index(tx, job, *arguments, **options))

    def read(self, job: Callable[..., T], *arguments: Any) -> T:
        return self.store.read(lambda tx: by_index(tx, job, *arguments))

    async def developer(self, name: str = "Ann Ltd", *keys: int) -> Developer:
        found = await self.do(developers.sign_up, self.ids(), name)
        for number in keys:
            await self.do(developers.add_key, key_of(number, found.id))
        return found

    async def submit(self, made: Offer, *, per_day: int = 50, pending: int = 10) -> Upload:
        return await self.do(uploads.submit, made, per_day=per_day, pending=pending)

    async def install(self, made: Offer, given: Given = NOTHING, **options: Any) -> None:
        chosen = {"sector": made.app_id, "isolation": None, "new_owner": False, **options}
        await self.do(uploads.install, made, given, **chosen)

    def rows(self, table: str) -> int:
        return int(self.store.read(lambda tx: tx.execute(f"SELECT count(*) FROM {table}"))[0][0])

    def told(self) -> list[dict[str, Any]]:
        """All audit records."""
        return [json.loads(text) for _, text in self.store.read(lambda tx: audit.records_after(tx, 0, 10_000))]


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    clock = VirtualClock()
    async with open_store(None, clock) as store:
        yield Registry(store, clock)
