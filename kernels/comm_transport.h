/* What moves bytes between ranks: one function, which MPI, TCP and NCCL each fill in. The collectives of
 * comm.h are written once, over it.
 *
 * Nothing here but types, so that a transport can be a shared object that needs no part of the program. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* One piece, to or from a peer. Messages between two ranks arrive in the order they were given. */
struct message {
    int peer; /* another rank */
    bool send;
    void *data; /* borrowed: [bytes], host or device memory, as the transport has it */
    size_t bytes;
};

struct transport {
    const char *name; /* "MPI", "TCP", "NCCL" */
    /* Moves n messages, all of them at once, and returns when they are done: NULL, or what went wrong in
     * half a sentence, valid until the next call. After a failure only `close` may be called. */
    const char *(*transfer)(struct transport *t, const struct message *messages, int n);
    /* Looks, without waiting and outside of a transfer, whether a rank was lost: NULL, or which, as above.
     * The function is NULL where the launcher ends all ranks by itself. */
    const char *(*watch)(struct transport *t);
    /* Frees the transport. Not orderly: other ranks may be waiting and have to be let know. */
    void (*close)(struct transport *t, bool orderly);
};
