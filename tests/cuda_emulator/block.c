/* Runs a grid: its blocks one after another in a random order, the threads of a block as fibers.
 *
 * A thread runs until it waits for others (a barrier, a warp collective) or returns; then a random one
 * of those that can go on does. Threads that never wait need no fiber of their own: a worker fiber runs
 * one such thread after another. */
#include "tests/cuda_emulator/checker.h"
#include "tests/cuda_emulator/internals.h"
#include "tests/cuda_emulator/fiber.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

enum { THREADS_MAX = 1024, WARPS_MAX = 32, WORDS = THREADS_MAX / 64, POISON = 0xff };
enum { DYNAMIC_MAX = 232448, DYNAMIC_SLACK = 64 };

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

/* What kernels declare as `extern __shared__`. In all but the sanitizer's build it lies in the thread-local
 * segment with everything else that is shared, and what follows the part in use is watched. */
#ifdef __SANITIZE_ADDRESS__
_Alignas(128) unsigned char smem_raw[DYNAMIC_MAX + DYNAMIC_SLACK];
#else
_Alignas(128) _Thread_local unsigned char smem_raw[DYNAMIC_MAX + DYNAMIC_SLACK];
#endif

struct async_copy {
    struct async_copy *next;
    void *shared;
    const void *global;
    size_t bytes, zeros;
    unsigned group;
    const void *code; /* who asked */
};

enum state { FRESH, RUNNABLE, AT_BARRIER, AT_COLLECTIVE, RETURNED };

struct thread {
    enum state state;
    struct fiber *fiber; /* NULL while FRESH */
    uint3 index;
    const char *site; /* where it waits */
    const char *kind; /* and for what */
    struct async_copy *copies;
    unsigned groups; /* of copies, committed so far */
};

/* Lanes of a warp that wait for one another. */
struct meeting {
    unsigned mask, arrived; /* mask 0: nobody waits */
    const char *kind, *site;
    void *lanes[32];
};

static struct {
    const struct emu_call *call;
    struct fiber home;
    struct fiber *current;
    struct fiber *idle[THREADS_MAX + 1]; /* workers without a thread */
    int n_idle;
    struct thread threads[THREADS_MAX];
    struct meeting meetings[WARPS_MAX][4];
    uint64_t runnable[WORDS];             /* FRESH and RUNNABLE threads */
    int n, words, n_runnable, n_returned; /* words: of runnable, that n threads need */
    struct thread *running;               /* NULL: no kernel runs */
    unsigned alive[WARPS_MAX];            /* lanes that have not returned */
    const struct thread *first_at_barrier;
    int at_barrier;
    unsigned votes, votes_of_last;
    size_t shared_bytes;
    enum emu_order order;
    uint32_t chance;
    cudaError_t lost;
} grid;

/* ---- where things are ---- */

static int index_of(const struct thread *t) { return (int)(t - grid.threads); }

bool emu_describe_position(char *out, size_t bytes) {
    const struct thread *t = grid.running;
    if (!t) return false;
    char kernel[256];
    emu_describe_code(grid.call->kernel, kernel, sizeof kernel);
    snprintf(out, bytes, "kernel %s, block (%u,%u,%u), thread (%u,%u,%u)", kernel, blockIdx.x,
             blockIdx.y, blockIdx.z, t->index.x, t->index.y, t->index.z);
    return true;
}

/* The object that the emulator is linked into, kernels included. */
static int find_module(struct dl_phdr_info *info, size_t size, void *range) {
    (void)size;
    uintptr_t self = (uintptr_t)&grid, low = UINTPTR_MAX, high = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
        if (part->p_type != PT_LOAD) continue;
        if (start < low) low = start;
        if (end > high) high = end;
    }
    if (self < low || self >= high) return 0;
    memcpy(range, (uintptr_t[2]){low, high}, 2 * sizeof low);
    return 1;
}

