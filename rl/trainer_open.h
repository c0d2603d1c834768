/* Opening and closing a trainer. */
#pragma once

#include "rl/trainer.h"

/* Opens everything that t->config asks for, the rest of `t` being zero; *bytes is the memory that the run is
 * planned to need. On failure too the caller closes with trainer_close. EXIT_BAD_CONFIG, EXIT_BAD_DATA,
 * EXIT_NO_INPUT, EXIT_IO; EXIT_TRY_AGAIN: the run directory is locked. */
status trainer_open(struct trainer *t, size_t *bytes);
void trainer_close(struct trainer *t);
