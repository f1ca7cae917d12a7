/* hostel.h: write mini-programs for hostel in C. Headers only, no libc, ABI hostel_v1 (docs/protocol.md).
 *
 * What lives here: an arena emptied with every message, host calls, the most used services, the exports that the host
 * looks for. What must not: MessagePack itself (hostel_wire.h), anything about one program, anything that outlives a
 * message.
 *
 * A program includes this file once (several sources: include them into one) and defines
 *
 *     static void hostel_main(const hostel_request *request, hostel_reply *reply);
 *
 * which answers by writing one value into hostel_result(reply), or by hostel_fail(reply, code, message).
 *
 * Texts and bytes are never zero-terminated and point into the message they came from: valid until hostel_main returns.
 * Errors are sticky: a writer that was too small and a reader that met something else stay so; check once, at the end.
 */
#ifndef HOSTEL_H
#define HOSTEL_H

#include "hostel_wire.h"

/* ---- 1. Sizes: define your own before the #include ------------------------------------------------------------- */
#ifndef HOSTEL_REPLY_BYTES
#define HOSTEL_REPLY_BYTES 16384u /* the largest answer, with its envelope */
#endif
#ifndef HOSTEL_REQUEST_BYTES
#define HOSTEL_REQUEST_BYTES 8192u /* the largest request to the host */
#endif
#ifndef HOSTEL_INBOX_BYTES
#define HOSTEL_INBOX_BYTES 16384u /* see section 6; 0 for none */
#endif
/* HOSTEL_ARENA_BYTES: optional, see section 2. */

/* ---- 2. The arena: memory that lasts for one message ------------------------------------------------------------- */
/* It begins after the program's own data and grows to the module's maximum (-Wl,--max-memory). With a libc, whose malloc
 * lives there too, define HOSTEL_ARENA_BYTES: the arena is then an array of that size. */
#ifdef HOSTEL_ARENA_BYTES
static uint8_t hostel_arena_bytes_[HOSTEL_ARENA_BYTES];
#define HOSTEL_ARENA_START_ hostel_arena_bytes_
#else
extern uint8_t __heap_base; /* wasm-ld: the first byte after data and stack */
#define HOSTEL_ARENA_START_ (&__heap_base)
#endif
#define HOSTEL_PAGE_ 65536u
static struct { uint8_t *at, *end; } hostel_arena_;

static inline void hostel_arena_reset_(void) {
    hostel_arena_.at = HOSTEL_ARENA_START_;
#ifdef HOSTEL_ARENA_BYTES
    hostel_arena_.end = hostel_arena_bytes_ + HOSTEL_ARENA_BYTES;
#else
    hostel_arena_.end = (uint8_t *)(__builtin_wasm_memory_size(0) * HOSTEL_PAGE_);
#endif
}

/** `size` bytes, aligned to 8, until the message is answered; NULL if there is no room. Never freed one by one. */
HOSTEL_SHARED_ void *hostel_room(uint32_t size) {
    uint64_t start = ((uint64_t)(uintptr_t)hostel_arena_.at + 7) & ~(uint64_t)7, stop = start + size;
    uint64_t end = (uint64_t)(uintptr_t)hostel_arena_.end;
#ifndef HOSTEL_ARENA_BYTES
    if (stop > end && stop <= 0xffff0000u) {
        uint32_t pages = (uint32_t)((stop - end + HOSTEL_PAGE_ - 1) / HOSTEL_PAGE_);
        if (__builtin_wasm_memory_grow(0, pages) != (size_t)-1) end += (uint64_t)pages * HOSTEL_PAGE_;
        hostel_arena_.end = (uint8_t *)(uintptr_t)end;
    }
#endif
    if (stop > end) return NULL;
    hostel_arena_.at = (uint8_t *)(uintptr_t)stop;
    return (void *)(uintptr_t)start;
}

/* ---- 3. Calling the host ----------------------------------------------------------------------------------------- */
#define HOSTEL_IMPORT_(name) __attribute__((import_module("hostel_v1"), import_name(name)))
HOSTEL_IMPORT_("call") int32_t hostel_import_call_(const void *req, uint32_t req_len, void *res, uint32_t res_cap);
HOSTEL_IMPORT_("post") int32_t hostel_import_post_(const void *req, uint32_t req_len);
HOSTEL_IMPORT_("wait") int32_t hostel_import_wait_(void *res, uint32_t res_cap, int32_t timeout_ms);
HOSTEL_IMPORT_("take") int32_t hostel_import_take_(void *res, uint32_t res_cap);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get")))
int32_t hostel_import_random_(void *bytes, uint32_t size);

