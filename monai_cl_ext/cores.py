# SPDX-License-Identifier: Apache-2.0
"""How many cores this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that the system grants this process, which in a container may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_that_read() -> int:
    """One a core of this process, at most eight; torchrun's processes on a machine share its cores."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(max(usable_cores() // processes, 1), 8)
