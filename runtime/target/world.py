"""What a case says of the host it is played on: settings, trusted keys, the time it is, names that are looked up.

What lives here: from a case's JSON to the values a host is opened with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import trio

from host_api.http.access import HttpAccess
from host_api.services import Outside
from runtime.bundle import Keyring, PublicKey, TrustedKey
from runtime.daemon.config import Config, of_sections
from runtime.faults import Fault, Faults, Kind


def config(case: Mapping[str, Any], artifacts: Path) -> Config:
    """The case's settings; unsigned bundles are taken where it says nothing of them. `artifacts`: where what was
    compiled is kept for the cases after it. Raises ConfigRefused."""
    read = of_sections(case["settings"], "the case's settings")
    host = replace(
        read.host, cache_dir=read.host.cache_dir or artifacts,
        allow_unsigned=case["settings"].get("host", {}).get("allow_unsigned", True),
    )  # fmt: skip
    return replace(read, host=host)


def keyring(case: Mapping[str, Any]) -> Keyring:
    """The keys that it has the host trust."""
    return Keyring(
        TrustedKey(
            public_key=PublicKey.from_text(key["public_key"]), revoked=key.get("revoked", False),
            not_before_us=_us(key["not_before"]) if "not_before" in key else None,
            not_after_us=_us(key["not_after"]) if "not_after" in key else None,
        )
        for key in case.get("keyring", ())
    )  # fmt: skip


def outside(case: Mapping[str, Any]) -> Outside | None:
    """Names, and answers that are lost, as it says; None where it says nothing."""
    if not {"names", "lost"} & case.keys():
        return None
    faults = Faults()
    for method in case.get("lost", ()):
        faults.add(Fault(kind=Kind.UNKNOWN_OUTCOME, method=method))
    http = HttpAccess(resolver=_Names(case["names"])) if "names" in case else None
    return Outside(http=http, faults=faults if "lost" in case else None)


def begins_us(case: Mapping[str, Any]) -> int:
    """Microseconds since 1970."""
    return _us(case["clock"])


class _Names:
    """A resolver that knows the names of a case; a look-up of one with null never ends."""

    def __init__(self, known: Mapping[str, list[str] | None]) -> None:
        self._known = known

    async def __call__(self, host: str, *, app_id: str) -> list[str]:
        if host not in self._known:
            raise OSError("no such name")
        addresses = self._known[host]
        if addresses is None:
            await trio.sleep_forever()
        return addresses


def _us(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp()) * 1_000_000
