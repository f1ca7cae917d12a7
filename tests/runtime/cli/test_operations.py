"""A daemon in a process of its own, and the commands that somebody types at it at night."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import wire
from runtime.cli import run
from runtime.client import Client
from tests.console import HANG_S, command, environment
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.cli.conftest import Cli, Said

CONFIG = '[host]\nallow_unsigned = true\n[http]\nport = 0\n[workers]\ncount = 1\nrequire = "none"\n'


def typed(folder: Path, *words: str) -> Said:
    """What a command gives that is typed there; in this process."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = run(words)
    return Said(code=code, out=out.getvalue(), err=err.getvalue())


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    home: Path
    process: subprocess.Popen[bytes]
    ready: dict[str, Any]

    def asked(self, *words: str) -> Any:
        """The JSON that a command prints."""
        done = typed(self.home, *words, "--state", "state", "--json")
        assert done.code == 0, done.err
        return done.json

    def use(self, work: Callable[[Client], Any]) -> Any:
        async def connected() -> Any:
            async with Client.connect(self.home / "state" / "hostel.sock") as client:
                return await work(client)

        return trio.run(connected)


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
    app = await client.install(bundle(scripted(), "org.example.said"), grant=["payment"])
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
    shown = typed(daemon.home, "top", "--once", "--state", "state")
    assert shown.code == 0 and "org.example.said" in shown.out and "p99 ms" in shown.out


def test_what_programs_said_and_what_their_calls_cost(daemon: Daemon) -> None:
    (line,) = [daemon.asked("logs", "org.example.said", "--since", "1h")]
    assert line["text"] == "hello \\x1b[2J" and line["app_id"] == "org.example.said"
    shown = typed(daemon.home, "logs", "--state", "state", "--level", "error")
    assert (shown.code, shown.out) == (0, "")
    receipt = daemon.asked("receipts", "--trace", "of-mine")
    assert receipt["ending"] == "completed" and receipt["cpu_us"] > 0
    assert daemon.asked("receipts", "--call", line["call_id"])["log_bytes"] == len(line["text"]) + 1


@contextmanager
def following(daemon: Daemon, *words: str) -> Iterator[Callable[[], str]]:
    """A command that goes on, and what gives its next line; ended as Ctrl-C ends it."""
    process = subprocess.Popen(
        [*command(), *words, "--state", "state"], cwd=daemon.home, env=environment(daemon.home), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    lines = process.stdout
    try:
        yield lambda: lines.readline().decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANG_S)
    assert process.returncode == 130


def test_lines_are_followed_as_they_come(daemon: Daemon) -> None:
    async def again(client: Client) -> None:
        await client.call("org.example.said", "run", said("and again").params(), user="bob")

    with following(daemon, "logs", "--follow", "--limit", "1") as line:
        assert "hello" in line()
        daemon.use(again)
        assert "and again" in line()


def test_calls_are_followed_as_they_end(daemon: Daemon) -> None:
    async def again(client: Client) -> None:
        await client.call("org.example.said", "run", Script().params(), trace_id="followed")

    with following(daemon, "receipts", "--follow", "--trace", "of-mine", "--limit", "1", "--json") as line:
        assert json.loads(line())["trace_id"] == "of-mine"
    with following(daemon, "receipts", "org.example.said", "--follow", "--limit", "1") as line:
        assert " org.example.said run completed " in line()
        daemon.use(again)
        assert " org.example.said run completed " in line()


