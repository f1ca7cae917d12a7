"""`Host.releases`: from a developer's upload to the release that everybody gets, and back.

What lives here: the methods of developers and operators; what they check outside of the store, and which job they hand
to it. The ladder is host_api/releases/transitions.py's, each step steps.py's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from host_api.errors import ApiError, ErrorCode
from host_api.releases import records, steps, upload_counts, uploads
from host_api.releases.values import Developer, Facts, Given, ProgramStatus, Upload
from host_api.store.protocol import Store, Transaction
from runtime.bundle import Bundle, Keyring
from runtime.bundle_reader import digest, read_bundle
from runtime.developers import Developers, signer
from runtime.errors import HostBusy, HostClosed, SignatureError, UsageError
from runtime.limits import DeveloperLimits
from runtime.offers import check_required, effective_limits, given_of, limits_of, offer_of, requested
from runtime.program_code import ProgramCode
from runtime.report import report_of
from runtime.settings import HostSettings
from runtime.state_changes import StateChanges


class Releases:
    """The releases of one host. Used from the trio thread that opened it.

    Each step is durable when its method returns, in force for every call that begins after, and one audit record in its
    transaction. Methods raise UsageError (`step_refused` says what is allowed instead), NotInstalled, and ApiError of
    the store: nothing happened, unless it is `unknown_outcome`.
    """

    def __init__(
        self, *, store: Store, changes: StateChanges, code: ProgramCode, settings: HostSettings,
        developers: Developers,
    ) -> None:  # fmt: skip
        self._store, self._changes, self._code = store, changes, code
        self._settings, self._developers = settings, developers
        self._looked_at: set[str] = set()
        """Developers of whom an upload is."""

    async def upload(self, developer: str, bundle: Bundle | bytes) -> Upload:
        """A developer's bundle: read, its signature checked against their own keys, compiled, and put before the
        reviewer with a report. The same again gives what is there.

        Raises BundleError's family (SignatureError `key_unknown` also for another developer's key), UsageError:
        `developer_unknown`, `other_developer`, `version_taken`; `uploads_pending`, `uploads_per_day` before the bundle
        is looked at. HostBusy: another one of theirs is being looked at, or too many wait to be compiled. What is
        refused for what it is, or given up meanwhile, counts as an upload of the developer's day, after a restart too.
        """
        found = self._developers.get(developer)
        limits: DeveloperLimits = self._settings.developer_limits.changed(found.limits)
        with self._only_one_of(found.id):
            file_sha256 = await digest(bundle if isinstance(bundle, bytes) else bundle.data)
            try:
                begun = await self._changes.write(lambda tx: upload_counts.begin(tx, found.id, **_most(limits)))
            except UsageError:  # too many: what they sent before is looked up all the same
                sent_before = self._changes.read(lambda tx: uploads.sent_before(tx, found.id, file_sha256))
                if sent_before is None:
                    raise
                return sent_before
            try:
                return await self._upload(found, limits, begun, bundle, file_sha256)
            except (HostBusy, HostClosed, ApiError) as error:  # not the developer's doing
                if error.code != ErrorCode.UNKNOWN_OUTCOME:
                    with suppress(ApiError):
                        await self._changes.write(lambda tx: upload_counts.end(tx, begun))
                raise

    async def _upload(
        self, found: Developer, limits: DeveloperLimits, begun: int, bundle: Bundle | bytes, file_sha256: bytes
    ) -> Upload:
        whole = await read_bundle(bundle) if isinstance(bundle, bytes) else bundle
        by = signer(self._store, whole, Keyring(), allow_unsigned=False)
        if by.developer != found.id:
            raise SignatureError(
                f"key {by.key_id} is not one of {found.name}'s", code="key_unknown", details={"key_id": by.key_id}
            )
        requested(whole)
        code = await self._code.take(whole, limits_of(whole, self._settings.limits))
        current = self._store.read(lambda tx: _current(tx, whole.manifest.app_id))
        report = report_of(
            whole, code, default=self._settings.limits, caps=self._settings.caps, signed_by=by.key_id,
            developer=found.id, current=current,
        )  # fmt: skip
        offer = offer_of(whole, code, developer=found.id, signed_by=by.key_id, report=report, file_sha256=file_sha256)
        return await self._changes.change(
            offer.app_id,
            lambda tx: uploads.submit(tx, offer, **_most(limits), begun=begun, also_known_as=by.also_known_as),
        )

    @contextmanager
    def _only_one_of(self, developer: str) -> Iterator[None]:
        """Compilations stand in one line, calls' too: a developer has one place in it, and of as many bundles as may
        come no more are looked at than their day has left. Raises HostBusy."""
        if developer in self._looked_at:
            raise HostBusy("an upload of this developer is being looked at: one after the other", retry_after_ms=1_000)
        self._looked_at.add(developer)
        try:
            yield
        finally:
            self._looked_at.discard(developer)

    # ---- what there is -----------------------------------------------------------------------------------------------
    def list(self, app_id: str, after: int = 0, limit: int = 100) -> Sequence[Upload]:
        """The releases of a program by version code, those above `after`; at most 1,000."""
        return self._changes.read(lambda tx: records.releases_of(tx, app_id, after, limit))

    def submitted(self, limit: int = 100) -> Sequence[Upload]:
        """What waits for a review, the oldest first; at most 1,000."""
        return self._changes.read(lambda tx: records.submitted(tx, limit))

    def show(self, app_id: str, code: int) -> Upload:
        """Raises UsageError `release_unknown`."""
        return self._changes.read(lambda tx: records.get_release(tx, app_id, code))

    # ---- the review --------------------------------------------------------------------------------------------------
    async def approve(
        self,
        app_id: str,
        code: int,
        *,
        grant: Collection[str] | Mapping[str, Mapping[str, Any]] = (),
        limits: Mapping[str, int] | None = None,
        config: Mapping[str, Any] | None = None,
        payee: str | None = None,
        note: str = "",
        isolation: str | None = None,
    ) -> Upload:
        """The operator looked at it, and gives it this; nobody gets it yet. Arguments as of `Host.install`; `isolation`
        of the program: `shared` or `dedicated` (workers of its own).

        Raises UsageError: `grant_invalid`, `permission_missing`, `release_unknown`, `step_refused`; ModuleError where
        no sandbox can have these limits; SignatureError `key_revoked`.
        """
        facts, release = self._changes.read(lambda tx: _facts(tx, app_id, code))
        given = given_of(grant=grant, limits=limits, config=config, payee=payee, name=facts.program_name)
        check_required(facts.required, given.grants)
        await self._check_runs(release, facts, given)
        return await self._changes.change(
            app_id, lambda tx: steps.approve(tx, app_id, code, given, note=note, isolation=isolation)
        )

    async def _check_runs(self, release: Upload, facts: Facts, given: Given) -> None:
        """One sandbox of it can be made under these limits."""
        limits = effective_limits(
            facts.limits_wanted, self._settings.limits, given.limits, script=bool(release.script_sha256)
        )
        await self._code.get(release, limits)

    async def reject(self, app_id: str, code: int, reason: str) -> Upload:
        """`reason` (1 to 200 characters) is for the developer to read."""
        return await self._changes.change(app_id, lambda tx: steps.reject(tx, app_id, code, reason))

    # ---- who gets it -------------------------------------------------------------------------------------------------
    async def trial(self, app_id: str, code: int, users: Collection[str]) -> Upload:
        """These users (1 to 1,000) get it, in the place of who did."""
        return await self._out(app_id, lambda tx: steps.trial(tx, app_id, code, users))

    async def gray(self, app_id: str, code: int, share: int) -> Upload:
        """`share` of 10,000 users get it, besides its trial users: always the same ones, and a larger share adds to
        them. A call for nobody gets the full release."""
        return await self._out(app_id, lambda tx: steps.gray(tx, app_id, code, share))

    async def full(self, app_id: str, code: int) -> Upload:
        """Everybody gets it."""
        return await self._out(app_id, lambda tx: steps.full(tx, app_id, code))

    async def _out(self, app_id: str, job: Any) -> Upload:
        changed: Upload = await self._changes.change(app_id, job)
        self._changes.woken(app_id)
        return changed

    async def offline(self, app_id: str) -> ProgramStatus:
        """Nobody gets any release of it; calls in flight go on. `full` brings it back. Where the disk refuses it, the
        error says what works all the same: `kill`."""
        with _or_kill(app_id):
            return await self._changes.change(app_id, lambda tx: steps.offline(tx, app_id))

    async def rollback(self, app_id: str) -> ProgramStatus:
        """Back to the last full release: a candidate is withdrawn, else the release before is full again, with what it
        was granted less what was revoked since. Raises UsageError: `nothing_to_roll_back_to`, `below_minimum`; what
        the disk refuses as `offline`."""
        with _or_kill(app_id):
            changed = await self._changes.change(app_id, lambda tx: steps.rollback(tx, app_id))
        self._changes.woken(app_id)
        return changed

    # ---- the program -------------------------------------------------------------------------------------------------
    async def set_minimum(self, app_id: str, code: int) -> ProgramStatus:
        """No release below this code runs ever again, not by a rollback either. Raises UsageError `minimum_refused`."""
        return await self._changes.change(app_id, lambda tx: steps.set_minimum(tx, app_id, code))

    async def kill(self, app_id: str, reason: str) -> ProgramStatus:
        """At once: nobody can call it, calls in flight end as `revoked`, its prompts are withdrawn. What it keeps, and
        its orders, stay. Where the disk refuses the record, a running host stops the program all the same, says so
        (`unrecorded`), and writes the record as soon as it can."""
        return await self._changes.stop(app_id, "killed", reason)

    async def quarantine(self, app_id: str, reason: str) -> ProgramStatus:
        """As `kill`, by the host itself."""
        return await self._changes.stop(app_id, "quarantined", reason)

    async def revive(self, app_id: str) -> ProgramStatus:
        """Neither killed nor quarantined any more: as it was before."""
        self._changes.may_revive(app_id)
        changed = await self._changes.change(app_id, lambda tx: steps.revive(tx, app_id))
        self._changes.woken(app_id)
        return changed


@contextmanager
def _or_kill(app_id: str) -> Iterator[None]:
    """A step against a release that the disk refuses: the error names the one that needs no disk."""
    try:
        yield
    except ApiError as error:
        raise ApiError(
            error.code,
            f"{error.message}. To stop {app_id} on a disk that refuses: hostel release kill {app_id} --reason TEXT"
            " (releases.kill)",
            details=error.details, retry_after_ms=error.retry_after_ms,
        ) from error  # fmt: skip


def _most(limits: DeveloperLimits) -> dict[str, int]:
    return {"per_day": limits.uploads_per_day, "pending": limits.uploads_pending}


def _current(tx: Transaction, app_id: str) -> tuple[Upload, Facts] | None:
    found = records.running(tx, app_id)
    if found is None or found.current is None:
        return None
    return records.get_release(tx, app_id, found.current.code), found.current.facts


def _facts(tx: Transaction, app_id: str, code: int) -> tuple[Facts, Upload]:
    release = records.get_release(tx, app_id, code)
    return records.facts(tx, app_id, code), release
