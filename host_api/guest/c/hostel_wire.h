/* hostel_wire.h: MessagePack for mini-programs, bounded on both sides; docs/protocol.md says what the wire allows.
 *
 * What lives here: texts, a writer into a buffer of the caller's, a reader over bytes, look-up by key, skipping. No
 * allocation, no host call, no global: it is hostel.h that talks to the host, and it includes this file.
 *
 * Errors are sticky: a writer that was too small and a reader that met something else stay so; check once, at the end.
 * Texts and bytes are never zero-terminated and point into the buffer they were read from.
 */
#ifndef HOSTEL_WIRE_H
#define HOSTEL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTEL_DEPTH 16u /* containers inside each other, the message being the first */

/* Functions called from many places: inlined everywhere they would make a program several times larger. */
#define HOSTEL_SHARED_ static __attribute__((unused, noinline))

/* ---- 1. Texts ---------------------------------------------------------------------------------------------------- */
typedef struct {
    const uint8_t *at;
    uint32_t size;
} hostel_text;

/** The text of a zero-terminated string, which must live as long as the text is used: a literal, mostly. */
HOSTEL_SHARED_ hostel_text hostel_text_of(const char *string) {
    hostel_text text = {(const uint8_t *)string, 0};
    while (string[text.size] != 0) text.size++;
    return text;
}

HOSTEL_SHARED_ bool hostel_same(hostel_text a, hostel_text b) {
    if (a.size != b.size) return false;
    for (uint32_t i = 0; i < a.size; i++)
        if (a.at[i] != b.at[i]) return false;
    return true;
}

HOSTEL_SHARED_ bool hostel_is(hostel_text text, const char *string) { return hostel_same(text, hostel_text_of(string)); }

/* ---- 2. Writing MessagePack into a buffer of yours --------------------------------------------------------------- */
typedef struct {
    uint8_t *start, *at, *end;
    bool full; /* sticky: something did not fit; what is written is not to be used */
} hostel_writer;

static inline hostel_writer hostel_writer_over(void *buffer, uint32_t size) {
    hostel_writer writer = {(uint8_t *)buffer, (uint8_t *)buffer, (uint8_t *)buffer + size, buffer == NULL};
    return writer;
}

HOSTEL_SHARED_ void hostel_put_copy_(hostel_writer *w, const uint8_t *from, uint32_t size) {
    if (w->full || size > (uint32_t)(w->end - w->at)) {
        w->full = true;
        return;
    }
    for (uint32_t i = 0; i < size; i++) w->at[i] = from[i];
    w->at += size;
}

/* One tag and `size` bytes of `number`, highest first. */
HOSTEL_SHARED_ void hostel_put_head_(hostel_writer *w, uint8_t tag, uint64_t number, uint32_t size) {
    uint8_t head[9] = {tag};
    for (uint32_t i = 0; i < size; i++) head[1 + i] = (uint8_t)(number >> (8 * (size - 1 - i)));
    hostel_put_copy_(w, head, 1 + size);
}

static inline void hostel_put_nil(hostel_writer *w) { hostel_put_head_(w, 0xc0, 0, 0); }
static inline void hostel_put_bool(hostel_writer *w, bool value) { hostel_put_head_(w, value ? 0xc3 : 0xc2, 0, 0); }

HOSTEL_SHARED_ void hostel_put_uint(hostel_writer *w, uint64_t value) {
    if (value < 0x80) hostel_put_head_(w, (uint8_t)value, 0, 0);
    else if (value <= 0xff) hostel_put_head_(w, 0xcc, value, 1);
    else if (value <= 0xffff) hostel_put_head_(w, 0xcd, value, 2);
    else if (value <= 0xffffffff) hostel_put_head_(w, 0xce, value, 4);
    else hostel_put_head_(w, 0xcf, value, 8);
}

HOSTEL_SHARED_ void hostel_put_int(hostel_writer *w, int64_t value) {
    if (value >= 0) hostel_put_uint(w, (uint64_t)value);
    else if (value >= -32) hostel_put_head_(w, (uint8_t)value, 0, 0);
    else if (value >= -128) hostel_put_head_(w, 0xd0, (uint64_t)value, 1);
    else if (value >= -32768) hostel_put_head_(w, 0xd1, (uint64_t)value, 2);
    else if (value >= -2147483647 - 1) hostel_put_head_(w, 0xd2, (uint64_t)value, 4);
    else hostel_put_head_(w, 0xd3, (uint64_t)value, 8);
}

