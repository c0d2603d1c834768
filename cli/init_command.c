/* `grpo init DIR`: a policy of random weights as a Hugging Face directory. */
#include "base/file.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/session.h"

#include <stdio.h>

static status init(const struct settings *s, const char *dir) {
    if (file_exists(dir))
        return fail(EXIT_USAGE_ERROR, "%s is there already, expected a new directory", dir);
    struct stream *stream;
    struct stream_config config = session_stream(s);
    TRY(stream_open(&stream, &config));
    status failed = trainer_init_model(dir, stream, &s->model, (uint64_t)s->general.seed);
    op_close(stream);
    if (!failed) printf("%s: random weights of seed %lld\n", dir, (long long)s->general.seed);
    return failed;
}

status cli_init(int argc, char **argv) {
    struct settings settings;
    const char *dir = NULL;
    TRY(session_arguments(&settings, NULL, NULL, &dir, 1, argc, argv));
    status failed =
        dir ? init(&settings, dir) : fail(EXIT_USAGE_ERROR, "expected the directory to write");
    schema_close(&settings);
    return failed;
}
