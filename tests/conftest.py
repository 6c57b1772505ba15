"""Each of pytest-xdist's workers keeps to one core, so that they do not slow down each other's threads.

llama.cpp and OpenMP wait for their threads by spinning: two processes with two threads each on two cores are many times
slower than with one each. Both make as many threads as the process has cores, and so do the processes that tests start.
"""

import os


def pytest_configure(config):
    worker = getattr(config, "workerinput", None)
    if worker is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        number = int(worker["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
