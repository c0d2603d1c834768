#!/usr/bin/env python3
"""Makes golden_bf16.safetensors beside golden.safetensors in some of tests/golden/policy/: what transformers
computes for the same sequences when the operands of every product of its linear layers are rounded to
bf16, in the forward and in the backward, the rows of the embedding too, through which gradients pass
unchanged, and everything else stays fp32 (policy.dtype=bf16).

Run by developers after tools/make_fixtures.py (needs torch, transformers, safetensors), from the
repository's root. The models are those whose linear layers are all torch.nn.Linear.
"""

import pathlib

import safetensors.torch
import torch
import transformers
from transformers import AutoModelForCausalLM

OUT = pathlib.Path("tests/golden/policy")
MODELS = ["llama", "qwen2", "qwen3"]


def rounded(x):
    return x.to(torch.bfloat16).to(torch.float32)


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return rounded(x) @ rounded(w).T

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        n, k = w.shape
        dw = rounded(dy).reshape(-1, n).T @ rounded(x).reshape(-1, k)
        return rounded(dy) @ rounded(w), dw


def forward(layer, x):
    y = Product.apply(x, layer.weight)
    return y if layer.bias is None else y + layer.bias


def lookup(embedding, ids):
    rows = torch.nn.functional.embedding(ids, embedding.weight)
    return rows + (rounded(rows) - rows).detach()


def make(name):
    directory = OUT / name
    golden = safetensors.torch.load_file(directory / "golden.safetensors")
    torch.nn.Linear.forward = forward
    torch.nn.Embedding.forward = lookup
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager")
    model.get_input_embeddings().padding_idx = None  # padding has a gradient like any other token
    out, loss, targets, i = {}, 0.0, 0, 0
    while f"input_ids.{i}" in golden:
        ids, mask = golden[f"input_ids.{i}"], golden[f"loss_mask.{i}"]
        logits = model(ids[None], use_cache=False).logits[0]
        out |= {f"input_ids.{i}": ids, f"loss_mask.{i}": mask, f"logits.{i}": logits.detach()}
        logp = torch.log_softmax(logits[:-1], -1)
        of_target = logp.gather(1, ids[1:, None])[:, 0]
        loss = loss - (of_target * mask[1:]).sum()
        targets += int(mask[1:].sum())
        i += 1
    loss = loss / targets
    loss.backward()
    out["loss"] = loss.detach().reshape(1)
    names = {n for n in golden if n.startswith("grad.")}
    out |= {f"grad.{n}": p.grad.contiguous() for n, p in model.named_parameters()
            if f"grad.{n}" in names}
    assert names == {n for n in out if n.startswith("grad.")}
    safetensors.torch.save_file(out, directory / "golden_bf16.safetensors")
    print(name, "loss", out["loss"].item(), "in fp32", golden["loss"].item())


print("torch", torch.__version__, "transformers", transformers.__version__)
for one in MODELS:
    make(one)