typedef struct {
    hostel_text code, message;
    bool retryable;
    uint32_t retry_after_ms; /* 0 = not said */
    hostel_reader value;     /* the whole error as it came; its "details" with hostel_find; none for our own codes */
} hostel_error;

/** A request, and after hostel_send or hostel_wait its outcome. */
typedef struct {
    hostel_writer request;
    uint32_t msgid;
    hostel_reader result; /* valid if the call succeeded */
    hostel_error error;   /* valid if it did not */
} hostel_call;

static uint32_t hostel_last_msgid_;

/** Gives the call an error of this side of the border; false, to be returned. Those of this file: no_memory,
 *  request_too_large, bad_request, bad_response. */
HOSTEL_SHARED_ bool hostel_call_failed(hostel_call *call, const char *code, const char *message) {
    hostel_error error = {hostel_text_of(code), hostel_text_of(message), false, 0, hostel_nothing_()};
    call->error = error;
    call->result = hostel_nothing_();
    return false;
}

/** Begins a request with `count` parameters: write that many pairs into what is returned, then hostel_send or
 *  hostel_post. */
HOSTEL_SHARED_ hostel_writer *hostel_begin(hostel_call *call, const char *method, uint32_t count) {
    call->msgid = ++hostel_last_msgid_;
    call->request = hostel_writer_over(hostel_room(HOSTEL_REQUEST_BYTES), HOSTEL_REQUEST_BYTES);
    hostel_call_failed(call, "bad_request", "the request was not sent");
    hostel_put_array(&call->request, 4);
    hostel_put_uint(&call->request, 0);
    hostel_put_uint(&call->request, call->msgid);
    hostel_put_string(&call->request, method);
    hostel_put_map(&call->request, count);
    return &call->request;
}

/* Checks what was written and gives the unused part of the buffer back. */
HOSTEL_SHARED_ bool hostel_sendable_(hostel_call *call) {
    if (call->request.start == NULL) return hostel_call_failed(call, "no_memory", "no room for the request");
    if (call->request.end == hostel_arena_.at) hostel_arena_.at = call->request.at;
    if (call->request.full) return hostel_call_failed(call, "request_too_large", "the request is over HOSTEL_REQUEST_BYTES");
    if (!hostel_is_whole(hostel_written(&call->request)))
        return hostel_call_failed(call, "bad_request", "the number of parameters is not the number announced");
    return true;
}

/* Reads the response of `size` bytes that the host wrote, or kept because it did not fit. True if it is a result. */
HOSTEL_SHARED_ bool hostel_receive_(hostel_call *call, uint8_t *room, uint32_t cap, int32_t size) {
    if (size < 0) return hostel_call_failed(call, "bad_response", "the host answered with no length");
    if ((uint32_t)size <= cap) {
        hostel_arena_.at = room + size;
    } else {
        room = (uint8_t *)hostel_room((uint32_t)size);
        if (room == NULL) return hostel_call_failed(call, "no_memory", "no room for the response");
        if (hostel_import_take_(room, (uint32_t)size) != size)
            return hostel_call_failed(call, "bad_response", "the host did not keep the response");
    }
    hostel_reader r = hostel_reader_over(room, (uint32_t)size);
    bool whole = hostel_is_whole(r) && hostel_read_array(&r) == 4 && hostel_read_uint(&r) == 1;
    call->msgid = (uint32_t)hostel_read_uint(&r);
    if (!whole || r.bad) return hostel_call_failed(call, "bad_response", "the host's answer is no response");
    hostel_reader error = r;
    hostel_skip(&r);
    call->result = r;
    if (hostel_peek(error) == HOSTEL_NIL) return true;
    hostel_call_failed(call, "bad_response", "the host's error has no code");
    int64_t wait = 0;
    (void)hostel_text_between(hostel_find(error, "code"), 0, UINT32_MAX, &call->error.code);
    (void)hostel_text_between(hostel_find(error, "message"), 0, UINT32_MAX, &call->error.message);
    (void)hostel_int_between(hostel_find(error, "retry_after_ms"), 0, UINT32_MAX, &wait);
    hostel_reader retryable = hostel_find(error, "retryable");
    call->error.retryable = hostel_read_bool(&retryable);
    call->error.retry_after_ms = (uint32_t)wait;
    call->error.value = error;
    return false;
}

