# SPDX-License-Identifier: Apache-2.0
"""Two processes give the loss and the gradient of one, under positions, neighbor graphs and superpixels."""

import datetime
import os

import pytest
import torch
import torch.distributed as dist
from graph_cases import CASES


def work(rank, folder):
    """One of the two processes: every case in turn, results to a file."""
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/group", timeout=timeout, rank=rank, world_size=2)
    results = {}
    for name, case in CASES.items():
        z = case.leaf()
        loss = case.loss(z, case.own(rank))
        loss.backward()
        results[name] = loss.detach(), z.grad
    torch.save(results, f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # as in test_loss_processes


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / str(rank)) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_mean_over_processes_is_the_loss_and_gradient_of_one(processes, name):
    z = CASES[name].leaf()
    expected = CASES[name].loss(z, slice(0, 8))
    expected.backward()
    losses, gradients = zip(*(results[name] for results in processes), strict=True)
    torch.testing.assert_close(sum(losses) / 2, expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(sum(gradients) / 2, z.grad, rtol=0, atol=1e-12)
    assert z.grad.any() == ("no positive" not in name)


def test_a_process_without_positives_still_repels(processes):
    loss, gradient = processes[1]["position, a process without positives"]
    assert loss.item() == 0
    assert gradient[:, 4:].any()
