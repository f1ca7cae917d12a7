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
    assert "cpu_us: 90000" in told and "T" in told.split("installed_us")[1].split()[0]
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
