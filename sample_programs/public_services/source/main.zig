//! Appointments at a city's offices: which method is answered by what. README.md tells what each does.
//!
//! A fresh sandbox answers each message, so nothing is kept in memory between two: desks and appointments live in storage.

const std = @import("std");
const hostel = @import("hostel");
const appointments = @import("appointments.zig");
const books = @import("books.zig");
const calendar = @import("calendar.zig");
const city_of = @import("city.zig");
const delivery = @import("delivery.zig");
const desks = @import("desks.zig");
const fees = @import("fees.zig");
const Appointment = appointments.Appointment;
const Call = hostel.Call;
const City = city_of.City;
const Text = city_of.Text;
const Money = hostel.api.Money;

pub const panic = hostel.panic;
comptime {
    hostel.program(@This());
}

const reschedule_least_ms = calendar.hour_ms;
const check_in_early_ms = 30 * calendar.minute_ms;
const check_in_late_ms = 15 * calendar.minute_ms;

/// An appointment as its owner sees it, in their language.
const View = struct {
    number: []const u8,
    office: []const u8,
    service: []const u8,
    slot: []const u8,
    starts_ms: i64,
    state: appointments.State,
    fee: Money,
    refund: Money,
    held_until_ms: ?i64,
    queue: ?[]const u8,
    parcel: ?[]const u8,
};

const Numbered = struct { number: []const u8 };

