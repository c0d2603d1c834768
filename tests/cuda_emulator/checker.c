/* The access checker. Code in .cu files calls __tsan_read4 and its kin before every access, because it is
 * compiled with -fsanitize=thread; this is the runtime behind these calls, and has nothing to do with the
 * compiler's own.
 *
 * For every two bytes of device and shared memory a cell tells who touched them last. Two accesses of a
 * grid, of which one writes, race when nothing orders them: when they are of different blocks, or of the
 * same block with no barrier between them and no __syncwarp that both threads took part in. What the
 * schedule happened to be does not matter, so one run finds what a thousand may not show. */
#include "tests/cuda_emulator/checker.h"
#include "tests/cuda_emulator/internals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GRAIN = 2, WARP = 32, THREADS_MAX = 1024 };

/* Epochs count barriers, over all blocks: equal epochs mean the same block and no barrier between. */
enum { EPOCH_NEVER = 0, EPOCH_HOST = 1, EPOCH_FIRST = 2 };

struct stamp {
    uint32_t epoch;
    uint16_t thread;
    uint16_t clock : 15; /* the thread's number of __syncwarps when it did this */
    uint16_t atomic : 1;
};

struct cell {
    struct stamp write;
    struct stamp
        reads[2]; /* by different threads since the last barrier, of different warps if possible */
    uint32_t foreign_read; /* an epoch when a block read this that no longer shows in `reads` */
    uint32_t write_code;   /* where the writer's code is, from `code_base` on */
};

static struct {
    const char *arena; /* device memory, and its cells */
    size_t arena_bytes;
    struct cell *cells;
    const char
        *shared; /* shared memory, and its cells: what no epoch of this block wrote is undefined */
    size_t shared_bytes;
    struct cell *shared_cells;
    const char *raw;                 /* the part of it that is smem_raw */
    size_t raw_bytes, dynamic_bytes; /* ... and what this launch may use of it */
    uint32_t epoch, block_first, grid_first;
    unsigned thread;
    bool active, quiet;
    uint16_t clocks[THREADS_MAX];
    /* known[a][b % 32]: what thread b did before this clock is ordered before what a does now */
    uint16_t known[THREADS_MAX][WARP];
    bool clocks_moved;
} now = {.epoch = EPOCH_FIRST};

static const char code_base[1] = {0};

static struct cell *cells_map(size_t bytes) {
    struct cell *cells = mmap(NULL, bytes / GRAIN * sizeof *cells, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED) emu_report("setting", "no room for the checker's cells");
    return cells;
}

void checker_begin(const char *arena, size_t bytes) {
    now.arena = arena;
    now.arena_bytes = bytes;
    now.cells = cells_map(bytes);
}

static struct cell *arena_cell(const char *at) {
    return &now.cells[(size_t)(at - now.arena) / GRAIN];
}

void checker_freed(const char *start, size_t bytes) {
    memset((void *)arena_cell(start), 0, bytes / GRAIN * sizeof(struct cell));
}

void checker_written(const void *start, size_t bytes, const void *copied) {
    struct cell *cell = arena_cell(start);
    bool known = !copied || !device_owns(copied);
    for (size_t i = 0; i < (bytes + GRAIN - 1) / GRAIN; i++) {
        bool defined = known || arena_cell(copied)[i].write.epoch != EPOCH_NEVER;
        cell[i] = (struct cell){.write = {.epoch = defined ? EPOCH_HOST : EPOCH_NEVER}};
    }
}

/* ---- what orders accesses ---- */

void checker_grid(void) { now.grid_first = now.epoch + 1; }

static void clocks_reset(void) {
    if (!now.clocks_moved) return;
    memset(now.clocks, 0, sizeof now.clocks);
    memset(now.known, 0, sizeof now.known);
    now.clocks_moved = false;
}

void checker_block(const char *shared, size_t shared_bytes, const char *raw, size_t raw_bytes,
                   size_t dynamic_bytes) {
    if (shared != now.shared) {
        now.shared_cells = cells_map(shared_bytes);
        now.shared = shared;
        now.shared_bytes = shared_bytes;
    }
    now.raw = raw;
    now.raw_bytes = raw_bytes;
    now.dynamic_bytes = dynamic_bytes;
    now.block_first = ++now.epoch;
    clocks_reset();
}

void checker_thread(unsigned thread) {
    now.thread = thread;
    now.active = true;
}

void checker_barrier(void) {
    now.epoch++;
    clocks_reset();
}

void checker_warp(unsigned warp, unsigned mask) {
    unsigned first = warp * WARP;
    uint16_t most[WARP] = {0};
    now.clocks_moved = true;
    for (unsigned a = 0; a < WARP; a++) {
        if (!(mask >> a & 1)) continue;
        for (unsigned b = 0; b < WARP; b++)
            if (most[b] < now.known[first + a][b]) most[b] = now.known[first + a][b];
        if (++now.clocks[first + a] == 1 << 15)
            emu_report("setting", "more than 32767 __syncwarps between two barriers");
    }
    for (unsigned a = 0; a < WARP; a++)
        if (mask >> a & 1) most[a] = now.clocks[first + a];
    for (unsigned a = 0; a < WARP; a++)
        if (mask >> a & 1) memcpy(now.known[first + a], most, sizeof most);
}

