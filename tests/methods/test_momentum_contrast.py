# SPDX-License-Identifier: Apache-2.0
"""MoCo and MoCo v3: what they compute, what they train, how their teacher and queue move, and that they learn."""

import copy
from functools import partial

import pytest
import torch
from stripes import network, over_seeds
from torch.nn.functional import normalize

from monai_cl_ext.losses import MoCoLoss, MoCoV3Loss
from monai_cl_ext.methods import MoCo, MoCoV3

MAKE = {
    MoCo: partial(MoCo, queue_size=10, features=8),
    MoCoV3: partial(MoCoV3, hidden=16, features=8),
}
KINDS = pytest.mark.parametrize("kind", MAKE)


def views(dims=2):
    generator = torch.Generator().manual_seed(0)
    return [{"image": torch.rand(4, 1, *[16] * dims, generator=generator)} for _ in range(2)]


def trained(method, steps):
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        method(views(), {})["loss"].backward()
        optimizer.step()
        method.after_step()


def test_mocos_loss_is_that_of_query_key_and_queue():
    method = MAKE[MoCo](network(), temperature=0.3)
    first, second = (view["image"] for view in views())
    queue, teacher = method.queue.rows.clone(), copy.deepcopy(method.teacher)
    query = method.projection_head(method.stages.encode(first)[-1].mean((2, 3)))
    expected = MoCoLoss(0.3)(query, teacher(second), queue)
    torch.testing.assert_close(method(views(), {})["loss"], expected)


def test_keys_enter_the_queue_behind_the_loss_and_in_training_alone():
    method = MAKE[MoCo](network())
    before, keys = method.queue.rows.clone(), copy.deepcopy(method.teacher)(views()[1]["image"])
    method.eval()(views(), {})
    assert torch.equal(method.queue.rows, before)
    method.train()(views(), {})
    torch.testing.assert_close(method.queue.rows, torch.cat([normalize(keys), before[4:]]))


def test_moco_v3s_loss_is_that_of_predictions_and_keys_both_ways():
    method = MAKE[MoCoV3](network(), temperature=0.3)
    joined = torch.cat([view["image"] for view in views()])
    pooled, teacher = method.stages.encode(joined)[-1].mean((2, 3)), copy.deepcopy(method.teacher)
    q1, q2 = method.prediction_head(method.projection_head(pooled)).chunk(2)
    k1, k2 = teacher(joined).chunk(2)
    torch.testing.assert_close(method(views(), {})["loss"], MoCoV3Loss(0.3)(q1, k2, q2, k1))


@KINDS
def test_the_encoder_and_the_heads_are_trained_and_the_teacher_follows(kind):
    net = network()
    method = MAKE[kind](net, momentum=0.75)
    start = copy.deepcopy(method.teacher.network.state_dict())
    trained(method, 1)
    moved = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert moved == {name for name, _ in net.named_parameters() if name.startswith(("conv_0", "down_"))}
    for name, parameter in method.teacher.network.named_parameters():
        own = dict(zip(("0", "1"), (method.stages, method.projection_head), strict=True))[name[0]]
        student = own.get_parameter(name[2:])
        torch.testing.assert_close(parameter, 0.75 * start[name] + 0.25 * student)
        assert not parameter.requires_grad and parameter.grad is None


@KINDS
def test_training_goes_on_from_a_saved_state_bit_for_bit(kind):
    torch.manual_seed(0)
    whole = MAKE[kind](network())
    halves = copy.deepcopy(whole)
    trained(whole, 4)
    trained(halves, 2)
    resumed = MAKE[kind](network())
    resumed.load_state_dict(halves.state_dict())
    trained(resumed, 2)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


@KINDS
def test_three_dimensions(kind):
    method = MAKE[kind](network(3))
    assert method(views(3), {})["loss"].isfinite() and method.embed(views(3)[0]["image"]).shape == (4, 32)


LEARNING = {
    MoCo: lambda: MoCo(network(), queue_size=256, momentum=0.95),
    MoCoV3: lambda: MoCoV3(network(), 0.2, momentum=0.95, hidden=64, features=32),
}


@pytest.mark.slow
@KINDS
def test_it_learns_what_crops_of_an_image_share(kind):
    start, right, broken = over_seeds(LEARNING[kind])
    assert right > 0.95 and start < 0.75 and right - broken > 0.08
