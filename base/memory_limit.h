/* How much memory this process may have. */
#pragma once

#include <stddef.h>

/* Bytes: the machine's memory, or the least limit of the control groups (cgroups, versions 1 and 2) that the
 * process belongs to, if that is less. */
size_t memory_limit(void);

/* The same for tests: `groups` stands for /proc/self/cgroup, `mount` for /sys/fs/cgroup. */
size_t memory_limit_of(const char *groups, const char *mount, size_t machine);
