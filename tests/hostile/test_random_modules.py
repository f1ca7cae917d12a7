"""Two thousand strangers' bundles: random modules of `wasm-tools smith`, and the samples' bundles changed in each of
their layers, signed anew. Each is refused with a documented code, or its calls end in a documented ending.

What else has to hold after every one is in tests/fuzz/judged.py: no fault of the host's, no limit passed, nothing left,
and a neighbour that answers. The host is in a process of its own, with everything on its ordinary way: the checks, the
compile child, the pool. HOSTEL_LONG=1 takes another seed each time, and ten times as many; HOSTEL_SEED says which.
"""

from __future__ import annotations

import pytest

from runtime.errors import Ending
from tests.crash.scale import LONG
from tests.fuzz.crowds import Met, meet
from tests.fuzz.judged import documented
from tests.fuzz.test_targets import SEED

MODULES, BUNDLES = (10_000, 12_000) if LONG else (1_000, 1_200)
LAYERS = (
    "archive, bytes", "archive, fields", "signing block", "manifest", "module, sections", "module, code", "script",
    "members",
)  # fmt: skip


def met(name: str, count: int) -> Met:
    try:
        crowd = meet(name, seed=SEED, count=count)
    except LookupError as error:
        pytest.skip(str(error.args[0]))
    print(f"\n{count} {name}, seed {SEED}\n{crowd.shares}")
    if crowd.fault:
        pytest.fail(crowd.fault, pytrace=False)
    return crowd


@pytest.mark.slow
def test_random_modules_are_refused_or_end_as_documented() -> None:
    crowd = met("modules", MODULES)
    assert sum(crowd.seen.values()) == MODULES
    assert crowd.count(": ended") > MODULES // 2
    for ending in (Ending.COMPLETED, Ending.FAILED, Ending.TRAPPED, Ending.CPU_EXCEEDED, Ending.PROTOCOL_VIOLATION):
        assert crowd.count(f": ended, {ending}"), f"none ended as {ending}: the host was not met where it runs"
    assert {"abi", "malformed", "proposal"} <= {what.rpartition(" ")[2] for what in crowd.seen}


@pytest.mark.slow
def test_changed_bundles_are_refused_or_end_as_documented() -> None:
    crowd = met("bundles", BUNDLES)
    assert crowd.count(": refused") > BUNDLES // 4
    assert crowd.count(": ended") > BUNDLES // 10
    assert {layer for layer in LAYERS if not crowd.count(f"{layer}: ")} == set()
    codes = {what.split("refused, ")[1].split(" ")[0] for what in crowd.seen if "refused, " in what}
    assert {"bundle_invalid", "manifest_invalid", "signature_invalid", "key_unknown", "module_refused"} <= codes


def test_the_page_of_refusals_is_read() -> None:
    """Else everything, or nothing, would be documented."""
    refused, ended = documented("The bundle is refused"), documented("Your program is ended")
    assert {"bundle_invalid", "compile_limit"} <= refused and "trapped" not in refused
    assert ended == {ending.value for ending in Ending}
