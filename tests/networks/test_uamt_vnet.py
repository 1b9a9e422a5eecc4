# SPDX-License-Identifier: Apache-2.0
"""UA-MT's V-Net: parameters, structure, dropout and export."""

import pytest
import torch
import torch.nn.functional as F
from backbone_cases import numbers_of, scrambled
from torch import nn

from monai_cl_ext.networks import MomentumTeacher, UAMTVNet, stages

EPSILON = 1e-5  # of batch normalization


def expected_numbers(dims, features, channels, classes):
    """Counted layer by layer: kernels, biases, and scale and shift of the normalization."""

    def unit(before, after, side):
        return before * after * side**dims + after + 2 * after

    widths = [features * 2**level for level in range(5)]
    total = unit(channels, features, 3) + features * classes + classes
    for before, after, count in zip(widths, widths[1:], (2, 3, 3, 3), strict=False):
        total += unit(before, after, 2) + count * unit(after, after, 3)  # down
    for before, after, count in zip(widths[1:], widths, (1, 2, 3, 3), strict=False):
        total += unit(before, after, 2) + count * unit(after, after, 3)  # up
    return total


def test_parameter_counts():
    assert numbers_of(UAMTVNet()) == 9_448_866  # the papers', of one channel and two classes
    assert numbers_of(UAMTVNet(1, 2)) == expected_numbers(3, 16, 1, 2)
    assert numbers_of(UAMTVNet(3, 4, features=8)) == expected_numbers(3, 8, 3, 4)
    assert numbers_of(UAMTVNet(2, 5, features=8, spatial_dims=2)) == expected_numbers(2, 8, 2, 5)
    assert numbers_of(UAMTVNet(spatial_dims=2)) == 3_271_298


def test_forward_equals_the_network_written_out():
    net = scrambled(UAMTVNet(2, 3, features=4))
    parameters = iter(net.state_dict().items())

    def take(kind):
        name, tensor = next(parameters)
        assert name.endswith(kind), name
        return tensor

    def along(values):
        return values[:, None, None, None]

    def normalized(x):
        scale, shift, mean, variance = take("weight"), take("bias"), take("running_mean"), take("running_var")
        take("num_batches_tracked")
        x = (x - along(mean)) / torch.sqrt(along(variance) + EPSILON)
        return (x * along(scale) + along(shift)).clamp(min=0)

    def units(x, count):
        for _ in range(count):
            x = normalized(F.conv3d(F.pad(x, (1,) * 6), take("weight"), take("bias")))
        return x

    def halved(x):
        kernel, bias = take("weight"), take("bias")
        corners = [x[..., i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        return normalized(torch.einsum("cbizyx,oic->bozyx", torch.stack(corners), kernel.flatten(2)) + along(bias))

    def doubled(x):
        kernel, bias = take("weight"), take("bias")
        x = torch.einsum("bidhw,iozyx->bodzhywx", x, kernel)  # each voxel becomes a cube of two by two by two
        return normalized(x.flatten(6, 7).flatten(4, 5).flatten(2, 3) + along(bias))

    image = torch.randn(2, 2, 16, 32, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, skips = units(image, 1), []
    for level, count in enumerate((2, 3, 3, 3), start=1):
        skips.append(x)
        x = units(halved(x), count)
        assert x.shape[1] == 4 * 2**level
    for count in (3, 3, 2, 1):
        x = units(doubled(x) + skips.pop(), count)
    x = torch.einsum("bidhw,oi->bodhw", x, take("weight").flatten(1)) + along(take("bias"))
    assert next(parameters, None) is None
    torch.testing.assert_close(net(image), x, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dims", [2, 3])
def test_dropout_of_channels_at_the_bottleneck_and_the_last_level(dims):
    torch.manual_seed(0)
    net, image = UAMTVNet(features=8, spatial_dims=dims).train(), torch.randn(2, 1, *[32] * dims)
    layer = nn.Dropout2d if dims == 2 else nn.Dropout3d
    names = [name for name, module in net.named_modules() if isinstance(module, layer)]
    assert names == ["encoder.4.4", "decoder.3.units.1"] and {net.get_submodule(name).p for name in names} == {0.5}
    seen, seen_shares = stages(net), []
    features = seen.encode(image)
    for values in (features[-1], seen.decode(features)):
        gone = (values.flatten(2) == 0).all(2)
        assert gone.any(1).all() and not gone.all(1).any(), "channels, not images"
        seen_shares.append(gone.double().mean().item())
    assert all(0.3 < share < 0.8 for share in seen_shares)
    assert not torch.equal(net(image), net(image))
    still = UAMTVNet(features=8, dropout=0.0, spatial_dims=dims).train()
    assert torch.equal(still(image), still(image)) and list(still.state_dict()) == list(net.state_dict())
    teacher = MomentumTeacher(net).train()
    assert torch.equal(teacher(image), teacher(image))
