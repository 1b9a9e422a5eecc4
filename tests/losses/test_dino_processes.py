# SPDX-License-Identifier: Apache-2.0
"""Two processes give DINO's and DeSD's loss, gradient and center of one."""

import datetime
import os

import pytest
import torch
import torch.distributed as dist

from monai_cl_ext.losses import DeSDLoss, DINOLoss

FIRST = {"equal parts": 4, "unequal parts": 3, "an empty process": 8}
"""How many of eight images process 0 has."""
LOSSES = {"DINO": DINOLoss, "DeSD": DeSDLoss}


def outcome(own, kind):
    """Loss and gradient of the second of two calls, which has a center, and the center after both."""
    generator = torch.Generator().manual_seed(0)
    loss = LOSSES[kind](6)
    for _ in range(2):
        student = torch.randn(4, 8, 6, dtype=torch.float64, generator=generator).requires_grad_()
        teacher = torch.randn(2, 8, 6, dtype=torch.float64, generator=generator)
        crops = list(student[:, own].unbind())
        levels = [crops[:2], crops[2:]] if kind == "DeSD" else crops
        value = loss(levels, list(teacher[:, own].unbind()), 0.5)
    value.backward()
    return value.detach(), student.grad, loss.center


def work(rank, folder):
    """One of the two processes: every case in turn, results to a file."""
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/group", timeout=timeout, rank=rank, world_size=2)
    parts = {name: slice(0, first) if rank == 0 else slice(first, 8) for name, first in FIRST.items()}
    results = {(kind, name): outcome(part, kind) for kind in LOSSES for name, part in parts.items()}
    torch.save(results, f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # as in test_loss_processes


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / str(rank)) for rank in range(2)]


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", FIRST)
def test_mean_over_processes_is_the_loss_and_gradient_of_one(processes, name, kind):
    loss, gradient, center = outcome(slice(0, 8), kind)
    losses, gradients, centers = zip(*(results[kind, name] for results in processes), strict=True)
    torch.testing.assert_close(sum(losses) / 2, loss, rtol=0, atol=1e-7)  # the center is float32
    torch.testing.assert_close(sum(gradients) / 2, gradient, rtol=0, atol=1e-7)
    assert gradient.any() and center.any()
    for found in centers:
        torch.testing.assert_close(found, center, rtol=0, atol=1e-7)
