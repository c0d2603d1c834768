#!/usr/bin/env python3
"""Makes tests/golden/tasks/demo_vectors.jsonl: texts and their ids under the demo's vocabulary, as the
Hugging Face tokenizers library computes them from the tokenizer.json that grpo writes.

Run by developers from the repository's root (needs tokenizers, and build/grpo for the corpus):

    python3 tools/make_demo_vectors.py DIR    # a directory that `grpo init` made

The tests read the committed file and need no Python.
"""

import json
import pathlib
import random
import subprocess
import sys

from tokenizers import Tokenizer

OUT = pathlib.Path("tests/golden/tasks/demo_vectors.jsonl")
CHOSEN = [
    "", " ", "  ", " 7", "7", " 42", "42", " 100", " 007", " 99 99", "  5", "5 ", "\n", " \n 3\t4 ",
    " 3 9 10 : 93<think> 9 3 / = 3 , 10 3 - = 7 ; 10 9 * = 90 , 90 3 + = 93 !</think>"
    "<answer> ( 10 * 9 ) + 3</answer>",
    " 1+2", " 1 +2", " (1 + 2) * 3", " !!", " ! !", " ;,", " think", "<think >", " <think>", "<think> ",
    "</answer></think>", "Let's count: 1, 2, 3.", "a<|endoftext|>b", "na\u00efve \u65e5\u672c \U0001f600",
    "\u00a07", "\u3000 8", "\x00\x01\x7f", "don't we'll I'm", "0123456789", " 12345", "x=y", "\r\n\r\n 5",
]


def main():
    tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
    corpus = subprocess.run(["build/grpo", "tasks", "traces", "--n", "24"], check=True, text=True,
                            capture_output=True).stdout
    texts = CHOSEN + [json.loads(line)["text"] for line in corpus.splitlines()]
    rng = random.Random(7)
    alphabet = [" ", " ", "1", "2", "37", "+", "-", "*", "/", "=", ":", ",", ";", "!", "(", ")", "<think>",
                "</think>", "<answer>", "</answer>", "a", "B", "\n", "\u00e9", "\u20ac"]
    texts += ["".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 24))) for _ in range(60)]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with OUT.open("w") as out:
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert tokenizer.decode(ids, skip_special_tokens=False) == text
            out.write(json.dumps({"text": text, "ids": ids}) + "\n")


if __name__ == "__main__":
    main()
