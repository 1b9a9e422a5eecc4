# SPDX-License-Identifier: Apache-2.0
"""PCL's U-Net: parameters, structure, start and export."""

import math

import pytest
import torch
import torch.nn.functional as F
from backbone_cases import numbers_of, scrambled
from torch import nn

from monai_cl_ext.networks import PCLUNet

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


@pytest.mark.parametrize("features,encoder,whole", [(32, 4_713_568, 7_763_456), (48, 10_602_384, 17_462_016)])
def test_parameter_counts(features, encoder, whole):
    net = PCLUNet(features=features)
    assert numbers_of(net.encoder) == encoder
    assert numbers_of(net) == whole
    assert numbers_of(PCLUNet(3, 2, features)) == whole + 2 * 9 * features - 2 * features


def test_forward_equals_the_network_written_out():
    net = scrambled(PCLUNet(1, 4, features=8))
    parameters = iter(net.state_dict().items())

    def take(kind):
        name, tensor = next(parameters)
        assert name.endswith(kind), name
        return tensor

    def convolved(x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), take("weight"), take("bias"))

    def unit(x):
        x = convolved(x)
        scale, shift, mean, variance = take("weight"), take("bias"), take("running_mean"), take("running_var")
        take("num_batches_tracked")
        x = (x - mean[:, None, None]) / torch.sqrt(variance[:, None, None] + 1e-5)
        x = x * scale[:, None, None] + shift[:, None, None]
        return torch.where(x > 0, x, 0.01 * x)

    def doubled(x):
        kernel, bias = take("weight"), take("bias")
        rows, columns = x.shape[2:]
        x = torch.einsum("bihw,ioyx->bohywx", x, kernel)  # each pixel becomes a patch of two by two
        return x.reshape(len(x), -1, 2 * rows, 2 * columns) + bias[:, None, None]

    image = torch.randn(2, 1, 16, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, skips = image, []
    for level in range(5):
        if level:
            skips.append(x)
            x = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
        x = unit(unit(x)) if level < 4 else convolved(convolved(x).clamp(min=0)).clamp(min=0)
        assert x.shape[1] == 8 * 2**level
    for block in range(4):
        x = unit(unit(torch.cat([doubled(x), skips.pop()], dim=1)))
        assert x.shape[1] == 64 / 2**block
    x = F.conv2d(x, take("weight"))
    assert next(parameters, None) is None
    torch.testing.assert_close(net(image), x, rtol=1e-10, atol=1e-12)


def test_start_and_normalization_follow_the_release():
    net = PCLUNet()
    for module in net.modules():
        if isinstance(module, CONVOLUTIONS):
            # torch counts the fan-in along the second axis, which is the output's in a transposed convolution
            fan_in = module.weight.shape[1] * math.prod(module.kernel_size)
            if module.weight.numel() > 5_000:
                assert module.weight.std().item() == pytest.approx(math.sqrt(2 / (1 + 0.01**2) / fan_in), rel=0.04)
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert (module.momentum, module.eps) == (0.1, 1e-5)
    without = [name for name, module in net.named_modules() if isinstance(module, CONVOLUTIONS) and module.bias is None]
    assert without == ["output"]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.encoder[-1].modules())
