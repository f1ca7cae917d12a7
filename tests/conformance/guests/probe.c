/* probe: the guest of most cases. It does what the message says and answers what it saw, so that a case is data alone.
 *
 * echo {value}                    the value, each part read and written anew
 * call {method, params}           one request to the host: {"result": …} or {"error": …}
 * calls {method, params, times}   the same request so often: {"results": n, "errors": {code: n}, "last": outcome};
 *                                 with {"number": [names]} those of its params are texts that end in -1, -2 …
 * post {requests}                 all posted, then waited for: [{index, outcome}] in the order in which they were done
 * leave {requests}                posted and not waited for
 * raw {bytes, room}               these bytes as a request: {"n": length, "bytes": what came into the room}
 * say {method, params}            a notification to the host
 * fail {code, message, details}   this error
 * size {bytes}                    an answer that holds so many bytes
 * grow {pages}                    {"before": pages, or -1 where it was refused}
 * spin {rounds}                   computes; without rounds for ever
 * trap, exit {code}               as they are called
 * print {text, times, stream}     on standard output (1) or error (2)
 * clock                           {"ms": WASI's real time}
 * random {bytes}                  WASI's randomness
 * on any notification             keeps {method, params, info: what session.info said} under the key
 *                                 "last_notification" of the program's storage, and of the user's if there is one
 */
#define HOSTEL_INBOX_BYTES 16384u
#define HOSTEL_REPLY_BYTES 330000u
#define HOSTEL_REQUEST_BYTES 330000u
#include "hostel.h"

#define METHOD_BYTES 300
#define POSTED_MOST 64
#define CODES_MOST 8

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))
WASI("fd_write") int32_t wasi_fd_write(int32_t fd, const void *vectors, int32_t count, int32_t *written);
WASI("proc_exit") void wasi_proc_exit(int32_t code);
WASI("clock_time_get") int32_t wasi_clock_time_get(int32_t clock, uint64_t precision, uint64_t *time);

static volatile uint64_t spun;

static void echo_value(hostel_writer *w, hostel_reader r) {
    for (uint64_t left = 1; left > 0 && !r.bad; left--) {
        uint32_t parts;
        switch (hostel_peek(r)) {
        case HOSTEL_BOOL: hostel_put_bool(w, hostel_read_bool(&r)); break;
        case HOSTEL_FLOAT: hostel_put_float(w, hostel_read_float(&r)); break;
        case HOSTEL_TEXT: hostel_put_text(w, hostel_read_text(&r)); break;
        case HOSTEL_BYTES: hostel_put_bytes(w, hostel_read_bytes(&r)); break;
        case HOSTEL_INT: {
            hostel_reader number = r;
            (void)hostel_read_uint(&number);
            if (number.bad) hostel_put_int(w, hostel_read_int(&r));
            else hostel_put_uint(w, hostel_read_uint(&r));
            break;
        }
        case HOSTEL_ARRAY:
            parts = hostel_read_array(&r);
            hostel_put_array(w, parts);
            left += parts;
            break;
        case HOSTEL_MAP:
            parts = hostel_read_map(&r);
            hostel_put_map(w, parts);
            left += 2 * (uint64_t)parts;
            break;
        case HOSTEL_NIL:
            hostel_put_nil(w);
            hostel_skip(&r);
            break;
        case HOSTEL_NONE: r.bad = true; break;
        }
    }
}

static bool is_same(hostel_text one, hostel_text other) {
    uint32_t i = 0;
    while (one.size == other.size && i < one.size && one.at[i] == other.at[i]) i++;
    return one.size == other.size && i == one.size;
}

static bool is_listed(hostel_reader list, hostel_text name) {
    if (hostel_peek(list) != HOSTEL_ARRAY) return false;
    for (uint32_t left = hostel_read_array(&list); left > 0 && !list.bad; left--)
        if (is_same(hostel_read_text(&list), name)) return true;
    return false;
}

/* The text with -number behind it. */
static void put_numbered(hostel_writer *w, hostel_text text, int64_t number) {
    uint8_t *at = hostel_room(text.size + 24), *end = at + text.size + 24;
    uint8_t *digit = end;
    for (; number > 0; number /= 10) *--digit = (uint8_t)('0' + number % 10);
    uint32_t size = text.size;
    for (uint32_t i = 0; i < size; i++) at[i] = text.at[i];
    at[size++] = '-';
    while (digit < end) at[size++] = *digit++;
    hostel_put_text(w, (hostel_text){at, size});
}