bool emu_private_memory(const void *address) {
    static uintptr_t module[2];
    const char *at = address;
    const struct fiber *fiber = grid.current;
    if (at >= fiber->stack && at < fiber->stack + fiber->stack_bytes) return true;
    if (at >= (const char *)grid.call && at < (const char *)grid.call + grid.call->bytes)
        return true;
    if (!module[1]) dl_iterate_phdr(find_module, module);
    return (uintptr_t)at >= module[0] && (uintptr_t)at < module[1];
}

static struct thread *running(const char *what, const char *site) {
    if (!grid.running) emu_report("host-access", "host code calls %s at %s", what, site);
    return grid.running;
}

/* Lists up to `most` threads that wait, with what and where. */
static void describe_waiting(char *out, size_t bytes, int most) {
    out[0] = 0;
    for (int i = 0; i < grid.n && most > 0; i++) {
        const struct thread *t = &grid.threads[i];
        if (t->state != AT_BARRIER && t->state != AT_COLLECTIVE) continue;
        if (i > 0 && t->site == t[-1].site && t->state == t[-1].state) continue; /* one of a row */
        size_t used = strlen(out);
        snprintf(out + used, bytes - used, "%sthread (%u,%u,%u) in %s at %s", used ? "; " : "",
                 t->index.x, t->index.y, t->index.z, t->kind, t->site);
        most--;
    }
}

_Noreturn static void report_stuck(void) {
    char waiting[1024];
    describe_waiting(waiting, sizeof waiting, 6);
    emu_report(grid.at_barrier ? "divergent-barrier" : "divergent-collective",
               "nobody can go on: %d of %d threads have returned; %s", grid.n_returned, grid.n,
               waiting);
}

/* ---- who runs next ---- */

static void make_runnable(struct thread *t) {
    int i = index_of(t);
    if (t->state != FRESH) t->state = RUNNABLE;
    grid.runnable[i / 64] |= (uint64_t)1 << i % 64;
    grid.n_runnable++;
}

static int first_from(int start) {
    int word = start / 64;
    uint64_t bits = grid.runnable[word] & ~(uint64_t)0 << start % 64;
    while (!bits) {
        word = word + 1 < grid.words ? word + 1 : 0;
        bits = grid.runnable[word];
    }
    return word * 64 + __builtin_ctzll(bits);
}

static int last_runnable(void) {
    int word = grid.words - 1;
    while (!grid.runnable[word]) word--;
    return word * 64 + 63 - __builtin_clzll(grid.runnable[word]);
}

/* Chance for every switch, so a cheap one: xorshift (Marsaglia, 2003), begun anew for each grid. */
static int random_thread(void) {
    grid.chance ^= grid.chance << 13;
    grid.chance ^= grid.chance >> 17;
    grid.chance ^= grid.chance << 5;
    return (int)((uint64_t)grid.chance * (unsigned)grid.n >> 32);
}

/* Takes the next thread to run; NULL when none can. */
static struct thread *choose(void) {
    if (grid.n_runnable == 0) return NULL;
    int i = grid.order == ORDER_RANDOM    ? first_from(random_thread())
            : grid.order == ORDER_FORWARD ? first_from(0)
                                          : last_runnable();
    grid.runnable[i / 64] &= ~((uint64_t)1 << i % 64);
    grid.n_runnable--;
    return &grid.threads[i];
}

static void take_place(struct thread *t) {
    grid.running = t;
    threadIdx = t->index;
    checker_thread((unsigned)index_of(t));
}

static void worker_body(void);

static struct fiber *idle_worker(void) {
    if (grid.n_idle > 0) return grid.idle[--grid.n_idle];
    struct fiber *made = malloc(sizeof *made);
    if (!made) abort();
    fiber_make(made, worker_body);
    return made;
}

static void switch_to(struct fiber *to) {
    struct fiber *from = grid.current;
    grid.current = to;
    fiber_switch(from, to);
}

