"""llm.c's train_gpt2.c doing the updates of tests/bench_model.c: as peer_torch.py, with a GPT-2 of the row's
width, heads, layers and vocabulary.

llm.c has no package: GRPO_LLMC names a directory with its source (train_gpt2.c and llmc/), which is compiled as
its Makefile does, on one thread. Weights are random, and rounds are what its main() does in a step.
"""
import peer

import array
import json
import os
import random
import subprocess
import sys
import tempfile

DRIVER = r"""
#define TESTING /* leaves its main() out */
#include "train_gpt2.c"
int main(int argc, char **argv) {
    int out = dup(1), B = atoi(argv[2]), T = atoi(argv[3]), ids[B * T + 1];
    GPT2 model;
    dup2(2, 1);
    gpt2_build_from_checkpoint(&model, argv[1]);
    remove(argv[1]);
    for (int i = 0; i <= B * T; i++) ids[i] = (int)(i * 7919L % model.config.vocab_size);
    for (int step = 0; step == 0 || getchar() != EOF; step++) {
        clock_t begin = clock();
        gpt2_forward(&model, ids, ids + 1, B, T);
        gpt2_zero_grad(&model);
        gpt2_backward(&model);
        gpt2_update(&model, 1e-4f, 0.9f, 0.999f, 1e-8f, 0.0f, step + 1);
        double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        char line[256];
        long kib = 0;
        FILE *status = fopen("/proc/self/status", "r");
        while (fgets(line, sizeof line, status) && sscanf(line, "VmHWM: %ld", &kib) != 1) {}
        fclose(status);
        if (step) dprintf(out, "%f %ld\n", seconds, kib * 1024);
        else dprintf(out, "ready\n");
    }
}
"""
FLAGS = "-Ofast -march=native -fno-finite-math-only -fopenmp -DOMP -Wno-unused-result".split()
MAGIC, VERSION, POSITIONS = 20240326, 3, 1024


def write_model(path, m):
    """A checkpoint: a head of 256 integers, then all weights, normal(0, 0.02) from a table."""
    D, layers, padded = m["hidden"], m["layers"], (m["vocab"] + 127) // 128 * 128
    n = (padded + POSITIONS) * D + layers * (12 * D * D + 13 * D) + 2 * D
    head = [MAGIC, VERSION, POSITIONS, m["vocab"], layers, m["heads"], D, padded]
    table = array.array("f", (random.gauss(0, 0.02) for _ in range(1000003)))
    with open(path, "wb") as f:
        array.array("i", head + [0] * (256 - len(head))).tofile(f)
        for at in range(0, n, len(table)):
            table[: n - at].tofile(f)


job = json.loads(sys.argv[1])
source = os.environ.get("GRPO_LLMC")
if not source:
    raise RuntimeError("GRPO_LLMC names no directory of it")
directory = tempfile.TemporaryDirectory()
program, checkpoint = directory.name + "/driver", directory.name + "/model.bin"
with open(program + ".c", "w") as f:
    f.write(DRIVER)
if subprocess.run(["gcc", *FLAGS, "-I", source, "-o", program, program + ".c", "-lm"]).returncode:
    raise RuntimeError(f"{source}/train_gpt2.c cannot be compiled")
write_model(checkpoint, job["model"])
os.dup2(peer.answers.fileno(), 1)
work = [str(job["work"]["samples"]), str(job["work"]["new"])]
sys.exit(subprocess.run([program, checkpoint, *work], env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode)
