/* echo: answers the value it was sent, each part read into a C value and written anew.
 *
 * Good for trying out an installation, a client or a codec: whatever comes back went through every rule of the wire on
 * both sides. `call` and `post` send requests of yours to the host and answer what it said.
 * It asks for no permission, so the host says no to most of them.
 */
#define HOSTEL_INBOX_BYTES 16384u
#define HOSTEL_REPLY_BYTES 131072u
#include "hostel.h"

#define METHOD_BYTES 64
#define POSTED_MOST 16

/* A container is its head and then its parts, so counting what is still to come is enough. */
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
            if (number.bad) hostel_put_int(w, hostel_read_int(&r)); /* below 0 */
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

/* Writes a request as it was described: {method, params}. False if that describes none. */
static bool begin_described(hostel_call *call, hostel_reader described) {
    char method[METHOD_BYTES + 1];
    hostel_text name;
    hostel_reader params = hostel_find(described, "params");
    uint32_t count = hostel_read_map(&params);
    if (params.bad || !hostel_text_between(hostel_find(described, "method"), 1, METHOD_BYTES, &name)) return false;
    for (uint32_t i = 0; i < name.size; i++) method[i] = (char)name.at[i];
    method[name.size] = 0;
    hostel_writer *w = hostel_begin(call, method, count);
    for (uint32_t left = 2 * count; left > 0; left--, hostel_skip(&params)) hostel_put_value(w, params);
    return true;
}

/* {"result": ...} or {"error": ...}: what the host said, or the code of an error on this side. */
static void put_outcome(hostel_writer *w, const hostel_call *call, bool succeeded) {
    hostel_put_map(w, 1);
    hostel_put_string(w, succeeded ? "result" : "error");
    if (succeeded) hostel_put_value(w, call->result);
    else if (hostel_peek(call->error.value) != HOSTEL_NONE) hostel_put_value(w, call->error.value);
    else hostel_put_text(w, call->error.code);
}

/* call {method, params} */
static void call_host(hostel_reply *reply, hostel_reader params) {
    hostel_call call;
    if (!begin_described(&call, params)) {
        hostel_fail(reply, "invalid_params", "method: text of 1 to 64 bytes; params: a map");
        return;
    }
    bool succeeded = hostel_send(&call);
    put_outcome(hostel_result(reply), &call, succeeded);
}

/* post {requests: [{method, params}]}: all at once; answers in the order in which the host was done with them:
 * [{index, outcome}]. */
static void post_all(hostel_reply *reply, hostel_reader requests) {
    uint32_t msgids[POSTED_MOST], count = hostel_read_array(&requests);
    hostel_call call;
    if (requests.bad || count > POSTED_MOST) {
        hostel_fail(reply, "invalid_params", "requests: a list of at most 16");
        return;
    }
    for (uint32_t i = 0; i < count; i++, hostel_skip(&requests)) {
        if (!begin_described(&call, requests) || !hostel_post(&call)) {
            hostel_fail(reply, "invalid_params", "requests: each {method, params}, not too large");
            return;
        }
        msgids[i] = call.msgid;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_array(w, count);
    for (uint32_t done = 0; done < count; done++) {
        hostel_waited waited = hostel_wait(&call, -1);
        if (waited != HOSTEL_SUCCEEDED && waited != HOSTEL_REFUSED) break; /* then the answer is short: bad_reply */
        uint32_t index = 0;
        while (index < count - 1 && msgids[index] != call.msgid) index++;
        hostel_put_map(w, 2);
        hostel_put_string(w, "index"), hostel_put_uint(w, index);
        hostel_put_string(w, "outcome"), put_outcome(w, &call, waited == HOSTEL_SUCCEEDED);
    }
}

static void hostel_main(const hostel_request *request, hostel_reply *reply) {
    if (hostel_is(request->method, "echo")) echo_value(hostel_result(reply), hostel_find(request->params, "value"));
    else if (hostel_is(request->method, "call")) call_host(reply, request->params);
    else if (hostel_is(request->method, "post")) post_all(reply, hostel_find(request->params, "requests"));
    else hostel_fail(reply, "unknown_method", "echo {value}, call {method, params} and post {requests} are answered");
}
