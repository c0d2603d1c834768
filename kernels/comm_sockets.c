#include "kernels/comm_sockets.h"

#include "base/arena.h"
#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELLO_MS = 5000, RETRY_MS = 50, PROTOCOL = 1 };

/* The first words on every connection. */
struct hello {
    char magic[8];
    uint32_t protocol;
    int32_t rank, size;
    uint32_t port; /* where this rank listens; of ranks after 0 */
};

/* Where a rank listens, as rank 0 saw it. */
struct place {
    struct sockaddr_storage address;
    uint32_t length;
};

struct meeting {
    struct sockets *sockets;
    const struct launch *launch;
    double deadline; /* on the clock of base/clock.h */
    int timeout_ms;
    int listener;
    uint32_t port;        /* of the listener */
    struct place *places; /* [size] */
};

static int milliseconds_left(const struct meeting *m) {
    double left = 1000 * (m->deadline - clock_seconds());
    return left > 0 ? (int)left + 1 : 0;
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

/* Sends or receives all n bytes within limit_ms. */
static bool move(int fd, bool out, void *data, size_t n, int limit_ms) {
    double deadline = clock_seconds() + 1e-3 * limit_ms;
    for (size_t done = 0; done < n;) {
        int left = (int)(1000 * (deadline - clock_seconds()));
        struct pollfd p = {fd, out ? POLLOUT : POLLIN, 0};
        if (left <= 0 || (poll(&p, 1, left) < 0 && errno != EINTR)) return false;
        ssize_t moved = out ? send(fd, (char *)data + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL)
                            : recv(fd, (char *)data + done, n - done, MSG_DONTWAIT);
        if (moved == 0) return false;
        if (moved < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return false;
        if (moved > 0) done += (size_t)moved;
    }
    return true;
}

/* Small messages go at once; a host that vanishes without a word counts as lost after half a minute. */
static void tune(int fd) {
    const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 10}, {IPPROTO_TCP, TCP_KEEPINTVL, 5},
                   {IPPROTO_TCP, TCP_KEEPCNT, 4},   {IPPROTO_TCP, TCP_USER_TIMEOUT, 30000}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int)) < 0)
            return; /* a system that lacks one works without */
}

static struct hello hello_of(const struct meeting *m) {
    struct hello h = {
        .protocol = PROTOCOL, .rank = m->launch->rank, .size = m->launch->size, .port = m->port};
    memcpy(h.magic, "grpo.tcp", sizeof h.magic);
    return h;
}

/* ---- listening --------------------------------------------------------------------------------------- */

/* Listens on a port of all addresses; 0: any free one. */
static status listen_on(struct meeting *m, int port) {
    int on = 1, off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool both = fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    if (fd < 0) fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const void *address = both ? (const void *)&six : (const void *)&four;
    socklen_t length = both ? sizeof six : sizeof four;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, address, length) < 0 || listen(fd, m->launch->size) < 0) {
        int err = errno;
        if (fd >= 0) close(fd);
        return fail_errno(EXIT_IO, err, "rank %d cannot listen on port %d", m->launch->rank, port);
    }
    struct sockaddr_storage bound;
    length = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &length) == 0)
        m->port = ntohs(((struct sockaddr_in *)&bound)->sin_port); /* in the same place in IPv6 */
    m->listener = fd;
    return NULL;
}

/* Who came in: -1 for somebody else, whose connection is then closed. */
static status greet(struct meeting *m, int fd, struct hello *h) {
    struct hello mine = hello_of(m);
    h->rank = -1;
    if (!move(fd, false, h, sizeof *h, HELLO_MS) || memcmp(h->magic, mine.magic, sizeof h->magic)) {
        h->rank = -1;
        return NULL;
    }
    if (h->protocol != PROTOCOL || h->size != mine.size || h->rank <= 0 || h->rank >= mine.size)
        return fail(EXIT_BAD_CONFIG,
                    "rank %d of %d (protocol %u) came to rank %d of %d (protocol %u): ranks of "
                    "different launches use the same port",
                    h->rank, h->size, h->protocol, mine.rank, mine.size, mine.protocol);
    if (m->sockets->fd[h->rank] >= 0)
        return fail(EXIT_BAD_CONFIG, "two processes call themselves rank %d", h->rank);
    return NULL;
}

/* The lowest rank of [first, size) that has not come. */
static int missing(const struct meeting *m, int first) {
    while (first < m->launch->size && m->sockets->fd[first] >= 0) first++;
    return first;
}

/* Accepts all ranks after `own`. */
static status accept_ranks(struct meeting *m, int own) {
    int absent;
    while ((absent = missing(m, own + 1)) < m->launch->size) {
        struct pollfd p = {m->listener, POLLIN, 0};
        int ready = poll(&p, 1, milliseconds_left(m));
        if (ready == 0 || milliseconds_left(m) == 0)
            return fail(EXIT_IO, "rank %d did not come to rank %d within %d s", absent, own,
                        m->timeout_ms / 1000);
        struct place from = {.length = sizeof from.address};
        int fd = ready < 0 ? -1
                           : accept4(m->listener, (struct sockaddr *)&from.address, &from.length,
                                     SOCK_CLOEXEC);
        if (fd < 0) continue;
        struct hello h;
        status failed = greet(m, fd, &h);
        if (failed || h.rank < 0) {
            close(fd);
            TRY(failed);
            continue;
        }
        tune(fd);
        ((struct sockaddr_in *)&from.address)->sin_port = htons((uint16_t)h.port);
        m->sockets->fd[h.rank] = fd;
        m->places[h.rank] = from;
    }
    return NULL;
}

