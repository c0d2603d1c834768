#!/usr/bin/env python3
"""Runs what `grpo convert` exports in llama.cpp, and compares it with transformers.

usage: check_gguf.py GRPO [--type F32] [--only NAME] [--tolerance 1e-3]

For developers (needs torch, transformers and xllamacpp, a llama.cpp as a package). Makes a small random
model of every architecture that GGUF can say, exports it with the program GRPO, and compares the
probabilities of the next token after five random prompts: the largest difference, and the total variation.
Exits with 1 when a difference is larger than the tolerance.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
import xllamacpp

TOKENIZER = pathlib.Path(__file__).parent.parent / "tests/golden/tokenizers/mini_qwen/tokenizer.json"
VOCABULARY, CONTEXT, PROMPTS, PROMPT = 1280, 256, 5, 40
BASE = dict(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=128, max_position_embeddings=CONTEXT, bos_token_id=1257, eos_token_id=1258,
            pad_token_id=None, initializer_range=0.35, attention_dropout=0.0, tie_word_embeddings=False,
            rms_norm_eps=1e-6)
PLAIN = {"rope_type": "default", "rope_theta": 5000.0}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "mscale": 0.707, "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1}
GROUPED = dict(num_key_value_heads=2)
EXPERTS = dict(num_experts=8, num_experts_per_tok=2)
DEEPSEEK = dict(num_key_value_heads=4, moe_intermediate_size=32, n_routed_experts=8, num_experts_per_tok=2,
                n_shared_experts=1, first_k_dense_replace=1, kv_lora_rank=16, qk_nope_head_dim=16,
                qk_rope_head_dim=8, v_head_dim=12, routed_scaling_factor=1.7)
# name: (class of the config, what it has beside BASE)
MODELS = {
    "llama": ("Llama", dict(GROUPED, tie_word_embeddings=True, rope_parameters=PLAIN)),
    "llama_linear": ("Llama", dict(GROUPED, rope_parameters=LINEAR)),
    "llama_llama3": ("Llama", dict(GROUPED, rope_parameters=LLAMA3)),
    "qwen2": ("Qwen2", dict(GROUPED, tie_word_embeddings=True, rope_parameters=PLAIN)),
    "qwen3": ("Qwen3", dict(GROUPED, head_dim=24, rope_parameters=PLAIN)),
    "qwen3moe": ("Qwen3Moe", dict(GROUPED, **EXPERTS, head_dim=24, moe_intermediate_size=32,
                                  norm_topk_prob=True, rope_parameters=PLAIN)),
    "mixtral": ("Mixtral", dict(GROUPED, num_local_experts=4, num_experts_per_tok=2, sliding_window=None,
                                rope_parameters=PLAIN)),
    "olmoe": ("Olmoe", dict(EXPERTS, num_key_value_heads=4, norm_topk_prob=False, rope_parameters=PLAIN)),
    "deepseek_v2": ("DeepseekV2", dict(DEEPSEEK, q_lora_rank=None, n_group=1, topk_group=1,
                                       topk_method="greedy", norm_topk_prob=False, rope_parameters=PLAIN)),
    "deepseek_v3": ("DeepseekV3", dict(DEEPSEEK, q_lora_rank=24, n_group=4, topk_group=2,
                                       norm_topk_prob=True, rope_parameters=PLAIN)),
    "deepseek_v3_yarn": ("DeepseekV3", dict(DEEPSEEK, q_lora_rank=24, n_group=1, topk_group=1,
                                            norm_topk_prob=True, rope_parameters=YARN)),
}


def model(kind, more):
    """Random weights that make every tensor count."""
    config = getattr(transformers, kind + "Config")(**{**BASE, **more})
    out = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    for name, tensor in [*out.named_parameters(), *out.named_buffers()]:
        if name.endswith(".bias") or "e_score" in name:
            tensor.data.normal_(0, 0.3)
        elif "norm" in name and tensor.dim() == 1:
            tensor.data.normal_(1, 0.2)
    return out


def expected(policy, prompts):
    with torch.no_grad():
        logits = policy(torch.tensor(prompts)).logits[:, -1]
    return torch.softmax(logits.double(), -1).numpy()


def probabilities(path, prompts):
    p = xllamacpp.CommonParams()
    p.model.path, p.n_ctx, p.n_parallel, p.warmup, p.n_gpu_layers = str(path), CONTEXT, 1, False, 0
    p.cpuparams.n_threads = 2
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    p.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server, rows = xllamacpp.Server(p), np.full((len(prompts), VOCABULARY), np.nan)
    for row, ids in zip(rows, prompts):
        reply = server.handle_completions({"prompt": [int(i) for i in ids], "n_predict": 1, "temperature": 0,
                                           "n_probs": VOCABULARY, "cache_prompt": False})
        told = reply["choices"][0]["logprobs"]
        if not told:
            continue  # where the likeliest token ends the text, llama.cpp tells no probabilities
        row[:] = 0
        for token in told["content"][0]["top_logprobs"]:
            row[token["id"]] = np.exp(token["logprob"])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grpo")
    parser.add_argument("--type", default="F32")
    parser.add_argument("--only")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    args = parser.parse_args()
    prompts = np.random.default_rng(3).integers(0, 1200, (PROMPTS, PROMPT))
    bad = 0
    for name, (kind, more) in MODELS.items():
        if args.only not in (None, name):
            continue
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            directory, file = pathlib.Path(folder, "hf"), pathlib.Path(folder, "policy.gguf")
            policy = model(kind, more)
            policy.save_pretrained(directory)
            shutil.copy(TOKENIZER, directory)
            subprocess.run([args.grpo, "convert", directory, file, "--type", args.type], check=True)
            difference = np.abs(probabilities(file, prompts) - expected(policy, prompts))
        difference = difference[~np.isnan(difference).any(1)]
        largest, variation = difference.max(), difference.sum(1).max() / 2
        bad += not largest <= args.tolerance
        print(f"{name}: largest difference {largest:.1e}, total variation {variation:.1e} "
              f"({len(difference)} prompts)", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
