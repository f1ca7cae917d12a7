"""Which programs there are, as calls need them: read from the store when they are called, kept while they are in use.

What lives here: the snapshot a call runs under (`Release`), what lives as long as a program is in use (`Program`), and
which of them are in memory. The store is the truth; nothing here is kept for a program that nobody calls. A call takes
one release and keeps it to its end: what changes in the registry changes later calls only, but for what is taken away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeAlias
from weakref import WeakSet

from host_api.capability import CAPABILITIES, Authority, Grants, parse_grants
from host_api.releases import records
from host_api.releases.records import Running, StoredRelease
from host_api.releases.rollout import place
from host_api.releases.values import Trust
from host_api.store.protocol import Store
from runtime import wire
from runtime.admission import Admission, Shared
from runtime.errors import NotInstalled
from runtime.limits import DeveloperLimits, Limits
from runtime.offers import CONFIG_BYTES_MAX, effective_limits, growth_bytes
from runtime.session import Holdings
from runtime.unavailable import not_installed, unavailable
from runtime.worker_settings import METERED

_LOOKED_AT: Final = 8
"""Programs that were not called for the longest time, looked at each time one is read; those in use stay."""
Named: TypeAlias = tuple[tuple[str, int], ...]
"""Limits by name."""
Effective: TypeAlias = Callable[[Named, Named, bool], Limits]
"""From what is wanted and what is given; True for a script."""
ALL: Final = parse_grants(list(CAPABILITIES))


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An installed program, as `Host.install` gives it and `Host.call` takes it (or its `app_id` alone)."""

    app_id: str
    release_name: str
    release_code: int
    identity: str
    """SHA-256 over the bundle's content, hex; the same signed or not."""
    signed_by: str | None
    """Id of the trusted key that vouched for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a program with what the operator gave it: the snapshot a call runs under."""

    app: App
    module_sha256: str
    script_sha256: str
    """'' where the program is a module."""
    code_sha256: str
    """Of what it runs: the script, else the module."""
    assets_sha256: str
    """Of the list of its assets."""
    memory_bytes: int
    """What one sandbox of it may grow to."""
    authority: Authority
    limits: Limits
    program_name: str
    payee: str
    sector: str
    """Programs of one sector see one id of a user."""
    reasons: Mapping[str, Mapping[str, str]]
    """Capability → language → why the manifest asks for it; '' for a text without a language."""
    notices: Mapping[str, Mapping[str, str]]
    """Id → language → the template's text, in the same way."""
    config: Mapping[str, Any]
    takes_events: bool
    """Its manifest says that `hostel_handle` takes notifications of events."""
    lifetime: str
    """`fresh`, or `resident`."""
    group: str
    """Programs of different groups never share a worker: the trust level, or the program alone."""


