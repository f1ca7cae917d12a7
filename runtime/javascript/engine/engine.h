/* The JavaScript guest: QuickJS-ng behind the guest ABI hostel_v1. What the files of this folder share.
 *
 *   message.c     the exports: a script is loaded, a message is handled, an answer is given
 *   errors.c      what a script threw, as an answer
 *   modules.c     the script image, and what `import` finds in it
 *   host.c        requests to the host as promises, and the loop that settles them
 *   timers.c      setTimeout, as far as one message goes
 *   wire_read.c, wire_write.c   MessagePack to values and back
 *   natives.c     what the prelude (prelude/) cannot say in JavaScript
 *   memory.c      malloc
 *   moment.c      time and randomness: never those of the moment the snapshot was taken
 *
 * The engine starts once, when it is built: sample_programs/snapshot.py keeps the memory as it is then, so that an
 * instance begins with runtime, context and prelude ready. All state therefore lies in the linear memory, and the start
 * asks nobody for anything.
 */
#ifndef HOSTEL_ENGINE_H
#define HOSTEL_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quickjs.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define EXPORT(name) __attribute__((export_name(name)))

typedef enum { STARTING, LOADING, HANDLING } Phase;

typedef struct {
    JSRuntime *runtime;
    JSContext *context;
    Phase phase;
    JSValue methods, notifications; /* what the script exports; undefined: nothing */
    JSValue not_loaded;             /* why the script did not load, as describe() tells it; undefined: it did */
    JSValue describe;               /* prelude: any thrown value -> {message, stack, path, line, column} */
    JSValue fail, host_error;       /* prelude: the classes Fail and HostError */
    JSValue out_of_memory;          /* an error made while there was memory for one */
} Engine;

extern Engine engine;

/* ---- wire ---- */
#define DEPTH_MOST 16 /* containers inside one another, the message itself being the first */
#define ELEMENTS_MOST 4096
#define KEY_BYTES_MOST 256

typedef struct {
    uint8_t *bytes; /* from malloc; whoever has the writer frees it */
    size_t size, room;
    int elements;
    bool failed; /* no memory */
} Writer;

void put_nil(Writer *w);
void put_bool(Writer *w, bool value);
void put_uint(Writer *w, uint64_t value);
void put_text(Writer *w, const char *text, size_t size);
void put_string(Writer *w, const char *text);
void put_array(Writer *w, uint32_t count);
void put_map(Writer *w, uint32_t count);
/* Puts a value that lies `depth` containers deep. `name` is how a TypeError calls it. False: an exception is thrown. */
bool put_value(JSContext *ctx, Writer *w, JSValueConst value, int depth, const char *name);

typedef struct {
    const uint8_t *at, *end;
} Reader;

/* Each is false, or an exception, where something else comes next. */
bool read_array(Reader *r, uint32_t *count);
bool read_uint(Reader *r, uint32_t *value);
bool read_text(Reader *r, const char **text, size_t *size);
bool read_bytes(Reader *r, const char **bytes, size_t *size);
JSValue read_value(JSContext *ctx, Reader *r, int depth);

/* ---- moment.c ---- */
int64_t clock_ms(void);
bool random_bytes(void *into, size_t size);
/* Throws, where the script is only being loaded; `what` is how the error calls what was asked for. */
bool while_handling(JSContext *ctx, const char *what);

/* ---- timers.c ---- */
JSValue timer_set(JSContext *ctx, JSValueConst callback, double ms, bool repeats);
void timer_clear(JSContext *ctx, uint32_t id);
void timers_drop(JSContext *ctx);
bool timers_pending(void);
int32_t timers_wait_ms(void); /* until the next one is due */
void timers_sleep(void);      /* so long */
void timers_fire(JSContext *ctx); /* the next one, which is due now whatever the clock says */

/* ---- host.c ---- */
JSValue host_request(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv);
JSValue host_notify(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv);
void track_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled, void *opaque);
/* A rejection that nobody caught, to be freed; JS_UNINITIALIZED if there is none. */
JSValue take_unhandled(JSContext *ctx);
void report_unhandled(JSContext *ctx, JSValue reason); /* takes it */
void run_jobs(JSContext *ctx);
/* Runs jobs, timers and requests until the promise is settled. False: nothing is left that could settle it. */
bool run_until_settled(JSContext *ctx, JSValueConst promise);
void host_forget(JSContext *ctx); /* what the last message left behind */

/* ---- errors.c ---- */
JSValue described(JSContext *ctx, JSValue thrown);
void put_plain_error(Writer *w, uint32_t msgid, const char *code, const char *text, size_t size);
void put_script_error(JSContext *ctx, Writer *w, uint32_t msgid, JSValueConst told);
void log_described(JSContext *ctx, JSValueConst told);
void put_thrown(JSContext *ctx, Writer *w, uint32_t msgid, JSValue thrown, bool notification);

/* ---- modules.c ---- */
typedef struct {
    const char *path, *text; /* text[size] can be set to 0 */
    size_t path_size, size;
} Member;

bool image_open(const uint8_t *bytes, size_t size);
void image_close(void);
int image_count(void);
Member image_member(int index);
JSModuleDef *module_load(JSContext *ctx, const char *name, void *opaque, JSValueConst attributes);
char *module_normalize(JSContext *ctx, const char *base, const char *name, void *opaque);
int module_attributes(JSContext *ctx, void *opaque, JSValueConst attributes);
/* Compiles and evaluates a member; gives its namespace, or an exception. Jobs are run. */
JSValue module_evaluate(JSContext *ctx, Member member);

/* ---- memory.c ---- */
void memory_seal(void);
bool memory_ran_out(void);
void memory_clean(void);

/* ---- natives.c ---- */
int natives_define(JSContext *ctx);
void print_line(int descriptor, const char *text, size_t size);

#endif
