//! The city's books: what was paid and given back, counted each night from the host's events, and old papers cleared away.
//!
//! This program is not woken for each event (`program.events` of a manifest): it reads those that came since the last one it
//! counted. That number and the sums are one document, so each event counts once, wherever a night's work is cut off. The
//! operator reads the books in the program's log. What must not live here: anything about one citizen.

const std = @import("std");
const hostel = @import("hostel");
const calendar = @import("calendar.zig");
const city_of = @import("city.zig");
const City = city_of.City;
const events = hostel.api.events;
const storage = hostel.api.storage;

const key = "books";
const page_events = 50;
const pages = 3; // with an acknowledgement for each event still within the host calls of one message
const cleared_most = 20;

/// In fen, since the program was installed. `seq`: of the last event that is in it.
const Books = struct { seq: i64 = 0, payments: i64 = 0, taken: i64 = 0, returned: i64 = 0 };

const Payload = struct { amount: i64 = 0, refund_amount: i64 = 0 };

/// What is too much for one night is the next one's.
pub fn close(city: *const City) !void {
    const books = try count(city);
    inline for (.{ "day/", "queue/" }) |prefix| try clear(city, prefix);
    const used = try storage.usage(city.call, .{ .scope = .program });
    const is_full = 5 * used.keys > 4 * used.keys_max or 5 * used.bytes > 4 * used.bytes_max;
    const told = "{d} payments, {d} fen taken, {d} returned; {d} of {d} keys, {d} of {d} bytes kept";
    const message = try city.call.print(told, .{
        books.payments, books.taken, books.returned, used.keys, used.keys_max, used.bytes, used.bytes_max,
    });
    try hostel.api.log.write(city.call, .{ .level = if (is_full) .warning else .info, .message = message });
}

fn count(city: *const City) !Books {
    const stored = try storage.get(city.call, .{ .key = key, .scope = .program });
    var books = if (stored.found) try city.call.read(Books, stored.value) else Books{};
    var version = stored.version;
    for (0..pages) |_| {
        const page = try events.list(city.call, .{ .after = books.seq, .limit = page_events });
        for (page.events) |event| {
            const payload = try city.call.read(Payload, event.payload);
            if (std.mem.eql(u8, event.topic, "payment.succeeded")) {
                books.payments += 1;
                books.taken += payload.amount;
            } else if (std.mem.eql(u8, event.topic, "payment.refunded")) books.returned += payload.refund_amount;
            books.seq = event.seq;
        }
        if (page.events.len > 0) {
            // Refused where the scheduler sent it twice: the other one counts.
            const value = try city.call.raw(books);
            const put = try storage.put(city.call, .{ .key = key, .scope = .program, .value = value, .if_version = version });
            version = put.version;
            for (page.events) |event| if (!event.acked) try events.ack(city.call, .{ .seq = event.seq });
        }
        if (!page.more) break;
    }
    return books;
}

/// Throws away what is of days gone by: the last ten characters of a key are its date.
fn clear(city: *const City, prefix: []const u8) !void {
    const today = try calendar.dateAfter(city, 0);
    const found = try storage.list(city.call, .{ .prefix = prefix, .scope = .program, .limit = 100 });
    var left: u32 = cleared_most;
    for (found.keys) |one| {
        if (left == 0) break;
        if (!std.mem.lessThan(u8, one.key[one.key.len - 10 ..], today)) continue;
        _ = try storage.delete(city.call, .{ .key = one.key, .scope = .program });
        left -= 1;
    }
}