/** Never for money: the wire refuses NaN, and amounts are whole minor units. */
static inline void hostel_put_float(hostel_writer *w, double value) {
    union { double d; uint64_t u; } bits = {value};
    hostel_put_head_(w, 0xcb, bits.u, 8);
}

HOSTEL_SHARED_ void hostel_put_text(hostel_writer *w, hostel_text text) {
    if (text.size < 32) hostel_put_head_(w, (uint8_t)(0xa0 | text.size), 0, 0);
    else if (text.size <= 0xff) hostel_put_head_(w, 0xd9, text.size, 1);
    else if (text.size <= 0xffff) hostel_put_head_(w, 0xda, text.size, 2);
    else hostel_put_head_(w, 0xdb, text.size, 4);
    hostel_put_copy_(w, text.at, text.size);
}

/** A zero-terminated UTF-8 string; also the way to write a map's key. */
HOSTEL_SHARED_ void hostel_put_string(hostel_writer *w, const char *string) { hostel_put_text(w, hostel_text_of(string)); }

static inline void hostel_put_bytes(hostel_writer *w, hostel_text bytes) {
    if (bytes.size <= 0xff) hostel_put_head_(w, 0xc4, bytes.size, 1);
    else if (bytes.size <= 0xffff) hostel_put_head_(w, 0xc5, bytes.size, 2);
    else hostel_put_head_(w, 0xc6, bytes.size, 4);
    hostel_put_copy_(w, bytes.at, bytes.size);
}

/** Announces `count` values that must follow. */
HOSTEL_SHARED_ void hostel_put_array(hostel_writer *w, uint32_t count) {
    if (count < 16) hostel_put_head_(w, (uint8_t)(0x90 | count), 0, 0);
    else if (count <= 0xffff) hostel_put_head_(w, 0xdc, count, 2);
    else hostel_put_head_(w, 0xdd, count, 4);
}

/** Announces `count` pairs that must follow: a text key, then its value, no key twice. */
HOSTEL_SHARED_ void hostel_put_map(hostel_writer *w, uint32_t count) {
    if (count < 16) hostel_put_head_(w, (uint8_t)(0x80 | count), 0, 0);
    else if (count <= 0xffff) hostel_put_head_(w, 0xde, count, 2);
    else hostel_put_head_(w, 0xdf, count, 4);
}

/* ---- 3. Reading MessagePack -------------------------------------------------------------------------------------- */
typedef enum {
    HOSTEL_NONE, /* no value here: the end, a key that is missing, or bytes that are no MessagePack of ours */
    HOSTEL_NIL, HOSTEL_BOOL, HOSTEL_INT, HOSTEL_FLOAT, HOSTEL_TEXT, HOSTEL_BYTES, HOSTEL_ARRAY, HOSTEL_MAP
} hostel_kind;

/** A cursor; copy it to look ahead. `bad` is sticky: what was read from then on is 0 or empty. */
typedef struct {
    const uint8_t *at, *end;
    bool bad;
} hostel_reader;

typedef struct {
    hostel_kind kind;
    bool negative;       /* INT: number is two's complement */
    uint64_t number;     /* BOOL, INT, FLOAT: the bits; ARRAY, MAP: the count */
    hostel_text content; /* TEXT, BYTES */
} hostel_item_;

static inline hostel_reader hostel_reader_over(const void *bytes, uint32_t size) {
    hostel_reader reader = {(const uint8_t *)bytes, (const uint8_t *)bytes + size, false};
    return reader;
}

static inline hostel_reader hostel_nothing_(void) {
    hostel_reader reader = {NULL, NULL, true};
    return reader;
}

HOSTEL_SHARED_ uint64_t hostel_number_(hostel_reader *r, uint32_t size) {
    uint64_t number = 0;
    if (r->bad || size > (uint32_t)(r->end - r->at)) {
        r->bad = true;
        return 0;
    }
    for (uint32_t i = 0; i < size; i++) number = number << 8 | *r->at++;
    return number;
}

