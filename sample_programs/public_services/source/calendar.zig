//! When the offices are open, and how a slot is named: `2026-11-24T09:30`, in the city's own time.
//!
//! Half hours from 9 to 17 on working days, from one hour to fourteen days ahead. Nothing is kept: which slots there are
//! follows from the time alone; which are free is in desks.zig.

const std = @import("std");
const City = @import("city.zig").City;

pub const minute_ms = 60_000;
pub const hour_ms = 60 * minute_ms;
pub const day_ms = 24 * hour_ms;
const opens = 9 * hour_ms;
const closes = 17 * hour_ms;
const slot_ms = 30 * minute_ms;
const ahead_least_ms = hour_ms;
const ahead_most_ms = 14 * day_ms;

/// The half hours of one day.
pub const slots_a_day = (closes - opens) / slot_ms;

pub const Slot = struct {
    /// `2026-11-24T09:30`
    name: []const u8,
    starts_ms: i64,

    pub fn date(slot: Slot) []const u8 {
        return slot.name[0..10];
    }

    pub fn time(slot: Slot) []const u8 {
        return slot.name[11..];
    }
};

/// The slot that a name stands for; null where it is none that may be booked now.
pub fn find(city: *const City, name: []const u8) ?Slot {
    if (name.len != 16 or name[10] != 'T' or name[13] != ':') return null;
    const hour = std.fmt.parseInt(u8, name[11..13], 10) catch return null;
    const minute = std.fmt.parseInt(u8, name[14..], 10) catch return null;
    if (hour > 23 or minute > 59) return null;
    const in_day = hour * @as(i64, hour_ms) + minute * @as(i64, minute_ms);
    const day = dayOf(name[0..10]) orelse return null;
    if (in_day < opens or in_day >= closes or @rem(in_day, slot_ms) != 0 or isWeekend(day)) return null;
    const starts_ms = day * day_ms + in_day - city.config.utc_offset_minutes * minute_ms;
    return if (isAhead(city, starts_ms)) .{ .name = name, .starts_ms = starts_ms } else null;
}

/// The slots of a date (`2026-11-24`) that may be booked now, earliest first.
pub fn ofDate(city: *const City, date: []const u8) error{OutOfMemory}![]const Slot {
    var slots: std.ArrayList(Slot) = .empty;
    for (0..slots_a_day) |number| {
        const minutes = @divExact(opens, minute_ms) + number * @divExact(slot_ms, minute_ms);
        const name = try city.call.print("{s}T{d:0>2}:{d:0>2}", .{ date, minutes / 60, minutes % 60 });
        if (find(city, name)) |slot| try slots.append(city.call.allocator(), slot);
    }
    return slots.items;
}

/// The city's date so many days from now.
pub fn dateAfter(city: *const City, days: i64) error{OutOfMemory}![]const u8 {
    const local_ms = city.now_ms + city.config.utc_offset_minutes * minute_ms;
    const day = std.time.epoch.EpochDay{ .day = @intCast(@divFloor(local_ms, day_ms) + days) };
    const of_year = day.calculateYearDay();
    const of_month = of_year.calculateMonthDay();
    return city.call.print("{d:0>4}-{d:0>2}-{d:0>2}", .{
        of_year.year, of_month.month.numeric(), of_month.day_index + 1,
    });
}

fn isAhead(city: *const City, starts_ms: i64) bool {
    return starts_ms >= city.now_ms + ahead_least_ms and starts_ms < city.now_ms + ahead_most_ms;
}

/// Days since 1970-01-01 of a date as it is written; null where there is no such date.
fn dayOf(date: []const u8) ?i64 {
    if (date[4] != '-' or date[7] != '-') return null;
    const year = std.fmt.parseInt(u16, date[0..4], 10) catch return null;
    const month = std.fmt.parseInt(u4, date[5..7], 10) catch return null;
    const in_month = std.fmt.parseInt(u8, date[8..10], 10) catch return null;
    if (year < 1970 or month < 1 or month > 12 or in_month < 1) return null;
    if (in_month > std.time.epoch.getDaysInMonth(year, @fromBackingInt(month))) return null;
    var day: i64 = in_month - 1;
    for (1970..year) |one| day += std.time.epoch.getDaysInYear(@intCast(one));
    for (1..month) |one| day += std.time.epoch.getDaysInMonth(year, @fromBackingInt(@as(u4, @intCast(one))));
    return day;
}

fn isWeekend(day: i64) bool {
    const of_week = @mod(day + 4, 7); // 1970-01-01 was a Thursday; 0 is Sunday
    return of_week == 0 or of_week == 6;
}
