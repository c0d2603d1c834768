/* How a launch is read from the environment, and the collectives: alone, and with every rank of the launch
 * when this program is itself started by mpirun (tests/e2e_ranks.sh does). */
#include "kernels/comm.h"
#include "kernels/comm_tcp.h"
#include "tests/expect.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* ---- the environment --------------------------------------------------------------------------------- */

/* A made-up environment: "NAME=value" texts, ended by NULL. */
static char **environment;

static char *get(const char *name) {
    size_t n = strlen(name);
    for (char **e = environment; *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') return *e + n + 1;
    return NULL;
}

#define ENVIRONMENT(...)                                                                           \
    do {                                                                                           \
        static char *texts[] = {__VA_ARGS__, NULL};                                                \
        environment = texts;                                                                       \
    } while (0)

static struct launch launch(void) {
    struct launch l;
    status failed = launch_read(&l, get);
    if (failed) fail_msg("%s", status_text(failed));
    return l;
}

static void refuses(const char *sentence) {
    struct launch l;
    expect_failure(launch_read(&l, get), EXIT_BAD_CONFIG, sentence);
}

static void test_launch_alone(void **state) {
    (void)state;
    ENVIRONMENT("HOME=/root");
    assert_null(launch().by);
    assert_int_equal(launch().size, 1);
    /* A batch script of Slurm: tasks are to come, but this is not one of them. */
    ENVIRONMENT("SLURM_NTASKS=8", "SLURM_PROCID=0", "SLURM_LOCALID=0");
    assert_null(launch().by);
}

static void test_launch_each(void **state) {
    (void)state;
    ENVIRONMENT("OMPI_COMM_WORLD_RANK=3", "OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_LOCAL_RANK=1",
                "OMPI_COMM_WORLD_LOCAL_SIZE=2");
    struct launch l = launch();
    assert_string_equal(l.by, "mpirun");
    assert_int_equal(l.rank, 3);
    assert_int_equal(l.size, 4);
    assert_int_equal(l.local_rank, 1);
    assert_int_equal(l.local_size, 2);
    ENVIRONMENT("RANK=0", "WORLD_SIZE=2", "LOCAL_RANK=0", "MASTER_ADDR=node7", "MASTER_PORT=1234");
    l = launch();
    assert_string_equal(l.by, "torchrun");
    assert_string_equal(l.address, "node7");
    assert_int_equal(l.port, 1234);
    ENVIRONMENT("RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=node7", "MASTER_PORT=1234",
                "TORCHELASTIC_USE_AGENT_STORE=True");
    assert_int_equal(launch().port, 1235);
    ENVIRONMENT("SLURM_PROCID=5", "SLURM_STEP_NUM_TASKS=8", "SLURM_LOCALID=1");
    l = launch();
    assert_string_equal(l.by, "srun");
    assert_int_equal(l.rank, 5);
    assert_int_equal(l.local_rank, 1);
}

/* mpirun and torchrun under srun, which numbers the launchers' own processes. */
static void test_launch_nested(void **state) {
    (void)state;
    ENVIRONMENT("SLURM_PROCID=0", "SLURM_STEP_NUM_TASKS=2", "OMPI_COMM_WORLD_RANK=1",
                "OMPI_COMM_WORLD_SIZE=8");
    assert_string_equal(launch().by, "mpirun");
    assert_int_equal(launch().size, 8);
    ENVIRONMENT("SLURM_PROCID=1", "SLURM_STEP_NUM_TASKS=2", "RANK=9", "WORLD_SIZE=16");
    assert_string_equal(launch().by, "torchrun");
    assert_int_equal(launch().rank, 9);
    ENVIRONMENT("OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2", "RANK=1", "WORLD_SIZE=2");
    assert_string_equal(launch().by, "mpirun");
}

static void test_launch_refused(void **state) {
    (void)state;
    ENVIRONMENT("RANK=1");
    refuses("the environment has RANK without WORLD_SIZE, expected both or neither");
    ENVIRONMENT("WORLD_SIZE=2");
    refuses("the environment has WORLD_SIZE without RANK");
    ENVIRONMENT("OMPI_COMM_WORLD_SIZE=2");
    refuses("OMPI_COMM_WORLD_SIZE without OMPI_COMM_WORLD_RANK");
    ENVIRONMENT("SLURM_STEP_NUM_TASKS=2");
    refuses("SLURM_STEP_NUM_TASKS without SLURM_PROCID");
    ENVIRONMENT("RANK=2", "WORLD_SIZE=2");
    refuses("the environment's RANK=2, expected less than WORLD_SIZE=2");
    ENVIRONMENT("RANK=one", "WORLD_SIZE=2");
    refuses("the environment's RANK=one, expected a number");
    ENVIRONMENT("RANK=-1", "WORLD_SIZE=2");
    refuses("the environment's RANK=-1, expected a number");
    ENVIRONMENT("RANK=0", "WORLD_SIZE=99999999999999999999");
    refuses("the environment's WORLD_SIZE=99999999999999999999, expected a number from 1 to 4096");
    ENVIRONMENT("RANK=0", "WORLD_SIZE=2", "MASTER_PORT=70000");
    refuses("the environment's MASTER_PORT=70000, expected a number from 1 to 65534");
    ENVIRONMENT("OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2", "RANK=0", "WORLD_SIZE=2");
    refuses("OMPI_COMM_WORLD_RANK=1 of 2 contradicts RANK=0 of WORLD_SIZE=2");
}

/* ---- the meeting over TCP ----------------------------------------------------------------------------- */

/* A rank in a thread of its own, which opens and closes the transport. */
struct visitor {
    struct launch launch;
    int timeout_ms;
    status failed;
    pthread_t thread;
};

static void *visit(void *ctx) {
    struct visitor *v = ctx;
    struct transport *t;
    v->failed = comm_tcp_open(&t, &v->launch, v->timeout_ms);
    if (!v->failed) t->close(t, true);
    return NULL;
}

static struct visitor visitor(int rank, int size, int port) {
    return (struct visitor){.launch = {"torchrun", rank, size, 0, 1, "localhost", port},
                            .timeout_ms = 10000};
}

static void meet(struct visitor *visitors, int n) {
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]), 0);
    for (int i = 0; i < n; i++) pthread_join(visitors[i].thread, NULL);
}

