"""Rows of releases and programs: how they are read, and the few ways in which they are written.

What lives here: SQL. Every look-up is by a key, every list goes on after one. What may follow what is steps.py's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from host_api.capability import NO_GRANTS, Authority, Grants, parse_grants
from host_api.releases.developers import page_size
from host_api.releases.rollout import place
from host_api.releases.transitions import RegistryRefused
from host_api.releases.values import Facts, ProgramStatus, Stage, Status, Trust, Upload
from host_api.store.protocol import Row, Transaction

_decode: Final = msgspec.json.Decoder(Facts).decode
_json: Final = msgspec.json.decode
_PROGRAM: Final = (
    "app_id, current_code, candidate_code, stage, share, min_code, offline, leaving, killed, quarantined, sector,"
    " isolation, installed_us, changed_us"
)
_UPLOAD: Final = (
    "app_id, code, name, status, identity, developer, signed_by, module_sha256, script_sha256, reviewed, payee,"
    " grants, limits, uploaded_us, decided_us, reason, report"
)
_RUN: Final = (
    "code, name, identity, developer, signed_by, module_sha256, script_sha256, assets_sha256, reviewed, payee, facts,"
    " grants, limits, config"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRelease:
    """What a call needs of a release."""

    code: int
    name: str
    identity: str
    developer: str
    """Who vouched for it: not always who owns the program now."""
    signed_by: str
    module_sha256: str
    script_sha256: str
    """'' where the program is a module."""
    assets_sha256: str
    """Of the list of its assets (contents.py)."""
    reviewed: bool
    facts: Facts
    requested: Grants
    """As the manifest asks."""
    grants: Grants
    limits: Mapping[str, int]
    """What the operator gives, where it differs from the host's."""
    config: bytes
    payee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProgram:
    """A program's row."""

    app_id: str
    current_code: int
    candidate_code: int
    stage: Stage
    share: int
    min_code: int
    offline: bool
    leaving: bool
    killed: str
    quarantined: str
    sector: str
    isolation: str
    installed_us: int
    changed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a program is, as far as a call is concerned."""

    id: str
    """'' for nobody's."""
    trust: Trust | None
    """None: not of a registered developer."""
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """All that calls of a program need, read in one snapshot."""

    program: StoredProgram
    owner: Owner
    current: StoredRelease | None
    candidate: StoredRelease | None
    trial_users: frozenset[str]


# ---- programs --------------------------------------------------------------------------------------------------------
def find_program(tx: Transaction, app_id: str) -> StoredProgram | None:
    rows = tx.execute(f"SELECT {_PROGRAM} FROM programs WHERE app_id = :app_id", {"app_id": app_id})
    return _program(rows[0]) if rows else None


def get_program(tx: Transaction, app_id: str) -> StoredProgram:
    """Raises RegistryRefused `not_installed`."""
    found = find_program(tx, app_id)
    if found is None or found.leaving:
        raise RegistryRefused("not_installed", f"no program {ascii(app_id)[:140]} is installed", app_id=app_id[:140])
    return found


def running(tx: Transaction, app_id: str) -> Running | None:
    """What a call needs: four look-ups at most, two for a program without a developer and a candidate."""
    program = find_program(tx, app_id)
    if program is None:
        return None
    codes = (program.current_code, program.candidate_code)
    found = {
        row[0]: _stored(row)
        for row in tx.execute(
            f"SELECT {_RUN} FROM releases WHERE app_id = :app_id AND code IN (:current, :candidate)",
            {"app_id": app_id, "current": codes[0], "candidate": codes[1]},
        )
    }
    return Running(
        program=program, owner=_owner(tx, app_id), current=found.get(codes[0]), candidate=found.get(codes[1]),
        trial_users=trial_users(tx, app_id) if program.candidate_code else frozenset(),
    )  # fmt: skip


def _owner(tx: Transaction, app_id: str) -> Owner:
    rows = tx.execute(
        "SELECT o.developer, d.trust, d.limits FROM program_owners o LEFT JOIN developers d ON d.id = o.developer"
        " WHERE o.app_id = :app_id",
        {"app_id": app_id},
    )
    if not rows:
        return Owner(id="", trust=None, limits={})
    developer, trust, limits = rows[0]
    return Owner(
        id=developer, trust=None if trust is None else Trust(trust), limits={} if limits is None else _json(limits)
    )


def trial_users(tx: Transaction, app_id: str) -> frozenset[str]:
    return frozenset(
        user for (user,) in tx.execute("SELECT user_id FROM trial_users WHERE app_id = :app_id", {"app_id": app_id})
    )


def put_program(tx: Transaction, app_id: str, sector: str, isolation: str) -> StoredProgram:
    """The program, made if need be; of one that was being uninstalled nothing is left."""
    tx.execute(
        "INSERT INTO programs (app_id, current_code, sector, isolation, installed_us, changed_us)"
        " VALUES (:app_id, 0, :sector, :isolation, :now_us, :now_us) ON CONFLICT (app_id) DO NOTHING",
        {"app_id": app_id, "sector": sector, "isolation": isolation, "now_us": tx.now_us},
    )
    found = find_program(tx, app_id)
    if found is None:
        raise LookupError(app_id)
    return found