pub const methods = struct {
    const Listed = struct { id: []const u8, name: []const u8 };
    const Priced = struct { id: []const u8, name: []const u8, fee: Money, waived: bool };

    pub fn @"offices.list"(call: *Call) !struct { offices: []const Listed, services: []const Priced } {
        const city = try City.open(call);
        const offices = try call.allocator().alloc(Listed, city.config.offices.len);
        for (offices, city.config.offices) |*shown, office|
            shown.* = .{ .id = office.id, .name = city.say(office.name) };
        const services = try call.allocator().alloc(Priced, city.config.services.len);
        for (services, city.config.services) |*shown, service| shown.* = .{
            .id = service.id,
            .name = city.say(service.name),
            .fee = city_of.money(city.feeOf(service)),
            .waived = city.feeOf(service) < service.fee,
        };
        return .{ .offices = offices, .services = services };
    }

    const Free = struct { slot: []const u8, time: []const u8, starts_ms: i64, desks: u32 };
    const DateAt = struct { office: []const u8, date: []const u8 = "" };

    pub fn @"slots.list"(call: *Call, params: DateAt) !struct { date: []const u8, slots: []const Free } {
        const city = try City.open(call);
        const office = try city.officeOf(params.office);
        const date = if (params.date.len > 0) params.date else try calendar.dateAfter(&city, 1);
        const slots = try calendar.ofDate(&city, date);
        var listed: std.ArrayList(Free) = .empty;
        for (slots, try desks.free(&city, office, slots)) |slot, count| if (count > 0) {
            const shown = Free{ .slot = slot.name, .time = slot.time(), .starts_ms = slot.starts_ms, .desks = count };
            try listed.append(call.allocator(), shown);
        };
        return .{ .date = date, .slots = listed.items };
    }

    const Wanted = struct { office: []const u8, service: []const u8, slot: []const u8, wait_ms: u32 = 120_000 };

    /// Takes a desk and asks for the fee. Sent again it goes on where it was; only one appointment for a service is open.
    pub fn book(call: *Call, params: Wanted) !View {
        const city = try City.open(call);
        const office = try city.officeOf(params.office);
        const service = try city.serviceOf(params.service);
        const slot = calendar.find(&city, params.slot) orelse return unknownSlot(&city);
        for (try appointments.all(&city)) |one| _ = try fees.settle(&city, one);
        const fresh = Appointment{
            .number = try appointments.newNumber(&city),
            .office = office.id,
            .service = service.id,
            .slot = slot.name,
            .starts_ms = slot.starts_ms,
            .fee = city.feeOf(service),
            .held_until_ms = city.now_ms + fees.hold_ms,
            .chinese = city.chinese,
        };
        const appointment = try appointments.open(&city, fresh);
        if (!std.mem.eql(u8, appointment.slot, slot.name) or !std.mem.eql(u8, appointment.office, office.id)) {
            const text = Text{ .zh = "您已预约此项服务，可改期", .en = "you have an appointment for this; reschedule it" };
            return city.refuse("already_booked", text, .{ .number = appointment.number, .slot = appointment.slot });
        }
        if (appointment.state == .booked) return view(&city, appointment);
        if (!try desks.take(&city, office, slot, appointment.number, appointment.held_until_ms)) {
            var released = appointment;
            released.state = .released;
            try appointments.save(&city, released);
            return slotTaken(&city, office, slot);
        }
        return view(&city, try fees.pay(&city, appointment, params.wait_ms));
    }

    pub fn reschedule(call: *Call, params: struct { number: []const u8, slot: []const u8 }) !View {
        const city = try City.open(call);
        const before = try fees.settle(&city, try appointments.find(&city, params.number));
        const office = try city.officeOf(before.office);
        const slot = calendar.find(&city, params.slot) orelse return unknownSlot(&city);
        if (before.state != .booked) return wrongState(&city, before);
        if (before.starts_ms < city.now_ms + reschedule_least_ms) {
            const text = Text{ .zh = "开始前一小时内不能改期", .en = "not in the last hour before it begins" };
            return city.refuse("too_late", text, .{ .starts_ms = before.starts_ms });
        }
        if (std.mem.eql(u8, before.slot, slot.name)) return view(&city, before);
        if (!try desks.take(&city, office, slot, before.number, 0)) return slotTaken(&city, office, slot);
        var after = before;
        after.slot, after.starts_ms, after.reminded = .{ slot.name, slot.starts_ms, false };
        try appointments.save(&city, after);
        try desks.release(&city, office.id, before.at(), before.number);
        return view(&city, after);
    }

    /// What it gives back is decided and written down before money moves: sent again it gives the same.
    pub fn cancel(call: *Call, params: Numbered) !View {
        const city = try City.open(call);
        var appointment = try fees.settle(&city, try appointments.find(&city, params.number));
        if (appointment.state == .checked_in or appointment.state == .released) return wrongState(&city, appointment);
        if (appointment.state == .held) try fees.close(&city, appointment);
        if (appointment.state != .cancelled) {
            appointment.refund = fees.refundNow(&city, appointment);
            appointment.refund_due = appointment.refund > 0;
            appointment.state = .cancelled;
            try appointments.save(&city, appointment);
        }
        appointment = try fees.settle(&city, appointment);
        try desks.release(&city, appointment.office, appointment.at(), appointment.number);
        return view(&city, appointment);
    }

    /// At the office: a number in the queue, the same one however often it is asked for.
    pub fn check_in(call: *Call, params: Numbered) !View {
        const city = try City.open(call);
        var appointment = try fees.settle(&city, try appointments.find(&city, params.number));
        if (appointment.state == .checked_in) return view(&city, appointment);
        if (appointment.state != .booked) return wrongState(&city, appointment);
        if (city.now_ms < appointment.starts_ms - check_in_early_ms) {
            const text = Text{ .zh = "提前半小时内才可签到", .en = "check in from half an hour before" };
            return city.refuse("too_early", text, .{ .starts_ms = appointment.starts_ms });
        }
        if (city.now_ms > appointment.starts_ms + check_in_late_ms) {
            const text = Text{ .zh = "已过号，请重新预约", .en = "your time has passed; book again" };
            return city.refuse("too_late", text, .{ .starts_ms = appointment.starts_ms });
        }
        const number = try desks.queueNumber(&city, appointment.office, appointment.at());
        appointment.queue = try call.print("A{d:0>3}", .{number});
        appointment.state = .checked_in;
        try appointments.save(&city, appointment);
        return view(&city, appointment);
    }

    const Delivery = struct { number: []const u8, to: delivery.Place, wait_ms: u32 = 120_000 };

    /// Sends home what was applied for at the desk. Sent again it is the same parcel.
    pub fn deliver(call: *Call, params: Delivery) !delivery.Sent {
        const city = try City.open(call);
        var appointment = try appointments.find(&city, params.number);
        if (appointment.state != .checked_in) return wrongState(&city, appointment);
        const sent = try delivery.send(&city, appointment, params.to, params.wait_ms);
        appointment.parcel = sent.parcel;
        try appointments.save(&city, appointment);
        return sent;
    }

    pub fn @"appointments.list"(call: *Call) !struct { appointments: []const View } {
        const city = try City.open(call);
        const list = try appointments.all(&city);
        const views = try call.allocator().alloc(View, list.len);
        for (views, list) |*shown, one| shown.* = try view(&city, try fees.settle(&city, one));
        return .{ .appointments = views };
    }

    const Subscription = struct { wait_ms: u32 = 60_000 };

    /// Asks the citizen whether the city may remind them.
    pub fn @"reminders.allow"(call: *Call, params: Subscription) !struct { status: []const u8 } {
        const answer = try hostel.api.notify.request(call, .{ .wait_ms = params.wait_ms });
        return .{ .status = answer.status };
    }
};