/* Somewhere between the well-known ports and those that systems hand out. */
static int any_port(void) { return 10000 + (int)(getpid() % 20000); }

static void test_meeting(void **state) {
    (void)state;
    int port = any_port();
    struct visitor three[] = {visitor(2, 3, port), visitor(0, 3, port), visitor(1, 3, port)};
    meet(three, 3);
    for (int i = 0; i < 3; i++) expect_ok(three[i].failed);
}

static void test_meeting_alone(void **state) {
    (void)state;
    struct visitor first = visitor(0, 2, any_port()), second = visitor(1, 2, any_port());
    first.timeout_ms = second.timeout_ms = 1000;
    visit(&first);
    expect_failure(first.failed, EXIT_IO, "rank 1 did not come to rank 0 within 1 s");
    visit(&second);
    expect_failure(second.failed, EXIT_IO, "rank 1 cannot reach rank 0 within 1 s");
    second.launch.address = NULL;
    visit(&second);
    expect_failure(second.failed, EXIT_BAD_CONFIG,
                   "torchrun started 2 ranks, but the environment has no MASTER_ADDR");
}

static void test_meeting_mixed(void **state) {
    (void)state;
    int port = any_port();
    struct visitor sizes[] = {visitor(0, 2, port), visitor(1, 3, port)};
    sizes[1].timeout_ms = 1000;
    meet(sizes, 2);
    expect_failure(sizes[0].failed, EXIT_BAD_CONFIG,
                   "ranks of different launches use the same port");
    expect_failure(sizes[1].failed, EXIT_IO, "");
    struct visitor twins[] = {visitor(0, 3, port), visitor(1, 3, port), visitor(1, 3, port)};
    twins[1].timeout_ms = twins[2].timeout_ms = 1000;
    meet(twins, 3);
    expect_failure(twins[0].failed, EXIT_BAD_CONFIG, "two processes call themselves rank 1");
    expect_failure(twins[1].failed, EXIT_IO, "");
    expect_failure(twins[2].failed, EXIT_IO, "");
}

/* Whoever else knocks on the port is sent away. */
static void test_meeting_stranger(void **state) {
    (void)state;
    int port = any_port();
    struct visitor first = visitor(0, 2, port), second = visitor(1, 2, port);
    assert_int_equal(pthread_create(&first.thread, NULL, visit, &first), 0);
    struct sockaddr_in there = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    while (connect(fd, (struct sockaddr *)&there, sizeof there) != 0) usleep(1000);
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof request), sizeof request);
    visit(&second);
    pthread_join(first.thread, NULL);
    close(fd);
    expect_ok(first.failed);
    expect_ok(second.failed);
}

/* ---- collectives ------------------------------------------------------------------------------------- */

static struct comm *comm; /* NULL: alone */
static struct arena arena;

static void test_share(void **state) {
    (void)state;
    enum { N = 3000000 }; /* several pieces, of unequal lengths, one of them empty */
    int size = comm_size(comm), rank = comm_rank(comm);
    int64_t *cut = ARENA_ARRAY(&arena, size + 1, int64_t);
    for (int r = 1; r < size; r++) cut[r] = r == 1 ? 0 : (int64_t)N * r / size + r;
    cut[size] = N;
    int32_t *data = ARENA_ARRAY(&arena, N, int32_t);
    for (int64_t i = cut[rank]; i < cut[rank + 1]; i++) data[i] = (int32_t)(7 * i + 1);
    int32_t *collected = ARENA_ARRAY(&arena, N, int32_t);
    memcpy(collected, data, N * sizeof *data);
    expect_ok(comm_share(comm, data, sizeof *data, cut));
    expect_ok(comm_collect(comm, collected, sizeof *collected, cut));
    for (int i = 0; i < N; i++) {
        if (data[i] != 7 * i + 1) fail_msg("share: element %d is %d", i, data[i]);
        if (rank == 0 && collected[i] != 7 * i + 1)
            fail_msg("collect: element %d is %d", i, collected[i]);
    }
}

