# SPDX-License-Identifier: Apache-2.0
"""Running statistics of two processes become those of the first."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from ignite.engine import Engine
from torch import nn

from monai_cl_ext.handlers import SyncBuffers


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    network(torch.full((1, 1, 4, 4), float(rank + 1)))
    before = network[1].running_mean.clone()
    engine = Engine(lambda engine, batch: None)
    SyncBuffers(network).attach(engine)
    engine.run([0], max_epochs=1)
    torch.save({"before": before, "after": network[1].running_mean}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_every_process_gets_the_buffers_of_the_first(tmp_path: Path):
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert not torch.equal(first["before"], second["before"])
    assert torch.equal(first["after"], first["before"]) and torch.equal(second["after"], first["before"])


def test_one_process_has_nothing_to_do():
    network = nn.BatchNorm2d(2)
    engine = Engine(lambda engine, batch: None)
    SyncBuffers(network).attach(engine)
    engine.run([0], max_epochs=1)
    assert torch.equal(network.running_mean, torch.zeros(2))
