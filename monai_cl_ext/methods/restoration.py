# SPDX-License-Identifier: Apache-2.0
"""Restoration: encoder and decoder learn to give back an image that was spoilt."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from monai.networks.layers.factories import Conv
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from monai_cl_ext.methods.method import Method
from monai_cl_ext.networks import stages
from monai_cl_ext.types import Losses, Tags, View


class Restoration(Method):
    """Reconstruction of an image from a spoilt copy of it, with an L2 loss.

    What spoils the copy makes the method: ``transforms.BoxErasing`` is inpainting (Pathak et al. 2016, equation 1),
    ``transforms.PatchSwapping`` is context restoration (Chen et al. 2019). The encoder and all decoder blocks are
    trained, and on the last map a 1x1 convolution that is thrown away; the network's own output layer is left alone.

    The loss is the mean over all voxels, as Chen et al. have it. Pathak et al. count the erased box alone and add an
    adversarial loss; with the skips of a U-Net the rest of the image is soon copied, and one loss serves both.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        channels: of the images.
    """

    def __init__(self, network: nn.Module, channels: int = 1) -> None:
        super().__init__()
        self.stages = stages(network)
        network.requires_grad_(False)
        for parameter in chain(self.stages.encoder_parameters(), self.stages.decoder_parameters()):
            parameter.requires_grad_(True)
        convolution = Conv[Conv.CONV, self.stages.spatial_dims]
        self.head = convolution(self.stages.decoder_channels[-1], channels, kernel_size=1)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss; views are (image, its spoilt copy); tags are not read.

        Returns:
            "loss", and "unrestored", the same error of the spoilt copy itself: a loss below it restores something.

        Raises:
            ValueError: when there are not two views, or the restored image has another shape than the image.
        """
        if len(views) != 2:
            raise ValueError(f"restoration takes an image and its spoilt copy, found {len(views)} views: give two")
        image, spoilt = (view["image"].float() for view in views)
        restored = self.head(self.stages.decode(self.stages.encode(views[1]["image"]))).float()
        if restored.shape != image.shape:
            raise ValueError(
                f"the restored image has the shape {tuple(restored.shape)}, the image {tuple(image.shape)}: give "
                "Restoration the channels of the images, and a network that keeps their size"
            )
        return {"loss": mse_loss(restored, image), "unrestored": mse_loss(spoilt, image)}

    def embed(self, image: Tensor) -> Tensor:
        """Global average of the bottleneck, (B, channels[-1])."""
        return self.stages.embed(image)
