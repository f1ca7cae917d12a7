/* The exports: how the host loads a script and has it handle a message (docs/protocol.md §4). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

/* Of the stack in the linear memory: with more the machine's own would end first, in a trap. */
#define STACK_BYTES_MOST (120 * 1024)
/* Allocated before the first search for cycles, which touches all of memory. */
#define GARBAGE_BYTES (4 * 1024 * 1024)
/* Free at the start, so that a small script need not ask for memory. */
#define ROOM_BYTES (128 * 1024)

Engine engine = {.methods = JS_UNDEFINED, .notifications = JS_UNDEFINED, .not_loaded = JS_UNDEFINED};
static uint8_t *answer; /* the last one, until the next message */

/* ---- start: once, before the snapshot ----------------------------------------------------------------------------- */
static bool start_context(void) {
    engine.runtime = JS_NewRuntime();
    if (engine.runtime == NULL) return false;
    JS_SetMaxStackSize(engine.runtime, STACK_BYTES_MOST);
    JS_SetGCThreshold(engine.runtime, GARBAGE_BYTES);
    JSContext *ctx = engine.context = JS_NewContextRaw(engine.runtime);
    if (ctx == NULL || JS_AddIntrinsicBaseObjects(ctx) || JS_AddIntrinsicDate(ctx) || JS_AddIntrinsicEval(ctx) ||
        JS_AddIntrinsicRegExp(ctx) || JS_AddIntrinsicJSON(ctx) || JS_AddIntrinsicProxy(ctx) ||
        JS_AddIntrinsicMapSet(ctx) || JS_AddIntrinsicTypedArrays(ctx) || JS_AddIntrinsicPromise(ctx) ||
        JS_AddIntrinsicWeakRef(ctx) || JS_AddIntrinsicAToB(ctx))
        return false;
    engine.out_of_memory = JS_NewInternalError(ctx, "out of memory");
    JS_SetModuleLoaderFunc2(engine.runtime, module_normalize, module_load, module_attributes, NULL);
    JS_SetHostPromiseRejectionTracker(engine.runtime, track_rejection, NULL);
    return natives_define(ctx) == 0;
}

/* Loads the prelude, an image whose members are evaluated in their order; the last one is "hostel". 0: it worked. */
EXPORT("hostel_start") int32_t hostel_start(uint32_t at, uint32_t size) {
    if (!start_context() || !image_open((const uint8_t *)(uintptr_t)at, size)) return 1;
    JSContext *ctx = engine.context;
    JSValue space = JS_UNDEFINED;
    for (int index = 0; index < image_count(); index++) {
        JS_FreeValue(ctx, space);
        space = module_evaluate(ctx, image_member(index));
        if (JS_IsException(space)) return 2 + index;
    }
    engine.fail = JS_GetPropertyStr(ctx, space, "Fail");
    engine.host_error = JS_GetPropertyStr(ctx, space, "HostError");
    JS_FreeValue(ctx, space);
    JSValue global = JS_GetGlobalObject(ctx);
    JSAtom describe = JS_NewAtom(ctx, "describe"); /* left there by the prelude, for the engine alone */
    engine.describe = JS_GetProperty(ctx, global, describe);
    JS_DeleteProperty(ctx, global, describe, 0);
    JS_FreeAtom(ctx, describe);
    JS_FreeValue(ctx, global);
    image_close();
    memory_seal();
    void *volatile room = malloc(ROOM_BYTES); /* volatile: or the compiler sees through it */
    free(room);
    memory_clean();
    return 0;
}

/* ---- hostel_load -------------------------------------------------------------------------------------------------- */
static JSValue own_export(JSContext *ctx, JSValueConst space, const char *name) {
    JSAtom atom = JS_NewAtom(ctx, name);
    JSValue value = JS_HasProperty(ctx, space, atom) > 0 ? JS_GetProperty(ctx, space, atom) : JS_UNDEFINED;
    JS_FreeAtom(ctx, atom);
    return value;
}

