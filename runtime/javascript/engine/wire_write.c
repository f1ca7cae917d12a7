/* Values to MessagePack, in the bounds of the wire (docs/protocol.md §5.1): what lies outside of them is a TypeError
 * that names the place. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* ---- bytes ------------------------------------------------------------------------------------------------------- */
static uint8_t *room(Writer *w, size_t size) {
    if (w->failed) return NULL;
    if (w->room - w->size < size) {
        size_t wanted = w->room * 2 > w->size + size ? w->room * 2 : w->size + size + 256;
        uint8_t *bytes = realloc(w->bytes, wanted);
        if (bytes == NULL) {
            w->failed = true;
            return NULL;
        }
        w->bytes = bytes, w->room = wanted;
    }
    uint8_t *at = w->bytes + w->size;
    w->size += size;
    return at;
}

static void put_head(Writer *w, uint8_t first, uint64_t value, int width) {
    uint8_t *at = room(w, 1 + (size_t)width);
    if (at == NULL) return;
    *at++ = first;
    for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) *at++ = (uint8_t)(value >> shift);
}

void put_nil(Writer *w) { put_head(w, 0xc0, 0, 0); }
void put_bool(Writer *w, bool value) { put_head(w, value ? 0xc3 : 0xc2, 0, 0); }

void put_uint(Writer *w, uint64_t value) {
    if (value < 0x80) put_head(w, (uint8_t)value, 0, 0);
    else if (value <= UINT8_MAX) put_head(w, 0xcc, value, 1);
    else if (value <= UINT16_MAX) put_head(w, 0xcd, value, 2);
    else if (value <= UINT32_MAX) put_head(w, 0xce, value, 4);
    else put_head(w, 0xcf, value, 8);
}

static void put_int(Writer *w, int64_t value) {
    if (value >= 0) put_uint(w, (uint64_t)value);
    else if (value >= -32) put_head(w, (uint8_t)value, 0, 0);
    else if (value >= INT8_MIN) put_head(w, 0xd0, (uint64_t)value, 1);
    else if (value >= INT16_MIN) put_head(w, 0xd1, (uint64_t)value, 2);
    else if (value >= INT32_MIN) put_head(w, 0xd2, (uint64_t)value, 4);
    else put_head(w, 0xd3, (uint64_t)value, 8);
}

static void put_float(Writer *w, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_head(w, 0xcb, bits, 8);
}

static void put_body(Writer *w, const void *bytes, size_t size) {
    uint8_t *at = room(w, size);
    if (at != NULL) memcpy(at, bytes, size);
}

void put_text(Writer *w, const char *text, size_t size) {
    if (size < 32) put_head(w, (uint8_t)(0xa0 | size), 0, 0);
    else if (size <= UINT8_MAX) put_head(w, 0xd9, size, 1);
    else if (size <= UINT16_MAX) put_head(w, 0xda, size, 2);
    else put_head(w, 0xdb, size, 4);
    put_body(w, text, size);
}

void put_string(Writer *w, const char *text) { put_text(w, text, strlen(text)); }

static void put_binary(Writer *w, const uint8_t *bytes, size_t size) {
    if (size <= UINT8_MAX) put_head(w, 0xc4, size, 1);
    else if (size <= UINT16_MAX) put_head(w, 0xc5, size, 2);
    else put_head(w, 0xc6, size, 4);
    put_body(w, bytes, size);
}

void put_array(Writer *w, uint32_t count) {
    w->elements += (int)count;
    if (count < 16) put_head(w, (uint8_t)(0x90 | count), 0, 0);
    else if (count <= UINT16_MAX) put_head(w, 0xdc, count, 2);
    else put_head(w, 0xdd, count, 4);
}

void put_map(Writer *w, uint32_t count) {
    w->elements += 2 * (int)count;
    if (count < 16) put_head(w, (uint8_t)(0x80 | count), 0, 0);
    else if (count <= UINT16_MAX) put_head(w, 0xde, count, 2);
    else put_head(w, 0xdf, count, 4);
}

/* ---- where in a value --------------------------------------------------------------------------------------------- */
typedef struct Place {
    const struct Place *outer;
    const char *name; /* NULL: an index */
    uint32_t index;
} Place;

