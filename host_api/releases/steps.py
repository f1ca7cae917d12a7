"""The steps of the ladder: jobs of `Store.write`, each with one audit record in its transaction.

What lives here: what a step does to a program and its releases. Which step may follow is transitions.py's. A program
has one release that everybody gets and at most one candidate; a version code never goes down but by a rollback.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from host_api import audit
from host_api.erasure.tombstone import is_tombstone
from host_api.ownership import claim
from host_api.releases import developers, records
from host_api.releases.developers import REASON_CHARS_MAX, clean
from host_api.releases.records import StoredProgram
from host_api.releases.rollout import SHARES, TRIAL_USERS_MAX
from host_api.releases.transitions import RegistryRefused, Step, step
from host_api.releases.values import Given, ProgramStatus, Stage, Status, Upload
from host_api.store.protocol import Transaction

USER_CHARS_MAX: Final = 256


# ---- the review ------------------------------------------------------------------------------------------------------
def approve(
    tx: Transaction, app_id: str, code: int, given: Given, *, note: str = "", isolation: str | None = None
) -> Upload:
    """The operator looked at it and gives it this. Nobody gets it yet; from now on the id is its developer's. Raises
    RegistryRefused: `release_unknown`, `step_refused`, `key_revoked`; NotOwner: it is another one's by now."""
    release = records.get_release(tx, app_id, code)
    to = step(app_id, code, release.status, Step.APPROVE)
    _check_signer(tx, release)
    note = clean("the note", note, REASON_CHARS_MAX) if note else ""
    claim(tx, app_id, release.developer, new_owner=False)
    program = records.put_program(tx, app_id, app_id, isolation or "shared")
    if program.leaving:
        raise RegistryRefused("not_installed", f"{app_id} is being uninstalled: wait for its end", app_id=app_id)
    if isolation is not None:
        records.change_program(tx, app_id, isolation=isolation)
    records.set_status(tx, app_id, code, to, reviewed=1, decided_us=max(1, tx.now_us), reason=note)
    columns = {"grants": records.text(given.grants), "limits": records.text(given.limits)}
    records.give(tx, app_id, (code,), **columns, config=given.config, payee=given.payee)
    _told(tx, "release.approved", app_id, code, capabilities=",".join(sorted(given.grants)), note=note)
    return records.get_release(tx, app_id, code)


def reject(tx: Transaction, app_id: str, code: int, reason: str) -> Upload:
    """`reason` is for the developer to read. Raises RegistryRefused: `release_unknown`, `step_refused`,
    `text_refused`."""
    release = records.get_release(tx, app_id, code)
    to = step(app_id, code, release.status, Step.REJECT)
    reason = clean("the reason", reason, REASON_CHARS_MAX)
    records.set_status(tx, app_id, code, to, decided_us=max(1, tx.now_us), reason=reason)
    _told(tx, "release.rejected", app_id, code, reason=reason)
    return records.get_release(tx, app_id, code)


# ---- who gets it -----------------------------------------------------------------------------------------------------
def trial(tx: Transaction, app_id: str, code: int, users: Collection[str]) -> Upload:
    """These users get it, and nobody else, until the next step. Raises RegistryRefused: `release_unknown`,
    `not_installed`, `step_refused`, `version_goes_down`, `key_revoked`, `trial_users`."""
    named = _named(users)
    _candidate(tx, app_id, code, Step.TRIAL, Stage.TRIAL, 0)
    tx.execute("DELETE FROM trial_users WHERE app_id = :app_id", {"app_id": app_id})
    for user in named:
        tx.execute(
            "INSERT INTO trial_users (app_id, user_id) VALUES (:app_id, :user)", {"app_id": app_id, "user": user}
        )
    _told(tx, "release.trial", app_id, code, users=len(named))
    return records.get_release(tx, app_id, code)


def gray(tx: Transaction, app_id: str, code: int, share: int) -> Upload:
    """`share` of 10,000 users get it, and those of its trial. Raises RegistryRefused as `trial`, `share_refused`."""
    if type(share) is not int or not 0 <= share <= SHARES:
        raise RegistryRefused("share_refused", f"a share is a number from 0 to {SHARES}, not {ascii(share)[:40]}")
    _candidate(tx, app_id, code, Step.GRAY, Stage.GRAY, share)
    _told(tx, "release.gray", app_id, code, share=share)
    return records.get_release(tx, app_id, code)


def full(tx: Transaction, app_id: str, code: int) -> Upload:
    """Everybody gets it. Raises RegistryRefused: `release_unknown`, `not_installed`, `step_refused`,
    `version_goes_down`, `key_revoked`."""
    release, program = _forward(tx, app_id, code, Step.FULL)
    if program.candidate_code and program.candidate_code <= code:
        withdraw_candidate(tx, program, kept=program.candidate_code != code)
    if program.current_code not in (0, code):
        follow(tx, program)
    records.set_status(tx, app_id, code, step(app_id, code, release.status, Step.FULL))
    records.change_program(tx, app_id, current_code=code, offline=0)
    _told(tx, "release.full", app_id, code, before=program.current_code)
    return records.get_release(tx, app_id, code)


