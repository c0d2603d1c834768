"""Takes its time to load."""
import time

time.sleep(3600)


def reward(completions, **columns):
    return [1.0] * len(completions)
