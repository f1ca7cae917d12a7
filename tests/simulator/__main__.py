"""`python -m tests.simulator SEED [--steps N]`: one seed alone, with what happened how often."""

from __future__ import annotations

import argparse
import time

from tests.simulator.simulator import simulate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--steps", type=int, default=10_000)
    options = parser.parse_args()
    began = time.perf_counter()
    done = simulate(options.seed, options.steps)
    took = time.perf_counter() - began
    print(f"seed {options.seed}: {done.steps} steps, {took:.1f} s, {took / done.steps * 1e6:.0f} µs a step")
    for answer, count in done.answers.most_common():
        print(f"{count:8} {answer}")


if __name__ == "__main__":
    main()
