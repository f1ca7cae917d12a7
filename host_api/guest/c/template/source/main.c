/* A guest book: visitors sign it, read it, and leave a tip if they like.
 * hostel_main, at the end, names every method that users may call; `hostel test` plays the files of scenarios. */
#include "hostel_api.h"

#define KEPT 20u /* entries, the newest */
#define TEXT_CHARS 140u
#define BOOK_BYTES 16384u
#define TIP_MOST 20000 /* fen: 200.00 CNY */
#define CURRENCY "CNY"
#define TRIES 10 /* at most that often somebody else may write in between */

/* What all visitors share, by its key. `found` is false before anybody wrote it. */
static bool read_shared(hostel_call *call, const char *key, hostel_storage_get_result *stored) {
    hostel_storage_get_params params = {.key = hostel_text_of(key), .scope = "program"};
    return hostel_api_storage_get(call, &params, stored);
}

/* False, with version_conflict in call->error, where somebody wrote it since it was read. */
static bool write_shared(hostel_call *call, const char *key, const hostel_writer *value, int64_t version) {
    hostel_storage_put_params params = {.key = hostel_text_of(key), .value = hostel_written(value), .scope = "program",
                                        .if_version = HOSTEL_GIVEN(version)};
    hostel_storage_put_result put;
    return hostel_api_storage_put(call, &params, &put);
}

/* ---- sign --------------------------------------------------------------------------------------------------------- */
static hostel_text trimmed(hostel_text text) {
    while (text.size > 0 && text.at[0] <= ' ') text.at++, text.size--;
    while (text.size > 0 && text.at[text.size - 1] <= ' ') text.size--;
    return text;
}

static uint32_t characters(hostel_text text) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < text.size; i++) count += (text.at[i] & 0xc0) != 0x80; /* all but continuation bytes */
    return count;
}

static void put_entry(hostel_writer *w, hostel_text text, int64_t at_ms) {
    hostel_put_map(w, 2);
    hostel_put_string(w, "text"), hostel_put_text(w, text);
    hostel_put_string(w, "at_ms"), hostel_put_int(w, at_ms);
}

/* The book with one entry more, the newest first. */
static hostel_writer signed_book(hostel_reader book, int64_t count, hostel_text text, int64_t at_ms) {
    hostel_writer w = hostel_writer_over(hostel_room(BOOK_BYTES), BOOK_BYTES);
    hostel_reader older = hostel_find(book, "entries");
    uint32_t kept = hostel_peek(older) == HOSTEL_ARRAY ? hostel_read_array(&older) : 0;
    if (kept >= KEPT) kept = KEPT - 1;
    hostel_put_map(&w, 2);
    hostel_put_string(&w, "count"), hostel_put_int(&w, count);
    hostel_put_string(&w, "entries"), hostel_put_array(&w, kept + 1);
    put_entry(&w, text, at_ms);
    for (; kept > 0; kept--, hostel_skip(&older)) hostel_put_value(&w, older);
    return w;
}

/* Two may sign at once: who comes second is refused, reads again and tries again. */
static void sign(hostel_reader params, hostel_reply *reply) {
    hostel_call call;
    hostel_session_info_result session;
    hostel_storage_get_result stored;
    hostel_text text = {NULL, 0};
    (void)hostel_text_between(hostel_find(params, "text"), 0, UINT32_MAX, &text);
    text = trimmed(text);
    if (text.size == 0) {
        hostel_fail(reply, "empty", "write something first");
        return;
    }
    if (characters(text) > TEXT_CHARS) {
        hostel_fail(reply, "too_long", "at most 140 characters");
        return;
    }
    bool ready = hostel_api_session_info(&call, &session);
    for (int tries = 0; ready && tries < TRIES; tries++) {
        int64_t count = 0;
        if (!read_shared(&call, "book", &stored)) break;
        (void)hostel_int_between(hostel_find(stored.value, "count"), 0, INT64_MAX - 1, &count);
        hostel_writer book = signed_book(stored.value, ++count, text, session.time_ms);
        if (write_shared(&call, "book", &book, stored.version)) {
            hostel_writer *w = hostel_result(reply);
            hostel_put_map(w, 2);
            hostel_put_string(w, "count"), hostel_put_int(w, count);
            hostel_put_string(w, "entry"), put_entry(w, text, session.time_ms);
            return;
        }
        if (!hostel_is(call.error.code, "version_conflict")) break;
    }
    hostel_pass_on(reply, &call.error); /* the host's word is the answer */
}

