/* Requests to the host as promises, and the loop that settles them.
 *
 * A request waits in a queue until the script has nothing left to do. One alone goes out with hostel_v1.call, which is
 * one crossing; several, or one beside a timer, with post, and their answers come from wait in the order in which they
 * are complete. So Promise.all over several runs them at once, at most POSTED_MOST: the rest stays in the queue.
 */
#include <stdlib.h>

#include "engine.h"

#define IMPORT(name) __attribute__((import_module("hostel_v1"), import_name(name)))
IMPORT("call") int32_t hostel_call(const void *request, uint32_t size, void *into, uint32_t room);
IMPORT("post") int32_t hostel_post(const void *request, uint32_t size);
IMPORT("wait") int32_t hostel_wait(void *into, uint32_t room, int32_t timeout_ms);
IMPORT("take") int32_t hostel_take(void *into, uint32_t room);

#define POSTED_MOST 16
#define UNHANDLED_MOST 16
#define NOTHING (-1)
#define TIMED_OUT (-2)
#define RESPONSE_ROOM 4096 /* what is larger is kept by the host until there is room */

typedef struct Request {
    struct Request *next;
    uint32_t msgid;
    Writer message;
    JSValue method;
    JSValue settle[2]; /* resolve, reject */
} Request;

static struct {
    Request *queued, **queued_end;
    Request *posted;
    int posted_count, queued_count;
    uint32_t msgid;
    uint8_t *response;
    uint32_t response_room;
    JSValue unhandled[UNHANDLED_MOST * 2]; /* promise, reason */
    int unhandled_count;
} host = {.queued_end = &host.queued};

/* ---- requests ----------------------------------------------------------------------------------------------------- */
static void request_free(JSContext *ctx, Request *request) {
    free(request->message.bytes);
    JS_FreeValue(ctx, request->method);
    JS_FreeValue(ctx, request->settle[0]);
    JS_FreeValue(ctx, request->settle[1]);
    js_free(ctx, request);
}