void checker_quiet(bool on) { now.quiet = on; }
void checker_idle(void) { now.active = false; }

/* Is an earlier access of this grid unordered with what this thread does now? */
static bool unordered(struct stamp s) {
    if (s.epoch < now.grid_first) return false;
    if (s.epoch < now.block_first) return true;
    if (s.epoch < now.epoch || s.thread == now.thread) return false;
    bool same_warp = s.thread / WARP == now.thread / WARP;
    return !same_warp || s.clock >= now.known[now.thread][s.thread % WARP];
}

static bool in_arena(const char *at) { return (size_t)(at - now.arena) < now.arena_bytes; }
static bool in_shared(const char *at) { return (size_t)(at - now.shared) < now.shared_bytes; }
static bool in_raw(const char *at) { return (size_t)(at - now.raw) < now.raw_bytes; }

/* ---- reports ---- */

enum access { READ, WRITE };

static const char *const VERBS[] = {"read", "write"};

static const char *where_is(const char *at) {
    static char text[64];
    snprintf(text, sizeof text, "%s memory",
             in_raw(at)      ? "dynamic shared"
             : in_shared(at) ? "static shared"
             : in_arena(at)  ? "device"
                             : "host");
    return text;
}

_Noreturn static void report_race(enum access access, const char *at, const void *code,
                                  struct stamp other, enum access other_access,
                                  const struct cell *cell) {
    char here[400], there[400] = "";
    emu_describe_code(code, here, sizeof here);
    if (other_access == WRITE)
        emu_describe_code(code_base + (int32_t)cell->write_code, there, sizeof there);
    bool same_block = other.epoch >= now.block_first;
    emu_report("race", "%s of %s in %s is not ordered with a %s by thread %u of %s%s%s",
               VERBS[access], where_is(at), here, VERBS[other_access], other.thread,
               same_block ? "the same block" : "another block", *there ? " in " : "", there);
}

_Noreturn static void report_access(const char *kind, enum access access, const char *at,
                                    size_t bytes, const void *code, const char *what) {
    char here[400];
    emu_describe_code(code, here, sizeof here);
    emu_report(kind, "%s of %zu bytes of %s in %s: %s", VERBS[access], bytes, where_is(at), here,
               what);
}

/* ---- accesses ---- */

static void remember_read(struct cell *cell, struct stamp me) {
    struct stamp *a = &cell->reads[0], *b = &cell->reads[1];
    if (a->epoch != me.epoch) {
        if (a->epoch >= now.grid_first && a->epoch < now.block_first) cell->foreign_read = a->epoch;
        *a = me;
        *b = (struct stamp){0};
    } else if (a->thread == me.thread) {
        *a = me;
    } else if (b->epoch != me.epoch || b->thread == me.thread ||
               (a->thread / WARP == b->thread / WARP && a->thread / WARP != me.thread / WARP)) {
        *b = me;
    } else if (a->thread / WARP == me.thread / WARP) {
        *a = me;
    } else if (b->thread / WARP == me.thread / WARP) {
        *b = me;
    }
}

static void check_readers(const struct cell *cell, const char *at, const void *code, bool atomic) {
    for (int i = 0; i < 2; i++)
        if (unordered(cell->reads[i]) && !(atomic && cell->reads[i].atomic))
            report_race(WRITE, at, code, cell->reads[i], READ, cell);
    if (!atomic && cell->foreign_read >= now.grid_first && cell->foreign_read < now.block_first)
        report_race(WRITE, at, code, (struct stamp){.epoch = cell->foreign_read}, READ, cell);
}

static void access_cell(struct cell *cell, enum access access, bool atomic, const char *at,
                        size_t bytes, const void *code) {
    struct stamp me = {now.epoch, (uint16_t)now.thread, now.clocks[now.thread] & 0x7fff, atomic};
    bool shared = in_shared(at);
    if (shared && cell->write.epoch < now.block_first && cell->reads[0].epoch < now.block_first)
        *cell = (struct cell){0}; /* another block's */
    if (cell->write.epoch == EPOCH_NEVER) {
        if (!shared && !device_holds(at, 1))
            report_access("out-of-bounds", access, at, bytes, code, "nothing is allocated there");
        if (access == READ || atomic)
            report_access("uninitialised", access, at, bytes, code, "nobody wrote there before");
    }
    if (unordered(cell->write) && !(atomic && cell->write.atomic))
        report_race(access, at, code, cell->write, WRITE, cell);
    if (access == READ) {
        remember_read(cell, me);
        return;
    }
    check_readers(cell, at, code, atomic);
    cell->write = me;
    cell->write_code = (uint32_t)((const char *)code - code_base);
}

