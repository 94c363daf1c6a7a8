"""Whether the machine is quiet: a figure that is taken while others are at work is not one."""

from __future__ import annotations

import os
from time import perf_counter, process_time

from .process import cores

__all__ = ("BUSY", "taken_by_others")

BUSY = 0.1  # of a core's time: more than that, and nothing that is measured is to be believed
_SPAN = 0.15  # seconds


def taken_by_others() -> float:
    """Work for a moment on each core that is measured on, and see how much of its time was had.

    :return: the share of the time of one core, 0 to 1, that somebody else had.
    """
    wanted = [each for each in cores() if each is not None]
    if not wanted:
        return _taken()
    before = os.sched_getaffinity(0)
    shares = []
    try:
        for each in wanted:
            os.sched_setaffinity(0, each)
            shares.append(_taken())
    finally:
        os.sched_setaffinity(0, before)
    return max(shares)


def _taken() -> float:
    wall, cpu = perf_counter(), process_time()
    while (passed := perf_counter() - wall) < _SPAN:
        pass
    return max(0.0, 1 - (process_time() - cpu) / passed)
