//! Zig's own types as values of the wire, and back, worked out at compile time.
//!
//! | Zig | wire |
//! |---|---|
//! | struct | map; read: keys it does not know are skipped, a field with a default or `?` may be missing |
//! | tuple, slice, array | array |
//! | `[]const u8`, enum | text |
//! | `?T` | nil or T |
//! | `Bytes`, `Map(T)`, `Raw`, `Value` | bytes; a map with any keys; a value as it came; whatever it is |

const std = @import("std");
const Arena = @import("arena.zig").Arena;
const wire = @import("wire.zig");
const Reader = wire.Reader;
const Writer = wire.Writer;

/// Encodes a value; the bytes last as long as the message. Floats must be finite, a text UTF-8.
pub fn encode(arena: *Arena, value: anytype) wire.WriteError![]const u8 {
    var writer = Writer.at(arena);
    errdefer arena.at = writer.begun;
    try write(&writer, value);
    return writer.written();
}

/// Reads bytes that must be exactly one value; the result points into them.
pub fn decode(comptime T: type, arena: *Arena, bytes: []const u8) wire.ReadError!T {
    if (!wire.isWhole(arena, bytes)) return error.Malformed;
    var reader = Reader{ .left = bytes, .arena = arena };
    return read(T, &reader);
}

/// Bytes, where `[]const u8` would be a text.
pub const Bytes = struct {
    data: []const u8 = "",

    pub fn writeWire(bytes: Bytes, w: *Writer) wire.WriteError!void {
        try w.bytes(bytes.data);
    }

    pub fn readWire(r: *Reader) wire.ReadError!Bytes {
        return switch (try r.next()) {
            .bytes => |data| .{ .data = data },
            else => error.Malformed,
        };
    }
};

/// One value as it is encoded: read it later, as what it is (`as`), or pass it on unread.
pub const Raw = struct {
    encoded: []const u8 = "\xc0",

    pub const nil = Raw{};
    pub const empty_map = Raw{ .encoded = "\x80" };

    pub fn isNil(raw: Raw) bool {
        return raw.encoded[0] == 0xc0;
    }

    pub fn writeWire(raw: Raw, w: *Writer) wire.WriteError!void {
        try w.copy(raw.encoded);
    }

    pub fn readWire(r: *Reader) wire.ReadError!Raw {
        return .{ .encoded = try r.raw() };
    }
};

/// A map whose keys are data, in the order they came.
pub fn Map(comptime T: type) type {
    return struct {
        entries: []const Entry = &.{},

        pub const Entry = struct { key: []const u8, value: T };
        const Self = @This();

        pub fn get(map: Self, key: []const u8) ?T {
            for (map.entries) |entry| if (std.mem.eql(u8, entry.key, key)) return entry.value;
            return null;
        }

        pub fn writeWire(map: Self, w: *Writer) wire.WriteError!void {
            try w.map(map.entries.len);
            for (map.entries) |entry| {
                try w.text(entry.key);
                try write(w, entry.value);
            }
        }

        pub fn readWire(r: *Reader) wire.ReadError!Self {
            const count = switch (try r.next()) {
                .map => |count| count,
                else => return error.Malformed,
            };
            const entries = try r.arena.allocator().alloc(Entry, count);
            for (entries) |*entry| {
                entry.key = try read([]const u8, r);
                entry.value = try read(T, r);
            }
            return .{ .entries = entries };
        }
    };
}

/// Any value, for programs that do not know what they are sent.
pub const Value = union(enum) {
    nil,
    boolean: bool,
    integer: i64,
    large: u64,
    float: f64,
    text: []const u8,
    bytes: []const u8,
    array: []const Value,
    map: Map(Value),

    pub fn writeWire(value: Value, w: *Writer) wire.WriteError!void {
        switch (value) {
            .nil => try w.nil(),
            .boolean => |is| try w.boolean(is),
            .integer => |number| try w.signed(number),
            .large => |number| try w.unsigned(number),
            .float => |number| try w.float(number),
            .text => |text| try w.text(text),
            .bytes => |data| try w.bytes(data),
            .array => |items| try write(w, items),
            .map => |map| try map.writeWire(w),
        }
    }

    pub fn readWire(r: *Reader) wire.ReadError!Value {
        var ahead = r.*;
        switch (try ahead.next()) {
            .array => return .{ .array = try read([]const Value, r) },
            .map => return .{ .map = try read(Map(Value), r) },
            inline else => |of, kind| {
                r.* = ahead;
                return @unionInit(Value, @tagName(kind), of);
            },
        }
    }
};

// ---- writing --------------------------------------------------------------------------------------------------------
pub fn write(w: *Writer, value: anytype) wire.WriteError!void {
    const T = @TypeOf(value);
    switch (@typeInfo(T)) {
        .void => try w.map(0),
        .null => try w.nil(),
        .bool => try w.boolean(value),
        .int => |int| if (int.signedness == .signed) try w.signed(value) else try w.unsigned(value),
        .comptime_int => if (value < 0) try w.signed(value) else try w.unsigned(value),
        .float, .comptime_float => try w.float(value),
        .optional => if (value) |there| try write(w, there) else try w.nil(),
        .@"enum", .enum_literal => try w.text(@tagName(value)),
        .array => |array| if (array.child == u8) try w.text(&value) else try writeItems(w, &value),
        .pointer => |pointer| switch (pointer.size) {
            .slice => if (pointer.child == u8) try w.text(value) else try writeItems(w, value),
            .one => try write(w, value.*),
            else => @compileError("no value of the wire: " ++ @typeName(T)),
        },
        .@"struct" => |fields| {
            if (@hasDecl(T, "writeWire")) return value.writeWire(w);
            return if (fields.is_tuple) writeTuple(w, value) else writeStruct(w, value);
        },
        .@"union" => try value.writeWire(w),
        else => @compileError("no value of the wire: " ++ @typeName(T)),
    }
}