static void go_on_with(struct thread *t) {
    take_place(t);
    switch_to(t->fiber ? t->fiber : idle_worker());
}

static void forget_copies(struct thread *t) {
    while (t->copies) {
        struct async_copy *next = t->copies->next;
        free(t->copies);
        t->copies = next;
    }
}

/* Runs fresh threads until the next one to run has a fiber; then waits to be given a fresh one. */
static void worker_body(void) {
    for (;;) {
        struct thread *self = grid.running;
        self->state = RUNNABLE;
        self->fiber = grid.current;
        grid.call->run(grid.call);
        self = grid.running;
        self->state = RETURNED;
        grid.alive[index_of(self) / 32] &= ~(1u << index_of(self) % 32);
        grid.n_returned++;
        if (self->copies) forget_copies(self);
        struct thread *next = choose();
        if (next && !next->fiber) {
            take_place(next);
            continue;
        }
        if (!next && grid.n_returned < grid.n) report_stuck();
        grid.idle[grid.n_idle++] = grid.current;
        if (next) {
            go_on_with(next);
        } else {
            grid.running = NULL;
            switch_to(&grid.home);
        }
    }
}

/* The running thread waits, or just lets others run if it is runnable. */
static void give_way(void) {
    struct thread *self = grid.running, *next = choose();
    if (!next) report_stuck();
    if (next != self) {
        go_on_with(next);
    } else {
        take_place(self);
    }
}

void emu_trap(const char *site) {
    running("__trap", site);
    grid.lost = cudaErrorLaunchFailure;
    grid.running = NULL;
    switch_to(&grid.home);
    abort();
}

/* ---- barriers ---- */

unsigned emu_barrier(const char *site, bool predicate) {
    struct thread *self = running("__syncthreads", site);
    const struct thread *first = grid.first_at_barrier;
    if (grid.at_barrier == 0) grid.first_at_barrier = self;
    else if (first->site != site && strcmp(first->site, site) != 0)
        emu_report("divergent-barrier", "this thread is at %s, thread (%u,%u,%u) at %s", site,
                   first->index.x, first->index.y, first->index.z, first->site);
    self->state = AT_BARRIER;
    self->site = site;
    self->kind = "__syncthreads";
    grid.votes += predicate;
    if (++grid.at_barrier == grid.n) {
        grid.at_barrier = 0;
        grid.votes_of_last = grid.votes;
        grid.votes = 0;
        for (int i = 0; i < grid.n; i++) make_runnable(&grid.threads[i]);
        checker_barrier();
    }
    give_way();
    return grid.votes_of_last;
}

/* ---- warp collectives ---- */

unsigned emu_lane(void) { return (unsigned)index_of(grid.running) % 32; }

unsigned emu_active_mask(void) { return grid.alive[index_of(grid.running) / 32]; }

/* The meeting of exactly these lanes, or a new one; overlapping others are an error. */
static struct meeting *meeting_for(int warp, unsigned mask, const char *kind, const char *site) {
    struct meeting *free_one = NULL;
    for (int i = 0; i < 4; i++) {
        struct meeting *m = &grid.meetings[warp][i];
        if (!m->mask) {
            free_one = m;
        } else if (m->mask & mask) {
            if (m->mask != mask || (m->kind != kind && strcmp(m->kind, kind) != 0) ||
                (m->site != site && strcmp(m->site, site) != 0))
                emu_report(
                    "divergent-collective",
                    "%s at %s with mask %08x, while other lanes are in %s at %s with mask %08x",
                    kind, site, mask, m->kind, m->site, m->mask);
            return m;
        }
    }
    if (!free_one)
        emu_report("divergent-collective", "%s at %s: more than 4 masks of a warp", kind, site);
    *free_one = (struct meeting){.mask = mask, .kind = kind, .site = site};
    return free_one;
}

