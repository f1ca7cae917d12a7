"""storage.*: a program's own keys and values, for one user or for all.

What lives here: the service and its rules; the methods are declared in storage_methods.py. Quotas are counted in the
transaction of the write, so they hold exactly however many calls write at once; what a scope uses is its row of
`storage_usage`, changed with every value.

Reads answer at once, `storage.get` from a bounded cache over `Store.read`. Why that never shows what is no longer so:
- all reads, and all changes of the cache, are made in the one trio thread, and a read with its filling of the cache has
  no checkpoint in between;
- whatever may have changed a key drops it from the cache (it does not overwrite it) before the writer is answered, with
  no checkpoint between the store's answer and that. So who knows of a write reads it; who does not know of it yet may
  see the value before it, as if it had read a moment earlier;
- `Store.read` shows everything committed, so a key that went to its new value, read past the cache, never goes back;
- a write whose outcome is unknown may still be committed later, when nobody drops the key: then the cache is stopped.
One host has the state directory to itself, so there is no writer but these, and erasures, which say so (`forget`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from host_api.contract import Bound, Codec, Session
from host_api.errors import ApiError, ErrorCode
from host_api.read_cache import ReadCache
from host_api.storage_methods import (
    CAPABILITY,
    DELETE,
    GET,
    KEY_BYTES_MAX,
    LIST,
    PUT,
    USAGE,
    DeleteParams,
    DeleteResult,
    GetParams,
    GetResult,
    ListedKey,
    ListParams,
    ListResult,
    PutParams,
    PutResult,
    Scope,
    UsageParams,
    UsageResult,
)
from host_api.store.protocol import Store, Transaction

T = TypeVar("T")

CACHE_BYTES = 4 << 20
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

_ABSENT = GetResult(found=False, value=None, version=0)


class StorageService:
    """Answers storage.*. `codec` gives the bytes a value is stored and counted as."""

    def __init__(self, *, store: Store, codec: Codec, cache_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._encode = codec.encode
        self._cache: ReadCache[GetResult] = ReadCache(bytes_max=cache_bytes)

    def bound(self) -> tuple[Bound, ...]:
        return (
            Bound(GET, self.get),
            Bound(PUT, self.put),
            Bound(DELETE, self.delete),
            Bound(LIST, self.list),
            Bound(USAGE, self.usage),
        )

    # -- at once
    def get(self, session: Session, params: GetParams) -> GetResult:
        key = params.key
        place = (session.app_id, _scope_user(session, params.scope), key)
        _allow(session, key, "key")
        kept = self._cache.get(place)  # only keys that are well-formed get into it
        if kept is not None:
            return kept
        _well_formed(key, "key")
        rows = self._store.read(lambda tx: tx.execute(_SELECT_VALUE, place))
        if not rows:
            self._cache.keep(place, _ABSENT, len(key))
            return _ABSENT
        value, version = rows[0]
        found = GetResult(found=True, value=msgspec.Raw(value), version=version)  # goes out as the bytes it is
        self._cache.keep(place, found, len(key) + len(value))
        return found

    def list(self, session: Session, params: ListParams) -> ListResult:
        place = (session.app_id, _scope_user(session, params.scope))
        _allow(session, params.prefix, "prefix")
        _well_formed(params.prefix, "prefix")
        _well_formed(params.after, "after")
        rows = self._store.read(
            lambda tx: tx.execute(_SELECT_KEYS, (*place, params.prefix, params.after, params.limit + 1))
        )
        # In order and from the prefix on: those that begin with it come first.
        found = [
            ListedKey(key=key, bytes=size, version=version)
            for key, size, version in rows
            if key.startswith(params.prefix)
        ]
        return ListResult(keys=found[: params.limit], more=len(found) > params.limit)

    def usage(self, session: Session, params: UsageParams) -> UsageResult:
        place = (session.app_id, _scope_user(session, params.scope))
        used_bytes, used_keys, _ = self._store.read(lambda tx: _used(tx, *place))
        limits = session.limits
        return UsageResult(
            bytes=used_bytes, bytes_max=limits.storage_bytes, keys=used_keys, keys_max=limits.storage_keys
        )

    # -- after a commit
    async def put(self, session: Session, params: PutParams) -> PutResult:
        key, limits = params.key, session.limits
        place = (session.app_id, _scope_user(session, params.scope), key)
        _allow(session, key, "key")
        _well_formed(key, "key")
        value = self._encode(params.value)
        if len(value) > limits.storage_value_bytes:
            raise _over("storage_value_bytes", limits.storage_value_bytes, len(value), "bytes", "one value")
        size = len(key.encode()) + len(value)

        def job(tx: Transaction) -> tuple[int, int]:
            app_id, user, _ = place
            had = _current(tx, place, params.if_version)
            used_bytes, used_keys, last_version = _used(tx, app_id, user)
            added_bytes, added_keys = size - (had[1] if had else 0), 0 if had else 1
            _within("storage_bytes", limits.storage_bytes, used_bytes, added_bytes, "bytes")
            _within("storage_keys", limits.storage_keys, used_keys, added_keys, "keys")
            version = last_version + 1
            tx.execute(_UPSERT_VALUE, (*place, value, version, size))
            tx.execute(_UPSERT_USAGE, (app_id, user, used_bytes + added_bytes, used_keys + added_keys, version))
            return version, added_bytes

        version, added = await self._write(place, job)
        session.usage.storage_delta_bytes += added
        return PutResult(version=version)

    async def delete(self, session: Session, params: DeleteParams) -> DeleteResult:
        place = (session.app_id, _scope_user(session, params.scope), params.key)
        _allow(session, params.key, "key")
        _well_formed(params.key, "key")

        def job(tx: Transaction) -> int:
            app_id, user, _ = place
            had = _current(tx, place, params.if_version)
            if had is None:
                return 0
            used_bytes, used_keys, last_version = _used(tx, app_id, user)
            tx.execute(_DELETE_VALUE, place)
            tx.execute(_UPSERT_USAGE, (app_id, user, used_bytes - had[1], used_keys - 1, last_version))
            return had[1]

        freed = await self._write(place, job)
        session.usage.storage_delta_bytes -= freed
        return DeleteResult(deleted=freed > 0)

    # -- for an erasure, which changes values past this service
    def forget(self, *, app_id: str | None = None, user: str | None = None) -> None:
        """Drop what is cached of a program, or of a user: after the commit, and before anybody is told of it."""
        self._cache.drop_if(
            lambda place: isinstance(place, tuple) and (app_id in (None, place[0])) and (user in (None, place[1]))
        )

    def stop_caching(self) -> None:
        """Nobody knows what was committed."""
        self._cache.stop()

    async def _write(self, place: tuple[str, str, str], job: Callable[[Transaction], T]) -> T:
        try:
            return await self._store.write(job)
        except ApiError as error:
            if error.code is ErrorCode.UNKNOWN_OUTCOME:
                self._cache.stop()
            raise
        finally:
            self._cache.drop(place)


# ---- rules -----------------------------------------------------------------------------------------------------------
def _scope_user(session: Session, scope: Scope) -> str:
    """What stands in `scope_user`: '' for the program's own scope, and only for that."""
    if scope == "program":
        return ""
    if not session.user:
        raise _invalid("scope", 'this call acts for no user: use "scope": "program", or call the program for a user')
    return session.user


