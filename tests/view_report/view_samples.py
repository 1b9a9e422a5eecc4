# SPDX-License-Identifier: Apache-2.0
"""Samples, pictures and volumes made by hand."""

from pathlib import Path

import nibabel
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from monai_cl_ext.view_report.sample import Sample


def smooth(count: int, channels: int = 1, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Different smooth images (N, C, size, size) in [0, 1]."""
    coarse = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)


def sample(count: int = 16, channels: int = 1, per_patient: int = 1, volumetric: bool = False) -> Sample:
    """Smooth images, ``per_patient`` of each patient."""
    names = [f"image{number}" for number in range(count)]
    return Sample(smooth(count, channels), torch.arange(count) // per_patient, names, "Made by hand.", volumetric)


def write_picture(path: Path, image: torch.Tensor) -> None:
    """An image (C, H, W) in [0, 1] as PNG, of one channel or three."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.moveaxis((image * 255).round().to(torch.uint8).numpy(), 0, -1)
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(path)


def write_pictures(folder: Path, names: list[str], channels: int = 3) -> None:
    """A different picture of each name."""
    for name, image in zip(names, smooth(len(names), channels), strict=True):
        write_picture(folder / name, image)


def write_volume(path: Path, slices: int, seed: int) -> None:
    """A NIfTI volume (20, 16, slices) whose first slice is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.moveaxis(smooth(slices, 1, 20, seed)[:, 0].numpy(), 0, -1)[:, :16]
    values[:, :, 0] = 0
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
