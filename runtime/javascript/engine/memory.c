/* malloc for memory of which every page counts.
 *
 * A sandbox begins with a copy of the snapshot, page by page as they are written to, and often lives for one message. So
 * blocks are as large as they were asked for (QuickJS asks for 4 KiB and packs small things into them itself), lie close
 * together, and what was freed is used again first. Blocks know the size of the block before them, so that free ones
 * grow together at once; free ones hang in lists by their size, each list up to twice the size of the one before.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define ALIGN 8u
#define PAGE 65536u
#define LISTS 28
#define GROW_SHARE 8 /* memory grows by this share of what there is at the least, while there is as much to be had */
#define LARGEST 0x40000000u
#define CLEAN_BYTES 1024 /* so many zeros below the stack, and nothing lies below them */

typedef struct Block {
    uint32_t size;   /* with this head; a multiple of ALIGN, and 1 more while it is in use */
    uint32_t before; /* size of the block before; 0: this is the first */
    struct Block *next, *last; /* of its list, while it is free; `last`: the one in front of it */
} Block;

#define HEAD offsetof(Block, next)
#define LEAST ((uint32_t)sizeof(Block))

extern uint8_t __heap_base;

static struct {
    Block *end;      /* where the next new block goes: all above is free and belongs to no block */
    uint32_t before; /* size of the block below it */
    uint32_t limit;  /* end of the memory; 0: nothing was asked for yet */
    uint32_t filled; /* bit n: lists[n] is not empty */
    Block *lists[LISTS];
    uintptr_t highest; /* where `end` ever was, but for what is clean again */
    bool ran_out;
} heap;

static uint32_t size_of(const Block *block) { return block->size & ~1u; }
static bool in_use(const Block *block) { return block->size & 1; }
static Block *at(const void *base, ptrdiff_t offset) { return (Block *)((uintptr_t)base + (uintptr_t)offset); }
static int list_of(uint32_t size) { return 27 - __builtin_clz(size); } /* LEAST is 16: list 0 */

static void hang(Block *block) {
    int list = list_of(block->size);
    block->last = NULL;
    block->next = heap.lists[list];
    if (block->next != NULL) block->next->last = block;
    heap.lists[list] = block;
    heap.filled |= 1u << list;
}

static void unhang(Block *block) {
    int list = list_of(block->size);
    if (block->next != NULL) block->next->last = block->last;
    if (block->last != NULL) block->last->next = block->next;
    else if ((heap.lists[list] = block->next) == NULL) heap.filled &= ~(1u << list);
}

/* Tells the block behind it how large this one is. */
static void told(Block *block) {
    Block *behind = at(block, size_of(block));
    if (behind == heap.end) heap.before = size_of(block);
    else behind->before = size_of(block);
}

