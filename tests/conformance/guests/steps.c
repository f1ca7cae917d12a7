/* steps: the guest that goes through imports and memory step by step, with any pointer; for the corners of the ABI.
 *
 * A message of any method has `steps`; the answer is a list with what each of them gave: a number where nothing else is
 * said. A notification goes through them too, and is answered with 0.
 *
 * ["call", at, size, room, capacity] · ["post", at, size] · ["wait", room, capacity, timeout_ms] · ["take", room, capacity]
 * [a function of wasi_snapshot_preview1, its operands…]   the errno
 * ["lay", at, value]               encodes the value there: how long it is
 * ["bytes", at, bytes]             lays bytes there: how many
 * ["fill", at, byte, size] · ["load", at] · ["load32", at] · ["grow", pages] · ["pages"]
 * ["show", at, size]               gives the bytes that lie there
 * ["value", at, size]              gives the value they are, or "malformed"
 * ["repeat", times, step]          the same so often: what the last one gave
 * ["count"]                        how often this sandbox was asked this, counted in its memory
 * ["spin", rounds] · ["trap"]      0 rounds: for ever
 * ["respond", head, plus, tail]    answers head, the msgid of the message plus `plus`, and tail: bytes around a number
 * ["give", at, size]               returns exactly that from hostel_handle
 *
 * An operand is a number, or {"room": n}: n bytes into 128 KiB that nobody else uses; {"end": n}: from the end of the
 * memory; {"last": n}: from what the step before gave.
 */
#include "hostel_wire.h"

#define PAGE 65536u
#define ROOM_PAGES 4u /* half for the steps, half for the answer */
#define INBOX_BYTES 16384u
#define OPERANDS 9
#define HOSTEL(name) __attribute__((import_module("hostel_v1"), import_name(#name)))
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

typedef int32_t i;
typedef int64_t I;
HOSTEL(call) i host_call(i, i, i, i);
HOSTEL(post) i host_post(i, i);
HOSTEL(wait) i host_wait(i, i, i);
HOSTEL(take) i host_take(i, i);
WASI(proc_exit) void wasi_proc_exit(i);

/* Every other function of WASI's preview 1 with its operands; X(name, declared, given). */
#define WASI_FUNCTIONS(X) \
    X(args_get, (i, i), (A, B)) X(args_sizes_get, (i, i), (A, B)) X(environ_get, (i, i), (A, B)) \
    X(environ_sizes_get, (i, i), (A, B)) X(clock_res_get, (i, i), (A, B)) X(clock_time_get, (i, I, i), (A, B, C)) \
    X(fd_advise, (i, I, I, i), (A, B, C, D)) X(fd_allocate, (i, I, I), (A, B, C)) X(fd_close, (i), (A)) \
    X(fd_datasync, (i), (A)) X(fd_fdstat_get, (i, i), (A, B)) X(fd_fdstat_set_flags, (i, i), (A, B)) \
    X(fd_fdstat_set_rights, (i, I, I), (A, B, C)) X(fd_filestat_get, (i, i), (A, B)) \
    X(fd_filestat_set_size, (i, I), (A, B)) X(fd_filestat_set_times, (i, I, I, i), (A, B, C, D)) \
    X(fd_pread, (i, i, i, I, i), (A, B, C, D, E)) X(fd_prestat_get, (i, i), (A, B)) \
    X(fd_prestat_dir_name, (i, i, i), (A, B, C)) X(fd_pwrite, (i, i, i, I, i), (A, B, C, D, E)) \
    X(fd_read, (i, i, i, i), (A, B, C, D)) X(fd_readdir, (i, i, i, I, i), (A, B, C, D, E)) X(fd_renumber, (i, i), (A, B)) \
    X(fd_seek, (i, I, i, i), (A, B, C, D)) X(fd_sync, (i), (A)) X(fd_tell, (i, i), (A, B)) \
    X(fd_write, (i, i, i, i), (A, B, C, D)) X(path_create_directory, (i, i, i), (A, B, C)) \
    X(path_filestat_get, (i, i, i, i, i), (A, B, C, D, E)) \
    X(path_filestat_set_times, (i, i, i, i, I, I, i), (A, B, C, D, E, F, G)) \
    X(path_link, (i, i, i, i, i, i, i), (A, B, C, D, E, F, G)) \
    X(path_open, (i, i, i, i, i, I, I, i, i), (A, B, C, D, E, F, G, H, J)) \
    X(path_readlink, (i, i, i, i, i, i), (A, B, C, D, E, F)) X(path_remove_directory, (i, i, i), (A, B, C)) \
    X(path_rename, (i, i, i, i, i, i), (A, B, C, D, E, F)) X(path_symlink, (i, i, i, i, i), (A, B, C, D, E)) \
    X(path_unlink_file, (i, i, i), (A, B, C)) X(poll_oneoff, (i, i, i, i), (A, B, C, D)) X(proc_raise, (i), (A)) \
    X(random_get, (i, i), (A, B)) X(sched_yield, (void), ()) X(sock_accept, (i, i, i), (A, B, C)) \
    X(sock_recv, (i, i, i, i, i, i), (A, B, C, D, E, F)) X(sock_send, (i, i, i, i, i), (A, B, C, D, E)) \
    X(sock_shutdown, (i, i), (A, B))
