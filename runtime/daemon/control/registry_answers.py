"""What answers the methods for programs, developers and releases: for a host, or a state that none runs on."""

from __future__ import annotations

from collections.abc import Mapping

from host_api.releases.values import Upload
from runtime.control import developers, programs, releases
from runtime.control.method import Done
from runtime.control.programs import OneProgram, ProgramTold
from runtime.daemon.control.answers import Answer, by_name
from runtime.developers import Developers
from runtime.program_operations import ProgramOperations
from runtime.releases import Releases


class DeveloperAnswers:
    """For the developers of one host."""

    def __init__(self, its: Developers) -> None:
        self._its = its

    def all(self) -> Mapping[str, Answer]:
        return by_name(
            Answer(developers.SIGN_UP, self.sign_up),
            Answer(developers.GET, self.get),
            Answer(developers.LIST, self.list_),
            Answer(developers.SET_TRUST, self.set_trust),
            Answer(developers.SET_LIMITS, self.set_limits),
            Answer(developers.KEYS, self.keys),
            Answer(developers.ADD_KEY, self.add_key),
            Answer(developers.ROTATE_KEY, self.rotate_key),
            Answer(developers.REVOKE_KEY, self.revoke_key),
            Answer(developers.INSTALLED_BY_KEY, self.installed_by_key),
        )

    async def sign_up(self, asked: developers.SignUp) -> developers.DeveloperTold:
        return developers.DeveloperTold(developer=await self._its.sign_up(asked.name))

    def get(self, asked: developers.OneDeveloper) -> developers.DeveloperTold:
        return developers.DeveloperTold(developer=self._its.get(asked.developer))

    def list_(self, asked: developers.DevelopersAfter) -> developers.DevelopersTold:
        return developers.DevelopersTold(developers=tuple(self._its.list(asked.after, asked.limit)))

    async def set_trust(self, asked: developers.SetTrust) -> developers.DeveloperTold:
        return developers.DeveloperTold(developer=await self._its.set_trust(asked.developer, asked.trust))

    async def set_limits(self, asked: developers.SetDeveloperLimits) -> developers.DeveloperTold:
        return developers.DeveloperTold(developer=await self._its.set_limits(asked.developer, asked.limits))

    def keys(self, asked: developers.OneDeveloper) -> developers.KeysTold:
        return developers.KeysTold(keys=tuple(self._its.keys(asked.developer)))

    async def add_key(self, asked: developers.AddKey) -> developers.KeyTold:
        key = await self._its.add_key(asked.developer, asked.public_key, asked.valid_from_us, asked.valid_until_us)
        return developers.KeyTold(key=key)

    async def rotate_key(self, asked: developers.RotateKey) -> developers.KeyTold:
        key = await self._its.rotate_key(
            asked.developer, asked.old_key_id, asked.new_public_key, asked.signature_by_old, asked.signature_by_new,
            asked.valid_until_us,
        )  # fmt: skip
        return developers.KeyTold(key=key)

    async def revoke_key(self, asked: developers.RevokeKey) -> developers.KeyTold:
        return developers.KeyTold(key=await self._its.revoke_key(asked.key_id, asked.reason))

    def installed_by_key(self, asked: developers.InstalledByKey) -> developers.InstalledTold:
        found = self._its.installed_by_key(asked.key_id, asked.after, asked.limit)
        return developers.InstalledTold(
            releases=tuple(
                developers.SignedRelease(app_id=app_id, code=code, status=status) for app_id, code, status in found
            )
        )


