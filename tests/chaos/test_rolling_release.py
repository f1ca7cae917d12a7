"""A release is rolled out and back while the program is called, through the daemon's socket.

No call fails; each runs exactly one release, the one that its user has in that step; a share in gray is what was asked
for; a rollback is in force at once, and still is after kill -9. HOSTEL_LONG=1 makes a call for each of 20,000 users in
gray. -s prints the figures.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from benchmarks import guests
from host_api.releases.rollout import SHARES, place
from runtime.client import Client
from tests.chaos.daemon import serving, until
from tests.crash.scale import LONG
from tests.runtime.ladder import ANN, APP, signed

AT_ONCE = 32
USERS = 20_000
CALLS = 20_000 if LONG else 400
"""Of each step, at least."""
TRIED = [f"user-{number}" for number in range(20)]
VISIBLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One call that was answered."""

    user: str
    began: float
    ended: float
    says: str
    """The release, as its own code says."""
    receipt: str
    """As the receipt says."""


class Crowd:
    """Calls of users in turn, so many at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        order = random.Random(1).sample(range(USERS), USERS)
        self._users, self._next = [f"user-{number}" for number in order], 0
        self.made: list[Made] = []

    async def call_on(self) -> None:
        while True:
            user = self._users[self._next % USERS]
            self._next += 1
            began = trio.current_time()
            reply = await self._client.call(APP, "x", user=user)
            ended = trio.current_time()
            self.made.append(Made(user=user, began=began, ended=ended, says=reply.value, receipt=reply.receipt.release))

    async def during(self, step: Awaitable[Any], calls: int = CALLS) -> list[Made]:
        """Those that began after the step was in force."""
        await step
        since = trio.current_time()
        enough = len(self.made) + calls + AT_ONCE
        await until(lambda: len(self.made) >= enough, 300)
        return [made for made in self.made if made.began >= since]


def share_of(made: Sequence[Made], says: str) -> float:
    return sum(one.says == says for one in made) / len(made)


@pytest.mark.slow
async def test_a_release_rolls_out_and_back_under_load(tmp_path: Path) -> None:
    async with serving(tmp_path) as daemon, daemon.client() as client, daemon.client() as operator:
        developer = await first_release(operator)
        crowd = Crowd(client)
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(crowd.call_on)
            await until(lambda: len(crowd.made) >= CALLS)
            await roll(operator, developer, crowd)
            nursery.cancel_scope.cancel()
        assert {(one.says, one.receipt) for one in crowd.made} == {("v001", "1.0"), ("v002", "2.0")}
        assert (await operator.verify()) == []
        statuses = [upload.status for upload in await operator.releases.list(APP)]
        effects = [record for _, record in (await operator.audit_records(limit=1_000, effect="release."))[0]]
        print(f"{len(crowd.made)} calls, 0 failed: {dict(Counter(one.says for one in crowd.made))}; "
              f"{len(effects)} steps audited")  # fmt: skip
        await daemon.kill()
        await daemon.start()
        async with daemon.client() as again:
            assert {(await again.call(APP, "x", user=user)).value for user in TRIED} == {"v001"}
            assert [upload.status for upload in await again.releases.list(APP)] == statuses


async def first_release(operator: Client) -> str:
    developer = (await operator.developers.sign_up("Ann Ltd")).id
    await operator.developers.add_key(developer, str(ANN.public_key))
    await operator.developers.set_limits(developer, {"calls_per_s": 1_000_000, "calls_burst": 1_000_000})
    await upload(operator, developer, 1)
    await operator.releases.full(APP, 1)
    return developer


async def upload(operator: Client, developer: str, code: int) -> None:
    await operator.releases.upload(developer, signed(code))
    await operator.releases.approve(APP, code, limits=guests.UNRATED)


async def roll(operator: Client, developer: str, crowd: Crowd) -> None:
    releases = operator.releases

    def expect(made: Sequence[Made], has: Callable[[str], bool]) -> None:
        wrong = [one for one in made if one.says != ("v002" if has(one.user) else "v001")]
        assert wrong == [], wrong[:3]

    expect(await crowd.during(upload(operator, developer, 2)), lambda user: False)
    trial = await crowd.during(releases.trial(APP, 2, TRIED), CALLS)
    expect(trial, lambda user: user in TRIED)
    for share in (1_000, 5_000):
        gray = await crowd.during(releases.gray(APP, 2, share))
        expect(gray, lambda user, share=share: user in TRIED or place(APP, user) < share)  # type: ignore[misc]
        placed = sum(place(APP, f"user-{number}") < share for number in range(USERS)) / USERS
        print(f"\ngray {share / SHARES:.0%}: {placed:.2%} of {USERS} users, {share_of(gray, 'v002'):.2%} of"
              f" {len(gray)} calls", end="")  # fmt: skip
        assert abs(placed - share / SHARES) < 0.01
    expect(await crowd.during(releases.full(APP, 2)), lambda user: True)
    asked = trio.current_time()
    after = await crowd.during(releases.rollback(APP))
    expect(after, lambda user: False)
    last = max((one.began for one in crowd.made if one.says == "v002"), default=asked)
    ended = max((one.ended for one in crowd.made if one.says == "v002"), default=asked)
    print(f"\nrollback: the last call that began on the release did so {(last - asked) * 1e3:.1f} ms after it was"
          f" asked for, and was answered {(ended - asked) * 1e3:.1f} ms after")  # fmt: skip
    assert ended - asked < VISIBLE_S