/* Whole numbers and floats: tags 0xca..0xd3. A float32 is widened by the caller's union. */
static inline void hostel_scalar_(hostel_reader *r, uint8_t tag, hostel_item_ *item) {
    if (tag == 0xca) {
        union { uint32_t u; float f; } narrow = {(uint32_t)hostel_number_(r, 4)};
        union { double d; uint64_t u; } wide = {narrow.f};
        item->kind = HOSTEL_FLOAT, item->number = wide.u;
    } else if (tag == 0xcb) {
        item->kind = HOSTEL_FLOAT, item->number = hostel_number_(r, 8);
    } else {
        uint32_t size = 1u << (tag & 3);
        item->kind = HOSTEL_INT, item->number = hostel_number_(r, size);
        if (tag >= 0xd0) { /* signed: carry the sign up to 64 bits */
            uint64_t sign = (uint64_t)1 << (8 * size - 1);
            item->negative = (item->number & sign) != 0;
            item->number = (item->number ^ sign) - sign;
        }
    }
}

/* One value's head, and the content of a text or bytes. A count never exceeds the bytes that are left. */
HOSTEL_SHARED_ hostel_item_ hostel_next_(hostel_reader *r) {
    hostel_item_ item = {HOSTEL_NONE, false, 0, {NULL, 0}};
    uint8_t tag = (uint8_t)hostel_number_(r, 1);
    if (r->bad) return item;
    if (tag < 0x80) item.kind = HOSTEL_INT, item.number = tag;
    else if (tag < 0x90) item.kind = HOSTEL_MAP, item.number = tag & 15u;
    else if (tag < 0xa0) item.kind = HOSTEL_ARRAY, item.number = tag & 15u;
    else if (tag < 0xc0) item.kind = HOSTEL_TEXT, item.number = tag & 31u;
    else if (tag == 0xc0) item.kind = HOSTEL_NIL;
    else if (tag == 0xc2 || tag == 0xc3) item.kind = HOSTEL_BOOL, item.number = tag & 1u;
    else if (tag >= 0xc4 && tag <= 0xc6) item.kind = HOSTEL_BYTES, item.number = hostel_number_(r, 1u << (tag - 0xc4));
    else if (tag >= 0xca && tag <= 0xd3) hostel_scalar_(r, tag, &item);
    else if (tag >= 0xd9 && tag <= 0xdb) item.kind = HOSTEL_TEXT, item.number = hostel_number_(r, 1u << (tag - 0xd9));
    else if (tag == 0xdc || tag == 0xdd) item.kind = HOSTEL_ARRAY, item.number = hostel_number_(r, 2u << (tag - 0xdc));
    else if (tag == 0xde || tag == 0xdf) item.kind = HOSTEL_MAP, item.number = hostel_number_(r, 2u << (tag - 0xde));
    else if (tag >= 0xe0) item.kind = HOSTEL_INT, item.negative = true, item.number = (uint64_t)(int64_t)(int8_t)tag;
    else r->bad = true; /* 0xc1 and the ext types, which the wire refuses */

    uint32_t left = (uint32_t)(r->end - r->at);
    if (item.kind == HOSTEL_TEXT || item.kind == HOSTEL_BYTES) {
        if (item.number > left) r->bad = true;
        else item.content.at = r->at, item.content.size = (uint32_t)item.number, r->at += item.number;
    }
    if (item.kind == HOSTEL_ARRAY && item.number > left) r->bad = true;
    if (item.kind == HOSTEL_MAP && item.number > left / 2) r->bad = true;
    if (r->bad) item.kind = HOSTEL_NONE;
    return item;
}

/** What comes next, without reading it. */
static inline hostel_kind hostel_peek(hostel_reader r) { return hostel_next_(&r).kind; }

HOSTEL_SHARED_ hostel_item_ hostel_expect_(hostel_reader *r, hostel_kind kind) {
    hostel_item_ item = hostel_next_(r);
    if (item.kind != kind) {
        hostel_item_ none = {HOSTEL_NONE, false, 0, {NULL, 0}};
        r->bad = true;
        return none;
    }
    return item;
}

static inline bool hostel_read_bool(hostel_reader *r) { return hostel_expect_(r, HOSTEL_BOOL).number != 0; }
HOSTEL_SHARED_ hostel_text hostel_read_text(hostel_reader *r) { return hostel_expect_(r, HOSTEL_TEXT).content; }
static inline hostel_text hostel_read_bytes(hostel_reader *r) { return hostel_expect_(r, HOSTEL_BYTES).content; }
/** How many values follow; at most as many as bytes are left. */
static inline uint32_t hostel_read_array(hostel_reader *r) { return (uint32_t)hostel_expect_(r, HOSTEL_ARRAY).number; }
/** How many pairs follow. */
static inline uint32_t hostel_read_map(hostel_reader *r) { return (uint32_t)hostel_expect_(r, HOSTEL_MAP).number; }