/** Sends the request and waits for its answer. True: read call->result. False: see call->error. */
HOSTEL_SHARED_ bool hostel_send(hostel_call *call) {
    if (!hostel_sendable_(call)) return false;
    uint8_t *room = hostel_arena_.at;
    uint32_t cap = (uint32_t)(hostel_arena_.end - room);
    uint32_t size = (uint32_t)(call->request.at - call->request.start);
    return hostel_receive_(call, room, cap, hostel_import_call_(call->request.start, size, room, cap));
}

/** Starts the request without waiting; its answer comes from hostel_wait with the same msgid. */
HOSTEL_SHARED_ bool hostel_post(hostel_call *call) {
    if (!hostel_sendable_(call)) return false;
    hostel_import_post_(call->request.start, (uint32_t)(call->request.at - call->request.start));
    return true;
}

typedef enum { HOSTEL_SUCCEEDED, HOSTEL_REFUSED, HOSTEL_TIMED_OUT, HOSTEL_NOTHING_POSTED } hostel_waited;

/** The next answer among the posted requests, whichever it is: see call->msgid, then result or error.
 *  timeout_ms: 0 only looks, -1 waits for as long as the call may last. */
static inline hostel_waited hostel_wait(hostel_call *call, int32_t timeout_ms) {
    uint8_t *room = hostel_arena_.at;
    uint32_t cap = (uint32_t)(hostel_arena_.end - room);
    int32_t size = hostel_import_wait_(room, cap, timeout_ms);
    if (size == -1) return HOSTEL_NOTHING_POSTED;
    if (size == -2) return HOSTEL_TIMED_OUT;
    return hostel_receive_(call, room, cap, size) ? HOSTEL_SUCCEEDED : HOSTEL_REFUSED;
}

/** Random bytes from the host. False if it gave none. */
static inline bool hostel_random(void *bytes, uint32_t size) { return hostel_import_random_(bytes, size) == 0; }

/* ---- 4. Services: what programs call most ------------------------------------------------------------------------- */
/** level: "debug", "info", "warning", "error". A log that the host refuses is lost, never an error of the program. */
HOSTEL_SHARED_ void hostel_log(const char *level, hostel_text message) {
    hostel_call call;
    hostel_writer *p = hostel_begin(&call, "log.write", 2);
    hostel_put_string(p, "level"), hostel_put_string(p, level);
    hostel_put_string(p, "message"), hostel_put_text(p, message);
    (void)hostel_send(&call);
}

static inline bool hostel_session_info(hostel_call *call) {
    (void)hostel_begin(call, "session.info", 0);
    return hostel_send(call);
}

typedef struct {
    bool found;
    uint64_t version; /* 0 = there is none; for hostel_storage_put */
    hostel_reader value;
} hostel_stored;

/** scope: "user" or "program". Not found is no error. */
HOSTEL_SHARED_ bool hostel_storage_get(hostel_call *call, const char *scope, hostel_text key, hostel_stored *stored) {
    hostel_writer *p = hostel_begin(call, "storage.get", 2);
    hostel_put_string(p, "key"), hostel_put_text(p, key);
    hostel_put_string(p, "scope"), hostel_put_string(p, scope);
    if (!hostel_send(call)) return false;
    hostel_reader found = hostel_find(call->result, "found"), version = hostel_find(call->result, "version");
    stored->found = hostel_read_bool(&found);
    stored->version = hostel_read_uint(&version);
    stored->value = hostel_find(call->result, "value");
    if (!found.bad && !version.bad) return true;
    return hostel_call_failed(call, "bad_response", "storage.get answered without a version");
}

#define HOSTEL_ANY_VERSION UINT64_MAX
/** Begins a put: write one value into what is returned, then hostel_send. With if_version (0 = must not exist yet) the
 *  host refuses with version_conflict where something else was stored meanwhile: read again, change again, put again. */