class ReleaseAnswers:
    """For the releases of one host."""

    def __init__(self, its: Releases) -> None:
        self._its = its

    def all(self) -> Mapping[str, Answer]:
        return by_name(
            Answer(releases.UPLOAD, self.upload),
            Answer(releases.LIST, self.list_),
            Answer(releases.SUBMITTED, self.submitted),
            Answer(releases.SHOW, self.show),
            Answer(releases.APPROVE, self.approve),
            Answer(releases.REJECT, self.reject),
            Answer(releases.TRIAL, self.trial),
            Answer(releases.GRAY, self.gray),
            Answer(releases.FULL, self.full),
            Answer(releases.OFFLINE, self.offline),
            Answer(releases.ROLLBACK, self.rollback),
            Answer(releases.SET_MINIMUM, self.set_minimum),
            Answer(releases.KILL, self.kill),
            Answer(releases.QUARANTINE, self.quarantine),
            Answer(releases.REVIVE, self.revive),
        )

    # ---- one release -------------------------------------------------------------------------------------------------
    async def upload(self, asked: releases.UploadBundle) -> releases.UploadTold:
        return _told(await self._its.upload(asked.developer, asked.bundle))

    def list_(self, asked: releases.ReleasesOf) -> releases.UploadsTold:
        return releases.UploadsTold(uploads=tuple(self._its.list(asked.app_id, asked.after, asked.limit)))

    def submitted(self, asked: releases.Submitted) -> releases.UploadsTold:
        return releases.UploadsTold(uploads=tuple(self._its.submitted(asked.limit)))

    def show(self, asked: releases.OneRelease) -> releases.UploadTold:
        return _told(self._its.show(asked.app_id, asked.code))

    async def approve(self, asked: releases.Approve) -> releases.UploadTold:
        upload = await self._its.approve(
            asked.app_id, asked.code, grant=asked.grant, limits=asked.limits, config=asked.config, payee=asked.payee,
            note=asked.note, isolation=asked.isolation,
        )  # fmt: skip
        return _told(upload)

    async def reject(self, asked: releases.Reject) -> releases.UploadTold:
        return _told(await self._its.reject(asked.app_id, asked.code, asked.reason))

    async def trial(self, asked: releases.Trial) -> releases.UploadTold:
        return _told(await self._its.trial(asked.app_id, asked.code, asked.users))

    async def gray(self, asked: releases.Gray) -> releases.UploadTold:
        return _told(await self._its.gray(asked.app_id, asked.code, asked.share))

    async def full(self, asked: releases.OneRelease) -> releases.UploadTold:
        return _told(await self._its.full(asked.app_id, asked.code))

    # ---- the program -------------------------------------------------------------------------------------------------
    async def offline(self, asked: OneProgram) -> ProgramTold:
        return ProgramTold(program=await self._its.offline(asked.app_id))

    async def rollback(self, asked: OneProgram) -> ProgramTold:
        return ProgramTold(program=await self._its.rollback(asked.app_id))

    async def set_minimum(self, asked: releases.OneRelease) -> ProgramTold:
        return ProgramTold(program=await self._its.set_minimum(asked.app_id, asked.code))

    async def kill(self, asked: releases.StopProgram) -> ProgramTold:
        return ProgramTold(program=await self._its.kill(asked.app_id, asked.reason))

    async def quarantine(self, asked: releases.StopProgram) -> ProgramTold:
        return ProgramTold(program=await self._its.quarantine(asked.app_id, asked.reason))

    async def revive(self, asked: OneProgram) -> ProgramTold:
        return ProgramTold(program=await self._its.revive(asked.app_id))


class ProgramAnswers:
    """For the installed programs."""

    def __init__(self, its: ProgramOperations) -> None:
        self._its = its

    def all(self) -> Mapping[str, Answer]:
        return by_name(
            Answer(programs.SHOW, self.show_program),
            Answer(programs.LIST, self.list_programs),
            Answer(programs.REVOKE, self.revoke),
            Answer(programs.SET_GRANTS, self.set_grants),
            Answer(programs.SET_LIMITS, self.set_limits),
        )

    def show_program(self, asked: programs.ProgramOf) -> ProgramTold:
        return ProgramTold(program=self._its.program(asked.app))

    def list_programs(self, asked: programs.ProgramsAfter) -> programs.ProgramsTold:
        return programs.ProgramsTold(programs=tuple(self._its.programs(asked.after, asked.limit)))

    async def revoke(self, asked: programs.Revoke) -> Done:
        await self._its.revoke(asked.app, *asked.capabilities)
        return Done()

    async def set_grants(self, asked: programs.SetGrants) -> ProgramTold:
        return ProgramTold(program=await self._its.set_grants(asked.app, asked.grant))

    async def set_limits(self, asked: programs.SetLimits) -> ProgramTold:
        return ProgramTold(program=await self._its.set_limits(asked.app, asked.limits))


def _told(upload: Upload) -> releases.UploadTold:
    return releases.UploadTold(upload=upload)
