/* What build_engine.py puts into quickjs.c: included before it (-include). The functions are defined in moment.c. */
#ifndef HOSTEL_QUICKJS_SEAMS_H
#define HOSTEL_QUICKJS_SEAMS_H

#include <stdbool.h>
#include <stdint.h>

struct JSContext;
struct timeval;
bool hostel_random_state(struct JSContext *ctx, uint64_t *state);
uint32_t hostel_hash_seed(uint32_t *seed);
int hostel_gettimeofday(struct timeval *now, void *zone);

/* Takes so many bytes of the stack in the linear memory, for as long as the function runs. */
#define HOSTEL_FRAME(size)              \
    unsigned char frame[size];          \
    __asm__ volatile("" : : "r"(frame) : "memory")

#endif
