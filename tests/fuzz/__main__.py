"""`python tests/fuzz TARGET --seconds N --seed S`: gives the host bytes that nobody thought of. docs/fuzzing.md.

Exit codes: 0 nothing was found · 1 something was, and how it is met again is printed · 2 the command line is wrong, or
there is no wasm-tools where it is needed.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from tests.fuzz import crowds  # noqa: E402
from tests.fuzz.search import Searched, Target, keep, search, told  # noqa: E402
from tests.fuzz.targets import TARGETS  # noqa: E402


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    every = {**{name: crowd.about for name, crowd in crowds.CROWDS.items()}, **{n: t.about for n, t in TARGETS.items()}}
    each = "; ".join(f"{name}: {about}" for name, about in every.items())
    parser.add_argument("target", choices=[*every, "all"], help=each)
    parser.add_argument("--seed", type=int, default=0, help="the same one gives the same run")
    parser.add_argument("--seconds", type=float, help="search so long")
    parser.add_argument("--examples", type=int, help="or so many examples; 10,000 unless the seconds are given")
    parser.add_argument("--file", type=Path, help="only these bytes, of what was found")
    parser.add_argument("--keep", action="store_true", help="what is found goes into the corpus")
    parser.add_argument("--first", type=int, default=0, help="of modules and bundles: the number to begin with")
    parser.add_argument("--count", type=int, default=1_000, help="of modules and bundles: how many")
    parser.add_argument("--mark", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    asked = options()
    if asked.mark:
        return crowds.meet_here(
            asked.target, seed=asked.seed, first=asked.first, count=asked.count, mark=asked.mark, keep=asked.keep
        )
    names = [*TARGETS] if asked.target == "all" else [asked.target]
    return max(_crowd(name, asked) if name in crowds.CROWDS else _searched(TARGETS[name], asked) for name in names)


def _crowd(name: str, asked: argparse.Namespace) -> int:
    try:
        met = crowds.meet(name, seed=asked.seed, first=asked.first, count=asked.count, keep=asked.keep)
    except LookupError as error:
        print(f"fuzz: {error.args[0]}", file=sys.stderr)
        return 2
    print(met.shares + met.fault, end="\n" if met.fault else "")
    return 1 if met.fault else 0


def _searched(target: Target, asked: argparse.Namespace) -> int:
    if asked.file:
        data = asked.file.read_bytes()
        if asked.keep:
            print(f"kept: {keep(target.name, data)}")
        with target.opened() as run:
            run(data)
        print(f"{target.name}: {asked.file} gives a value or a documented error")
        return 0
    examples = asked.examples or (None if asked.seconds else 10_000)
    done = search(target, seed=asked.seed, examples=examples, seconds=asked.seconds)
    print(f"{target.name}: {done.examples:,} examples, {done.lines} lines reached, {len(done.pool)} in the pool")
    return _told(target, done, asked) if done.error is not None else 0


def _told(target: Target, done: Searched, asked: argparse.Namespace) -> int:
    traceback.print_exception(done.error)
    print(told(target.name, done))
    if asked.keep and done.finding is not None:
        print(f"kept: {keep(target.name, done.finding)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
