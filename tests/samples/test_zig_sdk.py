"""The SDKs for Zig and for C, with programs of a few lines: what is answered to what, every binding, any folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import wire
from runtime.toolchains import TOOLCHAINS, BuildError, Missing, ziglang

ROOT = Path(__file__).resolve().parents[2]
HEAD = 'const hostel = @import("hostel");\npub const panic = hostel.panic;\ncomptime { hostel.program(@This()); }\n'
PROGRAM = (
    HEAD
    + """
const std = @import("std");
pub const methods = struct {
    const Colour = enum { red, green };
    const Params = struct { name: []const u8, times: u8 = 1, colour: ?Colour = null };
    pub fn greet(call: *hostel.Call, params: Params) !struct { hello: []const u8, colour: ?Colour } {
        if (params.times == 0) return call.failWith("none", "how often?", .{ .times = params.times });
        const hello = try std.mem.join(call.allocator(), " ", &.{ params.name, params.name });
        return .{ .hello = hello, .colour = params.colour };
    }
    pub fn nothing(_: *hostel.Call) void {}
    pub fn odd(_: *hostel.Call) !i64 { return error.SomethingElse; }
    pub fn large(call: *hostel.Call) ![]const u8 { return call.allocator().alloc(u8, 2_000_000); }
    pub fn overflow(_: *hostel.Call, params: struct { a: i64 }) i64 { return params.a + 1; }
    pub fn lost(call: *hostel.Call) !hostel.api.OrderResult {
        return hostel.api.payment.query(call, .{ .order_id = "made up" });
    }
    pub fn caught(call: *hostel.Call) ![]const u8 {
        _ = hostel.api.payment.query(call, .{ .order_id = "made up" }) catch |why| {
            if (!call.wasRefused(why, "not_found")) return why;
            return (try call.read(struct { order_id: []const u8 }, call.refused.details)).order_id;
        };
        return "found";
    }
    pub fn posted(call: *hostel.Call) ![]const u32 {
        const first = try call.post("payment.query", hostel.api.payment.QueryParams{ .order_id = "made up" });
        const second = try call.post("storage.get", hostel.api.storage.GetParams{ .key = "k" });
        const late = (try call.wait(-1)).?;
        const got = try call.read(hostel.api.storage.GetResult, try late.outcome);
        const early = (try call.wait(0)).?;
        if (early.outcome) |_| return error.Unexpected else |_| {}
        if (try call.wait(0) != null or got.found) return error.Unexpected;
        return call.allocator().dupe(u32, &.{ first, second, late.msgid, early.msgid });
    }
    pub fn stored(call: *hostel.Call) !usize {
        return (try call.read([]const u8, (try hostel.api.storage.get(call, .{ .key = "k" })).value)).len;
    }
};
pub const notifications = struct {
    pub fn told(call: *hostel.Call, params: struct { key: []const u8 }) !void {
        _ = try hostel.api.storage.put(call, .{ .key = params.key, .value = try call.raw(true) });
    }
    pub fn refused(call: *hostel.Call) !void { _ = try hostel.api.payment.query(call, .{ .order_id = "made up" }); }
};
"""
)


def built(language: str, source: str, folder: Path) -> bytes:
    toolchain = TOOLCHAINS[language]
    found = toolchain.find()
    if isinstance(found, Missing):
        pytest.skip(f"NOT BUILT: {found.name} is not installed: {found.cure}")
    (folder / toolchain.main).parent.mkdir(parents=True)
    (folder / toolchain.main).write_text(source)
    shutil.copytree(ROOT / "host_api/guest" / toolchain.sdk, folder / "sdk")
    module = toolchain.build(folder, folder / "sdk", folder).module
    assert sorted(path.name for path in folder.iterdir()) == ["sdk", "source"]  # a build writes nothing beside
    return module


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built("zig", PROGRAM, tmp_path_factory.mktemp("program"))


@pytest.fixture
def program(module: bytes, guest_of: Callable[[bytes], Any]) -> Any:
    return guest_of(module)


def error_of(program: Any, method: str, params: Any = None) -> Any:
    _, _, error, result = wire.decode(program.raw(wire.request(1, method, params or {})), 262_144)
    assert result is None
    return error["code"], error.get("details")


@pytest.mark.parametrize("inbox", [True, False])
def test_params_and_results_are_the_programs_types(program: Any, inbox: bool) -> None:
    program.inbox = inbox
    assert program.call("greet", {"name": "Ada"}) == {"hello": "Ada Ada", "colour": None}
    assert program.call("greet", {"new": [{}], "colour": "red", "name": "阿"}) == {"hello": "阿 阿", "colour": "red"}
    assert program.call("nothing") == {}
    long = "x" * 100_000
    assert program.call("greet", {"name": long})["hello"] == f"{long} {long}"


@pytest.mark.parametrize(
    ("params", "field"),
    [({}, "name"), ({"name": 1}, "name"), ({"name": "a", "times": 256}, "times"), ({"name": "a", "times": -1}, "times"),
     ({"name": "a", "times": 1.0}, "times"), ({"name": b"a"}, "name"), ({"name": "a", "colour": "blue"}, "colour"),
     ({"name": "a", "times": None}, "times")],
)  # fmt: skip
def test_params_that_do_not_fit_are_refused_by_name(program: Any, params: Any, field: str) -> None:
    assert error_of(program, "greet", params) == ("invalid_params", {"param": field})


def test_errors_are_answered_as_what_they_are(program: Any) -> None:
    assert error_of(program, "greet", {"name": "a", "times": 0}) == ("none", {"times": 0})
    assert error_of(program, "lost") == ("not_found", {"order_id": "made up"})
    assert error_of(program, "odd") == ("failed", None)
    assert error_of(program, "large") == ("no_memory", None)
    assert error_of(program, "gret") == ("unknown_method", {})
    assert program.call("caught") == "made up"


def test_posted_requests_are_told_apart(program: Any) -> None:
    first, second, late, early = program.call("posted")
    assert (late, early) == (second, first)


def test_a_response_larger_than_the_memory_at_hand_is_taken(program: Any) -> None:
    program.host.stored["k"] = ("x" * 200_000, 1)
    assert program.call("stored") == 200_000 and program.taken == 1


def test_notifications_are_taken_and_their_errors_logged(program: Any) -> None:
    assert program.raw(wire.notification("told", {"key": "k"})) == b""
    assert program.host.stored == {"k": (True, 1)}
    assert program.raw(wire.notification("refused", {})) == program.raw(wire.notification("unknown", {})) == b""
    logged = [params for method, params in program.host.requests if method == "log.write"]
    assert logged == [{"level": "error", "message": "refused: not_found"}]


def test_a_sum_that_overflows_traps(program: Any) -> None:
    import wasmtime

    assert program.call("overflow", {"a": 1}) == 2
    with pytest.raises(wasmtime.Trap):
        program.call("overflow", {"a": 2**63 - 1})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.binary(max_size=200))
def test_random_bytes_never_trap(program: Any, message: bytes) -> None:
    response = program.raw(message)
    assert not response or wire.decode(response, 262_144)[0] == 1


def test_every_binding_for_zig_compiles(tmp_path: Path) -> None:
    """Zig looks only at what is used."""
    source = (
        HEAD
        + """