/* A request as it was described, the number-th of several, from 1. False if that describes none. */
static bool begin_numbered(hostel_call *call, hostel_reader described, bool notification, int64_t number) {
    hostel_text name;
    hostel_reader params = hostel_find(described, "params"), pairs = params;
    uint32_t count = hostel_peek(params) == HOSTEL_NONE ? 0 : hostel_read_map(&pairs);
    if (pairs.bad || !hostel_text_between(hostel_find(described, "method"), 0, METHOD_BYTES, &name)) return false;
    char method[METHOD_BYTES + 1];
    for (uint32_t i = 0; i < name.size; i++) method[i] = (char)name.at[i];
    method[name.size] = 0;
    hostel_writer *w = hostel_begin(call, method, count);
    if (notification) {
        call->request.at = call->request.start;
        hostel_put_array(w, 3), hostel_put_uint(w, 2), hostel_put_text(w, name), hostel_put_map(w, count);
    }
    hostel_reader numbered = hostel_find(described, "number");
    for (; count > 0; count--, hostel_skip(&pairs)) {
        hostel_text key = hostel_read_text(&pairs);
        hostel_put_text(w, key);
        if (hostel_peek(pairs) == HOSTEL_TEXT && is_listed(numbered, key)) {
            hostel_reader value = pairs;
            put_numbered(w, hostel_read_text(&value), number);
        } else hostel_put_value(w, pairs);
    }
    return true;
}

static bool begin_described(hostel_call *call, hostel_reader described, bool notification) {
    return begin_numbered(call, described, notification, 1);
}

static void put_outcome(hostel_writer *w, const hostel_call *call, bool succeeded) {
    hostel_put_map(w, 1);
    hostel_put_string(w, succeeded ? "result" : "error");
    if (succeeded) hostel_put_value(w, call->result);
    else if (hostel_peek(call->error.value) != HOSTEL_NONE) hostel_put_value(w, call->error.value);
    else hostel_put_text(w, call->error.code);
}

static void bad_params(hostel_reply *reply) { hostel_fail(reply, "invalid_params", "see guests/probe.c"); }

static void do_call(hostel_reply *reply, hostel_reader params) {
    hostel_call call;
    if (!begin_described(&call, params, false)) {
        bad_params(reply);
        return;
    }
    bool succeeded = hostel_send(&call);
    put_outcome(hostel_result(reply), &call, succeeded);
}

static void do_calls(hostel_reply *reply, hostel_reader params) {
    struct { hostel_text code; uint32_t times; } errors[CODES_MOST];
    uint32_t kinds = 0, results = 0;
    int64_t times = 0;
    bool succeeded = false;
    hostel_call call;
    if (!hostel_int_between(hostel_find(params, "times"), 1, 100000, &times) ||
        hostel_peek(hostel_find(params, "method")) != HOSTEL_TEXT) {
        bad_params(reply);
        return;
    }
    uint8_t *kept = hostel_arena_.at;
    for (int64_t i = 0; i < times; i++) {
        if (i + 1 < times && kinds == 0) hostel_arena_.at = kept; /* what was answered so far is not needed */
        if (!begin_numbered(&call, params, false, i + 1)) {
            bad_params(reply);
            return;
        }
        succeeded = hostel_send(&call);
        if (succeeded) {
            results++;
            continue;
        }
        uint32_t k = 0;
        while (k < kinds && !is_same(errors[k].code, call.error.code)) k++;
        if (k == kinds && kinds < CODES_MOST) errors[kinds].code = call.error.code, errors[kinds].times = 0, kinds++;
        if (k < CODES_MOST) errors[k].times++;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 3);
    hostel_put_string(w, "results"), hostel_put_uint(w, results);
    hostel_put_string(w, "errors"), hostel_put_map(w, kinds);
    for (uint32_t k = 0; k < kinds; k++) hostel_put_text(w, errors[k].code), hostel_put_uint(w, errors[k].times);
    hostel_put_string(w, "last"), put_outcome(w, &call, succeeded);
}

static void do_post(hostel_reply *reply, hostel_reader requests, bool leave) {
    uint32_t msgids[POSTED_MOST], count = hostel_read_array(&requests);
    hostel_call call;
    if (requests.bad || count > POSTED_MOST) {
        bad_params(reply);
        return;
    }
    for (uint32_t i = 0; i < count; i++, hostel_skip(&requests)) {
        if (!begin_described(&call, requests, false) || !hostel_post(&call)) {
            bad_params(reply);
            return;
        }
        msgids[i] = call.msgid;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_array(w, leave ? 0 : count);
    for (uint32_t done = 0; done < count && !leave; done++) {
        hostel_waited waited = hostel_wait(&call, -1);
        if (waited != HOSTEL_SUCCEEDED && waited != HOSTEL_REFUSED) break;
        uint32_t index = 0;
        while (index < count - 1 && msgids[index] != call.msgid) index++;
        hostel_put_map(w, 2);
        hostel_put_string(w, "index"), hostel_put_uint(w, index);
        hostel_put_string(w, "outcome"), put_outcome(w, &call, waited == HOSTEL_SUCCEEDED);
    }
}

static void do_raw(hostel_reply *reply, hostel_reader params) {
    hostel_reader bytes = hostel_find(params, "bytes");
    hostel_text request = hostel_read_bytes(&bytes);
    int64_t room = 4096;
    (void)hostel_int_between(hostel_find(params, "room"), 0, 300000, &room);
    void *into = hostel_room((uint32_t)room);
    int32_t n = hostel_import_call_(request.at, request.size, into, (uint32_t)room);
    uint32_t filled = n < 0 || n > room ? 0 : (uint32_t)n;
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 2);
    hostel_put_string(w, "n"), hostel_put_int(w, n);
    hostel_put_string(w, "bytes"), hostel_put_bytes(w, (hostel_text){into, filled});
}

