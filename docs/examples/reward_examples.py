"""Rewards in Python, in the two forms that grpo calls.

    grpo score reward.rule=none reward.python=reward_examples.py:mentions_gold < cases.jsonl
    grpo score reward.rule=none reward.python=reward_examples.py:compute_score < cases.jsonl
"""


def mentions_gold(prompts, completions, gold, **columns):
    """TRL's form: everything is a list with an entry for each completion. None leaves a completion out."""
    return [float(g in c) if g else None for g, c in zip(gold, completions)]


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """verl's form: one completion at a time."""
    answer = solution_str.rpartition("####")[2].strip()
    return {"score": 1.0 if answer == str(ground_truth) else 0.0, "answer": answer}
