/* The program's version, in this one place. */
#pragma once

#define GRPO_VERSION "0.1.0"
