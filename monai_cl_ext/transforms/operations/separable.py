# SPDX-License-Identifier: Apache-2.0
"""Separable convolution with one kernel per sample and axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv3d


def convolve(image: Tensor, kernels: Sequence[Tensor | None], padding_mode: str) -> Tensor:
    """Each sample of a batch convolved along each axis with its own kernel.

    Args:
        image: (B, C, *S), float32 or float64.
        kernels: for each spatial axis (B, taps), taps odd, on the image's device; None skips the axis.
        padding_mode: "reflect" or "replicate", as ``torch.nn.functional.pad`` calls them; kernels may be wider than the
            image.
    """
    return (one_by_one if image.device.type == "cpu" else at_once)(image, kernels, padding_mode)


def at_once(image: Tensor, kernels: Sequence[Tensor | None], padding_mode: str) -> Tensor:
    """``convolve`` with all samples of an axis in one grouped convolution."""
    batch_size, channels, *size = image.shape
    convolution = conv2d if len(size) == 2 else conv3d
    for axis, kernel in enumerate(kernels):
        if kernel is None:
            continue
        padded = image.index_select(
            2 + axis, _padded_index(size[axis], kernel.shape[1] // 2, padding_mode, image.device)
        )
        shape = [-1 if each == axis else 1 for each in range(len(size))]
        weight = kernel[:, None].expand(-1, channels, -1).flatten(0, 1).unflatten(1, (1, *shape))
        image = convolution(padded.flatten(0, 1)[None], weight, groups=batch_size * channels)[0]
        image = image.unflatten(0, (batch_size, channels))
    return image


def one_by_one(image: Tensor, kernels: Sequence[Tensor | None], padding_mode: str) -> Tensor:
    """``convolve`` sample by sample as weighted sums that fit into a CPU's cache.

    Taps below the rounding of the sum are left out, so that a sample whose kernel is the identity costs nothing. The
    kernels, of weights above 0, are read on the host, for which a GPU would have to wait.
    """
    negligible = torch.finfo(image.dtype).eps
    rows = [None if kernel is None else kernel.tolist() for kernel in kernels]
    result = torch.empty_like(image)
    for number, untouched in enumerate(image):
        sample = untouched
        for axis, weights in enumerate(rows, start=1):
            if weights is None:
                continue
            length, margin = sample.shape[axis], len(weights[number]) // 2
            taps = {tap: weight for tap, weight in enumerate(weights[number]) if weight > negligible}
            if taps == {margin: 1.0}:
                continue
            index = _padded_index(length, margin, padding_mode, image.device)
            ends = (sample.index_select(axis, end) for end in (index[:margin], index[length + margin :]))
            padded = torch.cat([next(ends), sample, *ends], axis)
            sample = result[number].zero_()
            for tap, weight in taps.items():
                sample.add_(padded.narrow(axis, tap, length), alpha=weight)
        if sample is untouched:
            result[number] = sample
    return result


def _padded_index(length: int, margin: int, padding_mode: str, device: torch.device) -> Tensor:
    """Indices of an axis padded by a margin at both ends; reflected as often as the margin needs."""
    index = torch.arange(-margin, length + margin, device=device)
    if padding_mode == "replicate" or length == 1:
        return index.clamp(0, length - 1)
    period = 2 * (length - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)
