"""hostel user, uninstall, notices: an operator's and a front end's hand on a state directory."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from host_api import ledger
from host_api.money import Money
from host_api.notify import notices
from host_api.notify.notices import Notice
from host_api.store import Transaction, open_store
from runtime.journal.entries import Encoder
from runtime.sources import SystemClock, new_id, new_salt
from runtime.testing import make_session
from runtime.wire import CanonicalCodec
from tests.runtime.cli.conftest import Cli


def fill(tx: Transaction) -> None:
    ledger.deposit(tx, user="alice", money=Money(amount=1250, currency="CNY"), reference="r", new_salt=new_salt)
    value = CanonicalCodec().encode({"photo": b"\x00\xff"})
    tx.execute("INSERT INTO storage_values VALUES ('org.shop', 'alice', 'cart', 1, 1, ?)", (value,))
    tx.execute("INSERT INTO storage_usage VALUES ('org.shop', 'alice', 1, 1, 1)")
    notices.insert(
        tx,
        Notice(
            id=new_id(), app_id="org.shop", user="alice", template="t", text="It is here", language="en",
            created_us=tx.now_us,
        ),
    )  # fmt: skip


@pytest.fixture
def state(home: Path) -> Path:
    """Of alice: 12.50 CNY, a value that is bytes, and a message that waits."""
    path = home / "state"

    async def make() -> None:
        async with open_store(path, SystemClock()) as store:
            await store.write(fill)

    trio.run(make)
    return path


def test_what_is_set_is_shown_and_forgotten(cli: Cli, state: Path) -> None:
    said = cli("user", "set", "alice", "nickname=Lin", "phone=+8613800000123", "--state", state)
    assert (said.code, said.err) == (0, "hostel: set nickname, phone\n")
    shown = cli("user", "show", "alice", "--state", state)
    assert "Lin" in shown.out and " 12.50 " in shown.out
    cli("user", "set", "alice", "phone=", "--state", state)
    found = cli("user", "show", "alice", "--state", state, "--json").json
    assert found["fields"] == {"nickname": "Lin"}
    assert found["balances"] == [{"currency": "CNY", "posted": 1250, "held": 0, "incoming": 0}]
    assert found["kept"]["storage"] == found["kept"]["notices"] == 1


def test_money_is_put_into_a_wallet_once_for_each_reference(cli: Cli, state: Path) -> None:
    words = ("user", "deposit", "alice", "50.00CNY", "--reference", "top-up-1", "--state", state)
    assert cli(*words).err == "hostel: 50.00CNY is in the wallet of 'alice'\n"
    assert cli(*words).err == "hostel: nothing was booked: 'top-up-1' is there already\n"
    assert cli(*words, "--json").json == {"user": "alice", "amount": 5000, "currency": "CNY", "booked": False}
    for _ in range(2):
        assert cli("user", "deposit", "alice", "1CNY", "--state", state, "--json").json["booked"]
    found = cli("user", "show", "alice", "--state", state, "--json").json
    assert found["balances"] == [{"currency": "CNY", "posted": 1250 + 5000 + 2 * 100, "held": 0, "incoming": 0}]


@pytest.mark.parametrize(("user", "amount"), [("", "1CNY"), ("alice", "1"), ("alice", "0CNY"), ("alice", "1.001CNY")])
def test_what_is_no_deposit_is_refused(cli: Cli, state: Path, user: str, amount: str) -> None:
    said = cli("user", "deposit", user, amount, "--state", state)
    assert (said.code, said.out) == (2, "")
    assert cli("ledger", "verify", "--state", state).code == 0


def test_of_a_stranger_nothing_is_shown(cli: Cli, state: Path) -> None:
    said = cli("user", "show", "bob", "--state", state)
    assert (said.code, said.out, said.err) == (0, "", "hostel: nothing is kept of 'bob'\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nickname"], "write NAME=VALUE"),
        (["colour=red"], "unknown field 'colour'"),
        (["phone=12"], "phone must be a number in E.164"),
        ([], "no field given"),
    ],
)
def test_fields_that_are_refused(cli: Cli, state: Path, words: list[str], why: str) -> None:
    said = cli("user", "set", "alice", *words, "--state", state)
    assert said.code == 2
    assert why in said.err


def test_an_export_is_one_json_document(cli: Cli, state: Path) -> None:
    found = cli("user", "export", "alice", "--state", state).json
    assert found["storage"][0]["values"][0]["value"] == {"photo": {"$base64": "AP8="}}
    assert found["notices"][0]["text"] == "It is here"


def test_an_erasure_has_to_be_meant(cli: Cli, state: Path) -> None:
    said = cli("user", "erase", "alice", "--state", state)
    assert said.code == 2
    assert "say --yes (not_confirmed)" in said.err
    assert cli("user", "show", "alice", "--state", state, "--json").json["kept"]["storage"] == 1


def test_a_balance_is_named_or_forfeited(cli: Cli, state: Path) -> None:
    said = cli("user", "erase", "alice", "--state", state, "--yes", "--json")
    assert said.code == 2
    assert said.json["error"]["code"] == "balance_left"
    assert "12.50 CNY" in said.json["error"]["message"]
    said = cli("user", "erase", "alice", "--state", state, "--yes", "--forfeit-balance", "--json")
    assert said.json == {"rows": 5, "orders_closed": 0, "forfeited": ["12.50 CNY"]}
    said = cli("user", "erase", "alice", "--state", state, "--yes")
    assert (said.code, said.err) == (0, "hostel: nothing was kept of 'alice'\n")
    assert b"alice" not in b"".join(file.read_bytes() for file in state.rglob("*") if file.is_file())


def test_a_name_that_is_no_users_is_refused(cli: Cli, state: Path) -> None:
    assert cli("user", "erase", "", "--state", state, "--yes").code == 2
    assert cli("user", "export", "", "--state", state).code == 2


def test_uninstalled_its_data_stays_and_erased_it_goes(cli: Cli, state: Path) -> None:
    said = cli("uninstall", "org.shop", "--state", state)
    assert said.code == 7 and "hostel programs lists them" in said.err, "its data is here, and no such program"
    assert cli("uninstall", "org.shop", "--state", state, "--erase").code == 2
    said = cli("uninstall", "org.shop", "--state", state, "--erase", "--yes", "--json")
    assert said.json == {"orders_closed": 0, "rows_erased": 3}
    assert b"org.shop" in (state / "hostel.sqlite3").read_bytes(), "the audit says what was erased, by program"


def test_messages_are_listed_and_taken(cli: Cli, state: Path) -> None:
    (waiting,) = cli("notices", "list", "--state", state, "--json").json
    assert (waiting["user"], waiting["text"]) == ("alice", "It is here")
    assert "It is here" in cli("notices", "list", "--state", state, "--user", "alice").out
    assert cli("notices", "list", "--state", state, "--user", "bob", "--json").json == []
    assert cli("notices", "take", waiting["id"], "--state", state).code == 0
    again = cli("notices", "take", waiting["id"], "--state", state)
    assert again.code == 2
    assert "notice_not_found" in again.err
    assert cli("notices", "list", "--state", state, "--json").json == []


@pytest.mark.parametrize(
    "words", [("user", "show", "a"), ("user", "export", "a"), ("uninstall", "a"), ("notices", "list")]
)
def test_a_state_directory_that_is_not_there_is_not_made(cli: Cli, home: Path, words: tuple[str, ...]) -> None:
    said = cli(*words, "--state", home / "nothing")
    assert said.code == 8
    assert "there is no state directory" in said.err
    assert not (home / "nothing").exists()


def test_what_the_journal_kept_goes_too_where_no_host_runs(cli: Cli, state: Path) -> None:
    key = b"j" * 32
    (state / "keys").mkdir(mode=0o700, exist_ok=True)
    (state / "keys" / "journal").write_bytes(key)
    (state / "keys" / "journal").chmod(0o600)
    (state / "journal").mkdir(mode=0o700)
    encoder = Encoder(key)
    lines = [encoder.line(1, make_session(user=user), "info", f"said by {user}") for user in ("alice", "bob")]
    (state / "journal" / "logs-00000000000000001.jsonl").write_bytes(b"".join(lines))
    assert cli("user", "erase", "alice", "--state", state, "--yes", "--forfeit-balance").code == 0
    (kept,) = (state / "journal").iterdir()
    assert kept.read_bytes() == lines[1]
