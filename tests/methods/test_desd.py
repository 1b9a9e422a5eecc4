# SPDX-License-Identifier: Apache-2.0
"""DeSD: what it computes, what it trains, how its teacher moves, exact resume, and that it learns."""

import copy
from functools import partial

import pytest
import torch
from stripes import network, pretrained

from monai_cl_ext.losses import DeSDLoss
from monai_cl_ext.methods import DINO, DeSD
from monai_cl_ext.networks import DINOHead, MultiCropViT

HEAD = partial(DINOHead, out_dim=12, hidden=10, bottleneck=6)


def make(dims=2, levels=4, **arguments):
    torch.manual_seed(0)
    return DeSD(network(dims), HEAD, DeSDLoss(12), levels, **arguments)


def views(sizes=(32, 32), dims=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [{"image": torch.rand(4, 1, *[size] * dims, generator=generator)} for size in sizes]


def moved(method):
    """The method with a student and a center that have left their start."""
    with torch.no_grad():
        for tensor in (*method.student.parameters(), method.loss.center):
            tensor.add_(0.1 * torch.randn_like(tensor))
    return method


@pytest.mark.parametrize("sizes", [(32, 32), (32, 32, 16)])
@pytest.mark.parametrize("levels", [1, 4, 5])
def test_it_is_the_loss_of_every_levels_head_against_the_teachers_deepest(sizes, levels):
    method = moved(make(levels=levels, teacher_temperature=0.07))
    images = [view["image"] for view in views(sizes)]
    together = [torch.cat(images[:2]), *images[2:]]  # as batch normalization sees them
    maps = [method.student.backbone.encode(image)[-levels:] for image in together]
    student = []
    for level, head in enumerate([*method.level_heads, method.student.head]):
        pooled = torch.cat([each[level].mean((2, 3)) for each in maps])
        student.append(head(pooled).split(4))
    teacher = method.teacher.network
    targets = teacher.head(teacher.backbone(together[0])).split(4)
    loss = DeSDLoss(12)
    loss.center.copy_(method.loss.center)
    expected = loss(student, targets, 0.07)
    torch.testing.assert_close(method(views(sizes), {})["loss"], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(method.loss.center, loss.center, rtol=0, atol=1e-6)
    assert len(student) == levels


def test_widths_are_those_of_the_deepest_levels():
    method = make()
    heads = [*method.level_heads, method.student.head, method.teacher.network.head]
    assert [head.layers[0].in_features for head in heads] == [8, 16, 16, 32, 32]


def test_every_head_and_the_encoder_are_trained_and_the_teacher_follows_by_name():
    method = make(momentum=0.9)
    start = copy.deepcopy(method.teacher.network.state_dict())
    student = dict(method.student.named_parameters())
    assert all(torch.equal(parameter, start[name]) for name, parameter in student.items())
    method(views(), {})["loss"].backward()
    trained = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"student", "level_heads"}
    encoder = {name.split(".")[3] for name in trained if "backbone" in name}
    assert encoder == {"conv_0", "down_1", "down_2", "down_3", "down_4"}
    moved(method).after_step()
    found = dict(method.teacher.network.named_parameters())
    assert found.keys() == student.keys() and not any("level_heads" in name for name in found)
    for name, parameter in found.items():
        torch.testing.assert_close(parameter, 0.9 * start[name] + 0.1 * student[name], rtol=0, atol=1e-6)
        assert not parameter.requires_grad


def test_the_network_that_was_given_is_the_teacher():
    net = network()
    method = DeSD(net, HEAD, DeSDLoss(12))
    assert method.predictor is net and isinstance(method, DINO)
    image = views()[0]["image"]
    torch.testing.assert_close(method.eval().embed(image), method.teacher.network.backbone(image))


def test_training_goes_on_from_a_saved_state_bit_for_bit():
    def go_on(method, optimizer, first, last):
        for step in range(first, last):
            optimizer.zero_grad()
            method(views(seed=step), {})["loss"].backward()
            optimizer.step()
            method.after_step()

    def start():
        method = make(levels=2, momentum=0.7)
        return method, torch.optim.AdamW([each for each in method.parameters() if each.requires_grad], 1e-2)

    whole, halves, (resumed, optimizer) = start(), start(), start()
    go_on(*whole, 0, 4)
    go_on(*halves, 0, 2)
    with torch.no_grad():
        for parameter in resumed.parameters():
            parameter.add_(1)
    resumed.load_state_dict(halves[0].state_dict())
    optimizer.load_state_dict(halves[1].state_dict())
    go_on(resumed, optimizer, 2, 4)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole[0].state_dict().items())
    assert resumed.loss.center.any()


def test_three_dimensions():
    method = make(3)
    assert method(views(dims=3), {})["loss"].isfinite() and method.embed(views(dims=3)[0]["image"]).shape == (4, 32)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="DeSD takes 2 global crops and at least two views in all, found 1: give"):
        make()(views((32,)), {})
    with pytest.raises(ValueError, match="levels must be from 1 to 5 for this network, found 6"):
        make(levels=6)
    with pytest.raises(ValueError, match="levels must be an integer of at least 1, found 0"):
        make(levels=0)
    with pytest.raises(TypeError, match="found MultiCropViT"):
        DeSD(MultiCropViT(1, 16, 4, 24, 48, 2, 2), HEAD, DeSDLoss(12))


def learning(loss=DeSDLoss):
    head = partial(DINOHead, out_dim=64, hidden=64, bottleneck=32, batch_norm=True)
    return lambda: DeSD(network(), head, loss(64), momentum=0.98, teacher_temperature=0.02)


@pytest.mark.slow
def test_it_learns_what_crops_of_an_image_share():
    start, right, broken = (pretrained(learning(), *of) for of in ((0,), (100,), (100, (24, 24), True)))
    assert right > 0.95 > 0.85 > max(start, broken)