void emu_collective(const char *kind, const char *site, unsigned mask, void *lane,
                    emu_collective_work *work) {
    struct thread *self = running(kind, site);
    int warp = index_of(self) / 32;
    unsigned me = 1u << index_of(self) % 32, gone = mask & ~grid.alive[warp];
    if (!(mask & me))
        emu_report("divergent-collective", "%s at %s: the mask %08x lacks the caller's lane", kind,
                   site, mask);
    if (gone)
        emu_report("divergent-collective",
                   "%s at %s: lanes %08x of the mask %08x have returned or never existed", kind,
                   site, gone, mask);
    struct meeting *m = meeting_for(warp, mask, kind, site);
    m->arrived |= me;
    m->lanes[index_of(self) % 32] = lane;
    self->state = AT_COLLECTIVE;
    self->site = site;
    self->kind = kind;
    if (m->arrived == mask) {
        m->mask = 0;
        checker_quiet(true);
        if (work) work(m->lanes, mask);
        checker_quiet(false);
        for (int i = 0; i < 32; i++)
            if (mask >> i & 1) make_runnable(&grid.threads[warp * 32 + i]);
        if (!work) checker_warp((unsigned)warp, mask);
    }
    give_way();
}

/* ---- asynchronous copies ---- */

static void copy_now(const struct async_copy *c) {
    checker_write_range(c->shared, c->bytes, c->code);
    checker_quiet(true);
    memcpy(c->shared, c->global, c->bytes - c->zeros);
    memset((char *)c->shared + c->bytes - c->zeros, 0, c->zeros);
    checker_quiet(false);
}

/* At random the data arrive at once, which shows a stage that is overwritten too early, or as late as they
 * may, which shows a missing wait. */
void emu_async_copy(void *shared, const void *global, size_t bytes, size_t zero_fill) {
    struct thread *self = running("cp.async", "");
    if ((bytes != 4 && bytes != 8 && bytes != 16) || zero_fill > bytes)
        emu_report("undefined", "cp.async of %zu bytes with %zu zeros", bytes, zero_fill);
    if (((uintptr_t)shared | (uintptr_t)global) % bytes)
        emu_report("undefined", "cp.async of %zu bytes with a misaligned address", bytes);
    struct async_copy copy = {
        self->copies, shared, global, bytes, zero_fill, self->groups, __builtin_return_address(0)};
    checker_read_range(global, bytes - zero_fill, copy.code);
    checker_write_range(shared, bytes, copy.code);
    if (emu_random(2)) {
        copy_now(&copy);
        return;
    }
    struct async_copy *kept = malloc(sizeof *kept);
    if (!kept) abort();
    *kept = copy;
    self->copies = kept;
}

void emu_async_commit(void) { running("cp.async.commit_group", "")->groups++; }

void emu_async_wait(unsigned groups_left) {
    struct thread *self = running("cp.async.wait_group", "");
    unsigned done = self->groups > groups_left ? self->groups - groups_left : 0;
    for (struct async_copy **at = &self->copies; *at;) {
        struct async_copy *c = *at;
        if (c->group >= done) {
            at = &c->next;
            continue;
        }
        copy_now(c);
        *at = c->next;
        free(c);
    }
}

/* ---- shared memory ---- */

#ifndef __SANITIZE_ADDRESS__
/* The thread-local segment that holds smem_raw, and with it all of this library's shared memory. */
struct segment {
    char *start;
    size_t bytes;
};

static int find_segment(struct dl_phdr_info *info, size_t size, void *found) {
    (void)size;
    char *start = info->dlpi_tls_data;
    for (int i = 0; start && i < info->dlpi_phnum; i++) {
        size_t bytes = info->dlpi_phdr[i].p_memsz;
        char *inside = (char *)smem_raw;
        if (info->dlpi_phdr[i].p_type != PT_TLS || inside < start || inside >= start + bytes)
            continue;
        *(struct segment *)found = (struct segment){start, bytes};
        return 1;
    }
    return 0;
}
#endif

