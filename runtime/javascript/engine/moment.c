/* Time and randomness. The snapshot is taken once and serves every call, and a script is loaded once for many: whatever
 * depends on the moment is asked of the host while a message is handled, and at no other time.
 *
 * build_engine.py puts the three functions of quickjs_seams.h where quickjs.c would use seeds and a clock of its own.
 */
#include <sys/time.h>
#include <wasi/api.h>

#include "engine.h"
#include "quickjs_seams.h"

int64_t clock_ms(void) {
    __wasi_timestamp_t ns = 0;
    if (engine.phase != HANDLING || __wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1000000, &ns) != 0) return 0;
    return (int64_t)(ns / 1000000);
}

int hostel_gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    int64_t ms = clock_ms();
    now->tv_sec = ms / 1000;
    now->tv_usec = ms % 1000 * 1000;
    return 0;
}

bool random_bytes(void *into, size_t size) {
    return engine.phase == HANDLING && __wasi_random_get(into, size) == 0;
}

bool while_handling(JSContext *ctx, const char *what) {
    if (engine.phase == HANDLING) return true;
    JS_ThrowPlainError(ctx, "%s is not there yet while the script loads, only while a message is handled", what);
    return false;
}

static bool random_is_seeded;

/* Sees to it that Math.random starts anew in every sandbox. False: an exception is thrown. */
bool hostel_random_state(JSContext *ctx, uint64_t *state) {
    if (random_is_seeded) return true;
    if (!while_handling(ctx, "randomness")) return false;
    random_is_seeded = random_bytes(state, sizeof *state);
    *state |= 1; /* never 0, of which nothing else would come */
    return true;
}

/* What Map and Set mix into their hashes, so that nobody outside knows which keys collide. Maps of a script that is
 * still loading have no secret one; whatever comes then keeps it. */
uint32_t hostel_hash_seed(uint32_t *seed) {
    static bool is_seeded;
    if (!is_seeded && !random_bytes(seed, sizeof *seed)) *seed = 0x9e3779b9;
    is_seeded = true;
    return *seed;
}
