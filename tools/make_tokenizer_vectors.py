#!/usr/bin/env python3
"""Writes tests/golden/tokenizers/*/vectors.jsonl: what the `tokenizers` library makes of texts.jsonl.

Run by developers (needs tokenizers), from the repository's root; the tests read the committed files.
Line i of a vectors.jsonl belongs to text i:
    ids      of the text, special tokens recognised
    plain    ids when special tokens are not recognised, nor others named <|...|> or <\uff5c...\uff5c>, which
             some files list as ordinary; missing when equal to ids
    decoded  of ids; missing when it is the text
    skipped  decoded without special tokens; missing when equal to decoded
The tokenizers named mini_* are given (README.md there says from where); the others are made here.
"""

import json
import pathlib
import re

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path("tests/golden/tokenizers")


def texts():
    return [json.loads(line) for line in (ROOT / "texts.jsonl").read_text().splitlines()]


def write_tokenizer(name, data):
    (ROOT / name).mkdir(exist_ok=True)
    path = ROOT / name / "tokenizer.json"
    path.write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=False) + "\n")


def added(tokens, first):
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    return [{"id": first + i, "content": c, **flags, **more} for i, (c, more) in enumerate(tokens)]


def make_fallback(byte_fallback):
    """In the manner of Llama 2: no pre-tokenizer, spaces as U+2581, bytes or <unk> for the rest."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    latin = [t for t in texts() if t and all(32 <= ord(c) < 0x17F for c in t)]
    trained.train_from_iterator(latin, trainers.BpeTrainer(vocab_size=350, show_progress=False))
    data = json.loads(trained.to_str())
    pieces = sorted(data["model"]["vocab"], key=data["model"]["vocab"].get)
    head = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] * byte_fallback
    data["model"]["vocab"] = {piece: i for i, piece in enumerate(head + pieces)}
    data["model"].update(
        unk_token="<unk>", fuse_unk=True, byte_fallback=byte_fallback,
        merges=[" ".join(m) for m in data["model"]["merges"]])
    data["added_tokens"] = added([(c, dict(special=True)) for c in ("<unk>", "<s>", "</s>")], 0)
    data["decoder"] = json.loads(decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0)]).__getstate__())
    write_tokenizer("byte_fallback" if byte_fallback else "unknown", data)


def make_removed():
    """The rarer steps: removed and literal splits, runs of digits, tokens that eat or need their sides."""
    data = json.loads((ROOT / "mini_gpt2" / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "ab"}, "content": "b"}, {"type": "NFC"}]}
    regex = {"type": "Split", "behavior": "Removed", "invert": True,
             "pattern": {"Regex": "\\s*[\\p{L}\\p{M}]+|\\S|\\s+"}}
    literal = {"type": "Split", "behavior": "Removed", "invert": False, "pattern": {"String": ","}}
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        literal, regex, {"type": "Digits", "individual_digits": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    data["added_tokens"] = added([
        ("<|endoftext|>", dict(special=True)), ("the", dict(single_word=True)),
        (" ", dict(normalized=True)), ("  ", dict(rstrip=True)), ("don", dict(lstrip=True, rstrip=True)),
        ("cab", dict(normalized=True)), ("!", dict(rstrip=True, special=True))],
        len(data["model"]["vocab"]))
    known = data["model"]["vocab"]
    following = len(known)
    for token in data["added_tokens"]:  # the library gives a text its id in the vocabulary, if any
        token["id"] = known.get(token["content"], following)
        following = max(following, token["id"] + 1)
    write_tokenizer("removed", data)


def guarded(directory):
    """The tokenizer for plain ids: tokens named like control tokens are special, and special ones ignored."""
    data = json.loads((directory / "tokenizer.json").read_text())
    for token in data["added_tokens"]:
        token["special"] |= re.fullmatch("<([|\uff5c]).*\\1>", token["content"], re.DOTALL) is not None
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.encode_special_tokens = True
    return tokenizer


def vectors(directory):
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    plain_tokenizer = guarded(directory)
    with open(directory / "vectors.jsonl", "w") as out:
        for text in texts():
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            plain = plain_tokenizer.encode(text, add_special_tokens=False).ids
            decoded = tokenizer.decode(ids, skip_special_tokens=False)
            skipped = tokenizer.decode(ids, skip_special_tokens=True)
            row = {"ids": ids}
            row |= {"plain": plain} if plain != ids else {}
            row |= {"decoded": decoded} if decoded != text else {}
            row |= {"skipped": skipped} if skipped != decoded else {}
            out.write(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    make_fallback(True)
    make_fallback(False)
    make_removed()
    for path in sorted(ROOT.glob("*/tokenizer.json")):
        vectors(path.parent)
    print("tokenizers", tokenizers.__version__)


if __name__ == "__main__":
    main()
