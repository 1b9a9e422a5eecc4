# SPDX-License-Identifier: Apache-2.0
"""U-KAN: parameters, its block and whole network written out, start."""

import math

import pytest
import torch
from backbone_cases import numbers_of, scrambled
from test_kan_linear import basis_of
from torch import nn
from written_out import WrittenOut, doubled, pooled

from monai_cl_ext.networks import UKAN, KANLinear
from monai_cl_ext.networks.backbones.ukan import KANBlock


def test_parameter_counts_are_those_of_the_paper():
    with torch.device("meta"):
        assert numbers_of(UKAN(3, 1)) == 6_356_689
        assert numbers_of(UKAN(3, 1, (256, 320, 512))) == 25_359_265
        assert numbers_of(UKAN(1, 4)) == 6_356_689 - 2 * 9 * 16 + 3 * (16 + 1)
        layers = [each for each in UKAN(3, 1).modules() if isinstance(each, KANLinear)]
    assert sum(numbers_of(layer) for layer in layers) == 10 * 3 * (160**2 + 256**2 + 160**2 + 128**2)


def kan_block(oracle, x):
    """The sum of the map and what three KAN linear layers, each with a depthwise unit, make of it."""
    given, x = x, oracle.layer_normalized(x)
    for _ in range(3):
        base, scale, spline = oracle.take("base_weight", "spline_scale", "spline_weight")
        values = torch.from_numpy(basis_of(x.numpy()))
        curves = torch.einsum("bihwj,oij->bohw", values, spline * scale[..., None])
        x = torch.einsum("bihw,oi->bohw", x / (1 + torch.exp(-x)), base) + curves
        x = oracle.batch_normalized(oracle.depthwise(x)).clamp(min=0)
    return given + x


def lively(net):
    """In float64, with splines that matter."""
    torch.manual_seed(0)
    for module in scrambled(net).modules():
        if isinstance(module, KANLinear):
            module.spline_weight.data.normal_(0, 0.5)
    return net


@torch.no_grad()
def test_the_block_is_that_of_the_paper():
    block, x = lively(KANBlock(6)), torch.randn(2, 6, 4, 5, dtype=torch.float64)
    oracle = WrittenOut(block)
    torch.testing.assert_close(block(x), kan_block(oracle, x), rtol=1e-10, atol=1e-11)
    assert oracle.is_done()


@torch.no_grad()
def test_forward_equals_the_network_written_out():
    net, image = lively(UKAN(2, 3, (16, 10, 12))), torch.randn(2, 2, 64, 96, dtype=torch.float64)
    oracle = WrittenOut(net)

    def raised(x):
        return doubled(oracle.unit(oracle.unit(x))).clamp(min=0)

    def mixed(x):
        return oracle.layer_normalized(kan_block(oracle, x))

    x, skips = image, []
    for _ in range(3):
        x = pooled(oracle.unit(oracle.unit(x))).clamp(min=0)
        skips.append(x)
    for _ in range(2):
        x = mixed(oracle.layer_normalized(oracle.convolution(x, stride=2)))
        skips.append(x)
    assert [skip.shape[1] for skip in skips] == [2, 4, 16, 10, 12] and x.shape[2:] == (2, 3)
    x = mixed(raised(skips.pop()) + skips.pop())
    x = mixed(raised(x) + skips.pop())
    for _ in range(2):
        x = raised(x) + skips.pop()
    x = oracle.mixed(raised(x))
    assert oracle.is_done() and not skips
    torch.testing.assert_close(net(image), x, rtol=1e-9, atol=1e-10)


def test_start_follows_the_release():
    torch.manual_seed(0)
    net = UKAN(1, 2)
    embedding, unit = net.encoder[4][0], net.encoder[4][2].layers[0]
    for conv, outgoing in ((embedding, 9 * 256), (unit.local[0], 9)):
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / outgoing), rel=0.05) and not conv.bias.any()
    assert unit.linear.base_weight.std().item() == pytest.approx((3 * 256) ** -0.5, rel=0.02)
    assert not any(isinstance(each, (nn.Linear, nn.Dropout)) for each in net.modules())


@pytest.mark.parametrize("widths", [(128, 160), (12, 16, 16), (16, 0, 16), (16, 16, -1), (0, 16, 16)])
def test_wrong_widths_are_refused(widths):
    with pytest.raises(ValueError, match="widths"):
        UKAN(1, 2, widths)
