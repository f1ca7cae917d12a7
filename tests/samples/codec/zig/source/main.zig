//! The codec of the Zig SDK, for the vectors of host_api/guest/vectors.json: reads one value and writes it anew.

const hostel = @import("hostel");

comptime {
    hostel.program(@This());
}
pub const panic = hostel.panic;

pub const methods = struct {
    pub fn @"codec.echo"(call: *hostel.Call, params: struct { bytes: hostel.Bytes }) !struct { bytes: hostel.Bytes } {
        const value = hostel.decode(hostel.Value, call.arena, params.bytes.data) catch |why| switch (why) {
            error.Malformed => return call.fail("invalid", "not one value of the wire"),
            error.OutOfMemory => return why,
        };
        return .{ .bytes = .{ .data = try hostel.encode(call.arena, value) } };
    }
};
