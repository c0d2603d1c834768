/* `grpo convert FROM TO`: a GGUF file as a Hugging Face directory, or a directory as a GGUF file. */
#include "base/file.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "policy/gguf_convert.h"

enum { TYPE, OPTIONS };

const struct command_option cli_convert_options[] = {
    [TYPE] = {"--type", "TYPE", "of a GGUF file's matrices: F32, F16 (unless given), BF16, Q8_0"},
    [OPTIONS] = {0},
};

status cli_convert(int argc, char **argv) {
    const char *given[OPTIONS], *paths[2];
    struct arguments a = {
        .options = cli_convert_options, .values = given, .operands = paths, .operands_max = 2};
    TRY(arguments_read(&a, argc, argv));
    if (a.n_operands != 2)
        return fail(EXIT_USAGE_ERROR, "expected a GGUF file and a directory to make, or a "
                                      "directory and a GGUF file to make");
    if (!file_is_dir(paths[0])) {
        if (given[TYPE])
            return fail(EXIT_USAGE_ERROR,
                        "--type is for GGUF files to be made, but %s is no directory", paths[0]);
        return gguf_import(paths[0], paths[1]);
    }
    const struct gguf_format *format = gguf_format_named(given[TYPE] ? given[TYPE] : "F16");
    if (!format)
        return fail(EXIT_USAGE_ERROR,
                    "--type %.80s is not written, only F32, F16, BF16 and Q8_0 are", given[TYPE]);
    return gguf_export(paths[0], paths[1], format);
}
