/* refunds.h: what was missing from a delivery is paid back: each kind of goods of an order once.
 *
 * A packer reports what is missing; packers are users who joined with the code of the configuration. The report names no
 * customer and lies in the program's storage under missing/<number>. The money goes back when the customer looks at the
 * order, since a refund is made for the user whose order it is. Its number is made from the order's and the line's, so
 * however often a call is repeated or cut off, the host makes it once; the record says then what was paid back.
 */
#ifndef REFUNDS_H
#define REFUNDS_H

#include "order.h"

#define STAFF_MOST 100u
#define STAFF_BYTES 4096u
#define CODE_BYTES 64
#define USER_ID_BYTES 64
#define MISSING_BYTES 4096u
#define REFUNDS_BYTES 8192u
#define REPORT_ATTEMPTS 8

/* ---- who may report ------------------------------------------------------------------------------------------------ */
static bool shared_get(hostel_call *call, hostel_text key, hostel_storage_get_result *stored) {
    hostel_storage_get_params params = {.key = key, .scope = "program"};
    return hostel_api_storage_get(call, &params, stored);
}

static bool shared_put(hostel_call *call, hostel_text key, const hostel_writer *value, int64_t version) {
    hostel_storage_put_params params = {.key = key, .value = hostel_written(value), .scope = "program",
                                        .if_version = HOSTEL_GIVEN(version)};
    hostel_storage_put_result put;
    return hostel_api_storage_put(call, &params, &put);
}

static bool staff_has(hostel_reader staff, hostel_text id) {
    if (hostel_peek(staff) != HOSTEL_ARRAY) return false;
    for (uint32_t left = hostel_read_array(&staff); left > 0 && !staff.bad; left--)
        if (hostel_same(hostel_read_text(&staff), id)) return true;
    return false;
}

/* staff.join {code}: the user is a packer of this shop from now on. */
static void staff_join(hostel_reply *reply, hostel_reader params) {
    hostel_call call;
    hostel_user_login_result user;
    hostel_storage_get_result stored;
    hostel_text code = {NULL, 0}, key = hostel_text_of("staff");
    (void)hostel_text_between(hostel_find(params, "code"), 1, CODE_BYTES, &code);
    if (shop.staff_code.size == 0 || !hostel_same(code, shop.staff_code)) {
        hostel_fail(reply, "not_staff", "this is not the code of the shop");
        return;
    }
    bool joined = hostel_api_user_login(&call, &user);
    for (uint32_t attempt = 0; joined && attempt < REPORT_ATTEMPTS; attempt++) {
        if (!(joined = shared_get(&call, key, &stored)) || staff_has(stored.value, user.id)) break;
        hostel_reader before = stored.value;
        uint32_t count = stored.found ? hostel_read_array(&before) : 0;
        if (count >= STAFF_MOST) {
            hostel_fail(reply, "staff_full", "a shop has at most 100 packers");
            return;
        }
        hostel_writer staff = hostel_writer_over(hostel_room(STAFF_BYTES + 32 * count), STAFF_BYTES + 32 * count);
        hostel_put_array(&staff, count + 1);
        for (; count > 0; count--, hostel_skip(&before)) hostel_put_value(&staff, before);
        hostel_put_text(&staff, user.id);
        joined = shared_put(&call, key, &staff, stored.version);
        if (joined) break;
        joined = hostel_is(call.error.code, "version_conflict");
    }
    if (!joined) {
        hostel_pass_on(reply, &call.error);
        return;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 1), hostel_put_string(w, "staff"), hostel_put_bool(w, true);
}

static bool require_staff(hostel_reply *reply) {
    hostel_call call;
    hostel_user_login_result user;
    hostel_storage_get_result stored;
    if (!hostel_api_user_login(&call, &user) || !shared_get(&call, hostel_text_of("staff"), &stored))
        return pass_on(reply, &call);
    return staff_has(stored.value, user.id) || refuse(reply, "not_staff", "only for packers of the shop");
}

