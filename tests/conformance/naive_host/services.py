"""What a guest may ask for (docs/protocol.md §6, §7) but payments: session, log, assets, who the user is, storage."""

from __future__ import annotations

import base64
import hashlib
import hmac
import mimetypes
from typing import Any

from . import schema
from .call import Call, Later
from .payments import Payments
from .wasi import write_log
from .wire import Refused, canonical, decode

_KEY = b"a key of this host that is thrown away with it"[:32]


class Services:
    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[str, tuple[bytes, int]]] = {}
        """(app id, user; "" for the program's scope) → key → value and version."""
        self.versions = 0
        self.payments = Payments()

    def answer(self, call: Call, method: str, params: dict[str, Any]) -> Any:
        """In the order of §6. Raises Refused."""
        if method not in schema.METHODS:
            raise Refused("unknown_method", f"there is no method {method[:64]!a}")
        self._held(call, schema.METHODS[method]["capability"])
        params = schema.params(method, params)
        own = self.payments if method.startswith("payment.") else self
        function = getattr(own, method.replace(".", "_"), None)
        if function is None:
            raise Refused("unknown_method", f"{method} is not built")
        if "key" in params and method.startswith("storage."):
            self._inside(call, params["key"])
        return function(call, **params)

    @staticmethod
    def _held(call: Call, capability: str | None) -> None:
        if capability is None:
            return
        if capability not in call.program.bundle.permissions:
            raise Refused("capability_undeclared", f"the manifest does not ask for {capability}", capability=capability)
        if (grant := call.program.grants.get(capability)) is None:
            raise Refused("capability_not_granted", f"{capability} is not granted", capability=capability)
        if grant.get("expires_at_us", call.clock.now_us + 1) <= call.clock.now_us:
            raise Refused("grant_expired", f"the grant of {capability} is over", capability=capability)

    @staticmethod
    def _prefixes(call: Call) -> list[list[str]]:
        """Of the manifest and of the grant: a key begins with one of each."""
        both = (call.program.bundle.permissions["storage"], call.program.grants["storage"])
        return [told["keys"] for told in both if "keys" in told]

    def _inside(self, call: Call, key: str) -> None:
        for prefixes in self._prefixes(call):
            if not key.startswith(tuple(prefixes)):
                raise Refused(
                    "grant_constraint", f"keys begin with one of {prefixes}"[:200], constraint="keys", value=prefixes
                )

    # ---- session, log, assets, user ----------------------------------------------------------------------------------
    def session_info(self, call: Call) -> Any:
        manifest, session = call.program.bundle.manifest, call.session
        return {
            "app_id": manifest["app_id"], "release": dict(manifest["version"]), "api_level": 2,
            **{key: session[key] for key in ("locale", "time_zone", "currency", "interactive", "trace_id")},
            "config": call.program.config, "caller": "", "time_ms": call.clock.now_us // 1000,
        }  # fmt: skip

    def session_sleep(self, call: Call, ms: int) -> Any:
        return Later(call.clock.now_us + ms * 1000, {})

    def log_write(self, call: Call, level: str, message: str) -> Any:
        write_log(call, level, message)
        return {}

    def asset_read(self, call: Call, path: str, offset: int, length: int) -> Any:
        data = call.program.bundle.members.get(path)
        if data is None or path in ("manifest.json", call.program.bundle.manifest["program"].get("module")):
            raise Refused("not_found", "there is no such asset")
        return {"data": data[offset : offset + length], "size": len(data), "media_type": mimetypes.guess_type(path)[0]}

    def user_login(self, call: Call) -> Any:
        if not (user := call.session["user"].encode()):
            raise Refused("invalid_params", "nobody is logged in")
        sector = call.program.app_id.encode()
        parts = b"".join(len(part).to_bytes(4, "big") + part for part in (sector, user))
        digest = hmac.digest(_KEY, b"hostel pairwise id 1\0" + parts, hashlib.sha256)
        return {"id": base64.b32encode(digest).decode().lower()[:26]}

    # ---- storage -----------------------------------------------------------------------------------------------------
    def _scope(self, call: Call, scope: str) -> dict[str, tuple[bytes, int]]:
        user = call.session["user"]
        if scope == "user" and not user:
            raise Refused("invalid_params", "scope: user needs a user", parameter="scope")
        return self.stored.setdefault((call.program.app_id, user if scope == "user" else ""), {})

    @staticmethod
    def _at_version(held: dict[str, tuple[bytes, int]], key: str, version: int | None) -> None:
        now = held[key][1] if key in held else 0
        if version is not None and version != now:
            raise Refused("version_conflict", f"the version is {now}", version=now)

    def storage_get(self, call: Call, key: str, scope: str) -> Any:
        data, version = self._scope(call, scope).get(key, (b"\xc0", 0))
        return {"found": version > 0, "value": decode(data), "version": version}

    def storage_put(self, call: Call, key: str, value: Any, scope: str, if_version: int | None) -> Any:
        held = self._scope(call, scope)
        self._at_version(held, key, if_version)
        self.versions += 1
        before = self._bytes(held)
        held[key] = (canonical(value), self.versions)
        call.usage["storage_delta_bytes"] += self._bytes(held) - before
        return {"version": self.versions}

    def storage_delete(self, call: Call, key: str, scope: str, if_version: int | None) -> Any:
        held = self._scope(call, scope)
        self._at_version(held, key, if_version)
        before = self._bytes(held)
        is_there = held.pop(key, None) is not None
        call.usage["storage_delta_bytes"] += self._bytes(held) - before
        return {"deleted": is_there}

    def storage_list(self, call: Call, prefix: str, scope: str, after: str, limit: int) -> Any:
        self._inside(call, prefix)
        held = self._scope(call, scope)
        keys = sorted((key for key in held if key.startswith(prefix) and key.encode() > after.encode()), key=str.encode)
        told = [{"key": key, "bytes": len(key.encode()) + len(held[key][0]), "version": held[key][1]} for key in keys]
        return {"keys": told[:limit], "more": len(told) > limit}

    def storage_usage(self, call: Call, scope: str) -> Any:
        held = self._scope(call, scope)
        return {"bytes": self._bytes(held), "bytes_max": call.limits["storage_bytes"],
                "keys": len(held), "keys_max": call.limits["storage_keys"]}  # fmt: skip

    @staticmethod
    def _bytes(held: dict[str, tuple[bytes, int]]) -> int:
        return sum(len(key.encode()) + len(data) for key, (data, _) in held.items())