static void tell(const Place *place, char *into, size_t size) {
    if (place->outer != NULL) tell(place->outer, into, size);
    size_t used = strlen(into);
    if (place->name == NULL) snprintf(into + used, size - used, "[%u]", (unsigned)place->index);
    else snprintf(into + used, size - used, "%s%.40s", used ? "." : "", place->name);
}

static bool refused(JSContext *ctx, const Place *place, const char *why) {
    char where[256] = "";
    tell(place, where, sizeof where);
    JS_ThrowTypeError(ctx, "%s %s", where, why);
    return false;
}

static bool counted(JSContext *ctx, Writer *w, const Place *place, int64_t more) {
    if (w->elements + more <= ELEMENTS_MOST) return true;
    return refused(ctx, place, "makes the message more than 4,096 values (keys count as values)");
}

/* ---- values ------------------------------------------------------------------------------------------------------- */
static bool put_any(JSContext *ctx, Writer *w, JSValueConst value, int depth, const Place *place);

static bool put_number(JSContext *ctx, Writer *w, double number, const Place *place) {
    if (!isfinite(number)) return refused(ctx, place, isnan(number) ? "is NaN" : "is infinite");
    if (number == trunc(number) && fabs(number) <= 9007199254740991.0) put_int(w, (int64_t)number);
    else put_float(w, number);
    return true;
}

static bool put_big(JSContext *ctx, Writer *w, JSValueConst value, const Place *place) {
    int64_t as_signed;
    uint64_t as_unsigned;
    JS_ToBigInt64(ctx, &as_signed, value); /* both wrap: what comes back equal did not */
    JSValue back = JS_NewBigInt64(ctx, as_signed);
    bool same = JS_IsStrictEqual(ctx, back, value);
    JS_FreeValue(ctx, back);
    if (same) {
        put_int(w, as_signed);
        return true;
    }
    JS_ToBigUint64(ctx, &as_unsigned, value);
    back = JS_NewBigUint64(ctx, as_unsigned);
    same = JS_IsStrictEqual(ctx, back, value);
    JS_FreeValue(ctx, back);
    if (!same) return refused(ctx, place, "is a BigInt of more than 64 bits");
    put_uint(w, as_unsigned);
    return true;
}

/* UTF-8 of QuickJS keeps lone surrogates as three bytes that begin with ED and A0 to BF. */
static bool is_utf8(const char *text, size_t size) {
    const char *at = text, *end = text + size;
    while ((at = memchr(at, 0xed, (size_t)(end - at))) != NULL) {
        if (end - at > 1 && (uint8_t)at[1] >= 0xa0) return false;
        at++;
    }
    return true;
}

static bool put_js_text(JSContext *ctx, Writer *w, JSValueConst value, const Place *place) {
    size_t size;
    const char *text = JS_ToCStringLen(ctx, &size, value);
    if (text == NULL) return false;
    bool whole = is_utf8(text, size);
    if (whole) put_text(w, text, size);
    JS_FreeCString(ctx, text);
    if (whole) return true;
    return refused(ctx, place, "has half of a surrogate pair: no text for others (see String.prototype.toWellFormed)");
}

static bool put_list(JSContext *ctx, Writer *w, JSValueConst value, int depth, const Place *place) {
    int64_t length;
    if (JS_GetLength(ctx, value, &length) < 0 || !counted(ctx, w, place, length)) return false;
    put_array(w, (uint32_t)length);
    for (uint32_t index = 0; index < length; index++) {
        JSValue item = JS_GetPropertyUint32(ctx, value, index);
        Place inner = {place, NULL, index};
        bool done = !JS_IsException(item) && put_any(ctx, w, item, depth + 1, &inner);
        JS_FreeValue(ctx, item);
        if (!done) return false;
    }
    return true;
}

static bool put_pair(JSContext *ctx, Writer *w, JSAtom key, JSValueConst value, int depth, const Place *place) {
    size_t size;
    const char *text = JS_AtomToCStringLen(ctx, &size, key);
    if (text == NULL) return false;
    Place inner = {place, text, 0};
    bool done;
    if (size > KEY_BYTES_MOST) done = refused(ctx, &inner, "is a key of more than 256 bytes");
    else if (!is_utf8(text, size)) done = refused(ctx, &inner, "is a key with half of a surrogate pair");
    else {
        put_text(w, text, size);
        done = put_any(ctx, w, value, depth + 1, &inner);
    }
    JS_FreeCString(ctx, text);
    return done;
}

