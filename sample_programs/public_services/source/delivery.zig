//! Documents sent home: the courier's program makes out the parcel, and the citizen pays its freight to the city.
//!
//! The courier has an account for the city, so the freight is the city's to collect: `program.call` delegates payments, up to
//! what a parcel may cost, and the courier asks for that one in the city's name. The appointment's number is the parcel's
//! reference: sent again it is the same parcel, with its label if the carrier has made it by then. What must not live here:
//! the fee, and where a parcel is: the courier shows that to its sender.

const std = @import("std");
const hostel = @import("hostel");
const Appointment = @import("appointments.zig").Appointment;
const city_of = @import("city.zig");
const City = city_of.City;
const Text = city_of.Text;

const grams = 100;

pub const Place = struct {
    recipient: []const u8,
    phone: []const u8 = "",
    region: []const u8 = "",
    city: []const u8,
    street: []const u8,
    postal_code: []const u8 = "",
};

/// `payment`: succeeded, or confirming where the citizen has not decided; `label`: the carrier's, null until it has made it.
pub const Sent = struct { parcel: []const u8, payment: []const u8, freight: hostel.api.Money, label: ?[]const u8 };

const Answer = struct {
    payment: []const u8,
    shipment: struct { number: []const u8, price: hostel.api.Money, label: ?[]const u8 },
};
const Failed = struct {
    @"error": ?struct { code: []const u8, message: []const u8 } = null,
};

pub fn send(city: *const City, of: Appointment, to: Place, wait_ms: i64) !Sent {
    const office = try city.officeOf(of.office);
    const courier = city.config.courier orelse return unavailable(city, "");
    const from = office.address orelse return unavailable(city, "");
    const payments = .{ .currencies = .{city_of.currency}, .amount_max = courier.freight_most };
    const said = hostel.api.program.call(city.call, .{
        .program = courier.program,
        .method = "send",
        .params = try city.call.raw(.{
            .reference = of.number,
            .from = Place{ .recipient = city.say(office.name), .city = from.city, .street = from.street },
            .to = to,
            .grams = grams,
            .contents = city.say(.{ .zh = "证件", .en = "Documents" }),
            .wait_ms = wait_ms,
        }),
        .delegate = .{ .entries = &.{.{ .key = "payment", .value = try city.call.raw(payments) }} },
    }) catch |why| return if (why == error.Refused) refusal(city) else why;
    const answer = try city.call.read(Answer, said.value);
    return .{
        .parcel = answer.shipment.number,
        .payment = answer.payment,
        .freight = answer.shipment.price,
        .label = answer.shipment.label,
    };
}

/// What the citizen can do something about is told; all else is the operator's to read.
fn refusal(city: *const City) hostel.Error {
    const refused = city.call.refused;
    const answered: Failed = city.call.read(Failed, refused.details) catch .{};
    const failure = answered.@"error" orelse return unavailable(city, refused.code);
    if (std.mem.eql(u8, failure.code, "declined")) {
        const text = Text{ .zh = "邮费未支付，可再次提交", .en = "the freight was not paid; ask again whenever you like" };
        return city.refuse("payment_declined", text, .{});
    }
    if (std.mem.eql(u8, failure.code, "invalid_params")) return city.call.fail("invalid_params", failure.message);
    return unavailable(city, failure.code);
}

fn unavailable(city: *const City, code: []const u8) hostel.Error {
    if (code.len > 0) {
        const message = try city.call.print("the courier's program does not take a parcel: {s}", .{code});
        try hostel.api.log.write(city.call, .{ .level = .warning, .message = message });
    }
    const text = Text{ .zh = "暂不能邮寄，请到窗口领取", .en = "nothing can be sent now; it is at the desk for you" };
    return city.refuse("delivery_unavailable", text, .{});
}
