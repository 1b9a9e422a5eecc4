# SPDX-License-Identifier: Apache-2.0
"""The evaluator of adversarial training: the release's parameters and layers, sizes, and what it refuses."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from monai_cl_ext.networks import Evaluator


def evaluator(dims=2, width=4, classes=3, channels=1, seed=0):
    torch.manual_seed(seed)
    return Evaluator(classes, channels, dims, width)


def inputs(dims=2, side=32, classes=3, channels=1):
    generator = torch.Generator().manual_seed(0)
    shape = [side] * dims
    return torch.rand(2, classes, *shape, generator=generator), torch.rand(2, channels, *shape, generator=generator)


@pytest.mark.parametrize("arguments, count", [((4, 1), 2_762_754), ((2, 3), 2_762_754), ((1, 1, 3), 11_027_458)])
def test_parameters_are_those_of_the_release(arguments, count):
    """The number in 2D is the release's; the convolutions of 3D have 4^3 weights a pair, the verdict 8 positions."""
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in Evaluator(*arguments).parameters()) == count


def test_the_layers_are_those_of_the_release_on_its_size():
    """By hand, with the release's 7x7 window replaced by the halves that reach the same 2x2 positions."""
    network, (maps, image) = evaluator().eval(), inputs(side=256)
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [8, 16, 32]
    first = [F.conv2d(each, layer.weight, layer.bias, 2, 1)
             for each, layer in ((maps, network.of_maps), (image, network.of_image))]  # fmt: skip
    x = first[0] + first[1]
    for layer in convolutions:
        x = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias, 2, 1), 0.2)
    assert x.shape[2:] == (16, 16)
    expected = F.linear(F.avg_pool2d(x, 8).flatten(1), network.verdict.weight, network.verdict.bias)
    torch.testing.assert_close(network(maps, image), expected)


def test_in_3d_the_sum_is_activated_and_dropped_as_well():
    flat, deep = (
        [type(layer).__name__ for layer in evaluator(dims).layers if not isinstance(layer, (nn.Conv2d, nn.Conv3d))]
        for dims in (2, 3)
    )
    assert flat == ["LeakyReLU", "Dropout2d"] * 2 + ["LeakyReLU", "AdaptiveAvgPool2d", "Flatten"]
    assert deep == ["LeakyReLU", "Dropout3d"] * 3 + ["LeakyReLU", "AdaptiveAvgPool3d", "Flatten"]


@pytest.mark.parametrize("dims, size", [(2, (16, 16)), (2, (70, 33)), (3, (16, 24, 20))])
def test_images_of_any_size_from_16_on_give_two_logits(dims, size):
    maps, image = torch.rand(2, 3, *size), torch.rand(2, 1, *size)
    assert evaluator(dims)(maps, image).shape == (2, 2)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_verdict_on_an_image_is_its_own_and_rests_on_both_inputs(dims):
    network, (maps, image) = evaluator(dims).eval(), inputs(dims)
    verdict = network(maps, image)
    torch.testing.assert_close(network(maps[:1], image[:1]), verdict[:1])
    assert not torch.allclose(network(maps, image.flip(0)), verdict)
    assert not torch.allclose(network(maps.flip(0), image), verdict)


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"at least 16 voxels along each axis, found \(15, 40\): raise image_size"):
        evaluator()(torch.rand(1, 3, 15, 40), torch.rand(1, 1, 15, 40))
    with pytest.raises(ValueError, match=r"of one size, found \(16, 16\) and \(32, 32\)"):
        evaluator()(torch.rand(1, 3, 16, 16), torch.rand(1, 1, 32, 32))
    with pytest.raises(ValueError, match="for 3 maps and images of 1 channels, found 4 and 1: set its map_channels"):
        evaluator()(torch.rand(1, 4, 16, 16), torch.rand(1, 1, 16, 16))


@pytest.mark.parametrize("arguments, name", [((0,), "map_channels"), ((2, 0), "in_channels"),
                                             ((2, 1, 1), "spatial_dims"), ((2, 1, 2, 0), "width")])  # fmt: skip
def test_arguments_without_meaning_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        Evaluator(*arguments)
