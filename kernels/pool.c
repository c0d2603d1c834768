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

/* A thread's share of a job. */
struct share {
    /* Which job this is, and how many pieces of the share nobody has claimed: job << 32 | unclaimed.
     * A claim is a compare and swap, so it succeeds only while the job lasts, and then what was read of
     * it is its own: the next job is written when nothing is left to claim. */
    _Atomic uint64_t turn;
    char apart[LINE];
};

struct helper {
    struct pool *pool;
    int index; /* of its share; the caller's is 0 */
    pthread_t thread;
};

/* What threads look at while they wait lies apart from what others write meanwhile. */
struct pool {
    atomic_uint job; /* the latest one that has been posted */
    _Atomic(piece_function *) run;
    _Atomic(const void *) task;
    atomic_int n;
    char apart[LINE];

    atomic_int unfinished; /* pieces of the job that have not returned, or whose thread goes on */
    char apart_too[LINE];

    pthread_mutex_t lock; /* for sleeping only */
    pthread_cond_t work, finished;
    atomic_int sleeping; /* helpers that wait for `work` */
    atomic_bool caller_sleeps, closing;

    unsigned mxcsr;         /* of the thread that opened the pool */
    int threads;            /* the caller included */
    struct share *share;    /* [threads]; owned */
    struct helper helper[]; /* [threads - 1] */
};

/* The first piece of share `index`, of n pieces for so many shares. */
static int share_begin(int n, int shares, int index) {
    return (int)(((int64_t)n * index + shares - 1) / shares);
}

static int shares_of(const struct pool *p, int n) { return n < p->threads ? n : p->threads; }

/* Runs pieces of a share until none is left to claim; how many. */
static int run_share(struct pool *p, int index) {
    struct share *share = &p->share[index];
    uint64_t turn = atomic_load(&share->turn);
    for (int done = 0;;) {
        piece_function *run = atomic_load(&p->run);
        const void *task = atomic_load(&p->task);
        int unclaimed = (int)(uint32_t)turn, n = atomic_load(&p->n);
        if (unclaimed == 0) return done;
        if (!atomic_compare_exchange_weak(&share->turn, &turn, turn - 1)) continue;
        run(task, share_begin(n, shares_of(p, n), index + 1) - unclaimed);
        done++;
        turn = atomic_load(&share->turn);
    }
}

/* Runs pieces of the current job until none is left to claim: those of the own share, then of the others'. */
static void run_pieces(struct pool *p, int index) {
    int done = 0;
    for (int i = 0; i < p->threads; i++) done += run_share(p, (index + i) % p->threads);
    if (done && atomic_fetch_sub(&p->unfinished, done) == done && atomic_load(&p->caller_sleeps)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->finished);
        pthread_mutex_unlock(&p->lock);
    }
}

static bool work_is_here(struct pool *p, unsigned seen) {
    return atomic_load(&p->job) != seen || atomic_load(&p->closing);
}

static bool job_is_done(struct pool *p, unsigned job) {
    (void)job;
    return atomic_load(&p->unfinished) == 0;
}

/* Whether it comes true soon. Waking a thread takes longer than most operations last, so a thread does not
 * sleep between them. After some looks it offers its processor to other programs; once one has accepted, it
 * sleeps, for then whoever runs here would be in somebody's way. */
static bool comes_soon(struct pool *p, bool (*is_true)(struct pool *p, unsigned job),
                       unsigned job) {
    for (int i = 0; i < LOOKS; i++) {
        if (is_true(p, job)) return true;
        _mm_pause();
    }
    for (double begin = clock_seconds(), now = begin, offered; now - begin < PATIENCE_S;) {
        offered = now;
        sched_yield();
        if (is_true(p, job)) return true;
        now = clock_seconds();
        if (now - offered > ACCEPTED_S) return false;
    }
    return false;
}

/* Returns when there is a job after `seen`, or the pool closes. A helper counts itself as sleeping
 * before it looks for the last time, and the caller looks at that count after it has posted a job: one
 * of them sees the other. */
static void wait_for_work(struct pool *p, unsigned seen) {
    if (comes_soon(p, work_is_here, seen)) return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleeping, 1);
    while (!work_is_here(p, seen)) pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleeping, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *helper_main(void *helper) {
    const struct helper *h = helper;
    struct pool *p = h->pool;
    _mm_setcsr(p->mxcsr);
    for (unsigned seen = 0;;) {
        wait_for_work(p, seen);
        if (atomic_load(&p->closing)) return NULL;
        seen = atomic_load(&p->job);
        run_pieces(p, h->index);
    }
}

struct pool *pool_open(int threads) {
    REQUIRE(threads >= 1);
    struct pool *p = memory_new(1, sizeof *p + (size_t)threads * sizeof *p->helper);
    p->share = memory_new((size_t)threads, sizeof *p->share);
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
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads - 1; i++) pthread_join(p->helper[i].thread, NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->finished);
    pthread_mutex_destroy(&p->lock);
    free(p->share);
    free(p);
}

static void wake_helpers(struct pool *p, int wanted) {
    if (atomic_load(&p->sleeping) == 0) return;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < wanted && i < p->threads - 1; i++) pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_end(struct pool *p) {
    if (comes_soon(p, job_is_done, 0)) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (atomic_load(&p->unfinished) > 0) pthread_cond_wait(&p->finished, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(struct pool *p, int n, piece_function *run, const void *task) {
    if (n <= 0) return;
    unsigned job = atomic_load(&p->job) + 1;
    int shares = shares_of(p, n);
    atomic_store(&p->run, run);
    atomic_store(&p->task, task);
    atomic_store(&p->unfinished, n);
    atomic_store(&p->n, n);
    for (int i = 0; i < shares; i++) {
        int pieces = share_begin(n, shares, i + 1) - share_begin(n, shares, i);
        atomic_store(&p->share[i].turn, (uint64_t)job << 32 | (uint32_t)pieces);
    }
    atomic_store(&p->job, job);
    wake_helpers(p, n - 1);
    run_pieces(p, 0);
    wait_for_end(p);
}
