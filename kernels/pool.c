#include "kernels/pool.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKS =
        1000, /* for work or for the end, tens of microseconds, that nobody else can interrupt */
    LINE = 64,
    STACK_BYTES = 8 << 20, /* whatever the shell's limit is: products keep copies on the stack */
};

/* How long a thread goes on looking, and how long an offer of its processor may take until it counts as
 * accepted. */
static const double PATIENCE_S = 2e-3, ACCEPTED_S = 3e-5;

typedef void piece_function(const void *task, int piece);

/* A thread's share of a job, as the caller posts it: all in one line of memory, for a line that another core
 * has written takes as long to come as a hundred instructions. `job` is written last. Pieces are claimed by
 * counting on over all jobs: who still has the limit of a job that has ended finds it reached. */
struct share {
    _Alignas(LINE) atomic_uint job;
    atomic_int end;         /* the piece after the share's last one */
    _Atomic uint64_t limit; /* what `claimed` is when all are claimed */
    _Atomic(piece_function *) run;
    _Atomic(const void *) task;

    _Alignas(LINE) _Atomic uint64_t claimed; /* mostly by the thread that has this line */
};

struct helper {
    struct pool *pool;
    int index; /* of its share; the caller's is 0 */
    pthread_t thread;
};

/* What threads look at while they wait lies apart from what others write meanwhile. */
struct pool {
    _Alignas(LINE) atomic_int unfinished; /* pieces of the job that have not returned */

    _Alignas(LINE) pthread_mutex_t lock; /* for sleeping only */
    pthread_cond_t work, finished;
    atomic_int sleeping; /* helpers that wait for `work` */
    atomic_bool caller_sleeps, closing;

    unsigned mxcsr;        /* of the thread that opened the pool */
    int threads;           /* the caller included */
    struct helper *helper; /* [threads - 1]; owned */
    struct share share[];  /* [threads] */
};

int pool_share_begin(int n, int threads, int index) {
    return (int)(((int64_t)n * index + threads - 1) / threads);
}

/* Runs pieces of a share until none is left to claim; how many. A claim is a compare and swap, so it succeeds
 * only while the job lasts, and then what was read of it is its own: the next job is written when nothing is
 * left to claim. */
static int run_share(struct share *share) {
    uint64_t claimed = atomic_load(&share->claimed);
    for (int done = 0;;) {
        uint64_t limit = atomic_load(&share->limit);
        piece_function *run = atomic_load(&share->run);
        const void *task = atomic_load(&share->task);
        int end = atomic_load(&share->end);
        if (claimed >= limit) return done;
        if (!atomic_compare_exchange_weak(&share->claimed, &claimed, claimed + 1)) continue;
        run(task, end - (int)(limit - claimed));
        done++;
        claimed = atomic_load(&share->claimed);
    }
}

/* Runs pieces of the current job until none is left to claim: those of the own share, of which the caller is
 * told at once, then of the others'. */
static void run_pieces(struct pool *p, int index) {
    for (int i = 0; i < p->threads; i++) {
        int done = run_share(&p->share[(index + i) % p->threads]);
        if (!done || atomic_fetch_sub(&p->unfinished, done) > done) continue;
        if (index == 0 || !atomic_load(&p->caller_sleeps)) return;
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->finished);
        pthread_mutex_unlock(&p->lock);
        return;
    }
}

static bool work_is_here(struct pool *p, int index, unsigned seen) {
    return atomic_load(&p->share[index].job) != seen;
}

static bool job_is_done(struct pool *p, int index, unsigned job) {
    (void)index, (void)job;
    return atomic_load(&p->unfinished) == 0;
}

/* Whether it comes true soon. Waking a thread takes longer than most operations last, so a thread does not
 * sleep between them. After some looks it offers its processor to other programs; once one has accepted, it
 * sleeps, for then whoever runs here would be in somebody's way. */