def test_events_are_followed_as_they_are_written(daemon: Daemon) -> None:
    order = {"subject": "apples", "amount": {"amount": 250, "currency": "CNY"}}

    def create(number: int) -> Callable[[Client], Any]:
        asked = {**order, "key": f"k{number}", "out_trade_no": f"t{number}"}
        script = Script().ask(wire.request(1, "payment.create", asked))

        async def work(client: Client) -> str:
            reply = await client.call("org.example.said", "run", script.params(), user="alice")
            return str(script.responses(reply.value)[0][3]["order_id"])

        return work

    first = daemon.use(create(1))
    with following(daemon, "events", "tail", "org.example.said", "--limit", "1") as line:
        assert line().split()[1:] == ["org.example.said", "1", "payment.pending", first, "1"]
        second = daemon.use(create(2))
        assert line().split()[1:] == ["org.example.said", "2", "payment.pending", second, "1"]
    with following(daemon, "events", "tail", "--limit", "1", "--json") as line:
        told = json.loads(line())
        assert (told["stream"], told["app_id"]) == (second, "org.example.said") and "alice" not in str(told)


def test_who_waits_for_it_is_told_when_it_is_ready(daemon: Daemon, cli: Cli, home: Path) -> None:
    assert daemon.asked("status", "--wait", "20")["ready"]
    said = cli("status", "--wait", "0.2", "--socket", home / "nowhere.sock", "--json")
    assert (said.code, said.json["error"]["code"]) == (23, "unreachable")
    assert "not ready within 0.2 s" in said.json["error"]["message"]
    assert cli("status", "--wait", "-1", "--socket", home / "nowhere.sock").code == 2


def test_its_configuration_is_read_again_when_asked_for(daemon: Daemon) -> None:
    try:
        (daemon.home / "hostel.toml").write_text(
            CONFIG.replace("count = 1", "count = 2") + "[limits]\ncpu_us = 60_000\n"
        )
        told = daemon.asked("reload")
        assert told["changes"] == [{"setting": "[limits] cpu_us", "before": "50000", "after": "60000"}]
        assert told["waiting"] == ["[workers] count"]
        (daemon.home / "hostel.toml").write_text("[limits]\ncpu_u = 1\n")
        wrong = typed(daemon.home, "reload", "--state", "state")
        assert wrong.code == 2 and "did you mean cpu_us?" in wrong.err
    finally:
        (daemon.home / "hostel.toml").write_text(CONFIG)
    shown = typed(daemon.home, "reload", "--state", "state")
    assert (shown.code, shown.out) == (0, "[limits] cpu_us: 60000 -> 50000\n")
    audited = typed(daemon.home, "audit", "list", "--effect", "host.setting_changed", "--state", "state").out
    assert audited.count(f"uid {os.geteuid()}") == 2


def test_a_backup_is_made_while_it_runs_and_restored(daemon: Daemon) -> None:
    made = daemon.asked("backup", "copy", "--journal")
    (told,) = daemon.asked("backups")
    assert Path(told["path"]) == Path(made["to"]) == daemon.home / "copy"
    restored = typed(daemon.home, "restore", "copy", "--state", "new", "--json")
    assert restored.code == 0, restored.err
    assert restored.json["head"] == made["head"]
    assert typed(daemon.home, "ledger", "verify", "--state", "new").code == 0
    again = typed(daemon.home, "restore", "copy", "--state", "new")
    assert again.code == 8 and "state_exists" in again.err


def test_what_is_no_backup_points_to_those_there_are(cli: Cli, home: Path) -> None:
    (home / "copy").mkdir()
    (home / "copy" / "manifest.json").write_text("{}")
    said = cli("restore", home / "copy", "--state", home / "new")
    assert said.code == 20 and "use another backup: hostel backups lists them" in said.err


def test_where_no_host_answers_it_says_so(cli: Cli, home: Path) -> None:
    said = cli("status", "--socket", home / "nowhere.sock")
    assert said.code == 23 and "hostel serve starts one" in said.err
    assert "which host?" in cli("top").err


@pytest.mark.parametrize("words", [("logs", "--since", "soon"), ("logs", "--level", "loud"), ("top", "--by", "luck"),
                                   ("top", "--limit", "0")])  # fmt: skip
