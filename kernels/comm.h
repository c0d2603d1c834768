/* Ranks: the processes of one run, and what they do together.
 *
 * A `struct comm *` is NULL for a process alone: every function below then has nothing to do and says so
 * by doing nothing. Otherwise all ranks call the same functions in the same order ("collective").
 * What they compute depends on neither timing nor transport: bytes are moved, never added up.
 *
 * Failures come in two kinds. One that a rank met by itself (bad data, a full disk) is brought before
 * all by comm_agree, after which all ranks hold the same failure and end in order. A failure of the
 * transport itself (EXIT_IO: a rank was lost) cannot be agreed on: whoever sees it ends. */
#pragma once

#include "base/arena.h"
#include "kernels/comm_launch.h"
#include "kernels/ops.h"

struct comm;

/* Joins the ranks this process was launched with; *out is NULL when it was launched alone. EXIT_BAD_CONFIG:
 * the launcher's variables make no sense, or what they ask for was not built. EXIT_IO: no connection. */
status comm_open(struct comm **out);

/* Leaves. `ended` is what ended the run (NULL: nothing did). It is returned, to be told, but for a failure
 * that all agreed on: that is rank 0's to tell, and the others end as if all were well, because a launcher
 * that sees one rank fail ends the rest before they have spoken. A failure that was not agreed on makes the
 * launcher, or the lost connection, end the other ranks. */
status comm_close(struct comm *c, status ended);

int comm_rank(const struct comm *c);         /* 0 alone */
int comm_size(const struct comm *c);         /* 1 alone */
const char *comm_name(const struct comm *c); /* of the transport: "MPI"; "" alone */
int comm_local_size(const struct comm *c);   /* ranks on this host; 1 alone */

/* Collective: fails on all ranks when `failed` is a failure on one, with the sentence of the lowest such
 * rank ("rank 2: ..." unless that is 0). Consumes `failed`. *any (may be NULL) comes with this rank's wish
 * and leaves with whether any rank had it. */
status comm_agree(struct comm *c, status failed, bool *any);

/* Rank 0's bytes for all. */
status comm_broadcast(struct comm *c, void *data, size_t n);

/* Pieces of one host array: rank r brings elements [cut[r], cut[r+1]) of `width` bytes; afterwards all ranks
 * have all (share), or rank 0 has (collect). cut [size + 1] ascends and is the same everywhere. */
status comm_share(struct comm *c, void *data, size_t width, const int64_t *cut);
status comm_collect(struct comm *c, void *data, size_t width, const int64_t *cut);

/* One element of `width` bytes a rank, all [size]. */
status comm_share_each(struct comm *c, void *all, size_t width);

/* Each rank brings a text of any length; all get all of them, out [size], in the arena. Alone: mine. */
status comm_share_texts(struct comm *c, struct span mine, struct arena *arena, struct span *out);

/* The first of rank r's share of n things: cut [size + 1], as equal as whole things allow. */
void comm_cut(const struct comm *c, int64_t n, int64_t *cut);

/* Collective: says whose memory device memory is from here on, a stream's on `device`; until then, and where
 * the device is the host, it is host memory. GPUs speak over NCCL where all ranks have it, otherwise by way
 * of their hosts. EXIT_IO: NCCL is there and refuses, with what it says. */
status comm_use_device(struct comm *c, struct stream *s, const char *device);

/* Device memory, floats. Share: as above. Exchange: floats [cut[r], cut[r+1]) of `from` go to rank r; `to`
 * gets everybody's for this rank, [size][cut[rank+1] - cut[rank]], by rank. */
status comm_share_floats(struct comm *c, struct stream *s, buf data, const int64_t *cut);
status comm_exchange_floats(struct comm *c, struct stream *s, buf from, const int64_t *cut, buf to);