/** A whole number below 2^63; a float is none, even 1.0. */
HOSTEL_SHARED_ int64_t hostel_read_int(hostel_reader *r) {
    hostel_item_ item = hostel_expect_(r, HOSTEL_INT);
    if (!item.negative && item.number > INT64_MAX) r->bad = true, item.number = 0;
    return (int64_t)item.number;
}

HOSTEL_SHARED_ uint64_t hostel_read_uint(hostel_reader *r) {
    hostel_item_ item = hostel_expect_(r, HOSTEL_INT);
    if (item.negative) r->bad = true, item.number = 0;
    return item.number;
}

static inline double hostel_read_float(hostel_reader *r) {
    union { uint64_t u; double d; } bits = {hostel_expect_(r, HOSTEL_FLOAT).number};
    return bits.d;
}

/** Goes past one whole value, whatever it is. No recursion; deeper than HOSTEL_DEPTH is bad, and a key that is no text. */
HOSTEL_SHARED_ void hostel_skip(hostel_reader *r) {
    uint64_t left[HOSTEL_DEPTH + 1] = {1};
    bool is_map[HOSTEL_DEPTH + 1] = {false};
    uint32_t depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) return;
            depth--;
        }
        left[depth]--;
        hostel_item_ item = hostel_next_(r);
        if (is_map[depth] && left[depth] % 2 == 1 && item.kind != HOSTEL_TEXT) {
            r->bad = true;
            return;
        }
        if (item.kind != HOSTEL_ARRAY && item.kind != HOSTEL_MAP) {
            if (r->bad) return;
            continue;
        }
        if (++depth > HOSTEL_DEPTH) {
            r->bad = true;
            return;
        }
        is_map[depth] = item.kind == HOSTEL_MAP;
        left[depth] = is_map[depth] ? 2 * item.number : item.number;
    }
}

/** The value under `key` of the map that comes next; HOSTEL_NONE if there is none. Chains: find(find(r, "a"), "b"). */
HOSTEL_SHARED_ hostel_reader hostel_find_text(hostel_reader map, hostel_text key) {
    if (hostel_peek(map) != HOSTEL_MAP) return hostel_nothing_();
    for (uint32_t left = hostel_read_map(&map); left > 0 && !map.bad; left--) {
        if (hostel_peek(map) != HOSTEL_TEXT) hostel_skip(&map);
        else if (hostel_same(hostel_read_text(&map), key)) return map;
        hostel_skip(&map);
    }
    return hostel_nothing_();
}

HOSTEL_SHARED_ hostel_reader hostel_find(hostel_reader map, const char *key) {
    return hostel_find_text(map, hostel_text_of(key));
}

/** True, and `*value` set, if a whole number from `least` to `most` comes next. */
HOSTEL_SHARED_ bool hostel_int_between(hostel_reader r, int64_t least, int64_t most, int64_t *value) {
    int64_t number = hostel_read_int(&r);
    if (r.bad || number < least || number > most) return false;
    *value = number;
    return true;
}

/** True, and `*value` set, if a text of `least` to `most` bytes comes next. */
HOSTEL_SHARED_ bool hostel_text_between(hostel_reader r, uint32_t least, uint32_t most, hostel_text *value) {
    hostel_text text = hostel_read_text(&r);
    if (r.bad || text.size < least || text.size > most) return false;
    *value = text;
    return true;
}

/** Copies the next value as it stands; nil where there is none. */
HOSTEL_SHARED_ void hostel_put_value(hostel_writer *w, hostel_reader r) {
    const uint8_t *start = r.at;
    hostel_skip(&r);
    if (r.bad) hostel_put_nil(w);
    else hostel_put_copy_(w, start, (uint32_t)(r.at - start));
}

/** True if these bytes are exactly one value, such as a message. */
static inline bool hostel_is_whole(hostel_reader r) {
    hostel_skip(&r);
    return !r.bad && r.at == r.end;
}

/** What was written, to be read. */
static inline hostel_reader hostel_written(const hostel_writer *w) {
    return w->full ? hostel_nothing_() : hostel_reader_over(w->start, (uint32_t)(w->at - w->start));
}

#endif