def offline(tx: Transaction, app_id: str) -> ProgramStatus:
    """Nobody gets it any more, nor its candidate; calls in flight go on. `full` brings it back. Raises
    RegistryRefused: `not_installed`, `step_refused`."""
    program = records.get_program(tx, app_id)
    withdraw_candidate(tx, program)
    code = program.current_code
    if code:
        release = records.get_release(tx, app_id, code)
        records.set_status(tx, app_id, code, step(app_id, code, release.status, Step.OFFLINE))
        records.change_program(tx, app_id, offline=1)
    elif not program.candidate_code:
        raise RegistryRefused("step_refused", f"no release of {app_id} is out, so none can go offline", allowed=[])
    _told(tx, "program.offline", app_id, code)
    return records.status(tx, app_id)


def rollback(tx: Transaction, app_id: str) -> ProgramStatus:
    """Back to the last full release: a candidate is withdrawn; where there is none, the release that was full before is
    full again. Raises RegistryRefused: `not_installed`, `nothing_to_roll_back_to`, `below_minimum`."""
    program = records.get_program(tx, app_id)
    code = program.current_code
    if program.candidate_code:
        withdraw_candidate(tx, program)
        _told(tx, "release.rolled_back", app_id, program.candidate_code, to=code)
        return records.status(tx, app_id)
    rows = tx.execute(
        "SELECT code FROM releases WHERE app_id = :app_id AND status = 'superseded' ORDER BY ended_us DESC, code DESC"
        " LIMIT 1",
        {"app_id": app_id},
    )
    if not rows:
        raise RegistryRefused(
            "nothing_to_roll_back_to", f"no release of {app_id} was full before {code}: take it offline, or kill it"
        )
    (target,) = rows[0]
    if target < program.min_code:
        raise RegistryRefused(
            "below_minimum",
            f"the release before is {target}, and the least version of {app_id} is {program.min_code}: lower it first",
            version_code=target, minimum=program.min_code,
        )  # fmt: skip
    now = records.get_release(tx, app_id, code)
    left = step(app_id, code, now.status, Step.LEAVE)
    back = step(app_id, target, Status.SUPERSEDED, Step.RETURN)
    records.set_status(tx, app_id, code, left, ended_us=max(1, tx.now_us))
    records.set_status(tx, app_id, target, back)
    records.change_program(tx, app_id, current_code=target, offline=0)
    _told(tx, "release.rolled_back", app_id, code, to=target)
    return records.status(tx, app_id)


def _candidate(tx: Transaction, app_id: str, code: int, taken: Step, stage: Stage, share: int) -> None:
    release, program = _forward(tx, app_id, code, taken)
    if program.candidate_code not in (0, code):
        withdraw_candidate(tx, program)
    records.set_status(tx, app_id, code, step(app_id, code, release.status, taken))
    records.change_program(tx, app_id, candidate_code=code, stage=stage.value, share=share)


def _forward(tx: Transaction, app_id: str, code: int, taken: Step) -> tuple[Upload, StoredProgram]:
    """A release that is to go further, and its program."""
    release, program = records.get_release(tx, app_id, code), None
    step(app_id, code, release.status, taken)
    program = records.get_program(tx, app_id)
    if code < program.current_code or (code == program.current_code and taken is not Step.FULL):
        raise RegistryRefused(
            "version_goes_down",
            f"{app_id} {program.current_code} is full, and {code} is not above it: only a rollback goes back",
            installed=program.current_code, offered=code,
        )  # fmt: skip
    _check_signer(tx, release)
    return release, program


def withdraw_candidate(tx: Transaction, program: StoredProgram, *, kept: bool = True) -> None:
    """Whoever got the candidate gets the full release. `kept` False: its row is not to be changed."""
    code = program.candidate_code
    if not code:
        return
    if kept:
        release = records.get_release(tx, program.app_id, code)
        records.set_status(tx, program.app_id, code, step(program.app_id, code, release.status, Step.WITHDRAW))
    tx.execute("DELETE FROM trial_users WHERE app_id = :app_id", {"app_id": program.app_id})
    records.change_program(tx, program.app_id, candidate_code=0, stage="", share=0)


def follow(tx: Transaction, program: StoredProgram) -> None:
    """The release that is full now is followed by another: a rollback finds it."""
    code = program.current_code
    release = records.get_release(tx, program.app_id, code)
    to = step(program.app_id, code, release.status, Step.SUPERSEDE)
    records.set_status(tx, program.app_id, code, to, ended_us=max(1, tx.now_us))


