/* What a script threw, as the error that answers its message. */
#include <stdio.h>
#include <string.h>

#include "engine.h"

#define SCRIPT_ERROR "script_error"

/* Takes a thrown value and gives {message, stack, path, line, column}; undefined where there is no memory for that. */
JSValue described(JSContext *ctx, JSValue thrown) {
    if (JS_IsNull(thrown) && memory_ran_out()) thrown = JS_DupValue(ctx, engine.out_of_memory);
    JSValue told = JS_Call(ctx, engine.describe, JS_UNDEFINED, 1, (JSValueConst *)&thrown);
    JS_FreeValue(ctx, thrown);
    if (!JS_IsException(told)) return told;
    JS_FreeValue(ctx, JS_GetException(ctx));
    return JS_UNDEFINED;
}

static void put_error_head(Writer *w, uint32_t msgid, const char *code) {
    w->size = 0, w->elements = 1;
    put_array(w, 4);
    put_uint(w, 1);
    put_uint(w, msgid);
    put_map(w, 5);
    put_string(w, "code"), put_string(w, code);
    put_string(w, "retryable"), put_bool(w, false);
    put_string(w, "retry_after_ms"), put_nil(w);
}

/* An error of ours in one line; `text` is UTF-8. */
void put_plain_error(Writer *w, uint32_t msgid, const char *code, const char *text, size_t size) {
    put_error_head(w, msgid, code);
    put_string(w, "message"), put_text(w, text, size);
    put_string(w, "details"), put_map(w, 0);
    put_nil(w);
}

void put_script_error(JSContext *ctx, Writer *w, uint32_t msgid, JSValueConst told) {
    static const char *names[] = {"stack", "path", "line", "column"};
    JSValue message = JS_IsObject(told) ? JS_GetPropertyStr(ctx, told, "message") : JS_UNDEFINED;
    put_error_head(w, msgid, SCRIPT_ERROR);
    put_string(w, "message");
    bool done = JS_IsString(message) && put_value(ctx, w, message, 2, "message");
    put_string(w, "details"), put_map(w, COUNT(names));
    for (int index = 0; index < COUNT(names) && done; index++) {
        JSValue value = JS_GetPropertyStr(ctx, told, names[index]);
        put_string(w, names[index]);
        done = put_value(ctx, w, value, 3, names[index]);
        JS_FreeValue(ctx, value);
    }
    put_nil(w);
    JS_FreeValue(ctx, message);
    if (done) return;
    JS_FreeValue(ctx, JS_GetException(ctx));
    static const char text[] = "the script failed, and there is no memory left to say how";
    put_plain_error(w, msgid, SCRIPT_ERROR, text, sizeof text - 1);
}

#define TEXTS 2 /* the first names are of texts */

/* What the script threw on purpose: a Fail, or the host's own word that it did not catch. False: something else. */
static bool put_answered_error(JSContext *ctx, Writer *w, uint32_t msgid, JSValueConst thrown) {
    static const char *names[][2] = {
        {"code", "code"}, {"message", "message"}, {"retryable", "retryable"}, {"retry_after_ms", "retryAfterMs"},
        {"details", "details"},
    };
    if (JS_IsInstanceOf(ctx, thrown, engine.fail) <= 0 && JS_IsInstanceOf(ctx, thrown, engine.host_error) <= 0)
        return false;
    w->size = 0, w->elements = 1;
    put_array(w, 4);
    put_uint(w, 1);
    put_uint(w, msgid);
    put_map(w, COUNT(names));
    bool done = true;
    for (int index = 0; index < COUNT(names) && done; index++) {
        JSValue value = JS_GetPropertyStr(ctx, thrown, names[index][1]);
        put_string(w, names[index][0]);
        done = !JS_IsException(value);
        if (done && index < TEXTS && !JS_IsString(value)) {
            JS_ThrowTypeError(ctx, "the %s of the error is no text", names[index][0]);
            done = false;
        }
        done = done && put_value(ctx, w, value, 2, names[index][0]);
        JS_FreeValue(ctx, value);
    }
    put_nil(w);
    return done;
}

void log_described(JSContext *ctx, JSValueConst told) {
    static const char *names[] = {"message", "stack"};
    for (int index = 0; index < COUNT(names) && JS_IsObject(told); index++) {
        size_t size;
        JSValue value = JS_GetPropertyStr(ctx, told, names[index]);
        const char *text = JS_ToCStringLen(ctx, &size, value);
        if (text != NULL && size > 0) print_line(2, text, size);
        JS_FreeCString(ctx, text);
        JS_FreeValue(ctx, value);
    }
}

/* Takes a thrown value, and answers with it. */
void put_thrown(JSContext *ctx, Writer *w, uint32_t msgid, JSValue thrown, bool notification) {
    if (!notification && put_answered_error(ctx, w, msgid, thrown)) {
        JS_FreeValue(ctx, thrown);
        return;
    }
    if (JS_HasException(ctx)) { /* its details could not be sent: that is the error now */
        JS_FreeValue(ctx, thrown);
        thrown = JS_GetException(ctx);
    }
    JSValue told = described(ctx, thrown);
    if (notification) log_described(ctx, told); /* nobody is answered */
    else put_script_error(ctx, w, msgid, told);
    JS_FreeValue(ctx, told);
}