static bool grow(uint32_t wanted) {
    if (heap.limit == 0) {
        heap.end = (Block *)(((uintptr_t)&__heap_base + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
        heap.limit = (uint32_t)__builtin_wasm_memory_size(0) * PAGE;
    }
    uint32_t room = heap.limit - (uint32_t)(uintptr_t)heap.end;
    if (wanted <= room) return true;
    uint32_t pages = (wanted - room + PAGE - 1) / PAGE, more = heap.limit / PAGE / GROW_SHARE;
    if (more <= pages || __builtin_wasm_memory_grow(0, more) == SIZE_MAX) {
        more = pages;
        if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) return heap.ran_out = true, false;
    }
    heap.limit += more * PAGE;
    return true;
}

/* Gives what a block has over `size` back, if it is enough for a block. */
static void trim(Block *block, uint32_t size) {
    uint32_t left = size_of(block) - size;
    if (left < LEAST) return;
    block->size = size | 1;
    Block *rest = at(block, size);
    rest->size = left | 1;
    rest->before = size;
    told(rest);
    free(at(rest, HEAD));
}

static Block *from_lists(uint32_t size) {
    int list = list_of(size);
    uint32_t larger = list + 1 < LISTS ? heap.filled >> (list + 1) << (list + 1) : 0;
    Block *block = heap.lists[list];
    while (block != NULL && block->size < size) block = block->next;
    if (block == NULL && larger != 0) block = heap.lists[__builtin_ctz(larger)];
    if (block == NULL) return NULL;
    unhang(block);
    block->size |= 1;
    trim(block, size);
    return block;
}

static uint32_t rounded(size_t size) {
    uint32_t whole = ((uint32_t)size + HEAD + ALIGN - 1) & ~(ALIGN - 1);
    return whole < LEAST ? LEAST : whole;
}

void *malloc(size_t size) {
    if (size > LARGEST) return errno = ENOMEM, NULL;
    uint32_t whole = rounded(size);
    Block *block = from_lists(whole);
    if (block == NULL) {
        if (!grow(whole)) return errno = ENOMEM, NULL;
        block = heap.end;
        block->size = whole | 1;
        block->before = heap.before;
        heap.end = at(block, whole);
        heap.before = whole;
    }
    return at(block, HEAD);
}

void free(void *pointer) {
    if (pointer == NULL) return;
    Block *block = at(pointer, -(ptrdiff_t)HEAD);
    block->size &= ~1u;
    Block *behind = at(block, block->size);
    if (behind != heap.end && !in_use(behind)) {
        unhang(behind);
        block->size += behind->size;
    }
    Block *before = at(block, -(ptrdiff_t)block->before);
    if (block->before != 0 && !in_use(before)) {
        unhang(before);
        before->size += block->size;
        block = before;
    }
    if (at(block, block->size) == heap.end) {
        if ((uintptr_t)heap.end > heap.highest) heap.highest = (uintptr_t)heap.end;
        heap.end = block;
        heap.before = block->before;
        return;
    }
    told(block);
    hang(block);
}

void *calloc(size_t count, size_t size) {
    if (size != 0 && count > LARGEST / size) return errno = ENOMEM, NULL;
    void *pointer = malloc(count * size);
    return pointer == NULL ? NULL : memset(pointer, 0, count * size);
}

/* Makes a block larger where it lies, if what is behind it is free. */
static bool stretch(Block *block, uint32_t whole) {
    Block *behind = at(block, size_of(block));
    if (behind == heap.end) {
        if (!grow(whole - size_of(block))) return false;
        block->size = whole | 1;
        heap.end = at(block, whole);
        heap.before = whole;
        return true;
    }
    if (in_use(behind) || size_of(block) + behind->size < whole) return false;
    unhang(behind);
    block->size += behind->size;
    told(block);
    trim(block, whole);
    return true;
}

void *realloc(void *pointer, size_t size) {
    if (pointer == NULL) return malloc(size);
    if (size > LARGEST) return errno = ENOMEM, NULL;
    Block *block = at(pointer, -(ptrdiff_t)HEAD);
    uint32_t whole = rounded(size), had = size_of(block);
    if (whole <= had) return trim(block, whole), pointer;
    if (stretch(block, whole)) return pointer;
    void *moved = malloc(size);
    if (moved == NULL) return NULL;
    memcpy(moved, pointer, had - HEAD);
    free(pointer);
    return moved;
}

/* Zeroes what is free, and what was used of the stack below the caller's frame: a copy of the memory is the smaller for
 * it. */
void memory_clean(void) {
    for (int list = 0; list < LISTS; list++)
        for (Block *block = heap.lists[list]; block != NULL; block = block->next)
            memset(block + 1, 0, block->size - sizeof *block);
    if (heap.highest > (uintptr_t)heap.end) memset(heap.end, 0, heap.highest - (uintptr_t)heap.end);
    heap.highest = (uintptr_t)heap.end;
    static const uint8_t unused[CLEAN_BYTES];
    uint8_t *at = (uint8_t *)(((uintptr_t)__builtin_frame_address(0) - CLEAN_BYTES) & ~(uintptr_t)(CLEAN_BYTES - 1));
    for (; at != NULL && memcmp(at, unused, CLEAN_BYTES) != 0; at -= CLEAN_BYTES) memset(at, 0, CLEAN_BYTES);
}

/* Forgets what is free between blocks: from here on new blocks lie above all that there are, next to each other. */
void memory_seal(void) {
    for (int list = 0; list < LISTS; list++)
        for (Block *block = heap.lists[list]; block != NULL; block = block->next) block->size |= 1;
    memset(heap.lists, 0, sizeof heap.lists);
    heap.filled = 0;
}

/* Whether there ever was no memory to be had. */
bool memory_ran_out(void) { return heap.ran_out; }

size_t malloc_usable_size(void *pointer) { return pointer == NULL ? 0 : size_of(at(pointer, -(ptrdiff_t)HEAD)) - HEAD; }
