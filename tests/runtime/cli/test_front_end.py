"""`hostel payments` and `hostel consent`: what a run left open is answered by another process, once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle import pack_contents
from runtime.cli.commands import _COMMANDS
from runtime.errors import AnswerRefused, NotInstalled
from tests.console import HANG_S, ROOT, command, environment, hostel
from tests.runtime.cli.conftest import Cli, Said

GRANTS = ("--grant", "payment", "--grant", "storage", "--user", "alice")


@pytest.fixture
def shop(cli: Cli, sample: Callable[[str], Path], home: Path) -> Callable[..., Said]:
    """Calls the grocery shop with a state directory."""
    bundle = sample("grocery_delivery")

    def call(method: str, *words: str) -> Said:
        return cli("run", bundle, method, *words, *GRANTS, "--state", "state")

    return call


@pytest.fixture
def waiting(shop: Callable[..., Said], cli: Cli) -> Callable[..., dict[str, Any]]:
    """A cart of 42.50 CNY whose payment waits; gives what `hostel payments list` tells of it."""

    def make(*words: str) -> dict[str, Any]:
        shop("cart.add", '{"items": {"apple": 3, "milk": 1}}')
        slot = shop("slots.list").json["slots"][0]["slot"]
        said = shop("checkout", f'{{"slot": "{slot}"}}', "--later", *words)
        assert said.json["payment"] == "confirming"
        (row,) = cli("payments", "list", "--state", "state", "--json").json
        assert f"hostel payments confirm {row['prompt']} --state state" in said.err
        return dict(row)

    return make


def test_a_payment_left_open_is_confirmed_by_another_process(
    waiting: Callable[..., dict[str, Any]], shop: Callable[..., Said], cli: Cli, home: Path
) -> None:
    row = waiting("--fund", "100.00CNY")
    said = hostel(home, "payments", "confirm", row["prompt"], "--yes", "--state", "state")
    assert (said.code, said.err) == (0, "")
    assert said.out == "42.50 CNY to Fresh at home for 鲜到家买菜: succeeded\n"
    order = shop("order.show", f'{{"order_id": "{row["about"]}"}}').json
    assert (order["order"]["status"], order["payment"]) == ("paid", "succeeded")
    again = cli("payments", "confirm", row["prompt"], "--yes", "--state", "state")
    assert again.code == 19
    assert "prompt_not_found" in again.err


def test_everything_is_shown_before_anything_is_asked(waiting: Callable[..., dict[str, Any]], cli: Cli) -> None:
    row = waiting()
    assert {"user", "program", "about", "digest"} <= row.keys()
    assert row["shown"]["amount"] == {"amount": 4250, "currency": "CNY"}
    for name in (row["prompt"], row["about"]):
        page = cli("payments", "show", name, "--state", "state").out
        for text in ("Fresh at home", "42.50 CNY", "alice", row["about"]):
            assert text in page
        assert cli("payments", "show", name, "--state", "state", "--json").json["prompt"] == row["prompt"]
    assert "42.50 CNY" in cli("payments", "list", "--state", "state").out
    assert cli("payments", "list", "--state", "state", "--user", "bob", "--json").json == []


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 19), (b"\x04", 19)])
def test_a_yes_is_typed_on_a_terminal(
    waiting: Callable[..., dict[str, Any]], home: Path, typed: bytes, code: int
) -> None:
    row = waiting("--fund", "100.00CNY")
    user, program = pty.openpty()
    words = [*command(), "payments", "confirm", row["about"], "--state", "state"]
    with subprocess.Popen(
        words, stdin=program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home, env=environment(home)
    ) as started:
        os.write(user, typed)
        out, err = started.communicate(timeout=HANG_S)
    os.close(user)
    os.close(program)
    assert started.returncode == code, err
    for text in (b"payee    Fresh at home", b"amount   42.50 CNY", "for      鲜到家买菜".encode(), b"Pay? [y/N]"):
        assert text in err
    assert (b"succeeded" in out) is (code == 0)
    assert (b"answer refused: not answered" in err) is (code == 19)
    assert (b"[y/N] \n" in err) is (typed == b"\x04")  # else the terminal itself has shown the end of the line


def test_without_a_terminal_a_yes_has_to_be_said(waiting: Callable[..., dict[str, Any]], cli: Cli) -> None:
    row = waiting()
    said = cli("payments", "confirm", row["prompt"], "--state", "state")
    assert said.code == 2 and "--yes" in said.err
    assert len(cli("payments", "list", "--state", "state", "--json").json) == 1


def test_a_no_is_told_and_the_program_has_to_wait(
    waiting: Callable[..., dict[str, Any]], cli: Cli, shop: Callable[..., Said]
) -> None:
    row = waiting()
    said = cli("payments", "decline", row["prompt"], "--state", "state", "--json")
    assert said.json == {
        "prompt": row["prompt"], "order": row["about"], "program": row["program"], "user": "alice",
        "status": "pending", "close_reason": None,
    }  # fmt: skip
    slot = shop("slots.list").json["slots"][0]["slot"]
    again = shop("checkout", f'{{"slot": "{slot}"}}', "--later")
    assert again.code == 11 and "rate_limited" in again.err


def test_a_yes_that_cannot_be_paid_is_told_as_that(waiting: Callable[..., dict[str, Any]], cli: Cli) -> None:
    row = waiting()
    said = cli("payments", "confirm", row["prompt"], "--yes", "--state", "state", "--json")
    error = said.json["error"]
    assert (said.code, error["code"], error["details"]["close_reason"]) == (19, "not_paid", "no_funds")
    assert cli("payments", "list", "--state", "state", "--json").json == []


def test_later_needs_a_place_to_leave_it(cli: Cli, sample: Callable[[str], Path]) -> None:
    bundle = sample("echo")
    assert cli("run", bundle, "echo", "--later").code == 2
    assert cli("run", bundle, "echo", "--later", "--approve", "--state", "state").code == 2


COMMANDS = [
    ["payments", "list"], ["payments", "show", "x"],
    ["payments", "confirm", "x", "--yes"], ["payments", "decline", "x"],
    ["consent", "list", "--user", "alice"], ["consent", "pending"], ["consent", "allow", "x", "--yes"],
    ["consent", "refuse", "x"], ["consent", "revoke", "--user", "alice", "--program", "x"],
]  # fmt: skip


def test_every_command_of_front_ends_is_tried_here() -> None:
    assert {" ".join(words[:2]) for words in COMMANDS} == {name for name, _, _ in _COMMANDS["Front ends"]}


@pytest.mark.parametrize("words", COMMANDS)
def test_a_state_directory_is_needed_and_nothing_is_made(cli: Cli, home: Path, words: list[str]) -> None:
    said = cli(*words, "--state", "nowhere")
    assert said.code == 8 and "no state directory" in said.err
    assert not (home / "nowhere").exists()


def test_nothing_waits_in_an_empty_one(cli: Cli, sample: Callable[[str], Path]) -> None:
    assert cli("run", sample("echo"), "echo", '{"value": 1}', "--state", "state").code == 0
    for words in COMMANDS:
        said = cli(*words, "--state", "state", "--json")
        unknown = words[1] in ("show", "confirm", "decline", "allow", "refuse")
        if unknown:
            assert (said.code, said.json["error"]["code"]) == (AnswerRefused.exit_code, "prompt_not_found"), words
        elif words[1] == "revoke":  # of a program that nobody knows
            assert (said.code, said.json["error"]["code"]) == (NotInstalled.exit_code, "not_installed"), words
        else:
            assert said.code == 0 and isinstance(said.json, list | dict), words
        assert cli(*words, "--state", "state").code == said.code, words


def test_a_host_that_runs_is_not_disturbed(home: Path, sample: Callable[[str], Path], cli: Cli) -> None:
    bundle = sample("echo")
    params = '{"method": "session.sleep", "params": {"ms": 9000}}'
    words = [*command(), "run", str(bundle), "call", params, "--state", "state"]
    with subprocess.Popen(words, cwd=home, env=environment(home), stderr=subprocess.PIPE) as started:
        assert started.stderr is not None
        assert b"warning" in started.stderr.readline()
        while not (home / "state/hostel.sqlite3").exists():
            assert started.poll() is None
        said = cli("payments", "list", "--state", "state")
        started.kill()
    assert said.code == 8
    assert f"in use by process {started.pid}: stop it" in said.err


def test_the_whole_text_of_a_command_is_on_its_page(cli: Cli) -> None:
    pages = {
        "run": "Unsigned bundles run, with a warning",
        "limits": "Those of a call, program or user are changed with",
        "payments confirm": "Limits and grant are looked at once more",
        "payments": "in the place of a front end",
    }
    for name, text in pages.items():
        assert text in " ".join(cli(*name.split(), "--help").out.split()), name
    assert "Unsigned bundles" not in cli("--help").out


# ---- consent ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def asking(cli: Cli, home: Path) -> Callable[..., Said]:
    """A program that asks for the user's phone number; gives what it was answered."""
    manifest = json.loads((ROOT / "sample_programs/echo/bundle/manifest.json").read_text())
    manifest["req_permissions"] = [{"name": "user.phone", "reason": "To call you when the food is there."}]
    wasm = (ROOT / "sample_programs/echo/bundle/program.wasm").read_bytes()
    contents = {"manifest.json": json.dumps(manifest).encode(), "program.wasm": wasm}
    (home / "asking.ma").write_bytes(pack_contents(contents))

    def call(*words: str) -> Said:
        params = '{"method": "user.authorize", "params": {"scopes": ["phone"], "wait_ms": 9000}}'
        return cli(
            "run", "asking.ma", "call", params, "--grant", "user.phone", "--user", "alice", "--state", "state", *words
        )

    return call