HOSTEL_SHARED_ hostel_writer *hostel_storage_put(hostel_call *call, const char *scope, hostel_text key,
                                                 uint64_t if_version) {
    hostel_writer *p = hostel_begin(call, "storage.put", if_version == HOSTEL_ANY_VERSION ? 3 : 4);
    hostel_put_string(p, "key"), hostel_put_text(p, key);
    hostel_put_string(p, "scope"), hostel_put_string(p, scope);
    if (if_version != HOSTEL_ANY_VERSION) hostel_put_string(p, "if_version"), hostel_put_uint(p, if_version);
    hostel_put_string(p, "value");
    return p;
}

/** {"amount", "currency"}: whole minor units (fen, cents), never a float. */
HOSTEL_SHARED_ void hostel_put_money(hostel_writer *w, int64_t amount, const char *currency) {
    hostel_put_map(w, 2);
    hostel_put_string(w, "amount"), hostel_put_int(w, amount);
    hostel_put_string(w, "currency"), hostel_put_string(w, currency);
}

/** Result: an order, with order_id and status. The same key with the same rest never makes a second order: it gives the
 *  first answer again, with "replayed" true and the status of then; hostel_payment_query tells the one of now.
 *  out_trade_no is the program's own number of the order, unique over all its users, for ever. */
HOSTEL_SHARED_ bool hostel_payment_create(hostel_call *call, hostel_text key, hostel_text out_trade_no, int64_t amount,
                                         const char *currency, hostel_text subject, uint32_t ttl_s) {
    hostel_writer *p = hostel_begin(call, "payment.create", 5);
    hostel_put_string(p, "key"), hostel_put_text(p, key);
    hostel_put_string(p, "out_trade_no"), hostel_put_text(p, out_trade_no);
    hostel_put_string(p, "amount"), hostel_put_money(p, amount, currency);
    hostel_put_string(p, "subject"), hostel_put_text(p, subject);
    hostel_put_string(p, "ttl_s"), hostel_put_uint(p, ttl_s);
    return hostel_send(call);
}

/** Opens the cashier, where the user decides. Waits up to wait_ms (0: answers "confirming" at once). */
static inline bool hostel_payment_request(hostel_call *call, hostel_text order_id, uint32_t wait_ms) {
    hostel_writer *p = hostel_begin(call, "payment.request", 2);
    hostel_put_string(p, "order_id"), hostel_put_text(p, order_id);
    hostel_put_string(p, "wait_ms"), hostel_put_uint(p, wait_ms);
    return hostel_send(call);
}

/** The truth about an order; never trust anything else. */
static inline bool hostel_payment_query(hostel_call *call, hostel_text order_id) {
    hostel_writer *p = hostel_begin(call, "payment.query", 1);
    hostel_put_string(p, "order_id"), hostel_put_text(p, order_id);
    return hostel_send(call);
}

/* ---- 5. The message and its answer -------------------------------------------------------------------------------- */
typedef struct {
    bool notification; /* nobody waits for an answer; what is written is dropped */
    hostel_text method;
    hostel_reader params; /* a map */
} hostel_request;

typedef struct {
    hostel_writer out;
    uint32_t msgid;
    bool failed;
} hostel_reply;

static void hostel_main(const hostel_request *request, hostel_reply *reply); /* yours */

HOSTEL_SHARED_ hostel_writer *hostel_reply_head_(hostel_reply *reply, bool failed) {
    reply->out = hostel_writer_over(reply->out.start, (uint32_t)(reply->out.end - reply->out.start));
    hostel_put_array(&reply->out, 4);
    hostel_put_uint(&reply->out, 1);
    hostel_put_uint(&reply->out, reply->msgid);
    if (!failed) hostel_put_nil(&reply->out);
    reply->failed = failed;
    return &reply->out;
}

/** The writer for the result: exactly one value. Called again it starts anew. */
static inline hostel_writer *hostel_result(hostel_reply *reply) { return hostel_reply_head_(reply, false); }

/** Answers an error, in place of what was written so far; write `count` pairs of details into what is returned.
 *  code: snake_case, stable, for programs; message: one line, for people. */
HOSTEL_SHARED_ hostel_writer *hostel_fail_with(hostel_reply *reply, const char *code, const char *message, uint32_t count) {
    hostel_writer *w = hostel_reply_head_(reply, true);
    hostel_put_map(w, 5);
    hostel_put_string(w, "code"), hostel_put_string(w, code);
    hostel_put_string(w, "message"), hostel_put_string(w, message);
    hostel_put_string(w, "retryable"), hostel_put_bool(w, false);
    hostel_put_string(w, "retry_after_ms"), hostel_put_nil(w);
    hostel_put_string(w, "details"), hostel_put_map(w, count);
    return w;
}

