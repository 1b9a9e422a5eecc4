# SPDX-License-Identifier: Apache-2.0
"""One well-mixed seed from several numbers, so that (seed, rank, epoch) never collide as their sum would."""

from __future__ import annotations

import numpy as np


def mix_seed(*numbers: int) -> int:
    """A 63-bit seed that depends on every number and on their order (NumPy's SeedSequence)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