def change_program(tx: Transaction, app_id: str, **columns: int | str) -> None:
    """Sets columns of the program's row."""
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    tx.execute(
        f"UPDATE programs SET {sets}, changed_us = :now_us WHERE app_id = :app_id",
        {**columns, "app_id": app_id, "now_us": tx.now_us},
    )


def count_programs(tx: Transaction) -> int:
    """Reads an index whole: for the opening of a host."""
    return int(tx.execute("SELECT count(*) FROM programs")[0][0])


def status(tx: Transaction, app_id: str) -> ProgramStatus:
    """Raises RegistryRefused `not_installed`."""
    found = find_program(tx, app_id)
    if found is None:
        raise RegistryRefused("not_installed", f"no program {ascii(app_id)[:140]} is installed", app_id=app_id[:140])
    return _status(tx, found)


def statuses(tx: Transaction, after: str, limit: int) -> list[ProgramStatus]:
    """By app id, those behind `after`."""
    rows = tx.execute(
        f"SELECT {_PROGRAM} FROM programs WHERE app_id > :after ORDER BY app_id LIMIT :at_most",
        {"after": after, "at_most": page_size(limit)},
    )
    return [_status(tx, _program(row)) for row in rows]


def _status(tx: Transaction, program: StoredProgram) -> ProgramStatus:
    app_id = program.app_id
    shown = find_release(tx, app_id, program.current_code or program.candidate_code)
    tried = tx.execute("SELECT count(*) FROM trial_users WHERE app_id = :app_id", {"app_id": app_id})
    fields = {name: getattr(program, name) for name in StoredProgram.__slots__}
    return ProgramStatus(
        **fields, owner=_owner(tx, app_id).id, trial_users=int(tried[0][0]),
        grants=shown.grants if shown else {}, limits=shown.limits if shown else {}, payee=shown.payee if shown else "",
    )  # fmt: skip


def authority(tx: Transaction, app_id: str, user: str) -> Authority | None:
    """What the program may do as it is installed now, for this user: nothing, if it is stopped; None where no such
    program is. For what outlives a call, and the process."""
    program = find_program(tx, app_id)
    if program is None:
        return None
    if program.leaving or program.killed or program.quarantined:
        return Authority()
    tried = program.candidate_code and (
        (program.share and place(app_id, user) < program.share)
        or tx.execute(
            "SELECT 1 FROM trial_users WHERE app_id = :app_id AND user_id = :user", {"app_id": app_id, "user": user}
        )
    )
    return _authority(tx, app_id, program.candidate_code if tried else program.current_code)


def held(tx: Transaction, app_id: str) -> Grants:
    """What its full release may do, stopped or not, and what its candidate may besides."""
    program = find_program(tx, app_id)
    if program is None:
        return NO_GRANTS
    full, tried = (_authority(tx, app_id, code).grants() for code in (program.current_code, program.candidate_code))
    return Grants(grants=(*full, *tried.without(full)))


def _authority(tx: Transaction, app_id: str, code: int) -> Authority:
    rows = tx.execute(
        "SELECT facts, grants FROM releases WHERE app_id = :app_id AND code = :code", {"app_id": app_id, "code": code}
    )
    if not rows:
        return Authority()
    return Authority(requested=_requested(rows[0][0]), granted=_grants(rows[0][1]))


def takes_events(tx: Transaction, app_id: str) -> bool:
    """Whether the program can be woken for its events, and wants to be: every release of it that is out does."""
    found = running(tx, app_id)
    if found is None or found.program.leaving or found.program.killed or found.program.quarantined:
        return False
    out = [release for release in (None if found.program.offline else found.current, found.candidate) if release]
    return bool(out) and all(release.facts.takes_events for release in out)


# ---- releases --------------------------------------------------------------------------------------------------------
def find_release(tx: Transaction, app_id: str, code: int) -> Upload | None:
    rows = tx.execute(
        f"SELECT {_UPLOAD} FROM releases WHERE app_id = :app_id AND code = :code", {"app_id": app_id, "code": code}
    )
    return _upload(rows[0]) if rows else None


def get_release(tx: Transaction, app_id: str, code: int) -> Upload:
    """Raises RegistryRefused `release_unknown`."""
    found = find_release(tx, app_id, code)
    if found is None:
        raise RegistryRefused(
            "release_unknown", f"{ascii(app_id)[:140]} has no release {ascii(code)[:40]}; hostel release list has all",
            app_id=app_id[:140], version_code=code,
        )  # fmt: skip
    return found


def facts(tx: Transaction, app_id: str, code: int) -> Facts:
    """Raises RegistryRefused `release_unknown`."""
    get_release(tx, app_id, code)
    rows = tx.execute(
        "SELECT facts FROM releases WHERE app_id = :app_id AND code = :code", {"app_id": app_id, "code": code}
    )
    return _facts(rows[0][0])


