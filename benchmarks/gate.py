# SPDX-License-Identifier: Apache-2.0
"""What does the gate cost beside reading?

    OMP_NUM_THREADS=1 python benchmarks/gate.py FOLDER...

Reads each case of a folder by LoadCased and adds up the time of the gate's three checks (intensities, class numbers,
label against image). What they cost is told as a part of the rest of reading, the median of several passes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from monai_cl_ext.data import LoadCased, find_cases, loading

CHECKS = ("check_intensities", "whole_classes", "on_image_grid")


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """The function, which adds the seconds that it takes to ``spent``."""

    @wraps(function)
    def run(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent[0] += time.perf_counter() - began

    return run


def measure(folder: str, cases: int, passes: int, spent: list[float]) -> tuple[float, float]:
    """Milliseconds a case of reading without the checks, and of the checks, whose time ``spent`` gathers."""
    found = find_cases(folder)[:cases]
    load = LoadCased(channels=1)
    seconds: list[tuple[float, float]] = []
    for _ in range(passes + 1):
        spent[0], began = 0.0, time.perf_counter()
        for case in found:
            load(case)
        seconds.append((time.perf_counter() - began - spent[0], spent[0]))
    return tuple(1e3 * statistics.median(column) / len(found) for column in zip(*seconds[1:], strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--cases", type=int, default=80)
    parser.add_argument("--passes", type=int, default=7)
    arguments = parser.parse_args()
    seconds = [0.0]
    for check in CHECKS:
        setattr(loading, check, timed(getattr(loading, check), seconds))
    for each in arguments.folders:
        reading, checks = measure(each, arguments.cases, arguments.passes, seconds)
        print(f"{each}: reading {reading:.2f} ms a case, checks {checks:.2f} ms, {checks / reading:.1%}")
