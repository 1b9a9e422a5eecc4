# SPDX-License-Identifier: Apache-2.0
"""SuperCL's intra-image loss: pixels of one superpixel attract, all other pixels of the image repel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, positive_number
from monai_cl_ext.losses.base_temperature import temperature_factor
from monai_cl_ext.losses.checks import check_superpixels
from monai_cl_ext.losses.kernel import contrast, tile_size
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import different, same
from monai_cl_ext.numerics import joined

# A tile takes its similarities, as large a buffer, and its rules: 150 MB at this limit, in float32.
TILE_LIMIT = 2**24


class SuperpixelContrastiveLoss(nn.Module):
    """Contrast of the pixels of an image under its superpixels (Zeng et al., SuperCL, 2026, eq. 5).

    The two views of an image are aligned, so one map of superpixels serves both. The n pixels of each view make the 2n
    rows of the image, which is contrasted on its own. A row's positives are all other rows of its superpixel, in both
    views; the denominator holds all other 2n - 1 rows. The loss is the mean over rows and images. Of volumes voxels and
    supervoxels take their place. Memory grows with the number of pixels, not its square: four images of 128 x 128
    pixels and 64 channels take under 0.4 GB beside the maps and their gradients.

    Args:
        temperature: divides the cosine similarities; positive.
        stride: keeps every stride-th pixel of the map, flattened in row-major order. Time grows with the square of the
            number that is kept: of volumes keep some thousand; a stride that does not divide a side spreads them.
        cross_view_only: positives are in the other view only; the denominator stays.
        base_temperature: multiplies the loss by temperature / base_temperature, as the released code does with 0.07;
            None leaves it out.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        stride: int = 1,
        cross_view_only: bool = False,
        base_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)
        self.stride = positive_integer("stride", stride)
        self.cross_view_only = cross_view_only
        self.factor = temperature_factor(self.temperature, base_temperature)

    @plain_tensors
    def forward(self, f1: Tensor, f2: Tensor, superpixels: Tensor) -> Tensor:
        """Mean loss over the pixels of both views of all images.

        Args:
            f1, f2: maps of the two views, (B, C, *S), spatially aligned.
            superpixels: the superpixel of each pixel of the maps, (B, *S); compared for equality within an image.

        Raises:
            ValueError: when shapes do not fit.
        """
        if f1.shape != f2.shape:
            raise ValueError(f"f1 and f2 must have one shape, found {tuple(f1.shape)} and {tuple(f2.shape)}")
        check_superpixels(f1, superpixels)
        rows = joined(*(view.flatten(2)[..., :: self.stride].mT for view in (f1, f2)), dim=1)
        superpixel = superpixels.flatten(1)[:, :: self.stride]
        positive = same(superpixel.repeat(1, 2))
        if self.cross_view_only:
            positive &= different(torch.arange(2, device=rows.device).repeat_interleave(superpixel.shape[1]))
        tile = tile_size(rows.device, rows[..., 0].numel(), TILE_LIMIT)
        return self.factor * contrast(rows, positive, temperature=self.temperature, tile=tile)
