# SPDX-License-Identifier: Apache-2.0
"""Gives every process the running statistics of the first one, once an epoch."""

from __future__ import annotations

import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from monai_cl_ext.distributed import world_size


class SyncBuffers:
    """Broadcasts the buffers of rank 0 at the end of each epoch, before anything is evaluated or saved.

    Under DistributedDataParallel with ``broadcast_buffers=False`` each process keeps running statistics of its own.
    All processes then evaluate, and resume from, what the first one saves. One process has nothing to do.

    Args:
        network: whose buffers are sent, not the DistributedDataParallel wrapper.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Sends on EPOCH_COMPLETED: attach it before validation and saving."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Sends the buffers now."""
        if world_size() > 1:
            for buffer in self.network.buffers():
                dist.broadcast(buffer, src=0)
