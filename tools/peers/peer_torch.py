"""PyTorch doing a row of tests/bench_model.c.

usage: peer_torch.py '{"model": {...}, "work": {...}, "bf16": false}'
As peer_llama.py; with "update": true in "work" it is a training step of `samples` sequences of `new` rows. With
"bf16" what autocast puts into bf16 is in bf16, and parameters stay fp32.
"""
import peer

import json
import sys

import torch
import transformers

job = json.loads(sys.argv[1])
m, w = job["model"], job["work"]
torch.manual_seed(1)
torch.set_num_threads(1)
config = dict(
    vocab_size=m["vocab"],
    hidden_size=m["hidden"],
    num_hidden_layers=m["layers"],
    num_attention_heads=m["heads"],
    num_key_value_heads=m["kv_heads"],
    head_dim=m["head_dim"],
    tie_word_embeddings=m["tied"],
    max_position_embeddings=4096,
    attn_implementation="sdpa",
)
if m["experts"]:
    config |= dict(intermediate_size=m["expert_ffn"], num_experts=m["experts"], num_experts_per_tok=m["top_k"])
    model = transformers.OlmoeForCausalLM(transformers.OlmoeConfig(**config))
else:
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(intermediate_size=m["ffn"], **config))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1, foreach=True)


def update():
    ids = torch.randint(m["vocab"], (w["samples"], w["new"] + 1))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=job["bf16"]):
        logits = model(ids[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


@torch.inference_mode()
def rollout():
    """The prompt once, its keys and values repeated for the group, then one token a pass, drawn by multinomial."""
    out = model(torch.randint(m["vocab"], (w["prompts"], w["prompt"])), use_cache=True, logits_to_keep=1)
    cache = out.past_key_values
    cache.batch_repeat_interleave(w["samples"])
    logits = out.logits[:, -1].repeat_interleave(w["samples"], 0)
    for t in range(w["new"]):
        ids = torch.multinomial(torch.softmax(logits, -1), 1)
        if t + 1 < w["new"]:
            logits = model(ids, past_key_values=cache, use_cache=True).logits[:, -1]


work = update if w["update"] else rollout
work()
peer.serve(work)
