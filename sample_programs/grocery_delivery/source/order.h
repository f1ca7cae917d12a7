/* order.h: from a full cart to a paid order.
 *
 * The order of things is what keeps money and goods together whenever the program is stopped in between:
 *   1. payment.create under a number made from the cart's id and version: the same cart gives the same payment order;
 *   2. the record goes into the user's storage under order/<number>, unpaid, before any money is asked for;
 *   3. payment.request: the user decides in the host's cashier;
 *   4. settle: if payment.query says succeeded, the record becomes paid (only one call wins that), then the cart is
 *      emptied. order.show and orders.list settle too, so a payment whose call was cut off is found later.
 * What was missing from a delivery is paid back in refunds.h.
 */
#ifndef ORDER_H
#define ORDER_H

#include "slots.h"

#define RECORD_BYTES 22528u /* 40 lines with the longest names */
#define NUMBER_BYTES 64
#define ORDER_ID_BYTES 64
#define ORDERS_MOST 20
#define PAY_ATTEMPTS 3
#define PAY_TTL_S 900
#define PAY_WAIT_MS 120000 /* the host cuts it to what the installation allows */

typedef struct {
    hostel_text order_id, number, status, close_reason;
} payment;

/* False if the result of a payment method is no order. */
static bool payment_read(hostel_reader result, payment *p) {
    p->close_reason.size = 0;
    (void)hostel_text_between(hostel_find(result, "close_reason"), 0, NAME_BYTES, &p->close_reason);
    return hostel_text_between(hostel_find(result, "order_id"), 1, ORDER_ID_BYTES, &p->order_id) &&
           hostel_text_between(hostel_find(result, "out_trade_no"), 1, NUMBER_BYTES, &p->number) &&
           hostel_text_between(hostel_find(result, "status"), 1, NAME_BYTES, &p->status);
}

static hostel_text text_joined(const char *start, hostel_text rest) {
    hostel_text first = hostel_text_of(start), none = {NULL, 0};
    uint8_t *bytes = hostel_room(first.size + rest.size);
    if (bytes == NULL) return none;
    for (uint32_t i = 0; i < first.size; i++) bytes[i] = first.at[i];
    for (uint32_t i = 0; i < rest.size; i++) bytes[first.size + i] = rest.at[i];
    return (hostel_text){bytes, first.size + rest.size};
}

/* <cart id>-<version>, the version in as many digits as it has. */
static hostel_text order_number(const cart *c) {
    char digits[21] = "-";
    uint32_t size = 1;
    for (uint64_t rest = c->version; rest > 9; rest /= 10) size++;
    put_digits(digits + 1, (int64_t)c->version, size);
    uint8_t *number = hostel_room(NUMBER_BYTES);
    if (number == NULL) return (hostel_text){NULL, 0};
    for (uint32_t i = 0; i < CART_ID_BYTES; i++) number[i] = c->id.at[i];
    for (uint32_t i = 0; i <= size; i++) number[CART_ID_BYTES + i] = (uint8_t)digits[i];
    return (hostel_text){number, CART_ID_BYTES + 1 + size};
}

/* The record of an order, as storage holds it and order.show gives it. */
static hostel_writer order_record(const payment *p, const cart *c, const cart_sums *sums, hostel_text slot_wanted) {
    hostel_writer w = hostel_writer_over(hostel_room(RECORD_BYTES), RECORD_BYTES);
    hostel_put_map(&w, 10);
    hostel_put_string(&w, "order_id"), hostel_put_text(&w, p->order_id);
    hostel_put_string(&w, "number"), hostel_put_text(&w, p->number);
    hostel_put_string(&w, "status"), hostel_put_string(&w, "unpaid");
    hostel_put_string(&w, "cart_id"), hostel_put_text(&w, c->id);
    hostel_put_string(&w, "placed_ms"), hostel_put_int(&w, shop.now_ms);
    hostel_put_string(&w, "slot"), hostel_put_text(&w, slot_wanted);
    hostel_put_string(&w, "lines"), cart_put_lines(&w, c);
    hostel_put_string(&w, "goods"), hostel_put_money(&w, sums->goods, CURRENCY);
    hostel_put_string(&w, "delivery_fee"), hostel_put_money(&w, sums->delivery_fee, CURRENCY);
    hostel_put_string(&w, "total"), hostel_put_money(&w, sums->total, CURRENCY);
    return w;
}

