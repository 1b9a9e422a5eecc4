# SPDX-License-Identifier: Apache-2.0
"""Layers written out in plain arithmetic, which take a network's tensors in their order; of images (B, C, H, W)."""

import torch

EPSILON = 1e-5


def along(values):
    """A value of each channel, to go with maps."""
    return values[:, None, None]


class WrittenOut:
    """Layers on the tensors of a network, each of which takes the next ones.

    Args:
        network: in evaluation.
    """

    def __init__(self, network):
        self.tensors = iter(network.state_dict().items())

    def take(self, *kinds):
        """The next tensors, whose names must end so."""
        found = []
        for kind in kinds:
            name, tensor = next(self.tensors)
            assert name.rpartition(".")[2] == kind, name
            found.append(tensor)
        return found

    def is_done(self):
        """Whether all tensors were taken."""
        return next(self.tensors, None) is None

    def convolution(self, x, stride=1):
        """3x3, with padding."""
        kernel, bias = self.take("weight", "bias")
        height, width = x.shape[2:]
        x = torch.nn.functional.pad(x, (1, 1, 1, 1))
        total = 0
        for i in range(3):
            for j in range(3):
                total = total + torch.einsum("bchw,oc->bohw", x[..., i : i + height, j : j + width], kernel[..., i, j])
        return total[..., ::stride, ::stride] + along(bias)

    def depthwise(self, x):
        """3x3 of each channel by itself."""
        kernel, bias = self.take("weight", "bias")
        height, width = x.shape[2:]
        x = torch.nn.functional.pad(x, (1, 1, 1, 1))
        parts = [x[..., i : i + height, j : j + width] * along(kernel[:, 0, i, j]) for i in range(3) for j in range(3)]
        return sum(parts) + along(bias)

    def mixed(self, x):
        """Linear layer or 1x1 convolution over the channels."""
        weight, bias = self.take("weight", "bias")
        return torch.einsum("bchw,oc->bohw", x, weight.flatten(1)) + along(bias)

    def batch_normalized(self, x):
        scale, shift, mean, variance, _ = self.take(
            "weight", "bias", "running_mean", "running_var", "num_batches_tracked"
        )
        return (x - along(mean)) / torch.sqrt(along(variance) + EPSILON) * along(scale) + along(shift)

    def layer_normalized(self, x):
        """Over the channels of each place."""
        scale, shift = self.take("weight", "bias")
        centered = x - x.mean(1, keepdim=True)
        return centered / torch.sqrt(centered.square().mean(1, keepdim=True) + EPSILON) * along(scale) + along(shift)

    def unit(self, x):
        return self.batch_normalized(self.convolution(x)).clamp(min=0)


def pooled(x):
    """The largest of each 2x2 pixels."""
    return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)


def doubled(x):
    """Bilinear upsampling by 2: new pixels lie at a quarter and at three quarters of the old ones."""
    for axis in (2, 3):
        size = x.shape[axis]
        before = torch.cat((x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)), axis)
        after = torch.cat((x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)), axis)
        pair = (0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after)
        x = torch.stack(pair, axis + 1).flatten(axis, axis + 1)
    return x