static bool load(JSContext *ctx, uint32_t at, uint32_t size) {
    if (!image_open((const uint8_t *)(uintptr_t)at, size)) {
        JS_ThrowPlainError(ctx, "the script image is damaged");
        return false;
    }
    JSValue space = module_evaluate(ctx, image_member(0));
    if (JS_IsException(space)) return false;
    engine.methods = own_export(ctx, space, "default");
    engine.notifications = own_export(ctx, space, "notifications");
    JS_FreeValue(ctx, space);
    JSValue unhandled = take_unhandled(ctx);
    if (!JS_IsUninitialized(unhandled)) return JS_Throw(ctx, unhandled), false;
    if (JS_IsObject(engine.methods) || JS_IsObject(engine.notifications)) return true;
    JS_ThrowTypeError(ctx, "%.*s has no default export with methods: export default { async hello(params) {…} }",
                      (int)image_member(0).path_size, image_member(0).path);
    return false;
}

static uint64_t given(Writer *w) {
    free(answer);
    answer = w->bytes;
    return (uint64_t)(uintptr_t)w->bytes << 32 | w->size;
}

/* Loads a script image, whose room came from hostel_alloc. 0: it is loaded. Otherwise the address and length of a map
 * {message, stack, path, line, column} that says why not; every message is answered with it then. */
EXPORT("hostel_load") uint64_t hostel_load(uint32_t at, uint32_t size) {
    JSContext *ctx = engine.context;
    Writer w = {0};
    JS_UpdateStackTop(engine.runtime);
    engine.phase = LOADING;
    bool loaded = load(ctx, at, size);
    if (!loaded) {
        engine.not_loaded = described(ctx, JS_GetException(ctx));
        if (JS_IsUndefined(engine.not_loaded)) engine.not_loaded = JS_NULL;
    }
    image_close();
    host_forget(ctx);
    if (loaded) return memory_clean(), 0;
    w.elements = 1;
    if (!JS_IsObject(engine.not_loaded) || !put_value(ctx, &w, engine.not_loaded, 0, "error")) {
        w.size = 0;
        put_map(&w, 1);
        put_string(&w, "message"), put_string(&w, "out of memory");
    }
    return given(&w);
}

/* ---- hostel_handle ------------------------------------------------------------------------------------------------ */
typedef struct {
    bool notification;
    uint32_t msgid;
    const char *method;
    size_t method_size;
    Reader params;
} Message;

static bool read_message(Reader r, Message *message) {
    uint32_t parts, kind;
    if (!read_array(&r, &parts) || !read_uint(&r, &kind)) return false;
    message->notification = parts == 3 && kind == 2;
    if (!message->notification && (parts != 4 || kind != 0 || !read_uint(&r, &message->msgid))) return false;
    if (!read_text(&r, &message->method, &message->method_size)) return false;
    message->params = r;
    return true;
}

/* What the script has for this method among its own properties; undefined: nothing. */
static JSValue find_method(JSContext *ctx, JSValueConst methods, const Message *message) {
    JSValue found = JS_UNDEFINED;
    if (!JS_IsObject(methods)) return found;
    JSAtom name = JS_NewAtomLen(ctx, message->method, message->method_size);
    if (name != JS_ATOM_NULL && JS_GetOwnProperty(ctx, NULL, methods, name) > 0)
        found = JS_GetProperty(ctx, methods, name);
    JS_FreeAtom(ctx, name);
    if (JS_IsException(found) || JS_IsFunction(ctx, found)) return found;
    JS_FreeValue(ctx, found);
    return JS_UNDEFINED;
}

static JSValue told_request(JSContext *ctx, const Message *message) {
    JSValue request = JS_NewObject(ctx);
    JS_SetPropertyStr(ctx, request, "method", JS_NewStringLen(ctx, message->method, message->method_size));
    JS_SetPropertyStr(ctx, request, "msgid", message->notification ? JS_NULL : JS_NewUint32(ctx, message->msgid));
    JS_SetPropertyStr(ctx, request, "notification", JS_NewBool(ctx, message->notification));
    return request;
}