/* Own enumerable properties with text keys, as JSON has it: undefined ones are left out. */
static bool put_properties(JSContext *ctx, Writer *w, JSValueConst value, int depth, const Place *place) {
    JSPropertyEnum *keys;
    uint32_t count, given = 0;
    if (JS_GetOwnPropertyNames(ctx, &keys, &count, value, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0) return false;
    bool done = counted(ctx, w, place, 2 * (int64_t)count);
    JSValue *values = done && count ? js_malloc(ctx, count * sizeof *values) : NULL;
    done = done && (values != NULL || count == 0);
    uint32_t got = 0;
    while (done && got < count) {
        values[got] = JS_GetProperty(ctx, value, keys[got].atom);
        done = !JS_IsException(values[got]);
        given += !JS_IsUndefined(values[got++]);
    }
    if (done) put_map(w, given);
    for (uint32_t index = 0; done && index < count; index++)
        if (!JS_IsUndefined(values[index])) done = put_pair(ctx, w, keys[index].atom, values[index], depth, place);
    while (got) JS_FreeValue(ctx, values[--got]);
    js_free(ctx, values);
    JS_FreePropertyEnum(ctx, keys, count);
    return done;
}

static bool put_object(JSContext *ctx, Writer *w, JSValueConst value, int depth, const Place *place) {
    size_t size;
    if (JS_GetTypedArrayType(value) == JS_TYPED_ARRAY_UINT8) {
        const uint8_t *bytes = JS_GetUint8Array(ctx, &size, value);
        if (bytes == NULL && JS_HasException(ctx)) return false;
        put_binary(w, bytes, size);
        return true;
    }
    if (JS_IsArrayBuffer(value)) {
        const uint8_t *bytes = JS_GetArrayBuffer(ctx, &size, value);
        if (bytes == NULL && JS_HasException(ctx)) return false;
        put_binary(w, bytes, size);
        return true;
    }
    if (depth >= DEPTH_MOST)
        return refused(ctx, place, "is deeper than the 16 levels of a message (or refers to itself)");
    if (JS_IsArray(value)) return put_list(ctx, w, value, depth, place);
    const char *why = NULL;
    if (JS_IsFunction(ctx, value)) why = "is a function";
    else if (JS_IsPromise(value)) why = "is a promise: await it first";
    else if (JS_IsDate(value)) why = "is a Date: send getTime() or toISOString()";
    else if (JS_IsMap(value)) why = "is a Map: send Object.fromEntries(it)";
    else if (JS_IsSet(value)) why = "is a Set: send [...it]";
    else if (JS_IsError(value)) why = "is an Error: send its message";
    else if (JS_IsRegExp(value)) why = "is a RegExp: send its source";
    else if (JS_GetTypedArrayType(value) >= 0 || JS_IsDataView(value)) why = "is no Uint8Array: bytes are sent as one";
    return why != NULL ? refused(ctx, place, why) : put_properties(ctx, w, value, depth, place);
}

static bool put_any(JSContext *ctx, Writer *w, JSValueConst value, int depth, const Place *place) {
    switch (JS_VALUE_GET_NORM_TAG(value)) {
    case JS_TAG_NULL:
    case JS_TAG_UNDEFINED: put_nil(w); return true;
    case JS_TAG_BOOL: put_bool(w, JS_VALUE_GET_BOOL(value)); return true;
    case JS_TAG_INT: put_int(w, JS_VALUE_GET_INT(value)); return true;
    case JS_TAG_FLOAT64: return put_number(ctx, w, JS_VALUE_GET_FLOAT64(value), place);
    case JS_TAG_STRING:
    case JS_TAG_STRING_ROPE: return put_js_text(ctx, w, value, place);
    case JS_TAG_SHORT_BIG_INT:
    case JS_TAG_BIG_INT: return put_big(ctx, w, value, place);
    case JS_TAG_OBJECT: return put_object(ctx, w, value, depth, place);
    default: return refused(ctx, place, "is a symbol");
    }
}

bool put_value(JSContext *ctx, Writer *w, JSValueConst value, int depth, const char *name) {
    Place place = {NULL, name, 0};
    if (!put_any(ctx, w, value, depth, &place)) return false;
    if (w->failed) JS_ThrowOutOfMemory(ctx);
    return !w->failed;
}
