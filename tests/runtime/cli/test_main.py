"""The way in and out: exit codes, help that is there at once, and no traceback for anybody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime import errors
from runtime.cli.commands import _COMMANDS
from runtime.cli.exit_codes import EXIT_CODES
from tests.console import HANG_S, ROOT, command, environment, hostel
from tests.runtime.cli.conftest import Cli

LOADED = "import sys; from runtime.cli import run; run(sys.argv[1:]); print(sorted(sys.modules), file=sys.stderr)"
NAMES = [name.split() for commands in _COMMANDS.values() for name, _, _ in commands]


def _error_types(kind: type[errors.HostelError]) -> Iterator[type[errors.HostelError]]:
    yield kind
    for each in kind.__subclasses__():
        if each.__module__ == "runtime.errors":
            yield from _error_types(each)


def test_ctrl_c_before_anything_is_imported_is_one_line_too(tmp_path: Path) -> None:
    """What is imported first sends the signal itself: no moment is earlier, and none has to be met by chance."""
    (tmp_path / "cyclopts.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    told = environment(tmp_path)
    told["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{told['PYTHONPATH']}"
    done = subprocess.run([sys.executable, "-m", "runtime.cli", "version"], env=told, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "hostel: interrupted\n")


def test_what_one_has_no_permission_for_is_wrong_usage(cli: Cli, home: Path) -> None:
    """As nobody, where root runs the tests: root is refused no file. What is imported late was imported before."""
    home.chmod(0o755)
    (home / "closed").mkdir()
    made = cli("new", "open", "--lang", "javascript"), cli("pack", "open")
    assert [said.code for said in made] == [0, 0]
    (home / "closed").chmod(0o000)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65_534)
        packed = cli("pack", "open", "-o", "closed/open.ma")
        new = cli("new", "closed/shop", "--lang", "javascript")
    finally:
        if is_root:
            os.seteuid(0)
        (home / "closed").chmod(0o700)
    assert (packed.code, new.code) == (2, 2)
    assert "cannot write 'closed/open.ma': Permission denied" in packed.err
    assert "no permission for closed/shop: check its owner and mode" in new.err


def test_every_exit_code_is_documented() -> None:
    abstract = {errors.CallEnded}
    codes = {kind.exit_code for kind in _error_types(errors.HostelError) if kind not in abstract}
    assert codes | {0, 20, 24, 25, 26, 74, 130, 141} == set(EXIT_CODES)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["version"],
        ["exit-codes"],
        ["limits"],
        ["api", "methods"],
        ["api", "show", "payment.create"],
        ["api", "schema"],
    ],
)
def test_nothing_of_the_sandbox_is_imported_to_say_this(tmp_path: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    modules = json.loads(done.stderr.splitlines()[-1].replace("'", '"'))
    assert not {"wasmtime", "trio", "runtime.host", "apsw"} & set(modules)
    assert "runtime.cli.commands" in modules


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_every_command_explains_itself_and_takes_json(cli: Cli, name: list[str]) -> None:
    said = cli(*name, "--help")
    assert said.code == 0
    assert "--json" in said.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["call", "a.b", "m", "--stat", "daemon"], "Unknown option: --stat. See hostel call --help."),
        (["run", "x.ma", "m", "--stat", "daemon"], "Unknown option: --stat. See hostel run --help."),
        (["call", "a.b", "m", "{}", "two"], "More than it takes: two. See hostel call --help."),
        (["packk", "x"], 'Unknown command "packk". Did you mean "pack"?'),
        (["conformance", "--lst"], "Unknown option: --lst. Did you mean --list?"),
    ],
)
def test_a_word_that_cannot_be_is_named(cli: Cli, words: list[str], told: str) -> None:
    said = cli(*words)
    assert said.code == 2 and told in said.err


def test_a_paragraph_of_help_is_broken_by_the_page_alone(cli: Cli) -> None:
    lines = cli("payments", "list", "--help").out.splitlines()
    (begun,) = [number for number, line in enumerate(lines) if line.startswith("Of a host that runs")]
    assert len(lines[begun]) > 60 and len(lines[begun + 1].split()) > 4


@pytest.mark.parametrize("name", ["limits", "exit-codes", "version"])
def test_the_tables_have_both_forms(cli: Cli, name: str) -> None:
    assert cli(name, "--json").json
    plain = cli(name)
    assert plain.code == 0 and plain.out.strip() and not plain.err


def test_every_limit_is_listed(cli: Cli) -> None:
    listed = {(row["table"], row["name"]) for row in cli("limits", "--json").json}
    assert {("Limits", "cpu_us"), ("ModuleCaps", "params"), ("CompileLimits", "cpu_s")} <= listed
    assert "50000" in cli("limits").out


def test_help_names_every_exit_code(cli: Cli) -> None:
    page = " ".join(cli("--help").out.split())
    assert all(f"{code} {meaning}" in page for code, meaning in EXIT_CODES.items())


@pytest.mark.parametrize("words", [["rum"], ["run"], ["run", "a", "b", "{}", "d"], ["keygen", "--ownr", "x", "f"]])
def test_wrong_usage_is_one_line(cli: Cli, words: list[str]) -> None:
    said = cli(*words)
    assert said.code == 2 and said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("hostel: not done: ") and line.endswith("(invalid_argument)")
    as_json = cli(*words, "--json")
    assert as_json.code == 2 and as_json.err == ""
    assert as_json.json["error"]["code"] == "invalid_argument"


def test_a_fault_of_ours_has_an_incident_and_its_own_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> str:
        raise LookupError("a bug")

    monkeypatch.setattr("runtime.cli.tables.installed", broken)
    said = cli("version", "--json")
    assert said.code == 70
    error = said.json["error"]
    assert (error["code"], error["exit_code"]) == ("internal", 70)
    assert error["details"]["incident"] in error["message"]


@pytest.mark.parametrize("word", ["limits", "exit-codes", "--help"])
def test_whoever_stops_reading_stops_the_command(tmp_path: Path, word: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*command(), word], env=environment(tmp_path), stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "words", [["limits"], ["limits", "--json"], ["api", "schema"], ["version"], ["--help"], ["rum", "--json"]],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_as_one(tmp_path: Path, words: list[str], unbuffered: str) -> None:
    environ = {**environment(tmp_path), "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*command(), *words], env=environ, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 74
    assert done.stderr.startswith("hostel: output not written: No space left on device")
    assert done.stderr.endswith("(output_failed)\n") and done.stderr.count("\n") == 1


def test_a_refusal_that_cannot_be_told_still_ends_with_a_code(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*command(), "rum"], env=environment(tmp_path), stdout=full, stderr=full)
    assert done.returncode == 74


def test_the_keyboard_interrupts_a_call(tmp_path: Path, sample: Callable[[str], Path]) -> None:
    words = ["run", str(sample("hostile/spin")), "go", "--limit", "cpu_us=600000000", "--limit", "wall_ms=600000"]
    started = subprocess.Popen(
        [*command(), *words], env=environment(tmp_path), stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a tester in the background ignores it
    )  # fmt: skip
    with started:
        assert started.stderr is not None
        assert "warning" in started.stderr.readline()
        started.send_signal(signal.SIGINT)
        try:
            _, rest = started.communicate(timeout=HANG_S)
        finally:
            started.kill()
    assert started.returncode == 130
    assert "hostel: interrupted" in rest.splitlines()  # among warnings of what Ctrl-C left open, where they are on


def test_the_module_is_the_console_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtime.cli", "version", "--json"], env=environment(tmp_path), capture_output=True
    )
    assert done.returncode == 0
    assert done.stdout.decode() == hostel(tmp_path, "version", "--json").out
    assert str(ROOT) not in done.stdout.decode()
