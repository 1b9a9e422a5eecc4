# SPDX-License-Identifier: Apache-2.0
"""Loss of SuperpixelFCN without labels: colors and places as the cells tell them are to be those of the pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, weight
from monai_cl_ext.superpixel_training.cells import cell_means, from_cells


class SuperpixelReconstructionLoss(nn.Module):
    """Distance of each pixel from what its superpixels tell of it, as in SLIC (Yang et al., CVPR 2020, eq. 4 and 5).

    Cells have the mean color and place of their pixels, pixels those of their cells. The loss is the mean over pixels
    of the length of color - color' plus (compactness / side) times the length of place - place'.

    Args:
        compactness: weight m of place, in pixels, against color; the paper has 30 without labels.
        side: pixels S along each axis of a cell.

    Raises:
        ValueError: when an argument is out of range; in ``forward`` when the shapes do not fit.
    """

    def __init__(self, compactness: float = 3.0, side: int = 16) -> None:
        super().__init__()
        self.compactness = weight("compactness", compactness)
        self.side = positive_integer("side", side)

    def forward(self, assignment: Tensor, color: Tensor) -> dict[str, Tensor]:
        """The loss with its parts {"loss", "color", "place"}.

        Args:
            assignment: (B, 9, H, W) probabilities, see ``SuperpixelFCN``; H and W are multiples of ``side``.
            color: (B, F, H, W), in units of Lab.
        """
        batch, _, height, width = color.shape
        if assignment.shape != (batch, 9, height, width) or height % self.side or width % self.side:
            raise ValueError(
                f"assignment must be (B, 9, H, W) for colors (B, F, H, W), H and W multiples of {self.side}, found"
                f" {tuple(assignment.shape)} and {tuple(color.shape)}"
            )
        axes = [torch.arange(size, dtype=color.dtype, device=color.device) for size in (height, width)]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(batch, -1, -1, -1)
        values = torch.cat([color, place], dim=1)
        difference = values - from_cells(cell_means(values, assignment, self.side), assignment, self.side)
        of_color = torch.linalg.vector_norm(difference[:, :-2], dim=1).mean()
        of_place = torch.linalg.vector_norm(difference[:, -2:], dim=1).mean()
        loss = of_color + self.compactness / self.side * of_place
        return {"loss": loss, "color": of_color.detach(), "place": of_place.detach()}