pub const notifications = struct {
    /// The city's scheduler sends it each night, for nobody in particular.
    pub fn @"books.close"(call: *Call) !void {
        const city = try City.open(call);
        try books.close(&city);
    }

    /// The city's scheduler sends it each evening for every citizen with an appointment: those of the next day.
    pub fn @"reminders.send"(call: *Call) !void {
        const city = try City.open(call);
        for (try appointments.all(&city)) |one| {
            const is_soon = one.state == .booked and one.starts_ms > city.now_ms and
                one.starts_ms <= city.now_ms + calendar.day_ms;
            if (!is_soon or one.reminded) continue;
            const name = (try city.officeOf(one.office)).name;
            _ = try hostel.api.notify.send(call, .{
                .template = "tomorrow",
                .params = .{ .entries = &.{
                    .{ .key = "office", .value = if (one.chinese) name.zh else name.en },
                    .{ .key = "time", .value = one.at().time() },
                } },
                .language = if (one.chinese) "zh" else "en",
            });
            var told = one;
            told.reminded = true;
            try appointments.save(&city, told);
        }
    }
};

fn view(city: *const City, of: Appointment) !View {
    return .{
        .number = of.number,
        .office = city.say((try city.officeOf(of.office)).name),
        .service = city.say((try city.serviceOf(of.service)).name),
        .slot = of.slot,
        .starts_ms = of.starts_ms,
        .state = of.state,
        .fee = city_of.money(of.fee),
        .refund = city_of.money(of.refund),
        .held_until_ms = if (of.state == .held) of.held_until_ms else null,
        .queue = of.queue,
        .parcel = of.parcel,
    };
}

fn unknownSlot(city: *const City) hostel.Error {
    const text = Text{ .zh = "没有这个时段，或已过期", .en = "no such slot, or not any more; slots.list tells which there are" };
    return city.refuse("unknown_slot", text, .{});
}

fn slotTaken(city: *const City, office: city_of.Office, slot: calendar.Slot) hostel.Error {
    const free = desks.next(city, office, slot) catch null;
    const text = Text{ .zh = "该时段已被约满", .en = "somebody else has just taken the last desk" };
    return city.refuse("slot_taken", text, .{ .next = free });
}

fn wrongState(city: *const City, of: Appointment) hostel.Error {
    const text = Text{ .zh = "此预约已不能这样处理", .en = "not with an appointment in this state" };
    return city.refuse("wrong_state", text, .{ .number = of.number, .state = of.state });
}
