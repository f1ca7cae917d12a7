"""`hostel dev`: a changed file is a new release at once, what cannot run leaves the old one, and it is the daemon."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from host_api.errors import ApiError
from runtime import AccountKind, AccountName, Client, GuestFailed, HostelError, Receipt, ScriptedCashier
from runtime.dev.project import open_project
from runtime.dev.serve import SOCKET, DevSettings, serve
from runtime.dev.watch import changed, seen
from runtime.errors import UsageError
from runtime.executor.job import Outcome
from runtime.faults import Fault, Faults
from runtime.host import Host
from runtime.registry import App
from runtime.session import CallSession
from tests.hostile.guests import module

SAMPLES = Path(__file__).resolve().parents[3] / "sample_programs"
WAIT_S = 20
MANIFEST = {
    "app_id": "org.example.dev", "name": "Dev", "version": {"name": "1", "code": 1},
    "req_permissions": [{"name": "storage", "reason": "to keep", "required": False}],
    "program": {"module": "program.wasm"},
}  # fmt: skip
OK = module()
TRAPS = module("(unreachable)")


class Heard:
    """A listener that keeps what it is told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []
        self.news = trio.Event()

    def _add(self, what: str, value: object) -> None:
        self.told.append((what, value))
        self.news.set()
        self.news = trio.Event()

    def ended(self, outcome: Outcome, receipt: Receipt, session: CallSession) -> None:
        self._add("ended", receipt.ending.value)

    def refused(self, session: CallSession, method: str, error: ApiError) -> None:
        self._add("refused", (method, error.code.code))

    def line(self, session: CallSession, level: str, text: str) -> None:
        self._add("line", text)

    def installed(self, app: App, paths: list[str], ms: float) -> None:
        self._add("installed", (paths, ms))

    def failed(self, error: HostelError) -> None:
        self._add("failed", error.code)

    async def next(self, what: str) -> Any:
        """The next thing of that kind that was not asked for yet."""
        with trio.fail_after(WAIT_S):
            while True:
                for at, (kind, value) in enumerate(self.told):
                    if kind == what:
                        del self.told[at]
                        return value
                await self.news.wait()


@pytest.fixture
def sample() -> Callable[[str], Path]:
    return lambda name: SAMPLES / name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "bundle").mkdir(parents=True)
    (folder / "bundle/manifest.json").write_bytes(msgspec.json.encode(MANIFEST))
    (folder / "bundle/program.wasm").write_bytes(OK)
    return folder


@asynccontextmanager
async def developed(
    folder: Path, state: Path, *, faults: Faults | None = None, scenario: str = ""
) -> AsyncIterator[tuple[Client, Heard]]:
    heard = Heard()
    async with trio.open_nursery() as nursery:
        project, cashier = open_project(folder, scenario), ScriptedCashier(lambda _: True)
        begin = partial(serve, project, DevSettings(state=state), heard, faults=faults, cashier=cashier)
        host: Host = await nursery.start(begin)
        assert host.ready
        async with Client.connect(state / SOCKET) as client:
            yield client, heard
            await client.host.stop()


async def test_a_project_as_it_changes(project: Path, tmp_path: Path) -> None:
    """One story on one daemon: what does not run yet, runs, is changed, is broken, is mended."""
    module_file, manifest = project / "bundle/program.wasm", project / "bundle/manifest.json"
    good = manifest.read_bytes()
    module_file.unlink()
    async with developed(project, tmp_path / "state") as (client, heard):
        call = partial(client.call, "org.example.dev", "m", user="alice")
        assert await heard.next("failed") == "manifest_invalid"
        module_file.write_bytes(OK)
        assert (await heard.next("installed"))[0] == ["bundle/program.wasm"]
        assert (await call()).value is None
        module_file.write_bytes(TRAPS)
        assert (await heard.next("installed"))[1] < 1_000 * WAIT_S
        with pytest.raises(HostelError, match="trapped"):
            await call()
        assert [await heard.next("ended") for _ in range(2)] == ["completed", "trapped"]
        module_file.write_bytes(OK)
        await heard.next("installed")
        for file, content, code in (
            (manifest, b"{", "manifest_invalid"), (module_file, b"\0asm", "module_refused"),
        ):  # fmt: skip
            file.write_bytes(content)
            assert await heard.next("failed") == code
            assert (await call()).value is None, "what ran before goes on"
            file.write_bytes(good if file is manifest else OK)
            await heard.next("installed")


async def test_users_money_and_refusals(project: Path, tmp_path: Path, sample: Callable[[str], Path]) -> None:
    """The head of a scenario says who is there; a wallet is filled once for a state directory."""
    shop = tmp_path / "shop"
    shutil.copytree(sample("grocery_delivery"), shop, ignore=shutil.ignore_patterns("source", "scenarios"))
    (shop / "scenarios").mkdir()
    head = {
        "about": "Little money.", "install": {"grant": ["payment", "storage"]},
        "users": {"bob": {"wallet": {"amount": 700, "currency": "CNY"}}}, "steps": [{"call": "catalog.list"}],
    }  # fmt: skip
    (shop / "scenarios/poor.json").write_bytes(msgspec.json.encode(head))
    faults = Faults()
    faults.add(Fault.parse("storage.put=busy*9"))
    for _ in range(2):
        async with developed(shop, tmp_path / "state", faults=faults, scenario="poor") as (client, heard):
            wallet = AccountName(kind=AccountKind.WALLET, owner="bob", currency="CNY")
            assert (await client.balance(wallet)).available == 700
            if faults.asked:
                with pytest.raises(GuestFailed):
                    await client.call("org.example.grocery", "cart.add", {"items": {"apple": 1}}, user="bob")
                assert await heard.next("refused") == ("storage.put", "busy")
                faults.clear()
            else:
                await client.call("org.example.grocery", "cart.add", {"items": {"apple": 1}}, user="bob")


# ---- what is watched -------------------------------------------------------------------------------------------------
def test_what_counts_as_a_change(project: Path) -> None:
    (project / "node_modules").mkdir()
    (project / "node_modules/a.js").write_text("1")
    (project / "bundle/.hidden").write_text("1")
    before = seen(project, but=frozenset({"bundle/program.wasm"}))
    assert sorted(before) == ["bundle/manifest.json"]
    (project / "bundle/new.json").write_text("{}")
    (project / "bundle/manifest.json").unlink()
    (project / "bundle/.hidden").write_text("22")
    after = seen(project, but=frozenset({"bundle/program.wasm"}))
    assert changed(before, after) == ["bundle/manifest.json", "bundle/new.json"]


def test_a_folder_of_all_the_world_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.dev.watch.FILES_MOST", 50)
    for number in range(51):
        (tmp_path / str(number)).touch()
    with pytest.raises(UsageError, match="more than"):
        seen(tmp_path)


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        open_project(tmp_path)
