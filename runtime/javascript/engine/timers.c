/* setTimeout and setInterval, as far as one message goes: what is left when it is answered is dropped.
 *
 * Time comes from the host, stands still while the script computes, and may be one that somebody sets. So a timer never
 * waits for the clock to reach it: when the host has waited as long as it was asked to, the next timer is due.
 */
#include <stdlib.h>
#include <wasi/api.h>

#include "engine.h"

#define TIMERS_MOST 256
#define MS_MOST 86400000.0

typedef struct Timer {
    struct Timer *next; /* in the order in which they are due */
    uint32_t id;
    int64_t due_ms, every_ms; /* every_ms: -1 once */
    JSValue callback;
} Timer;

static struct {
    Timer *first;
    uint32_t id;
    int count;
    int64_t reached_ms; /* of the last one that fired: later than the clock where that one stands still */
} timers;

static int64_t now_ms(void) {
    int64_t clock = clock_ms();
    return clock > timers.reached_ms ? clock : timers.reached_ms;
}

static void insert(Timer *timer) {
    Timer **at = &timers.first;
    while (*at != NULL && (*at)->due_ms <= timer->due_ms) at = &(*at)->next;
    timer->next = *at;
    *at = timer;
}

static void drop(JSContext *ctx, Timer *timer) {
    JS_FreeValue(ctx, timer->callback);
    js_free(ctx, timer);
    timers.count--;
}

JSValue timer_set(JSContext *ctx, JSValueConst callback, double ms, bool repeats) {
    if (!while_handling(ctx, "a timer")) return JS_EXCEPTION;
    if (timers.count == TIMERS_MOST) return JS_ThrowRangeError(ctx, "more than %d timers", TIMERS_MOST);
    Timer *timer = js_mallocz(ctx, sizeof *timer);
    if (timer == NULL) return JS_EXCEPTION;
    int64_t wait_ms = ms >= 1 ? (int64_t)(ms < MS_MOST ? ms : MS_MOST) : repeats;
    *timer = (Timer){NULL, ++timers.id, now_ms() + wait_ms, repeats ? wait_ms : -1, JS_DupValue(ctx, callback)};
    insert(timer);
    timers.count++;
    return JS_NewUint32(ctx, timer->id);
}

void timer_clear(JSContext *ctx, uint32_t id) {
    for (Timer **at = &timers.first; *at != NULL; at = &(*at)->next) {
        Timer *timer = *at;
        if (timer->id != id) continue;
        *at = timer->next;
        drop(ctx, timer);
        return;
    }
}

void timers_drop(JSContext *ctx) {
    while (timers.first != NULL) timer_clear(ctx, timers.first->id);
    timers.reached_ms = 0;
}

bool timers_pending(void) { return timers.first != NULL; }

int32_t timers_wait_ms(void) {
    int64_t wait_ms = timers.first->due_ms - now_ms();
    return wait_ms < 0 ? 0 : (int32_t)wait_ms;
}

/* Where nothing is posted hostel_v1.wait answers at once: then it is WASI that waits. */
void timers_sleep(void) {
    int32_t wait_ms = timers_wait_ms();
    if (wait_ms == 0) return;
    __wasi_subscription_t until = {.u = {.tag = __WASI_EVENTTYPE_CLOCK}};
    until.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
    until.u.u.clock.timeout = (uint64_t)wait_ms * 1000000;
    __wasi_event_t event;
    __wasi_size_t count;
    (void)__wasi_poll_oneoff(&until, &event, 1, &count);
}

void timers_fire(JSContext *ctx) {
    Timer *timer = timers.first;
    timers.first = timer->next;
    if (timer->due_ms > timers.reached_ms) timers.reached_ms = timer->due_ms;
    JSValue callback = JS_DupValue(ctx, timer->callback);
    if (timer->every_ms >= 0) {
        timer->due_ms += timer->every_ms;
        insert(timer);
    } else {
        drop(ctx, timer);
    }
    JSValue result = JS_Call(ctx, callback, JS_UNDEFINED, 0, NULL);
    if (JS_IsException(result)) report_unhandled(ctx, JS_GetException(ctx));
    JS_FreeValue(ctx, result);
    JS_FreeValue(ctx, callback);
}