/* ---- list --------------------------------------------------------------------------------------------------------- */
static void list(hostel_reply *reply) {
    hostel_call call;
    hostel_storage_get_result stored;
    if (!read_shared(&call, "book", &stored)) {
        hostel_pass_on(reply, &call.error);
        return;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 1);
    hostel_put_string(w, "entries");
    if (stored.found) hostel_put_value(w, hostel_find(stored.value, "entries"));
    else hostel_put_array(w, 0);
}

/* ---- tip ---------------------------------------------------------------------------------------------------------- */
/* A number of the program's own, used once. False: see call->error. */
static bool next_number(hostel_call *call, int64_t *number) {
    hostel_storage_get_result stored;
    for (int tries = 0; tries < TRIES; tries++) {
        int64_t tips = 0;
        if (!read_shared(call, "tips", &stored)) return false;
        (void)hostel_int_between(stored.value, 0, INT64_MAX - 1, &tips);
        *number = tips + 1;
        hostel_writer value = hostel_writer_over(hostel_room(16), 16);
        hostel_put_int(&value, *number);
        if (write_shared(call, "tips", &value, stored.version)) return true;
        if (!hostel_is(call->error.code, "version_conflict")) return false;
    }
    return false;
}

/* "tip-17" */
static hostel_text tip_key(int64_t number) {
    static uint8_t bytes[4 + 20] = "tip-";
    uint32_t size = 5;
    for (int64_t rest = number; rest > 9; rest /= 10) size++;
    for (uint32_t i = size; i > 4; i--, number /= 10) bytes[i - 1] = (uint8_t)('0' + number % 10);
    return (hostel_text){bytes, size};
}

/* The user decides in the host's cashier, never here. */
static void tip(hostel_reader params, hostel_reply *reply) {
    hostel_call call;
    hostel_order_result order;
    int64_t amount = 0, number = 0;
    if (!hostel_int_between(hostel_find(params, "amount"), 1, TIP_MOST, &amount)) {
        hostel_writer *details = hostel_fail_with(reply, "bad_amount", "a tip is 1 to 20000 fen", 1);
        hostel_put_string(details, "most"), hostel_put_int(details, TIP_MOST);
        return;
    }
    if (!next_number(&call, &number)) {
        hostel_pass_on(reply, &call.error);
        return;
    }
    hostel_payment_create_params wanted = {.key = tip_key(number), .out_trade_no = tip_key(number),
                                           .amount = {amount, hostel_text_of(CURRENCY)},
                                           .subject = hostel_text_of("A tip for the guest book")};
    bool asked = hostel_api_payment_create(&call, &wanted, &order);
    if (asked) {
        hostel_payment_request_params request = {.order_id = order.order_id, .wait_ms = HOSTEL_GIVEN(60000)};
        asked = hostel_api_payment_request(&call, &request, &order);
    }
    if (!asked) {
        hostel_pass_on(reply, &call.error);
        return;
    }
    /* After a no the order is pending again, so that it could be asked for once more; after the third it is closed. */
    if (hostel_is(order.status, "pending") || hostel_is(order.close_reason, "declined")) {
        hostel_log("info", hostel_text_of("a tip was declined"));
        hostel_fail(reply, "declined", "no tip then; you are welcome all the same");
        return;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 2);
    hostel_put_string(w, "paid"), hostel_put_bool(w, hostel_is(order.status, "succeeded"));
    hostel_put_string(w, "order_id"), hostel_put_text(w, order.order_id);
}

static void hostel_main(const hostel_request *request, hostel_reply *reply) {
    if (hostel_is(request->method, "sign")) sign(request->params, reply);
    else if (hostel_is(request->method, "list")) list(reply);
    else if (hostel_is(request->method, "tip")) tip(request->params, reply);
    else hostel_fail(reply, "unknown_method", "there is no such method");
}
