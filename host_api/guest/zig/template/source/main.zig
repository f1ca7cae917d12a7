//! A guest book: visitors sign it, read it, and leave a tip if they like.
//! Every function in `methods` is one that users may call; `hostel test` plays scenarios/*.json against them.

const std = @import("std");
const hostel = @import("hostel");
const Call = hostel.Call;
const payment = hostel.api.payment;
const session = hostel.api.session;
const storage = hostel.api.storage;

pub const panic = hostel.panic;
comptime {
    hostel.program(@This());
}

const kept = 20; // entries, the newest
const text_chars = 140;
const tip_most = 20_000; // fen: 200.00 CNY
const currency = "CNY";

const Entry = struct { text: []const u8, at_ms: i64 };
const Book = struct { count: i64 = 0, entries: []const Entry = &.{} };

pub const methods = struct {
    pub fn sign(call: *Call, params: struct { text: []const u8 = "" }) !struct { count: i64, entry: Entry } {
        const text = std.mem.trim(u8, params.text, &std.ascii.whitespace);
        if (text.len == 0) return call.fail("empty", "write something first");
        if (try std.unicode.utf8CountCodepoints(text) > text_chars)
            return call.fail("too_long", "at most 140 characters");
        const entry = Entry{ .text = text, .at_ms = (try session.info(call)).time_ms };
        const book = try change(Book, call, "book", .{}, entry, withEntry);
        return .{ .count = book.count, .entry = entry };
    }

    pub fn list(call: *Call) !struct { entries: []const Entry } {
        const stored = try storage.get(call, .{ .key = "book", .scope = .program });
        const book = if (stored.found) try call.read(Book, stored.value) else Book{};
        return .{ .entries = book.entries };
    }

    pub fn tip(call: *Call, params: struct { amount: i64 }) !struct { paid: bool, order_id: []const u8 } {
        if (params.amount < 1 or params.amount > tip_most)
            return call.failWith("bad_amount", "a tip is 1 to 20000 fen", .{ .most = tip_most });
        // The number is the program's own and used once; the user decides in the host's cashier, never here.
        const number = try call.print("tip-{d}", .{try change(i64, call, "tips", 0, {}, oneMore)});
        const order = try payment.create(call, .{
            .key = number,
            .out_trade_no = number,
            .amount = .{ .amount = params.amount, .currency = currency },
            .subject = "A tip for the guest book",
        });
        const decided = try payment.request(call, .{ .order_id = order.order_id, .wait_ms = 60_000 });
        const is_open_again = std.mem.eql(u8, decided.status, "pending"); // after a no: it could be asked for once more
        if (is_open_again or std.mem.eql(u8, decided.close_reason orelse "", "declined")) {
            try hostel.api.log.write(call, .{ .level = .info, .message = "a tip was declined" });
            return call.fail("declined", "no tip then; you are welcome all the same");
        }
        return .{ .paid = std.mem.eql(u8, decided.status, "succeeded"), .order_id = order.order_id };
    }
};

fn withEntry(call: *Call, book: Book, entry: Entry) !Book {
    const older = book.entries[0..@min(book.entries.len, kept - 1)];
    return .{ .count = book.count + 1, .entries = try std.mem.concat(call.allocator(), Entry, &.{ &.{entry}, older }) };
}

fn oneMore(_: *Call, tips: i64, _: void) !i64 {
    return tips + 1;
}

/// Changes what all visitors share. Two may write at once: who comes second is refused, reads again and tries again.
fn change(comptime T: type, call: *Call, key: []const u8, first: T, with: anytype, comptime step: anytype) !T {
    for (0..10) |_| {
        const stored = try storage.get(call, .{ .key = key, .scope = .program });
        const next: T = try step(call, if (stored.found) try call.read(T, stored.value) else first, with);
        _ = storage.put(call, .{
            .key = key,
            .scope = .program,
            .value = try call.raw(next),
            .if_version = stored.version,
        }) catch |why| if (call.wasRefused(why, "version_conflict")) continue else return why;
        return next;
    }
    return error.Refused; // the last refusal: version_conflict
}