fn writeItems(w: *Writer, items: anytype) wire.WriteError!void {
    try w.array(items.len);
    for (items) |item| try write(w, item);
}

fn writeTuple(w: *Writer, tuple: anytype) wire.WriteError!void {
    try w.array(tuple.len);
    inline for (tuple) |item| try write(w, item);
}

fn writeStruct(w: *Writer, value: anytype) wire.WriteError!void {
    const names = @typeInfo(@TypeOf(value)).@"struct".field_names;
    try w.map(names.len);
    inline for (names) |name| {
        try w.text(name);
        try write(w, @field(value, name));
    }
}

/// The params of a method: what was left at its default is left out, so that a host that does not know it yet takes the
/// rest.
pub fn paramsOf(params: anytype) Params(@TypeOf(params)) {
    return .{ .params = params };
}

fn Params(comptime T: type) type {
    return struct {
        params: T,

        const Self = @This();
        const fields = @typeInfo(T).@"struct";

        pub fn writeWire(self: Self, w: *Writer) wire.WriteError!void {
            if (@hasDecl(T, "writeWire")) return self.params.writeWire(w);
            var count: usize = 0;
            inline for (0..fields.field_names.len) |i| count += @intFromBool(!self.isDefault(i));
            try w.map(count);
            inline for (fields.field_names, 0..) |name, i| if (!self.isDefault(i)) {
                try w.text(name);
                try write(w, @field(self.params, name));
            };
        }

        fn isDefault(self: Self, comptime i: usize) bool {
            const default = fields.field_attrs[i].defaultValue(fields.field_types[i]) orelse return false;
            return std.meta.eql(@field(self.params, fields.field_names[i]), default);
        }
    };
}

// ---- reading --------------------------------------------------------------------------------------------------------
pub fn read(comptime T: type, r: *Reader) wire.ReadError!T {
    switch (@typeInfo(T)) {
        .void => return r.skip(),
        .bool => return switch (try r.next()) {
            .boolean => |value| value,
            else => error.Malformed,
        },
        .int => return switch (try r.next()) {
            .integer => |value| std.math.cast(T, value) orelse error.Malformed,
            .large => |value| std.math.cast(T, value) orelse error.Malformed,
            else => error.Malformed,
        },
        .float => return switch (try r.next()) {
            .float => |value| @floatCast(value),
            .integer => |value| @floatFromInt(value),
            else => error.Malformed,
        },
        .optional => |optional| {
            if (r.left.len == 0 or r.left[0] != 0xc0) return try read(optional.child, r);
            r.left = r.left[1..];
            return null;
        },
        .@"enum" => return std.meta.stringToEnum(T, try read([]const u8, r)) orelse error.Malformed,
        .pointer => |pointer| {
            if (pointer.size != .slice) @compileError("not read from the wire: " ++ @typeName(T));
            return if (pointer.child == u8) readText(r) else readItems(pointer.child, r);
        },
        .@"struct" => |fields| {
            if (@hasDecl(T, "readWire")) return T.readWire(r);
            return if (fields.is_tuple) readTuple(T, r) else readStruct(T, r);
        },
        .@"union" => return T.readWire(r),
        else => @compileError("not read from the wire: " ++ @typeName(T)),
    }
}

noinline fn readText(r: *Reader) wire.ReadError![]const u8 {
    return switch (try r.next()) {
        .text => |text| text,
        else => error.Malformed,
    };
}

fn readItems(comptime Item: type, r: *Reader) wire.ReadError![]const Item {
    const count = switch (try r.next()) {
        .array => |count| count,
        else => return error.Malformed,
    };
    const items = try r.arena.allocator().alloc(Item, count);
    for (items) |*item| item.* = try read(Item, r);
    return items;
}

fn readTuple(comptime T: type, r: *Reader) wire.ReadError!T {
    var tuple: T = undefined;
    const count = switch (try r.next()) {
        .array => |count| count,
        else => return error.Malformed,
    };
    if (count != tuple.len) return error.Malformed;
    inline for (&tuple) |*item| item.* = try read(@TypeOf(item.*), r);
    return tuple;
}

fn readStruct(comptime T: type, r: *Reader) wire.ReadError!T {
    const fields = @typeInfo(T).@"struct";
    var value: T = undefined;
    var seen: [fields.field_names.len]bool = @splat(false);
    const count = switch (try r.next()) {
        .map => |count| count,
        else => return error.Malformed,
    };
    for (0..count) |_| {
        const key = try readText(r);
        inline for (fields.field_names, fields.field_types, 0..) |name, Field, i| {
            if (std.mem.eql(u8, key, name)) {
                errdefer if (r.field.len == 0) {
                    r.field = name;
                };
                @field(value, name) = try read(Field, r);
                seen[i] = true;
                break;
            }
        } else try r.skip();
    }
    inline for (fields.field_names, fields.field_types, fields.field_attrs, seen) |name, Field, attributes, there| {
        if (!there) @field(value, name) = attributes.defaultValue(Field) orelse
            if (@typeInfo(Field) == .optional) null else {
                r.field = name;
                return error.Malformed;
            };
    }
    return value;
}
