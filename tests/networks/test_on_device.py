# SPDX-License-Identifier: Apache-2.0
"""A network is moved with its kernels channels last, and with all else as it was."""

import pytest
import torch
from torch import nn

from monai_cl_ext.networks.on_device import on_device

FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


class Mixed(nn.Module):
    """Convolutions of slices and of volumes, and a table that is no kernel."""

    def __init__(self):
        super().__init__()
        self.planar, self.spatial = nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3)
        self.table = nn.Parameter(torch.rand(1, 4, 5, 6))
        self.lazy = nn.LazyLinear(3)


@pytest.mark.parametrize("dims", [2, 3])
def test_tensors_of_other_axes_keep_their_layout(dims):
    module = Mixed()
    before = {name: value.clone() for name, value in module.state_dict().items() if "lazy" not in name}
    assert on_device(module, "cpu", dims) is module
    layers = {2: module.planar, 3: module.spatial}
    assert layers[dims].weight.is_contiguous(memory_format=FORMATS[dims])
    assert layers[5 - dims].weight.is_contiguous()
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