static void do_fail(hostel_reply *reply, hostel_reader params) {
    hostel_writer *w = hostel_fail_with(reply, "", "", 0);
    w->at = w->start; /* the whole of it is the caller's words */
    hostel_put_array(w, 4), hostel_put_uint(w, 1), hostel_put_uint(w, reply->msgid);
    hostel_put_value(w, hostel_find(params, "error"));
}

static void do_print(hostel_reader params) {
    hostel_text text;
    int64_t times = 1, stream = 1;
    int32_t written;
    if (!hostel_text_between(hostel_find(params, "text"), 0, UINT32_MAX, &text)) return;
    (void)hostel_int_between(hostel_find(params, "times"), 0, 100000, &times);
    (void)hostel_int_between(hostel_find(params, "stream"), 0, 9, &stream);
    struct { const void *at; uint32_t size; } vector = {text.at, text.size};
    for (; times > 0; times--) (void)wasi_fd_write((int32_t)stream, &vector, 1, &written);
}

static void do_spin(hostel_reader params) {
    int64_t rounds = INT64_MAX;
    (void)hostel_int_between(hostel_find(params, "rounds"), 0, INT64_MAX, &rounds);
    for (; rounds > 0; rounds--) spun += (uint64_t)rounds;
}

static void do_size(hostel_reply *reply, hostel_reader params) {
    int64_t size = 0;
    (void)hostel_int_between(hostel_find(params, "bytes"), 0, 300000, &size);
    void *room = hostel_room((uint32_t)size);
    hostel_put_bytes(hostel_result(reply), (hostel_text){room, (uint32_t)size});
}

static void do_number(hostel_reply *reply, const char *name, int64_t value) {
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 1), hostel_put_string(w, name), hostel_put_int(w, value);
}

static void keep_notification(const hostel_request *request) {
    static const char *const scopes[] = {"program", "user"};
    hostel_call info;
    hostel_begin(&info, "session.info", 0);
    bool informed = hostel_send(&info);
    for (uint32_t i = 0; i < 2; i++) {
        hostel_call call;
        hostel_text key = hostel_text_of("last_notification");
        hostel_writer *w = hostel_storage_put(&call, scopes[i], key, HOSTEL_ANY_VERSION);
        hostel_put_map(w, informed ? 3 : 2);
        hostel_put_string(w, "method"), hostel_put_text(w, request->method);
        hostel_put_string(w, "params"), hostel_put_value(w, request->params);
        if (informed) hostel_put_string(w, "info"), hostel_put_value(w, info.result);
        (void)hostel_send(&call);
    }
}

static void hostel_main(const hostel_request *request, hostel_reply *reply) {
    hostel_reader params = request->params;
    hostel_text method = request->method;
    int64_t number = 0;
    if (hostel_is(method, "trap")) __builtin_trap();
    else if (hostel_is(method, "spin")) do_spin(params);
    else if (request->notification) keep_notification(request);
    else if (hostel_is(method, "echo")) echo_value(hostel_result(reply), hostel_find(params, "value"));
    else if (hostel_is(method, "call")) do_call(reply, params);
    else if (hostel_is(method, "calls")) do_calls(reply, params);
    else if (hostel_is(method, "post")) do_post(reply, hostel_find(params, "requests"), false);
    else if (hostel_is(method, "leave")) do_post(reply, hostel_find(params, "requests"), true);
    else if (hostel_is(method, "raw")) do_raw(reply, params);
    else if (hostel_is(method, "fail")) do_fail(reply, params);
    else if (hostel_is(method, "size")) do_size(reply, params);
    else if (hostel_is(method, "print")) do_print(params);
    else if (hostel_is(method, "say")) {
        hostel_call call;
        if (begin_described(&call, params, true))
            number = hostel_import_post_(call.request.start, (uint32_t)(call.request.at - call.request.start));
        do_number(reply, "n", number);
    } else if (hostel_is(method, "grow")) {
        (void)hostel_int_between(hostel_find(params, "pages"), 0, 65536, &number);
        do_number(reply, "before", (int32_t)__builtin_wasm_memory_grow(0, (size_t)number));
    } else if (hostel_is(method, "exit")) {
        (void)hostel_int_between(hostel_find(params, "code"), 0, INT32_MAX, &number);
        wasi_proc_exit((int32_t)number);
    } else if (hostel_is(method, "clock")) {
        uint64_t time = 0;
        (void)wasi_clock_time_get(0, 1, &time);
        do_number(reply, "ms", (int64_t)(time / 1000000));
    } else if (hostel_is(method, "random")) {
        (void)hostel_int_between(hostel_find(params, "bytes"), 0, 65536, &number);
        void *room = hostel_room((uint32_t)number);
        (void)hostel_random(room, (uint32_t)number);
        hostel_put_bytes(hostel_result(reply), (hostel_text){room, (uint32_t)number});
    } else hostel_fail(reply, "unknown_method", "see guests/probe.c");
}
