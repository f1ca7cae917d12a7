"""A record, replayed: equal for the same guest, whatever it did; told apart by the first thing that is not the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import Bundle, CallEnded, Ending, Host, HostSettings, Limits, ScriptedCashier, UsageError, wire
from runtime.bundle import pack, pack_contents
from runtime.javascript import Interpreter
from runtime.limits import FUEL_MOST
from runtime.receipt import Receipt
from runtime.recording import record as records
from runtime.recording.record import Piece, Record
from runtime.recording.replay import Replayed, run_again
from runtime.recording.tape import Recorder
from runtime.testing import LogLines
from tests.hostile.guests import OK, ROOM, Script, bundle, module, scripted

SAMPLES = Path(__file__).resolve().parents[3] / "sample_programs"
INFO = wire.request(1, "session.info", {})
PUT = wire.request(1, "storage.put", {"key": "k", "value": b"v"})


def sleep(msgid: int, ms: int) -> bytes:
    return wire.request(msgid, "session.sleep", {"ms": ms})


@pytest.fixture(scope="session")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> HostSettings:
    folder = tmp_path_factory.mktemp("artifacts")
    folder.chmod(0o700)
    return HostSettings(slots=4, allow_unsigned=True, cache_dir=folder)


Recorded = Callable[..., Record]


@pytest.fixture
def recorded(chosen: HostSettings) -> Recorded:
    """The record of one call."""

    def make(
        what: Bundle | Script, method: str = "run", params: Any = None, *, grant: Any = (), before: Any = (),
        **limits: int,
    ) -> Record:  # fmt: skip
        return trio.run(_record, chosen, what, method, params, grant, before, limits)

    return make


async def _record(
    chosen: HostSettings, what: Bundle | Script, method: str, params: Any, grant: Any, before: Any, limits: Any
) -> Record:
    recorder = Recorder()
    made, params = (bundle(scripted()), what.params()) if isinstance(what, Script) else (what, params)
    limits = {"fuel": FUEL_MOST, **limits}
    cashier = ScriptedCashier(lambda _: True)
    async with Host.open(settings=chosen, recorder=recorder, log_sink=LogLines(), cashier=cashier) as host:
        app = await host.install(made, grant=("storage",) if grant == () else grant, limits=limits)
        for earlier, told in before:
            await host.call(app, earlier, told, user="alice")
        recorder.arm(app.app_id)
        receipt: Receipt | None
        try:
            receipt = (await host.call(app, method, params, user="alice")).receipt
        except CallEnded as ended:
            receipt = ended.receipt
    found = recorder.record(made)
    assert found is not None and found.end.receipt == receipt
    return found


@pytest.fixture
def again(chosen: HostSettings) -> Callable[..., Replayed]:
    def play(record: Record, other: Bundle | None = None) -> Replayed:
        return trio.run(run_again, records.decoded(records.encoded(record)), other, chosen)

    return play


def same(record: Record, replayed: Replayed) -> None:
    """Equal in everything but CPU and wall time."""
    assert replayed.difference is None, replayed.difference
    timeless = {"cpu_us": 0, "wall_us": 0}
    one, other = (
        msgspec.structs.replace(r, usage=msgspec.structs.replace(r.usage, **timeless))
        for r in (record.end.receipt, replayed.receipt)
    )
    assert one == other


# ---- equal -----------------------------------------------------------------------------------------------------------
ENDINGS = {
    "completed": Script().ask(INFO).call(PUT).print(b"a line\n").step("clock_time_get", 0, ROOM).step("show", ROOM, 8),
    "random": Script().step("random_get", ROOM, 40).step("show", ROOM, 40),
    "refused": Script().ask(wire.request(1, "no.such", {})).call(bytes(0) + PUT, capacity=4).step("take", ROOM, 4096),
    "posted": Script().post(sleep(1, 20)).post(sleep(2, 1)).wait(0).awaited().awaited().wait(),
    "left": Script().post(sleep(1, 5)).post(PUT),
    "grown": Script().step("memory_grow", 5).step("memory_grow", 5_000),
    "exited": Script().step("memory_grow", 1).step("proc_exit", 3),
    "trapped": Script().call(PUT).step("unreachable"),
    "violation": Script().ask(INFO).step("call", ROOM, 5, ROOM, 4_096),
    "bad_pointer": Script().step("call", 0xFFFF_FF00, 5, ROOM, 4_096),
    "answer": Script().ask(INFO).step("give", 0xFFFF_0000, 77),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_every_way_to_end(name: str, recorded: Recorded, again: Callable[..., Replayed]) -> None:
    record = recorded(ENDINGS[name])
    replayed = again(record)
    same(record, replayed)
    assert replayed.imports == sum(event.answer is not None for event in record.events)


def test_fuel_at_its_end(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    record = recorded(Script().ask(INFO).step("spin", 0), fuel=100_000)
    assert record.end.receipt.ending is Ending.FUEL_EXHAUSTED
    same(record, again(record))


def test_a_call_that_was_cut_short_replays_to_its_last_import(
    recorded: Recorded, again: Callable[..., Replayed]
) -> None:
    record = recorded(Script().ask(INFO).call(PUT).step("spin", 0), cpu_us=2_000)
    assert record.end.receipt.ending is Ending.CPU_EXCEEDED
    replayed = again(record)
    assert (replayed.difference, replayed.imports, replayed.stopped) == (None, 2, "the record goes no further")
    spun = recorded(Script().step("spin", 0), cpu_us=2_000)
    assert again(spun).imports == 0


def test_a_deadline_met_in_an_import(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    record = recorded(Script().ask(INFO).call(sleep(1, 9_000)), wall_ms=30)
    assert record.end.receipt.ending is Ending.DEADLINE_EXCEEDED
    replayed = again(record)
    assert (replayed.difference, replayed.stopped) == (None, "the call ended in hostel_v1.call")


def test_samples(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    echo = Bundle.from_bytes(_packed(SAMPLES / "echo" / "bundle"))
    record = recorded(echo, "echo", {"value": "一二三"})
    assert record.end.receipt.ending is Ending.COMPLETED
    same(record, again(record))


def _packed(folder: Path) -> bytes:
    return pack(folder)


@pytest.mark.parametrize("kind", ["cart", "checkout"])
def test_grocery(kind: str, recorded: Recorded, again: Callable[..., Replayed]) -> None:
    shop = Bundle.from_bytes(_packed(SAMPLES / "grocery_delivery" / "bundle"))
    cart = ("cart.add", {"items": {"apple": 3}})
    grant = ["payment", "storage"]
    if kind == "cart":
        record = recorded(shop, *cart, grant=grant)
    else:
        record = recorded(shop, "checkout", {"slot": "2026-11-23T09"}, grant=grant, before=[cart])
    assert record.events
    same(record, again(record))


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from(["info", "put", "post", "wait", "poll", "random", "clock", "grow", "spin", "print", "bad"]),
        max_size=8,
    )
)
def test_a_replay_equals(steps: list[str], recorded: Recorded, again: Callable[..., Replayed]) -> None:
    script = Script()
    for number, step in enumerate(steps, 1):
        match step:
            case "info":
                script.ask(INFO)
            case "put":
                script.ask(PUT)
            case "post":
                script.post(sleep(number, number % 3))
            case "wait":
                script.wait()
            case "poll":
                script.wait(0)
            case "random":
                script.step("random_get", ROOM, 9).step("show", ROOM, 9)
            case "clock":
                script.step("clock_time_get", 1, ROOM).step("show", ROOM, 8)
            case "grow":
                script.step("memory_grow", number)
            case "spin":
                script.step("spin", 1_000 * number)
            case "print":
                script.print(b"line\n" * number)
            case "bad":
                script.ask(wire.request(number, "storage.get", {"kee": 1}))
    record = recorded(script)
    same(record, again(record))


LOADING = """
  (global $turns (mut i32) (i32.const 0))
  (func (export "hostel_load") (param i32 i32) (result i64) (global.set $turns (local.get 1)) (i64.const 0))"""
SPINS = """(loop $on (global.set $turns (i32.sub (global.get $turns) (i32.const 1)))
  (br_if $on (i32.gt_s (global.get $turns) (i32.const 0))))"""


def script(source: str) -> Bundle:
    manifest = {
        "app_id": "org.example.script", "name": "n", "version": {"name": "1", "code": 1},
        "program": {"script": "main.js"},
    }  # fmt: skip
    members = {"manifest.json": msgspec.json.encode(manifest), "main.js": source.encode()}
    return Bundle.from_bytes(pack_contents(members))


def test_scripts(chosen: HostSettings) -> None:
    """On an engine that takes as many steps as its script has bytes: another script is other fuel."""
    engine = Interpreter.of(module(f"{SPINS} {OK}", alloc="(i32.const 8192)", more=LOADING))
    settings_ = dataclasses.replace(chosen, engine=engine)
    record = trio.run(_record, settings_, script("// one"), "m", {}, {}, (), {})
    assert (record.head.module, record.head.module_sha256) == (b"", engine.sha256)
    record = records.decoded(records.encoded(record))
    same(record, trio.run(run_again, record, None, settings_))
    found = trio.run(run_again, record, script("// another one"), settings_).difference
    assert found is not None and found.at == "fuel"
    with pytest.raises(UsageError, match="another JavaScript engine"):
        trio.run(run_again, record, None, chosen)


# ---- told apart ------------------------------------------------------------------------------------------------------
def changed(record: Record, at: int, **changes: Any) -> Record:
    events = list(record.events)
    events[at] = msgspec.structs.replace(events[at], **changes)
    return msgspec.structs.replace(record, events=tuple(events))


def test_a_changed_response_is_told(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    """The guest shows what it was answered: with another response it answers otherwise."""
    record = recorded(Script().ask(INFO))
    (written,) = record.events[0].written
    other = changed(record, 0, written=(Piece(written.at, written.data[:-1] + b"\x00"),))
    found = again(other).difference
    assert found is not None and found.at == "the answer"


def test_a_changed_request_is_told_in_words(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    record = recorded(Script().call(INFO).call(PUT))
    read = record.events[1].read[0]
    other = changed(record, 1, read=(Piece(read.at, read.data.replace(b"\xa1k", b"\xa1j")),))
    found = again(other).difference
    assert found is not None
    assert found.at == "hostel_v1.call, number 2"
    assert found.recorded == "hostel_v1.call: storage.put {'key': 'j', 'value': b'v'}"
    assert found.found == "hostel_v1.call: storage.put {'key': 'k', 'value': b'v'}"


def test_another_module_is_told(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    found = again(recorded(Script().ask(INFO)), bundle(module())).difference
    assert found is not None
    assert (found.at, found.found) == ("after the last import", "no more")


@pytest.mark.parametrize(
    ("drop", "at"), [(-1, "hostel_v1.call, number 2"), (0, "hostel_v1.call, number 1")], ids=["last", "first"]
)
def test_a_missing_import_is_told(drop: int, at: str, recorded: Recorded, again: Callable[..., Replayed]) -> None:
    record = recorded(Script().call(INFO).call(PUT))
    events = list(record.events)
    del events[drop]
    found = again(msgspec.structs.replace(record, events=tuple(events))).difference
    assert found is not None and found.at == at


def test_other_fuel_is_told(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    record = recorded(Script().ask(INFO))
    left = record.events[0].fuel_left
    found = again(changed(record, 0, fuel_left=left - 1)).difference
    assert found is not None and "of fuel left" in found.found


def test_other_limits_are_told(recorded: Recorded, again: Callable[..., Replayed]) -> None:
    record = recorded(Script().step("memory_grow", 5))
    head = msgspec.structs.replace(record.head, limits={**record.head.limits, "memory_bytes": 40 * 65_536})
    found = again(msgspec.structs.replace(record, head=head)).difference
    assert found is not None


# ---- the file --------------------------------------------------------------------------------------------------------
def test_a_file_that_was_changed_is_refused(recorded: Recorded) -> None:
    data = records.encoded(recorded(Script().ask(INFO)))
    for bad in (data[:-1], data[:200] + b"x" + data[201:], b"", b"hostel record 2\n", data + b"x"):
        with pytest.raises(Exception, match="record"):
            records.decoded(bad)


def test_the_record_says_what_it_was_made_with(recorded: Recorded) -> None:
    head = recorded(Script(), wall_ms=4_321).head
    assert head.limits == {**dataclasses.asdict(Limits(wall_ms=4_321)), "fuel": FUEL_MOST}
    assert (head.app_id, head.notification, head.script) == ("org.example.guest", False, None)


def test_what_is_too_much_is_cut(
    recorded: Recorded, again: Callable[..., Replayed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.recording.tape.EVENTS_BYTES_MAX", 700)
    record = recorded(Script().ask(INFO).ask(INFO).ask(INFO).ask(INFO).ask(INFO))
    assert record.end.is_cut and 0 < len(record.events) < 5
    replayed = again(record)
    assert (replayed.difference, replayed.imports) == (None, len(record.events))
