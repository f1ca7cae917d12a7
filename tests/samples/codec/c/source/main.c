/* The codec of hostel_wire.h, for the vectors of host_api/guest/vectors.json: reads one value and writes it anew. */
#define HOSTEL_REPLY_BYTES 131072u
#include "hostel.h"

static void write_again(hostel_reader *from, hostel_writer *to) {
    uint32_t left;
    switch (hostel_peek(*from)) {
    case HOSTEL_NIL: hostel_skip(from), hostel_put_nil(to); return;
    case HOSTEL_BOOL: hostel_put_bool(to, hostel_read_bool(from)); return;
    case HOSTEL_FLOAT: hostel_put_float(to, hostel_read_float(from)); return;
    case HOSTEL_TEXT: hostel_put_text(to, hostel_read_text(from)); return;
    case HOSTEL_BYTES: hostel_put_bytes(to, hostel_read_bytes(from)); return;
    case HOSTEL_INT: {
        hostel_reader ahead = *from;
        int64_t number = hostel_read_int(&ahead);
        if (ahead.bad) hostel_put_uint(to, hostel_read_uint(from)); /* 2^63 and above */
        else hostel_put_int(to, number), *from = ahead;
        return;
    }
    case HOSTEL_ARRAY:
        hostel_put_array(to, left = hostel_read_array(from));
        for (; left > 0; left--) write_again(from, to);
        return;
    case HOSTEL_MAP:
        hostel_put_map(to, left = hostel_read_map(from));
        for (left *= 2; left > 0; left--) write_again(from, to);
        return;
    case HOSTEL_NONE: return;
    }
}

static void hostel_main(const hostel_request *request, hostel_reply *reply) {
    hostel_reader bytes = hostel_find(request->params, "bytes");
    hostel_text given = hostel_read_bytes(&bytes);
    hostel_reader value = hostel_reader_over(given.at, given.size);
    if (!hostel_is(request->method, "codec.echo") || bytes.bad || !hostel_is_whole(value)) {
        hostel_fail(reply, "invalid", "not one value of the wire");
        return;
    }
    uint32_t room = 2 * given.size; /* a float of 4 bytes becomes one of 8: nothing grows more */
    hostel_writer again = hostel_writer_over(hostel_room(room), room);
    write_again(&value, &again);
    hostel_text written = {again.start, (uint32_t)(again.at - again.start)};
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 1), hostel_put_string(w, "bytes"), hostel_put_bytes(w, written);
}