def _allow(session: Session, key: str, what: str) -> None:
    prefixes = session.authority.constraints(CAPABILITY).keys
    if prefixes is not None and not key.startswith(prefixes):
        raise ApiError(
            ErrorCode.GRANT_CONSTRAINT,
            f"the {what} must begin with one of the prefixes the operator granted",
            details={"constraint": "keys", "value": list(prefixes)},
        )


def _well_formed(key: str, what: str) -> None:
    if len(key.encode()) > KEY_BYTES_MAX:
        raise _invalid(what, f"the {what} is longer than {KEY_BYTES_MAX} bytes")
    if _CONTROL.search(key):
        raise _invalid(what, f"the {what} has a control character")


def _invalid(what: str, problem: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_PARAMS, problem, details={"path": f"$.{what}", "problem": problem})


def _within(limit: str, most: int, used: int, added: int, unit: str) -> None:
    """A change that adds nothing is let through even where the limit was lowered below what is kept."""
    if added > 0 and used + added > most:
        raise _over(limit, most, used + added, unit, "the scope's storage")


def _over(limit: str, most: int, used: int, unit: str, what: str) -> ApiError:
    return ApiError(
        ErrorCode.QUOTA_EXCEEDED,
        f"{what} would be {used} {unit}, over {limit} = {most}: {ErrorCode.QUOTA_EXCEEDED.cure}",
        details={"limit": limit, "value": most, "used": used, "unit": unit},
    )


# ---- statements ------------------------------------------------------------------------------------------------------
_SELECT_VALUE = "SELECT value, version FROM storage_values WHERE app_id = ? AND scope_user = ? AND key = ?"
_SELECT_VERSION = "SELECT version, bytes FROM storage_values WHERE app_id = ? AND scope_user = ? AND key = ?"
_SELECT_KEYS = (
    "SELECT key, bytes, version FROM storage_values"
    " WHERE app_id = ? AND scope_user = ? AND key >= ? AND key > ? ORDER BY key LIMIT ?"
)
_SELECT_USAGE = "SELECT bytes, keys, last_version FROM storage_usage WHERE app_id = ? AND scope_user = ?"
_UPSERT_VALUE = (
    "INSERT INTO storage_values (app_id, scope_user, key, value, version, bytes) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (app_id, scope_user, key)"
    " DO UPDATE SET value = excluded.value, version = excluded.version, bytes = excluded.bytes"
)
_UPSERT_USAGE = (
    "INSERT INTO storage_usage (app_id, scope_user, bytes, keys, last_version) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (app_id, scope_user)"
    " DO UPDATE SET bytes = excluded.bytes, keys = excluded.keys, last_version = excluded.last_version"
)
_DELETE_VALUE = "DELETE FROM storage_values WHERE app_id = ? AND scope_user = ? AND key = ?"


def _current(tx: Transaction, place: tuple[str, str, str], if_version: int | None) -> tuple[int, int] | None:
    """(version, bytes) of the key as it is; raises VERSION_CONFLICT if it is not at `if_version`."""
    rows = tx.execute(_SELECT_VERSION, place)
    version = rows[0][0] if rows else 0
    if if_version is not None and if_version != version:
        raise ApiError(
            ErrorCode.VERSION_CONFLICT,
            f"the key is at version {version}, not {if_version}: {ErrorCode.VERSION_CONFLICT.cure}",
            details={"version": version},
        )
    return (rows[0][0], rows[0][1]) if rows else None


def _used(tx: Transaction, app_id: str, user: str) -> tuple[int, int, int]:
    """(bytes, keys, last version) of a scope."""
    rows = tx.execute(_SELECT_USAGE, (app_id, user))
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else (0, 0, 0)
