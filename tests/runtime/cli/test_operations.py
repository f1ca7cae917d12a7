"""A daemon in a process of its own, and the commands that somebody types at it at night."""

from __future__ import annotations

import json
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import wire
from runtime.client import Client
from tests.console import HANG_S, command, environment, hostel
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.cli.conftest import Cli

CONFIG = '[host]\nallow_unsigned = true\n[http]\nport = 0\n[workers]\ncount = 1\nrequire = "none"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    home: Path
    process: subprocess.Popen[bytes]
    ready: dict[str, Any]

    def asked(self, *words: str) -> Any:
        """The JSON that a command prints."""
        done = hostel(self.home, *words, "--state", "state", "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def use(self, work: Callable[[Client], Any]) -> Any:
        async def run() -> Any:
            async with Client.connect(self.home / "state" / "hostel.sock") as client:
                return await work(client)

        return trio.run(run)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """`hostel serve` with one worker and nothing on it but a program that logged a line."""
    home = tmp_path_factory.mktemp("daemon")
    (home / "hostel.toml").write_text(CONFIG)
    process = subprocess.Popen(
        [*command(), "serve", "--state", "state"], cwd=home, env=environment(home), stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        assert select.select([process.stderr], [], [], HANG_S)[0], "nothing was said"
        started = Daemon(home=home, process=process, ready=json.loads(process.stderr.readline()))
        started.use(_say_a_line)
        yield started
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_S)
    assert process.returncode == 0


def said(text: str) -> Script:
    return Script().ask(wire.request(1, "log.write", {"level": "info", "message": text}))


async def _say_a_line(client: Client) -> None:
    app = await client.install(bundle(scripted(), "org.example.said"))
    await client.call(app, "run", said("hello \x1b[2J").params(), user="alice")
    await client.call(app, "run", Script().params(), user="alice", trace_id="of-mine")


def test_one_line_says_that_it_is_ready_and_where(daemon: Daemon) -> None:
    assert daemon.ready["event"] == "ready" and daemon.ready["level"] == "info"
    unix, http = daemon.ready["listening"]
    assert unix.endswith("state/hostel.sock") and http.startswith("http://127.0.0.1:")
    assert daemon.ready["process"] == daemon.process.pid


def test_how_it_does_can_be_asked(daemon: Daemon) -> None:
    told = daemon.asked("status")
    assert told["calls_ended"] >= 2 and told["statistics"]["programs"] == 1 and told["placement"] == "worker"
    assert [worker["state"] for worker in told["workers"]] == ["ready"]
    top = daemon.asked("top", "--by", "calls")
    assert [row["app_id"] for row in top["programs"]] == ["org.example.said"]
    shown = hostel(daemon.home, "top", "--once", "--state", "state")
    assert shown.code == 0 and "org.example.said" in shown.out and "p99 ms" in shown.out


def test_what_programs_said_and_what_their_calls_cost(daemon: Daemon) -> None:
    (line,) = [daemon.asked("logs", "org.example.said", "--since", "1h")]
    assert line["text"] == "hello \\x1b[2J" and line["app_id"] == "org.example.said"
    shown = hostel(daemon.home, "logs", "--state", "state", "--level", "error")
    assert (shown.code, shown.out) == (0, "")
    receipt = daemon.asked("receipts", "--trace", "of-mine")
    assert receipt["ending"] == "completed" and receipt["cpu_us"] > 0
    assert daemon.asked("receipts", "--call", line["call_id"])["log_bytes"] == len(line["text"]) + 1


def test_lines_are_followed_as_they_come(daemon: Daemon) -> None:
    following = subprocess.Popen(
        [*command(), "logs", "--follow", "--limit", "1", "--state", "state"], cwd=daemon.home,
        env={**environment(daemon.home), "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert following.stdout is not None
        assert b"hello" in following.stdout.readline()

        async def again(client: Client) -> None:
            await client.call("org.example.said", "run", said("and again").params(), user="bob")

        daemon.use(again)
        assert b"and again" in following.stdout.readline()
    finally:
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=HANG_S)


def test_a_backup_is_made_while_it_runs_and_restored(daemon: Daemon) -> None:
    made = daemon.asked("backup", "copy", "--journal")
    (told,) = daemon.asked("backups")
    assert Path(told["path"]) == Path(made["to"]) == daemon.home / "copy"
    restored = hostel(daemon.home, "restore", "copy", "--state", "new", "--json")
    assert restored.code == 0, restored.err
    assert json.loads(restored.out)["head"] == made["head"]
    assert hostel(daemon.home, "ledger", "verify", "--state", "new").code == 0
    again = hostel(daemon.home, "restore", "copy", "--state", "new")
    assert again.code == 8 and "state_exists" in again.err


def test_where_no_host_answers_it_says_so(cli: Cli, home: Path) -> None:
    said = cli("status", "--socket", home / "nowhere.sock")
    assert said.code == 23 and "hostel serve starts one" in said.err
    assert "which host?" in cli("top").err


@pytest.mark.parametrize("words", [("logs", "--since", "soon"), ("logs", "--level", "loud"), ("top", "--by", "luck"),
                                   ("top", "--limit", "0")])  # fmt: skip
def test_words_that_mean_nothing_are_refused(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli(*words, "--state", "x").code == 2


# ---- the configuration -----------------------------------------------------------------------------------------------
def test_check_says_everything_that_is_wrong(cli: Cli, home: Path) -> None:
    (home / "hostel.toml").write_text("[limits]\ncpu_u = 1\nwall_ms = 0\n[log]\nlevel = 'loud'\n")
    said = cli("serve", "--check", "--state", home / "state")
    assert said.code == 2 and all(word in said.err for word in ("did you mean cpu_us?", "wall_ms = 0", "'loud'"))
    problems = cli("serve", "--check", "--json").json["error"]["details"]["problems"]
    assert len(problems) == 3
    assert cli("serve", "--state", home / "state").code == 2 and not (home / "state").exists()


def test_check_says_what_is_in_effect_and_starts_nothing(cli: Cli, home: Path) -> None:
    (home / "other.toml").write_text("[limits]\ncpu_us = 70_000\n")
    said = cli("serve", "--check", "--config", home / "other.toml", "--state", home / "state", "--json")
    told = {one["setting"]: one for one in said.json}
    assert told["[limits] cpu_us"] == {"setting": "[limits] cpu_us", "value": 70_000, "default": 50_000, "live": True}
    assert told["[host] state"]["value"] == str(home / "state") and not told["[http] port"]["live"]
    shown = cli("serve", "--check", "--config", home / "other.toml", "--state", home / "state")
    assert "70000" in shown.out and not (home / "state").exists()
    assert "no state directory" in cli("serve", "--check").err
