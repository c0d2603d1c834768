#!/usr/bin/env python3
"""Writes tests/golden/reward/traits.jsonl: texts with their repetition and language shares, by Python's own
string functions and the names of Unicode's characters. Run from the root of the tree."""
import json
import random
import re
import unicodedata

SAMPLES = [
    "",
    "3 + 4 * 5 = 23",
    "Let me try 10 * 9 = 90 and 90 + 3 = 93, which is the target that we need.",
    "Let me try. Let me try. Let me try. Let me try.",
    "Пусть x равно пяти, тогда ответ равен десяти, и это the answer.",
    "设 x 为苹果的数量，那么我们有 x = 5，所以答案是 5。",
    "りんごの数を x とすると、答えは 5 です。",
    "사과의 수를 x 라고 하면 답은 5 입니다.",
    "Sei x die Anzahl der Äpfel, dann ist die Lösung gleich fünf und nichts anderes als fünf.",
    "<think>\nHmm, \\frac{1}{2} of the αβγ cake</think><answer>half a cake</answer>",
    "e\u0301te\u0301 naïve café Ελληνικά שלום",
    "one two three one two three one two three",
    "Wait Wait WAIT wait, no: 的的的的",
]


def script(c):
    """latin, cyrillic, han, cjk or other for a letter, mark for a mark, None for the rest."""
    category = unicodedata.category(c)
    if category[0] == "M":
        return "mark"
    if category[0] != "L":
        return None
    name = unicodedata.name(c, "")
    for prefix, kind in (("LATIN ", "latin"), ("CYRILLIC ", "cyrillic"), ("CJK ", "han"),
                         ("HIRAGANA ", "cjk"), ("KATAKANA ", "cjk"), ("HANGUL ", "cjk")):
        if name.startswith(prefix):
            return kind
    return None if category == "Lm" else "other"


def repetition(text, n):
    words = []
    for word in text.split():
        # An East Asian letter is a word by itself.
        piece = ""
        for c in word:
            if script(c) in ("han", "cjk"):
                words += [piece] * bool(piece) + [c]
                piece = ""
            else:
                piece += c
        words += [piece] * bool(piece)
    words = [re.sub("[A-Z]", lambda m: m.group().lower(), word) for word in words]
    grams = [tuple(words[i:i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def shares(text):
    text = re.sub(r"\\[A-Za-z]+|</?(?:think|answer)>", " ", text)
    count = dict.fromkeys(("latin", "cyrillic", "han", "cjk", "other"), 0)
    run, letters = None, 0

    def finish():
        if letters > 1:
            count[run] += 1

    for c in text:
        kind = script(c)
        if kind == "mark":
            continue
        if kind in ("han", "cjk"):
            count[kind] += 1
            kind = None
        if kind != run:
            finish()
            run, letters = kind, 0
        letters += kind is not None
    finish()
    total = sum(count.values())
    share = lambda *kinds: sum(count[k] for k in kinds) / total if total else 0.0
    return {"latin": share("latin"), "cyrillic": share("cyrillic"), "cjk": share("han", "cjk")}


def main():
    draw = random.Random(7)
    pieces = ["a", "bc", "the", "ответ", "是", "数", "の", "답", "Größe", "λόγος", "x", "3", "=", ",", "\n", " ", " ", " "]
    texts = SAMPLES + ["".join(draw.choices(pieces, k=draw.randrange(1, 60))) for _ in range(150)]
    with open("tests/golden/reward/traits.jsonl", "w", encoding="utf-8") as out:
        for text in texts:
            n = draw.randrange(1, 5)
            row = {"text": text, "n": n, "repetition": repetition(text, n), **shares(text)}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


main()
