"""A developer who sends nothing but refuse: each piece is an upload of their day, so that the work is bounded."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from host_api.errors import ApiError, ErrorCode
from runtime.bundle import sign
from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.errors import HostelError
from runtime.refused_uploads import DAY_US, RefusedUploads
from tests.runtime.daemon.test_serve import served, tell
from tests.runtime.ladder import ANN, BOB, packed


def refuse() -> list[tuple[Callable[[], bytes], str]]:
    """One of each kind, and what it is refused with."""
    return [
        (lambda: b"no bundle", "bundle_invalid"),
        (lambda: packed(1), "unsigned_bundle"),
        (lambda: sign(packed(1), BOB), "key_unknown"),
    ]


async def test_refused_uploads_are_uploads_of_the_day(tmp_path: Path) -> None:
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            ann = await client.developers.sign_up("Ann")
            await client.developers.add_key(ann.id, str(ANN.public_key))
            await client.developers.set_limits(ann.id, {"uploads_per_day": 5})
            await client.releases.upload("Ann", sign(packed(1), ANN))
            for made, code in refuse():
                with pytest.raises(HostelError) as refused:
                    await client.releases.upload("Ann", made())
                assert refused.value.code == code
            await client.releases.upload("Ann", sign(packed(2), ANN))
            compiled = host.compiled()
            with pytest.raises(HostelError) as refused:
                await client.releases.upload("Ann", sign(packed(3, "another"), ANN))
            assert refused.value.code == "uploads_per_day"
            assert refused.value.details == {"limit": "uploads_per_day", "value": 5, "used": 5, "scope": "developer"}
            assert host.compiled() == compiled
            assert (await client.releases.upload("Ann", sign(packed(2), ANN))).code == 2  # there already
            await client.developers.set_limits(ann.id, {"uploads_per_day": 6})
            await client.releases.upload("Ann", sign(packed(3, "another"), ANN))
        tell(signal.SIGTERM)


async def test_after_a_day_of_refuse_no_bundle_is_looked_at_and_another_developer_is_not_meant(tmp_path: Path) -> None:
    async with served(tmp_path, control_door):
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            for name, key in (("Ann", ANN), ("Bob", BOB)):
                developer = await client.developers.sign_up(name)
                await client.developers.add_key(developer.id, str(key.public_key))
                await client.developers.set_limits(developer.id, {"uploads_per_day": 2})
            codes = []
            for _ in range(3):
                with pytest.raises(HostelError) as refused:
                    await client.releases.upload("Ann", b"no bundle")
                codes.append(refused.value.code)
            assert codes == ["bundle_invalid", "bundle_invalid", "uploads_per_day"]
            await client.releases.upload("Bob", sign(packed(1), BOB))
        tell(signal.SIGTERM)


async def test_what_the_disk_refuses_is_not_the_developers_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            ann = await client.developers.sign_up("Ann")
            await client.developers.add_key(ann.id, str(ANN.public_key))
            await client.developers.set_limits(ann.id, {"uploads_per_day": 1})
            with monkeypatch.context() as full:

                async def refused(job: object) -> object:
                    raise ApiError(ErrorCode.BUSY, "the disk refused")

                full.setattr(host._store, "write", refused)
                with pytest.raises(ApiError):
                    await client.releases.upload("Ann", sign(packed(1), ANN))
            await client.releases.upload("Ann", sign(packed(1), ANN))
        tell(signal.SIGTERM)


def test_a_refusal_is_forgotten_after_a_day() -> None:
    lately = RefusedUploads()
    for at in (0, 10, 20):
        lately.note("ann", at, 2)
    assert lately.count("ann", 20) == 2
    assert (lately.count("ann", DAY_US + 9), lately.count("ann", DAY_US + 10)) == (2, 1)
    assert (lately.count("ann", DAY_US + 20), lately.count("bob", 0)) == (0, 0)
