"""Parts of a client for the registry: developers and their releases, as a host has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from host_api.releases.values import Developer, DeveloperKey, ProgramStatus, Status, Upload
from runtime.bundle import Bundle
from runtime.client.link import Link
from runtime.control import developers, releases
from runtime.control.method import ControlMethod
from runtime.control.programs import OneProgram, ProgramTold

Params = Mapping[str, Any]
Grant = Collection[str] | Mapping[str, Params]


def grant_map(grant: Grant) -> list[str] | dict[str, dict[str, Any]]:
    """As the wire has it."""
    if isinstance(grant, Mapping):
        return {name: dict(constraints) for name, constraints in grant.items()}
    return list(grant)


class Developers:
    """See `runtime.developers.Developers`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def sign_up(self, name: str) -> Developer:
        """See `Host.developers`, as all of these."""
        return (await self._link.request(developers.SIGN_UP, developers.SignUp(name=name))).developer

    async def get(self, developer: str) -> Developer:
        return (await self._link.request(developers.GET, developers.OneDeveloper(developer=developer))).developer

    async def set_trust(self, developer: str, trust: str) -> Developer:
        asked = developers.SetTrust(developer=developer, trust=trust)
        return (await self._link.request(developers.SET_TRUST, asked)).developer

    async def set_limits(self, developer: str, limits: Mapping[str, int]) -> Developer:
        asked = developers.SetDeveloperLimits(developer=developer, limits=dict(limits))
        return (await self._link.request(developers.SET_LIMITS, asked)).developer

    async def keys(self, developer: str) -> Sequence[DeveloperKey]:
        return (await self._link.request(developers.KEYS, developers.OneDeveloper(developer=developer))).keys

    async def add_key(
        self, developer: str, public_key: str, valid_from_us: int | None = None, valid_until_us: int | None = None
    ) -> DeveloperKey:
        asked = developers.AddKey(
            developer=developer, public_key=public_key, valid_from_us=valid_from_us, valid_until_us=valid_until_us
        )
        return (await self._link.request(developers.ADD_KEY, asked)).key

    async def rotate_key(
        self, developer: str, old_key_id: str, new_public_key: str, signature_by_old: bytes, signature_by_new: bytes,
        valid_until_us: int | None = None,
    ) -> DeveloperKey:  # fmt: skip
        asked = developers.RotateKey(
            developer=developer, old_key_id=old_key_id, new_public_key=new_public_key,
            signature_by_old=signature_by_old, signature_by_new=signature_by_new, valid_until_us=valid_until_us,
        )  # fmt: skip
        return (await self._link.request(developers.ROTATE_KEY, asked)).key

    async def revoke_key(self, key_id: str, reason: str) -> DeveloperKey:
        return (await self._link.request(developers.REVOKE_KEY, developers.RevokeKey(key_id=key_id, reason=reason))).key

    async def installed_by_key(
        self, key_id: str, after: tuple[str, int] = ("", 0), limit: int = 100
    ) -> Sequence[tuple[str, int, Status]]:
        asked = developers.InstalledByKey(key_id=key_id, after=after, limit=limit)
        told = await self._link.request(developers.INSTALLED_BY_KEY, asked)
        return [(each.app_id, each.code, each.status) for each in told.releases]

    async def list(self, after: str = "", limit: int = 100) -> Sequence[Developer]:
        asked = developers.DevelopersAfter(after=after, limit=limit)
        return (await self._link.request(developers.LIST, asked)).developers


class Releases:
    """See `runtime.releases.Releases`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    # ---- one release -------------------------------------------------------------------------------------------------
    async def upload(self, developer: str, bundle: Bundle | bytes) -> Upload:
        """See `Host.releases`, as all of these."""
        data = bundle if isinstance(bundle, bytes) else bundle.data
        return (
            await self._link.request(releases.UPLOAD, releases.UploadBundle(developer=developer, bundle=data))
        ).upload

    async def submitted(self, limit: int = 100) -> Sequence[Upload]:
        return (await self._link.request(releases.SUBMITTED, releases.Submitted(limit=limit))).uploads

    async def show(self, app_id: str, code: int) -> Upload:
        return (await self._link.request(releases.SHOW, releases.OneRelease(app_id=app_id, code=code))).upload

    async def approve(
        self, app_id: str, code: int, *, grant: Grant = (), limits: Mapping[str, int] | None = None,
        config: Params | None = None, payee: str | None = None, note: str = "", isolation: str | None = None,
    ) -> Upload:  # fmt: skip
        asked = releases.Approve(
            app_id=app_id, code=code, grant=grant_map(grant), limits=None if limits is None else dict(limits),
            config=None if config is None else dict(config), payee=payee, note=note, isolation=isolation,
        )  # fmt: skip
        return (await self._link.request(releases.APPROVE, asked)).upload

    async def reject(self, app_id: str, code: int, reason: str) -> Upload:
        asked = releases.Reject(app_id=app_id, code=code, reason=reason)
        return (await self._link.request(releases.REJECT, asked)).upload

    async def trial(self, app_id: str, code: int, users: Collection[str]) -> Upload:
        asked = releases.Trial(app_id=app_id, code=code, users=list(users))
        return (await self._link.request(releases.TRIAL, asked)).upload

    async def gray(self, app_id: str, code: int, share: int) -> Upload:
        asked = releases.Gray(app_id=app_id, code=code, share=share)
        return (await self._link.request(releases.GRAY, asked)).upload

    async def full(self, app_id: str, code: int) -> Upload:
        return (await self._link.request(releases.FULL, releases.OneRelease(app_id=app_id, code=code))).upload

    # ---- the program -------------------------------------------------------------------------------------------------
    async def offline(self, app_id: str) -> ProgramStatus:
        return await self._of(releases.OFFLINE, app_id)

    async def rollback(self, app_id: str) -> ProgramStatus:
        return await self._of(releases.ROLLBACK, app_id)

    async def revive(self, app_id: str) -> ProgramStatus:
        return await self._of(releases.REVIVE, app_id)

    async def _of(self, method: ControlMethod[OneProgram, ProgramTold], app_id: str) -> ProgramStatus:
        return (await self._link.request(method, OneProgram(app_id=app_id))).program

    async def set_minimum(self, app_id: str, code: int) -> ProgramStatus:
        asked = releases.OneRelease(app_id=app_id, code=code)
        return (await self._link.request(releases.SET_MINIMUM, asked)).program

    async def kill(self, app_id: str, reason: str) -> ProgramStatus:
        asked = releases.StopProgram(app_id=app_id, reason=reason)
        return (await self._link.request(releases.KILL, asked)).program

    async def quarantine(self, app_id: str, reason: str) -> ProgramStatus:
        asked = releases.StopProgram(app_id=app_id, reason=reason)
        return (await self._link.request(releases.QUARANTINE, asked)).program

    async def list(self, app_id: str, after: int = 0, limit: int = 100) -> Sequence[Upload]:
        asked = releases.ReleasesOf(app_id=app_id, after=after, limit=limit)
        return (await self._link.request(releases.LIST, asked)).uploads
