"""What peers share: how they answer tests/peer.c.

Import it before anything that may be missing: from then on standard output is for answers, and an error is
one of them, in one line.
"""
import os
import sys
import time

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer


def answer(text):
    print(text, file=answers, flush=True)


def _fail(kind, error, trace):
    sys.__excepthook__(kind, error, trace)
    answer((str(error) or kind.__name__).splitlines()[0][:100])


sys.excepthook = _fail


def peak_bytes():
    """The most memory this process has held; getrusage would count what its parent held when it began."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def answer_round(begin):
    """Answers with the processor seconds since time.process_time() was `begin`, and the peak of memory."""
    answer(f"{time.process_time() - begin} {peak_bytes()}")


def serve(work):
    """Says that it is ready, then does the work once for each line it reads."""
    answer("ready")
    for _ in sys.stdin:
        begin = time.process_time()
        work()
        answer_round(begin)
