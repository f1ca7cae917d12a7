//! One message being answered: asking the host, failing, memory, the log.

const std = @import("std");
const api = @import("api.zig");
const wire = @import("wire.zig");
const values = @import("values.zig");
const Arena = @import("arena.zig").Arena;
const Raw = values.Raw;

/// Refused: the host said no, `Call.refused` tells what; not caught, it is the program's answer, as the host put it.
/// Failed: the program said no, by `Call.fail`. Malformed: bytes are not of the type they were read as.
/// Any other error that a method returns is answered as `failed`, with its name.
pub const Error = error{ Refused, Failed, Malformed, OutOfMemory };

/// The host's no. `code` is what to decide by.
pub const Refused = struct {
    code: []const u8,
    message: []const u8 = "",
    retryable: bool = false,
    retry_after_ms: ?u64 = null,
    details: Raw = .empty_map,
};

/// The outcome of a request that was posted.
pub const Answer = struct {
    msgid: u32,
    outcome: Error!Raw,
};

const host = struct {
    extern "hostel_v1" fn call(request: [*]const u8, size: usize, room: usize, cap: usize) i32;
    extern "hostel_v1" fn post(request: [*]const u8, size: usize) i32;
    extern "hostel_v1" fn wait(room: usize, cap: usize, timeout_ms: i32) i32;
    extern "hostel_v1" fn take(room: usize, cap: usize) i32;
    extern "wasi_snapshot_preview1" fn random_get(room: [*]u8, size: usize) i32;
};

/// Random bytes from the host.
pub fn random(room: []u8) void {
    if (host.random_get(room.ptr, room.len) != 0) @trap();
}

pub const Call = struct {
    arena: *Arena,
    /// Of the message that is answered.
    method: []const u8,
    /// What the host said last where it said no.
    refused: Refused = .{ .code = "" },
    refusal: Raw = .nil,
    failure: Raw = .nil,
    msgid: u32 = 0,

    /// Memory until the message is answered; nothing has to be freed.
    pub fn allocator(call: *Call) std.mem.Allocator {
        return call.arena.allocator();
    }

    /// A text, as std.fmt makes it.
    pub fn print(call: *Call, comptime format: []const u8, arguments: anytype) error{OutOfMemory}![]const u8 {
        return std.fmt.allocPrint(call.allocator(), format, arguments);
    }

    /// A value for a field that holds anything, such as `value` of storage.put.
    pub fn raw(call: *Call, value: anytype) error{OutOfMemory}!Raw {
        return .{ .encoded = try values.encode(call.arena, value) };
    }

    /// What a field that holds anything is: `value` of storage.get, `config` of session.info.
    pub fn read(call: *Call, comptime T: type, from: Raw) wire.ReadError!T {
        return values.decode(T, call.arena, from.encoded);
    }

    /// `return call.fail(…)` answers this error. code: snake_case, for programs; message: one line, for people.
    pub fn fail(call: *Call, code: []const u8, message: []const u8) Error {
        return call.failWith(code, message, .{});
    }

    /// The same with details, a struct.
    pub fn failWith(call: *Call, code: []const u8, message: []const u8, details: anytype) Error {
        const map = if (@typeInfo(@TypeOf(details)).@"struct".field_names.len == 0) Raw.empty_map else details;
        const none: ?u64 = null;
        call.failure = try call.raw(.{
            .code = code,
            .message = message,
            .retryable = false,
            .retry_after_ms = none,
            .details = map,
        });
        return error.Failed;
    }

    /// Whether the host refused with this code: `catch |why| if (call.wasRefused(why, "version_conflict")) …`.
    pub fn wasRefused(call: *const Call, why: anyerror, code: []const u8) bool {
        return why == error.Refused and std.mem.eql(u8, call.refused.code, code);
    }

    /// Calls a method of the host and waits. api.zig has each of them with its types.
    pub fn ask(call: *Call, comptime Result: type, method: []const u8, params: anytype) Error!Result {
        const request = try call.requestOf(method, params);
        const cap = call.arena.end - call.arena.at;
        const size = host.call(request.ptr, request.len, call.arena.at, cap);
        const answer = try call.received(size, cap);
        return call.read(Result, try answer.outcome);
    }

    /// Begins a call and does not wait; `wait` gives its answer, with the msgid that this returns.
    pub fn post(call: *Call, method: []const u8, params: anytype) Error!u32 {
        const request = try call.requestOf(method, params);
        _ = host.post(request.ptr, request.len);
        return call.msgid;
    }

    /// The next answer among what was posted, whichever it is; null where nothing came in time, or nothing is
    /// outstanding. timeout_ms: 0 only looks, -1 waits for as long as the call may last.
    pub fn wait(call: *Call, timeout_ms: i32) Error!?Answer {
        const cap = call.arena.end - call.arena.at;
        const size = host.wait(call.arena.at, cap, timeout_ms);
        return if (size < 0) null else try call.received(size, cap);
    }

    fn requestOf(call: *Call, method: []const u8, params: anytype) Error![]const u8 {
        call.msgid += 1;
        return values.encode(call.arena, .{ 0, call.msgid, method, values.paramsOf(params) });
    }

    /// The response that the host wrote behind what the arena gave out, or kept because it did not fit.
    noinline fn received(call: *Call, said: i32, cap: usize) Error!Answer {
        const size = std.math.cast(usize, said) orelse return error.Malformed;
        try call.arena.reserve(size);
        if (size > cap and host.take(call.arena.at, size) != said) return error.Malformed;
        const bytes = try call.arena.take(size);
        if (!wire.isWhole(call.arena, bytes)) return error.Malformed;
        var reader = wire.Reader{ .left = bytes, .arena = call.arena };
        const kind, const msgid, const refusal, const result = try values.read(struct { u64, u32, Raw, Raw }, &reader);
        if (kind != 1) return error.Malformed;
        if (refusal.isNil()) return .{ .msgid = msgid, .outcome = result };
        call.refused = try call.read(Refused, refusal);
        call.refusal = refusal;
        return .{ .msgid = msgid, .outcome = error.Refused };
    }

    /// The error that is answered for one that a method returned.
    pub fn errorFor(call: *Call, why: anyerror) error{OutOfMemory}!Raw {
        return switch (why) {
            error.Failed => call.failure,
            error.Refused => call.refusal,
            error.OutOfMemory => call.raw(.{ .code = "no_memory", .message = "the program ran out of memory" }),
            else => call.raw(.{ .code = "failed", .message = @errorName(why) }),
        };
    }

    /// A notification has no answer: what went wrong is in the log.
    pub fn complain(call: *Call, why: anyerror) void {
        const code = if (why == error.Refused) call.refused.code else @errorName(why);
        const message = call.print("{s}: {s}", .{ call.method, code }) catch return;
        api.log.write(call, .{ .level = .@"error", .message = message }) catch return;
    }
};
