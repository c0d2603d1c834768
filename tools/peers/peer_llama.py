"""llama.cpp doing a row of tests/bench_model.c.

usage: peer_llama.py '{"model": {...}, "work": {"prompts": 1, "samples": 64, "prompt": 128, "new": 128}, "bf16": false}'
A GGUF file of random weights is written first. Decoding feeds made-up tokens and samples nothing. Keys and
values are in half precision, each sequence has a cache of its own, and flash attention is on.
"""
import peer

import ctypes
import json
import multiprocessing
import sys
import tempfile

import gguf
import llama_cpp as llama
import numpy


def write_model(path, m, bf16):
    rng = numpy.random.default_rng(1)
    moe = m["experts"] > 0
    w = gguf.GGUFWriter(path, "olmoe" if moe else "llama")
    w.add_context_length(4096)
    w.add_embedding_length(m["hidden"])
    w.add_block_count(m["layers"])
    w.add_feed_forward_length(m["expert_ffn"] if moe else m["ffn"])
    w.add_head_count(m["heads"])
    w.add_head_count_kv(m["kv_heads"])
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(10000.0)
    w.add_rope_dimension_count(m["head_dim"])
    w.add_vocab_size(m["vocab"])
    if moe:
        w.add_expert_count(m["experts"])
        w.add_expert_used_count(m["top_k"])
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    types = [2, 3, 3] + [6] * 256
    tokens += [f"t{i}" for i in range(len(tokens), m["vocab"])]
    types += [1] * (m["vocab"] - len(types))
    w.add_tokenizer_model("llama")
    w.add_token_list(tokens)
    w.add_token_scores([0.0] * len(tokens))
    w.add_token_types(types)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)

    def matrix(name, *shape):
        x = rng.standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.02)
        kind = gguf.GGMLQuantizationType.BF16 if bf16 else gguf.GGMLQuantizationType.F32
        w.add_tensor(name, gguf.quants.quantize(x, kind), raw_dtype=kind)

    def ones(name, n):
        w.add_tensor(name, numpy.ones(n, dtype=numpy.float32))

    D, d = m["hidden"], m["head_dim"]
    matrix("token_embd.weight", m["vocab"], D)
    if not m["tied"]:
        matrix("output.weight", m["vocab"], D)
    ones("output_norm.weight", D)
    for i in range(m["layers"]):
        b = f"blk.{i}."
        ones(b + "attn_norm.weight", D)
        ones(b + "ffn_norm.weight", D)
        matrix(b + "attn_q.weight", m["heads"] * d, D)
        matrix(b + "attn_k.weight", m["kv_heads"] * d, D)
        matrix(b + "attn_v.weight", m["kv_heads"] * d, D)
        matrix(b + "attn_output.weight", D, m["heads"] * d)
        if moe:
            ones(b + "attn_q_norm.weight", m["heads"] * d)
            ones(b + "attn_k_norm.weight", m["kv_heads"] * d)
            E, I = m["experts"], m["expert_ffn"]
            matrix(b + "ffn_gate_inp.weight", E, D)
            matrix(b + "ffn_gate_exps.weight", E, I, D)
            matrix(b + "ffn_up_exps.weight", E, I, D)
            matrix(b + "ffn_down_exps.weight", E, D, I)
        else:
            matrix(b + "ffn_gate.weight", m["ffn"], D)
            matrix(b + "ffn_up.weight", m["ffn"], D)
            matrix(b + "ffn_down.weight", D, m["ffn"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def feed(context, batch, tokens, positions, sequences, logits):
    """One llama_decode of tokens, each with its position, sequence and whether its logits are wanted."""
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i] = token
        batch.pos[i] = positions[i]
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = sequences[i]
        batch.logits[i] = logits[i]
    if llama.llama_decode(context, batch):
        raise RuntimeError("llama_decode failed")


def rollout(context, batch, w, vocab, new):
    """The prompts, each once for all its samples, whose logits give the first of `new` tokens; a pass for each other."""
    memory = llama.llama_get_memory(context)
    llama.llama_memory_clear(memory, True)
    group, n = w["samples"], w["prompt"]
    for p in range(w["prompts"]):
        first = p * group
        tokens = [(i * 7919 + p * 31) % vocab for i in range(n)]
        for at in range(0, n, 512):
            part = tokens[at : at + 512]
            ends = [0] * len(part)
            ends[-1] = at + len(part) == n
            feed(context, batch, part, range(at, at + len(part)), [first] * len(part), ends)
        for s in range(1, group):
            llama.llama_memory_seq_cp(memory, first, first + s, -1, -1)
    total = w["prompts"] * group
    for t in range(new - 1):
        feed(context, batch, [(t * 31 + s) % vocab for s in range(total)], [n + t] * total,
             range(total), [1] * total)
    llama.llama_synchronize(context)


def load_model(m, bf16):
    """Another process writes the file, so that this one's memory is what llama.cpp needs."""
    with tempfile.NamedTemporaryFile(suffix=".gguf") as f:
        writer = multiprocessing.Process(target=write_model, args=(f.name, m, bf16))
        writer.start()
        writer.join()
        return llama.llama_model_load_from_file(f.name.encode(), llama.llama_model_default_params())


def main():
    job = json.loads(sys.argv[1])
    m, w = job["model"], job["work"]
    llama.llama_backend_init()
    quiet = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    model = load_model(m, job["bf16"])
    total = w["prompts"] * w["samples"]
    c = llama.llama_context_default_params()
    c.n_ctx = total * ((w["prompt"] + w["new"] + 1 + 255) // 256 * 256)
    c.n_batch = c.n_ubatch = 512
    c.n_seq_max = total
    c.n_threads = c.n_threads_batch = 1
    c.flash_attn_type = 1
    c.kv_unified = False
    context = llama.llama_init_from_model(model, c)
    if not context:
        raise RuntimeError("llama.cpp has no context for this row")
    batch = llama.llama_batch_init(512, 0, 1)
    rollout(context, batch, w, m["vocab"], min(w["new"], 2))
    peer.serve(lambda: rollout(context, batch, w, m["vocab"], w["new"]))


if __name__ == "__main__":
    main()
