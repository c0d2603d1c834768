#!/usr/bin/env python3
"""Makes tests/golden/adapter/: random LoRA adapters for policies of tests/golden/policy/, written by peft,
each with what peft and transformers compute for it in golden.safetensors.

Run by developers (needs torch, transformers, peft, safetensors), from the repository's root; the tests read
the committed files and need no Python. Running it again with the versions named in
tests/golden/adapter/README.md gives the same bytes.
"""

import json
import pathlib
import shutil

import peft
import safetensors.torch
import torch
import transformers
from peft.utils import transformers_weight_conversion as conversion
from transformers import AutoModelForCausalLM

from make_fixtures import ROUTER_MARGIN, forward_and_backward, margins_of_routers

BASES = pathlib.Path("tests/golden/policy")
OUT = pathlib.Path("tests/golden/adapter")
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
# peft 0.21 takes every gate_proj, up_proj and down_proj of such models for the fused routed experts, shared
# experts too. What it would compute for those is what is wanted here.
conversion._convert_peft_config_moe = lambda config, model: None
# A regular expression is matched against whole module names.
ADAPTERS = {
    "llama": dict(r=4, lora_alpha=6, target_modules=ATTENTION + ["gate_proj", "up_proj", "down_proj"]),
    "qwen2": dict(r=3, lora_alpha=16, target_modules=r".*layers\.1\..*(q_proj|v_proj|up_proj)"),
    "qwen3_moe": dict(r=2, lora_alpha=2, target_modules=ATTENTION),
    "deepseek_v3_q_lora": dict(
        r=5, lora_alpha=8,
        target_modules=r".*(q_a_proj|q_b_proj|kv_a_proj_with_mqa|o_proj|shared_experts\.(gate|up|down)_proj)"),
}


def golden_of(model, generator):
    margins = []
    margins_of_routers(model, margins)
    golden = forward_and_backward(model, generator)
    for name, p in model.named_parameters():
        if p.requires_grad:
            golden[f"grad.{name.replace('.default.', '.')}"] = p.grad.contiguous().clone()
    return None if margins and min(margins) < ROUTER_MARGIN else golden


def make(name, settings):
    directory = OUT / name
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(
            BASES / name, dtype=torch.float32, attn_implementation="eager")
        model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        model.eval()
        with torch.no_grad():  # B too: an adapter that is zero tests nothing
            for _, p in sorted((n, p) for n, p in model.named_parameters() if p.requires_grad):
                p.copy_(torch.randn(p.shape, generator=generator) * 0.15)
        golden = golden_of(model, generator)
        if golden:
            break
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "README.md").unlink()
    config = json.loads((directory / "adapter_config.json").read_text())
    if isinstance(config["target_modules"], list):  # a set in memory: its order is chance
        config["target_modules"].sort()
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    safetensors.torch.save_file(golden, directory / "golden.safetensors", metadata={"seed": str(seed)})
    for file in directory.iterdir():
        file.chmod(0o644)
    print(name, "seed", seed, "loss", float(golden["loss"]),
          {f.name: f.stat().st_size for f in sorted(directory.iterdir())})


README = f"""# Golden adapters

Made by `tools/make_adapter_fixtures.py` with torch {torch.__version__}, transformers {transformers.__version__},
peft {peft.__version__}; fp32. Each directory is a LoRA adapter as peft writes it, random in A and B, for the
policy of the same name in `../policy`. `golden.safetensors` holds input_ids, loss_mask, logits and loss as
there, of the adapted policy, and `grad.NAME` for every tensor of the adapter.

| directory | adapters on |
|---|---|
| `llama` | all projections |
| `qwen2` | q, v and up of layer 1: parts of matrices that are one here |
| `qwen3_moe` | attention |
| `deepseek_v3_q_lora` | latent attention but kv_b_proj, shared experts |
"""


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, settings in ADAPTERS.items():
        make(name, settings)
    (OUT / "README.md").write_text(README)


if __name__ == "__main__":
    main()