static bool comes_soon(struct pool *p, bool (*is_true)(struct pool *p, int index, unsigned job),
                       int index, unsigned job) {
    for (int i = 0; i < LOOKS; i++) {
        if (is_true(p, index, job)) return true;
        _mm_pause();
    }
    for (double begin = clock_seconds(), now = begin, offered; now - begin < PATIENCE_S;) {
        offered = now;
        sched_yield();
        if (is_true(p, index, job)) return true;
        now = clock_seconds();
        if (now - offered > ACCEPTED_S) return false;
    }
    return false;
}

/* Returns when there is a job after `seen`. A helper counts itself as sleeping before it looks for the last
 * time, and the caller looks at that count after it has posted a job: one of them sees the other. */
static void wait_for_work(struct pool *p, int index, unsigned seen) {
    if (comes_soon(p, work_is_here, index, seen)) return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleeping, 1);
    while (!work_is_here(p, index, seen)) pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleeping, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *helper_main(void *helper) {
    const struct helper *h = helper;
    struct pool *p = h->pool;
    _mm_setcsr(p->mxcsr);
    for (unsigned seen = 0;;) {
        wait_for_work(p, h->index, seen);
        seen = atomic_load(&p->share[h->index].job);
        if (atomic_load(&p->closing)) return NULL; /* is set before the job that says so */
        run_pieces(p, h->index);
    }
}

struct pool *pool_open(int threads) {
    REQUIRE(threads >= 1);
    size_t bytes = sizeof(struct pool) + (size_t)threads * sizeof(struct share);
    struct pool *p = aligned_alloc(LINE, bytes);
    REQUIRE(p);
    memset(p, 0, bytes);
    p->helper = memory_new((size_t)threads, sizeof *p->helper);
    p->mxcsr = _mm_getcsr();
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->finished, NULL);
    p->threads = threads;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (int i = 1; i < threads; i++) {
        struct helper *h = &p->helper[i - 1];
        *h = (struct helper){.pool = p, .index = i};
        if (pthread_create(&h->thread, &attributes, helper_main, h) == 0) continue;
        p->threads = i;
        break;
    }
    pthread_attr_destroy(&attributes);
    return p;
}

void pool_close(struct pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->closing, true);
    for (int i = 1; i < p->threads; i++) atomic_fetch_add(&p->share[i].job, 1);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads - 1; i++) pthread_join(p->helper[i].thread, NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->finished);
    pthread_mutex_destroy(&p->lock);
    free(p->helper);
    free(p);
}

static void wake_helpers(struct pool *p, int wanted) {
    if (atomic_load(&p->sleeping) == 0) return;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < wanted && i < p->threads - 1; i++) pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_end(struct pool *p) {
    if (comes_soon(p, job_is_done, 0, 0)) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (atomic_load(&p->unfinished) > 0) pthread_cond_wait(&p->finished, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

/* Adds so many pieces up to `end` to a share. Stores that need not be seen at once do not wait for one
 * another's lines. */
static void post(struct share *share, int pieces, int end, piece_function *run, const void *task) {
    const memory_order later = memory_order_release;
    uint64_t limit = atomic_load(&share->limit) + (uint64_t)pieces;
    atomic_store_explicit(&share->end, end, later);
    atomic_store_explicit(&share->run, run, later);
    atomic_store_explicit(&share->task, task, later);
    atomic_store_explicit(&share->limit, limit, later);
    atomic_store_explicit(&share->job, atomic_load(&share->job) + 1, later);
}

void pool_run(struct pool *p, int n, piece_function *run, const void *task) {
    if (n <= 0) return;
    int shares = n < p->threads ? n : p->threads;
    atomic_store_explicit(&p->unfinished, n, memory_order_release);
    for (int i = p->threads - 1; i >= 0; i--) { /* helpers first */
        int begin = pool_share_begin(n, shares, i < shares ? i : shares);
        int end = pool_share_begin(n, shares, i < shares ? i + 1 : shares);
        post(&p->share[i], end - begin, end, run, task);
    }
    atomic_thread_fence(memory_order_seq_cst); /* before it is looked who sleeps */
    wake_helpers(p, n - 1);
    run_pieces(p, 0);
    wait_for_end(p);
}
