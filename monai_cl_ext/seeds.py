# SPDX-License-Identifier: Apache-2.0
"""Random numbers as a function of (seed, rank, epoch)."""

from __future__ import annotations

import numpy as np
import torch

from monai_cl_ext.distributed import rank

STREAM = 0x7669657773  # separates these numbers from those that the trainer draws for the same seed and epoch


def mix_seed(*numbers: int) -> int:
    """A 63-bit seed that depends on every number and on their order (NumPy's SeedSequence)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class EpochGenerator:
    """A CPU generator that is seeded anew for each epoch, from (seed, rank, epoch).

    Args:
        seed: the run's seed, mixed with a number of its own (``mix_seed``) by each of several that draw in one run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)
        self._generator: torch.Generator | None = None

    def set_epoch(self, epoch: int) -> None:
        """Seeds an epoch; call it before the epoch's first batch."""
        self._generator = torch.Generator().manual_seed(mix_seed(STREAM, self.seed, rank(), epoch))

    def __call__(self) -> torch.Generator:
        """The epoch's generator, of epoch 0 where none was set; created on first use, when the rank is known."""
        if self._generator is None:
            self.set_epoch(0)
        assert self._generator is not None
        return self._generator
