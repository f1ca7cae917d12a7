"""A bundle becomes a release: submitted for review by a developer, or installed at once by the operator.

What lives here: jobs of `Store.write` over what was read, checked and compiled before (`Offer`). A version code is used
once by developers; the operator may install over it. Old releases that nothing can go back to are dropped, so that a
program's rows stay few.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from host_api import audit
from host_api.ownership import NotOwner, claim, owner_of
from host_api.releases import contents, developers, records, upload_counts
from host_api.releases.removal import remove_releases
from host_api.releases.steps import follow, withdraw_candidate
from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import Given, Offer, Status, Upload
from host_api.store.protocol import Transaction

KEPT_MAX: Final = 50
"""Releases of one program; of more, the lowest codes go that were rejected, superseded or rolled back."""


def submit(
    tx: Transaction, offer: Offer, *, per_day: int, pending: int, begun: int = 0, also_known_as: Collection[str] = ()
) -> Upload:
    """A developer's upload waits for a review. The very same sent again gives what is there. `begun`: what
    `upload_counts.begin` gave.

    An id that is nobody's is the developer's while a release under it waits for its review, and for ever once one was
    approved. Raises NotOwner; RegistryRefused: `version_taken`, `uploads_pending`, `uploads_per_day`, as `check_key`.
    """
    upload_counts.end(tx, begun)
    there = records.find_release(tx, offer.app_id, offer.code)
    if there is not None and (there.identity, there.signed_by) == (offer.identity, offer.signed_by):
        return there
    if owner_of(tx, offer.app_id):
        claim(tx, offer.app_id, offer.developer, new_owner=False, also_known_as=also_known_as)
    else:
        _reserve(tx, offer.app_id, offer.developer)
    (highest,) = tx.execute("SELECT max(code) FROM releases WHERE app_id = :app_id", {"app_id": offer.app_id})[0]
    if highest is not None and offer.code <= highest:
        raise RegistryRefused(
            "version_taken",
            f"{offer.app_id} has a release {highest}: a version code is used once, so the next is above it",
            app_id=offer.app_id, highest=highest, offered=offer.code,
        )  # fmt: skip
    upload_counts.check(tx, offer.developer, per_day=per_day, pending=pending)
    _insert(tx, offer, Status.SUBMITTED, reviewed=False, given=Given(grants={}, limits={}, config=b"", payee=""))
    audit.record(
        tx, "release.uploaded", app_id=offer.app_id, release=offer.code, identity=offer.identity,
        developer=offer.developer, signed_by=offer.signed_by,
    )  # fmt: skip
    _prune(tx, offer.app_id)
    return records.get_release(tx, offer.app_id, offer.code)


def sent_before(tx: Transaction, developer: str, file_sha256: bytes) -> Upload | None:
    """The release that this very file of theirs became."""
    found = tx.execute(
        "SELECT app_id, code FROM releases WHERE file_sha256 = :file AND developer = :developer LIMIT 1",
        {"file": file_sha256, "developer": developer},
    )
    return records.get_release(tx, *found[0]) if found else None


def _reserve(tx: Transaction, app_id: str, developer: str) -> None:
    """Raises NotOwner: the operator installed it as nobody's, or another developer's release waits for its review."""
    if records.find_program(tx, app_id) is not None:
        raise NotOwner(app_id, "")
    others = tx.execute(
        "SELECT developer FROM releases WHERE app_id = :app_id AND developer <> :developer AND status <> 'rejected'",
        {"app_id": app_id, "developer": developer},
    )
    if others:
        raise NotOwner(app_id, str(others[0][0]))
    rejected = tx.execute(
        f"DELETE FROM releases WHERE app_id = :app_id AND developer <> :developer RETURNING {contents.HAD}",
        {"app_id": app_id, "developer": developer},
    )
    for had in rejected:
        contents.drop_unused(tx, had)


def install(
    tx: Transaction, offer: Offer, given: Given, *, sector: str, isolation: str | None, new_owner: bool,
    also_known_as: Collection[str] = (),
) -> None:  # fmt: skip
    """Upload, approval and full release in one: the operator's short way. What is there under this version code is
    replaced.

    Raises NotOwner; RegistryRefused `version_goes_down`, as of `check_key`.
    """
    app_id, code = offer.app_id, offer.code
    claim(tx, app_id, offer.developer, new_owner=new_owner, also_known_as=also_known_as)
    program = records.find_program(tx, app_id)
    if program is not None and program.leaving:
        remove_releases(tx, app_id)
        tx.execute("DELETE FROM programs WHERE app_id = :app_id", {"app_id": app_id})
        program = None
    if program is not None and code < program.current_code:
        raise RegistryRefused(
            "version_goes_down",
            f"{app_id} {program.current_code} is installed and the bundle's version code is {code}: a version never"
            " goes down; uninstall it first, or roll back",
            installed=program.current_code, offered=code,
        )  # fmt: skip
    replaced = tx.execute(
        f"DELETE FROM releases WHERE app_id = :app_id AND code = :code RETURNING {contents.HAD}",
        {"app_id": app_id, "code": code},
    )
    if program is None:
        program = records.put_program(tx, app_id, sector, isolation or "shared")
    if program.candidate_code and program.candidate_code <= code:
        withdraw_candidate(tx, program, kept=program.candidate_code != code)
    if program.current_code not in (0, code):
        follow(tx, program)
    _insert(tx, offer, Status.FULL, reviewed=bool(offer.signed_by), given=given)
    records.change_program(
        tx, app_id, current_code=code, offline=0, sector=sector, isolation=isolation or program.isolation
    )
    for had in replaced:
        contents.drop_unused(tx, had)
    audit.record(
        tx, "program.installed", app_id=app_id, release=code, identity=offer.identity,
        signed_by=offer.signed_by or None, capabilities=",".join(sorted(given.grants)),
    )  # fmt: skip
    _prune(tx, app_id)


def _insert(tx: Transaction, offer: Offer, status: Status, *, reviewed: bool, given: Given) -> None:
    key = developers.find_key(tx, offer.signed_by)
    if key is not None:  # again: it may have been revoked while the module was compiled
        developers.check_key(key, tx.now_us)
    contents.put_module(tx, offer.module_sha256, offer.wasm)
    script = contents.put_script(tx, offer.script_sha256, offer.script_image)
    assets = contents.put_assets(tx, offer.assets)
    tx.execute(
        "INSERT INTO releases (app_id, code, name, status, identity, developer, signed_by, module_sha256,"
        " script_sha256, assets_sha256, reviewed, payee, uploaded_us, decided_us, facts, grants, limits, config,"
        " report, file_sha256)"
        " VALUES (:app_id, :code, :name, :status, :identity, :developer, :signed_by, :module,"
        " :script, :assets, :reviewed, :payee, :now_us, :decided_us, :facts, :grants, :limits, :config, :report,"
        " :file)",
        {
            "app_id": offer.app_id, "code": offer.code, "name": offer.name, "status": status.value,
            "identity": bytes.fromhex(offer.identity), "developer": offer.developer, "signed_by": offer.signed_by,
            "module": bytes.fromhex(offer.module_sha256), "script": script, "assets": assets,
            "reviewed": int(reviewed),
            "payee": given.payee, "now_us": tx.now_us,
            "decided_us": 0 if status is Status.SUBMITTED else max(1, tx.now_us),
            "facts": msgspec.json.encode(offer.facts).decode(), "grants": records.text(given.grants),
            "limits": records.text(given.limits), "config": given.config, "report": records.text(offer.report),
            "file": offer.file_sha256 or None,
        },
    )  # fmt: skip


def _prune(tx: Transaction, app_id: str) -> None:
    (count,) = tx.execute("SELECT count(*) FROM releases WHERE app_id = :app_id", {"app_id": app_id})[0]
    if count <= KEPT_MAX:
        return
    gone = tx.execute(
        "DELETE FROM releases WHERE app_id = :app_id AND code IN (SELECT code FROM releases WHERE app_id = :app_id"
        " AND status IN ('rejected', 'superseded', 'rolled_back') ORDER BY code LIMIT :too_many)"
        f" RETURNING {contents.HAD}",
        {"app_id": app_id, "too_many": count - KEPT_MAX},
    )
    for had in gone:
        contents.drop_unused(tx, had)
