# SPDX-License-Identifier: Apache-2.0
"""Restoration: encoder and decoder learn to reconstruct a corrupted image."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers.factories import Conv
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.methods.method import NetworkMethod
from monai_cl_ext.networks import Stages
from monai_cl_ext.numerics import at_least_float32
from monai_cl_ext.types import Losses, Tags, View


class Restoration(NetworkMethod):
    """Reconstruction of an image from a corrupted copy of it, with an L2 loss.

    What corrupts the copy makes the method: ``transforms.BoxErasing`` is inpainting (Pathak et al. 2016, equation 1),
    ``transforms.PatchSwapping`` is context restoration (Chen et al. 2019). The encoder and all decoder blocks are
    trained, and on the last map a 1x1 convolution that is thrown away; the network's own output layer is left alone.

    The loss is the mean over all voxels, as Chen et al. have it. Pathak et al. count the erased box alone and add an
    adversarial loss; with the skips of a U-Net the rest of the image is soon copied, and one loss serves both.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        channels: of the images.
    """

    aligned_views = slice(None)

    def __init__(self, network: nn.Module, channels: int = 1) -> None:
        super().__init__(network, blocks=None)
        self.head = image_head(self.stages, positive_integer("channels", channels))

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss; views are (image, its corrupted copy); tags are not read.

        Returns:
            "loss", and "unrestored", the same error of the corrupted copy itself: a loss below it restores something.

        Raises:
            ValueError: when the restored image has another shape than the image.
        """
        image, corrupted = (view["image"] for view in views)
        restored = restored_image(self.stages, self.head, self.stages.encode(corrupted), image)
        image, corrupted = image.to(restored.dtype), corrupted.to(restored.dtype)
        return {"loss": mse_loss(restored, image), "unrestored": mse_loss(corrupted, image)}


def image_head(stages: Stages, channels: int) -> nn.Module:
    """The 1x1 convolution from a network's last map to an image of so many channels."""
    return Conv[Conv.CONV, stages.spatial_dims](stages.decoder_channels[-1], channels, kernel_size=1)


def restored_image(stages: Stages, head: nn.Module, features: Sequence[Tensor], image: Tensor) -> Tensor:
    """What decoder and head make of the features of a corrupted image, in float32 at least.

    Raises:
        ValueError: when it has another shape than the image.
    """
    restored = head(stages.decode(features))
    if restored.shape != image.shape:
        raise ValueError(
            f"the restored image has the shape {tuple(restored.shape)}, the image {tuple(image.shape)}: give the "
            "method the channels of the images, and a network that keeps their size"
        )
    return restored.to(at_least_float32(restored.dtype))