def releases_of(tx: Transaction, app_id: str, after: int, limit: int) -> list[Upload]:
    """By version code, those above `after`."""
    rows = tx.execute(
        f"SELECT {_UPLOAD} FROM releases WHERE app_id = :app_id AND code > :after ORDER BY code LIMIT :at_most",
        {"app_id": app_id, "after": after, "at_most": page_size(limit)},
    )
    return [_upload(row) for row in rows]


def submitted(tx: Transaction, limit: int) -> list[Upload]:
    """What waits for a review, the oldest first."""
    rows = tx.execute(
        f"SELECT {_UPLOAD} FROM releases WHERE status = 'submitted' ORDER BY uploaded_us, app_id, code LIMIT :at_most",
        {"at_most": page_size(limit)},
    )
    return [_upload(row) for row in rows]


def releases_by_key(tx: Transaction, key_id: str, after: tuple[str, int], limit: int) -> list[tuple[str, int, Status]]:
    """(app id, version code, status) of what this key signed, behind `after`: what to look at once it is revoked."""
    rows = tx.execute(
        "SELECT app_id, code, status FROM releases WHERE signed_by = :key_id AND signed_by <> ''"
        " AND (app_id, code) > (:app_id, :code) ORDER BY app_id, code LIMIT :at_most",
        {"key_id": key_id, "app_id": after[0], "code": after[1], "at_most": page_size(limit)},
    )
    return [(app_id, code, Status(status)) for app_id, code, status in rows]


def set_status(tx: Transaction, app_id: str, code: int, to: Status, **columns: int | str) -> None:
    """A release's status, and other columns with it."""
    sets = "".join(f", {name} = :{name}" for name in columns)
    tx.execute(
        f"UPDATE releases SET status = :status{sets} WHERE app_id = :app_id AND code = :code",
        {**columns, "status": to.value, "app_id": app_id, "code": code},
    )


def give(tx: Transaction, app_id: str, codes: Sequence[int], **columns: str | bytes | int) -> None:
    """What the operator gives these releases of a program."""
    sets = ", ".join(f"{name} = :{name}" for name in columns)
    for code in codes:
        tx.execute(
            f"UPDATE releases SET {sets} WHERE app_id = :app_id AND code = :code",
            {**columns, "app_id": app_id, "code": code},
        )


def grants_of(tx: Transaction, app_id: str) -> dict[int, dict[str, dict[str, Any]]]:
    """Version code → grants of each release that was approved."""
    rows = tx.execute(
        "SELECT code, grants FROM releases WHERE app_id = :app_id AND status NOT IN ('submitted', 'rejected')"
        " ORDER BY code",
        {"app_id": app_id},
    )
    return {code: _json(grants) for code, grants in rows}


def text(value: Mapping[str, Any]) -> str:
    """As it is stored: JSON, its keys sorted."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _program(row: Row) -> StoredProgram:
    app_id, current, candidate, stage, share, least, offline, leaving, killed, quarantined, *rest = row
    sector, isolation, installed_us, changed_us = rest
    return StoredProgram(
        app_id=app_id, current_code=current, candidate_code=candidate, stage=Stage(stage), share=share, min_code=least,
        offline=bool(offline), leaving=bool(leaving), killed=killed, quarantined=quarantined, sector=sector,
        isolation=isolation, installed_us=installed_us, changed_us=changed_us,
    )  # fmt: skip


def _stored(row: Row) -> StoredRelease:
    code, name, identity, developer, signed_by, module, script, assets, reviewed, payee, *given = row
    facts, grants, limits, config = given
    return StoredRelease(
        code=code, name=name, identity=identity.hex(), developer=developer, signed_by=signed_by,
        module_sha256=module.hex(), script_sha256=(script or b"").hex(), assets_sha256=assets.hex(),
        reviewed=bool(reviewed), facts=_facts(facts), requested=_requested(facts), grants=_grants(grants),
        limits=_json(limits), config=bytes(config), payee=payee,
    )  # fmt: skip


# Programs of one template have the same texts: they are read once for all of them. Nobody changes what comes of it.
@lru_cache(maxsize=256)
def _facts(stored: str) -> Facts:
    return _decode(stored)


@lru_cache(maxsize=256)
def _requested(stored: str) -> Grants:
    return parse_grants(_facts(stored).requested)


@lru_cache(maxsize=256)
def _grants(stored: str) -> Grants:
    return parse_grants(_json(stored))


def _upload(row: Row) -> Upload:
    fields = dict(zip(_UPLOAD.split(", "), row, strict=True))
    for name in ("identity", "module_sha256", "script_sha256"):
        fields[name] = (fields[name] or b"").hex()
    for name in ("grants", "limits", "report"):
        fields[name] = _json(fields[name])
    return Upload(**{**fields, "status": Status(fields["status"]), "reviewed": bool(fields["reviewed"])})
