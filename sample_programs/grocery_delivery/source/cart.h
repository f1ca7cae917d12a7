/* cart.h: the user's cart, kept in the user's own storage under "cart" as {id, items: {sku: quantity}}.
 *
 * Two windows may change one cart at once, so every change is read, changed and put back only if nobody was faster;
 * else it is done again on what is there now. What must not live here: money that is asked for (order.h).
 */
#ifndef CART_H
#define CART_H

#include "shop.h"

#define CART_LINES 40
#define QUANTITY_MOST 99
#define CART_ATTEMPTS 8

#define CART_ID_BYTES 29 /* 13 digits and 16 hexadecimal ones */

typedef struct {
    hostel_text sku;
    int64_t quantity;
} cart_line;

typedef struct {
    hostel_text id;   /* of this filling of the cart; an empty cart gets another one each time */
    uint64_t version; /* of what storage holds; 0 = nothing */
    uint32_t size;
    cart_line lines[CART_LINES];
} cart;

typedef struct {
    int64_t goods, delivery_fee, total;
    uint32_t unavailable; /* lines that cannot be had any more; they are not counted */
} cart_sums;

static void put_digits(char *at, int64_t number, uint32_t width) {
    for (uint32_t i = width; i > 0; i--, number /= 10) at[i - 1] = (char)('0' + number % 10);
}

/* The numbers of orders are made from this id and must differ between all users of the shop for ever: 64 random bits.
 * In front the time, counted backwards, so that storage.list gives the newest order first. */
static bool cart_new_id(cart *c) {
    static const char HEX[] = "0123456789abcdef";
    uint8_t random[8];
    char *id = hostel_room(CART_ID_BYTES);
    if (id == NULL || !hostel_random(random, sizeof random)) return false;
    put_digits(id, 9999999999999 - shop.now_ms, 13);
    for (uint32_t i = 0; i < 16; i++) id[13 + i] = HEX[random[i / 2] >> (i % 2 ? 0 : 4) & 15];
    c->id.at = (const uint8_t *)id, c->id.size = CART_ID_BYTES;
    return true;
}

/* What storage holds was written by cart_save, but by which release? Anything that does not fit counts as empty. */
static void cart_read_lines(cart *c, hostel_reader items) {
    uint32_t count = hostel_peek(items) == HOSTEL_MAP ? hostel_read_map(&items) : 0;
    for (c->size = 0; c->size < count && c->size < CART_LINES; c->size++) {
        c->lines[c->size].sku = hostel_read_text(&items);
        c->lines[c->size].quantity = hostel_read_int(&items);
        if (items.bad || c->lines[c->size].quantity < 1 || c->lines[c->size].quantity > QUANTITY_MOST) return;
    }
}

/* False: the reply already says why. */
static bool cart_load(cart *c, hostel_reply *reply) {
    hostel_call call;
    hostel_stored stored;
    if (!hostel_storage_get(&call, "user", hostel_text_of("cart"), &stored)) return pass_on(reply, &call);
    c->version = stored.version;
    cart_read_lines(c, hostel_find(stored.value, "items"));
    bool known = hostel_text_between(hostel_find(stored.value, "id"), CART_ID_BYTES, CART_ID_BYTES, &c->id);
    if ((known && c->size > 0) || cart_new_id(c)) return true;
    return refuse(reply, "no_random", "the host gave no random bytes");
}

/* False: see call->error; version_conflict if somebody else was faster. Sets the version that it has now. */
static bool cart_save(cart *c, hostel_call *call) {
    hostel_writer *w = hostel_storage_put(call, "user", hostel_text_of("cart"), c->version);
    hostel_put_map(w, 2);
    hostel_put_string(w, "id"), hostel_put_text(w, c->id);
    hostel_put_string(w, "items"), hostel_put_map(w, c->size);
    for (uint32_t i = 0; i < c->size; i++) hostel_put_text(w, c->lines[i].sku), hostel_put_int(w, c->lines[i].quantity);
    if (!hostel_send(call)) return false;
    hostel_reader version = hostel_find(call->result, "version");
    c->version = hostel_read_uint(&version);
    return true;
}

