# SPDX-License-Identifier: Apache-2.0
"""Convolution of each sample with kernels of its own, one axis after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv3d


def convolve(image: Tensor, kernels: Sequence[Tensor | None], outside: str) -> Tensor:
    """Each sample of an image convolved along each axis with its kernel.

    Args:
        image: (B, C, *S), float32 or float64.
        kernels: for each spatial axis (B, taps), taps odd, on the image's device; None leaves the axis alone.
        outside: what lies beyond the image: "mirror" for the image mirrored about its outermost voxels, "repeat" for
            the outermost voxel again and again.
    """
    return (at_once if image.is_cuda else one_by_one)(image, kernels, outside)


def at_once(image: Tensor, kernels: Sequence[Tensor | None], outside: str) -> Tensor:
    """``convolve`` with all samples of an axis in one grouped convolution."""
    batch_size, channels, *size = image.shape
    convolution = conv2d if len(size) == 2 else conv3d
    for axis, kernel in enumerate(kernels):
        if kernel is None:
            continue
        padded = image.index_select(2 + axis, _places(size[axis], kernel.shape[1] // 2, outside, image.device))
        shape = [-1 if each == axis else 1 for each in range(len(size))]
        weight = kernel[:, None].expand(-1, channels, -1).flatten(0, 1).unflatten(1, (1, *shape))
        image = convolution(padded.flatten(0, 1)[None], weight, groups=batch_size * channels)[0]
        image = image.unflatten(0, (batch_size, channels))
    return image


def one_by_one(image: Tensor, kernels: Sequence[Tensor | None], outside: str) -> Tensor:
    """``convolve`` sample by sample as weighted sums, which a processor's cache holds.

    Taps below the rounding of the sum are left out, so that a sample with nothing but a middle tap costs nothing. The
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
            places = _places(length, margin, outside, image.device)
            ends = (sample.index_select(axis, end) for end in (places[:margin], places[length + margin :]))
            padded = torch.cat([next(ends), sample, *ends], axis)
            sample = result[number].zero_()
            for tap, weight in taps.items():
                sample.add_(padded.narrow(axis, tap, length), alpha=weight)
        if sample is untouched:
            result[number] = sample
    return result


def _places(length: int, margin: int, outside: str, device: torch.device) -> Tensor:
    """Indices of an axis with a margin at both ends, mirrored as often as the margin needs or repeated."""
    places = torch.arange(-margin, length + margin, device=device)
    if outside == "repeat" or length == 1:
        return places.clamp(0, length - 1)
    period = 2 * (length - 1)
    places = places.remainder(period)
    return torch.minimum(places, period - places)
