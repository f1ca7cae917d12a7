//! MessagePack, byte for byte: heads of values, skipping, and what the wire allows (docs/protocol.md says it).
//!
//! What lives here: `Writer`, `Reader` and the bounds. Zig's types to values and back are in values.zig; no host call.

const std = @import("std");
const Arena = @import("arena.zig").Arena;

/// Containers inside each other, the message being the first.
pub const depth_max = 16;

pub const WriteError = error{OutOfMemory};
pub const ReadError = error{ Malformed, OutOfMemory };

/// Writes at the end of the arena: nothing else may take of it until the value is whole.
pub const Writer = struct {
    arena: *Arena,
    begun: usize,

    pub fn at(arena: *Arena) Writer {
        return .{ .arena = arena, .begun = arena.at };
    }

    pub fn written(w: *const Writer) []const u8 {
        return @as([*]const u8, @ptrFromInt(w.begun))[0 .. w.arena.at - w.begun];
    }

    /// Bytes that are MessagePack already.
    pub noinline fn copy(w: *Writer, encoded: []const u8) WriteError!void {
        @memcpy(try w.arena.take(encoded.len), encoded);
    }

    /// A tag and the lowest `size` bytes of `number`, highest first.
    noinline fn head(w: *Writer, tag: u8, number: u64, size: usize) WriteError!void {
        const room = try w.arena.take(1 + size);
        room[0] = tag;
        for (room[1..], 1..) |*byte, i| byte.* = @truncate(number >> @intCast(8 * (size - i)));
    }

    pub fn nil(w: *Writer) WriteError!void {
        try w.head(0xc0, 0, 0);
    }

    pub fn boolean(w: *Writer, value: bool) WriteError!void {
        try w.head(if (value) 0xc3 else 0xc2, 0, 0);
    }

    pub noinline fn unsigned(w: *Writer, value: u64) WriteError!void {
        if (value < 0x80) return w.head(@intCast(value), 0, 0);
        if (value <= 0xff) return w.head(0xcc, value, 1);
        if (value <= 0xffff) return w.head(0xcd, value, 2);
        if (value <= 0xffff_ffff) return w.head(0xce, value, 4);
        return w.head(0xcf, value, 8);
    }

    pub noinline fn signed(w: *Writer, value: i64) WriteError!void {
        const bits: u64 = @bitCast(value);
        if (value >= 0) return w.unsigned(bits);
        if (value >= -32) return w.head(@truncate(bits), 0, 0);
        if (value >= -128) return w.head(0xd0, bits, 1);
        if (value >= -32_768) return w.head(0xd1, bits, 2);
        if (value >= -2_147_483_648) return w.head(0xd2, bits, 4);
        return w.head(0xd3, bits, 8);
    }

    /// Finite: the wire refuses the rest. Never for money.
    pub noinline fn float(w: *Writer, value: f64) WriteError!void {
        try w.head(0xcb, @bitCast(value), 8);
    }

    pub noinline fn text(w: *Writer, value: []const u8) WriteError!void {
        switch (value.len) {
            0...31 => |size| try w.head(0xa0 | @as(u8, @intCast(size)), 0, 0),
            32...0xff => |size| try w.head(0xd9, size, 1),
            0x100...0xffff => |size| try w.head(0xda, size, 2),
            else => |size| try w.head(0xdb, size, 4),
        }
        try w.copy(value);
    }

    pub noinline fn bytes(w: *Writer, value: []const u8) WriteError!void {
        switch (value.len) {
            0...0xff => |size| try w.head(0xc4, size, 1),
            0x100...0xffff => |size| try w.head(0xc5, size, 2),
            else => |size| try w.head(0xc6, size, 4),
        }
        try w.copy(value);
    }

    /// So many values must follow.
    pub noinline fn array(w: *Writer, count: usize) WriteError!void {
        if (count < 16) return w.head(0x90 | @as(u8, @intCast(count)), 0, 0);
        if (count <= 0xffff) return w.head(0xdc, count, 2);
        return w.head(0xdd, count, 4);
    }

    /// So many pairs must follow: a text, then its value, no key twice.
    pub noinline fn map(w: *Writer, count: usize) WriteError!void {
        if (count < 16) return w.head(0x80 | @as(u8, @intCast(count)), 0, 0);
        if (count <= 0xffff) return w.head(0xde, count, 2);
        return w.head(0xdf, count, 4);
    }
};

/// One value, of a container only how many follow. Texts and bytes point into what is read.
pub const Item = union(enum) {
    nil,
    boolean: bool,
    integer: i64,
    /// 2^63 and above.
    large: u64,
    float: f64,
    text: []const u8,
    bytes: []const u8,
    array: u32,
    map: u32,
};

