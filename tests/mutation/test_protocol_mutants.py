"""The list of mutants for the conformance suite fits the code, and reaches every section of docs/protocol.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.mutation import protocol

PROTOCOL = (protocol.ROOT / "docs/protocol.md").read_text(encoding="utf-8")
MUTANTS = protocol.written()
OUT_OF_SIGHT = {
    "4.7": "what compilation costs is seen by its limits, which are §9.3's",
    "8.7": "invariants of the ledger: tests/simulator and tests/mutation/sql.py",
    "8.8": "the store's promises under a crash: tests/crash",
    "9": "its one sentence is about the tables",
    "14.1": "backups are files, which a target has none of: tests/runtime/test_backup.py",
    "15.2": "bounds of connections: tests/runtime/daemon/control",
    "15.5": "following what happens for ever: tests/runtime/daemon/control",
    "15.6": "steering a daemon ends it: tests/chaos",
    "16.2": "front ends come over HTTP, which no target has to offer: tests/runtime/daemon/http",
    "16.3": "as 16.2",
    "16.4": "as 16.2",
    "17.4": "how programs are kept: tests/runtime/test_registry.py",
    "19.1": "the jail is inside: tests/hostile/test_escape.py",
    "19.2": "workers are inside: tests/chaos",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutant_fits_the_code_it_changes(mutant: protocol.Mutant) -> None:
    text = (protocol.ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutant.applied(text) != text
    compile(mutant.applied(text), mutant.file, "exec")


def test_ids_are_unique_and_excuses_are_for_mutants_that_exist() -> None:
    ids = [mutant.id for mutant in (*MUTANTS, *protocol.generated(None))]
    assert len(ids) == len(set(ids))
    excused = {*json.loads(Path(protocol.SURVIVORS).read_text(encoding="utf-8"))}
    assert excused <= {*ids}
    assert not excused & json.loads(protocol.NOTICED.read_text(encoding="utf-8")).keys()


def test_every_section_with_requirements_has_a_mutant_or_a_reason() -> None:
    sections = {found.partition("-")[0] for found in re.findall(r"^- \*\*\[P([\d.]+-\d+)\]", PROTOCOL, re.MULTILINE)}
    assert sections >= OUT_OF_SIGHT.keys()
    missing = sections - {mutant.section for mutant in MUTANTS} - OUT_OF_SIGHT.keys()
    assert missing == set()
