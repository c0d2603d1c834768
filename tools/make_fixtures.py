#!/usr/bin/env python3
"""Makes tests/golden/policy/: tiny random models of every family the policy computes, as ordinary
Hugging Face directories, each with what transformers computes for it in golden.safetensors.

Run by developers (needs torch, transformers, safetensors), from the repository's root, for all models
or for those named as arguments; the tests read the committed files and need no Python. Running it
again with the versions named in tests/golden/policy/README.md gives the same bytes.
"""

import json
import pathlib
import shutil
import sys

import safetensors
import safetensors.torch
import torch
import transformers
from transformers import AutoModelForCausalLM

OUT = pathlib.Path("tests/golden/policy")
VOCAB = 64
LENGTHS = [1, 5, 23, 77]  # the last one crosses a block of 64 keys
GREEDY_PROMPT, GREEDY_NEW = 7, 20
# Two implementations that round differently must still pick the same experts and tokens.
ROUTER_MARGIN, GREEDY_MARGIN = 2e-5, 2e-3

COMMON = dict(
    vocab_size=VOCAB, max_position_embeddings=128, initializer_range=0.02, bos_token_id=0,
    eos_token_id=[1, 2], pad_token_id=3,
)
MODELS = {
    "qwen3": transformers.Qwen3Config(
        **COMMON, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "qwen3_moe": transformers.Qwen3MoeConfig(
        **COMMON, hidden_size=16, intermediate_size=36, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, num_experts=8, num_experts_per_tok=3,
        moe_intermediate_size=12, norm_topk_prob=True, mlp_only_layers=[1], rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
    "deepseek_v3": transformers.DeepseekV3Config(
        **COMMON, hidden_size=16, intermediate_size=36, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=3, n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=12,
        n_shared_experts=1, first_k_dense_replace=1, n_group=2, topk_group=1, norm_topk_prob=True,
        routed_scaling_factor=2.5, q_lora_rank=None, kv_lora_rank=12, qk_nope_head_dim=8,
        qk_rope_head_dim=4, v_head_dim=6, num_mtp_layers=0,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "deepseek_v3_q_lora": transformers.DeepseekV3Config(
        **COMMON, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, n_routed_experts=12, num_experts_per_tok=4, moe_intermediate_size=8,
        n_shared_experts=2, first_k_dense_replace=1, n_group=4, topk_group=2, norm_topk_prob=False,
        routed_scaling_factor=1.5, q_lora_rank=10, kv_lora_rank=12, qk_nope_head_dim=8,
        qk_rope_head_dim=8, v_head_dim=8, num_mtp_layers=0, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
}
MODELS |= {
    "llama": transformers.LlamaConfig(
        **COMMON, hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=1, tie_word_embeddings=False, rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 40},
    ),
    "llama_linear": transformers.LlamaConfig(
        **COMMON, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False,
        rope_parameters={"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.5},
    ),
    "qwen2": transformers.Qwen2Config(
        **COMMON, hidden_size=24, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
            "original_max_position_embeddings": 32},
    ),
    "mixtral": transformers.MixtralConfig(
        **COMMON, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=5, num_experts_per_tok=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    ),
    "olmoe": transformers.OlmoeConfig(
        **COMMON, hidden_size=16, intermediate_size=12, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_experts=8, num_experts_per_tok=3, norm_topk_prob=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "deepseek_v2": transformers.DeepseekV2Config(
        **COMMON, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=8,
        n_shared_experts=2, first_k_dense_replace=1, topk_method="greedy", n_group=None,
        topk_group=None, norm_topk_prob=False, routed_scaling_factor=1.0, q_lora_rank=None,
        kv_lora_rank=12, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=6,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "beta_fast": 32.0,
            "beta_slow": 1.0, "mscale": 0.707, "mscale_all_dim": 0.707,
            "original_max_position_embeddings": 64},
    ),
    "deepseek_v2_groups": transformers.DeepseekV2Config(
        **COMMON, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, n_routed_experts=12, num_experts_per_tok=3, moe_intermediate_size=8,
        n_shared_experts=1, first_k_dense_replace=0, topk_method="group_limited_greedy", n_group=4,
        topk_group=2, norm_topk_prob=False, routed_scaling_factor=4.0, q_lora_rank=10,
        kv_lora_rank=12, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "deepseek_v3_yarn": transformers.DeepseekV3Config(
        **COMMON, hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=8,
        n_shared_experts=1, first_k_dense_replace=1, n_group=2, topk_group=1, norm_topk_prob=True,
        routed_scaling_factor=2.5, q_lora_rank=10, kv_lora_rank=12, qk_nope_head_dim=8,
        qk_rope_head_dim=8, v_head_dim=6, num_mtp_layers=0,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "beta_fast": 32.0,
            "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 0.5,
            "original_max_position_embeddings": 64},
    ),
}
# Some fixtures spell their config.json the way transformers 4 did.
VERSION_4_SPELLING = {
    "qwen3_moe", "deepseek_v3", "llama", "qwen2", "olmoe", "deepseek_v2", "deepseek_v3_yarn",
}


def randomize(model, generator):
    """Weights large enough that every part of the model shows in the logits."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith(".bias"):
                p.copy_(0.3 * noise)
            elif "norm" in name:
                p.copy_(1 + 0.2 * noise)
            elif "embed_tokens" in name or "lm_head" in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(noise * p.shape[-1] ** -0.5)
        for name, b in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                b.copy_(0.3 * torch.rand(b.shape, generator=generator))


def write_version_4_config(directory):
    path = directory / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    rope["type"] = rope["rope_type"]
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.52.4"
    for key in ("qk_head_dim", "layer_types", "pretraining_tp", "num_nextn_predict_layers"):
        config.pop(key, None)
    if config["model_type"] != "qwen3_moe":
        config.pop("head_dim", None)
    if config["model_type"] in ("qwen3_moe", "olmoe") and "num_local_experts" in config:
        config["num_experts"] = config.pop("num_local_experts")
    if config["model_type"] == "deepseek_v2":
        config.update(scoring_func="softmax", moe_layer_freq=1)
    if config["model_type"] == "deepseek_v3":
        config.update(scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def margins_of_routers(model, record):
    """Records, for every router call, how far the last chosen score is above the first one left."""

    def hook(router, args, output):
        logits = output[0]
        k = router.top_k
        if hasattr(router, "e_score_correction_bias"):
            c = logits.sigmoid() + router.e_score_correction_bias
            groups = c.view(len(c), router.num_group, -1)
            sums = groups.topk(2, dim=-1)[0].sum(-1)
            order = sums.sort(dim=-1, descending=True)
            record.append((order[0][:, router.topk_group - 1] - order[0][:, router.topk_group]).min())
            kept = torch.zeros_like(sums).scatter(1, order[1][:, : router.topk_group], 1).bool()
            c = groups.masked_fill(~kept.unsqueeze(-1), -torch.inf).view(len(c), -1)
        else:
            c = logits.softmax(-1)
            if getattr(router, "topk_method", "") == "group_limited_greedy":
                groups = c.view(len(c), router.num_group, -1)
                order = groups.amax(-1).sort(dim=-1, descending=True)
                n = router.topk_group
                record.append((order[0][:, n - 1] - order[0][:, n]).min())
                kept = torch.zeros_like(order[0]).scatter(1, order[1][:, :n], 1).bool()
                c = groups.masked_fill(~kept.unsqueeze(-1), -torch.inf).view(len(c), -1)
        c = c.sort(dim=-1, descending=True)[0]
        record.append((c[:, k - 1] - c[:, k]).min())

    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            module.register_forward_hook(hook)


def gradients(model):
    """Every parameter's gradient under its name in the file: one tensor an expert."""
    out = {}
    mixtral = model.config.model_type == "mixtral"
    gate_name, up_name, down_name = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    for name, p in model.named_parameters():
        g = p.grad
        if mixtral:
            name = name.replace(".mlp.", ".block_sparse_moe.")
        if name.endswith("experts.gate_up_proj"):
            base = name.removesuffix("gate_up_proj")
            for e in range(g.shape[0]):
                gate, up = g[e].chunk(2, dim=0)
                out[f"{base}{e}.{gate_name}.weight"], out[f"{base}{e}.{up_name}.weight"] = gate, up
        elif name.endswith("experts.down_proj"):
            base = name.removesuffix("down_proj")
            for e in range(g.shape[0]):
                out[f"{base}{e}.{down_name}.weight"] = g[e]
        else:
            out[name] = g
    return {f"grad.{name}": g.contiguous().clone() for name, g in out.items()}


def forward_and_backward(model, generator):
    """Random sequences, their logits and the loss, whose gradients are then in the model."""
    golden, loss, targets = {}, 0.0, 0
    for i, length in enumerate(LENGTHS):
        ids = torch.randint(VOCAB, (length,), generator=generator)
        mask = (torch.rand(length, generator=generator) < 0.6).to(torch.uint8)
        mask[0] = 0  # nothing predicts the first token
        logits = model(input_ids=ids[None]).logits[0]
        chosen = mask[1:].bool()
        loss = loss + torch.nn.functional.cross_entropy(
            logits[:-1][chosen], ids[1:][chosen], reduction="sum")
        targets += int(chosen.sum())
        golden |= {f"input_ids.{i}": ids, f"loss_mask.{i}": mask, f"logits.{i}": logits.detach()}
    loss = loss / targets
    loss.backward()
    golden["loss"] = loss.detach().reshape(1)
    return golden


def golden_of(directory, generator):
    """What transformers computes for the saved model; None when some choice is too close to call."""
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    model.get_input_embeddings().padding_idx = None  # to us a pad is a token: its row learns too
    margins = []
    margins_of_routers(model, margins)
    golden = forward_and_backward(model, generator)
    golden |= gradients(model)

    ids = torch.randint(VOCAB, (GREEDY_PROMPT,), generator=generator)
    golden["greedy.prompt"] = ids
    with torch.no_grad():
        for _ in range(GREEDY_NEW):
            top = model(input_ids=ids[None]).logits[0, -1].topk(2)
            if top.values[0] - top.values[1] < GREEDY_MARGIN:
                return None
            ids = torch.cat([ids, top.indices[:1]])
    golden["greedy.ids"] = ids[GREEDY_PROMPT:].clone()
    if len(golden["greedy.ids"].unique()) < GREEDY_NEW // 2:
        return None  # a model that repeats itself tests little
    return None if margins and min(margins) < ROUTER_MARGIN else golden


def make(name, config):
    directory = OUT / name
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        shutil.rmtree(directory, ignore_errors=True)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        randomize(model, generator)
        model.save_pretrained(directory)
        if name in VERSION_4_SPELLING:
            write_version_4_config(directory)
        golden = golden_of(directory, generator)
        if golden:
            break
    safetensors.torch.save_file(golden, directory / "golden.safetensors", metadata={"seed": str(seed)})
    for file in directory.iterdir():
        file.chmod(0o644)
    sizes = {f.name: f.stat().st_size for f in sorted(directory.iterdir())}
    print(name, "seed", seed, "loss", float(golden["loss"]), sizes)


def make_fused():
    """qwen3_moe once more, its experts fused as transformers 5 holds them in memory."""
    model = AutoModelForCausalLM.from_pretrained(OUT / "qwen3_moe", dtype=torch.float32)
    directory = OUT / "qwen3_moe_fused"
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory, save_original_format=False)
    for file in directory.iterdir():
        file.chmod(0o644)


README = f"""# Golden policies

Made by `tools/make_fixtures.py` with torch {torch.__version__}, transformers {transformers.__version__},
safetensors {safetensors.__version__}; fp32, eager attention, one sequence a forward.

| directory | what is in it |
|---|---|
| `qwen3` | dense, grouped-query attention, tied embeddings |
| `qwen3_moe` | softmax router, renormalised; layer 1 is dense (`mlp_only_layers`) |
| `qwen3_moe_fused` | the same weights, the experts fused (`save_original_format=False`); no golden file |
| `deepseek_v3` | latent attention without `q_lora_rank`, sigmoid router, 2 groups, shared expert |
| `deepseek_v3_q_lora` | with `q_lora_rank`, 2 of 4 groups, router not renormalised, tied embeddings |
| `deepseek_v3_yarn` | YaRN with two different mscales |
| `deepseek_v2` | no `q_lora_rank`, softmax router, greedy, YaRN as in V2-Lite |
| `deepseek_v2_groups` | `q_lora_rank`, group_limited_greedy, scaled gates, all layers with experts |
| `llama` | llama3 scaling |
| `llama_linear` | linear scaling |
| `qwen2` | biases on q, k, v; YaRN with its defaults |
| `mixtral` | `block_sparse_moe`, router always renormalised |
| `olmoe` | q and k normalised as whole vectors, router not renormalised |

{', '.join(f'`{name}`' for name in sorted(VERSION_4_SPELLING))} spell their `config.json` as
transformers 4 did, the others as 5 does. The release matters for `deepseek_v2`: those before July 2026
leave YaRN's mscale out of the softmax scale and are wrong there.

`golden.safetensors` holds, for the sequences i = 0..{len(LENGTHS) - 1} ({', '.join(map(str, LENGTHS))} tokens):
`input_ids.i` [T] I64, `logits.i` [T, V] F32, `loss_mask.i` [T] U8 (1: token t counts as a target,
predicted from position t - 1); `loss` [1], the mean cross entropy over all targets of all sequences;
`grad.NAME`, its gradient for every parameter under its name in the checkpoint;
`greedy.prompt` and `greedy.ids`, the {GREEDY_NEW} likeliest next tokens one after another (end tokens
do not stop it). Seeds are chosen so that no choice of an expert or of a greedy token is a near tie.

`golden_bf16.safetensors` (`tools/make_bf16_golden.py`) holds the same but the greedy ids, with the operands
of linear layers rounded to bf16.
"""


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, config in MODELS.items():
        if not sys.argv[1:] or name in sys.argv:
            make(name, config)
    if not sys.argv[1:] or "qwen3_moe_fused" in sys.argv:
        make_fused()
    (OUT / "README.md").write_text(README)


if __name__ == "__main__":
    main()