/// A cursor over bytes; copy it to look ahead.
pub const Reader = struct {
    left: []const u8,
    arena: *Arena,
    /// For messages: the field of a struct that was missing or held something else, "" for none.
    field: []const u8 = "",

    fn some(r: *Reader, size: usize) ReadError![]const u8 {
        if (size > r.left.len) return error.Malformed;
        defer r.left = r.left[size..];
        return r.left[0..size];
    }

    fn number(r: *Reader, comptime T: type) ReadError!T {
        return std.mem.readInt(T, (try r.some(@sizeOf(T)))[0..@sizeOf(T)], .big);
    }

    pub noinline fn next(r: *Reader) ReadError!Item {
        const tag = try r.number(u8);
        return switch (tag) {
            0x00...0x7f => .{ .integer = tag },
            0x80...0x8f => r.containing(.map, tag & 15),
            0x90...0x9f => r.containing(.array, tag & 15),
            0xa0...0xbf => .{ .text = try r.some(tag & 31) },
            0xc0 => .nil,
            0xc2, 0xc3 => .{ .boolean = tag == 0xc3 },
            0xc4 => .{ .bytes = try r.some(try r.number(u8)) },
            0xc5 => .{ .bytes = try r.some(try r.number(u16)) },
            0xc6 => .{ .bytes = try r.some(try r.number(u32)) },
            0xca => .{ .float = @as(f32, @bitCast(try r.number(u32))) },
            0xcb => .{ .float = @bitCast(try r.number(u64)) },
            0xcc => .{ .integer = try r.number(u8) },
            0xcd => .{ .integer = try r.number(u16) },
            0xce => .{ .integer = try r.number(u32) },
            0xcf => whole(try r.number(u64)),
            0xd0 => .{ .integer = try r.number(i8) },
            0xd1 => .{ .integer = try r.number(i16) },
            0xd2 => .{ .integer = try r.number(i32) },
            0xd3 => .{ .integer = try r.number(i64) },
            0xd9 => .{ .text = try r.some(try r.number(u8)) },
            0xda => .{ .text = try r.some(try r.number(u16)) },
            0xdb => .{ .text = try r.some(try r.number(u32)) },
            0xdc => r.containing(.array, try r.number(u16)),
            0xdd => r.containing(.array, try r.number(u32)),
            0xde => r.containing(.map, try r.number(u16)),
            0xdf => r.containing(.map, try r.number(u32)),
            0xe0...0xff => .{ .integer = @as(i8, @bitCast(tag)) },
            0xc1, 0xc7...0xc9, 0xd4...0xd8 => error.Malformed, // reserved, and the ext types
        };
    }

    fn whole(value: u64) Item {
        return if (value <= std.math.maxInt(i64)) .{ .integer = @intCast(value) } else .{ .large = value };
    }

    /// A count never exceeds the bytes that are left.
    fn containing(r: *const Reader, comptime kind: enum { array, map }, count: u32) ReadError!Item {
        const least: u64 = if (kind == .map) 2 else 1;
        if (count * least > r.left.len) return error.Malformed;
        return @unionInit(Item, @tagName(kind), count);
    }

    /// Goes past one whole value. No recursion; deeper than `depth_max`, or a key that is no text, is malformed.
    pub noinline fn skip(r: *Reader) ReadError!void {
        var left: [depth_max + 1]u64 = undefined;
        var is_map: [depth_max + 1]bool = undefined;
        var depth: usize = 0;
        left[0], is_map[0] = .{ 1, false };
        while (true) {
            while (left[depth] == 0) {
                if (depth == 0) return;
                depth -= 1;
            }
            left[depth] -= 1;
            const item = try r.next();
            if (is_map[depth] and left[depth] % 2 == 1 and item != .text) return error.Malformed;
            const count: u64 = switch (item) {
                .array => |count| count,
                .map => |count| 2 * @as(u64, count),
                else => continue,
            };
            if (depth == depth_max) return error.Malformed;
            depth += 1;
            left[depth], is_map[depth] = .{ count, item == .map };
        }
    }

    /// What comes next, without reading it.
    pub fn ahead(r: *const Reader) ReadError!Item {
        var copy = r.*;
        return copy.next();
    }

    /// The bytes of the next value, whole.
    pub fn raw(r: *Reader) ReadError![]const u8 {
        const begin = r.left;
        try r.skip();
        return begin[0 .. begin.len - r.left.len];
    }
};

/// Whether these bytes are exactly one value, such as a message.
pub noinline fn isWhole(arena: *Arena, bytes: []const u8) bool {
    var reader = Reader{ .left = bytes, .arena = arena };
    reader.skip() catch return false;
    return reader.left.len == 0;
}