comptime {
    for (@typeInfo(hostel.api).@"struct".decl_names) |service| {
        const of = @field(hostel.api, service);
        for (@typeInfo(of).@"struct".decl_names) |name|
            if (@typeInfo(@TypeOf(@field(of, name))) == .@"fn") { _ = &@field(of, name); };
    }
}
pub const methods = struct {
    pub fn all(call: *hostel.Call, params: hostel.api.program.CallParams) !hostel.api.program.CallResult {
        return hostel.api.program.call(call, params);
    }
};
"""
    )
    assert built("zig", source, tmp_path)


def test_every_binding_for_c_compiles_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = ("-std=c99", "-pedantic", "-Wconversion", "-Wshadow")
    monkeypatch.setattr(TOOLCHAINS["c"], "flags", (*TOOLCHAINS["c"].flags, *strict), raising=False)  # type: ignore[attr-defined]
    empty = "static void hostel_main(const hostel_request *q, hostel_reply *r) { (void)q; (void)r; }\n"
    with_them = built("c", f'#include "hostel_api.h"\n{empty}', tmp_path / "with")
    assert with_them == built("c", f'#include "hostel.h"\n{empty}', tmp_path / "without")  # unused, they cost nothing


@pytest.mark.parametrize(("language", "source"), [("c", "int x = ;\n"), ("zig", "const x = ;\n")])
def test_what_does_not_compile_is_told_with_the_place(language: str, source: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"source/main\.\w+ does not compile:\n[^\n]*source/main\.\w+:1:"):
        built(language, source, tmp_path)


def test_a_program_without_a_panic_is_told_what_to_write(tmp_path: Path) -> None:
    source = HEAD.replace("pub const panic = hostel.panic;\n", "") + "pub const methods = struct {};\n"
    with pytest.raises(BuildError, match=r"write `pub const panic = hostel\.panic;`"):
        built("zig", source, tmp_path)


def test_a_missing_compiler_is_told_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ziglang, "find", lambda: Missing(name="ziglang 0.17.1", cure=ziglang.CURE))
    with pytest.raises(BuildError, match=r"not installed: pip install ziglang==0\.17\.1"):
        ziglang.build(["cc"], "source/main.c", tmp_path)


def test_the_first_program_of_the_page_runs(tmp_path: Path, guest_of: Callable[[bytes], Any], refused: Any) -> None:
    page = (ROOT / "docs/languages/zig.md").read_text(encoding="utf-8")
    program = guest_of(built("zig", page.partition("```zig\n")[2].partition("```")[0], tmp_path))
    assert program.call("greet", {"name": "Ada"}) == {"hello": "Ada", "visits": 1}
    assert program.call("greet", {"name": "Ada"}) == {"hello": "Ada", "visits": 2}
    with pytest.raises(refused) as caught:
        program.call("greet", {"name": ""})
    assert caught.value.wire["code"] == "empty"
