# SPDX-License-Identifier: Apache-2.0
"""GCL's U-Net: parameters, padding, structure and export."""

import math

import pytest
import torch
import torch.nn.functional as F
from backbone_cases import numbers_of, scrambled
from torch import nn

from monai_cl_ext.networks import GCLUNet


def test_parameter_counts():
    net = GCLUNet()
    assert numbers_of(net.encoder) == 885_552  # the paper's: kernels, biases, and scale and shift of the normalization
    assert numbers_of(net) == 2_095_760
    assert numbers_of(GCLUNet(1, 3)) == 2_095_760 - 9 * 16
    assert numbers_of(GCLUNet(2, 4)) == 2_095_760 + 9 * 16


def test_forward_equals_the_network_written_out():
    net = scrambled(GCLUNet(1, 4))
    parameters = iter(net.state_dict().items())

    def take(kind):
        name, tensor = next(parameters)
        assert name.endswith(kind), name
        return tensor

    def unit(x, padding=(1, 1, 1, 1)):
        x = F.conv2d(F.pad(x, padding), take("weight"), take("bias"))
        scale, shift, mean, variance = take("weight"), take("bias"), take("running_mean"), take("running_var")
        take("num_batches_tracked")
        x = (x - mean[:, None, None]) / torch.sqrt(variance[:, None, None] + 1e-3)
        return torch.clamp(x * scale[:, None, None] + shift[:, None, None], min=0)

    image = torch.randn(2, 1, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, skips = image, []
    for level in range(6):
        if level:
            skips.append(x)
            x = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
        x = unit(unit(x))
        assert x.shape[1] == (16, 32, 64, 128, 128, 128)[level]
    for block in range(5):
        x = unit(x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), padding=(0, 1, 0, 1))
        x = unit(torch.cat([x, skips.pop()], dim=1))
        x = x if block == 4 else unit(x)
        assert x.shape[1] == (128, 128, 64, 32, 16)[block]
    x = unit(unit(x))
    x = F.conv2d(F.pad(x, (1, 1, 1, 1)), take("weight"))
    assert next(parameters, None) is None
    torch.testing.assert_close(net(image), x, rtol=1e-10, atol=1e-12)


def test_start_and_normalization_follow_the_paper():
    net = GCLUNet()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.in_channels * math.prod(module.kernel_size)
            if module.weight.numel() > 10_000:
                assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.03)
                assert abs(module.weight.mean().item()) < 0.05 * math.sqrt(2 / fan_in)
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert (module.momentum, module.eps) == (0.01, 1e-3)
    assert [module.bias is None for module in net.modules() if isinstance(module, nn.Conv2d)].count(True) == 1
