//! Memory that lasts for one message: from the end of the program's own data to the module's maximum, given out from the
//! front and never freed one by one. What must not live here: anything that outlives a message.

const std = @import("std");

pub const Arena = struct {
    at: usize = 0,
    end: usize = 0,

    const page_bytes = 65_536;
    extern const __heap_base: u8; // wasm-ld: the first byte after stack and data

    /// Everything is free again.
    pub fn reset(arena: *Arena) void {
        arena.at = @intFromPtr(&__heap_base);
        arena.end = @wasmMemorySize(0) * page_bytes;
    }

    /// Whether an address lies in what is given out.
    pub fn holds(arena: *const Arena, address: usize) bool {
        return address >= @intFromPtr(&__heap_base) and address < arena.end;
    }

    /// Sees to it that the next `size` bytes can be had.
    pub noinline fn reserve(arena: *Arena, size: usize) error{OutOfMemory}!void {
        const left = arena.end - arena.at;
        if (size <= left) return;
        const pages = (size - left + page_bytes - 1) / page_bytes;
        if (@wasmMemoryGrow(0, pages) < 0) return error.OutOfMemory;
        arena.end += pages * page_bytes;
    }

    /// The next `size` bytes, wherever they begin.
    pub fn take(arena: *Arena, size: usize) error{OutOfMemory}![]u8 {
        try arena.reserve(size);
        const bytes = @as([*]u8, @ptrFromInt(arena.at))[0..size];
        arena.at += size;
        return bytes;
    }

    /// For std's collections and formatting. Only the last allocation can grow in place.
    pub fn allocator(arena: *Arena) std.mem.Allocator {
        return .{ .ptr = arena, .vtable = &.{ .alloc = alloc, .resize = resize, .remap = remap, .free = free } };
    }

    fn alloc(pointer: *anyopaque, size: usize, alignment: std.mem.Alignment, _: usize) ?[*]u8 {
        const arena: *Arena = @ptrCast(@alignCast(pointer));
        const padding = alignment.forward(arena.at) - arena.at;
        return (arena.take(padding + size) catch return null).ptr + padding;
    }

    fn resize(pointer: *anyopaque, memory: []u8, _: std.mem.Alignment, size: usize, _: usize) bool {
        const arena: *Arena = @ptrCast(@alignCast(pointer));
        const begin = @intFromPtr(memory.ptr);
        if (begin + memory.len != arena.at) return size <= memory.len;
        if (size > memory.len) arena.reserve(size - memory.len) catch return false;
        arena.at = begin + size;
        return true;
    }

    fn remap(pointer: *anyopaque, memory: []u8, alignment: std.mem.Alignment, size: usize, _: usize) ?[*]u8 {
        return if (resize(pointer, memory, alignment, size, 0)) memory.ptr else null;
    }

    fn free(pointer: *anyopaque, memory: []u8, _: std.mem.Alignment, _: usize) void {
        const arena: *Arena = @ptrCast(@alignCast(pointer));
        if (@intFromPtr(memory.ptr) + memory.len == arena.at) arena.at = @intFromPtr(memory.ptr);
    }
};
