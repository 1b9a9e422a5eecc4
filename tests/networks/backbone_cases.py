# SPDX-License-Identifier: Apache-2.0
"""What the tests of the papers' own networks share."""

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

NORMALIZATIONS = (nn.BatchNorm2d, nn.BatchNorm3d)


def numbers_of(module):
    """How many parameters it has."""
    return sum(parameter.numel() for parameter in module.parameters())


def scrambled(net):
    """Biases, running statistics and scales away from their start, so that forgetting one of them shows; in float64."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, NORMALIZATIONS):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.1, generator=generator)
        elif isinstance(module, nn.LayerNorm):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
        elif getattr(module, "bias", None) is not None:
            module.bias.data.normal_(0, 0.1, generator=generator)
    return net.double().eval()


def normalized_biases(net):
    """Biases of convolutions that a normalization follows, which takes them out again."""
    pairs = zip(net.modules(), list(net.modules())[1:], strict=False)
    return [first.bias for first, second in pairs if isinstance(first, _ConvNd) and isinstance(second, NORMALIZATIONS)]
