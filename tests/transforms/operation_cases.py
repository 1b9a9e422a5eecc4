# SPDX-License-Identifier: Apache-2.0
"""Every operation in 2D and 3D, at zero and at full strength."""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor

from monai_cl_ext.transforms import (
    AdditiveNoise,
    AreaCropResize,
    ClampIntensity,
    Contrast,
    CropResize,
    ElasticDeformation,
    GaussianBlur,
    Grayscale,
    Hue,
    IntensityScaling,
    IntensityShift,
    Mirror,
    Operation,
    OperationGroup,
    PolynomialBiasField,
    Rotation,
    Saturation,
    Scaling,
    Solarization,
    StepRotation,
    Translation,
)


def operations(dims: int) -> dict[str, Operation]:
    """Every random operation at a strength that shows."""
    return {
        "shift": IntensityShift(-0.3, 0.3),
        "contrast": Contrast(0.7, 1.3),
        "intensity_scaling": IntensityScaling(0.5, 1.5),
        "blur": GaussianBlur(0.5, 2.0),
        "saturation": Saturation(0.2, 1.8),
        "hue": Hue(0.4),
        "grayscale": Grayscale(0.5),
        "solarization": Solarization(0.4, 0.5),
        "noise": AdditiveNoise(0.05, 0.2),
        "bias_field": PolynomialBiasField(-0.2, 0.2, 3, dims),
        "crop": CropResize((0.5, 0.9), spatial_dims=dims),
        "area_crop": AreaCropResize((0.3, 0.9), spatial_dims=dims),
        "mirror": Mirror(tuple(range(dims)), dims),
        "rotation": Rotation(40.0, dims),
        "step_rotation": StepRotation(45.0, dims),
        "scaling": Scaling(0.6, 1.6, dims),
        "translation": Translation(0.2, dims),
        "elastic": ElasticDeformation(0.05, 3, dims),
        "group": OperationGroup([Rotation(30.0, dims), Scaling(0.7, 1.3, dims), ElasticDeformation(0.03, 3, dims)]),
    }


def without_strength(dims: int) -> dict[str, Operation]:
    """The same operations with magnitudes that change nothing."""
    return {
        "shift": IntensityShift(0.0, 0.0),
        "contrast": Contrast(1.0, 1.0),
        "intensity_scaling": IntensityScaling(1.0, 1.0),
        "blur": GaussianBlur(0.0, 0.0, kernel_size=5),
        "saturation": Saturation(1.0, 1.0),
        "hue": Hue(0.0),
        "grayscale": Grayscale(0.0),
        "solarization": Solarization(0.0, 0.0),
        "noise": AdditiveNoise(0.0, 0.0),
        "bias_field": PolynomialBiasField(0.0, 0.0, 3, dims),
        "clamp": ClampIntensity(-100.0, 100.0),
        "crop": CropResize(1.0, spatial_dims=dims),
        "area_crop": AreaCropResize((1.0, 1.0), spatial_dims=dims),
        "mirror": Mirror(0, dims, axis_probability=0.0),
        "rotation": Rotation(0.0, dims),
        "step_rotation": StepRotation(360.0, dims),
        "scaling": Scaling(1.0, 1.0, dims),
        "translation": Translation(0.0, dims),
        "elastic": ElasticDeformation(0.0, 3, dims),
        "group": OperationGroup([Rotation(40.0, dims), IntensityShift(1.0, 2.0)], probability=0.0),
    }


OF_COLORS = ("saturation", "hue", "grayscale")
"""Operations that change RGB images only."""


def sometimes(operation: Operation, probability: float = 0.5) -> Operation:
    """The operation with another probability, of each axis where it has one for each."""
    name = "axis_probability" if isinstance(operation, Mirror) else "probability"
    other = copy(operation)
    setattr(other, name, probability)
    return other


def channels_of(name: str, otherwise: int = 1) -> int:
    """Channels of an image on which the operation shows."""
    return 3 if name in OF_COLORS else otherwise


def size_of(dims: int) -> tuple[int, ...]:
    """Sides that are all different, so that mixed up axes show."""
    return (20, 14) if dims == 2 else (12, 10, 8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def smooth_image(
    batch_size: int, size: tuple[int, ...], dtype: torch.dtype = torch.float64, channels: int = 1
) -> Tensor:
    """Slow waves, of which interpolation loses little, fading to 0 at the edges; (B, C, *size).

    The channels are shares of one wave, 0.6, 0.8 ... of it.
    """
    shares = torch.linspace(1, 0.6, channels, dtype=dtype).flip(0) if channels > 1 else torch.ones(1, dtype=dtype)
    image = shares.reshape(1, -1, *[1] * len(size)).repeat(batch_size, 1, *size)
    for axis, length in enumerate(size):
        place = (torch.arange(length, dtype=dtype) + 0.5) / length
        phase = torch.arange(batch_size, dtype=dtype).reshape(-1, 1)
        wave = torch.sin(torch.pi * place) ** 2 * (1.5 + torch.sin(4 * place + axis + phase))
        shape = [batch_size, 1, *[1] * len(size)]
        shape[2 + axis] = length
        image = image * wave.reshape(shape)
    return image
