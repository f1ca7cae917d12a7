"""A developer who sends nothing but refuse: each piece is an upload of their day, so that the work is bounded; and of
what is too many nothing is looked at."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from host_api.errors import ApiError, ErrorCode
from runtime import releases
from runtime.bundle import Bundle, sign
from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.errors import HostBusy, HostClosed, HostelError, UsageError
from tests.runtime.daemon.test_serve import served, tell
from tests.runtime.ladder import ANN, BOB, packed


async def ann_with(client: Client, uploads_per_day: int) -> str:
    """Ann, who has a key and so many uploads a day. Gives her id."""
    ann = await client.developers.sign_up("Ann")
    await client.developers.add_key(ann.id, str(ANN.public_key))
    await client.developers.set_limits(ann.id, {"uploads_per_day": uploads_per_day})
    return ann.id


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
            ann = await ann_with(client, 5)
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
            await client.developers.set_limits(ann, {"uploads_per_day": 6})
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
            await ann_with(client, 1)
            with monkeypatch.context() as full:

                async def refused(job: object) -> object:
                    raise ApiError(ErrorCode.BUSY, "the disk refused")

                full.setattr(host._store, "write", refused)
                with pytest.raises(ApiError):
                    await client.releases.upload("Ann", sign(packed(1), ANN))
            await client.releases.upload("Ann", sign(packed(1), ANN))
        tell(signal.SIGTERM)


@pytest.mark.parametrize(
    ("where", "refusal"),
    [("take", HostBusy("many compile")), ("take", HostClosed("closing")), ("change", ApiError(ErrorCode.BUSY, "disk"))],
    ids=["busy", "closing", "disk"],
)
async def test_what_the_host_has_no_room_for_is_not_the_developers_doing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, refusal: Exception
) -> None:
    """Found out after the bundle was looked at."""
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await ann_with(client, 1)
            with monkeypatch.context() as full:

                async def refuse(*_: object) -> object:
                    raise refusal

                full.setattr(host.releases._code if where == "take" else host.releases._changes, where, refuse)
                with pytest.raises(type(refusal)):
                    await client.releases.upload("Ann", sign(packed(1), ANN))
            await client.releases.upload("Ann", sign(packed(1), ANN))
        tell(signal.SIGTERM)


async def test_of_what_is_too_many_nothing_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a bundle that is in order: unpacking 16 MiB is work. What was taken is known again without a look."""
    real, read = Bundle.from_bytes, list[bytes]()
    first, second = (sign(packed(code), ANN) for code in (1, 2))

    def from_bytes(data: bytes) -> Bundle:
        read.append(data)
        return real(data)

    async with served(tmp_path, control_door):
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            ann = await client.developers.sign_up("Ann")
            await client.developers.add_key(ann.id, str(ANN.public_key))
            taken = await client.releases.upload("Ann", first)
            monkeypatch.setattr(Bundle, "from_bytes", from_bytes)
            for limit in ("uploads_pending", "uploads_per_day"):
                await client.developers.set_limits(ann.id, {limit: 1})
                with pytest.raises(UsageError) as refused:
                    await client.releases.upload("Ann", second)
                assert refused.value.code == limit
                assert await client.releases.upload("Ann", first) == taken
                assert read == []
            await client.developers.set_limits(ann.id, {"uploads_per_day": 2})
            await client.releases.upload("Ann", second)
            assert read == [second]
        tell(signal.SIGTERM)


async def test_one_bundle_of_a_developers_is_looked_at_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or as many as may be outstanding would be unpacked before the first of them is counted."""
    going, goes_on = trio.Event(), trio.Event()

    async def read_bundle(data: bytes) -> Bundle:
        going.set()
        await goes_on.wait()
        return Bundle.from_bytes(data)

    monkeypatch.setattr(releases, "read_bundle", read_bundle)
    async with served(tmp_path, control_door):
        path = tmp_path / "state" / "hostel.sock"
        async with Client.connect(path) as client, Client.connect(path) as other, trio.open_nursery() as nursery:
            for name, key in (("Ann", ANN), ("Bob", BOB)):
                developer = await client.developers.sign_up(name)
                await client.developers.add_key(developer.id, str(key.public_key))
            nursery.start_soon(client.releases.upload, "Ann", sign(packed(1), ANN))
            await going.wait()
            with pytest.raises(HostBusy, match="one after the other"):
                await other.releases.upload("Ann", sign(packed(2), ANN))
            nursery.start_soon(other.releases.upload, "Bob", sign(packed(1, app_id="org.example.bob"), BOB))
            goes_on.set()
        tell(signal.SIGTERM)


async def test_what_was_refused_or_given_up_is_counted_by_the_next_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state" / "hostel.sock"
    async with served(tmp_path, control_door):
        async with Client.connect(path) as client:
            await ann_with(client, 2)
            with pytest.raises(HostelError):
                await client.releases.upload("Ann", b"no bundle")
            with monkeypatch.context() as slow, trio.CancelScope() as scope:

                async def read_bundle(_: bytes) -> Bundle:
                    scope.cancel()
                    await trio.sleep_forever()
                    raise AssertionError

                slow.setattr(releases, "read_bundle", read_bundle)
                await client.releases.upload("Ann", sign(packed(1), ANN))
            assert scope.cancelled_caught
        tell(signal.SIGTERM)
    async with served(tmp_path, control_door):
        async with Client.connect(path) as client:
            with pytest.raises(UsageError) as refused:
                await client.releases.upload("Ann", sign(packed(1), ANN))
            assert (refused.value.code, refused.value.details["used"]) == ("uploads_per_day", 2)
        tell(signal.SIGTERM)
