# SPDX-License-Identifier: Apache-2.0
"""Training of SuperpixelFCN without labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.networks import SuperpixelFCN
from monai_cl_ext.pinned import pinned_copy
from monai_cl_ext.superpixel_training.reconstruction_loss import SuperpixelReconstructionLoss
from monai_cl_ext.transforms.superpixels.color_place import color_channels
from monai_cl_ext.transforms.superpixels.fcn_backend import SIDE, color_at, network_input
from monai_cl_ext.transforms.superpixels.slic import grid_cells

DECAY = 4e-4  # of weights; biases and scales have none


class SuperpixelFCNTraining(nn.Module):
    """SuperpixelFCN with the loss of color and place (Yang et al., CVPR 2020), in batches of flipped images.

    Args:
        network: to be trained.
        n_segments: images are scaled so that about as many cells of 16 x 16 pixels cover them.
        compactness: weight of place against color, see ``SuperpixelReconstructionLoss``.
    """

    images_per_step = 4
    steps_per_image = 1

    def __init__(self, network: SuperpixelFCN, n_segments: int = 100, compactness: float = 3.0) -> None:
        super().__init__()
        self.network = network
        self.n_segments = positive_integer("n_segments", n_segments)
        self.loss = SuperpixelReconstructionLoss(compactness, SIDE)

    def forward(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss with its parts {"loss", "color", "place"} of images (B, 1 or 3, H, W), each flipped by chance."""
        color = color_at(color_channels(images), grid_cells(images.shape[2:], self.n_segments))
        for axis in (2, 3):
            flipped = pinned_copy(torch.rand(len(color), generator=generator) < 0.5, color.device)
            color = torch.where(flipped[:, None, None, None], color.flip(axis), color)
        found: dict[str, Tensor] = self.loss(self.network(network_input(color)), color)
        return found

    def after_step(self) -> None:
        """Nothing moves beside the weights."""

    def parameter_groups(self) -> list[dict[str, object]]:
        """What the optimizer is given: weight decay for the weights of convolutions alone."""
        weights = [each for each in self.network.parameters() if each.ndim > 1]
        others = [each for each in self.network.parameters() if each.ndim == 1]
        return [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
