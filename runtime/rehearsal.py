"""A rehearsal: what makes a host do the same again, call for call. For scenarios and simulators.

What lives here: one seed, and all that a host otherwise takes from the system's randomness as far as a program or its
caller can see it. In a rehearsal programs are woken by events only inside of `Host.settle`, never beside a call.
"""

from __future__ import annotations

from hashlib import shake_128
from itertools import count
from typing import Final

GUEST_BYTES: Final = 16
"""The seed of one call's randomness."""


class Rehearsal:
    """Used by one host at a time, from its trio thread. Never where users are served: whoever knows the seed knows
    every id."""

    def __init__(self, seed: int = 0) -> None:
        """`seed`: from 0 to 2^63 - 1."""
        if not 0 <= seed < 1 << 63:
            raise ValueError(f"a seed is from 0 to 2^63 - 1, not {seed}")
        self.seed = seed
        self.begin(0)

    def begin(self, scene: int) -> None:
        """From here on everything follows from the seed and this number: what came before, and how much of it, does
        not matter any more. A number is used once, or ids come twice."""
        self._scene = scene
        self._drawn = {purpose: count() for purpose in ("id", "call", "guest")}

    def new_id(self) -> str:
        """128 bits as hexadecimal text, as `Host.open` takes it."""
        return self._draw("id").hex()

    def call_id(self) -> str:
        """The same, for calls: drawn apart, as who is called when is not of one order with what a call makes."""
        return self._draw("call").hex()

    def guest_seed(self) -> bytes:
        """What the randomness of the next call follows from."""
        return self._draw("guest")

    def key(self, purpose: str, size: int) -> bytes:
        """A key of the host's that is made once: the same in every scene."""
        return shake_128(f"hostel rehearsal key {self.seed} {purpose}".encode()).digest(size)

    def _draw(self, purpose: str) -> bytes:
        told = f"hostel rehearsal {self.seed} {self._scene} {purpose} {next(self._drawn[purpose])}"
        return shake_128(told.encode()).digest(GUEST_BYTES)
