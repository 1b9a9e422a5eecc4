# SPDX-License-Identifier: Apache-2.0
"""The queue of embeddings: first in, first out, in one process and in two, and through a checkpoint."""

import datetime
import os

import pytest
import torch
import torch.distributed as dist
from torch.nn.functional import normalize

from monai_cl_ext.networks import MemoryQueue

BATCHES = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))


def test_the_oldest_rows_go_first():
    queue = MemoryQueue(6, 3)
    before = queue.rows.clone()
    queue.enqueue(BATCHES[0])
    torch.testing.assert_close(queue.rows, torch.cat([normalize(BATCHES[0]), before[4:]]))
    queue.enqueue(BATCHES[1])
    torch.testing.assert_close(queue.rows, normalize(torch.cat([BATCHES[1, 2:], BATCHES[0, 2:], BATCHES[1, :2]])))


def test_rows_start_as_directions_and_take_no_gradient():
    queue, batch = MemoryQueue(50, 3), BATCHES[0].clone().requires_grad_()
    torch.testing.assert_close(queue.rows.norm(dim=1), torch.ones(50))
    queue.enqueue(batch)
    assert not queue.rows.requires_grad


def test_a_queue_goes_on_from_its_state():
    queue, resumed = MemoryQueue(6, 3), MemoryQueue(6, 3)
    queue.enqueue(BATCHES[0])
    resumed.load_state_dict(queue.state_dict())
    for each in (queue, resumed):
        each.enqueue(BATCHES[1])
    assert torch.equal(queue.rows, resumed.rows)


def test_more_rows_than_the_queue_holds_are_refused():
    with pytest.raises(ValueError, match="a queue of 3 rows cannot take 4 at once"):
        MemoryQueue(3, 3).enqueue(BATCHES[0])


def filled(own):
    torch.manual_seed(0)
    queue = MemoryQueue(6, 3)
    for batch in BATCHES:
        queue.enqueue(batch[own])
    return queue.state_dict()


def work(rank, folder):
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/group", timeout=timeout, rank=rank, world_size=2)
    torch.save(filled(slice(0, 3) if rank == 0 else slice(3, 4)), f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # torch 2.13 aborts now and then while the interpreter shuts down


def test_two_processes_hold_the_queue_of_one(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    expected = filled(slice(0, 4))
    for rank in range(2):
        found = torch.load(tmp_path / str(rank))
        assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
