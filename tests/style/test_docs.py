"""The documents: tables are fresh, every requirement names tests that exist, links resolve, examples run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from docs import generate
from host_api import reference
from runtime.errors import Ending
from runtime.receipt import Receipt, Usage
from runtime.sandbox import abi

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"\| `(\w+)` \| (tests/[\w/.]+) ", PROTOCOL))
REFERENCES = sorted(set(re.findall(r"`(\w+)::(test_\w+)`", PROTOCOL)))
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("sample_programs/**/*.md"),
                    *ROOT.glob("host_api/**/*.md")])  # fmt: skip


def requirements() -> list[str]:
    """The list items that begin with an id, whole."""
    return re.findall(r"^- (\*\*\[P[\d.]+-\d+\]\*\*(?:.|\n(?!- |\n|#))*)", PROTOCOL, re.MULTILINE)


# ---- docs/protocol.md ------------------------------------------------------------------------------------------------
def test_generated_tables_are_fresh() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_document_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {generate.PROTOCOL: generate.PROTOCOL.read_bytes(), generate.REFERENCE: b"other"}
    monkeypatch.setattr(generate, "documents", lambda: wanted)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert capsys.readouterr().out == "docs/reference.md is stale: run python docs/generate.py\n"


def test_the_schema_in_the_documents_is_the_one_that_is_shipped() -> None:
    assert (ROOT / "docs/api.schema.json").read_bytes() == reference.shipped()


def test_the_reference_has_every_method_and_error_of_its_own() -> None:
    document, page = reference.load(), (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    for name, told in document["x-methods"].items():
        text = page.partition(f"### `{name}`\n")[2].partition("\n#")[0]
        assert told["summary"] in text
        rows = [row for which in ("params", "result") for row in reference.rows(document, told[which])]
        assert [row.name for row in rows if f"| `{row.name}` |" not in text] == []
        assert [code for code in told["errors"] if f"`{code}`" not in text] == []


def test_every_requirement_has_its_own_id_and_a_test() -> None:
    found = requirements()
    ids = [re.match(r"\*\*\[(P[\d.]+-\d+)\]", text)[1] for text in found]  # type: ignore[index]
    assert len(ids) == len(set(ids)) > 100
    assert [text for text in found if not re.search(r"`\w+::test_\w+`", text)] == []
    assert set(re.findall(r"\[(P[\d.]+-\d+)\]", PROTOCOL)) == set(ids)


def test_nothing_else_is_a_requirement() -> None:
    text = PROTOCOL
    for found in requirements():
        text = text.replace(found, "")
    (explained,) = [line for line in text.splitlines() if "MUST" in line]
    assert explained.startswith("MUST and MUST NOT are those of RFC 2119.")


@pytest.mark.parametrize("name", sorted({name for name, _ in REFERENCES}))
def test_every_test_named_exists(name: str) -> None:
    text = (ROOT / FILES[name]).read_text(encoding="utf-8")
    defined = set(re.findall(r"def (test_\w+)\(", text))
    assert {test for file, test in REFERENCES if file == name} - defined == set()


def test_every_file_named_is_used() -> None:
    assert set(FILES) == {name for name, _ in REFERENCES}


def test_every_wasi_function_is_told() -> None:
    told = PROTOCOL.partition("### 4.6")[2].partition("### 4.7")[0]
    rows = "".join(line.split("|")[1] for line in told.splitlines() if line.startswith("| `"))
    assert sorted(re.findall(r"`(\w+)`", rows)) == sorted(abi.WASI_IMPORTS)


def test_every_field_of_a_receipt_is_told() -> None:
    told = PROTOCOL.partition("## 10 Receipts")[2].partition("## 11")[0]
    names = {field.name for kind in (Receipt, Usage) for field in msgspec.structs.fields(kind)} - {"usage"}
    rows = "".join(line.split("|")[1] for line in told.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", rows)) == names


def test_every_code_raised_is_told() -> None:
    raised = set()
    for file in (ROOT / "runtime").rglob("*.py"):
        raised |= set(re.findall(r'code="(\w+)"', file.read_text(encoding="utf-8")))
    for file in (ROOT / "host_api/store").glob("*.py"):
        raised |= set(re.findall(r'StoreError\(\s*"(\w+)"', file.read_text(encoding="utf-8")))
    assert {code for code in raised if f"`{code}`" not in PROTOCOL} == set()


def test_every_ending_is_told() -> None:
    assert {ending for ending in Ending if f"| `{ending}` |" not in PROTOCOL} == set()


# ---- all documents ---------------------------------------------------------------------------------------------------
def anchors(text: str) -> set[str]:
    """As GitHub makes them from headings."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_resolves(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(file.name[:4]) for file in sorted((ROOT / "docs/decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
    for file in sorted((ROOT / "docs/decisions").glob("*.md")):
        heads = re.findall(r"^## (\w+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert heads == ["Context", "Decision", "Evidence", "Consequences"], file.name


@pytest.mark.parametrize("begun_with", ["trio.run(main", "asyncio.run(main", "trio.run(front_end"])
def test_the_examples_of_the_readme_run(begun_with: str) -> None:
    examples = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (example,) = [text for text in examples if re.search(rf"^{re.escape(begun_with)}", text, re.MULTILINE)]
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    printed = re.findall(r"# prints (.*)$", example, re.MULTILINE)
    assert [line for line in printed if line not in done.stdout] == []
    assert printed


def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    blocks = [text for text in re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL) if "hostel" in text]
    assert len(blocks) == 4
    commands = "".join(blocks)
    for name in re.findall(r"sample_programs/\S+", commands):
        assert (ROOT / name).exists()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    (tmp_path / "hostel.toml").write_text(f"[http]\nport = {port}\n[workers]\ncount = 1\n")
    typed = commands.replace("sample_programs/", f"{ROOT}/sample_programs/").replace("8080", port)
    hostel = tmp_path / "bin" / "hostel"
    hostel.parent.mkdir()
    hostel.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runtime.cli "$@"\n')
    hostel.chmod(0o755)
    told = tmp_path / "told"
    with told.open("wb") as output:
        shell = subprocess.Popen(
            ["sh", "-ec", typed], cwd=tmp_path, stdout=output, stderr=output, start_new_session=True,
            env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": f"{hostel.parent}:/usr/bin:/bin"},
        )  # fmt: skip
        try:
            assert shell.wait(120) == 0, told.read_text()
        finally:
            with suppress(ProcessLookupError):  # the daemon, where a command before its end failed
                os.killpg(shell.pid, signal.SIGKILL)
