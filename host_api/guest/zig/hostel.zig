//! Write mini-programs for hostel in Zig: ABI hostel_v1 (docs/protocol.md), freestanding, nothing but std.
//!
//!     const hostel = @import("hostel");
//!     pub const panic = hostel.panic;
//!     comptime { hostel.program(@This()); }
//!
//!     pub const methods = struct {
//!         pub fn greet(call: *hostel.Call, params: struct { name: []const u8 }) !struct { hello: []const u8 } {
//!             if (params.name.len == 0) return call.fail("empty", "who are you?");
//!             return .{ .hello = params.name };
//!         }
//!     };
//!
//! What lives here: the exports that the host looks for, and which method of the program a message is for. What a method
//! is given is in call.zig, the host's own methods in api.zig (generated), values in values.zig.

const std = @import("std");
const wire = @import("wire.zig");
const values = @import("values.zig");
const Arena = @import("arena.zig").Arena;

pub const api = @import("api.zig");
pub const Call = @import("call.zig").Call;
pub const Error = @import("call.zig").Error;
pub const Answer = @import("call.zig").Answer;
pub const random = @import("call.zig").random;
pub const Bytes = values.Bytes;
pub const Map = values.Map;
pub const Raw = values.Raw;
pub const Value = values.Value;
pub const encode = values.encode;
pub const decode = values.decode;

/// `pub const panic = hostel.panic;` in the main file: what must not happen traps, with no text.
pub const panic = std.debug.no_panic;

/// The inbox saves a crossing: a message that fits is written there without `hostel_alloc`. The host wants its size as a
/// global, and what is exported of a variable is a global with its address. So `hostel_inbox_size` is a mark at the very
/// start of the data, whose address is the number: the stack lies below it, and `--stack` is this many bytes.
const inbox_bytes = 32_768;
comptime {
    asm (
        \\.section .rodata.hostel_inbox_size,"",@
        \\.globl hostel_inbox_size
        \\.type hostel_inbox_size,@object
        \\hostel_inbox_size:
        \\.int8 0
        \\.size hostel_inbox_size,1
    );
}
extern const hostel_inbox_size: u8;
export var hostel_inbox: [inbox_bytes]u8 align(16) = undefined;

var arena: Arena = .{};

/// Makes the exports for a program: a struct with `methods`, and `notifications` if it takes any. Their public functions,
/// by the name of a method (`pub fn @"cart.add"`), take `*Call`, and the params as a struct where there are any, and
/// return a value of the wire, or an error (see `Error`).
pub fn program(comptime Program: type) void {
    if (!@hasDecl(Program, "panic")) @compileError("write `pub const panic = hostel.panic;` in this file");
    const exports = struct {
        fn handle(at: usize, size: usize) callconv(.c) u64 {
            if (@intFromPtr(&hostel_inbox_size) != inbox_bytes) @trap(); // linked with another stack size
            arena.reset();
            if (arena.holds(at)) arena.at = at + size; // the message lies there: keep it
            const message = @as([*]const u8, @ptrFromInt(at))[0..size];
            const response = (take(Program, message) catch return 0) orelse return 0;
            return @as(u64, @intFromPtr(response.ptr)) << 32 | response.len;
        }
    };
    @export(&exports.handle, .{ .name = "hostel_handle" });
}

export fn hostel_alloc(size: usize) usize {
    arena.reset();
    const room = arena.take(size) catch return 0;
    return @intFromPtr(room.ptr);
}

/// The response; null for a notification. Malformed: these bytes are no message, and the host then ends the call.
fn take(comptime Program: type, message: []const u8) Error!?[]const u8 {
    if (!wire.isWhole(&arena, message)) return error.Malformed;
    var reader = wire.Reader{ .left = message, .arena = &arena };
    const parts = switch (try reader.next()) {
        .array => |count| count,
        else => return error.Malformed,
    };
    const kind = try values.read(u64, &reader);
    if (!(parts == 4 and kind == 0) and !(parts == 3 and kind == 2)) return error.Malformed;
    const msgid = if (kind == 0) try values.read(u32, &reader) else 0;
    var call = Call{ .arena = &arena, .method = try values.read([]const u8, &reader) };
    if (try reader.ahead() != .map) return error.Malformed;
    const params = Raw{ .encoded = reader.left };
    if (kind == 2) {
        if (@hasDecl(Program, "notifications"))
            notified(Program.notifications, &call, params) catch |why| call.complain(why);
        return null;
    }
    const begun = arena.at;
    return respond(Program.methods, &call, msgid, params) catch |why| {
        if (why == error.OutOfMemory) arena.at = begun; // nothing that was made is needed any more
        return try values.encode(&arena, .{ 1, msgid, try call.errorFor(why), null });
    };
}

fn respond(comptime methods: type, call: *Call, msgid: u32, params: Raw) anyerror![]const u8 {
    inline for (@typeInfo(methods).@"struct".decl_names) |name| {
        if (std.mem.eql(u8, name, call.method))
            return values.encode(&arena, .{ 1, msgid, null, try invoke(@field(methods, name), call, params) });
    }
    return call.fail("unknown_method", "there is no such method");
}

fn notified(comptime notifications: type, call: *Call, params: Raw) anyerror!void {
    inline for (@typeInfo(notifications).@"struct".decl_names) |name| {
        if (std.mem.eql(u8, name, call.method)) return invoke(@field(notifications, name), call, params);
    }
}

fn Result(comptime function: anytype) type {
    const Returned = @typeInfo(@TypeOf(function)).@"fn".return_type.?;
    return switch (@typeInfo(Returned)) {
        .error_union => |of| of.payload,
        else => Returned,
    };
}

fn invoke(comptime function: anytype, call: *Call, params: Raw) anyerror!Result(function) {
    const types = @typeInfo(@TypeOf(function)).@"fn".param_types;
    if (types.len == 1) return function(call);
    var reader = wire.Reader{ .left = params.encoded, .arena = &arena };
    const given = values.read(types[1].?, &reader) catch |why| switch (why) {
        error.OutOfMemory => return why,
        error.Malformed => {
            const message = "a parameter is missing or not what it should be";
            return call.failWith("invalid_params", message, .{ .param = reader.field });
        },
    };
    return function(call, given);
}
