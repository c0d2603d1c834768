#include "reward/math/cleanup.h"

#include <flint/flint.h>
#include <pthread.h>

/* The key's destructor runs at the end of every thread that set a value. */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void clean(void *value) {
    (void)value;
    flint_cleanup();
}

static void make_key(void) {
    /* Without a key (the system has none left) caches of ended threads stay allocated, no more. */
    if (pthread_key_create(&key, clean) != 0) key = (pthread_key_t)-1;
}

void cleanup_at_thread_end(void) {
    pthread_once(&once, make_key);
    if (key != (pthread_key_t)-1 && !pthread_getspecific(key)) pthread_setspecific(key, &key);
}
