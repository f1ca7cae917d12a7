"""`python tests/conformance --target "COMMAND"`: what `hostel conformance` runs. docs/conformance.md explains it.

Exit codes: 0 every case is as it should be · 1 some are not · 2 the command line or a case file is wrong.
"""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
INTERRUPTED, BROKEN_PIPE = 130, 141
sys.path.insert(0, str(HERE))

from suite import case, expectations, html, report, run  # noqa: E402
from suite.target import CASE_SECONDS, CannotStart  # noqa: E402
from suite.verdict import Verdict  # noqa: E402


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="conformance", description="Judge a host of mini-programs by its protocol.")
    parser.add_argument("ids", nargs="*", help="cases to play: an id, or the beginning of one; all where none is given")
    parser.add_argument("--target", help="the command that is the host under test; it reads cases and writes results")
    parser.add_argument("--socket", type=Path, help="in the place of a target: the control socket of a running daemon")
    parser.add_argument("--level", choices=("MUST", "SHOULD"), help="only cases of this level")
    parser.add_argument("--expectations", type=Path, help="a JSON file with what is known to fail, or to be skipped")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="how many targets run at once")
    parser.add_argument("--seconds", type=float, default=CASE_SECONDS, help="the most that one case may take")
    parser.add_argument("--json", type=Path, help="write the whole result there")
    parser.add_argument("--junit", type=Path, help="write JUnit's XML there")
    parser.add_argument("--html", type=Path, help="write a page there")
    parser.add_argument("--list", action="store_true", help="only list the cases")
    return parser.parse_args()


def main() -> int:
    asked = options()
    try:
        known = expectations.read(asked.expectations)
        every = list(case.read_all(HERE / "cases"))
    except case.CaseError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    chosen = [one for one in every if _is_asked(one, asked)]
    if asked.list:
        for one in chosen:
            print(f"{one.id:<48} {one.level:<7} {', '.join(one.must):<24} {one.about}")
        return 0
    if asked.socket is not None:  # one case after the other: they share the daemon
        asked.target, asked.jobs = shlex.join((sys.executable, str(HERE / "socket_target.py"), str(asked.socket))), 1
    fruitless = [start for start in asked.ids if not any(one.id.startswith(start) for one in chosen)]
    if fruitless or not chosen:
        level = f" of level {asked.level}" if asked.level else ""
        starts = " or ".join(fruitless) or "anything"
        print(f"conformance: no case{level} has an id that begins with {starts}: --list shows them", file=sys.stderr)
        return 2
    if not asked.target:
        print("conformance: say which host: --target COMMAND or --socket PATH", file=sys.stderr)
        return 2
    if asked.socket is not None and (why := _silent(asked.socket)):
        print(f"conformance: no host answers at {asked.socket}: {why}", file=sys.stderr)
        return 2
    return _run(asked, known, chosen, [one.id for one in every])


def _silent(path: Path) -> str:
    """Why nobody listens there; nothing where somebody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _is_asked(one: case.Case, asked: argparse.Namespace) -> bool:
    fits = not asked.ids or any(one.id.startswith(start) for start in asked.ids)
    return fits and asked.level in (None, one.level)


def _run(asked: argparse.Namespace, known: expectations.Expectations, chosen: list[case.Case], ids: list[str]) -> int:
    began, said, lock = time.monotonic(), sys.stderr.isatty(), threading.Lock()
    count = 0

    def ended(verdict: Verdict) -> None:
        nonlocal count
        with lock:
            count += 1
            if said:
                print(f"\r{count}/{len(chosen)} {verdict.id:<60.60}", end="", file=sys.stderr, flush=True)

    try:
        verdicts = run.play(
            chosen, asked.target, guests=HERE / "guests", expectations=known, jobs=asked.jobs, seconds=asked.seconds,
            ended=ended,
        )  # fmt: skip
    except (case.CaseError, CannotStart) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    seconds = time.monotonic() - began
    if said:
        print("\r" + " " * 72 + "\r", end="", file=sys.stderr)
    stale = known.stale(ids)
    for line in report.lines(verdicts, stale):
        print(line)
    print(f"{len(verdicts)} cases in {seconds:.1f} s")
    if asked.json:
        asked.json.write_bytes(report.as_json(verdicts, asked.target, seconds))
    if asked.junit:
        asked.junit.write_bytes(report.as_junit(verdicts))
    if asked.html:
        asked.html.write_text(html.page(verdicts, asked.target, seconds), encoding="utf-8")
    return 0 if all(one.outcome.is_good for one in verdicts) and not stale else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
