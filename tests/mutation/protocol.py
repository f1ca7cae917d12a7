"""Does the conformance suite notice when a host is wrong? `python tests/mutation/protocol.py`, or `make mutants`.

Each mutant is one change to a copy of this host: those of protocol_mutants.json, written before the cases they are to
be caught by, at least one a section of docs/protocol.md; and, with `--generated`, a sample of those that
code_mutants.py makes of the code of bounds, quotas and idempotency. Cases are played on the copy, first the one that
noticed it last time (protocol_noticed.json; `--record` writes that anew), then those of the mutant's own section, until
one is red, and red again. A case that never runs the changed block is left out. Printed is mutant → case. A survivor
needs a reason in protocol_survivors.json; one without fails the run, and so does a reason for a mutant that is noticed.
A run that was cut off goes on where it was.

What must not live here: the mutants themselves, and anything about what a case expects.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.conformance.suite.case import Case, read_all  # noqa: E402
from tests.conformance.suite.expand import expand  # noqa: E402
from tests.conformance.suite.target import Target, TargetError  # noqa: E402
from tests.conformance.suite.verdict import judge  # noqa: E402
from tests.mutation.code_mutants import changes  # noqa: E402
from tests.mutation.reached import blocks_of, cases_of_blocks  # noqa: E402

SUITE = ROOT / "tests/conformance"
WRITTEN = HERE / "protocol_mutants.json"
SURVIVORS = HERE / "protocol_survivors.json"
NOTICED = HERE / "protocol_noticed.json"
"""Mutant → the case that noticed it last: where to begin, and no proof of anything."""
KEPT = ROOT / "build/mutants"
"""What a run found, for the next one."""
FILES = {
    "host_api/idempotency.py": "8.4",
    "host_api/notify/notices.py": "12",
    "host_api/payment/bounds.py": "8.5",
    "host_api/payment/fees.py": "8.3",
    "host_api/payment/records.py": "8.5",
    "host_api/payment/refunds.py": "8.10",
    "host_api/payment/steps.py": "8.10",
    "host_api/prompts/cooldown.py": "8.6",
    "host_api/storage.py": "7",
    "runtime/admission.py": "9.1",
    "runtime/program_calls.py": "6.2",
    "runtime/sandbox/hostcalls.py": "4.4",
    "runtime/session.py": "9.1",
}
"""Whose code is changed by code_mutants.py → the section that says what it is for."""
SAMPLE = 150
SEED = "hostel 1"


@dataclass(frozen=True, slots=True)
class Mutant:
    id: str
    section: str
    file: str
    wrong: str
    before: str = ""
    after: str = ""
    text: str = ""
    """The whole file as it is then, in the place of `before` and `after`."""
    line: int = 0
    """Of a generated one: where it is changed."""

    def applied(self, text: str) -> str:
        """Raises ValueError where the text is not there exactly once: the list is stale."""
        if self.text:
            return self.text
        if text.count(self.before) != 1:
            raise ValueError(f"{self.id}: {self.file} has its text {text.count(self.before)} times")
        return text.replace(self.before, self.after)


def written() -> list[Mutant]:
    return [Mutant(**told) for told in json.loads(WRITTEN.read_text(encoding="utf-8"))]


def generated(most: int | None = SAMPLE) -> list[Mutant]:
    """A sample that changes with what is in it only: each has its rank by its id."""
    found = [
        Mutant(id=change.id, section=section, file=name, wrong=change.was, text=change.text, line=change.line)
        for name, section in FILES.items()
        for change in changes(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    chosen = {mutant.id for mutant in sorted(found, key=lambda one: _digest(SEED, one.id))[:most]}
    return [mutant for mutant in found if mutant.id in chosen]


# ---- one mutant ------------------------------------------------------------------------------------------------------
def red_case(mutant: Mutant, cases: Sequence[Case]) -> str | None:
    """The first case that notices; None if none does."""
    with tempfile.TemporaryDirectory(prefix="hostel-mutant-") as name:
        folder = copy_of_host(Path(name))
        put(folder / mutant.file, mutant.applied((folder / mutant.file).read_text(encoding="utf-8")))
        command = shlex.join(("env", f"PYTHONPATH={folder}", sys.executable, "-P", "-m", "runtime.cli", "target"))
        with Target(command) as target:
            for case in cases:
                if not _is_green(target, case) and not _is_green(target, case):
                    return case.id
    return None


@cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    """The host as it is, with its bytecode: each copy would be compiled anew. Gone with this process."""
    made = tempfile.TemporaryDirectory(prefix="hostel-mutants-")
    for package in ("runtime", "host_api"):
        shutil.copytree(ROOT / package, Path(made.name) / package)
        compileall.compile_dir(Path(made.name) / package, quiet=1)
    return made


def copy_of_host(folder: Path) -> Path:
    """Links: who changes a file writes another one in its place."""
    for package in ("runtime", "host_api"):
        shutil.copytree(Path(_compiled().name) / package, folder / package, copy_function=os.link)
    return folder


def put(file: Path, text: str) -> None:
    """In the place of a link."""
    file.unlink()
    file.write_text(text, encoding="utf-8")


def _is_green(target: Target, case: Case) -> bool:
    expanded = expand(case, SUITE / "guests")
    try:
        return judge(case, expanded, target.play(expanded.message), 0.0).outcome.is_good
    except TargetError:
        return False


# ---- all of them -----------------------------------------------------------------------------------------------------
@dataclass
class Hunt:
    """The cases in the order in which each mutant meets them, and what earlier runs found."""

    cases: list[Case] = field(default_factory=lambda: list(read_all(SUITE / "cases")))
    found: dict[str, str | None] = field(default_factory=dict)
    blocks: dict[str, list[str]] = field(default_factory=dict)
    noticed: dict[str, str] = field(default_factory=lambda: _read(NOTICED))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def red_case(self, mutant: Mutant) -> str | None:
        """As an earlier run found it, where neither the changed file nor, of a survivor, any case is another now."""
        text = mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8"))
        noticed, survived = _digest(mutant.file, text), _digest(mutant.file, text, self._suite)
        if (known := self.found.get(noticed)) is not None:
            return known
        if survived in self.found:
            return None
        case = red_case(mutant, self.order(mutant))
        with self._lock:
            self.found[survived if case is None else noticed] = case
            _write(KEPT / "found.json", self.found)
        return case

    def order(self, mutant: Mutant) -> list[Case]:
        """Who noticed it last, then those of its section, and of them those that run most of the changed file. Without
        those that never run what is changed, where that is known."""
        cases, much = self.cases, self._much[mutant.file]
        if mutant.text and self.blocks:
            blocks = blocks_of(mutant.file, self._sources[mutant.file], mutant.line, self._sources)
            reaching = {case for block in blocks or () for case in self.blocks.get(block, ())}
            cases = [case for case in cases if blocks is None or case.id in reaching]
        last = self.noticed.get(mutant.id)
        return sorted(cases, key=lambda case: (case.id != last, case.section != mutant.section, -much[case.id]))

    @cached_property
    def _much(self) -> dict[str, Counter[str]]:
        """File → how many of its blocks each case runs."""
        much: dict[str, Counter[str]] = defaultdict(Counter)
        for block, ids in self.blocks.items():
            much[block.partition(":")[0]].update(ids)
        return much

    def learn_blocks(self) -> None:
        """Plays the whole suite once, on a copy that notes what it runs; as kept, where host and cases are the same."""
        key = _digest(self._suite, *self._sources.values())
        kept = _read(KEPT / "blocks.json")
        if kept.get("of") != key:
            print("which case runs what: the suite is played once", flush=True)
            with tempfile.TemporaryDirectory(prefix="hostel-mutant-") as name:
                blocks = cases_of_blocks(copy_of_host(Path(name)), FILES, self.cases, SUITE / "guests")
            kept = {"of": key, "blocks": blocks}
            _write(KEPT / "blocks.json", kept)
        self.blocks = kept["blocks"]

    @cached_property
    def _sources(self) -> dict[str, str]:
        files = sorted(file for package in ("runtime", "host_api") for file in (ROOT / package).rglob("*.py"))
        return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}

    @cached_property
    def _suite(self) -> str:
        return _digest(*(file.read_text(encoding="utf-8") for file in sorted((SUITE / "cases").glob("*/*.json"))))


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _write(file: Path, told: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    new.replace(file)


def _report(hunt: Hunt, mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, str | None]]:
    """Prints each as it comes, in the order of the list."""
    excused = json.loads(SURVIVORS.read_text(encoding="utf-8"))
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, case in zip(mutants, pool.map(hunt.red_case, mutants), strict=True):
            told = case or f"SURVIVES: {excused.get(mutant.id, 'without a reason')}"
            print(f"{mutant.section:<6}{mutant.id:<60} {mutant.wrong[:60]:<62} → {told}", flush=True)
            yield mutant, case


def _recorded(before: dict[str, str], cases: dict[str, str | None]) -> dict[str, str]:
    """With what earlier runs noticed of mutants that are still there, and were not tried now."""
    there = {mutant.id for mutant in (*written(), *generated(None))}
    kept = {name: case for name, case in before.items() if name in there and name not in cases}
    return dict(sorted((kept | {name: case for name, case in cases.items() if case is not None}).items()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Break this host, and see whether the conformance suite notices.")
    parser.add_argument("ids", nargs="*", help="mutants to try, by the beginning of an id; all where none is given")
    parser.add_argument("--generated", action="store_true", help="also a sample of changes to the code of bounds")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="how many of those (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (%(default)s)")
    parser.add_argument("--record", action="store_true", help=f"write what noticed each to {NOTICED.name}")
    asked = parser.parse_args()
    mutants = [*written(), *(generated(asked.sample) if asked.generated else ())]
    if asked.ids:
        mutants = [mutant for mutant in mutants if mutant.id.startswith(tuple(asked.ids))]
    hunt, began = Hunt(found=_read(KEPT / "found.json")), time.monotonic()
    if any(mutant.text for mutant in mutants):
        hunt.learn_blocks()
    _compiled()
    cases = {mutant.id: case for mutant, case in _report(hunt, mutants, asked.jobs)}
    survivors = {name for name, case in cases.items() if case is None}
    if asked.record:
        _write(NOTICED, _recorded(hunt.noticed, cases))
    excused = json.loads(SURVIVORS.read_text(encoding="utf-8")).keys() & {mutant.id for mutant in mutants}
    for name in sorted(survivors ^ excused):
        print(f"{name}: {'survives without a reason' if name in survivors else 'is noticed, and has a reason'}")
    told = f"{len(mutants)} mutants, {len(survivors)} survive, {len(survivors ^ excused)} not as {SURVIVORS.name} says"
    print(f"{told}; {time.monotonic() - began:.0f} s")
    return 1 if survivors ^ excused else 0


if __name__ == "__main__":
    sys.exit(main())