static void shared_begin(void) {
#ifdef __SANITIZE_ADDRESS__
    memset(smem_raw, POISON, grid.shared_bytes);
    __asan_poison_memory_region(smem_raw + grid.shared_bytes, sizeof smem_raw - grid.shared_bytes);
#else
    static struct segment segment;
    static unsigned char *found_by; /* each thread has a segment of its own */
    if (found_by != smem_raw) {
        found_by = smem_raw;
        smem_raw[0] = POISON; /* makes the segment exist */
        if (!dl_iterate_phdr(find_segment, &segment))
            emu_report("setting", "no shared memory segment");
    }
    char *dynamic = (char *)smem_raw, *after = dynamic + sizeof smem_raw;
    memset(segment.start, POISON, (size_t)(dynamic - segment.start));
    memset(after, POISON, (size_t)(segment.start + segment.bytes - after));
    memset(dynamic, POISON, grid.shared_bytes + DYNAMIC_SLACK);
    checker_block(segment.start, segment.bytes, dynamic, sizeof smem_raw, grid.shared_bytes);
#endif
}

static void shared_end(void) {
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(smem_raw, sizeof smem_raw);
#else
    for (size_t i = grid.shared_bytes; i < grid.shared_bytes + DYNAMIC_SLACK; i++) {
        if (smem_raw[i] == POISON) continue;
        char kernel[256];
        emu_describe_code(grid.call->kernel, kernel, sizeof kernel);
        emu_report("out-of-bounds", "kernel %s wrote %zu bytes into %zu bytes of dynamic memory",
                   kernel, i, grid.shared_bytes);
    }
#endif
}

/* ---- blocks ---- */

static void block_begin(void) {
    memset(grid.meetings, 0, sizeof grid.meetings);
    memset(grid.alive, 0, sizeof grid.alive);
    grid.n_runnable = grid.n_returned = grid.at_barrier = 0;
    grid.votes = 0;
    for (int i = 0; i < grid.n; i++) {
        unsigned x = (unsigned)i % blockDim.x, rest = (unsigned)i / blockDim.x;
        grid.threads[i] = (struct thread){.index = {x, rest % blockDim.y, rest / blockDim.y}};
        grid.alive[i / 32] |= 1u << i % 32;
        make_runnable(&grid.threads[i]);
    }
    shared_begin();
}

static void run_block(void) {
    block_begin();
    struct thread *first = choose();
    grid.current = &grid.home;
    go_on_with(first);
    if (grid.lost == cudaSuccess) shared_end();
}

static uint64_t *block_order(uint64_t n) {
    uint64_t *order = malloc(n * sizeof *order);
    if (!order) abort();
    for (uint64_t i = 0; i < n; i++) order[i] = grid.order == ORDER_BACKWARD ? n - 1 - i : i;
    for (uint64_t i = n; i > 1 && grid.order == ORDER_RANDOM; i--) {
        uint64_t j = emu_random((uint32_t)i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
    return order;
}

cudaError_t emu_run_grid(const struct emu_call *call, dim3 size, dim3 block, size_t shared_bytes) {
    grid.call = call;
    grid.n = (int)(block.x * block.y * block.z);
    grid.words = (grid.n + 63) / 64;
    grid.shared_bytes = shared_bytes;
    grid.lost = cudaSuccess;
    grid.order = emu_settings()->order;
    grid.chance = 1 + emu_random(UINT32_MAX);
    gridDim = size;
    blockDim = block;
    fiber_adopt(&grid.home);
    checker_grid();
    uint64_t n = (uint64_t)size.x * size.y * size.z, *order = block_order(n);
    for (uint64_t i = 0; i < n && grid.lost == cudaSuccess; i++) {
        uint64_t rest = order[i] / size.x;
        blockIdx = (uint3){(unsigned)(order[i] % size.x), (unsigned)(rest % size.y),
                           (unsigned)(rest / size.y)};
        run_block();
    }
    checker_idle();
    free(order);
    return grid.lost;
}
