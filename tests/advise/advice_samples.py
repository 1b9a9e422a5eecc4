# SPDX-License-Identifier: Apache-2.0
"""Samples and pictures made by hand."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from monai_cl_ext.advise import Sample


def smooth(count: int, channels: int = 1, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Different smooth images (N, C, size, size) in [0, 1]."""
    coarse = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    return interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)


def sample(count: int = 16, channels: int = 1, per_patient: int = 1) -> Sample:
    """Smooth images, ``per_patient`` of each patient."""
    patient = torch.arange(count) // per_patient
    return Sample(smooth(count, channels), patient, [f"image{number}" for number in range(count)], "made by hand.")


def write_picture(path: Path, image: torch.Tensor) -> None:
    """An image (C, H, W) in [0, 1] as PNG, of one channel or three."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.moveaxis((image * 255).round().to(torch.uint8).numpy(), 0, -1)
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(path)