/* The same record with another status. */
static hostel_writer order_with_status(hostel_reader record, const char *status) {
    hostel_writer w = hostel_writer_over(hostel_room(RECORD_BYTES), RECORD_BYTES);
    uint32_t left = hostel_read_map(&record);
    hostel_put_map(&w, left);
    for (; left > 0 && !record.bad; left--) {
        hostel_text key = hostel_read_text(&record);
        hostel_put_text(&w, key);
        if (hostel_is(key, "status")) hostel_put_string(&w, status);
        else hostel_put_value(&w, record);
        hostel_skip(&record);
    }
    return w;
}

static bool order_put(hostel_call *call, hostel_text number, uint64_t version, hostel_reader record) {
    hostel_put_value(hostel_storage_put(call, "user", text_joined("order/", number), version), record);
    return hostel_send(call);
}

/* Brings a record into line with what the payment says; returns the record as it is now. A closed order's record goes. */
static hostel_reader order_settle(const hostel_stored *stored, const payment *p, hostel_reply *reply) {
    hostel_call call;
    hostel_text status = {NULL, 0}, cart_id = {NULL, 0};
    (void)hostel_text_between(hostel_find(stored->value, "status"), 1, NAME_BYTES, &status);
    (void)hostel_text_between(hostel_find(stored->value, "cart_id"), 1, NAME_BYTES, &cart_id);
    if (!stored->found || !hostel_is(status, "unpaid")) return stored->value;
    if (hostel_is(p->status, "closed")) {
        hostel_writer *w = hostel_begin(&call, "storage.delete", 3);
        hostel_put_string(w, "key"), hostel_put_text(w, text_joined("order/", p->number));
        hostel_put_string(w, "scope"), hostel_put_string(w, "user");
        hostel_put_string(w, "if_version"), hostel_put_uint(w, stored->version);
        (void)hostel_send(&call); /* a record that stays is found closed again, and goes then */
        return stored->value;
    }
    if (!hostel_is(p->status, "succeeded")) return stored->value;
    hostel_writer paid = order_with_status(stored->value, "paid");
    if (order_put(&call, p->number, stored->version, hostel_written(&paid)))
        cart_take_out(cart_id, hostel_find(stored->value, "lines"), reply);
    else if (!hostel_is(call.error.code, "version_conflict")) /* a conflict: another call settled it at this moment */
        hostel_log("error", hostel_text_of("paid, but the record could not be marked: the next order.show tries again"));
    return hostel_written(&paid);
}

/* Makes the order, or finds it: a request that the host has seen before gets its first answer again (`replayed`), with
 * the status of then, so the one of now is asked for. False: see call->error. */
static bool payment_make(hostel_call *call, hostel_text number, int64_t total, payment *p) {
    if (!hostel_payment_create(call, number, number, total, CURRENCY, shop.name, PAY_TTL_S)) return false;
    hostel_reader replayed = hostel_find(call->result, "replayed");
    bool again = hostel_read_bool(&replayed);
    if (!payment_read(call->result, p)) return hostel_call_failed(call, "bad_response", "payment.create gave no order");
    if (!again) return true;
    if (!hostel_payment_query(call, p->order_id)) return false;
    return payment_read(call->result, p) || hostel_call_failed(call, "bad_response", "payment.query gave no order");
}

/* Step 1. False: the reply already says why. A payment order that is closed, or was made with other prices, cannot be
 * used again: saving the cart as it is gives it a new version, and so the order a new number. */
