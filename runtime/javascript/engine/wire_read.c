/* MessagePack to values. What comes from the host is well-formed; what is not ends in an exception all the same, never
 * in a read outside of the message. */
#include <string.h>

#include "engine.h"

static bool take(Reader *r, size_t size, const uint8_t **at) {
    if ((size_t)(r->end - r->at) < size) return false;
    *at = r->at;
    r->at += size;
    return true;
}

static bool number(Reader *r, int width, uint64_t *value) {
    const uint8_t *at;
    if (!take(r, (size_t)width, &at)) return false;
    for (*value = 0; width > 0; width--) *value = *value << 8 | *at++;
    return true;
}

/* The length behind a first byte that is one of three, of 1, 2 and 4 bytes (or, from `of_two` on, of 2 and 4). */
static bool length(Reader *r, uint8_t first, uint8_t of_one, uint8_t of_two, uint32_t *size) {
    uint64_t value;
    int width = first == of_two ? 2 : first == of_two + 1 ? 4 : 1;
    if (width == 1 && first != of_one) return false;
    if (!number(r, width, &value)) return false;
    *size = (uint32_t)value;
    return true;
}

static bool text_size(Reader *r, uint8_t first, uint32_t *size) {
    if (first >> 5 == 5) return *size = first & 31, true;
    return length(r, first, 0xd9, 0xda, size);
}

bool read_array(Reader *r, uint32_t *count) {
    const uint8_t *at;
    if (!take(r, 1, &at)) return false;
    if (*at >> 4 == 9) return *count = *at & 15, true;
    return length(r, *at, 0xdc, 0xdc, count);
}

bool read_uint(Reader *r, uint32_t *value) {
    const uint8_t *at;
    uint64_t wide;
    if (!take(r, 1, &at)) return false;
    if (*at < 0x80) return *value = *at, true;
    if (*at < 0xcc || *at > 0xce || !number(r, 1 << (*at - 0xcc), &wide)) return false;
    *value = (uint32_t)wide;
    return true;
}

bool read_text(Reader *r, const char **text, size_t *size) {
    const uint8_t *at;
    uint32_t count;
    if (!take(r, 1, &at) || !text_size(r, *at, &count) || !take(r, count, &at)) return false;
    *text = (const char *)at, *size = count;
    return true;
}

bool read_bytes(Reader *r, const char **bytes, size_t *size) {
    const uint8_t *at;
    uint32_t count;
    if (!take(r, 1, &at) || !length(r, *at, 0xc4, 0xc5, &count) || !take(r, count, &at)) return false;
    *bytes = (const char *)at, *size = count;
    return true;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */
static JSValue malformed(JSContext *ctx) { return JS_ThrowTypeError(ctx, "the message is malformed"); }

static JSValue list(JSContext *ctx, Reader *r, uint32_t count, int depth) {
    if (count > (size_t)(r->end - r->at) || depth >= DEPTH_MOST) return malformed(ctx); /* an item has a byte at least */
    JSValue *items = count ? js_malloc(ctx, count * sizeof *items) : NULL;
    if (count && items == NULL) return JS_EXCEPTION;
    uint32_t got = 0;
    while (got < count && !JS_IsException(items[got] = read_value(ctx, r, depth + 1))) got++;
    JSValue array = JS_EXCEPTION;
    if (got == count) array = JS_NewArrayFrom(ctx, (int)count, items); /* takes the items */
    else
        while (got) JS_FreeValue(ctx, items[--got]);
    js_free(ctx, items);
    return array;
}

static JSValue map(JSContext *ctx, Reader *r, uint32_t count, int depth) {
    if (count > (size_t)(r->end - r->at) || depth >= DEPTH_MOST) return malformed(ctx);
    JSValue object = JS_NewObject(ctx);
    while (count-- && !JS_IsException(object)) {
        const char *key;
        size_t size;
        JSValue value = read_text(r, &key, &size) ? read_value(ctx, r, depth + 1) : malformed(ctx);
        JSAtom name = JS_IsException(value) ? JS_ATOM_NULL : JS_NewAtomLen(ctx, key, size);
        if (name == JS_ATOM_NULL || JS_DefinePropertyValue(ctx, object, name, value, JS_PROP_C_W_E) < 0) {
            JS_FreeValue(ctx, object);
            object = JS_EXCEPTION;
        }
        JS_FreeAtom(ctx, name);
    }
    return object;
}

static JSValue whole_number(JSContext *ctx, Reader *r, uint8_t first) {
    uint64_t bits;
    int width = 1 << (first & 3), unused = 64 - 8 * width;
    if (!number(r, width, &bits)) return malformed(ctx);
    if (first <= 0xcf) {
        if (bits <= 9007199254740991u) return JS_NewInt64(ctx, (int64_t)bits);
        return JS_NewBigUint64(ctx, bits);
    }
    int64_t value = (int64_t)(bits << unused) >> unused;
    if (value >= -9007199254740991 && value <= 9007199254740991) return JS_NewInt64(ctx, value);
    return JS_NewBigInt64(ctx, value);
}

static JSValue floating(JSContext *ctx, Reader *r, uint8_t first) {
    uint64_t bits;
    double wide;
    float narrow;
    if (!number(r, first == 0xca ? 4 : 8, &bits)) return malformed(ctx);
    if (first == 0xcb) return memcpy(&wide, &bits, sizeof wide), JS_NewFloat64(ctx, wide);
    uint32_t low = (uint32_t)bits;
    return memcpy(&narrow, &low, sizeof narrow), JS_NewFloat64(ctx, narrow);
}

static JSValue text_or_bytes(JSContext *ctx, Reader *r, uint8_t first) {
    const uint8_t *at;
    uint32_t size;
    bool is_text = text_size(r, first, &size);
    if (!is_text && !length(r, first, 0xc4, 0xc5, &size)) return malformed(ctx);
    if (!take(r, size, &at)) return malformed(ctx);
    return is_text ? JS_NewStringLen(ctx, (const char *)at, size) : JS_NewUint8ArrayCopy(ctx, at, size);
}

JSValue read_value(JSContext *ctx, Reader *r, int depth) {
    const uint8_t *at;
    if (!take(r, 1, &at)) return malformed(ctx);
    uint8_t first = *at;
    uint32_t count;
    if (first < 0x80) return JS_NewInt32(ctx, first);
    if (first >= 0xe0) return JS_NewInt32(ctx, (int8_t)first);
    if (first < 0x90) return map(ctx, r, first & 15, depth);
    if (first < 0xa0) return list(ctx, r, first & 15, depth);
    switch (first) {
    case 0xc0: return JS_NULL;
    case 0xc2:
    case 0xc3: return JS_NewBool(ctx, first == 0xc3);
    case 0xca:
    case 0xcb: return floating(ctx, r, first);
    case 0xdc:
    case 0xdd: return length(r, first, 0xdc, 0xdc, &count) ? list(ctx, r, count, depth) : malformed(ctx);
    case 0xde:
    case 0xdf: return length(r, first, 0xde, 0xde, &count) ? map(ctx, r, count, depth) : malformed(ctx);
    default: break;
    }
    if (first >= 0xcc && first <= 0xd3) return whole_number(ctx, r, first);
    return text_or_bytes(ctx, r, first);
}