static bool has_envelope_key(JSContext *ctx, JSValueConst params) {
    JSPropertyEnum *keys;
    uint32_t count;
    bool found = false;
    if (JS_GetOwnPropertyNames(ctx, &keys, &count, params, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0) return true;
    for (uint32_t index = 0; index < count && !found; index++) {
        const char *key = JS_AtomToCString(ctx, keys[index].atom);
        found = key == NULL || key[0] == '$';
        if (key != NULL && found) JS_ThrowTypeError(ctx, "params.%.40s: a parameter cannot begin with $", key);
        JS_FreeCString(ctx, key);
    }
    JS_FreePropertyEnum(ctx, keys, count);
    return found;
}

/* Writes method and params, the last two members of a request and of a notification. */
static bool put_asked(JSContext *ctx, Writer *w, JSValueConst method, JSValueConst params) {
    size_t size;
    if (!JS_IsString(method)) return JS_ThrowTypeError(ctx, "the method is not a text"), false;
    const char *text = JS_ToCStringLen(ctx, &size, method);
    if (text == NULL) return false;
    bool fits = size >= 1 && size <= 64;
    if (fits) put_text(w, text, size);
    JS_FreeCString(ctx, text);
    if (!fits) return JS_ThrowTypeError(ctx, "the method is not a text of 1 to 64 characters"), false;
    if (JS_IsUndefined(params)) {
        put_map(w, 0);
        return true;
    }
    if (!JS_IsObject(params) || JS_IsArray(params)) return JS_ThrowTypeError(ctx, "params is not an object"), false;
    return !has_envelope_key(ctx, params) && put_value(ctx, w, params, 1, "params");
}

static JSValue rejected(JSContext *ctx) {
    JSValue reason = JS_GetException(ctx);
    JSValue promise = JS_NewSettledPromise(ctx, true, reason);
    JS_FreeValue(ctx, reason);
    return promise;
}

/* call(method, params) -> a promise of the result; rejected with a HostError where the host says no. */
JSValue host_request(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value;
    if (!while_handling(ctx, "the host")) return rejected(ctx);
    Request *request = js_mallocz(ctx, sizeof *request);
    if (request == NULL) return rejected(ctx);
    request->method = JS_DupValue(ctx, argv[0]);
    request->settle[0] = request->settle[1] = JS_UNDEFINED;
    request->msgid = ++host.msgid;
    put_array(&request->message, 4);
    put_uint(&request->message, 0);
    put_uint(&request->message, request->msgid);
    JSValue promise = JS_EXCEPTION;
    if (put_asked(ctx, &request->message, argv[0], argc > 1 ? argv[1] : JS_UNDEFINED))
        promise = JS_NewPromiseCapability(ctx, request->settle);
    if (JS_IsException(promise)) {
        request_free(ctx, request);
        return rejected(ctx);
    }
    *host.queued_end = request;
    host.queued_end = &request->next;
    host.queued_count++;
    return promise;
}

/* post(method, params): a notification, at once. Nobody answers it. */
JSValue host_notify(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
    (void)this_value;
    Writer message = {0};
    if (!while_handling(ctx, "the host")) return JS_EXCEPTION;
    put_array(&message, 3);
    put_uint(&message, 2);
    bool done = put_asked(ctx, &message, argv[0], argc > 1 ? argv[1] : JS_UNDEFINED);
    if (done) hostel_post(message.bytes, (uint32_t)message.size);
    free(message.bytes);
    return done ? JS_UNDEFINED : JS_EXCEPTION;
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */
static void set(JSContext *ctx, JSValueConst object, const char *name, JSValue value) {
    JS_DefinePropertyValueStr(ctx, object, name, value, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
}

/* A HostError of the error that the host told. Its stack is written where it is thrown: at the script's own await. */
static JSValue host_error(JSContext *ctx, JSValueConst told, JSValueConst method) {
    static const char *names[][2] = {
        {"code", "code"}, {"message", "message"}, {"retryable", "retryable"}, {"retryAfterMs", "retry_after_ms"},
        {"details", "details"},
    };
    JSValue prototype = JS_GetPropertyStr(ctx, engine.host_error, "prototype");
    JSValue error = JS_NewObjectProtoClass(ctx, prototype, JS_GetClassID(engine.out_of_memory));
    JS_FreeValue(ctx, prototype);
    if (JS_IsException(error)) return JS_GetException(ctx);
    for (int index = 0; index < COUNT(names); index++)
        set(ctx, error, names[index][0], JS_GetPropertyStr(ctx, told, names[index][1]));
    set(ctx, error, "method", JS_DupValue(ctx, method));
    return error;
}

/* Settles the promise of one request with what `r` has left: error and result. */
static void settle(JSContext *ctx, Request *request, Reader *r) {
    JSValue error = read_value(ctx, r, 1), result = JS_UNDEFINED, with;
    bool failed = true;
    if (!JS_IsException(error)) result = read_value(ctx, r, 1);
    if (JS_IsException(error) || JS_IsException(result)) with = JS_GetException(ctx);
    else if (JS_IsObject(error)) with = host_error(ctx, error, request->method);
    else with = JS_DupValue(ctx, result), failed = false;
    JSValue done = JS_Call(ctx, request->settle[failed], JS_UNDEFINED, 1, (JSValueConst *)&with);
    JS_FreeValue(ctx, done);
    JS_FreeValue(ctx, with);
    JS_FreeValue(ctx, result);
    JS_FreeValue(ctx, error);
    request_free(ctx, request);
}

static Request *posted_with(uint32_t msgid) {
    for (Request **at = &host.posted; *at != NULL; at = &(*at)->next) {
        Request *request = *at;
        if (request->msgid != msgid) continue;
        *at = request->next;
        host.posted_count--;
        return request;
    }
    return NULL;
}

/* A response of `size` bytes is there, or kept by the host because it did not fit. `request`: of a call, or NULL. */
static void answered(JSContext *ctx, int32_t size, Request *request) {
    uint32_t count, kind, msgid;
    if ((uint32_t)size > host.response_room) {
        uint8_t *larger = realloc(host.response, (uint32_t)size);
        if (larger == NULL) {
            if (request != NULL) request->next = host.posted, host.posted = request, host.posted_count++;
            return; /* never answered: reported as a promise that nothing settles */
        }
        host.response = larger, host.response_room = (uint32_t)size;
        if (hostel_take(larger, (uint32_t)size) != size) size = 0;
    }
    Reader r = {host.response, host.response + size};
    if (!read_array(&r, &count) || !read_uint(&r, &kind) || !read_uint(&r, &msgid)) r.at = r.end;
    else if (request == NULL) request = posted_with(msgid);
    if (request != NULL) settle(ctx, request, &r);
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */
static Request *next_queued(void) {
    Request *request = host.queued;
    host.queued = request->next;
    if (host.queued == NULL) host.queued_end = &host.queued;
    host.queued_count--;
    request->next = NULL;
    return request;
}

static void post_queued(int most) {
    while (host.queued != NULL && host.posted_count < most) {
        Request *request = next_queued();
        hostel_post(request->message.bytes, (uint32_t)request->message.size);
        free(request->message.bytes);
        request->message.bytes = NULL;
        request->next = host.posted, host.posted = request;
        host.posted_count++;
    }
}

static bool ask_host(JSContext *ctx) {
    if (host.response == NULL) {
        host.response = malloc(RESPONSE_ROOM);
        host.response_room = host.response == NULL ? 0 : RESPONSE_ROOM;
    }
    if (host.queued_count == 1 && host.posted_count == 0 && !timers_pending()) {
        Request *request = next_queued();
        Writer *message = &request->message;
        int32_t size = hostel_call(message->bytes, (uint32_t)message->size, host.response, host.response_room);
        answered(ctx, size, request);
        return true;
    }
    post_queued(POSTED_MOST);
    if (host.posted_count == 0 && !timers_pending()) return false;
    if (host.posted_count == 0) {
        timers_sleep();
        timers_fire(ctx);
        return true;
    }
    int32_t size = hostel_wait(host.response, host.response_room, timers_pending() ? timers_wait_ms() : -1);
    if (size >= 0) answered(ctx, size, NULL);
    else if (size == TIMED_OUT) timers_fire(ctx);
    return size != NOTHING;
}

void run_jobs(JSContext *ctx) {
    JSContext *ran;
    int done;
    while ((done = JS_ExecutePendingJob(JS_GetRuntime(ctx), &ran)) != 0)
        if (done < 0) report_unhandled(ran, JS_GetException(ran));
}

bool run_until_settled(JSContext *ctx, JSValueConst promise) {
    do run_jobs(ctx);
    while (JS_PromiseState(ctx, promise) == JS_PROMISE_PENDING && ask_host(ctx));
    post_queued(POSTED_MOST); /* begun without being awaited: begun all the same */
    return JS_PromiseState(ctx, promise) != JS_PROMISE_PENDING;
}

void host_forget(JSContext *ctx) {
    while (host.queued != NULL) request_free(ctx, next_queued());
    while (host.posted != NULL) {
        Request *request = host.posted;
        host.posted = request->next;
        request_free(ctx, request);
    }
    host.posted_count = 0;
    while (host.unhandled_count) JS_FreeValue(ctx, host.unhandled[--host.unhandled_count]);
}

/* ---- rejections that nobody caught -------------------------------------------------------------------------------- */
static void remember(JSContext *ctx, JSValue promise, JSValue reason) {
    if (host.unhandled_count == 2 * UNHANDLED_MOST) {
        JS_FreeValue(ctx, promise);
        JS_FreeValue(ctx, reason);
        return;
    }
    host.unhandled[host.unhandled_count++] = promise;
    host.unhandled[host.unhandled_count++] = reason;
}

void report_unhandled(JSContext *ctx, JSValue reason) { remember(ctx, JS_UNDEFINED, reason); }

void track_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled, void *opaque) {
    (void)opaque;
    if (!handled) {
        remember(ctx, JS_DupValue(ctx, promise), JS_DupValue(ctx, reason));
        return;
    }
    for (int index = 0; index < host.unhandled_count; index += 2) {
        if (!JS_IsStrictEqual(ctx, host.unhandled[index], promise)) continue;
        JS_FreeValue(ctx, host.unhandled[index]);
        JS_FreeValue(ctx, host.unhandled[index + 1]);
        host.unhandled[index] = host.unhandled[host.unhandled_count - 2];
        host.unhandled[index + 1] = host.unhandled[host.unhandled_count - 1];
        host.unhandled_count -= 2;
        return;
    }
}

JSValue take_unhandled(JSContext *ctx) {
    return host.unhandled_count ? JS_DupValue(ctx, host.unhandled[1]) : JS_UNINITIALIZED;
}