# ---- the program -----------------------------------------------------------------------------------------------------
def set_minimum(tx: Transaction, app_id: str, code: int) -> ProgramStatus:
    """No release of a lower code is ever to run again. Raises RegistryRefused: `not_installed`, `minimum_refused`."""
    program = records.get_program(tx, app_id)
    if type(code) is not int or not 0 <= code <= program.current_code:
        raise RegistryRefused(
            "minimum_refused",
            f"the least version of {app_id} is a code from 0 to {program.current_code}, the one that is full now",
            current=program.current_code,
        )  # fmt: skip
    records.change_program(tx, app_id, min_code=code)
    _told(tx, "program.minimum", app_id, code, before=program.min_code)
    return records.status(tx, app_id)


def may_stop(tx: Transaction, app_id: str, reason: str) -> None:
    """Before anything is stopped. Raises RegistryRefused as `kill`."""
    records.get_program(tx, app_id)
    clean("the reason", reason, REASON_CHARS_MAX)


def kill(tx: Transaction, app_id: str, reason: str) -> ProgramStatus:
    """Nobody can call it until it is revived. Raises RegistryRefused: `not_installed`, `text_refused`."""
    return _stop(tx, app_id, "killed", reason)


def quarantine(tx: Transaction, app_id: str, reason: str) -> ProgramStatus:
    """As `kill`, by the host itself: the program did something to it. Raises RegistryRefused as `kill`."""
    return _stop(tx, app_id, "quarantined", reason)


def revive(tx: Transaction, app_id: str) -> ProgramStatus:
    """Killed or quarantined no more: as it was. Raises RegistryRefused: `not_installed`, `step_refused`."""
    program = records.get_program(tx, app_id)
    if not program.killed and not program.quarantined:
        raise RegistryRefused("step_refused", f"{app_id} is neither killed nor quarantined", allowed=[])
    records.change_program(tx, app_id, killed="", quarantined="")
    _told(tx, "program.revived", app_id, program.current_code)
    return records.status(tx, app_id)


def _stop(tx: Transaction, app_id: str, how: str, reason: str) -> ProgramStatus:
    program = records.get_program(tx, app_id)
    reason = clean("the reason", reason, REASON_CHARS_MAX)
    records.change_program(tx, app_id, **{how: reason})
    _told(tx, f"program.{how}", app_id, program.current_code, reason=reason)
    return records.status(tx, app_id)


def set_grants(tx: Transaction, app_id: str, grants: Mapping[str, Mapping[str, Any]]) -> ProgramStatus:
    """What all of its releases are granted from now on, those that a rollback may bring back too. Raises
    RegistryRefused `not_installed`."""
    records.get_program(tx, app_id)
    records.give(tx, app_id, tuple(records.grants_of(tx, app_id)), grants=records.text(grants))
    _told(tx, "program.granted", app_id, 0, capabilities=",".join(sorted(grants)))
    return records.status(tx, app_id)


def set_limits(tx: Transaction, app_id: str, limits: Mapping[str, int]) -> ProgramStatus:
    """What differs from the host's limits for all of its releases. Raises RegistryRefused `not_installed`."""
    records.get_program(tx, app_id)
    text = records.text(limits)
    records.give(tx, app_id, tuple(records.grants_of(tx, app_id)), limits=text)
    _told(tx, "program.limits", app_id, 0, limits=text[: audit.FIELD_CHARS_MAX])
    return records.status(tx, app_id)


def take_away(tx: Transaction, app_id: str, capabilities: Collection[str]) -> None:
    """These are granted to none of its releases any more, whichever runs next; told in the audit. Of a program that is
    not here nothing is left to take."""
    for code, grants in records.grants_of(tx, app_id).items():
        if not grants.keys().isdisjoint(capabilities):
            left = {name: constraints for name, constraints in grants.items() if name not in capabilities}
            records.give(tx, app_id, (code,), grants=records.text(left))
    audit.record(tx, "grant.revoked", app_id=app_id, capabilities=",".join(sorted(capabilities)))


def _named(users: Collection[str]) -> list[str]:
    named = sorted(set(users))
    if not 1 <= len(named) <= TRIAL_USERS_MAX:
        raise RegistryRefused(
            "trial_users", f"a trial has 1 to {TRIAL_USERS_MAX} users, not {len(named)}", limit="trial_users",
            value=TRIAL_USERS_MAX, used=len(named),
        )  # fmt: skip
    if any(not 1 <= len(user) <= USER_CHARS_MAX or is_tombstone(user) for user in named):
        raise RegistryRefused(
            "trial_users", f"a user's id has 1 to {USER_CHARS_MAX} characters, and is no erased one's"
        )
    return named


def _check_signer(tx: Transaction, release: Upload) -> None:
    key = developers.find_key(tx, release.signed_by)
    if key is not None and key.revoked_us:
        raise RegistryRefused(
            "key_revoked",
            f"key {key.key_id}, which signed {release.app_id} {release.code}, is revoked ({key.revoke_reason}): have it"
            " uploaded anew, signed by another key",
            key_id=key.key_id,
        )  # fmt: skip


def _told(tx: Transaction, effect: str, app_id: str, code: int, **fields: str | int) -> None:
    audit.record(tx, effect, app_id=app_id, release=code, **fields)
