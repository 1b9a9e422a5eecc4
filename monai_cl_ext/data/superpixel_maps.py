# SPDX-License-Identifier: Apache-2.0
"""Superpixel maps of a prepared volume: one for each of its slices, or one of supervoxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.data import MetaTensor
from torch import Tensor

MAP_TYPES = (torch.uint8, torch.int16, torch.int32)  # torch knows neither maximum nor promotion of uint16


@dataclass(frozen=True)
class SuperpixelMaps:
    """Makes the maps of volumes that lie slices first.

    Args:
        function: from a slice (C, H, W) or a volume (C, slices, H, W), float32, to integers (1, *S) from 0 on.
        of_volumes: whether the function takes a volume, and gives supervoxels.
    """

    function: Callable[[Tensor], Tensor]
    of_volumes: bool = False

    def __call__(self, image: Tensor, file: str) -> Tensor:
        """The smallest of uint8, int16 and int32 that holds the maps, (slices, 1, H, W), of an image (slices, C, H, W).

        Raises:
            ValueError: when the function fails or gives something else; the message names the file.
        """
        maps = torch.empty(len(image), 1, *image.shape[2:], dtype=torch.int32)
        if self.of_volumes:
            maps.copy_(self._checked(image.movedim(0, 1), "the volume", file).movedim(1, 0))
        else:
            for number, pixels in enumerate(image):
                maps[number] = self._checked(pixels, f"slice {number}", file)
        highest = int(maps.amax())
        return maps.to(next(dtype for dtype in MAP_TYPES if highest <= torch.iinfo(dtype).max))

    def _checked(self, pixels: Tensor, what: str, file: str) -> Tensor:
        """The map of a slice or a volume (C, *S) as it is served."""
        expected = (1, *pixels.shape[1:])
        try:
            given = self.function(pixels.float())
            found = given.as_tensor() if isinstance(given, MetaTensor) else torch.as_tensor(given)
        except Exception as error:
            raise ValueError(
                f"{file}: superpixels of {what} failed ({type(error).__name__}: {error}); "
                "check the image and the arguments of superpixels"
            ) from error
        whole = not (found.dtype.is_floating_point or found.dtype.is_complex or found.dtype == torch.bool)
        if not whole or tuple(found.shape) != expected or found.amin() < 0:
            lowest = f" from {found.amin()} on" if whole and found.numel() else ""
            raise ValueError(
                f"{file}: superpixels must map an image (C, *S) to integers {expected} from 0 on, found "
                f"{found.dtype} {tuple(found.shape)}{lowest} for {what}; "
                "give a function such as transforms.Superpixel"
            )
        return found