static cart_line *cart_find(cart *c, hostel_text sku) {
    for (uint32_t i = 0; i < c->size; i++)
        if (hostel_same(c->lines[i].sku, sku)) return &c->lines[i];
    return NULL;
}

static void cart_drop(cart *c, cart_line *line) { *line = c->lines[--c->size]; }

static bool refuse_sku(hostel_reply *reply, const char *code, const char *message, hostel_text sku) {
    hostel_writer *details = hostel_fail_with(reply, code, message, 1);
    hostel_put_string(details, "sku"), hostel_put_text(details, sku);
    return false;
}

typedef enum { CART_ADD, CART_SET } cart_change;

static bool cart_change_line(cart *c, cart_change change, hostel_text sku, int64_t quantity, hostel_reply *reply) {
    const shop_item *item = shop_find(sku);
    cart_line *line = cart_find(c, sku);
    if (change == CART_SET && quantity == 0) { /* also for what is not sold any more */
        if (line != NULL) cart_drop(c, line);
        return true;
    }
    if (item == NULL) return refuse_sku(reply, "unknown_sku", "not sold here; catalogue.list tells what is", sku);
    if (hostel_is(item->stock, "sold_out")) return refuse_sku(reply, "sold_out", "sold out at the moment", sku);
    int64_t before = change == CART_ADD && line != NULL ? line->quantity : 0;
    if (quantity < 1 || quantity > QUANTITY_MOST - before)
        return refuse_sku(reply, "quantity_out_of_range", "1 to 99, what is in the cart included", sku);
    if (line == NULL && c->size == CART_LINES) return refuse_sku(reply, "cart_full", "a cart takes 40 kinds", sku);
    if (line == NULL) line = &c->lines[c->size++];
    line->sku = sku;
    line->quantity = before + quantity;
    return true;
}

/* items: {sku: quantity}. All of them or none. */
static bool cart_change_lines(cart *c, cart_change change, hostel_reader items, hostel_reply *reply) {
    uint32_t count = hostel_peek(items) == HOSTEL_MAP ? hostel_read_map(&items) : 0;
    bool valid = count > 0;
    for (; valid && count > 0; count--) {
        hostel_text sku;
        int64_t quantity;
        valid = hostel_text_between(items, 1, SKU_BYTES, &sku);
        hostel_skip(&items);
        valid = valid && hostel_int_between(items, INT32_MIN, INT32_MAX, &quantity);
        hostel_skip(&items);
        if (valid && !cart_change_line(c, change, sku, quantity, reply)) return false;
    }
    if (!valid) hostel_fail(reply, "invalid_params", "items: a map from sku to a whole quantity, with at least one entry");
    return valid;
}

static bool checked_times(int64_t price, int64_t quantity, int64_t *product) {
    if (price < 0 || quantity < 0 || (quantity > 0 && price > INT64_MAX / quantity)) return false;
    *product = price * quantity;
    return true;
}

/* False if a sum does not fit: with the bounds of shop.h it always does, but money is not left to bounds elsewhere. */
static bool cart_sum(const cart *c, cart_sums *sums) {
    *sums = (cart_sums){0, 0, 0, 0};
    for (uint32_t i = 0; i < c->size; i++) {
        const shop_item *item = shop_find(c->lines[i].sku);
        int64_t line;
        if (item == NULL || hostel_is(item->stock, "sold_out")) {
            sums->unavailable++;
            continue;
        }
        if (!checked_times(item->price, c->lines[i].quantity, &line)) return false;
        if (__builtin_add_overflow(sums->goods, line, &sums->goods)) return false;
    }
    if (sums->goods > 0 && sums->goods < shop.free_delivery_from) sums->delivery_fee = shop.delivery_fee;
    return !__builtin_add_overflow(sums->goods, sums->delivery_fee, &sums->total);
}

