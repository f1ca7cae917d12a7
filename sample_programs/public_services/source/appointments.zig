//! A citizen's own appointments: one document in the user's storage, the newest twenty.
//!
//! An appointment is written down before its desk is taken or any money is asked for, so a call that was cut off is
//! found, and completed or undone, by the next one. What must not live here: money (fees.zig) and what all share.

const std = @import("std");
const hostel = @import("hostel");
const City = @import("city.zig").City;
const Text = @import("city.zig").Text;
const Slot = @import("calendar.zig").Slot;
const storage = hostel.api.storage;

const key = "appointments";
const kept = 20;
const attempts = 8;

/// held: the desk is kept until the fee is paid or its time is over; released: it was not paid.
pub const State = enum { held, booked, checked_in, cancelled, released };

pub const Appointment = struct {
    /// 16 hexadecimal digits, drawn at random: also the number of the payment.
    number: []const u8,
    office: []const u8,
    service: []const u8,
    slot: []const u8,
    starts_ms: i64,
    state: State = .held,
    /// In fen, as it was when the desk was taken.
    fee: i64,
    held_until_ms: i64,
    order_id: ?[]const u8 = null,
    /// In fen: what goes back, decided and written down once; due until the money has moved.
    refund: i64 = 0,
    refund_due: bool = false,
    queue: ?[]const u8 = null,
    /// The courier's number, once its document was sent home.
    parcel: ?[]const u8 = null,
    /// The language it was booked in: a reminder comes when nobody looks, so the session knows none.
    chinese: bool,
    reminded: bool = false,

    pub fn at(appointment: Appointment) Slot {
        return .{ .name = appointment.slot, .starts_ms = appointment.starts_ms };
    }

    /// It has a desk, or may still get one.
    pub fn isOpen(appointment: Appointment, now_ms: i64) bool {
        const is_live = appointment.state == .held or appointment.state == .booked;
        return is_live and appointment.starts_ms > now_ms;
    }
};

pub fn all(city: *const City) ![]const Appointment {
    const list, _ = try load(city);
    return list;
}

pub fn find(city: *const City, number: []const u8) !Appointment {
    for (try all(city)) |one| if (std.mem.eql(u8, one.number, number)) return one;
    const text = Text{ .zh = "没有这个预约", .en = "you have no such appointment" };
    return city.refuse("unknown_appointment", text, .{ .number = number });
}

/// Writes a new one down, or gives the one of the same service that is open already.
pub fn open(city: *const City, wanted: Appointment) !Appointment {
    for (0..attempts) |_| {
        const list, const version = try load(city);
        for (list) |one|
            if (std.mem.eql(u8, one.service, wanted.service) and one.isOpen(city.now_ms)) return one;
        const older = list[0..@min(list.len, kept - 1)];
        const more = try std.mem.concat(city.call.allocator(), Appointment, &.{ &.{wanted}, older });
        if (try store(city, more, version)) return wanted;
    }
    return busy(city);
}

/// Writes down what became of one.
pub fn save(city: *const City, changed: Appointment) !void {
    for (0..attempts) |_| {
        const list, const version = try load(city);
        const more = try city.call.allocator().dupe(Appointment, list);
        for (more) |*one| if (std.mem.eql(u8, one.number, changed.number)) {
            one.* = changed;
        };
        if (try store(city, more, version)) return;
    }
    return busy(city);
}

pub fn newNumber(city: *const City) ![]const u8 {
    var bytes: [8]u8 = undefined;
    hostel.random(&bytes);
    return city.call.print("{x:0>16}", .{std.mem.readInt(u64, &bytes, .big)});
}

fn load(city: *const City) !struct { []const Appointment, i64 } {
    const stored = try storage.get(city.call, .{ .key = key });
    const list: []const Appointment = if (stored.found) try city.call.read([]const Appointment, stored.value) else &.{};
    return .{ list, stored.version };
}

/// False: another window of the same user was faster.
fn store(city: *const City, list: []const Appointment, version: i64) !bool {
    _ = storage.put(city.call, .{ .key = key, .value = try city.call.raw(list), .if_version = version }) catch |why| {
        return if (city.call.wasRefused(why, "version_conflict")) false else why;
    };
    return true;
}

fn busy(city: *const City) hostel.Error {
    return city.refuse("busy", .{ .zh = "请再试一次", .en = "try again" }, .{});
}
