# SPDX-License-Identifier: Apache-2.0
"""Queue of the embeddings of earlier batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.distributed import RowGather


class MemoryQueue(nn.Module):
    """First-in, first-out memory of embeddings (MoCo, He et al. 2020; SwAV, Caron et al. 2020).

    Rows and the place of the next one are buffers, so that a resumed training goes on with them. The first rows are
    random directions, the same in each process. Over several processes all hold the same rows: those of all, by rank.

    Args:
        size: number K of rows.
        features: width D of the embeddings.

    Attributes:
        size: K.
        rows: (K, D), normalized.
    """

    rows: Tensor
    place: Tensor

    def __init__(self, size: int, features: int) -> None:
        super().__init__()
        shape = positive_integer("size", size), positive_integer("features", features)
        start = torch.randn(shape, generator=torch.Generator().manual_seed(0), device="cpu")
        self.size = size
        self.register_buffer("rows", F.normalize(start, dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, rows: Tensor) -> None:
        """Puts embeddings (B, D), of any scale, in the place of the oldest ones; every process has to call it.

        Raises:
            ValueError: when the rows of all processes are more than the queue holds.
        """
        gathered = RowGather(len(rows), rows.device)(rows.detach())
        if len(gathered) > len(self.rows):
            raise ValueError(
                f"a queue of {len(self.rows)} rows cannot take {len(gathered)} at once: make it at least as long as"
                " the batch of all processes"
            )
        places = (self.place + torch.arange(len(gathered), device=self.place.device)) % len(self.rows)
        self.rows.index_copy_(0, places, F.normalize(gathered.to(self.rows.dtype), dim=1))
        self.place.add_(len(gathered)).remainder_(len(self.rows))
