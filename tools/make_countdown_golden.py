#!/usr/bin/env python3
"""Makes tests/golden/reward/countdown.jsonl: answers to Countdown problems, each with its verdict.

The verdict comes from Python's own parser (ast) and fractions.Fraction, which share nothing with the
judge in C. Run by developers from the repository's root; the tests read the committed file and need no
Python. Any Python from 3.9 on gives the same bytes.
"""

import ast
import json
import pathlib
import random
import re
from fractions import Fraction

OUT = pathlib.Path("tests/golden/reward/countdown.jsonl")
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


class Unparsed(Exception):
    pass


def evaluate(node, source, used):
    """The value of a tree of + - * / and signs; appends its numbers to `used`."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        a = evaluate(node.left, source, used)
        b = evaluate(node.right, source, used)
        op = OPERATORS[type(node.op)]
        if a is None or b is None or (op == "/" and b == 0):
            return None
        return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else None}[op]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        a = evaluate(node.operand, source, used)
        return a if a is None or isinstance(node.op, ast.UAdd) else -a
    if isinstance(node, ast.Constant):
        literal = ast.get_source_segment(source, node)
        if re.fullmatch(r"[0-9]+\.?", literal):
            used.append(int(literal.rstrip(".")))
            return Fraction(used[-1])
    raise Unparsed


def verdict(answer, numbers, target):
    text = answer.strip()
    # A newline may stand where a blank may; other white space only around the answer.
    text = text.replace("\r\n", " ").replace("\n", " ")
    if not re.fullmatch(r"[0-9+\-*/(). \t\f]+", text):
        return "unparsed"
    used = []
    try:
        value = evaluate(ast.parse(text, mode="eval").body, text, used)
    except (SyntaxError, Unparsed):
        return "unparsed"
    if sorted(used) != sorted(numbers):
        return "wrong_numbers"
    if value is None:
        return "division_by_zero"
    return "equal" if value == target else "different"


def expression(rng, numbers):
    """A random expression over the numbers, with superfluous blanks, signs and parentheses."""
    if len(numbers) == 1:
        text = str(numbers[0])
    else:
        cut = rng.randrange(1, len(numbers))
        blank = rng.choice(["", " ", " ", "  "])
        left, right = expression(rng, numbers[:cut]), expression(rng, numbers[cut:])
        text = left + blank + rng.choice("+-*/") + blank + right
    if rng.random() < 0.45:
        text = "(" + text + ")"
    if rng.random() < 0.1:
        text = rng.choice("+--") + text
    return text


def mutate(rng, text):
    """One small accident."""
    at = rng.randrange(len(text) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1:]
    if kind == 1:
        return text[:at] + rng.choice("0123456789+-*/(). \t\n\f\r\x0b=x^,") + text[at:]
    if kind == 2:
        return text[:at] + text[at:at + 3] + text[at:]
    other = rng.randrange(len(text) + 1)
    return text[:min(at, other)] + text[max(at, other):]


CHOSEN = [
    # What the game is about.
    ([25, 3, 4], 37, "25 + 3*4"), ([25, 3, 4], 37, "\n25 + 3*4\n"), ([25, 3, 4], 38, "25 + 3*4"),
    ([3, 3, 8, 8], 24, "8/(3-8/3)"), ([1, 3, 4, 6], 24, "6/(1-3/4)"), ([7], 7, "7"), ([7], -7, "-7"),
    ([5, 5, 5], 30, "5*5+5"), ([5, 5, 5], 30, "5*(5+1)"), ([0, 5], 0, "0*5"), ([0, 5], 0, "0/5"),
    ([0, 0, 24], 24, "0/0+24"), ([24, 5, 5], 24, "24/(5-5)"), ([5, 5, 24], 24, "(5-5)/(5-5)+24"),
    # Numbers must not be glued, split, left out or invented.
    ([2, 5, 4], 29, "25 + 4"), ([1, 2, 3], 123, "123"), ([12, 3], 15, "1 2 + 3"), ([5, 48], 24, ".5*48"),
    ([2, 5], 2, "2.5"), ([3, 0, 8], 24, "3.0*8"), ([3, 8], 24, "3.*8."), ([3, 8], 24, "3.*8.."),
    ([3, 8], 24, "3 .*8"), ([0, 24], 24, "00 + 24"), ([0, 24], 24, "0. + 24"), ([7, 1], 8, "07+1"),
    ([7, 1], 8, "07.+1"), ([4], 4, ""), ([4], 4, "   "), ([4], 4, "()"), ([4], 4, "(4)"), ([4], 4, "((4)"),
    # Signs.
    ([3, 8], 24, "-3*-8"), ([5, 19], 24, "5--19"), ([5, 19], 24, "5 - - 19"), ([29, 5], 24, "+29-5"),
    ([1, 23], 24, "1-(-(-(-23)))"), ([2, 3], -6, "2*-3"), ([6, 3], -2, "6/-3"), ([6, 3], 3, "6-+3"),
    # What is not in the game, though a calculator might take it.
    ([2, 3], 8, "2**3"), ([2, 3], 8, "2* *3"), ([50, 2, 1], 24, "50//2-1"), ([2, 3], 6, "2(3)"),
    ([2, 3], 6, "(2)(3)"), ([5, 4], 24, "4!"), ([3, 8], 24, "3*8=24"), ([3, 8], 24, "24=3*8"),
    ([3, 8], 24, "3 x 8"), ([3, 8], 24, "3\u00d78"), ([24, 3], 8, "24\u00f73"), ([9, 3], 6, "9\u22123"),
    ([3, 8], 24, "3\u00a0*8"), ([3, 8], 24, "\u00a03*8\u2003"), ([3, 8], 24, "\u200b3*8"),
    ([3, 8], 24, "3*8\x85"), ([3, 8], 24, "3\x1c*8"), ([3, 8], 24, "3*8\x1f"), ([3, 8], 24, "3\x0b*8"),
    ([3, 8], 24, "3\f*8"), ([3, 8], 24, "3\r\n*8"), ([3, 8], 24, "3\r*8"), ([3, 8], 24, "3\n*\n8"),
    ([3, 8], 24, "\uff13*\uff18"), ([3, 8], 24, "$3*8$"), ([3, 8], 24, "\\boxed{3*8}"), ([3, 8], 24, "3*8;"),
    ([3, 8], 24, "3*8 # why"), ([3, 8], 24, "3,*8"), ([3, 8], 24, "0x3*8"), ([3, 8], 24, "3e0*8"),
    ([3, 8], 24, "3_*8"), ([3, 8], 24, "3*8\x00"), ([3, 8], 24, "<b>3*8</b>"), ([10, 2], 24, "1_0+2"),
    # Close is not equal: exact arithmetic has no tolerance, whatever the size of the numbers.
    ([24, 1, 100001], 24, "24+1/100001"), ([1, 7, 7, 24], 24, "(1/7)*7*24"), ([2, 3, 70, 3], 24, "2/3+70/3"),
    ([9007199254740993, 1], 9007199254740992, "9007199254740993*1"),
    ([9007199254740993, 1], 9007199254740993, "9007199254740993*1"),
    ([1, 3, 3], 1, "(1/3)*3*(3/3)"), ([1, 3, 3], 1, "1/3*3*1"),
    # Values that leave 64 bits on the way, and literals that do.
    ([10**18, 10**18, 10**18, 10**18], 1, "1000000000000000000*1000000000000000000/1000000000000000000"
     "/1000000000000000000"),
    ([9223372036854775807, 2, 2], 9223372036854775807, "9223372036854775807*2/2"),
    ([9223372036854775807, 2, 2], 9223372036854775806, "9223372036854775807*2/2"),
    ([9223372036854775807, 1, 1], 9223372036854775807, "9223372036854775807+1-1"),
    ([1, 2], 3, "9223372036854775808+1"), ([1, 2], 3, "99999999999999999999999999+2"),
    ([0, 5], 5, "18446744073709551616+5"),
]


def main():
    rng = random.Random(20250701)
    rows = [(n, t, a) for n, t, a in CHOSEN]
    while len(rows) < len(CHOSEN) + 400:
        numbers = [rng.choice([rng.randrange(0, 13), rng.randrange(1, 101), rng.randrange(10**6, 10**13)])
                   for _ in range(rng.randrange(1, 7))]
        text = expression(rng, numbers)
        value = None
        try:
            value = evaluate(ast.parse(text, mode="eval").body, text, [])
        except Unparsed:
            pass
        integral = value is not None and value.denominator == 1 and abs(value) < 2**63
        target = int(value) if integral else rng.randrange(1, 100)
        if rng.random() < 0.2:
            target += rng.choice([-1, 1])
        for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
            text = mutate(rng, text)
        # Keep few of the dull kind.
        if not integral and rng.random() < 0.7:
            continue
        shown = numbers[:]
        rng.shuffle(shown)
        rows.append((shown, target, text))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    with OUT.open("w") as out:
        for numbers, target, answer in rows:
            row = {"verdict": verdict(answer, numbers, target), "numbers": numbers, "target": target,
                   "answer": answer}
            out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
