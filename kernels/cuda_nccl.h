/* NCCL as a transport of device memory between GPUs: the contract between the program and the CUDA backend's
 * library, which loads NCCL when several ranks run. Nothing is linked with it. */
#pragma once

#include "kernels/comm_transport.h"
#include "kernels/ops.h"

enum { NCCL_ID_BYTES = 128, NCCL_ERROR_MAX = 256 };

/* Names a library to load in place of the system's libnccl.so.2. */
#define NCCL_LIBRARY_VARIABLE "GRPO_NCCL_LIBRARY"

/* How ranks join; it has to live as long as the transport. */
struct nccl_join {
    void *functions;       /* of NCCL, once loaded; to be freed with free() after the transport */
    struct stream *stream; /* of the CUDA backend; transfers are ordered with its operations */
    int rank, size;
    char id[NCCL_ID_BYTES]; /* made by one rank, the same for all */
    struct transport *host; /* whose `watch` names a rank that is lost */
    char error[NCCL_ERROR_MAX];
};

/* What the backend's library exports. */
struct cuda_nccl {
    /* Loads NCCL from `library`; false when it is not there or too old. */
    bool (*load)(struct nccl_join *join, const char *library);
    /* Makes the id. False: join->error says why. */
    bool (*name)(struct nccl_join *join);
    /* Joins, with all ranks. NULL: join->error says why. */
    struct transport *(*open)(struct nccl_join *join);
};
#define CUDA_NCCL_SYMBOL "grpo_cuda_nccl"
typedef const struct cuda_nccl *cuda_nccl_function(void);