@pytest.mark.parametrize(("word", "answer", "given"), [("allow", "granted", True), ("refuse", "refused", False)])
def test_consent_left_open_is_given_or_refused(
    cli: Cli, asking: Callable[..., Said], word: str, answer: str, given: bool
) -> None:
    assert asking("--later").json["result"] == {"scopes": {"phone": "pending"}}
    (row,) = cli("consent", "pending", "--state", "state", "--json").json
    table = cli("consent", "pending", "--state", "state", "--user", "alice").out
    assert "To call you when the food is there." in table
    said = cli("consent", word, row["prompt"], "--state", "state", *(["--yes"] if given else []), "--json")
    assert (said.code, said.json["scopes"]) == (0, ["phone"])
    assert asking("--later").json["result"] == {"scopes": {"phone": answer}}
    (kept,) = cli("consent", "list", "--user", "alice", "--state", "state", "--json").json
    assert (kept["given"], kept["holds"], kept["purpose"]) == (given, True, "To call you when the food is there.")
    assert cli("consent", "list", "--user", "bob", "--state", "state", "--json").json == []


def test_consent_is_taken_back(cli: Cli, asking: Callable[..., Said]) -> None:
    assert asking("--approve").json["result"] == {"scopes": {"phone": "granted"}}
    words = ("consent", "revoke", "--user", "alice", "--program", "org.example.echo", "--state", "state")
    assert cli(*words, "--scope", "phone", "--json").json["revoked"] == 1
    assert cli(*words, "--json").json["revoked"] == 0
    assert asking("--approve").json["result"] == {"scopes": {"phone": "refused"}}


def test_a_payment_is_no_consent(cli: Cli, asking: Callable[..., Said]) -> None:
    asking("--later")
    (row,) = cli("consent", "pending", "--state", "state", "--json").json
    assert cli("payments", "confirm", row["prompt"], "--yes", "--state", "state").code == 19
    assert cli("payments", "list", "--state", "state", "--json").json == []