/* ---- the report ---------------------------------------------------------------------------------------------------- */
/* Both together; false where the report says another quantity of what was reported before, or is not valid. */
static bool missing_merge(hostel_reader before, hostel_reader items, hostel_writer *merged, hostel_reply *reply) {
    hostel_reader known = before, added = items, again = items;
    uint32_t fresh = 0, given = hostel_peek(items) == HOSTEL_MAP ? hostel_read_map(&added) : 0;
    uint32_t old = hostel_peek(before) == HOSTEL_MAP ? hostel_read_map(&known) : 0;
    if (given == 0 || given > CART_LINES) return refuse(reply, "invalid_params", "items: a map from sku to a quantity");
    for (uint32_t left = given; left > 0; left--) {
        hostel_text sku = hostel_read_text(&added);
        int64_t quantity, reported;
        if (added.bad || sku.size < 1 || sku.size > SKU_BYTES || !hostel_int_between(added, 1, QUANTITY_MOST, &quantity))
            return refuse(reply, "invalid_params", "items: a map from sku to a quantity of 1 to 99");
        hostel_skip(&added);
        if (!hostel_int_between(hostel_find_text(before, sku), 1, QUANTITY_MOST, &reported)) fresh++;
        else if (reported != quantity) return refuse_sku(reply, "already_reported", "reported with another quantity", sku);
    }
    hostel_put_map(merged, old + fresh);
    for (old *= 2; old > 0; old--, hostel_skip(&known)) hostel_put_value(merged, known);
    for (given = hostel_read_map(&again); given > 0; given--) {
        hostel_text sku = hostel_read_text(&again);
        bool is_known = hostel_peek(hostel_find_text(before, sku)) != HOSTEL_NONE;
        if (!is_known) hostel_put_text(merged, sku), hostel_put_value(merged, again);
        hostel_skip(&again);
    }
    return !merged->full || refuse(reply, "report_too_large", "the report does not fit");
}

/* order.missing {number, items: {sku: quantity}}: what the packer could not find. */
static void order_missing(hostel_reply *reply, hostel_reader params) {
    hostel_call call;
    hostel_storage_get_result stored;
    hostel_text number;
    if (!require_staff(reply)) return;
    if (!hostel_text_between(hostel_find(params, "number"), CART_ID_BYTES + 2, NUMBER_BYTES, &number)) {
        hostel_fail(reply, "invalid_params", "number: the number on the order's slip");
        return;
    }
    hostel_text key = text_joined("missing/", number);
    for (uint32_t attempt = 0; attempt < REPORT_ATTEMPTS; attempt++) {
        if (!shared_get(&call, key, &stored)) break;
        hostel_writer merged = hostel_writer_over(hostel_room(MISSING_BYTES), MISSING_BYTES);
        if (!missing_merge(stored.value, hostel_find(params, "items"), &merged, reply)) return;
        if (shared_put(&call, key, &merged, stored.version)) {
            hostel_writer *w = hostel_result(reply);
            hostel_put_map(w, 2);
            hostel_put_string(w, "number"), hostel_put_text(w, number);
            hostel_put_string(w, "missing"), hostel_put_value(w, hostel_written(&merged));
            return;
        }
        if (!hostel_is(call.error.code, "version_conflict")) break;
    }
    hostel_pass_on(reply, &call.error);
}

/* ---- the money ----------------------------------------------------------------------------------------------------- */
/* "<start><two digits>" */
static hostel_text numbered(hostel_text start, uint32_t line) {
    uint8_t *bytes = hostel_room(start.size + 2);
    if (bytes == NULL) return (hostel_text){NULL, 0};
    for (uint32_t i = 0; i < start.size; i++) bytes[i] = start.at[i];
    put_digits((char *)bytes + start.size, line, 2);
    return (hostel_text){bytes, start.size + 2};
}

/* What is to be paid back for one line of the order; 0 for nothing. */
static int64_t line_missing(hostel_reader line, hostel_reader missing, hostel_text *sku, int64_t *quantity) {
    int64_t ordered, price, amount;
    if (!hostel_text_between(hostel_find(line, "sku"), 1, SKU_BYTES, sku) ||
        !hostel_int_between(hostel_find(line, "quantity"), 1, QUANTITY_MOST, &ordered) ||
        !hostel_int_between(hostel_find(hostel_find(line, "price"), "amount"), 1, PRICE_MOST, &price) ||
        !hostel_int_between(hostel_find_text(missing, *sku), 1, QUANTITY_MOST, quantity))
        return 0;
    if (*quantity > ordered) *quantity = ordered;
    return checked_times(price, *quantity, &amount) ? amount : 0;
}

static bool refund_line(hostel_text order_id, hostel_text number, uint32_t line, int64_t amount) {
    hostel_call call;
    hostel_refund_result made;
    hostel_payment_refund_params params = {.key = numbered(number, line), .order_id = order_id, .amount = amount,
                                           .out_request_no = numbered(hostel_text_of("missing-"), line),
                                           .reason = hostel_text_of("缺货退款 Missing from your delivery")};
    if (hostel_api_payment_refund(&call, &params, &made)) return true;
    hostel_log("warning", text_joined("missing goods not paid back yet, order.show tries again: ", call.error.code));
    return false;
}

