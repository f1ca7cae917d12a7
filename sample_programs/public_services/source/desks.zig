//! Who has which desk, and when: what all citizens share, one document in the program's storage for each office and day.
//!
//! Every change is read, changed and put back only if nobody was faster; else it is done again on what is there now. So
//! two who want the last desk of a half hour never both get it. A seat names an appointment by its random number and
//! nothing of its owner. While a fee is not paid the seat has an end (`until_ms`), after which anybody may have it.

const std = @import("std");
const hostel = @import("hostel");
const calendar = @import("calendar.zig");
const City = @import("city.zig").City;
const Office = @import("city.zig").Office;
const Slot = calendar.Slot;
const storage = hostel.api.storage;

const attempts = 12;

const Seat = struct { time: []const u8, number: []const u8, until_ms: i64 = 0 };
const Day = struct { seats: []const Seat = &.{} };

/// Takes a seat, or goes on holding it; until_ms 0 keeps it. False: every desk of that half hour is taken.
pub fn take(city: *const City, office: Office, slot: Slot, number: []const u8, until_ms: i64) !bool {
    for (0..attempts) |_| {
        const key = try keyOf(city, office.id, slot);
        const stored = try storage.get(city.call, .{ .key = key, .scope = .program });
        const seats = try without(city, try read(city, stored), slot, number);
        if (countOf(seats, slot) >= office.desks) return false;
        const mine = Seat{ .time = slot.time(), .number = number, .until_ms = until_ms };
        const more = try std.mem.concat(city.call.allocator(), Seat, &.{ seats, &.{mine} });
        if (try write(city, key, more, stored.version)) return true;
    }
    return city.refuse("busy", .{ .zh = "预约的人很多，请再试一次", .en = "very many are booking; try again" }, .{});
}

/// Gives a seat back; one that is not held stays as it is.
pub fn release(city: *const City, office_id: []const u8, slot: Slot, number: []const u8) !void {
    for (0..attempts) |_| {
        const key = try keyOf(city, office_id, slot);
        const stored = try storage.get(city.call, .{ .key = key, .scope = .program });
        const before = try read(city, stored);
        const after = try without(city, before, slot, number);
        if (before.len == after.len or try write(city, key, after, stored.version)) return;
    }
}

/// How many desks are free in each of these slots, which are of one day.
pub fn free(city: *const City, office: Office, slots: []const Slot) ![]const u32 {
    const counts = try city.call.allocator().alloc(u32, slots.len);
    if (slots.len == 0) return counts;
    const key = try keyOf(city, office.id, slots[0]);
    const stored = try storage.get(city.call, .{ .key = key, .scope = .program });
    const seats = try without(city, try read(city, stored), null, "");
    for (slots, counts) |slot, *count| count.* = office.desks -| countOf(seats, slot);
    return counts;
}

/// The next half hour with a free desk after this one, on the same day; null if there is none.
pub fn next(city: *const City, office: Office, after: Slot) !?[]const u8 {
    const slots = try calendar.ofDate(city, after.date());
    for (slots, try free(city, office, slots)) |slot, count|
        if (count > 0 and slot.starts_ms > after.starts_ms) return slot.name;
    return null;
}

/// The number in the queue for who checks in at that office today: counted from 1, never given twice.
pub fn queueNumber(city: *const City, office_id: []const u8, slot: Slot) !u32 {
    for (0..attempts) |_| {
        const key = try city.call.print("queue/{s}/{s}", .{ office_id, slot.date() });
        const stored = try storage.get(city.call, .{ .key = key, .scope = .program });
        const number = 1 + if (stored.found) try city.call.read(u32, stored.value) else 0;
        if (try put(city, key, number, stored.version)) return number;
    }
    return city.refuse("busy", .{ .zh = "签到的人很多，请再试一次", .en = "very many are checking in; try again" }, .{});
}

fn keyOf(city: *const City, office_id: []const u8, slot: Slot) ![]const u8 {
    return city.call.print("day/{s}/{s}", .{ office_id, slot.date() });
}

fn read(city: *const City, stored: storage.GetResult) ![]const Seat {
    return if (stored.found) (try city.call.read(Day, stored.value)).seats else &.{};
}

/// Without seats whose time to pay is over, and without this one.
fn without(city: *const City, seats: []const Seat, slot: ?Slot, number: []const u8) ![]const Seat {
    var kept: std.ArrayList(Seat) = .empty;
    for (seats) |seat| {
        const is_over = seat.until_ms != 0 and seat.until_ms <= city.now_ms;
        const is_mine = if (slot) |one|
            std.mem.eql(u8, seat.number, number) and std.mem.eql(u8, seat.time, one.time())
        else
            false;
        if (!is_over and !is_mine) try kept.append(city.call.allocator(), seat);
    }
    return kept.items;
}

fn countOf(seats: []const Seat, slot: Slot) u32 {
    var count: u32 = 0;
    for (seats) |seat| count += @intFromBool(std.mem.eql(u8, seat.time, slot.time()));
    return count;
}

fn write(city: *const City, key: []const u8, seats: []const Seat, version: i64) !bool {
    return put(city, key, Day{ .seats = seats }, version);
}

/// False: somebody was faster.
fn put(city: *const City, key: []const u8, value: anytype, version: i64) !bool {
    const encoded = try city.call.raw(value);
    _ = storage.put(city.call, .{ .key = key, .scope = .program, .value = encoded, .if_version = version }) catch |why| {
        return if (city.call.wasRefused(why, "version_conflict")) false else why;
    };
    return true;
}