class Program:
    """What lives as long as a program is in memory, over its releases. `running` is what the store says of it."""

    __slots__ = (
        "_authorities", "_made", "admission", "app_id", "candidate", "current", "holdings", "leaving", "running",
        "stopped",
    )  # fmt: skip

    def __init__(self, running: Running, limits: Effective, shared: Shared | None) -> None:
        self.app_id = running.program.app_id
        self.leaving = False
        """It is being uninstalled: nobody finds it any more."""
        self.stopped = ""
        """Why nobody may call it: killed, quarantined; '' if somebody may."""
        self.current: Release | None = None
        self.candidate: Release | None = None
        self.running = running
        self._made: list[tuple[StoredRelease, Release]] = []
        self._authorities: WeakSet[Authority] = WeakSet()
        self.holdings = Holdings()
        self.admission = Admission(limits((), (), False), self.holdings, shared)
        self.follow(running, limits)

    def check_runs(self) -> None:
        """Raises ProgramUnavailable: it is stopped."""
        if self.stopped:
            raise unavailable(self.app_id, self.stopped)

    @property
    def release(self) -> Release:
        """What everybody gets; the candidate where there is no such. Raises ProgramUnavailable: there is neither."""
        found = self.current or self.candidate
        if found is None:
            raise unavailable(self.app_id, "not_released")
        return found

    def release_for(self, user: str) -> Release:
        """What this user gets. Raises ProgramUnavailable."""
        candidate, current, running = self.candidate, self.current, self.running
        if candidate is not None and user:
            share = running.program.share
            if user in running.trial_users or (share and place(self.app_id, user) < share):
                return candidate
        if current is None or running.program.offline:
            raise unavailable(self.app_id, "not_released")
        return current

    def follow(self, running: Running, limits: Effective) -> None:
        """The store says this of it now. Calls in flight end under the release they began with; what the full release
        was granted before and is not now is gone for them too."""
        current, candidate, was, program = self.current, self.candidate, self.running, running.program
        if (was.program.sector, was.program.isolation, was.owner) != (program.sector, program.isolation, running.owner):
            self.forget_made()
        self._made = [
            (stored, self._release(stored, running, limits))
            for stored in (running.current, running.candidate)
            if stored is not None
        ]
        by_code = {stored.code: release for stored, release in self._made}
        self.current, self.candidate = by_code.get(program.current_code), by_code.get(program.candidate_code)
        self.running = running
        self.stopped = "killed" if program.killed else "quarantined" if program.quarantined else ""
        self._narrow(current, self.current, by_code)
        self._narrow(candidate, candidate and by_code.get(candidate.app.release_code), by_code)
        for release in by_code.values():
            self._authorities.add(release.authority)
        if program.leaving and not self.leaving:
            self.leave()
        if by_code:
            self.admission.set_limits(self.release.limits)

    def forget_made(self) -> None:
        """What releases were made under is not what it was: `follow` makes them anew."""
        self._made.clear()

    def _release(self, stored: StoredRelease, running: Running, limits: Effective) -> Release:
        """The same as before if nothing changed: its calls share one authority."""
        made = (release for before, release in self._made if before == stored)
        return next(made, None) or release_of(stored, running, limits)

    def _narrow(self, before: Release | None, after: Release | None, now: Mapping[int, Release]) -> None:
        """What is granted no more is gone for calls in flight: of the same release all that was taken away from it, of
        an older one what the new one has not. `now`: those that are out, by version code."""
        if before is None or after is None or before is after:
            return
        held = after.authority.grants()
        gone = before.authority.grants().without(held)
        kept = {id(release.authority) for release in now.values()}
        for authority in self._authorities:
            if id(authority) not in kept:
                authority.narrow(authority.grants().without(gone))
        if before.app.release_code == after.app.release_code:
            before.authority.narrow(held)

    def leave(self) -> None:
        """It is gone for later calls and for those that wait; those in flight go on without its grants."""
        self.leaving = True
        self.admission.close(NotInstalled(f"{self.app_id} was uninstalled", details={"app_id": self.app_id}))
        self.take_away(ALL)

    def take_away(self, gone: Grants) -> None:
        """From every release of it that a call still runs under."""
        for authority in self._authorities:
            authority.narrow(authority.grants().without(gone))

    def is_idle(self, now_us: int) -> bool:
        """Nothing would be lost if it were forgotten: no call of it runs or waits, and no rate remembers one."""
        return not self.leaving and self.admission.is_idle(now_us)


