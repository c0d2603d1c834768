#!/usr/bin/env python3
"""Opens a policy directory with transformers and compares its logits with a golden file.

usage: check_saved.py DIR GOLDEN [--tolerance 1e-4]

For developers (needs torch and transformers). Exits with 1 when weights are missing or not expected,
or when a logit differs by more than the tolerance.
"""

import argparse
import sys

import safetensors.torch
import torch
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("golden")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    args = parser.parse_args()

    model, info = AutoModelForCausalLM.from_pretrained(
        args.directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = {key: sorted(map(str, names)) for key, names in info.items() if names}
    golden = safetensors.torch.load_file(args.golden)
    worst, i = 0.0, 0
    with torch.no_grad():
        while f"input_ids.{i}" in golden:
            logits = model(input_ids=golden[f"input_ids.{i}"][None]).logits[0]
            worst = max(worst, float((logits - golden[f"logits.{i}"]).abs().max()))
            i += 1
    print(f"{i} sequences, largest difference of a logit {worst:.3g}", problems or "")
    sys.exit(1 if problems or i == 0 or not worst <= args.tolerance else 0)


if __name__ == "__main__":
    main()
