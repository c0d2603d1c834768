/* The device's memory: an arena of addresses that are never used twice. Each allocation ends within 256
 * bytes of an inaccessible page; the whole arena is inaccessible while host code runs. */
#include "tests/cuda_emulator/checker.h"
#include "tests/cuda_emulator/internals.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LARGE_BYTES = 1 << 20, SELDOM = 16 };
enum { PAGE = 4096, ALIGNMENT = 256, POISON = 0xff, CANARY = 0xa5 };
static const size_t ARENA_BYTES = (size_t)1 << 36;

struct allocation {
    char *start;
    size_t bytes;  /* as asked for */
    char *pages;   /* what holds it */
    size_t mapped; /* bytes of pages */
    bool live, closed;
};

static struct {
    char *start, *next;      /* all addresses; the first that nobody had */
    struct allocation *list; /* ascending addresses */
    size_t n, capacity;
    size_t used; /* bytes of live allocations */
    int open;    /* how many device_open are not closed */
} arena;

static void *grown(void *list, size_t n, size_t *capacity, size_t size) {
    if (n < *capacity) return list;
    *capacity = *capacity ? 2 * *capacity : 64;
    list = realloc(list, *capacity * size);
    if (!list) abort();
    return list;
}

/* ---- faults: a touch of memory that is not there, or not now ---- */

static struct allocation *allocation_near(const char *address) {
    size_t low = 0, high = arena.n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (arena.list[middle].start <= address) low = middle + 1;
        else high = middle;
    }
    return low ? &arena.list[low - 1] : NULL;
}

static struct sigaction former[NSIG];

static void on_fault(int signal, siginfo_t *info, void *context) {
    const char *address = info->si_addr;
    char where[8];
    bool on_device = emu_describe_position(where, sizeof where);
    if (signal == SIGSEGV && device_owns(address)) {
        struct allocation *near = allocation_near(address);
        if (!on_device && !arena.open)
            emu_report("host-access", "host code touched device memory at %p",
                       (const void *)address);
        if (near && !near->live)
            emu_report("use-after-free", "%p is in an allocation of %zu bytes that was freed",
                       (const void *)address, near->bytes);
        emu_report("out-of-bounds", "%p is %td bytes into an allocation of %zu bytes",
                   (const void *)address, near ? address - near->start : 0, near ? near->bytes : 0);
    }
    if (on_device && signal == SIGILL) {
        char code[400];
        emu_describe_code(address, code, sizeof code);
        emu_report("undefined", "an array index beyond its bound or a misaligned address in %s",
                   code);
    }
    if (on_device)
        emu_report("fault", "a touch of %p: a null or misaligned address, or a stack overflow",
                   (const void *)address);
    /* Not about the device: as it would have been without us. */
    sigaction(signal, &former[signal], NULL);
    if (former[signal].sa_flags & SA_SIGINFO && former[signal].sa_sigaction)
        former[signal].sa_sigaction(signal, info, context);
    else raise(signal);
}

static void arena_begin(void) {
    if (arena.start) return;
    arena.start =
        mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena.start == MAP_FAILED)
        emu_report("setting", "no room for %zu bytes of addresses", ARENA_BYTES);
    arena.next = arena.start;
    static char handler_stack[64 << 10];
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, &former[SIGSEGV]);
    sigaction(SIGILL, &action, &former[SIGILL]);
    sigaction(SIGBUS, &action, &former[SIGBUS]);
    checker_begin(arena.start, ARENA_BYTES);
}

/* ---- allocations ---- */

static void allocation_protect(struct allocation *a, bool open) {
    if (mprotect(a->pages, a->mapped, open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        emu_report("setting", "cannot protect %zu bytes of device memory", a->mapped);
    a->closed = !open;
}

static size_t padded(size_t bytes) { return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1); }

static void allocation_check(const struct allocation *a) {
    for (size_t i = a->bytes; i < padded(a->bytes); i++)
        if ((unsigned char)a->start[i] != CANARY)
            emu_report("out-of-bounds", "something wrote %zu bytes into an allocation of %zu bytes",
                       i, a->bytes);
}

void *device_alloc(size_t bytes) {
    static uint64_t calls;
    arena_begin();
    if (++calls == emu_settings()->failing_alloc) return NULL;
    if (bytes > emu_settings()->memory_bytes - arena.used) return NULL;
    size_t mapped = (padded(bytes) + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (mapped + PAGE > (size_t)(arena.start + ARENA_BYTES - arena.next))
        emu_report("setting", "this process used up the emulated device's addresses");
    arena.list = grown(arena.list, arena.n, &arena.capacity, sizeof *arena.list);
    struct allocation *a = &arena.list[arena.n++];
    *a = (struct allocation){arena.next + mapped - padded(bytes), bytes, arena.next, mapped,
                             .live = true};
    arena.next += mapped + PAGE;
    arena.used += bytes;
    allocation_protect(a, true);
    memset(a->start, POISON, bytes);
    memset(a->start + bytes, CANARY, padded(bytes) - bytes);
    if (!arena.open) allocation_protect(a, false);
    return a->start;
}

bool device_free(void *address) {
    struct allocation *a = allocation_near(address);
    if (!a || !a->live || a->start != address) return false;
    allocation_protect(a, true);
    allocation_check(a);
    a->live = false;
    arena.used -= a->bytes;
    checker_freed(a->start, padded(a->bytes));
    madvise(a->pages, a->mapped, MADV_DONTNEED);
    allocation_protect(a, false);
    return true;
}

bool device_holds(const void *address, size_t bytes) {
    const char *from = address;
    const struct allocation *a = arena.start ? allocation_near(from) : NULL;
    return a && a->live && bytes <= a->bytes && (size_t)(from - a->start) <= a->bytes - bytes;
}

bool device_owns(const void *address) {
    const char *at = address;
    return arena.start && at >= arena.start && at < arena.start + ARENA_BYTES;
}

size_t device_bytes_free(void) { return emu_settings()->memory_bytes - arena.used; }

void device_open(void) {
    if (arena.open++ > 0) return;
    for (size_t i = 0; i < arena.n; i++)
        if (arena.list[i].live && arena.list[i].closed) allocation_protect(&arena.list[i], true);
}

/* Closing a large allocation costs time: that is done now and then only, at random. */
void device_close(void) {
    if (--arena.open > 0) return;
    for (size_t i = 0; i < arena.n; i++) {
        struct allocation *a = &arena.list[i];
        if (!a->live) continue;
        allocation_check(a);
        if (a->bytes < LARGE_BYTES || emu_random(SELDOM) == 0) allocation_protect(a, false);
    }
}

/* ---- page-locked host memory ---- */

struct pinned {
    char *start;
    size_t bytes;
};
static struct pinned *pins;
static size_t n_pins, pins_capacity;

void *pinned_alloc(size_t bytes) {
    char *start = malloc(bytes ? bytes : 1);
    if (!start) return NULL;
    memset(start, POISON, bytes);
    pins = grown(pins, n_pins, &pins_capacity, sizeof *pins);
    pins[n_pins++] = (struct pinned){start, bytes};
    return start;
}

bool pinned_free(void *address) {
    for (size_t i = 0; i < n_pins; i++) {
        if (pins[i].start != address) continue;
        free(address);
        pins[i] = pins[--n_pins];
        return true;
    }
    return false;
}

bool pinned_holds(const void *address, size_t bytes) {
    const char *from = address;
    for (size_t i = 0; i < n_pins; i++)
        if (from >= pins[i].start && bytes <= pins[i].bytes &&
            (size_t)(from - pins[i].start) <= pins[i].bytes - bytes)
            return true;
    return false;
}
