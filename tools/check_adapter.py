#!/usr/bin/env python3
"""Opens adapters of a LoRA run with peft and compares the log-probabilities the run stored with peft's.

usage: check_adapter.py RUN STEP [--base DIR] [--tolerance 1e-4]

STEP's episodes were sampled (at temperature 1) with the adapters of the checkpoint before, which must be
there: checkpoint.every=1 checkpoint.keep=0. --base is the run's model.path; without one it is RUN/init. For
developers (needs torch, transformers and peft). Exits with 1 when an adapter's weight is missing or not
expected, when the adapters do nothing, or when a log-probability differs by more than the tolerance. A
checkpoint's hf/, if there is one, is compared too.
"""

import argparse
import pathlib
import sqlite3
import sys

import numpy
import peft
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM

EPISODES = """SELECT p.tokens, e.tokens, e.logp FROM episode e JOIN prompt p USING (step, draw, attempt)
              WHERE step = ? ORDER BY draw, attempt, sample LIMIT 200"""


def differences(model, episodes):
    """Largest difference between stored log-probabilities and the model's."""
    worst, n = 0.0, 0
    with torch.no_grad():
        for prompt, completion, stored in episodes:
            prompt, completion = (numpy.frombuffer(b, "<i4") for b in (prompt, completion))
            ids = torch.tensor(numpy.concatenate([prompt, completion]), dtype=torch.long)
            logits = model(input_ids=ids[None]).logits[0, len(prompt) - 1 : -1]
            logp = logits.log_softmax(-1).gather(1, ids[len(prompt) :, None])[:, 0]
            stored = torch.tensor(numpy.frombuffer(stored, "<f4").copy())
            worst, n = max(worst, float((logp - stored).abs().max())), n + len(stored)
    return worst, n


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("step", type=int)
    parser.add_argument("--base", type=pathlib.Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()

    before = args.run / "checkpoints" / f"global_step_{args.step - 1}"
    load = dict(dtype=torch.float32, attn_implementation="eager")
    base = AutoModelForCausalLM.from_pretrained(args.base or args.run / "init", **load)
    episodes = sqlite3.connect(args.run / "run.sqlite").execute(EPISODES, (args.step,)).fetchall()
    without, n = differences(base, episodes)
    adapted = peft.PeftModel.from_pretrained(base, before / "adapter")
    theirs = {name for name, _ in adapted.named_parameters() if ".lora_" in name}
    saved = safetensors.torch.load_file(before / "adapter" / "adapter_model.safetensors")
    problems = theirs ^ {name.replace(".weight", ".default.weight") for name in saved}
    worst, _ = differences(adapted.eval(), episodes)
    print(f"{len(saved)} tensors, {len(episodes)} episodes, {n} log-probabilities: largest difference {worst:.3g},"
          f" {without:.3g} without the adapters", sorted(problems) or "")
    bad = problems or not episodes or not worst <= args.tolerance or not without > 10 * args.tolerance
    if (before / "hf").is_dir():
        merged, _ = differences(AutoModelForCausalLM.from_pretrained(before / "hf", **load), episodes)
        print(f"merged, transformers alone: largest difference {merged:.3g}")
        bad = bad or not merged <= args.tolerance
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