#define DECLARED(name, declared, given) WASI(name) i wasi_##name declared;
WASI_FUNCTIONS(DECLARED)

/* The two globals of the inbox: host_api/guest/c/hostel.h tells how C gets the second. */
__attribute__((used, visibility("default"), aligned(16))) uint8_t hostel_inbox[INBOX_BYTES];
__asm__(".section .rodata.hostel_inbox_size,\"\",@\n.globl hostel_inbox_size\n.type hostel_inbox_size,@object\n"
        "hostel_inbox_size:\n.int8 0\n.size hostel_inbox_size,1\n");

static uint32_t room, counted, msgid;
static int64_t last;
static volatile uint64_t spun;
static bool given;
static uint64_t returned;

static uint32_t grown(uint32_t pages) { return (uint32_t)__builtin_wasm_memory_grow(0, pages) * PAGE; }
static uint32_t memory_end(void) { return (uint32_t)__builtin_wasm_memory_size(0) * PAGE; }

static int64_t operand(hostel_reader *r) {
    int64_t value = 0;
    if (hostel_peek(*r) == HOSTEL_MAP) {
        hostel_reader map = *r;
        if (hostel_int_between(hostel_find(map, "room"), INT32_MIN, INT32_MAX, &value)) value += room;
        else if (hostel_int_between(hostel_find(map, "end"), INT32_MIN, INT32_MAX, &value)) value += memory_end();
        else if (hostel_int_between(hostel_find(map, "last"), INT32_MIN, INT32_MAX, &value)) value += last;
    } else (void)hostel_int_between(*r, INT64_MIN, INT64_MAX, &value);
    hostel_skip(r);
    return value;
}

static void copy(uint32_t to, hostel_text from) {
    for (uint32_t at = 0; at < from.size; at++) ((uint8_t *)(uintptr_t)to)[at] = from.at[at];
}

static int64_t lay(hostel_reader r) {
    uint32_t at = (uint32_t)operand(&r);
    if (hostel_peek(r) == HOSTEL_NONE) return -1;
    hostel_text value = {r.at, 0};
    hostel_skip(&r);
    value.size = (uint32_t)(r.at - value.at);
    copy(at, value);
    return value.size;
}

static int64_t lay_bytes(hostel_reader r) {
    uint32_t at = (uint32_t)operand(&r);
    hostel_text bytes = hostel_read_bytes(&r);
    copy(at, bytes);
    return bytes.size;
}

static void respond(hostel_reader r) {
    hostel_text head = hostel_read_bytes(&r);
    int64_t plus = operand(&r);
    hostel_text tail = hostel_read_bytes(&r);
    hostel_writer w = hostel_writer_over((void *)(uintptr_t)room, PAGE);
    hostel_put_copy_(&w, head.at, head.size);
    hostel_put_int(&w, (int64_t)msgid + plus);
    hostel_put_copy_(&w, tail.at, tail.size);
    given = true, returned = (uint64_t)room << 32 | (uint32_t)(w.at - w.start);
}

