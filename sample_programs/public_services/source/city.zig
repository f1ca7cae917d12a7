//! What this installation is: its offices, services and fees, the time, and the language of who asks.
//!
//! Read once per message from session.info. A city sets its own offices in the configuration of the installation; without
//! one the program shows those below. What must not live here: appointments.

const std = @import("std");
const hostel = @import("hostel");
const Call = hostel.Call;

pub const currency = "CNY";

/// One text for each language that the program speaks.
pub const Text = struct { zh: []const u8, en: []const u8 };

/// `address`: where a courier fetches what is sent home; nothing is, where it is left out.
pub const Office = struct { id: []const u8, name: Text, desks: u32, address: ?Address = null };
const Address = struct { city: []const u8, street: []const u8 };

/// A program with an account for the city (its method `send`), and the most that a parcel may cost, in fen.
const Courier = struct { program: []const u8, freight_most: i64 = 3_000 };

/// `fee`: in fen; 0 for none.
pub const Service = struct { id: []const u8, name: Text, fee: i64 };

/// The configuration; what it leaves out is as here. `fees_waived`: ids of services that cost nothing for now.
const Config = struct {
    offices: []const Office = &.{
        .{ .id = "north", .name = .{ .zh = "城北政务服务中心", .en = "North service centre" }, .desks = 2, .address = .{ .city = "杭州", .street = "城北路 1 号" } },
        .{ .id = "harbour", .name = .{ .zh = "海港办事处", .en = "Harbour office" }, .desks = 1, .address = .{ .city = "杭州", .street = "海港路 8 号" } },
    },
    services: []const Service = &.{
        .{ .id = "residence_permit", .name = .{ .zh = "居住证办理", .en = "Residence permit" }, .fee = 2_000 },
        .{ .id = "parking_permit", .name = .{ .zh = "居民停车证", .en = "Resident parking permit" }, .fee = 12_000 },
        .{ .id = "marriage_certificate", .name = .{ .zh = "结婚登记", .en = "Marriage certificate" }, .fee = 0 },
    },
    fees_waived: []const []const u8 = &.{},
    courier: ?Courier = null,
    utc_offset_minutes: i64 = 480,
};

pub const City = struct {
    call: *Call,
    config: Config,
    now_ms: i64,
    chinese: bool,

    pub fn open(call: *Call) hostel.Error!City {
        const session = try hostel.api.session.info(call);
        const config = call.read(Config, session.config) catch |why| switch (why) {
            error.OutOfMemory => return why,
            error.Malformed => return call.fail("bad_config", "the configuration of this installation is not valid"),
        };
        for (config.services) |one| {
            if (one.fee >= 0 and one.fee <= 1_000_000) continue;
            return call.failWith("bad_config", "a fee is 0 to 1000000 fen", .{ .service = one.id });
        }
        return .{
            .call = call,
            .config = config,
            .now_ms = session.time_ms,
            .chinese = std.mem.startsWith(u8, session.locale, "zh"),
        };
    }

    /// In the language of who asks.
    pub fn say(city: *const City, text: Text) []const u8 {
        return if (city.chinese) text.zh else text.en;
    }

    pub fn refuse(city: *const City, code: []const u8, text: Text, details: anytype) hostel.Error {
        return city.call.failWith(code, city.say(text), details);
    }

    pub fn officeOf(city: *const City, id: []const u8) hostel.Error!Office {
        for (city.config.offices) |one| if (std.mem.eql(u8, one.id, id)) return one;
        return city.refuse("unknown_office", .{ .zh = "没有这个办事处", .en = "there is no such office" }, .{ .office = id });
    }

    pub fn serviceOf(city: *const City, id: []const u8) hostel.Error!Service {
        for (city.config.services) |one| if (std.mem.eql(u8, one.id, id)) return one;
        return city.refuse("unknown_service", .{ .zh = "没有这项服务", .en = "there is no such service" }, .{ .service = id });
    }

    /// What it costs today.
    pub fn feeOf(city: *const City, of: Service) i64 {
        for (city.config.fees_waived) |id| if (std.mem.eql(u8, id, of.id)) return 0;
        return of.fee;
    }
};

pub fn money(amount: i64) hostel.api.Money {
    return .{ .amount = amount, .currency = currency };
}