def test_words_that_mean_nothing_are_refused(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli(*words, "--state", "x").code == 2


def test_it_is_drained_and_stopped_when_asked_for(home: Path) -> None:
    (home / "hostel.toml").write_text(CONFIG)
    process = subprocess.Popen([*command(), "serve", "--state", "state"], cwd=home, env=environment(home))
    try:
        assert typed(home, "status", "--wait", str(HANG_S), "--state", "state").code == 0
        assert typed(home, "drain", "--seconds", "1", "--state", "state").code == 0
        late = typed(home, "status", "--wait", "0.1", "--state", "state", "--json")
        assert (late.code, late.json["error"]["code"]) == (23, "not_ready")
        assert typed(home, "stop", "--state", "state").code == 0
        assert process.wait(HANG_S) == 0
    finally:
        process.kill()
        process.wait()
    audited = typed(home, "audit", "list", "--effect", "host.", "--state", "state").out
    assert "host.draining" in audited and "host.stopping" in audited


# ---- the configuration -----------------------------------------------------------------------------------------------
def test_check_says_everything_that_is_wrong(cli: Cli, home: Path) -> None:
    (home / "hostel.toml").write_text("[limits]\ncpu_u = 1\nwall_ms = 0\n[log]\nlevel = 'loud'\n")
    said = cli("serve", "--check", "--state", home / "state")
    assert said.code == 2 and all(word in said.err for word in ("did you mean cpu_us?", "wall_ms = 0", "'loud'"))
    assert said.err.count("did you mean cpu_us?") == 1
    problems = cli("serve", "--check", "--json").json["error"]["details"]["problems"]
    assert len(problems) == 3
    assert cli("serve", "--state", home / "state").code == 2 and not (home / "state").exists()


def test_check_looks_at_all_that_the_configuration_names(cli: Cli, home: Path) -> None:
    (home / "hostel.toml").write_text(
        '[host]\nkeyring = "no.toml"\n'
        '[http]\ncertificate = "no.pem"\nkey = "hostel.toml"\n'
        '[control]\nsocket_group = "no-such-group"\nlisten = "127.0.0.1:0"\n'
        'tls_certificate = "hostel.toml"\ntls_key = "hostel.toml"\n'
        f'tokens = [{{name = "ci", role = "caller", sha256 = "{"0" * 64}"}}]\n'
    )
    problems = cli("serve", "--check", "--state", "state", "--json").json["error"]["details"]["problems"]
    told = zip(("[host] keyring: ", "[control] socket: ", "[control] tls_", "[http] "), problems, strict=True)
    assert all(problem.startswith(name) for name, problem in told)
    told = zip(("no.toml", "no-such-group", "PEM", "no.pem"), problems, strict=True)
    assert all(word in problem for word, problem in told)
    said = cli("serve", "--check", "--state", "state")
    assert said.code == 2 and all(problem in said.err for problem in problems) and not (home / "state").exists()


def test_a_socket_path_that_is_too_long_is_told_with_its_length(cli: Cli, home: Path) -> None:
    (home / "hostel.toml").write_text("")
    for words in (("serve", "--check"), ("serve",)):
        said = cli(*words, "--state", home / ("x" * 110))
        used = len(str(home / ("x" * 110) / "hostel.sock"))
        assert f"has {used} bytes and may have 98" in said.err and "name a shorter state directory" in said.err


def test_check_says_what_is_in_effect_and_starts_nothing(cli: Cli, home: Path) -> None:
    (home / "other.toml").write_text("[limits]\ncpu_us = 70_000\n")
    said = cli("serve", "--check", "--config", home / "other.toml", "--state", home / "state", "--json")
    told = {one["setting"]: one for one in said.json}
    assert told["[limits] cpu_us"] == {"setting": "[limits] cpu_us", "value": 70_000, "default": 50_000, "live": True}
    assert told["[host] state"]["value"] == str(home / "state") and not told["[http] port"]["live"]
    shown = cli("serve", "--check", "--config", home / "other.toml", "--state", home / "state")
    assert "70000" in shown.out and not (home / "state").exists()
    assert "no state directory" in cli("serve", "--check").err
