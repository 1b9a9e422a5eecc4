# SPDX-License-Identifier: Apache-2.0
"""Rotation: the encoder learns to tell by how many quarter turns an image was rotated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from monai_cl_ext.methods.method import NetworkMethod
from monai_cl_ext.numerics import at_least_float32
from monai_cl_ext.types import Losses, Tags, View


class RotationPrediction(NetworkMethod):
    """Prediction of rotations by 0, 90, 180 and 270 degrees (Gidaris et al. 2018, equation 3).

    All four copies of an image are in the batch. The bottleneck's global average passes one linear layer to the four
    classes, with cross-entropy. The decoder is frozen: it takes no part.

    The paper's network classifies whole photographs; head and depth in a U-Net are open in Chaitanya et al. 2020, who
    compare with it. Here the encoder is trained as a whole, and the head is as small as it can be, so that the turn has
    to be told by the encoder. Quarter turns move voxels without interpolation, so no blur gives the answer away.

    Volumes turn about one axis, as in the pre-training of Swin UNETR (Tang et al., CVPR 2022), with the same four
    classes. The ten of Taleb et al. (NeurIPS 2020), about all three axes, need cubes of equal spacing: of others the
    shape and the blur across slices would tell them.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        plane: the two spatial axes in which images turn, of equal length; in 3D those within a slice, and patches may
            have any length along the third, about which they turn.
    """

    views = 1

    def __init__(self, network: nn.Module, plane: Sequence[int] = (0, 1)) -> None:
        super().__init__(network)
        if len(plane) != 2 or len({*plane} & {*range(self.stages.spatial_dims)}) != 2:
            raise ValueError(f"plane must be two of the {self.stages.spatial_dims} spatial axes, found {plane!r}")
        self.plane = tuple(plane)
        self.head = nn.Linear(self.stages.channels[-1], 4)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of equation 3 and the accuracy, 0 to 1; one view; tags are not read.

        Raises:
            ValueError: when images are not square in the plane.
        """
        turned, turns = quarter_turns(views[0]["image"], self.plane)
        logits = self.head(self.stages.embed(turned))
        logits = logits.to(at_least_float32(logits.dtype))
        right = (logits.argmax(dim=1) == turns).to(logits.dtype)
        return {"loss": cross_entropy(logits, turns), "accuracy": right.mean()}


def quarter_turns(image: Tensor, plane: Sequence[int] = (0, 1)) -> tuple[Tensor, Tensor]:
    """The four rotations of each image, one after another, and by how many quarter turns each was rotated.

    Args:
        image: (B, C, *S).
        plane: the two spatial axes; a turn leads from the first to the second, as in ``torch.rot90``.

    Returns:
        images (4 B, C, *S) and turns int64 (4 B,), 0 to 3.

    Raises:
        ValueError: when the axes differ in length.
    """
    first, second = (2 + axis for axis in plane)
    if image.shape[first] != image.shape[second]:
        raise ValueError(
            f"rotation needs images that are square in the plane of their axes {tuple(plane)}, found a batch of shape "
            f"{tuple(image.shape)}: crop or pad them to a square image_size, or in 3D choose another plane"
        )
    turned = torch.stack([torch.rot90(image, turns, (first, second)) for turns in range(4)], dim=1)
    return turned.flatten(0, 1), torch.arange(4, device=image.device).repeat(len(image))
