# SPDX-License-Identifier: Apache-2.0
"""Every operation in 2D and 3D, at zero and at full strength."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_cl_ext.transforms import (
    Brightness,
    ClampIntensity,
    Contrast,
    CropResize,
    ElasticDeformation,
    GaussianBlur,
    IntensityScaling,
    Mirror,
    Operation,
    Rotation,
    Scaling,
    Together,
    Translation,
    Turn,
)


def operations(dims: int) -> dict[str, Operation]:
    """Every random operation at a strength that shows."""
    return {
        "brightness": Brightness(-0.3, 0.3),
        "contrast": Contrast(0.7, 1.3),
        "intensity_scaling": IntensityScaling(0.5, 1.5),
        "blur": GaussianBlur(0.5, 2.0),
        "crop": CropResize((0.5, 0.9), spatial_dims=dims),
        "mirror": Mirror(tuple(range(dims)), dims),
        "rotation": Rotation(40.0, dims),
        "turn": Turn(45.0, dims),
        "scaling": Scaling(0.6, 1.6, dims),
        "translation": Translation(0.2, dims),
        "elastic": ElasticDeformation(0.05, 3, dims),
        "together": Together([Rotation(30.0, dims), Scaling(0.7, 1.3, dims), ElasticDeformation(0.03, 3, dims)]),
    }


def without_strength(dims: int) -> dict[str, Operation]:
    """The same operations with magnitudes that change nothing."""
    return {
        "brightness": Brightness(0.0, 0.0),
        "contrast": Contrast(1.0, 1.0),
        "intensity_scaling": IntensityScaling(1.0, 1.0),
        "blur": GaussianBlur(0.0, 0.0, kernel_size=5),
        "clamp": ClampIntensity(-100.0, 100.0),
        "crop": CropResize(1.0, spatial_dims=dims),
        "mirror": Mirror(0, dims, probability=0.0),
        "rotation": Rotation(0.0, dims),
        "turn": Turn(360.0, dims),
        "scaling": Scaling(1.0, 1.0, dims),
        "translation": Translation(0.0, dims),
        "elastic": ElasticDeformation(0.0, 3, dims),
        "together": Together([Rotation(40.0, dims), Brightness(1.0, 2.0)], probability=0.0),
    }


def size_of(dims: int) -> tuple[int, ...]:
    """Sides that are all different, so that mixed up axes show."""
    return (20, 14) if dims == 2 else (12, 10, 8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def smooth_image(batch_size: int, size: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """Slow waves, of which interpolation loses little, fading to 0 at the edges; (B, 1, *size)."""
    image = torch.ones(batch_size, 1, *size, dtype=dtype)
    for axis, length in enumerate(size):
        place = (torch.arange(length, dtype=dtype) + 0.5) / length
        phase = torch.arange(batch_size, dtype=dtype).reshape(-1, 1)
        wave = torch.sin(torch.pi * place) ** 2 * (1.5 + torch.sin(4 * place + axis + phase))
        shape = [batch_size, 1, *[1] * len(size)]
        shape[2 + axis] = length
        image = image * wave.reshape(shape)
    return image
