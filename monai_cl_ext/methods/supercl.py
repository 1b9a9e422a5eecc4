# SPDX-License-Identifier: Apache-2.0
"""SuperCL: an instance contrast, guided by superpixels within images and between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from monai_cl_ext.arguments import weight
from monai_cl_ext.losses import SuperpixelContrastiveLoss, SuperpixelGraphContrastiveLoss
from monai_cl_ext.methods.instance import InstanceContrast
from monai_cl_ext.methods.method import Method, images_of
from monai_cl_ext.types import Losses, Tags, View


class SuperCL(Method):
    """Superpixel-guided contrast (Zeng et al., "SuperCL", IEEE TIP 2026, equations 3 to 9).

    Four views of each image: 1 and 2 change intensities alone, 3 and 4 are spatial views of 1 and 2. Views 3 and 4 pass
    the head of the instance contrast; views 1 and 2 give the feature maps in which superpixels say what belongs
    together. With the weights l,

        L = L_instance(3, 4) + l_intra L_intra(maps of 1 and 2) + l_inter L_inter(3, 4, under a graph of the maps)

    (equation 4). ``instance=PCL`` is the paper's method; :class:`WCL` and the other contrasts of :class:`PCL` make the
    paper's ablations, as a weight of 0 does. The loss between images takes the embeddings that the instance contrast
    names, WCL's for its graph.

    All views pass the network together. Where text and release differ, the release is followed: positives within an
    image come from both views under the map of view 1, the graph has a node for each of the 2 B maps, and the maps are
    raw features without a head of their own (512 channels in the release; the text's 128 belong to a head that it does
    not have).

    Args:
        instance: the contrast of whole images; it holds the network.
        intra_weight: of the loss within images.
        inter_weight: of the loss between images.
        level: of the encoder's features that are guided, as an index into them: -1 is the bottleneck.
        stride: within images every stride-th position takes part.
        cross_view_only: within images, positives in the other view alone.
        normalize: of the average superpixel maps, "map" or "superpixel".
        temperature: divides the cosine similarities of both losses.
        base_temperature: multiplies both by temperature / base_temperature; the release has 0.07, None leaves it.
    """

    views = 4
    aligned_views = slice(2)

    def __init__(
        self,
        instance: InstanceContrast,
        intra_weight: float = 1.0,
        inter_weight: float = 0.5,
        level: int = -1,
        stride: int = 1,
        cross_view_only: bool = False,
        normalize: str = "map",
        temperature: float = 0.1,
        base_temperature: float | None = None,
    ) -> None:
        super().__init__()
        depth = len(instance.stages.channels)
        if level not in range(-depth, depth):
            raise ValueError(
                f"level must index the {depth} maps of the encoder, from {-depth} to {depth - 1}, found {level!r}"
            )
        self.instance, self.collapse_causes = instance, instance.collapse_causes
        self.contrasts_batch = instance.contrasts_batch
        self.level = level
        self.intra_weight = weight("intra_weight", intra_weight)
        self.inter_weight = weight("inter_weight", inter_weight)
        self.intra_loss = SuperpixelContrastiveLoss(temperature, stride, cross_view_only, base_temperature)
        self.inter_loss = SuperpixelGraphContrastiveLoss(temperature, normalize, base_temperature)

    @property
    def predictor(self) -> nn.Module:
        """The network of the instance contrast."""
        return self.instance.predictor

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The sum of equation 4 and its parts "instance", "intra" and "inter", those with a weight.

        Raises:
            ValueError: when views 1 and 2 have no superpixels, and a weight is not 0.
        """
        features = self.instance.stages.encode(images_of(views))
        map1, map2 = features[self.level].chunk(4)[:2]
        spatial = self.instance.stages.pooled(features[-1]).chunk(2)[1]
        losses, embeddings = self.instance.contrast(spatial, tags)
        parts = {"instance": losses["loss"]}
        loss = parts["instance"]
        superpixels = superpixels_at(views[0], map1) if self.intra_weight or self.inter_weight else None
        if self.intra_weight:
            parts["intra"] = self.intra_loss(map1, map2, superpixels)
            loss = loss + self.intra_weight * parts["intra"]
        if self.inter_weight:
            others = superpixels_at(views[1], map2)
            parts["inter"] = self.inter_loss(*embeddings.chunk(2), map1, map2, superpixels, others)
            loss = loss + self.inter_weight * parts["inter"]
        return {"loss": loss, **parts}

    def pairs(self, views: Sequence[View], tags: Tags) -> tuple[Tensor, Tensor] | None:
        """Those of the instance contrast, between views 3 and 4; views 1 and 2 are in no pair of whole images."""
        found = self.instance.pairs(views[2:], tags)
        if found is None:
            return None
        rows = 2 * len(views[0]["image"])
        positive, negative = (torch.nn.functional.pad(pair, (rows, 0, rows, 0)) for pair in found)
        return positive, negative

    def embed(self, image: Tensor) -> Tensor:
        """Global average of the bottleneck, (B, channels[-1])."""
        return self.instance.embed(image)

    def project(self, embedding: Tensor) -> Tensor:
        """What the instance contrast's head makes of the embeddings."""
        return self.instance.project(embedding)


def superpixels_at(view: View, feature_map: Tensor) -> Tensor:
    """A view's superpixels (B, *S) at the size of a feature map, by the nearest pixel as in the release.

    Raises:
        ValueError: when the view has none.
    """
    if "superpixel" not in view:
        raise ValueError(
            f"SuperCL needs superpixels in views 1 and 2, which hold {sorted(view)}: give the dataset superpixels, or "
            "the views a function that makes them"
        )
    return interpolate(view["superpixel"].float(), feature_map.shape[2:], mode="nearest")[:, 0].long()
