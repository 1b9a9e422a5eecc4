# SPDX-License-Identifier: Apache-2.0
"""Two processes give the loss and the gradient of one."""

import datetime
import os

import pytest
import torch
import torch.distributed as dist
from loss_cases import CASES
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_cl_ext.losses import NTXentLoss


def trained_weight(network, own):
    """Weights after one step on samples that every process draws alike and takes its part of."""
    images = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(1))[:, own]
    z = network(images.flatten(0, 1)).unflatten(0, images.shape[:2])
    NTXentLoss(0.1)(*z).backward()
    parameters = list(network.parameters())
    torch.optim.SGD(parameters, lr=0.1).step()
    return torch.cat([parameter.detach().flatten() for parameter in parameters])


def new_network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


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
    part = slice(0, 3) if rank == 0 else slice(3, 8)
    results["trained"] = trained_weight(DistributedDataParallel(new_network()), part)
    z1, z2 = torch.randn(2, rank, 4, requires_grad=True)
    alone = NTXentLoss()(z1, z2)
    results["alone"] = alone.detach(), torch.autograd.grad(alone, z1)[0]
    torch.save(results, f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # with DDP and gloo, torch 2.13 aborts now and then while the interpreter shuts down


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / str(rank)) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_mean_over_processes_is_the_loss_and_gradient_of_one(processes, name):
    case = CASES[name]
    z = case.leaf()
    expected = case.loss(z, slice(0, 8))
    expected.backward()
    losses, gradients = zip(*(results[name] for results in processes), strict=True)
    torch.testing.assert_close(sum(losses) / 2, expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(sum(gradients) / 2, z.grad, rtol=0, atol=1e-12)


def test_a_process_without_positives_still_repels(processes):
    loss, gradient = processes[1]["supervised, a process without positives"]
    assert loss.item() == 0
    assert gradient[0, 4:].any()


def test_data_parallel_step_is_the_step_of_one(processes):
    expected = trained_weight(new_network(), slice(0, 8))
    for results in processes:
        torch.testing.assert_close(results["trained"], expected, rtol=0, atol=1e-6)


def test_one_sample_of_all_processes_costs_nothing(processes):
    for results in processes:
        loss, gradient = results["alone"]
        assert loss.item() == 0 and not gradient.any()
