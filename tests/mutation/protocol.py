"""Does the conformance suite notice when a host is wrong? `python tests/mutation/protocol.py`, or `make mutants`.

Each mutant is one change to a copy of this host: those of protocol_mutants.json, written before the cases they are to
be caught by, at least one a section of docs/protocol.md; and, with `--generated`, every comparison in the code of
bounds, quotas and idempotency, moved by one. The suite is played on the copy, the mutant's own section first, until a
case is red. Printed is mutant → case. A survivor needs a reason in protocol_survivors.json; one without fails the run,
and so does a reason for a mutant that does not survive.

What must not live here: the mutants themselves, and anything about what a case expects.
"""

from __future__ import annotations

import argparse
import ast
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SUITE = ROOT / "tests/conformance"
WRITTEN = HERE / "protocol_mutants.json"
SURVIVORS = HERE / "protocol_survivors.json"
RUN_SECONDS = 900
FILES = {
    "host_api/payment/bounds.py": "8.5",
    "host_api/idempotency.py": "8.4",
    "host_api/storage.py": "7",
    "host_api/payment/refunds.py": "8.10",
    "runtime/admission.py": "9.1",
    "runtime/sandbox/hostcalls.py": "9.1",
    "runtime/program_calls.py": "6.2",
}
"""Where comparisons are moved → the section that says what they are for."""
_MOVED = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "=="}


@dataclass(frozen=True, slots=True)
class Mutant:
    id: str
    section: str
    file: str
    before: str
    after: str
    wrong: str

    def applied(self, text: str) -> str:
        """Raises ValueError where the text is not there exactly once: the list is stale."""
        if text.count(self.before) != 1:
            raise ValueError(f"{self.id}: {self.file} has its text {text.count(self.before)} times")
        return text.replace(self.before, self.after)


def written() -> list[Mutant]:
    return [Mutant(**told) for told in json.loads(WRITTEN.read_text(encoding="utf-8"))]


def generated() -> Iterator[Mutant]:
    """One for each comparison of numbers in FILES: the line it stands in, with the operator moved."""
    for name, section in FILES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in _MOVED:
                continue
            left, right = node.left, node.comparators[0]
            if left.end_lineno != right.lineno or left.end_col_offset is None:
                continue
            line = lines[right.lineno - 1].encode()
            moved = _MOVED[type(node.ops[0])]
            changed = line[: left.end_col_offset] + f" {moved} ".encode() + line[right.col_offset :]
            at = right.lineno
            before, after = "".join(lines[: at - 1]) + line.decode(), "".join(lines[: at - 1]) + changed.decode()
            yield Mutant(f"{name}:{at}:{left.end_col_offset}", section, name, before, after, line.decode().strip())


def red_case(mutant: Mutant) -> str | None:
    """The first case that notices; None if none does."""
    with tempfile.TemporaryDirectory(prefix="hostel-mutant-") as folder:
        for package in ("runtime", "host_api"):
            shutil.copytree(ROOT / package, Path(folder) / package, ignore=shutil.ignore_patterns("__pycache__"))
        file = Path(folder) / mutant.file
        file.write_text(mutant.applied(file.read_text(encoding="utf-8")), encoding="utf-8")
        for sections in ((f"{mutant.section}/",), ()):
            if (found := _first_red(Path(folder), sections)) is not None:
                return found
    return None


def _first_red(folder: Path, ids: Sequence[str]) -> str | None:
    result = folder / "result.json"
    target = f"env PYTHONPATH={folder} {sys.executable} -m runtime.cli target"
    done = subprocess.run(
        [sys.executable, str(SUITE), *ids, "--target", target, "--jobs", "1", "--json", str(result)],
        capture_output=True, text=True, timeout=RUN_SECONDS, cwd=folder,
    )  # fmt: skip
    if done.returncode == 2:
        return None if ids else f"the suite: {done.stderr.strip()}"
    cases = json.loads(result.read_text(encoding="utf-8"))["cases"]
    return next((one["id"] for one in cases if one["outcome"] in ("failed", "broken")), None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Break this host, and see whether the conformance suite notices.")
    parser.add_argument("ids", nargs="*", help="mutants to try; all where none is given")
    parser.add_argument("--generated", action="store_true", help="also every comparison in the code of bounds")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    mutants = [*written(), *(generated() if asked.generated else ())]
    if asked.ids:
        mutants = [mutant for mutant in mutants if mutant.id in asked.ids]
    excused = json.loads(SURVIVORS.read_text(encoding="utf-8"))
    survivors, wrong = 0, 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        for mutant, case in zip(mutants, pool.map(red_case, mutants), strict=True):
            reason = excused.get(mutant.id, "")
            survivors += case is None
            wrong += (case is None) != bool(reason)
            told = case or f"SURVIVES: {reason or 'without a reason'}"
            print(f"{mutant.section:<6}{mutant.id:<44} {mutant.wrong[:60]:<62} → {told}", flush=True)
    print(f"{len(mutants)} mutants, {survivors} survive, {wrong} not as {SURVIVORS.name} says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
