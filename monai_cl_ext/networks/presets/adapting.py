# SPDX-License-Identifier: Apache-2.0
"""Fits published tensors to a network with another number of channels or another size of images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_cl_ext.networks.backbones.vit import resampled


def inflated(weight: Tensor, channels: int) -> Tensor:
    """The weight of a first convolution for another number of channels.

    Each channel gets the sum over the published channels, divided by the number of channels. So an image whose channels
    are all alike gives what it gives in the published network, there repeated in each of its channels.

    Args:
        weight: (out, in, *kernel).
        channels: of the network's images.

    Returns:
        (out, channels, *kernel), float64.
    """
    summed = weight.double().sum(dim=1, keepdim=True) / channels
    return summed.expand(-1, channels, *weight.shape[2:])


def square_grid(count: int, dims: int) -> list[int] | None:
    """The grid, alike along each of ``dims`` axes, of ``count`` places; None where there is none."""
    side = round(count ** (1 / dims))
    return [side] * dims if side**dims == count else None


def repositioned(positions: Tensor, grid: Sequence[int]) -> tuple[Tensor, str]:
    """Position embeddings interpolated to another grid, bicubic in 2D, trilinear in 3D; and what was done, if anything.

    Args:
        positions: (1, N, D), of a grid that is alike along each axis.
        grid: patches along each axis of the network's images.

    Raises:
        ValueError: when N is not that of such a grid.
    """
    published, wanted = square_grid(positions.shape[1], len(grid)), list(grid)
    if published == wanted:
        return positions, ""
    if published is None:
        raise ValueError(
            f"{positions.shape[1]} position embeddings are no grid alike along {len(grid)} axes:"
            f" they cannot be interpolated to {wanted}"
        )
    mode = "bicubic" if len(grid) == 2 else "trilinear"
    return resampled(positions.float(), published, wanted, mode), f"from {published} to {wanted}"
