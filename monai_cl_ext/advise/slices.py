# SPDX-License-Identifier: Apache-2.0
"""A few slices of a volume, evenly spread and brought to one size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor
from torch import Tensor
from torch.nn.functional import interpolate


class SpreadSlicesd(MapTransform):
    """Keeps at most ``count`` slices of a volume (C, *three axes), each as its middle square.

    Slices lie in the middle of ``count`` equal parts of the volume; slices of one intensity are left out, unless all
    are. The shorter side is resized to ``side`` without aliasing.

    Args:
        keys: of the volumes.
        count: how many slices.
        side: of the square, in pixels.
        slice_axis: axis of the volume that counts the slices; it stays where it is.
    """

    def __init__(self, keys: KeysCollection, count: int, side: int, slice_axis: int = 2) -> None:
        super().__init__(keys)
        self.count, self.side, self.slice_axis = count, side, slice_axis

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The data with plain tensors in place of the volumes."""
        case = dict(data)
        for key in self.key_iterator(case):
            slices = convert_to_tensor(case[key]).float().movedim(self.slice_axis + 1, 0)
            pixels = slices.flatten(1)
            contrasted = slices[pixels.amax(1) > pixels.amin(1)]
            slices = contrasted if len(contrasted) else slices
            count = min(self.count, len(slices))
            kept = slices[[(2 * part + 1) * len(slices) // (2 * count) for part in range(count)]]
            case[key] = middle_squares(kept, self.side).movedim(0, self.slice_axis + 1)
        return case


def middle_squares(images: Tensor, side: int) -> Tensor:
    """The middle squares (N, C, side, side) of images (N, C, H, W) whose shorter side becomes ``side``."""
    shorter = min(images.shape[2:])
    size = [max(side, round(length * side / shorter)) for length in images.shape[2:]]
    resized = interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
    top, left = ((length - side) // 2 for length in size)
    return resized[:, :, top : top + side, left : left + side]
