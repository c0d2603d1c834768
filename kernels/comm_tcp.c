#include "kernels/comm_tcp.h"

#include "base/arena.h"
#include "base/clock.h"
#include "kernels/comm_sockets.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ERROR_MAX = 160 };

/* What goes before the bytes of a message. */
struct header {
    uint64_t bytes; /* LOST: no message, a rank is lost */
    uint64_t rank;  /* which */
};
static const uint64_t LOST = UINT64_MAX;

/* How far a message has got. */
struct progress {
    struct header header;
    size_t done; /* bytes, header included */
};

struct tcp_transport {
    struct transport transport; /* first */
    int rank, size;
    struct sockets sockets;
    struct progress *progress; /* [capacity] */
    struct pollfd *polls;      /* [size] */
    int capacity;
    char error[ERROR_MAX];
};

/* ---- one message ------------------------------------------------------------------------------------- */

static bool is_done(const struct message *m, const struct progress *p) {
    return p->done == sizeof p->header + m->bytes;
}

/* What is to be moved next: the rest of the header, or of the bytes. */
static char *next_piece(const struct message *m, struct progress *p, size_t *n) {
    bool header = p->done < sizeof p->header;
    *n = header ? sizeof p->header - p->done : m->bytes - (p->done - sizeof p->header);
    return header ? (char *)&p->header + p->done : (char *)m->data + (p->done - sizeof p->header);
}

static const char *lost(struct tcp_transport *t, int rank, int told_by) {
    if (told_by == rank) snprintf(t->error, sizeof t->error, "rank %d was lost", rank);
    else snprintf(t->error, sizeof t->error, "rank %d was lost, says rank %d", rank, told_by);
    struct header news = {LOST, (uint64_t)rank};
    for (int r = 0; r < t->size; r++) /* as far as they still listen */
        if (r != t->rank && r != rank && r != told_by &&
            send(t->sockets.fd[r], &news, sizeof news, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            continue;
    return t->error;
}

/* A whole header has come: is it that of the message that is expected? */
static const char *header_check(struct tcp_transport *t, const struct message *m,
                                const struct header *h) {
    if (h->bytes == m->bytes) return NULL;
    if (h->bytes == LOST) return lost(t, (int)h->rank, m->peer);
    snprintf(t->error, sizeof t->error, "rank %d sent %llu bytes where %zu were expected", m->peer,
             (unsigned long long)h->bytes, m->bytes);
    return t->error;
}

/* Moves what can be moved at once. */
static const char *advance(struct tcp_transport *t, const struct message *m, struct progress *p) {
    int fd = t->sockets.fd[m->peer];
    while (!is_done(m, p)) {
        size_t n;
        char *piece = next_piece(m, p, &n);
        ssize_t moved = m->send ? send(fd, piece, n, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : recv(fd, piece, n, MSG_DONTWAIT);
        if (moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return NULL;
        /* A peer that ended may have told why: that is read before the connection counts as lost. */
        if (moved < 0 && m->send) return NULL;
        if (moved <= 0) return lost(t, m->peer, m->peer);
        bool header = p->done < sizeof p->header;
        p->done += (size_t)moved;
        if (!m->send && header && p->done == sizeof p->header) {
            const char *error = header_check(t, m, &p->header);
            if (error) return error;
        }
    }
    return NULL;
}

/* ---- all messages ------------------------------------------------------------------------------------- */

/* Of messages to one peer, and of those from it, the first that is not done is the one that moves. Returns
 * whether any is left; polls[] says what to wait for. */
static const char *advance_all(struct tcp_transport *t, const struct message *messages, int n,
                               bool *left) {
    *left = false;
    for (int r = 0; r < t->size; r++) t->polls[r] = (struct pollfd){t->sockets.fd[r], 0, 0};
    for (int i = 0; i < n; i++) {
        const struct message *m = &messages[i];
        short wish = m->send ? POLLOUT : POLLIN;
        if (is_done(m, &t->progress[i]) || (t->polls[m->peer].events & wish)) continue;
        const char *error = advance(t, m, &t->progress[i]);
        if (error) return error;
        if (is_done(m, &t->progress[i])) continue;
        t->polls[m->peer].events |= wish;
        *left = true;
    }
    return NULL;
}

/* A peer that hung up while nothing was expected of it is lost too; what it said last says who is. */
static const char *hung_up(struct tcp_transport *t) {
    for (int r = 0; r < t->size; r++) {
        struct header news;
        if (r == t->rank || (t->polls[r].events & POLLIN) ||
            !(t->polls[r].revents & (POLLERR | POLLHUP)))
            continue;
        ssize_t n = recv(t->sockets.fd[r], &news, sizeof news, MSG_DONTWAIT);
        bool told = n == (ssize_t)sizeof news && news.bytes == LOST;
        return lost(t, told ? (int)news.rank : r, r);
    }
    return NULL;
}

static const char *transfer(struct transport *transport, const struct message *messages, int n) {
    struct tcp_transport *t = (struct tcp_transport *)transport;
    if (n > t->capacity) {
        t->progress = memory_grow(t->progress, (size_t)n, sizeof *t->progress);
        t->capacity = n;
    }
    for (int i = 0; i < n; i++)
        t->progress[i] = (struct progress){.header = {messages[i].bytes, 0}};
    for (;;) {
        bool left;
        const char *error = advance_all(t, messages, n, &left);
        if (error || !left) return error;
        if (poll(t->polls, (nfds_t)t->size, -1) < 0 && errno != EINTR) {
            snprintf(t->error, sizeof t->error, "poll: %s", strerror(errno));
            return t->error;
        }
        if ((error = hung_up(t))) return error;
    }
}

/* Between transfers every connection is between messages: what waits there is a header, news, or the end. */
static const char *watch(struct transport *transport) {
    struct tcp_transport *t = (struct tcp_transport *)transport;
    for (int r = 0; r < t->size; r++) {
        struct header h = {0};
        if (r == t->rank) continue;
        ssize_t n = recv(t->sockets.fd[r], &h, sizeof h, MSG_PEEK | MSG_DONTWAIT);
        bool ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
        if (ended) return lost(t, r, r);
        if (n == (ssize_t)sizeof h && h.bytes == LOST) return lost(t, (int)h.rank, r);
    }
    return NULL;
}

static void transport_close(struct transport *transport, bool orderly) {
    struct tcp_transport *t = (struct tcp_transport *)transport;
    if (!orderly)
        lost(t, t->rank, t->rank); /* unless that was said of another: the first news count */
    sockets_close(&t->sockets);
    free(t->progress);
    free(t->polls);
    free(t);
}

status comm_tcp_open(struct transport **out, const struct launch *launch, int timeout_ms) {
    static const struct transport functions = {"TCP", transfer, watch, transport_close};
    struct tcp_transport *t = memory_new(1, sizeof *t);
    t->transport = functions;
    t->rank = launch->rank;
    t->size = launch->size;
    t->polls = memory_new((size_t)t->size, sizeof *t->polls);
    status failed = sockets_open(&t->sockets, launch, timeout_ms);
    if (failed) {
        free(t->polls);
        free(t);
        return failed;
    }
    *out = &t->transport;
    return NULL;
}
