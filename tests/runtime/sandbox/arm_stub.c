/* The handler of a tick as arm64 runs it (runtime/sandbox/ticker.py): its instructions come from a file, the two
 * addresses behind them are this program's, and a timer of this thread strikes it. Says "ok" or what is wrong. One
 * argument more: the handler has a stack of its own, as while a fiber runs. Registers are not looked at: the kernel puts
 * all of them back, if the handler returns to where it was told to with the stack it was given. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { INSTRUCTIONS = 56, TICKS = 25, STACK = 1 << 16 };

static volatile uint64_t engine[2];
static volatile uintptr_t struck_on;
static uint64_t words[8];

static void increment(uint64_t *counter) {
    volatile char here;
    struck_on = (uintptr_t)&here;
    __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static void must(int good, const char *what) {
    if (!good) {
        puts(what);
        exit(1);
    }
}

static void install(const char *path) {
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FILE *code = fopen(path, "rb");
    must(code && fread(page, 1, INSTRUCTIONS, code) == INSTRUCTIONS, "no instructions");
    uint64_t addresses[2] = {(uint64_t)increment, (uint64_t)timer_settime};
    memcpy(page + INSTRUCTIONS, addresses, sizeof addresses);
    must(!mprotect(page, 4096, PROT_READ | PROT_EXEC), "mprotect");
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    action.sa_sigaction = (void (*)(int, siginfo_t *, void *))page;
    must(!sigaction(SIGRTMIN + 2, &action, NULL), "sigaction");
}

static int is_armed(timer_t timer) {
    struct itimerspec left;
    must(!timer_gettime(timer, &left), "timer_gettime");
    return left.it_value.tv_sec || left.it_value.tv_nsec;
}

int main(int count, char **arguments) {
    static char other[STACK];
    int has_stack = count > 2;
    stack_t stack = {.ss_sp = other, .ss_size = STACK};
    must(!has_stack || !sigaltstack(&stack, NULL), "sigaltstack");
    install(arguments[1]);

    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2};
    event.sigev_value.sival_ptr = words;
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    timer_t timer;
    must(!timer_create(CLOCK_MONOTONIC, &event, &timer), "timer_create");
    words[0] = (uint64_t)engine;
    words[2] = 1;
    words[3] = (uint64_t)timer;
    struct itimerspec on = {{0, 800000}, {0, 800000}};
    must(!timer_settime(timer, 0, &on, NULL), "timer_settime");

    while (engine[0] < TICKS)
        ;
    must((struck_on - (uintptr_t)other < STACK) == has_stack, "it ran on the other stack");
    must(engine[1] == 0 && is_armed(timer), "it counts elsewhere, or stopped");

    static volatile uint64_t rested;
    *(volatile uint64_t *)&words[1] = 1;
    while (*(volatile uint64_t *)&words[2])
        ;
    rested = engine[0];
    must(!is_armed(timer), "it does not disarm the timer");
    must(!words[4] && !words[5] && !words[6] && !words[7], "it wrote over how the timer stands still");
    must(engine[0] == rested && engine[0] >= TICKS, "it counts while it rests");
    puts("ok");
    return 0;
}