/* The method's result, awaited; or an exception. */
static JSValue awaited(JSContext *ctx, JSValue result) {
    if (!JS_IsPromise(result)) {
        JSValue promise = JS_IsException(result) ? JS_EXCEPTION : JS_NewSettledPromise(ctx, false, result);
        JS_FreeValue(ctx, result);
        if (JS_IsException(promise)) return promise;
        result = promise;
    }
    JS_PromiseMarkAsHandled(ctx, result);
    if (!run_until_settled(ctx, result)) {
        JS_FreeValue(ctx, result);
        JSValue unhandled = take_unhandled(ctx); /* more likely the cause than the consequence */
        if (!JS_IsUninitialized(unhandled)) return JS_Throw(ctx, unhandled);
        return JS_ThrowPlainError(ctx, "the method awaits a promise that nothing can settle any more: no request is "
                                       "under way and no timer is set");
    }
    bool rejected = JS_PromiseState(ctx, result) == JS_PROMISE_REJECTED;
    JSValue value = JS_PromiseResult(ctx, result);
    JS_FreeValue(ctx, result);
    if (rejected) return JS_Throw(ctx, value);
    JSValue unhandled = take_unhandled(ctx);
    if (JS_IsUninitialized(unhandled)) return value;
    JS_FreeValue(ctx, value);
    return JS_Throw(ctx, unhandled);
}

static JSValue run(JSContext *ctx, JSValueConst methods, JSValueConst method, Message *message) {
    JSValue arguments[2] = {read_value(ctx, &message->params, 1), told_request(ctx, message)};
    JSValue result = JS_EXCEPTION;
    if (!JS_IsException(arguments[0])) result = JS_Call(ctx, method, methods, 2, (JSValueConst *)arguments);
    JS_FreeValue(ctx, arguments[0]);
    JS_FreeValue(ctx, arguments[1]);
    return awaited(ctx, result);
}

static void put_unknown_method(Writer *w, const Message *message) {
    char text[320]; /* a method has 64 characters: nothing is cut in the middle of one */
    int size = snprintf(text, sizeof text, "there is no method '%.*s'", (int)message->method_size, message->method);
    put_plain_error(w, message->msgid, "unknown_method", text, (size_t)size);
}

static void handle(JSContext *ctx, Writer *w, Message *message) {
    JSValueConst methods = message->notification ? engine.notifications : engine.methods;
    if (!JS_IsUndefined(engine.not_loaded)) {
        if (message->notification) log_described(ctx, engine.not_loaded);
        else put_script_error(ctx, w, message->msgid, engine.not_loaded);
        return;
    }
    JSValue method = find_method(ctx, methods, message);
    if (JS_IsUndefined(method)) {
        if (!message->notification) put_unknown_method(w, message);
        return;
    }
    JSValue result = JS_IsException(method) ? JS_EXCEPTION : run(ctx, methods, method, message);
    JS_FreeValue(ctx, method);
    if (!JS_IsException(result) && !message->notification) {
        w->elements = 1;
        put_array(w, 4);
        put_uint(w, 1);
        put_uint(w, message->msgid);
        put_nil(w);
        if (!put_value(ctx, w, result, 1, "result")) {
            JS_FreeValue(ctx, result);
            result = JS_EXCEPTION;
        }
    }
    if (JS_IsException(result)) put_thrown(ctx, w, message->msgid, JS_GetException(ctx), message->notification);
    JS_FreeValue(ctx, result);
}

EXPORT("hostel_alloc") uint32_t hostel_alloc(uint32_t size) { return (uint32_t)(uintptr_t)malloc(size + 1); }

/* Frees the message, whose room came from hostel_alloc. 0 for what is no message: the host ends the call then. */
EXPORT("hostel_handle") uint64_t hostel_handle(uint32_t at, uint32_t size) {
    JSContext *ctx = engine.context;
    Writer w = {0};
    Message message = {0};
    JS_UpdateStackTop(engine.runtime);
    engine.phase = HANDLING;
    const uint8_t *bytes = (const uint8_t *)(uintptr_t)at;
    bool understood = read_message((Reader){bytes, bytes + size}, &message);
    if (understood) handle(ctx, &w, &message);
    timers_drop(ctx);
    host_forget(ctx);
    free((void *)bytes);
    if (understood && !message.notification) return given(&w);
    free(w.bytes);
    return 0;
}
