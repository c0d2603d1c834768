/* Attention, fused block by block: scores, softmax and values of a tile of rows against 64 keys, then on to
 * the next 64. Here the rows are cut into pieces for the threads, and those into runs that see keys in the
 * same place. */
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/attention_samples.h"
#include "kernels/cpu/cut.h"
#include "kernels/cpu/groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/host.h"
#include "kernels/shape_check.h"

enum {
    PIECE_ROWS = 8 * TILE_ROWS, /* of a piece of work at most */
    PIECE_WORK = 1 << 16, /* multiply-adds worth another thread: of few rows, some microseconds */
    PIECES_A_THREAD = 8,  /* even in decoding */
};

/* Rows that see keys in the same place: neighbours in one sequence, what is before them included, or rows of
 * others each that continue the same one, or none. */
struct run {
    int rows;
    bool neighbours;
};

/* How many rows from `from` on, before `end`, are neighbours in their sequence. */
static int neighbours_at(const struct kv_view *kv, int from, int end) {
    const int32_t *sequence = host_i32(kv->row_seq) + from,
                  *position = host_i32(kv->row_pos) + from;
    int n = 1;
    while (n < end - from && sequence[n] == sequence[0] && position[n] == position[0] + n) n++;
    return n;
}

/* The longest run from row `from` on that ends at `end` at the latest. */
static struct run run_at(const struct kv_view *kv, int from, int end) {
    const int32_t *sequence = host_i32(kv->row_seq);
    struct kv_fork fork = host_fork(kv, sequence[from]);
    int n = neighbours_at(kv, from, end);
    if (n > 1 && host_i32(kv->row_pos)[from] >= fork.shared) return (struct run){n, true};
    for (n = from + 1; n < end; n++) {
        struct kv_fork next = host_fork(kv, sequence[n]);
        if (next.shared != fork.shared || (fork.shared > 0 && next.parent != fork.parent)) break;
        if (n + 1 < end && sequence[n + 1] == sequence[n]) break;
    }
    return (struct run){n - from, false};
}

struct task {
    const struct attention *attention;
    int threads, piece_rows, stretches;
    bool last_first;
};

/* Which stretch comes i-th when each thread goes through its share from the last one to the first. */
static int backwards(const struct task *w, int i) {
    int thread = (int)((int64_t)i * w->threads / w->stretches);
    int begin = pool_share_begin(w->stretches, w->threads, thread);
    int end = pool_share_begin(w->stretches, w->threads, thread + 1);
    return begin + end - 1 - i;
}

/* Piece i: a stretch of rows for one key/value head. */
static void attend_piece(const void *task, int piece) {
    const struct task *w = task;
    const struct attention *a = w->attention;
    int stretch = piece / a->kv.G;
    if (w->last_first) stretch = backwards(w, stretch);
    int from = stretch * w->piece_rows, end = least(from + w->piece_rows, a->T);
    while (from < end) {
        struct run r = run_at(&a->kv, from, end);
        REQUIRE(!(r.neighbours && a->kv.growing)); /* their last panel is open */
        (r.neighbours ? ISA(attend_rows) : ISA(attend_samples))(a, from, r.rows, piece % a->kv.G);
        from += r.rows;
    }
}

/* The last rows of a long sequence see the most keys: they come first, so that threads finish together.
 * Samples that are decoded see about as many each, and stay with the thread that stored their keys. */
static bool sees_most_at_end(const struct kv_view *kv, int T) {
    const int32_t *sequence = host_i32(kv->row_seq);
    return T > 1 && sequence[T - 1] == sequence[T - 2];
}

/* Rows of a piece: whole tiles of sequences; as many samples for each thread. */
static int rows_of_piece(const struct attention *a, int threads, bool last_first) {
    if (threads == 1) return PIECE_ROWS;
    int pieces = PIECES_A_THREAD * threads;
    int rows = ceil_div(ceil_div(a->T, pieces), TILE_ROWS) * TILE_ROWS;
    if (!last_first) rows = ceil_div(a->T, ceil_div(pieces, threads * a->kv.G) * threads);
    return least(rows, PIECE_ROWS);
}

static void attention(struct stream *s, const struct attention *a) {
    check_attention(a);
    int64_t work = 0;
    for (int t = 0; t < a->T; t++) work += host_i32(a->kv.row_pos)[t] + 1;
    work *= (int64_t)a->H * (a->kv.Dk + a->kv.Dv);
    int threads = work < 2 * PIECE_WORK ? 1 : stream_threads(s);
    struct task task = {
        .attention = a, .threads = threads, .last_first = sees_most_at_end(&a->kv, a->T)};
    task.piece_rows = rows_of_piece(a, threads, task.last_first);
    task.stretches = ceil_div(a->T, task.piece_rows);
    parallel_pieces(s, threads, task.stretches * a->kv.G, attend_piece, &task);
}

void ISA(cpu_attention)(struct ops *table) { table->attention = attention; }