static bool checkout_create(cart *c, cart_sums *sums, payment *p, hostel_reply *reply) {
    hostel_call call;
    for (uint32_t attempt = 0; attempt < PAY_ATTEMPTS; attempt++) {
        if (!cart_load(c, reply)) return false;
        bool fits = cart_sum(c, sums);
        if (c->size == 0) return refuse(reply, "empty_cart", "there is nothing in the cart; cart.add puts something in");
        if (!fits) return refuse(reply, "sum_too_large", "the cart's total does not fit");
        if (sums->unavailable > 0)
            return refuse(reply, "unavailable_item", "cart.show tells what cannot be had; cart.set {sku: 0} takes it out");
        hostel_text number = order_number(c);
        bool created = payment_make(&call, number, sums->total, p);
        if (created && !hostel_is(p->status, "closed")) return true;
        if (!created && !hostel_is(call.error.code, "key_reused") && !hostel_is(call.error.code, "order_mismatch")) break;
        if (!cart_save(c, &call) && !hostel_is(call.error.code, "version_conflict")) break;
    }
    return pass_on(reply, &call);
}

/* Step 2. A record of the same number is from an earlier attempt and is replaced, unless it is paid. */
static bool checkout_record(const hostel_writer *record, const payment *p, hostel_stored *stored, hostel_reply *reply) {
    hostel_call call;
    hostel_text status = {NULL, 0};
    if (!hostel_storage_get(&call, "user", text_joined("order/", p->number), stored)) return pass_on(reply, &call);
    (void)hostel_text_between(hostel_find(stored->value, "status"), 1, NAME_BYTES, &status);
    if (hostel_is(status, "paid")) return true;
    if (record->full) return refuse(reply, "order_too_large", "the order's record does not fit");
    if (!order_put(&call, p->number, stored->version, hostel_written(record))) return pass_on(reply, &call);
    hostel_reader version = hostel_find(call.result, "version");
    *stored = (hostel_stored){true, hostel_read_uint(&version), hostel_written(record)};
    return true;
}

static void order_answer(hostel_reply *reply, const payment *p, hostel_reader record) {
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 3);
    hostel_put_string(w, "payment"), hostel_put_text(w, p->status);
    hostel_put_string(w, "close_reason");
    if (p->close_reason.size > 0) hostel_put_text(w, p->close_reason);
    else hostel_put_nil(w);
    hostel_put_string(w, "order"), hostel_put_value(w, record);
}

static void checkout_declined(hostel_reply *reply, const payment *p) {
    hostel_writer *details = hostel_fail_with(reply, "declined", "the payment was not made; the cart is as it was", 2);
    hostel_put_string(details, "order_id"), hostel_put_text(details, p->order_id);
    hostel_put_string(details, "payment"), hostel_put_text(details, p->status);
}

/* checkout {slot, wait_ms}: answers when the user has decided, or "confirming" when wait_ms is over. */
static void checkout(hostel_reply *reply, hostel_reader params) {
    hostel_call call;
    hostel_stored stored;
    hostel_text slot_wanted;
    payment p;
    cart c;
    cart_sums sums;
    int64_t wait_ms = PAY_WAIT_MS;
    hostel_reader wait = hostel_find(params, "wait_ms");
    if (!hostel_text_between(hostel_find(params, "slot"), 1, NAME_BYTES, &slot_wanted) ||
        (hostel_peek(wait) != HOSTEL_NONE && !hostel_int_between(wait, 0, 600000, &wait_ms))) {
        hostel_fail(reply, "invalid_params", "slot: a name that slots.list gave; wait_ms, optional: 0 to 600000");
        return;
    }
    if (!slot_is_open(slot_wanted)) {
        hostel_fail(reply, "unknown_slot", "no such slot, or not any more; slots.list tells which are open");
        return;
    }
    if (!checkout_create(&c, &sums, &p, reply)) return;
    hostel_writer record = order_record(&p, &c, &sums, slot_wanted);
    if (!checkout_record(&record, &p, &stored, reply)) return;
    if (!hostel_is(p.status, "succeeded")) {
        if (!hostel_payment_request(&call, p.order_id, (uint32_t)wait_ms)) {
            hostel_pass_on(reply, &call.error);
            return;
        }
        if (!payment_read(call.result, &p)) {
            hostel_fail(reply, "bad_response", "payment.request gave no order");
            return;
        }
    }
    hostel_reader settled = order_settle(&stored, &p, reply);
    if (hostel_is(p.status, "succeeded") || hostel_is(p.status, "confirming")) order_answer(reply, &p, settled);
    else checkout_declined(reply, &p);
}

