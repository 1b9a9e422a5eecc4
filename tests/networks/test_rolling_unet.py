# SPDX-License-Identifier: Apache-2.0
"""Rolling-UNet: parameters, its roll, its blocks and whole network written out, dropout and start."""

import math

import pytest
import torch
from backbone_cases import numbers_of, scrambled
from torch import nn
from written_out import WrittenOut, doubled, pooled

from monai_cl_ext.networks import RollingUNet
from monai_cl_ext.networks.backbones.rolling_unet import COLUMNS, ROWS, Lo2, RollingMLP, roll_channels


@pytest.mark.parametrize("width, numbers", [(16, 1_782_161), (32, 7_096_353), (64, 28_320_833)])
def test_parameter_counts_are_those_of_the_papers_s_m_and_l(width, numbers):
    with torch.device("meta"):
        assert numbers_of(RollingUNet(3, 1, width)) == numbers
        assert numbers_of(RollingUNet(1, 4, width)) == numbers - 2 * 9 * width + 3 * (width // 2 + 1)


def rolled(x, dim, step):
    """A map's channels, each rolled by itself."""
    return torch.stack([torch.roll(x[:, c], step * c, dim - 1) for c in range(x.shape[1])], dim=1)


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("axis", [ROWS, COLUMNS])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 13, 4, 6), (2, 4, 1, 3), (1, 1, 2, 2)])
def test_one_gather_rolls_each_channel_by_its_number(shape, axis, step):
    image = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    found = roll_channels(image.movedim(1, -1), axis, step).movedim(-1, 1)
    expected = rolled(image, axis + 1, step)
    assert torch.equal(found, expected)
    weights = torch.randn(shape, dtype=torch.float64)
    gradients = (torch.autograd.grad((each * weights).sum(), image)[0] for each in (found, expected))
    assert torch.equal(*gradients)


def gelu(x):
    return x / 2 * (1 + torch.erf(x / math.sqrt(2)))


def rolling_mlp(oracle, x, first, second):
    hidden = gelu(oracle.mixed(rolled(x, *first)))
    return oracle.mixed(rolled(hidden, *second)) + x


def lo2(oracle, x):
    down = rolling_mlp(oracle, x, (2, 1), (3, 1))
    up = rolling_mlp(oracle, x, (3, -1), (2, 1))
    distant = oracle.mixed(oracle.layer_normalized(torch.cat((down, up), 1))) + x
    near = oracle.batch_normalized(oracle.mixed(oracle.depthwise(x)).clamp(min=0))
    return oracle.mixed(torch.cat((distant, near), 1))


def test_the_blocks_are_those_of_the_paper():
    mlp = scrambled(RollingMLP(6, (COLUMNS, ROWS), (-1, 1), 0.0))
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    expected = rolling_mlp(WrittenOut(mlp), x, (3, -1), (2, 1))
    torch.testing.assert_close(mlp(x.movedim(1, -1)).movedim(-1, 1), expected, rtol=1e-11, atol=1e-12)
    block = scrambled(Lo2(6))
    for weight in (each.weight for each in block.modules() if isinstance(each, nn.Linear)):
        weight.data.normal_(0, 0.3)
    torch.testing.assert_close(block(x), lo2(WrittenOut(block), x), rtol=1e-11, atol=1e-12)


def test_forward_equals_the_network_written_out():
    torch.manual_seed(0)
    net = scrambled(RollingUNet(2, 3, 4))
    for weight in (each.weight for each in net.modules() if isinstance(each, nn.Linear)):
        weight.data.normal_(0, 0.2)
    oracle = WrittenOut(net)

    def incentive(x):
        return oracle.layer_normalized(gelu(oracle.convolution(x)))

    def mixed(x):
        return oracle.layer_normalized(lo2(oracle, x))

    image = torch.randn(2, 2, 32, 48, dtype=torch.float64)
    x, skips = image, []
    for level in range(3):
        x = oracle.unit(oracle.unit(pooled(x) if level else x))
        skips.append(x)
    for _ in range(2):
        x = mixed(incentive(pooled(x)))
        skips.append(x)
    assert [skip.shape[1] for skip in skips] == [4, 8, 16, 32, 64] and x.shape[2:] == (2, 3)
    x = mixed(doubled(incentive(skips.pop())) + skips.pop())
    x = doubled(oracle.unit(x)) + skips.pop()
    for _ in range(2):
        x = doubled(oracle.unit(oracle.unit(x))) + skips.pop()
    x = oracle.mixed(oracle.unit(oracle.unit(x)))
    assert oracle.is_done() and not skips
    torch.testing.assert_close(net(image), x, rtol=1e-9, atol=1e-11)


def test_dropout_is_in_the_bottleneck_alone_after_each_of_its_six_linear_layers():
    net = RollingUNet(1, 2, 4, dropout=0.3)
    chances = {name: module.p for name, module in net.named_modules() if isinstance(module, nn.Dropout)}
    bottleneck = {name for name in chances if name.startswith("encoder.4.")}
    assert len(bottleneck) == 5 and {chances[name] for name in bottleneck} == {0.3}  # join and merge share one
    assert {chance for name, chance in chances.items() if name not in bottleneck} == {0.0}
    block, ones = Lo2(32, dropout=1.0).train(), torch.ones(1, 32, 4, 4)
    assert not block(ones).any()
    tokens = torch.randn(1, 4, 4, 8)
    assert torch.equal(RollingMLP(8, (ROWS, COLUMNS), (1, 1), 1.0).train()(tokens), tokens)


def test_start_follows_the_release():
    torch.manual_seed(0)
    net = RollingUNet(1, 2, 16)
    assert all(each.weight.std().item() == pytest.approx(0.02, rel=0.05) for each in net.modules()
               if isinstance(each, nn.Linear))  # fmt: skip
    assert not any(each.bias.any() for each in net.modules() if isinstance(each, nn.Linear))
    depthwise, pointwise = net.encoder[4][2].local[:2]
    for conv, outgoing in ((net.encoder[4][1][0], 9 * 256), (pointwise, 256), (depthwise, 9)):
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / outgoing), rel=0.05) and not conv.bias.any()


@pytest.mark.parametrize("given", [{"width": 0}, {"width": 5}, {"dropout": 1.5}])
def test_wrong_arguments_are_named(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        RollingUNet(1, 2, **given)
