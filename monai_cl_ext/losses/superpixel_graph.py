# SPDX-License-Identifier: Apache-2.0
"""SuperCL's inter-image loss: images connected in the nearest-neighbor graph of their superpixel maps attract."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_number
from monai_cl_ext.losses.base_temperature import temperature_factor
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.neighbor_graph import shared_components
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import same, sample_tags
from monai_cl_ext.losses.superpixel_map import average_superpixel_map
from monai_cl_ext.numerics import joined


class SuperpixelGraphContrastiveLoss(nn.Module):
    """Contrast of images under weak labels from their superpixels (Zeng et al., SuperCL, 2026, eqs. 6 to 9).

    Each of the 2B feature maps of two views is averaged over its superpixels, and linked to its nearest neighbor
    among all of them. Rows of z1 and z2 are positive where their maps are in one connected component of that graph, or
    where they are the two views of one image; the latter does not merge components. Positives are averaged outside
    the logarithm, and all other 2B - 1 rows are in the denominator. No gradient passes through the graph.

    Over several processes the graph is one over the maps of all of them.

    Args:
        temperature: divides the cosine similarities; positive.
        normalize: of the maps, "map" or "superpixel"; see :func:`~monai_cl_ext.losses.average_superpixel_map`.
        base_temperature: multiplies the loss by temperature / base_temperature, as the released code does with 0.07;
            None leaves it out.
    """

    def __init__(self, temperature: float = 0.1, normalize: str = "map", base_temperature: float | None = None) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)
        self.normalize = one_of("normalize", normalize, ("map", "superpixel"))
        self.factor = temperature_factor(self.temperature, base_temperature)

    @plain_tensors
    def forward(
        self, z1: Tensor, z2: Tensor, f1: Tensor, f2: Tensor, superpixels1: Tensor, superpixels2: Tensor
    ) -> Tensor:
        """Mean loss over the 2B anchors.

        Args:
            z1, z2: embeddings of the two views, (B, D), of any scale.
            f1, f2: feature maps for the graph, (B, C, *S), of the two views of the same images in the same order.
            superpixels1, superpixels2: superpixels of f1 and of f2, (B, *S).

        Raises:
            ValueError: when shapes do not fit.
        """
        check_embeddings(z1=z1, z2=z2)
        if f1.shape != f2.shape or len(f1) != len(z1):
            raise ValueError(
                f"f1 and f2 must have one shape, with the {len(z1)} images of z1, found {tuple(f1.shape)} and"
                f" {tuple(f2.shape)}"
            )
        maps = [
            average_superpixel_map(features.detach(), superpixels, self.normalize)
            for features, superpixels in ((f1, superpixels1), (f2, superpixels2))
        ]
        positive = same(shared_components(*maps)) | same(sample_tags(len(z1), z1.device).repeat(2))
        return self.factor * contrast(joined(z1, z2), positive, temperature=self.temperature)
