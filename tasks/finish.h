/* Why a completion ended. Shared by the engine, which knows, and the rewards, which ask. */
#pragma once

enum finish_reason {
    FINISH_STOP,   /* the policy ended its answer (a stop token) */
    FINISH_LENGTH, /* cut at the length cap */
};