static void accessed(const void *address, size_t bytes, enum access access, bool atomic,
                     const void *code) {
    const char *from = address, *to = from + bytes;
    if (!now.active || now.quiet || bytes == 0) return;
    struct cell *cell;
    if (in_arena(from)) {
        cell = arena_cell(from);
    } else if (in_shared(from)) {
        cell = &now.shared_cells[(size_t)(from - now.shared) / GRAIN];
        if (in_raw(from) && to > now.raw + now.dynamic_bytes)
            report_access("out-of-bounds", access, from, bytes, code, "the launch asked for less");
    } else {
        if (!emu_private_memory(from))
            report_access("host-memory", access, from, bytes, code, "the address is the host's");
        return;
    }
    for (const char *at = from; at < to; at += GRAIN)
        access_cell(cell++, access, atomic, at, bytes, code);
}

void checker_read_range(const void *start, size_t bytes, const void *code) {
    accessed(start, bytes, READ, false, code);
}
void checker_write_range(const void *start, size_t bytes, const void *code) {
    accessed(start, bytes, WRITE, false, code);
}

/* ---- what the compiler calls ---- */

/* Inside the call, not behind it: so that its line is found. */
#define CODE ((const char *)__builtin_return_address(0) - 1)
#define PLAIN(bytes)                                                                               \
    void __tsan_read##bytes(void *at);                                                             \
    void __tsan_read##bytes(void *at) { accessed(at, bytes, READ, false, CODE); }                  \
    void __tsan_write##bytes(void *at);                                                            \
    void __tsan_write##bytes(void *at) { accessed(at, bytes, WRITE, false, CODE); }                \
    void __tsan_unaligned_read##bytes(void *at);                                                   \
    void __tsan_unaligned_read##bytes(void *at) { accessed(at, bytes, READ, false, CODE); }        \
    void __tsan_unaligned_write##bytes(void *at);                                                  \
    void __tsan_unaligned_write##bytes(void *at) { accessed(at, bytes, WRITE, false, CODE); }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

#define ATOMIC(bits, type)                                                                         \
    FETCH(bits, type, fetch_add)                                                                   \
    FETCH(bits, type, fetch_sub)                                                                   \
    FETCH(bits, type, fetch_and)                                                                   \
    FETCH(bits, type, fetch_or)                                                                    \
    FETCH(bits, type, fetch_xor)                                                                   \
    type __tsan_atomic##bits##_exchange(type *at, type v, int order);                              \
    type __tsan_atomic##bits##_exchange(type *at, type v, int order) {                             \
        (void)order;                                                                               \
        accessed(at, sizeof *at, WRITE, true, CODE);                                               \
        return __atomic_exchange_n(at, v, __ATOMIC_RELAXED);                                       \
    }                                                                                              \
    type __tsan_atomic##bits##_load(const type *at, int order);                                    \
    type __tsan_atomic##bits##_load(const type *at, int order) {                                   \
        (void)order;                                                                               \
        accessed(at, sizeof *at, READ, true, CODE);                                                \
        return __atomic_load_n(at, __ATOMIC_RELAXED);                                              \
    }                                                                                              \
    void __tsan_atomic##bits##_store(type *at, type v, int order);                                 \
    void __tsan_atomic##bits##_store(type *at, type v, int order) {                                \
        (void)order;                                                                               \
        accessed(at, sizeof *at, WRITE, true, CODE);                                               \
        __atomic_store_n(at, v, __ATOMIC_RELAXED);                                                 \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(type *at, type *expected, type v, int order, \
                                                      int failing);                                \
    int __tsan_atomic##bits##_compare_exchange_strong(type *at, type *expected, type v, int order, \
                                                      int failing) {                               \
        (void)order, (void)failing;                                                                \
        accessed(at, sizeof *at, WRITE, true, CODE);                                               \
        return __atomic_compare_exchange_n(at, expected, v, false, __ATOMIC_RELAXED,               \
                                           __ATOMIC_RELAXED);                                      \
    }
#define FETCH(bits, type, name)                                                                    \
    type __tsan_atomic##bits##_##name(type *at, type v, int order);                                \
    type __tsan_atomic##bits##_##name(type *at, type v, int order) {                               \
        (void)order;                                                                               \
        accessed(at, sizeof *at, WRITE, true, CODE);                                               \
        return __atomic_##name(at, v, __ATOMIC_RELAXED);                                           \
    }
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_read_range(void *at, size_t bytes);
void __tsan_read_range(void *at, size_t bytes) { accessed(at, bytes, READ, false, CODE); }
void __tsan_write_range(void *at, size_t bytes);
void __tsan_write_range(void *at, size_t bytes) { accessed(at, bytes, WRITE, false, CODE); }
