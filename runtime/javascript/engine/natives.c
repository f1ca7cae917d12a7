/* The module "hostel:native": what the prelude cannot say in JavaScript. Scripts cannot import it. */
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#include "engine.h"

#define LINE_BYTES_MOST 16384
#define RANDOM_MOST 65536

void print_line(int descriptor, const char *text, size_t size) {
    if (engine.phase != HANDLING) return; /* what a script says while it loads it would say for many calls at once */
    if (size > LINE_BYTES_MOST) size = LINE_BYTES_MOST;
    const __wasi_ciovec_t parts[] = {{(const uint8_t *)text, size}, {(const uint8_t *)"\n", 1}};
    for (size_t at = 0; at <= size;) {
        __wasi_size_t written = 0;
        __wasi_ciovec_t rest[] = {{parts[0].buf + at, size - at}, parts[1]};
        if (__wasi_fd_write(descriptor, rest, 2, &written) != 0 || written == 0) return;
        at += written;
    }
}

/* print(descriptor, text) */
static JSValue print(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    size_t size;
    int32_t descriptor = 0;
    const char *text = JS_ToCStringLen(ctx, &size, argv[1]);
    if (text == NULL || JS_ToInt32(ctx, &descriptor, argv[0]) < 0) return JS_EXCEPTION;
    print_line(descriptor, text, size);
    JS_FreeCString(ctx, text);
    return JS_UNDEFINED;
}

/* setTimer(callback, ms, repeats) -> id; clearTimer(id) */
static JSValue set_timer(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    double ms;
    if (JS_ToFloat64(ctx, &ms, argv[1]) < 0) return JS_EXCEPTION;
    return timer_set(ctx, argv[0], ms, JS_ToBool(ctx, argv[2]));
}

static JSValue clear_timer(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    uint32_t id;
    if (JS_ToUint32(ctx, &id, argv[0]) < 0) return JS_EXCEPTION;
    timer_clear(ctx, id);
    return JS_UNDEFINED;
}

/* utf8Encode(text) -> Uint8Array; half a surrogate pair becomes U+FFFD, which is three bytes as well. */
static JSValue utf8_encode_text(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    size_t size;
    const char *text = JS_ToCStringLen(ctx, &size, argv[0]);
    if (text == NULL) return JS_EXCEPTION;
    JSValue bytes = JS_NewUint8ArrayCopy(ctx, (const uint8_t *)text, size);
    JS_FreeCString(ctx, text);
    uint8_t *at = JS_IsException(bytes) ? NULL : JS_GetUint8Array(ctx, &size, bytes);
    for (size_t index = 0; at != NULL && index + 2 < size; index++)
        if (at[index] == 0xed && at[index + 1] >= 0xa0) memcpy(at + index, "\xef\xbf\xbd", 3);
    return bytes;
}

/* How many bytes the character at `at` has; 0: what lies there is no UTF-8. */
static size_t character(const uint8_t *at, size_t left) {
    uint8_t first = at[0];
    size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (size == 0 || size > left) return 0;
    for (size_t index = 1; index < size; index++)
        if (at[index] >> 6 != 2) return 0;
    if (first == 0xe0 && at[1] < 0xa0) return 0;
    if (first == 0xed && at[1] >= 0xa0) return 0;
    if (first == 0xf0 && at[1] < 0x90) return 0;
    if (first == 0xf4 && at[1] >= 0x90) return 0;
    return size;
}

/* utf8Decode(Uint8Array, fatal) -> text */
static JSValue utf8_decode_bytes(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    size_t size, at = 0, step = 1;
    const uint8_t *bytes = JS_GetUint8Array(ctx, &size, argv[0]);
    if (bytes == NULL) return JS_HasException(ctx) ? JS_EXCEPTION : JS_NewString(ctx, "");
    if (JS_ToBool(ctx, argv[1])) {
        while (at < size && (step = character(bytes + at, size - at)) != 0) at += step;
        if (step == 0) return JS_ThrowTypeError(ctx, "the bytes are not UTF-8 (at %u)", (unsigned)at);
    }
    return JS_NewStringLen(ctx, (const char *)bytes, size);
}

/* encode(value) -> Uint8Array; decode(Uint8Array) -> value: the wire's MessagePack, for what a script keeps as bytes. */
static JSValue encode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    Writer w = {.elements = 1};
    JSValue bytes = put_value(ctx, &w, argv[0], 0, "value") ? JS_NewUint8ArrayCopy(ctx, w.bytes, w.size) : JS_EXCEPTION;
    free(w.bytes);
    return bytes;
}

static JSValue decode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    size_t size;
    const uint8_t *bytes = JS_GetUint8Array(ctx, &size, argv[0]);
    if (bytes == NULL && JS_HasException(ctx)) return JS_EXCEPTION;
    Reader r = {bytes, bytes + size};
    JSValue value = read_value(ctx, &r, 0);
    if (JS_IsException(value) || r.at == r.end) return value;
    JS_FreeValue(ctx, value);
    return JS_ThrowTypeError(ctx, "%u bytes follow the value", (unsigned)(r.end - r.at));
}

/* randomBytes(count) -> Uint8Array */
static JSValue random_array(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value, (void)argc;
    uint32_t count;
    if (!while_handling(ctx, "randomness") || JS_ToUint32(ctx, &count, argv[0]) < 0) return JS_EXCEPTION;
    if (count > RANDOM_MOST) return JS_ThrowRangeError(ctx, "more than %d random bytes at once", RANDOM_MOST);
    uint8_t *bytes = js_malloc(ctx, count + 1);
    if (bytes == NULL) return JS_EXCEPTION;
    JSValue array = random_bytes(bytes, count) ? JS_NewUint8ArrayCopy(ctx, bytes, count)
                                               : JS_ThrowPlainError(ctx, "the host gave no random bytes");
    js_free(ctx, bytes);
    return array;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("call", 2, host_request),       JS_CFUNC_DEF("post", 2, host_notify),
    JS_CFUNC_DEF("encode", 1, encode),           JS_CFUNC_DEF("decode", 1, decode),
    JS_CFUNC_DEF("print", 2, print),             JS_CFUNC_DEF("setTimer", 3, set_timer),
    JS_CFUNC_DEF("clearTimer", 1, clear_timer),  JS_CFUNC_DEF("utf8Encode", 1, utf8_encode_text),
    JS_CFUNC_DEF("utf8Decode", 2, utf8_decode_bytes), JS_CFUNC_DEF("randomBytes", 1, random_array),
};

static int initialise(JSContext *ctx, JSModuleDef *module) {
    return JS_SetModuleExportList(ctx, module, functions, COUNT(functions));
}

int natives_define(JSContext *ctx) {
    JSModuleDef *module = JS_NewCModule(ctx, "hostel:native", initialise);
    return module == NULL ? -1 : JS_AddModuleExportList(ctx, module, functions, COUNT(functions));
}
