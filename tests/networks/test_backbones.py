# SPDX-License-Identifier: Apache-2.0
"""What holds of every paper's own U-shaped network: export, gradients, refusals."""

import pytest
import torch
from backbone_cases import normalized_biases, scrambled

from monai_cl_ext.networks import GCLUNet, PCLUNet, UAMTVNet

SMALL = {
    "gcl": lambda *channels, dims=2: GCLUNet(*channels, spatial_dims=dims),
    "pcl": lambda *channels, dims=2: PCLUNet(*channels, features=4, spatial_dims=dims),
    "uamt": lambda *channels, dims=2: UAMTVNet(*channels, features=4, dropout=0.0, spatial_dims=dims),
}
MULTIPLE = {"gcl": 32, "pcl": 16, "uamt": 16}
NORMALIZED = {"gcl": 28, "pcl": 16, "uamt": 12 + 4 + 4 + 9}  # convolutions with a normalization behind them


@pytest.mark.parametrize("dims, sides", [(2, (2, 1)), (3, (1, 1, 2))])
@pytest.mark.parametrize("kind", SMALL)
def test_scripted_network_gives_the_same(kind, dims, sides):
    net = scrambled(SMALL[kind](2, 3, dims=dims)).float()
    image = torch.randn(1, 2, *(side * MULTIPLE[kind] for side in sides))
    scripted = torch.jit.script(net)
    with torch.no_grad():
        assert torch.equal(scripted(image), net(image))
        assert net(image).shape == (1, 3, *image.shape[2:])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", SMALL)
def test_gradient_reaches_every_parameter(kind, dims):
    net = SMALL[kind](1, 2, dims=dims).train()
    net(torch.randn(2, 1, 2 * MULTIPLE[kind], *[MULTIPLE[kind]] * (dims - 1))).square().sum().backward()
    biases = normalized_biases(net)
    assert len(biases) == NORMALIZED[kind]
    for name, parameter in net.named_parameters():
        # normalization takes a convolution's bias out again: its gradient is rounding
        assert any(parameter is bias for bias in biases) or parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", SMALL)
def test_wrong_sizes_and_arguments(kind):
    build, multiple = SMALL[kind], MULTIPLE[kind]
    for dims in (2, 3):
        with pytest.raises(ValueError, match=f"multiple of {multiple}, found 40"):
            build(1, 2, dims=dims)(torch.zeros(1, 1, *[multiple] * (dims - 1), 40))
    with pytest.raises(ValueError, match="spatial_dims"):
        build(1, 2, dims=1)
    with pytest.raises(ValueError, match="in_channels"):
        build(0, 2)
    with pytest.raises(ValueError, match="out_channels"):
        build(1, 0)


@pytest.mark.parametrize("network, given", [
    (PCLUNet, {"features": 0}), (UAMTVNet, {"features": 0}), (UAMTVNet, {"dropout": 1.5}),
])  # fmt: skip
def test_wrong_arguments_of_one_network(network, given):
    with pytest.raises(ValueError, match=next(iter(given))):
        network(**given)
