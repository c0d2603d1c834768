#!/usr/bin/env python3
"""Times Math-Verify on the golden cases of tests/golden/math, next to `make bench`.

usage: time_math_verify.py [MEDIAN MEAN]

For developers (needs math-verify with a latex2sympy2_extended that it works with). Golds are parsed apart,
as the judge here reads them apart. Towers of powers are left out: they run into its time limit. Given the median and the mean of another judge's
verdicts, in microseconds, it says how many of those go into one of Math-Verify's.
"""

import glob
import logging
import statistics
import sys
import time

from math_verify import parse, verify

logging.disable(logging.CRITICAL)


def cases():
    for path in sorted(glob.glob("tests/golden/math/answers_*.txt")):
        with open(path, encoding="utf-8") as file:
            for line in file:
                parts = line.split("::")
                tower = "^{10^" in line or "^{1500" in line or "!)!" in line or "10^9" in line
                if len(parts) == 3 and not line.startswith("#") and not tower:
                    yield parts[1].strip(), parts[2].strip()


def timed(function, *arguments):
    begin = time.thread_time()
    result = function(*arguments)
    return result, (time.thread_time() - begin) * 1e6


def report(what, times):
    print(f"math-verify {what:5s} {len(times):4d} cases: median {statistics.median(times):9.2f} us, "
          f"mean {statistics.mean(times):9.2f} us, largest {max(times):10.1f} us")


def main():
    verdicts, golds = [], []
    for gold, answer in cases():
        gold_parsed, gold_time = timed(parse, f"${gold}$")
        answer_parsed, answer_time = timed(parse, f"${answer}$")
        _, verify_time = timed(verify, gold_parsed, answer_parsed)
        golds.append(gold_time)
        verdicts.append(answer_time + verify_time)
    report("verd.", verdicts)
    report("golds", golds)
    if len(sys.argv) == 3:
        median, mean = float(sys.argv[1]), float(sys.argv[2])
        print(f"ratio, Math-Verify to this judge: {statistics.median(verdicts) / median:.0f} of medians, "
              f"{statistics.mean(verdicts) / mean:.0f} of means")


if __name__ == "__main__":
    main()