HOSTEL_SHARED_ void hostel_fail(hostel_reply *reply, const char *code, const char *message) {
    (void)hostel_fail_with(reply, code, message, 0);
}

/** Answers with the error of a host call, as the host put it. */
HOSTEL_SHARED_ void hostel_pass_on(hostel_reply *reply, const hostel_error *error) {
    hostel_writer *w = hostel_reply_head_(reply, true);
    if (hostel_peek(error->value) != HOSTEL_NONE) {
        hostel_put_value(w, error->value);
        return;
    }
    hostel_put_map(w, 2);
    hostel_put_string(w, "code"), hostel_put_text(w, error->code);
    hostel_put_string(w, "message"), hostel_put_text(w, error->message);
}

/* ---- 6. Exports: what the host looks for -------------------------------------------------------------------------- */
#if HOSTEL_INBOX_BYTES > 0
/* The inbox saves one crossing per message: what fits is written there without hostel_alloc. The host wants its size as
 * a global; C can only export addresses. So hostel_inbox_size is an empty mark at the very start of the data, whose
 * address is the number: link with -Wl,-z,stack-size=N (the stack lies below the data, so the data starts at N), N being
 * HOSTEL_INBOX_BYTES, and -Wl,--export=hostel_inbox -Wl,--export=hostel_inbox_size. hostel_handle proves it. */
__attribute__((used, visibility("default"), aligned(16))) uint8_t hostel_inbox[HOSTEL_INBOX_BYTES];
__asm__(".section .rodata.hostel_inbox_size,\"\",@\n.globl hostel_inbox_size\n.type hostel_inbox_size,@object\n"
        "hostel_inbox_size:\n.int8 0\n.size hostel_inbox_size,1\n");
extern const uint8_t hostel_inbox_size;
#endif

__attribute__((export_name("hostel_alloc"))) uint32_t hostel_alloc(uint32_t size) {
    hostel_arena_reset_();
    return (uint32_t)(uintptr_t)hostel_room(size);
}

/* 0 for a notification, and for bytes that are no request: the host then ends the call as a protocol violation. */
__attribute__((export_name("hostel_handle"))) uint64_t hostel_handle(uint32_t at, uint32_t size) {
#if HOSTEL_INBOX_BYTES > 0
    if ((uintptr_t)&hostel_inbox_size != HOSTEL_INBOX_BYTES) __builtin_trap(); /* linked with another stack size */
#endif
    hostel_arena_reset_();
    if (at >= (uintptr_t)HOSTEL_ARENA_START_ && at < (uintptr_t)hostel_arena_.end)
        hostel_arena_.at = (uint8_t *)(uintptr_t)(at + size); /* the message lies there: keep it */

    hostel_reader r = hostel_reader_over((const void *)(uintptr_t)at, size);
    bool whole = hostel_is_whole(r);
    uint32_t parts = hostel_read_array(&r);
    uint64_t type = hostel_read_uint(&r);
    hostel_request request = {parts == 3 && type == 2, {NULL, 0}, hostel_nothing_()};
    hostel_reply reply = {hostel_writer_over(hostel_room(HOSTEL_REPLY_BYTES), HOSTEL_REPLY_BYTES), 0, false};
    if (!request.notification && (parts != 4 || type != 0)) return 0;
    if (!request.notification) reply.msgid = (uint32_t)hostel_read_uint(&r);
    request.method = hostel_read_text(&r);
    request.params = r;
    if (!whole || hostel_peek(r) != HOSTEL_MAP || reply.out.full) return 0;

    hostel_put_nil(hostel_result(&reply));
    hostel_main(&request, &reply);
    if (request.notification) return 0;
    if (reply.failed) hostel_put_nil(&reply.out);
    if (!hostel_is_whole(hostel_written(&reply.out))) {
        if (reply.out.full) hostel_fail(&reply, "reply_too_large", "the program's answer is over HOSTEL_REPLY_BYTES");
        else hostel_fail(&reply, "bad_reply", "the program did not write exactly one value");
        hostel_put_nil(&reply.out);
    }
    return (uint64_t)(uint32_t)(uintptr_t)reply.out.start << 32 | (uint32_t)(reply.out.at - reply.out.start);
}

#endif
