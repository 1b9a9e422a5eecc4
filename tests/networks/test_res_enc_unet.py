# SPDX-License-Identifier: Apache-2.0
"""The residual encoder U-Net: parameters, initialization, export. What it computes is tested with its preset."""

import pytest
import torch
from monai.networks.utils import convert_to_torchscript

from monai_cl_ext.networks import ResEncUNet

PLAN = ((32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6))


def expected_numbers(dims, features, blocks, channels, classes):
    """Counted layer by layer: kernels, biases, and scale and shift of the normalization."""

    def unit(before, after):
        return before * after * 3**dims + 3 * after

    total, before = unit(channels, features[0]), features[0]
    for width, count in zip(features, blocks, strict=True):
        total += unit(before, width) + (2 * count - 1) * unit(width, width)
        total += 0 if before == width else before * width + 2 * width
        before = width
    for below, width in zip(features[:0:-1], features[-2::-1], strict=True):
        total += below * width * 2**dims + width + unit(2 * width, width)
    return total + features[0] * classes + classes


def test_parameter_counts():
    for dims, features, blocks, channels, classes in ((3, *PLAN, 1, 2), (2, *PLAN, 3, 5), (3, (4, 6), (2, 1), 2, 3)):
        with torch.device("meta"):
            net = ResEncUNet(channels, classes, features, blocks, spatial_dims=dims)
        found = sum(parameter.numel() for parameter in net.parameters())
        assert found == expected_numbers(dims, features, blocks, channels, classes)
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in ResEncUNet().parameters()) == 102_348_226


@pytest.mark.parametrize("dims", [2, 3])
def test_it_starts_as_its_skips_trains_whole_and_is_scripted(dims):
    torch.manual_seed(0)
    net = ResEncUNet(2, 3, (4, 6, 8), (2, 1, 2), spatial_dims=dims)
    image = torch.randn(2, 2, *[16] * dims)
    block = net.encoder[0].blocks[1]
    features = torch.randn(1, 4, *[4] * dims).abs()
    assert torch.equal(block(features), features)  # the last normalization before the addition starts at 0
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):  # after a step all gradients pass
        optimizer.zero_grad()
        net(image).square().mean().backward()
        optimizer.step()
    silent = [name for name, each in net.named_parameters() if not each.grad.abs().sum() > 0]
    assert all(name.endswith("conv.bias") for name in silent)  # what the normalization takes off again
    scripted = convert_to_torchscript(net.eval())
    torch.testing.assert_close(scripted(image), net(image))


@pytest.mark.parametrize("arguments, message", [
    ({"features": (4, 6), "blocks": (1,)}, "must be as many"), ({"features": (4,), "blocks": (1,)}, "at least two"),
    ({"features": (4, 0), "blocks": (1, 1)}, "features"), ({"features": (4, 6), "blocks": (1, 0)}, "blocks"),
    ({"in_channels": 0}, "in_channels"), ({"out_channels": 0}, "out_channels"), ({"spatial_dims": 1}, "spatial_dims"),
])  # fmt: skip
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResEncUNet(**arguments)


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 4, found 18"):
        ResEncUNet(features=(4, 6, 8), blocks=(1, 1, 1))(torch.zeros(1, 1, 16, 18, 16))
