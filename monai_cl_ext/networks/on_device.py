# SPDX-License-Identifier: Apache-2.0
"""Moves a module to its device in the memory format of its images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from monai_cl_ext.arguments import one_of
from monai_cl_ext.networks.image_size import check_image_size

Module = TypeVar("Module", bound=nn.Module)


def on_device(
    module: Module,
    device: str | torch.device,
    spatial_dims: int = 2,
    image_size: int | Sequence[int] | None = None,
) -> Module:
    """The module on a device, its kernels for images channels last.

    Args:
        module: a network, or a method with one.
        device: where to.
        spatial_dims: of the images that it is given, 2 or 3.
        image_size: of these images; None does not check it.

    Raises:
        ValueError: when its convolutions are for images of other dimensions, or its network takes larger images alone.
    """
    one_of("spatial_dims", spatial_dims, (2, 3))
    check_dimensions(module, spatial_dims)
    if image_size is not None:
        check_image_size(getattr(module, "predictor", module), image_size, spatial_dims)
    memory_format = torch.channels_last_3d if spatial_dims == 3 else torch.channels_last
    module.to(device)
    for tensor in (*module.parameters(), *module.buffers()):
        if not is_lazy(tensor) and tensor.ndim == spatial_dims + 2:
            tensor.data = tensor.data.contiguous(memory_format=memory_format)
    return module


def check_dimensions(module: nn.Module, spatial_dims: int) -> None:
    """Refuses a network for images of other dimensions.

    Raises:
        ValueError: says what to do.
    """
    found = {layer.weight.ndim - 2 for layer in module.modules() if isinstance(layer, _ConvNd)}
    if not found or spatial_dims in found:
        return
    remedy = (
        "add configs/volumes.json to the config files, or set spatial_dims to 3 with three numbers as image_size"
        if spatial_dims == 2
        else "build it with spatial_dims 3 if it can be, take another network, or leave out configs/volumes.json"
    )
    raise ValueError(
        f"network_def: the network takes images of {max(found)} dimensions, but is given "
        f"{'slices' if spatial_dims == 2 else 'patches of volumes'} (spatial_dims {spatial_dims}); {remedy}"
    )
