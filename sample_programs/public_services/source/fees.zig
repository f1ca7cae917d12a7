//! Money and desks together: paying for a desk that is held, and giving back what a cancellation gives.
//!
//! The appointment's number is the payment's, so however often a call is sent again there is one order. Only the host's
//! word makes an appointment booked. A desk is held a minute longer than its order can be paid.

const std = @import("std");
const hostel = @import("hostel");
const appointments = @import("appointments.zig");
const calendar = @import("calendar.zig");
const city_of = @import("city.zig");
const desks = @import("desks.zig");
const Appointment = appointments.Appointment;
const City = city_of.City;
const Text = city_of.Text;
const payment = hostel.api.payment;

const pay_s = 900;
pub const hold_ms = (pay_s + 60) * 1000;

/// Asks for the fee and waits for the citizen. The appointment as it is then: booked, or still held and `confirming`.
pub fn pay(city: *const City, held: Appointment, wait_ms: i64) !Appointment {
    if (held.fee == 0) return book(city, held);
    const service = try city.serviceOf(held.service);
    const order = try payment.create(city.call, .{
        .key = held.number,
        .out_trade_no = held.number,
        .amount = city_of.money(held.fee),
        .subject = city.say(service.name),
        .ttl_s = pay_s,
    });
    var appointment = held;
    appointment.order_id = order.order_id;
    try appointments.save(city, appointment);
    const before = if (order.replayed) try payment.query(city.call, .{ .order_id = order.order_id }) else order;
    if (!is(before, "pending") and !is(before, "confirming")) return settleAs(city, appointment, before);
    const after = try payment.request(city.call, .{ .order_id = order.order_id, .wait_ms = wait_ms });
    if (is(after, "pending")) {
        const text = Text{ .zh = "费用未支付，名额暂时保留", .en = "the fee was not paid; the desk is held for a while" };
        return city.refuse("payment_declined", text, .{ .number = held.number, .held_until_ms = held.held_until_ms });
    }
    return settleAs(city, appointment, after);
}

/// Brings an appointment into line with its payment, and pays back what is due: whoever looks at it does this first.
pub fn settle(city: *const City, before: Appointment) !Appointment {
    if (before.refund_due) return giveBack(city, before);
    if (before.state != .held) return before;
    if (before.order_id) |order_id|
        return settleAs(city, before, try payment.query(city.call, .{ .order_id = order_id }));
    return if (city.now_ms < before.held_until_ms) before else letGo(city, before);
}

/// Pays what was decided to go back. The host makes it once, however often it is asked; what it refuses stays due.
fn giveBack(city: *const City, due: Appointment) !Appointment {
    var appointment = due;
    const reason = Text{ .zh = "预约费用退还", .en = "Fee of your appointment" };
    _ = payment.refund(city.call, .{
        .key = try city.call.print("{s}-refund", .{due.number}),
        .order_id = due.order_id orelse return due,
        .out_request_no = due.number,
        .amount = due.refund,
        .reason = if (due.chinese) reason.zh else reason.en,
    }) catch |why| {
        if (why != error.Refused) return why;
        const message = try city.call.print("a refund is due still: {s}", .{city.call.refused.code});
        try hostel.api.log.write(city.call, .{ .level = .warning, .message = message });
        return due;
    };
    appointment.refund_due = false;
    try appointments.save(city, appointment);
    return appointment;
}

/// Ends a payment that was not made. Refused where it was made at this moment: the appointment is booked then.
pub fn close(city: *const City, held: Appointment) !void {
    const order_id = held.order_id orelse return;
    const key = try city.call.print("{s}-close", .{held.number});
    _ = try payment.close(city.call, .{ .key = key, .order_id = order_id });
}

/// What a cancellation at this moment gives back: all until a day before, half until two hours before, then nothing.
pub fn refundNow(city: *const City, booked: Appointment) i64 {
    const ahead_ms = booked.starts_ms - city.now_ms;
    if (booked.state != .booked) return 0;
    if (ahead_ms >= calendar.day_ms) return booked.fee;
    return if (ahead_ms >= 2 * calendar.hour_ms) @divTrunc(booked.fee, 2) else 0;
}

fn settleAs(city: *const City, held: Appointment, order: hostel.api.OrderResult) !Appointment {
    if (is(order, "succeeded") or is(order, "finished")) return book(city, held);
    return if (is(order, "closed")) letGo(city, held) else held;
}

/// Paid, or free: the desk is kept. Where it was given to somebody else meanwhile, the money goes back.
fn book(city: *const City, held: Appointment) !Appointment {
    var appointment = held;
    if (try desks.take(city, try city.officeOf(held.office), held.at(), held.number, 0)) {
        appointment.state = .booked;
        try appointments.save(city, appointment);
        return appointment;
    }
    appointment.state = .released;
    appointment.refund = held.fee;
    appointment.refund_due = held.fee > 0;
    try appointments.save(city, appointment);
    if (appointment.refund_due) _ = try giveBack(city, appointment);
    const text = Text{ .zh = "付款时名额已被预约，费用退回", .en = "the desk was taken before the fee came; it goes back" };
    return city.refuse("slot_lost", text, .{ .number = held.number, .refund = city_of.money(held.fee) });
}

fn letGo(city: *const City, held: Appointment) !Appointment {
    var appointment = held;
    appointment.state = .released;
    try appointments.save(city, appointment);
    try desks.release(city, held.office, held.at(), held.number);
    return appointment;
}

fn is(order: hostel.api.OrderResult, status: []const u8) bool {
    return std.mem.eql(u8, order.status, status);
}
