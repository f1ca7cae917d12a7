"""`hostel developer`, `release` and `program`: the whole ladder on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from runtime import Host, sign
from tests.runtime.cli.conftest import Cli, Said
from tests.runtime.ladder import ANN, APP, BOB, packed


@pytest.fixture
def state(home: Path) -> Path:
    """A state directory that a host made."""

    async def make() -> None:
        async with Host.open(home / "state"):
            pass

    trio.run(make)
    return home / "state"


def done(said: Said) -> Said:
    assert said.code == 0, said.out + said.err
    return said


def signed_up(cli: Cli, state: Path) -> str:
    found = done(cli("developer", "add", "Ann Ltd", "--state", state, "--json")).json
    done(cli("developer", "key", "add", "Ann Ltd", str(ANN.public_key), "--state", state))
    return str(found["id"])


def uploaded(cli: Cli, state: Path, code: int) -> None:
    file = state.parent / f"{code}.ma"
    file.write_bytes(sign(packed(code), ANN))
    said = done(cli("release", "upload", file, "--developer", "Ann Ltd", "--state", state))
    assert "submitted" in said.out and "storage" in said.out


def test_the_ladder_on_the_command_line(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    ann = signed_up(cli, state)
    for code in (1, 2):
        uploaded(cli, state, code)
        assert [one["code"] for one in done(cli("release", "list", *at, "--json")).json] == [code]
        done(cli("release", "approve", APP, code, "--grant", "storage", "--note", "Well made", *at))
        if code == 1:
            assert done(cli("release", "full", APP, 1, *at)).out == f"{APP} 1 is full\n"
    done(cli("release", "trial", APP, 2, "--user", "alice", "--user", "bob", *at))
    found = done(cli("release", "gray", APP, 2, "--percent", "12.5", *at, "--json")).json
    assert found["status"] == "gray"
    status = done(cli("program", "show", APP, *at, "--json")).json
    assert (status["owner"], status["share"], status["trial_users"]) == (ann, 1_250, 2)
    assert "2 (gray 12.5 %)" in done(cli("programs", *at)).out
    done(cli("release", "full", APP, 2, *at))
    done(cli("release", "rollback", APP, *at))
    assert done(cli("program", "show", APP, *at, "--json")).json["current_code"] == 1
    done(cli("release", "minimum", APP, 1, *at))
    done(cli("release", "kill", APP, "--reason", "it steals", *at))
    assert "killed" in done(cli("programs", *at)).out
    done(cli("release", "revive", APP, *at))
    done(cli("release", "offline", APP, *at))
    assert "offline" in done(cli("programs", *at)).out
    assert "rolled_back" in done(cli("release", "list", APP, *at)).out


def test_what_is_refused_says_what_to_do(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    signed_up(cli, state)
    uploaded(cli, state, 1)
    said = cli("release", "full", APP, 1, *at)
    assert said.code == 2 and "allowed: approve, reject (step_refused)" in said.err
    done(cli("release", "reject", APP, 1, "--reason", "No privacy text", *at))
    assert "No privacy text" in done(cli("release", "show", APP, 1, *at)).out
    assert cli("release", "gray", APP, 1, "--percent", "0.125", *at).code == 2
    assert cli("release", "show", APP, 9, *at, "--json").json["error"]["code"] == "release_unknown"
    assert cli("developer", "show", "Bob", *at).code == 2
    assert cli("program", "show", "org.example.none", *at).code == 7


def test_who_takes_a_capability_away_by_a_release_is_told(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    signed_up(cli, state)
    uploaded(cli, state, 1)
    first = done(cli("release", "approve", APP, 1, "--grant", "payment", *at))
    assert "with full" not in first.err
    assert "gone" not in done(cli("release", "full", APP, 1, *at)).err
    uploaded(cli, state, 2)
    said = done(cli("release", "approve", APP, 2, "--grant", "storage", *at))
    assert "1 has payment, this release has not: it goes with full" in said.err
    assert "1 had payment, this release has not: it is gone" in done(cli("release", "full", APP, 2, *at)).err
    uploaded(cli, state, 3)
    assert done(cli("release", "approve", APP, 3, *at, "--json")).json["goes_with_full"] == ["storage"]
    assert done(cli("release", "full", APP, 3, *at, "--json")).json["gone"] == ["storage"]


def test_a_release_is_shown_as_a_reviewer_reads_it(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    signed_up(cli, state)
    uploaded(cli, state, 1)
    shown = done(cli("release", "show", APP, 1, *at)).out
    assert "(Ann Ltd)" in shown and "structural cap" in shown and "no release of it is out" in shown
    done(cli("release", "approve", APP, 1, *at))
    done(cli("release", "full", APP, 1, *at))
    uploaded(cli, state, 2)
    assert "against 1: another module; no new capability\n" in done(cli("release", "show", APP, 2, *at)).out
    assert "(Ann Ltd)" in done(cli("program", "show", APP, *at)).out


def test_what_stops_a_program_answers_a_sentence(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    signed_up(cli, state)
    uploaded(cli, state, 1)
    done(cli("release", "approve", APP, 1, *at))
    done(cli("release", "full", APP, 1, *at))
    killed = done(cli("release", "kill", APP, "--reason", "it steals", *at)).out
    assert killed == f"{APP} is killed: it steals; undo: hostel release revive {APP}\n"
    assert done(cli("release", "revive", APP, *at)).out.count("\n") == 1
    assert f"undo: hostel release full {APP} 1" in done(cli("release", "offline", APP, *at)).out


def test_a_program_that_is_not_known_is_said_to_be_none(cli: Cli, state: Path) -> None:
    revoke = ("consent", "revoke", "--user", "alice", "--program", "org.none")
    erase = ("uninstall", "org.none", "--erase", "--yes")
    for words in (("uninstall", "org.none"), erase, revoke, ("logs", "org.none"), ("release", "list", "org.none")):
        said = cli(*words, "--state", state)
        assert (said.code, "hostel programs lists them (not_installed)" in said.err) == (7, True), said.err


def test_capabilities_are_taken_away_where_no_host_runs(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    signed_up(cli, state)
    uploaded(cli, state, 1)
    done(cli("release", "approve", APP, 1, "--grant", "payment", "--grant", "storage", *at))
    done(cli("release", "full", APP, 1, *at))
    assert cli("revoke", APP, "paymen", *at).code == 2
    assert "payment taken from" in done(cli("revoke", APP, "payment", *at)).err
    assert list(done(cli("program", "show", APP, "--json", *at)).json["grants"]) == ["storage"]
    assert cli("revoke", "org.none", "payment", *at).code == 7


def test_an_upload_says_whose_key_and_whose_name_are_missing(cli: Cli, state: Path) -> None:
    signed_up(cli, state)
    done(cli("developer", "add", "bob", "--state", state))
    file = state.parent / "1.ma"
    file.write_bytes(sign(packed(1), ANN))
    said = cli("release", "upload", file, "--state", state)
    assert said.code == 2 and "Add --developer NAME. See hostel release upload --help." in said.err
    said = cli("release", "upload", file, "--developer", "bob", "--state", state)
    assert "is not one of bob's; register the key: hostel developer key add, or sign with a key of bob's" in said.err


def test_what_lacks_a_host_or_another_command_is_pointed_there(cli: Cli, state: Path) -> None:
    assert "hostel serve" in cli("call", APP, "x", "--state", state).err
    said = cli("ledger", "balance", "bob", "--state", state)
    assert said.code == 2 and "hostel user show" in said.err


def test_a_revoked_key_names_what_it_signed(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    signed_up(cli, state)
    uploaded(cli, state, 1)
    key = ANN.public_key.key_id
    found = done(cli("developer", "key", "revoke", key, "--reason", "stolen", *at, "--json")).json
    assert found["releases"] == [[APP, 1, "submitted"]]
    assert "stolen" in done(cli("developer", "show", "Ann Ltd", *at)).out
    assert cli("release", "approve", APP, 1, *at).code == 4
    done(cli("developer", "trust", "Ann Ltd", "reviewed", *at))
    done(cli("developer", "limits", "Ann Ltd", "calls_per_s=9", *at))
    (told,) = done(cli("developer", "list", *at, "--json")).json
    assert (told["trust"], told["limits"]) == ("reviewed", {"calls_per_s": 9})
    assert cli("developer", "limits", "Ann Ltd", "call_per_s=9", *at).code == 2


def test_a_limit_is_a_number_and_a_moment_a_date(cli: Cli, state: Path) -> None:
    at = ("--state", state)
    signed_up(cli, state)
    assert "cpu_burst_us: 90000" in done(cli("developer", "limits", "Ann Ltd", "cpu_burst_us=90000", *at)).out
    uploaded(cli, state, 1)
    done(cli("release", "approve", APP, 1, "--limit", "cpu_us=90000", *at))
    done(cli("release", "full", APP, 1, *at))
    told = done(cli("program", "show", APP, *at)).out
    assert "cpu_us: 90000" in told and "T" in told.split("installed ")[1].split()[0]
    far = ("--valid-until-us", 2**63 - 1)
    assert str(2**63 - 1) in done(cli("developer", "key", "add", "Ann Ltd", str(BOB.public_key), *far, *at)).out


def test_what_the_command_line_released_a_host_serves(cli: Cli, state: Path) -> None:
    signed_up(cli, state)
    uploaded(cli, state, 1)
    done(cli("release", "approve", APP, 1, "--dedicated", "--state", state))
    done(cli("release", "full", APP, 1, "--state", state))

    async def call() -> object:
        async with Host.open(state) as host:
            return (await host.call(APP, "x")).value

    assert trio.run(call) == "v001"
    done(cli("uninstall", APP, "--erase", "--yes", "--state", state))
    assert done(cli("programs", "--state", state, "--json")).json == []
