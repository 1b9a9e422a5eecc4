# SPDX-License-Identifier: Apache-2.0
"""CauSSL: its loss by hand, the adversary's turns, which networks it takes, and two processes."""

import copy
import datetime
import os

import pytest
import torch
import torch.distributed as dist
from semi_supervised_cases import SUPERVISED, convolutions, unet, views
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_cl_ext.losses import FilterIndependenceLoss
from monai_cl_ext.methods import CauSSL, CrossPseudoSupervision
from monai_cl_ext.methods.caussl import filters


def made(make=convolutions, **more):
    networks = make(0), make(1)
    torch.manual_seed(4)
    return CauSSL(*networks, SUPERVISED, 2, **{"begin": 2, "every": 3, **more}).train()


def coefficients(method):
    return [each.detach().clone() for each in method.adversary.parameters()]


def by_hand(first, second, coefficients):
    """The mean squared cosine of one direction, from the formula."""
    layers = []
    for own, other, matrix in zip(first, second, coefficients, strict=True):
        rows, copies = own.flatten(1), matrix @ other.flatten(1)
        layers.append(torch.cosine_similarity(rows, copies, dim=1).square().mean())
    return torch.stack(layers).mean()


def test_the_loss_is_that_of_cps_and_from_its_step_on_the_dependence():
    method, (view,) = made(independence_weight=0.9, consistency_weight=0.7), views()
    plain = CrossPseudoSupervision(copy.deepcopy(method.network), copy.deepcopy(method.second), SUPERVISED, 2, 0.7)
    expected = plain([view], {})
    for method.iteration in (0, 1):
        losses = method([view], {})
        assert losses.keys() == expected.keys() and all(torch.equal(losses[key], expected[key]) for key in losses)
    method.iteration = 2
    losses = method([view], {})
    weights = [[net[0].weight.detach(), net[3].weight.detach()] for net in (method.network, method.second)]
    dependence = sum(
        by_hand(*pair, coefficients(method)[part])
        for pair, part in ((weights, slice(0, 2)), (weights[::-1], slice(2, 4)))
    )
    torch.testing.assert_close(losses["independence"], dependence)
    torch.testing.assert_close(losses["loss"], expected["loss"] + 0.9 * dependence)
    assert losses["independence"] > 0 and method.predictor is method.network


@pytest.mark.parametrize("name", ["network", "second"])
def test_the_dependence_moves_the_convolutions_of_each_network_by_its_own_direction(name):
    method = made(begin=0)
    network = getattr(method, name)
    independence = method(views(), {})["independence"]
    own = torch.autograd.grad(independence, list(network.parameters()), allow_unused=True)
    named = dict(zip((name for name, _ in network.named_parameters()), own, strict=True))
    assert {name for name, each in named.items() if each is not None and each.any()} == {"0.weight", "3.weight"}
    pair, part = (("network", "second"), slice(0, 2)) if name == "network" else (("second", "network"), slice(2, 4))
    weights = [[getattr(method, each)[layer].weight for layer in (0, 3)] for each in pair]
    alone = by_hand(weights[0], [each.detach() for each in weights[1]], coefficients(method)[part])
    for layer, gradient in zip((0, 3), torch.autograd.grad(alone, weights[0]), strict=True):
        torch.testing.assert_close(named[f"{layer}.weight"], gradient)


def test_turns_of_the_adversary_come_when_they_should():
    method, moved = made(), []
    for method.iteration in range(9):
        before = coefficients(method)
        method(views(), {})["loss"].backward()
        method.after_step()
        moved.append(not torch.equal(before[0], coefficients(method)[0]))
    assert [step for step, each in enumerate(moved, start=1) if each] == [2, 5, 8]
    assert all(not each.requires_grad and each.grad is None for each in method.adversary.parameters())


def test_a_turn_is_so_many_steps_of_adam_that_raise_the_dependence():
    method = made(every=60)
    weights = [[each.detach() for each in filters(network)] for network in (method.network, method.second)]
    losses = FilterIndependenceLoss([6, 3]), FilterIndependenceLoss([6, 3])
    expected = [each for loss in losses for each in loss.parameters()]
    for own, other in zip(expected, coefficients(method), strict=True):
        own.data = other.clone()
    starts, ends = [], []
    for loss, pair in zip(losses, (weights, weights[::-1]), strict=True):
        starts.append(loss(*pair).item())
        optimizer = torch.optim.Adam(loss.parameters(), 2e-2)
        for _ in range(60):
            optimizer.zero_grad()
            (-loss(*pair)).backward()
            optimizer.step()
        ends.append(loss(*pair).item())
    networks = copy.deepcopy([method.network.state_dict(), method.second.state_dict()])
    method.iteration = 1
    method.after_step()
    for one, other in zip(coefficients(method), expected, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-5)
    assert all(end > 2 * start for start, end in zip(starts, ends, strict=True))
    (state, *_) = method.optimizers["independence"].state.values()
    assert int(state["step"]) == 60
    for before, network in zip(networks, (method.network, method.second), strict=True):
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_filters_are_the_output_channels_of_every_convolution():
    network = nn.Sequential(nn.Conv3d(2, 5, 3), nn.ConvTranspose3d(5, 4, 2), nn.Linear(3, 3), nn.Conv1d(4, 6, 1))
    assert [tuple(each.shape) for each in filters(network)] == [(5, 2, 3, 3, 3), (4, 5, 2, 2, 2), (6, 4, 1)]
    method = made(unet, begin=0)
    assert method(views(), {})["independence"] > 0
    convolutions_ = [each for each in method.network.modules() if isinstance(each, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(coefficients(method)) == 2 * len(convolutions_)


def test_mistakes_are_named():
    other = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))
    with pytest.raises(ValueError, match="two networks of one architecture"):
        CauSSL(convolutions(), other, SUPERVISED, 2)
    with pytest.raises(ValueError, match="equal weights and would always agree"):
        CauSSL(convolutions(), convolutions(), SUPERVISED, 2)
    with pytest.raises(ValueError, match="every must be an integer of at least 1, found 0"):
        made(every=0)
    with pytest.raises(ValueError, match="begin must be an integer of at least 0, found -1"):
        made(begin=-1)


def work(rank, folder):
    """Steps of a process on rows of its own, from coefficients of its own that DDP makes those of the first."""
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/group", timeout=timeout, rank=rank, world_size=2)
    method = made(begin=1, every=2)
    with torch.no_grad():
        for each in method.adversary.parameters():
            each += rank
    wrapped = DistributedDataParallel(method, broadcast_buffers=False)
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.1)
    for method.iteration in range(4):
        given = [{key: value.roll(1 + rank, -1) for key, value in view.items()} for view in views()]
        optimizer.zero_grad()
        wrapped(given, {})["loss"].backward()
        optimizer.step()
        method.after_step()
    parts = [torch.cat([each.detach().flatten() for each in module.parameters()])
             for module in (method.adversary, method.network, method.second)]  # fmt: skip
    torch.save(parts, f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # with DDP and gloo, torch 2.13 aborts now and then while the interpreter shuts down


@pytest.mark.slow
def test_two_processes_have_the_same_coefficients(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    one, other = (torch.load(tmp_path / str(rank)) for rank in range(2))
    assert all(map(torch.equal, one, other)) and one[0].abs().max() > 0.01