/* [{sku, name, unit, price, quantity, sum, available}]; price and sum are nil where the item is not sold any more. */
static void cart_put_lines(hostel_writer *w, const cart *c) {
    hostel_put_array(w, c->size);
    for (uint32_t i = 0; i < c->size; i++) {
        const shop_item *item = shop_find(c->lines[i].sku);
        hostel_put_map(w, item == NULL ? 3 : 7);
        hostel_put_string(w, "sku"), hostel_put_text(w, c->lines[i].sku);
        hostel_put_string(w, "quantity"), hostel_put_int(w, c->lines[i].quantity);
        hostel_put_string(w, "available"), hostel_put_bool(w, item != NULL && !hostel_is(item->stock, "sold_out"));
        if (item == NULL) continue;
        hostel_put_string(w, "name"), put_languages(w, item->name_zh, item->name_en);
        hostel_put_string(w, "unit"), put_languages(w, item->unit_zh, item->unit_en);
        hostel_put_string(w, "price"), hostel_put_money(w, item->price, CURRENCY);
        hostel_put_string(w, "sum"), hostel_put_money(w, item->price * c->lines[i].quantity, CURRENCY);
    }
}

static void cart_answer(hostel_reply *reply, const cart *c) {
    cart_sums sums;
    if (!cart_sum(c, &sums)) {
        hostel_fail(reply, "sum_too_large", "the cart's total does not fit");
        return;
    }
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 6);
    hostel_put_string(w, "version"), hostel_put_uint(w, c->version);
    hostel_put_string(w, "lines"), cart_put_lines(w, c);
    hostel_put_string(w, "unavailable"), hostel_put_uint(w, sums.unavailable);
    hostel_put_string(w, "goods"), hostel_put_money(w, sums.goods, CURRENCY);
    hostel_put_string(w, "delivery_fee"), hostel_put_money(w, sums.delivery_fee, CURRENCY);
    hostel_put_string(w, "total"), hostel_put_money(w, sums.total, CURRENCY);
}

/* cart.show {} */
static void cart_show(hostel_reply *reply) {
    cart c;
    if (cart_load(&c, reply)) cart_answer(reply, &c);
}

/* cart.add {items}, cart.set {items} */
static void cart_update(hostel_reply *reply, cart_change change, hostel_reader items) {
    hostel_call call;
    cart c;
    for (uint32_t attempt = 0; attempt < CART_ATTEMPTS; attempt++) {
        if (!cart_load(&c, reply) || !cart_change_lines(&c, change, items, reply)) return;
        if (cart_save(&c, &call)) {
            cart_answer(reply, &c);
            return;
        }
        if (!hostel_is(call.error.code, "version_conflict")) break;
    }
    hostel_pass_on(reply, &call.error);
}

/* cart.clear {} */
static void cart_clear(hostel_reply *reply) {
    hostel_call call;
    cart c;
    for (uint32_t attempt = 0; attempt < CART_ATTEMPTS; attempt++) {
        if (!cart_load(&c, reply)) return;
        c.size = 0;
        if (cart_save(&c, &call)) {
            cart_answer(reply, &c);
            return;
        }
        if (!hostel_is(call.error.code, "version_conflict")) break;
    }
    hostel_pass_on(reply, &call.error);
}

/* Takes out of the cart what was paid, if it is still the same filling: what was put in meanwhile stays. An error is not
 * one of the payment, so it is only logged. */
static void cart_take_out(hostel_text id, hostel_reader lines, hostel_reply *reply) {
    hostel_call call;
    cart c;
    for (uint32_t attempt = 0; attempt < CART_ATTEMPTS; attempt++) {
        if (!cart_load(&c, reply)) break;
        if (!hostel_same(c.id, id)) return;
        hostel_reader r = lines;
        for (uint32_t left = hostel_read_array(&r); left > 0 && !r.bad; left--, hostel_skip(&r)) {
            hostel_text sku = {NULL, 0};
            int64_t quantity = 0;
            (void)hostel_text_between(hostel_find(r, "sku"), 1, SKU_BYTES, &sku);
            (void)hostel_int_between(hostel_find(r, "quantity"), 1, QUANTITY_MOST, &quantity);
            cart_line *line = cart_find(&c, sku);
            if (line == NULL) continue;
            if (line->quantity > quantity) line->quantity -= quantity;
            else cart_drop(&c, line);
        }
        if (!cart_new_id(&c)) break;
        if (cart_save(&c, &call)) return;
        if (!hostel_is(call.error.code, "version_conflict")) break;
    }
    hostel_log("warning", hostel_text_of("paid, but the cart could not be emptied"));
}

#endif