class Registry:
    """Programs by app_id: the store's, through a memory of those in use. Used from the trio thread only."""

    def __init__(self, store: Store, *, limits: Limits, developer_limits: DeveloperLimits, in_memory_max: int) -> None:
        """`limits`: of a program that is given no others. `in_memory_max`: programs that stay in memory between calls;
        those in use are there besides."""
        self._store, self._developer_limits = store, developer_limits
        self._effective = effective_under(limits)
        self._in_memory_max = in_memory_max
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._shared: dict[str, Shared] = {}
        self._doubtful: set[str] = set()
        self._held: dict[str, str] = {}
        """Programs that are stopped here, whatever the store says, and how: few, each by a step of an operator's."""
        self._count = store.read(records.count_programs)

    def __iter__(self) -> Iterator[Program]:
        """Those in memory."""
        return iter(list(self._programs.values()))

    def __len__(self) -> int:
        """All that are installed."""
        return self._count

    def find(self, app: App | str, user: str = "") -> tuple[Program, Release]:
        """The program, and the release that this user gets ('' for nobody: the full one). A look-up in memory, else one
        read of the store. Raises NotInstalled, ProgramUnavailable."""
        app_id = app if type(app) is str else app.app_id  # type: ignore[union-attr]
        program = self._programs.get(app_id)
        if program is None or self._doubtful:
            program = self.program(app_id)
        else:
            self._programs.move_to_end(app_id)
            if program.leaving:
                raise not_installed(app_id)
        program.check_runs()
        return program, program.release_for(user)

    def program(self, app: App | str) -> Program:
        """The program, whether it may be called or not. Raises NotInstalled."""
        app_id = app if isinstance(app, str) else app.app_id
        program = self._programs.get(app_id)
        if program is None or app_id in self._doubtful:
            program = self._read(app_id)
        if program is None or program.leaving:
            raise not_installed(app_id)
        self._programs.move_to_end(app_id)
        return program

    def refresh(self, app_id: str) -> None:
        """The store may say something else of it now. Of a program that is not in memory nothing is to be done."""
        self._doubtful.discard(app_id)
        if app_id in self._programs:
            self._read(app_id)

    def refresh_owner(self, developer: str) -> None:
        """The same for all programs of a developer that are in memory; their shares too."""
        for app_id, program in list(self._programs.items()):
            if program.running.owner.id == developer:
                self._read(app_id)

    def forget_user(self, user: str) -> None:
        """Whoever tried a candidate, and was erased, tries it no more."""
        for program in self:
            if user in program.running.trial_users:
                self._read(program.app_id)

    def set_default(self, limits: Limits) -> None:
        """What programs get that are given no others: for calls from now on."""
        self._effective = effective_under(limits)
        for program in self:
            program.forget_made()
            self._read(program.app_id)

    def stop(self, app_id: str, how: str) -> None:
        """At once, whatever the store says: `killed` or `quarantined`; until `let_go`."""
        self._held[app_id] = how
        if (program := self._programs.get(app_id)) is not None:
            program.stopped = how

    def let_go(self, app_id: str) -> None:
        """What the store says of it counts again."""
        self._held.pop(app_id, None)
        self.refresh(app_id)

    def doubt(self, app_id: str) -> None:
        """Nobody knows what the store says of it: it is read for each call, until a `refresh`."""
        self._doubtful.add(app_id)

    def came(self, programs: int) -> None:
        """So many more are installed; fewer, if it is below 0."""
        self._count += programs

    def leave(self, app: App | str) -> Program:
        """The program is gone for later calls and for those that wait; those in flight go on without its grants. May be
        repeated until `remove`. Raises NotInstalled."""
        app_id = app if isinstance(app, str) else app.app_id
        program = self._programs.get(app_id) or self._read(app_id)
        if program is None:
            raise not_installed(app_id)
        program.leave()
        return program

    def remove(self, program: Program) -> None:
        """After `leave`, once all that belonged to it is ended; another one that was installed meanwhile stays."""
        if self._programs.get(program.app_id) is program:
            del self._programs[program.app_id]

    # ---- memory ------------------------------------------------------------------------------------------------------
    def _read(self, app_id: str) -> Program | None:
        """As the store has it; None where there is no such program."""
        running = self._store.read(lambda tx: records.running(tx, app_id))
        known = self._programs.get(app_id)
        if running is None:
            if known is not None and not known.leaving:
                del self._programs[app_id]
            return known if known is not None and known.leaving else None
        shared = self._shared_of(running)
        if known is not None and not (known.leaving and not running.program.leaving):
            known.admission.share(shared)
            known.follow(running, self._effective)
        else:
            self._programs[app_id] = known = Program(running, self._effective, shared)
            self._forget_some()
        known.stopped = self._held.get(app_id, known.stopped)
        return known

    def _shared_of(self, running: Running) -> Shared | None:
        """What the programs of one developer use together; None for nobody's."""
        owner = running.owner
        if not owner.id:
            return None
        limits: DeveloperLimits = self._developer_limits.changed(owner.limits)
        found = self._shared.get(owner.id)
        if found is None:
            found = self._shared[owner.id] = Shared(owner.id, limits)
        found.set_limits(limits)
        return found

    def _forget_some(self) -> None:
        """Of those not called for the longest time, who may go; a developer's share with the last of their programs."""
        if len(self._programs) <= self._in_memory_max:
            return
        now_us = self._store.now_us()
        for app_id in list(islice(self._programs, _LOOKED_AT)):
            if len(self._programs) <= self._in_memory_max:
                return
            program = self._programs[app_id]
            if program.is_idle(now_us):
                del self._programs[app_id]
                program.admission.share(None)
                owner = program.running.owner.id
                if owner and not self._shared[owner].programs:
                    del self._shared[owner]
            else:
                self._programs.move_to_end(app_id)


def release_of(stored: StoredRelease, running: Running, limits: Effective) -> Release:
    """The snapshot that calls take, of what the store has."""
    program, facts = running.program, stored.facts
    held = limits(tuple(facts.limits_wanted.items()), tuple(stored.limits.items()), bool(stored.script_sha256))
    return Release(
        app=App(
            app_id=program.app_id, release_name=stored.name, release_code=stored.code, identity=stored.identity,
            signed_by=stored.signed_by or None,
        ),
        module_sha256=stored.module_sha256, script_sha256=stored.script_sha256,
        code_sha256=stored.script_sha256 or stored.module_sha256, assets_sha256=stored.assets_sha256,
        memory_bytes=growth_bytes(facts.memory_max_pages, held),
        authority=Authority(requested=stored.requested, granted=stored.grants),
        limits=held, program_name=facts.program_name, payee=stored.payee, sector=program.sector, reasons=facts.reasons,
        notices=facts.notices, config=wire.decode(stored.config, CONFIG_BYTES_MAX), takes_events=facts.takes_events,
        lifetime=facts.lifetime, group=_group(stored, running) + (METERED if held.fuel else ""),
    )  # fmt: skip


def effective_under(default: Limits) -> Effective:
    """What holds where the manifest wants something and the operator gives something: found once for all programs of a
    template."""

    @lru_cache(maxsize=256)
    def effective(wanted: Named, given: Named, script: bool) -> Limits:
        return effective_limits(dict(wanted), default, dict(given), script=script)

    return effective


def _group(stored: StoredRelease, running: Running) -> str:
    if running.program.isolation == "dedicated":
        return f"alone:{running.program.app_id}"
    if running.owner.trust is Trust.PLATFORM and stored.developer == running.owner.id:
        return Trust.PLATFORM.value
    return Trust.REVIEWED.value if stored.reviewed else Trust.UNREVIEWED.value