static bool imported(hostel_text name, hostel_reader r, int64_t *number) {
    int64_t o[OPERANDS];
    for (int n = 0; n < OPERANDS; n++) o[n] = operand(&r);
#define A ((i)o[0])
#define B o[1]
#define C o[2]
#define D o[3]
#define E o[4]
#define F o[5]
#define G o[6]
#define H o[7]
#define J o[8]
    if (hostel_is(name, "call")) *number = host_call(A, (i)B, (i)C, (i)D);
    else if (hostel_is(name, "post")) *number = host_post(A, (i)B);
    else if (hostel_is(name, "wait")) *number = host_wait(A, (i)B, (i)C);
    else if (hostel_is(name, "take")) *number = host_take(A, (i)B);
    else if (hostel_is(name, "proc_exit")) wasi_proc_exit(A);
#define TRIED(wasi, declared, given) else if (hostel_is(name, #wasi)) *number = wasi_##wasi given;
    WASI_FUNCTIONS(TRIED)
    else return false;
    return true;
}

static int64_t plain(hostel_text name, hostel_reader r) {
    if (hostel_is(name, "lay")) return lay(r);
    if (hostel_is(name, "bytes")) return lay_bytes(r);
    if (hostel_is(name, "pages")) return memory_end() / PAGE;
    if (hostel_is(name, "count")) return ++counted;
    if (hostel_is(name, "trap")) __builtin_trap();
    int64_t one = operand(&r);
    uint8_t *at = (uint8_t *)(uintptr_t)(uint32_t)one;
    if (hostel_is(name, "load")) return *at;
    if (hostel_is(name, "load32")) return at[0] | at[1] << 8 | at[2] << 16 | (int32_t)((uint32_t)at[3] << 24);
    if (hostel_is(name, "grow")) return (int32_t)__builtin_wasm_memory_grow(0, (size_t)one);
    int64_t two = operand(&r), three = operand(&r);
    if (hostel_is(name, "give")) given = true, returned = (uint64_t)one << 32 | (uint32_t)two;
    if (hostel_is(name, "fill")) for (int64_t n = 0; n < three; n++) at[n] = (uint8_t)two;
    if (hostel_is(name, "spin")) for (int64_t n = 0; one == 0 || n < one; n++) spun += (uint64_t)n;
    return 0;
}

/* One step; what it gave is written where there is a writer. */
static void step(hostel_writer *w, hostel_reader r) {
    (void)hostel_read_array(&r);
    hostel_text name = hostel_read_text(&r);
    if (hostel_is(name, "repeat")) {
        for (int64_t times = operand(&r); times > 1 && !given; times--) step(NULL, r);
        step(w, r);
        return;
    }
    if (hostel_is(name, "respond")) respond(r);
    else if (hostel_is(name, "show") || hostel_is(name, "value")) {
        hostel_text bytes = {(const uint8_t *)(uintptr_t)(uint32_t)operand(&r), 0};
        bytes.size = (uint32_t)operand(&r);
        hostel_reader value = hostel_reader_over(bytes.at, bytes.size);
        if (w == NULL) return;
        if (hostel_is(name, "show")) hostel_put_bytes(w, bytes);
        else if (hostel_is_whole(value)) hostel_put_value(w, value);
        else hostel_put_string(w, "malformed");
        return;
    } else if (!imported(name, r, &last)) last = plain(name, r);
    if (w != NULL) hostel_put_int(w, last);
}

__attribute__((export_name("hostel_alloc"))) uint32_t hostel_alloc(uint32_t size) {
    return grown((size + PAGE - 1) / PAGE);
}

__attribute__((export_name("hostel_handle"))) uint64_t hostel_handle(uint32_t at, uint32_t size) {
    hostel_reader r = hostel_reader_over((const void *)(uintptr_t)at, size);
    if (room == 0) room = grown(ROOM_PAGES);
    given = false, last = 0;
    (void)hostel_read_array(&r);
    bool notification = hostel_read_uint(&r) == 2;
    msgid = notification ? 0 : (uint32_t)hostel_read_uint(&r);
    hostel_skip(&r); /* the method */
    hostel_reader steps = hostel_find(r, "steps");
    uint32_t count = hostel_peek(steps) == HOSTEL_ARRAY ? hostel_read_array(&steps) : 0;
    uint32_t half = ROOM_PAGES / 2 * PAGE;
    hostel_writer w = hostel_writer_over((void *)(uintptr_t)(room + half), half);
    hostel_put_array(&w, 4), hostel_put_uint(&w, 1), hostel_put_uint(&w, msgid), hostel_put_nil(&w);
    hostel_put_array(&w, count);
    for (; count > 0 && !given; count--, hostel_skip(&steps)) step(&w, steps);
    if (given) return returned;
    return notification ? 0 : (uint64_t)(room + half) << 32 | (uint32_t)(w.at - w.start);
}
