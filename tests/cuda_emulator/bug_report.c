/* How a bug of the code under test is told. */
#include "tests/cuda_emulator/internals.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Leaves "staged_sum<3>" of "void staged_sum<3>(float*, int)": what follows says nothing new. */
static void cut_parameters(char *function) {
    int depth = 0;
    for (char *at = function; *at; at++) {
        depth += (*at == '<') - (*at == '>');
        if (*at == '\n' || (*at == '(' && depth == 0)) *at-- = 0;
    }
    if (strncmp(function, "void ", 5) == 0)
        memmove(function, function + 5, strlen(function + 5) + 1);
}

void emu_describe_code(const void *address, char *out, size_t bytes) {
    Dl_info module;
    snprintf(out, bytes, "at %p", address);
    if (!dladdr(address, &module) || !module.dli_fname) return;
    size_t offset = (size_t)((const char *)address - (const char *)module.dli_fbase);
    const char *slash = strrchr(module.dli_fname, '/');
    snprintf(out, bytes, "%s+%#zx", slash ? slash + 1 : module.dli_fname, offset);
    char command[1024], function[256] = "", line[256] = "";
    snprintf(command, sizeof command, "addr2line -Cfse '%s' %#zx 2>/dev/null", module.dli_fname,
             offset);
    FILE *pipe = popen(command, "r");
    if (!pipe) return;
    bool known =
        fgets(function, sizeof function, pipe) && fgets(line, sizeof line, pipe) && line[0] != '?';
    pclose(pipe);
    cut_parameters(function);
    line[strcspn(line, " \n")] = 0;
    if (known) snprintf(out, bytes, "%s (%s)", function, line);
}

void emu_report(const char *kind, const char *format, ...) {
    char text[2048], where[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bool running = emu_describe_position(where, sizeof where);
    /* The report may come from a signal handler: no buffers that somebody may be writing. */
    dprintf(STDERR_FILENO, "cuda-emulator: %s: %s\n%s%s%s", kind, text, running ? "    in " : "",
            running ? where : "", running ? "\n" : "");
    _exit(70);
}
