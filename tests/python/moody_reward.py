"""Rewards that behave as badly as their completions say."""
import os
import signal
import sys
import time


def obey(word):
    if word == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "exit":
        sys.exit(3)
    if word == "hang":
        time.sleep(3600)
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.close(0)
        while True:
            pass
    if word == "print":
        print('{"id": 1, "rewards": [9]}', flush=True)
        os.write(1, b"garbage\n")
    if word == "raise":
        raise RuntimeError("as you said")
    if word == "skip":
        return None
    if word == "text":
        return "seven"
    return float(word) if word.replace(".", "").lstrip("-").isdigit() else float(len(word))


def trl(prompts, completions, **columns):
    values = [obey(word) for word in completions]
    return values[:-1] if "short" in completions else values


async def later(completions, **columns):
    return [obey(word) for word in completions]


def verl(data_source, solution_str, ground_truth, extra_info):
    return obey(solution_str)


def seen(data_source, solution_str, ground_truth, extra_info=None):
    """1 when everything arrived as the test sent it."""
    return float(data_source == "quiz" and ground_truth == {"a": [1, None]} and extra_info == {"index": 3})


def seen_columns(prompts, completions, question, gold, level, target=None, numbers=None, **columns):
    good = (prompts == ["p"] * len(completions) and question[0] == "q" and gold[0] == "g" and level[0] == 5
            and target == [None, 37] and numbers == [None, [25, 3, 4]])
    return [float(good)] * len(completions)