/* ---- connecting -------------------------------------------------------------------------------------- */

/* Tries until somebody listens there, or time is up; -1. */
static int try_connect(struct meeting *m, const struct sockaddr *address, socklen_t length) {
    while (milliseconds_left(m) > 0) {
        int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, address, length) == 0) return fd;
        if (fd >= 0) close(fd);
        poll(NULL, 0, RETRY_MS);
        if (errno == EAFNOSUPPORT) break;
    }
    return -1;
}

static status say_hello(struct meeting *m, int rank, int fd) {
    struct hello mine = hello_of(m);
    if (fd < 0 || !move(fd, true, &mine, sizeof mine, HELLO_MS)) {
        if (fd >= 0) close(fd);
        return fail(EXIT_IO, "rank %d cannot reach rank %d within %d s", m->launch->rank, rank,
                    m->timeout_ms / 1000);
    }
    tune(fd);
    m->sockets->fd[rank] = fd;
    return NULL;
}

static status connect_first(struct meeting *m) {
    const struct launch *l = m->launch;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char port[16];
    snprintf(port, sizeof port, "%d", l->port);
    int err = getaddrinfo(l->address, port, &hints, &found);
    if (err) return fail(EXIT_IO, "MASTER_ADDR=%s: %s", l->address, gai_strerror(err));
    int fd = try_connect(m, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return status_context(say_hello(m, 0, fd), "MASTER_ADDR=%s, port %d", l->address, l->port);
}

/* A rank on rank 0's own host may have come to it by way of the loopback, which leads others astray: they
 * find it where they found rank 0. */
static void leave_loopback(const struct meeting *m, struct place *p) {
    struct place first = {.length = sizeof first.address};
    struct sockaddr_in *four = (struct sockaddr_in *)&p->address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&p->address;
    bool mapped = p->address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
    bool loopback =
        p->address.ss_family == AF_INET6
            ? IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) || (mapped && six->sin6_addr.s6_addr[12] == 127)
            : ntohl(four->sin_addr.s_addr) >> 24 == 127;
    if (!loopback ||
        getpeername(m->sockets->fd[0], (struct sockaddr *)&first.address, &first.length))
        return;
    ((struct sockaddr_in *)&first.address)->sin_port = four->sin_port;
    *p = first;
}

/* ---- the meeting ------------------------------------------------------------------------------------- */

static status meet_as_first(struct meeting *m) {
    TRY(listen_on(m, m->launch->port));
    TRY(accept_ranks(m, 0));
    for (int r = 1; r < m->launch->size; r++)
        if (!move(m->sockets->fd[r], true, m->places, (size_t)m->launch->size * sizeof *m->places,
                  HELLO_MS))
            return fail(EXIT_IO, "rank %d left while the ranks met", r);
    return NULL;
}

static status meet_as_other(struct meeting *m) {
    TRY(listen_on(m, 0));
    TRY(connect_first(m));
    if (!move(m->sockets->fd[0], false, m->places, (size_t)m->launch->size * sizeof *m->places,
              milliseconds_left(m) + 1))
        return fail(EXIT_IO, "rank 0 left while the ranks met; it says why");
    for (int r = 1; r < m->launch->rank; r++) {
        leave_loopback(m, &m->places[r]);
        int fd = try_connect(m, (struct sockaddr *)&m->places[r].address, m->places[r].length);
        TRY(say_hello(m, r, fd));
    }
    return accept_ranks(m, m->launch->rank);
}

status sockets_open(struct sockets *out, const struct launch *launch, int timeout_ms) {
    if (!launch->address)
        return fail(EXIT_BAD_CONFIG,
                    "%s started %d ranks, but the environment has no MASTER_ADDR, expected the "
                    "host of rank 0",
                    launch->by, launch->size);
    *out = (struct sockets){launch->size, memory_new((size_t)launch->size, sizeof *out->fd)};
    for (int r = 0; r < launch->size; r++) out->fd[r] = -1;
    struct meeting m = {.sockets = out,
                        .launch = launch,
                        .deadline = clock_seconds() + 1e-3 * timeout_ms,
                        .timeout_ms = timeout_ms,
                        .listener = -1,
                        .places = memory_new((size_t)launch->size, sizeof *m.places)};
    status failed = launch->rank == 0 ? meet_as_first(&m) : meet_as_other(&m);
    if (m.listener >= 0) close(m.listener);
    free(m.places);
    if (failed) sockets_close(out);
    return failed;
}

void sockets_close(struct sockets *s) {
    for (int r = 0; r < s->size; r++)
        if (s->fd[r] >= 0) close(s->fd[r]);
    free(s->fd);
    *s = (struct sockets){0};
}
