"""Runs a reward function for grpo, which keeps some of these processes and speaks JSON lines with them.

    python3 grpo_reward.py FILE.py:FUNCTION auto|trl|verl

First one line out: {"grpo_reward": 1}, or {"error": "..."} when the function cannot be loaded. Then for each line

    {"id": 7, "items": [{"prompt": "...", "completion": "...", "gold": "...", "columns": {...}, ...}]}

one line {"id": 7, "rewards": [1.0, null, {"error": "..."}]}: a number, null where the function skips the item,
or why it failed. What the function prints goes to standard error. The end of the input is the end.
"""
import asyncio
import importlib.util
import inspect
import json
import math
import os
import sys
import traceback


def load(spec):
    """The function NAME of FILE, from FILE:NAME."""
    path, _, name = spec.rpartition(":")
    if not path or not name:
        raise ValueError("expected FILE.py:FUNCTION")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    module_spec = importlib.util.spec_from_file_location("reward_function", path)
    if module_spec is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules["reward_function"] = module
    module_spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"{path} has no function {name}")
    return function


def accepted(function, arguments):
    """Those of the arguments that the function takes."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}


def style_of(function):
    parameters = inspect.signature(function).parameters
    return "verl" if "solution_str" in parameters else "trl"


def call(function, arguments):
    result = function(**accepted(function, arguments))
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def columns_of(item):
    """The data set's row over what every problem has."""
    own = ("id", "source", "question", "gold", "numbers", "target", "n_tokens", "truncated")
    return {**{name: item[name] for name in own if name in item}, **item.get("columns", {})}


def value_of(result):
    if isinstance(result, dict):
        result = result["score"]
    if result is None:
        return None
    value = float(result)
    if math.isinf(value):
        raise ValueError("the reward is infinite")
    return None if math.isnan(value) else value


def failure(why):
    if failure.shown < 3:
        traceback.print_exc()
        failure.shown += 1
    return {"error": f"{type(why).__name__}: {why}"}


failure.shown = 0


def score_trl(function, items):
    """f(prompts, completions, **columns) -> a value for each."""
    rows = [columns_of(item) for item in items]
    names = dict.fromkeys(name for row in rows for name in row)
    arguments = {name: [row.get(name) for row in rows] for name in names}
    arguments["prompts"] = [item["prompt"] for item in items]
    arguments["completions"] = [item["completion"] for item in items]
    try:
        values = list(call(function, arguments))
        if len(values) != len(items):
            raise ValueError(f"{len(values)} rewards for {len(items)} completions")
        return [value_of(value) for value in values]
    except Exception as why:
        return [failure(why)] * len(items)


def ground_truth_of(item, columns):
    reward_model = columns.get("reward_model")
    if isinstance(reward_model, dict) and "ground_truth" in reward_model:
        return reward_model["ground_truth"]
    if "numbers" in item:
        return {"target": item["target"], "numbers": item["numbers"]}
    return item["gold"]


def score_verl(function, items):
    """compute_score(data_source, solution_str, ground_truth, extra_info), for one at a time."""
    values = []
    for item in items:
        columns = columns_of(item)
        arguments = {
            "data_source": columns.get("data_source", item["source"]),
            "solution_str": item["completion"],
            "ground_truth": ground_truth_of(item, columns),
            "extra_info": columns.get("extra_info"),
        }
        try:
            values.append(value_of(call(function, arguments)))
        except Exception as why:
            values.append(failure(why))
    return values


def main():
    spec, style = sys.argv[1], sys.argv[2]
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)

    def reply(message):
        replies.write(json.dumps(message).encode() + b"\n")
        replies.flush()

    try:
        function = load(spec)
        style = style_of(function) if style == "auto" else style
    except BaseException as why:
        reply({"error": f"{type(why).__name__}: {why}"})
        return
    reply({"grpo_reward": 1})
    score = score_verl if style == "verl" else score_trl
    for line in requests:
        request = json.loads(line)
        reply({"id": request["id"], "rewards": score(function, request["items"])})


if __name__ == "__main__":
    main()