/* The record says already that this was paid back. */
static bool refund_is_written(hostel_reader refunds, hostel_text sku) {
    hostel_text written;
    uint32_t left = hostel_peek(refunds) == HOSTEL_ARRAY ? hostel_read_array(&refunds) : 0;
    for (; left > 0 && !refunds.bad; left--, hostel_skip(&refunds))
        if (hostel_text_between(hostel_find(refunds, "sku"), 1, SKU_BYTES, &written) && hostel_same(written, sku))
            return true;
    return false;
}

/* The record with what was paid back, in the place of what it said of that before. */
static hostel_writer order_with_refunds(hostel_reader record, const hostel_writer *refunds, uint32_t count, int64_t sum) {
    hostel_writer w = hostel_writer_over(hostel_room(RECORD_BYTES), RECORD_BYTES);
    hostel_reader fields = record;
    uint32_t left = hostel_read_map(&fields), known = hostel_peek(hostel_find(record, "refunds")) == HOSTEL_NONE ? 0 : 2;
    hostel_put_map(&w, left - known + 2);
    for (; left > 0 && !fields.bad; left--) {
        hostel_text key = hostel_read_text(&fields);
        bool is_replaced = hostel_is(key, "refunds") || hostel_is(key, "refunded");
        if (!is_replaced) hostel_put_text(&w, key), hostel_put_value(&w, fields);
        hostel_skip(&fields);
    }
    hostel_put_string(&w, "refunds"), hostel_put_array(&w, count);
    hostel_put_copy_(&w, refunds->start, (uint32_t)(refunds->at - refunds->start));
    hostel_put_string(&w, "refunded"), hostel_put_money(&w, sum, CURRENCY);
    return w;
}

/* Pays back what is reported missing of a paid order. The record as it is then; a refund that fails now is made later. */
static hostel_reader refunds_settle(const payment *p, hostel_reader record) {
    hostel_call call;
    hostel_storage_get_result missing;
    hostel_stored stored;
    hostel_text status = {NULL, 0};
    (void)hostel_text_between(hostel_find(record, "status"), 1, NAME_BYTES, &status);
    if (!hostel_is(status, "paid") || !shared_get(&call, text_joined("missing/", p->number), &missing) || !missing.found ||
        !hostel_storage_get(&call, "user", text_joined("order/", p->number), &stored) || !stored.found)
        return record;
    hostel_writer refunds = hostel_writer_over(hostel_room(REFUNDS_BYTES), REFUNDS_BYTES);
    hostel_reader lines = hostel_find(stored.value, "lines"), before = hostel_find(stored.value, "refunds");
    uint32_t made = 0, fresh = 0, count = hostel_read_array(&lines);
    int64_t sum = 0;
    for (uint32_t line = 0; line < count && !lines.bad; line++, hostel_skip(&lines)) {
        hostel_text sku;
        int64_t quantity, amount = line_missing(lines, missing.value, &sku, &quantity);
        bool written = amount > 0 && refund_is_written(before, sku);
        if (amount == 0 || (!written && !refund_line(p->order_id, p->number, line, amount))) continue;
        made++, fresh += !written, sum += amount;
        hostel_put_map(&refunds, 3);
        hostel_put_string(&refunds, "sku"), hostel_put_text(&refunds, sku);
        hostel_put_string(&refunds, "quantity"), hostel_put_int(&refunds, quantity);
        hostel_put_string(&refunds, "amount"), hostel_put_money(&refunds, amount, CURRENCY);
    }
    if (fresh == 0 || refunds.full) return stored.value;
    hostel_writer told = order_with_refunds(stored.value, &refunds, made, sum);
    if (told.full || !order_put(&call, p->number, stored.version, hostel_written(&told)))
        hostel_log("warning", hostel_text_of("paid back, but not written down: the next order.show does it"));
    return hostel_written(&told);
}

/* order.show {order_id}: the host says what it is worth; an id that is not this user's is the host's not_found. */
static void order_show(hostel_reply *reply, hostel_reader params) {
    hostel_call call;
    hostel_stored stored;
    hostel_text order_id;
    payment p;
    if (!hostel_text_between(hostel_find(params, "order_id"), 1, ORDER_ID_BYTES, &order_id)) {
        hostel_fail(reply, "invalid_params", "order_id: the order_id that checkout or orders.list gave");
        return;
    }
    if (!hostel_payment_query(&call, order_id)) {
        hostel_pass_on(reply, &call.error);
        return;
    }
    if (!payment_read(call.result, &p)) {
        hostel_fail(reply, "bad_response", "payment.query gave no order");
        return;
    }
    if (!hostel_storage_get(&call, "user", text_joined("order/", p.number), &stored)) {
        hostel_pass_on(reply, &call.error);
        return;
    }
    order_answer(reply, &p, refunds_settle(&p, order_settle(&stored, &p, reply)));
}

#endif