/* One line of orders.list. Asks for the payment only where the record is still unpaid. False: not to be listed. */
static bool order_put_summary(hostel_writer *w, hostel_text key, hostel_reply *reply) {
    static const char *const FIELDS[] = {"order_id", "number", "placed_ms", "slot", "total"};
    hostel_call call;
    hostel_stored stored;
    hostel_text status, order_id;
    payment p = {{NULL, 0}, {NULL, 0}, hostel_text_of("succeeded"), {NULL, 0}};
    if (!hostel_storage_get(&call, "user", key, &stored) ||
        !hostel_text_between(hostel_find(stored.value, "status"), 1, NAME_BYTES, &status) ||
        !hostel_text_between(hostel_find(stored.value, "order_id"), 1, ORDER_ID_BYTES, &order_id))
        return false;
    if (hostel_is(status, "unpaid")) {
        if (!hostel_payment_query(&call, order_id) || !payment_read(call.result, &p)) return false;
        (void)order_settle(&stored, &p, reply);
        if (hostel_is(p.status, "closed")) return false;
    }
    hostel_put_map(w, sizeof FIELDS / sizeof FIELDS[0] + 1);
    for (uint32_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++)
        hostel_put_string(w, FIELDS[i]), hostel_put_value(w, hostel_find(stored.value, FIELDS[i]));
    hostel_put_string(w, "payment"), hostel_put_text(w, p.status);
    return true;
}

/* orders.list {after}: newest first, at most 20; next is what to give as after, nil at the end. */
static void orders_list(hostel_reply *reply, hostel_reader params) {
    hostel_call call;
    hostel_text after = {NULL, 0}, number = {NULL, 0};
    (void)hostel_text_between(hostel_find(params, "after"), 1, NUMBER_BYTES, &after);
    hostel_writer *request = hostel_begin(&call, "storage.list", 4);
    hostel_put_string(request, "prefix"), hostel_put_string(request, "order/");
    hostel_put_string(request, "scope"), hostel_put_string(request, "user");
    hostel_put_string(request, "after"), hostel_put_text(request, after.size > 0 ? text_joined("order/", after) : after);
    hostel_put_string(request, "limit"), hostel_put_uint(request, ORDERS_MOST);
    if (!hostel_send(&call)) {
        hostel_pass_on(reply, &call.error);
        return;
    }
    hostel_reader keys = hostel_find(call.result, "keys"), more = hostel_find(call.result, "more");
    hostel_writer lines = hostel_writer_over(hostel_room(HOSTEL_REPLY_BYTES / 2), HOSTEL_REPLY_BYTES / 2);
    uint32_t listed = 0;
    for (uint32_t left = hostel_read_array(&keys); left > 0 && !keys.bad; left--, hostel_skip(&keys)) {
        hostel_text key = {NULL, 0};
        if (!hostel_text_between(hostel_find(keys, "key"), 7, 6 + NUMBER_BYTES, &key)) continue;
        number = (hostel_text){key.at + 6, key.size - 6}; /* without "order/" */
        if (order_put_summary(&lines, key, reply)) listed++;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 2);
    hostel_put_string(w, "orders"), hostel_put_array(w, listed);
    if (lines.full) w->full = true;
    else for (uint32_t i = 0; lines.start + i < lines.at; i++) hostel_put_copy_(w, lines.start + i, 1);
    hostel_put_string(w, "next");
    if (hostel_read_bool(&more)) hostel_put_text(w, number);
    else hostel_put_nil(w);
}

#endif
