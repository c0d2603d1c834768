"""TRL's GRPOTrainer doing the GRPO steps of tests/bench_model.c: as peer_torch.py, a round a step.

Prompts and answers have the row's lengths: no token ends an answer, and the reward is made up. With "bf16" the
model is in bf16 and bf16=True, as TRL does with a checkpoint in bf16 unless told otherwise: parameters, gradients and
moments are in bf16 as well.
"""
import peer

import json
import sys
import tempfile
import time

import datasets
import tokenizers
import torch
import transformers
import trl

job = json.loads(sys.argv[1])
m, w = job["model"], job["work"]
torch.manual_seed(1)
torch.set_num_threads(1)
model = transformers.LlamaForCausalLM(
    transformers.LlamaConfig(
        vocab_size=m["vocab"], hidden_size=m["hidden"], num_hidden_layers=m["layers"],
        num_attention_heads=m["heads"], num_key_value_heads=m["kv_heads"], head_dim=m["head_dim"],
        intermediate_size=m["ffn"], tie_word_embeddings=m["tied"], max_position_embeddings=4096,
        eos_token_id=None, bos_token_id=None,
    )
)  # with a pad_token_id here a row of the embedding would be zero, and its gradient not finite in deep models
if job["bf16"]:
    model.to(torch.bfloat16)
model.generation_config = transformers.GenerationConfig(pad_token_id=0, eos_token_id=None)
words = {f"w{i}": i for i in range(m["vocab"])}
backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w1"))
backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
backend.decoder = tokenizers.decoders.Fuse()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend, unk_token="w1", pad_token="w0", eos_token="w2", padding_side="left"
)
texts = [" ".join(f"w{(p * 31 + t * 7) % m['vocab']}" for t in range(w["prompt"])) for p in range(w["prompts"])]
data = datasets.Dataset.from_dict({"prompt": texts * 1000})
begin = None


class Clock(transformers.TrainerCallback):
    """Waits for a line before each step, and says how long the step took; the first one warms up."""

    def on_step_begin(self, args, state, control, **_):
        global begin
        if state.global_step == 1:
            peer.answer("ready")
        if state.global_step and not sys.stdin.readline():
            sys.exit()
        begin = time.process_time()

    def on_step_end(self, args, state, control, **_):
        if state.global_step > 1:
            peer.answer_round(begin)


def reward(completions, **_):
    return [float(i % 2) for i in range(len(completions))]


total = w["prompts"] * w["samples"]
directory = tempfile.TemporaryDirectory()
trainer = trl.GRPOTrainer(
    model=model,
    reward_funcs=reward,
    train_dataset=data,
    processing_class=tokenizer,
    callbacks=[Clock()],
    args=trl.GRPOConfig(
        output_dir=directory.name, use_cpu=True, bf16=job["bf16"], max_steps=1000, learning_rate=1e-6,
        per_device_train_batch_size=total, num_generations=w["samples"], max_completion_length=w["new"],
        temperature=1.0, generation_kwargs={"min_new_tokens": w["new"]}, beta=0.0, report_to=[],
        save_strategy="no", logging_strategy="no",
        disable_tqdm=True, gradient_checkpointing=False, mask_truncated_completions=False,
        shuffle_dataset=False, dataloader_pin_memory=False,
    ),
)
trainer.train()