static void test_broadcast(void **state) {
    (void)state;
    char text[] = "of a rank";
    if (comm_rank(comm) == 0) memcpy(text, "of rank 0", sizeof text);
    expect_ok(comm_broadcast(comm, text, sizeof text));
    assert_string_equal(text, "of rank 0");
}

static void test_texts(void **state) {
    (void)state;
    char mine[64];
    int rank = comm_rank(comm), size = comm_size(comm);
    snprintf(mine, sizeof mine, "%.*s%d", rank, "*********", rank);
    struct span *all = ARENA_ARRAY(&arena, size, struct span);
    expect_ok(comm_share_texts(comm, rank == 1 ? SPAN("") : span_of(mine), &arena, all));
    for (int r = 0; r < size; r++) {
        snprintf(mine, sizeof mine, "%.*s%d", r, "*********", r);
        assert_true(span_eq(all[r], r == 1 ? SPAN("") : span_of(mine)));
    }
}

static void test_floats(void **state) {
    (void)state;
    struct stream *s;
    expect_ok(
        stream_open(&s, &(struct stream_config){.device = "cpu", .isa = "auto", .threads = 1}));
    int size = comm_size(comm), rank = comm_rank(comm), n = 1000;
    int64_t *cut = ARENA_ARRAY(&arena, size + 1, int64_t);
    comm_cut(comm, n, cut);
    int mine = (int)(cut[rank + 1] - cut[rank]);
    buf from, to;
    expect_ok(op_alloc(s, (size_t)n * 4, &from));
    expect_ok(op_alloc(s, (size_t)size * n * 4, &to));
    float *values = ARENA_ARRAY(&arena, n, float), *got = ARENA_ARRAY(&arena, size * n, float);
    for (int i = 0; i < n; i++) values[i] = (float)(1000 * rank + i);
    op_write(s, from, values, (size_t)n * 4);
    expect_ok(comm_exchange_floats(comm, s, from, cut, to));
    op_read(s, got, to, (size_t)size * mine * 4);
    for (int r = 0; r < size; r++)
        for (int i = 0; i < mine; i++)
            assert_true(got[r * mine + i] == (float)(1000 * r + cut[rank] + i));
    expect_ok(comm_share_floats(comm, s, from, cut));
    op_read(s, got, from, (size_t)n * 4);
    for (int r = 0; r < size; r++)
        for (int64_t i = cut[r]; i < cut[r + 1]; i++) assert_true(got[i] == (float)(1000 * r + i));
    op_free(s, from);
    op_free(s, to);
    op_close(s);
}

static status full_disk(void) { return (fail)(EXIT_IO, "the disk is full"); }
static status on_rank(int rank) { return (fail)(EXIT_BAD_DATA, "on rank %d", rank); }

static void test_agree(void **state) {
    (void)state;
    int rank = comm_rank(comm), size = comm_size(comm), last = size - 1;
    bool any = false;
    expect_ok(comm_agree(comm, NULL, &any));
    assert_false(any);
    any = rank == last;
    expect_ok(comm_agree(comm, NULL, &any));
    assert_true(any);
    char sentence[64];
    snprintf(sentence, sizeof sentence, last ? "rank %d: the disk is full" : "the disk is full",
             last);
    status failed = comm_agree(comm, rank == last ? full_disk() : NULL, NULL);
    assert_string_equal(status_text(failed), sentence);
    expect_failure(failed, EXIT_IO, sentence);
    failed = comm_agree(comm, on_rank(rank), NULL);
    expect_failure(failed, EXIT_BAD_DATA, "on rank 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launch_alone),  cmocka_unit_test(test_launch_each),
        cmocka_unit_test(test_launch_nested), cmocka_unit_test(test_launch_refused),
        cmocka_unit_test(test_share),         cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_texts),         cmocka_unit_test(test_floats),
        cmocka_unit_test(test_agree),
    };
    const struct CMUnitTest meetings[] = {
        cmocka_unit_test(test_meeting),
        cmocka_unit_test(test_meeting_alone),
        cmocka_unit_test(test_meeting_mixed),
        cmocka_unit_test(test_meeting_stranger),
    };
    status failed = comm_open(&comm);
    if (!failed) {
        int failures = cmocka_run_group_tests(tests, NULL, NULL);
        if (!comm) failures += cmocka_run_group_tests(meetings, NULL, NULL);
        arena_free(&arena);
        failed = comm_close(comm, NULL);
        if (!failed) return failures;
    }
    fprintf(stderr, "%s\n", status_text(failed));
    status_free(failed);
    return 1;
}
