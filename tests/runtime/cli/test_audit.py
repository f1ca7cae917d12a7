"""`hostel audit` and `hostel ledger`: what they prove, what they find, and what they end with."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api import audit, ledger
from host_api.events import outbox
from host_api.money import Money
from host_api.store import open_store
from runtime.cli.exit_codes import EXIT_CODES
from runtime.sources import SystemClock
from tests.runtime.cli.conftest import Cli

DIFFERS = 20


def change(state: Path, *jobs: Callable[[Any], Any]) -> None:
    """Run jobs of the store in that state directory."""

    async def work() -> None:
        async with open_store(state, SystemClock()) as store:
            for job in jobs:
                await store.write(job)

    trio.run(work)


def sql(statement: str) -> Callable[[Any], Any]:
    return lambda tx: tx.execute(statement)


def deposit(user: str, amount: int, currency: str = "CNY") -> Callable[[Any], Any]:
    money = Money(amount=amount, currency=currency)
    return lambda tx: ledger.deposit(
        tx, user=user, money=money, reference=f"{user} {amount} {currency}", new_salt=lambda: bytes(16)
    )


def event(tx: Any) -> None:
    outbox.publish(tx, app_id="org.example.shop", user="alice", stream="o", topic="payment.pending", payload={})


@pytest.fixture
def state(home: Path) -> Path:
    """With two deposits, an event and four audit records."""
    path = home / "state"
    change(
        path, deposit("alice", 1_250), deposit("bob", 7, "JPY"), event,
        lambda tx: audit.record(tx, "program.installed", app_id="org.example.shop", name="\u001b[2J"),
        lambda tx: audit.record(tx, "program.uninstalled", app_id="org.example.other"),
    )  # fmt: skip
    return path


def test_what_it_ends_with_is_documented() -> None:
    assert "does not hold together" in EXIT_CODES[DIFFERS]


# ---- audit -----------------------------------------------------------------------------------------------------------
def test_an_untouched_audit_holds(cli: Cli, state: Path) -> None:
    said = cli("audit", "verify", "--state", state)
    assert (said.code, said.err) == (0, "hostel: checking the audit\n")
    assert said.out.startswith("the audit holds: 4 records, the last with hash ")
    told = cli("audit", "verify", "--state", state, "--json").json
    assert (told["records"], told["begins_with"]) == (4, None)


def test_a_head_is_signed_and_holds_for_every_longer_chain(cli: Cli, state: Path, home: Path) -> None:
    said = cli("audit", "head", "--state", state)
    assert (said.code, said.json["n"]) == (0, 4)
    (home / "head.json").write_text(said.out)
    key = state / "keys" / "audit"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(key.read_bytes()) == 32
    change(state, lambda tx: audit.record(tx, "more"))
    said = cli("audit", "verify", "--state", state, "--head", home / "head.json")
    assert said.code == 0
    assert "the audit holds and begins with the 4 of the head: 5 records" in said.out
    assert cli("ledger", "verify", "--state", state, "--head", home / "head.json").code == 0


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE audit SET record = replace(record, 'shop', 'mall') WHERE n = 3", "record 3 is not what was written"),
        ("DELETE FROM audit WHERE n = 2", "record 2 is missing"),
        ("DELETE FROM audit WHERE n = 4", "the chain ends at record 3, and the head that was kept is record 4"),
        ("DELETE FROM audit", "the chain ends at record 0, and the head that was kept is record 4"),
    ],
)
def test_what_was_changed_or_cut_off_is_named(cli: Cli, state: Path, home: Path, damage: str, finding: str) -> None:
    (home / "head.json").write_text(cli("audit", "head", "--state", state).out)
    change(state, sql(damage))
    for group in ("audit", "ledger"):
        said = cli(group, "verify", "--state", state, "--head", home / "head.json")
        assert (said.code, said.out) == (DIFFERS, "")
        assert finding in said.err.splitlines()[-1] and "(verification_failed)" in said.err
    told = cli("audit", "verify", "--state", state, "--head", home / "head.json", "--json").json["error"]
    assert (told["exit_code"], told["details"]["count"]) == (DIFFERS, 1)
    assert finding in told["details"]["findings"][0]


def test_a_head_of_another_host_proves_nothing(cli: Cli, state: Path, home: Path) -> None:
    (home / "head.json").write_text(cli("audit", "head", "--state", state).out)
    change(home / "other", event)
    said = cli("audit", "verify", "--state", home / "other", "--head", home / "head.json")
    assert (said.code, "not the key of this state directory" in said.err) == (DIFFERS, True)
    assert not (home / "other" / "keys").exists()
    cli("audit", "head", "--state", home / "other")
    assert cli("audit", "verify", "--state", home / "other", "--head", home / "head.json").code == DIFFERS


def test_a_head_that_was_changed_is_refused(cli: Cli, state: Path, home: Path) -> None:
    told = cli("audit", "head", "--state", state).json
    (home / "head.json").write_text(json.dumps({**told, "n": 3}))
    said = cli("audit", "verify", "--state", state, "--head", home / "head.json")
    assert (said.code, "signature does not fit" in said.err) == (2, True)


def test_a_key_that_others_may_read_is_refused(cli: Cli, state: Path) -> None:
    cli("audit", "head", "--state", state)
    (state / "keys" / "audit").chmod(0o640)
    assert cli("audit", "head", "--state", state).code == 8


def test_records_are_listed_one_a_line_and_cannot_write_to_the_terminal(cli: Cli, state: Path) -> None:
    said = cli("audit", "list", "--state", state)
    assert (said.code, said.err, len(said.out.splitlines())) == (0, "", 4)
    assert 'program.installed app_id="org.example.shop" name="\\u001b[2J"' in said.out
    lines = [json.loads(line) for line in cli("audit", "list", "--state", state, "--json").out.splitlines()]
    assert [line["n"] for line in lines] == [1, 2, 3, 4]
    assert lines[3]["effect"] == "program.uninstalled"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--effect", "program."), [3, 4]),
        (("--effect", "program.installed"), [3]),
        (("--effect", "program"), []),
        (("--app", "org.example.other"), [4]),
        (("--app", "org.example.other", "--effect", "program.installed"), []),
        (("--after", "2"), [3, 4]),
        (("--after", "4"), []),
    ],
)
def test_records_are_found_by_effect_program_and_number(cli: Cli, state: Path, words: Any, found: list[int]) -> None:
    said = cli("audit", "list", "--state", state, "--json", *words)
    assert [json.loads(line)["n"] for line in said.out.splitlines()] == found


def test_a_long_audit_is_listed_whole(cli: Cli, state: Path) -> None:
    def fill(tx: Any) -> None:
        for _ in range(2_500):
            audit.record(tx, "more")

    change(state, fill)
    assert len(cli("audit", "list", "--state", state, "--effect", "more").out.splitlines()) == 2_500


# ---- ledger ----------------------------------------------------------------------------------------------------------
def test_everything_holds(cli: Cli, state: Path) -> None:
    said = cli("ledger", "verify", "--state", state)
    assert said.code == 0
    assert said.err.splitlines() == [
        f"hostel: checking the {part}" for part in ("ledger", "payments", "events", "audit")
    ]
    assert said.out == ("everything holds: 4 accounts, 2 transfers, 0 orders, 0 refunds, 1 events, 4 audit records\n")
    told = cli("ledger", "verify", "--state", state, "--json").json
    assert (told["transfers"], told["audit_records"], told["begins_with"]) == (2, 4, None)


def test_everything_holds_against_a_head(cli: Cli, state: Path, home: Path) -> None:
    (home / "head.json").write_text(cli("audit", "head", "--state", state).out, encoding="utf-8")
    said = cli("ledger", "verify", "--state", state, "--head", home / "head.json")
    assert said.out.startswith("everything holds, and the audit begins with the 4 of the head: 4 accounts, ")


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE accounts SET credits_posted = credits_posted + 1 WHERE owner = 'alice'", "ledger: "),
        ("DELETE FROM events", "events: stream o of org.example.shop: event 1 is missing"),
        ("UPDATE audit SET record = '{}' WHERE n = 1", "audit: record 1 is not what was written"),
    ],
)
def test_the_first_difference_is_named(cli: Cli, state: Path, damage: str, finding: str) -> None:
    change(state, sql(damage))
    said = cli("ledger", "verify", "--state", state)
    assert (said.code, said.out) == (DIFFERS, "")
    assert finding in said.err


def test_balances_are_sums_or_those_of_one_owner(cli: Cli, state: Path) -> None:
    told = cli("ledger", "balance", "--state", state, "--json").json
    assert [(row["kind"], row["currency"], row["accounts"], row["available"]) for row in told] == [
        ("funding", "CNY", 1, -1_250), ("funding", "JPY", 1, -7), ("wallet", "CNY", 1, 1_250), ("wallet", "JPY", 1, 7),
    ]  # fmt: skip
    told = cli("ledger", "balance", "--state", state, "--owner", "alice", "--json").json
    assert told == [{"kind": "wallet", "currency": "CNY", "accounts": 1, "available": 1_250, "held": 0, "incoming": 0}]
    assert cli("ledger", "balance", "--state", state, "--owner", "carol", "--json").json == []
    shown = cli("ledger", "balance", "--state", state).out
    assert "12.50" in shown and "-12.50" in shown and "7" in shown


# ---- what is no state ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "words", [("audit", "verify"), ("audit", "head"), ("audit", "list"), ("ledger", "verify"), ("ledger", "balance")]
)
def test_a_folder_without_a_state_stays_as_it_is(cli: Cli, home: Path, words: tuple[str, str]) -> None:
    (home / "empty").mkdir()
    for name in ("none", "empty"):
        said = cli(*words, "--state", home / name)
        assert (said.code, "no state" in said.err) == (8, True)
    assert not (home / "none").exists()
    assert list((home / "empty").iterdir()) == []


async def test_a_state_in_use_is_refused(cli: Cli, home: Path) -> None:
    def verify() -> int:
        return cli("ledger", "verify", "--state", home / "state").code

    async with open_store(home / "state", SystemClock()):
        assert await trio.to_thread.run_sync(verify) == 8
