# SPDX-License-Identifier: Apache-2.0
"""WCL's graph term: samples connected by nearest neighbors in one view attract in the other view."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.neighbor_graph import shared_components
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import same


class WeakGraphContrastiveLoss(nn.Module):
    """Graph term of WCL (Zheng et al., "Weakly supervised contrastive learning", ICCV 2021).

    In each view every sample is linked to its nearest neighbor; the connected components are weak labels. The
    embeddings of view 1 are contrasted among themselves under the labels of view 2, and vice versa, and the loss is the
    mean of the two. Positives are averaged outside the logarithm, and all other rows of the view are
    in the denominator. No gradient passes through the labels. WCL adds the NT-Xent loss of another head.

    Over several processes the graph is one over the rows of all of them.

    Args:
        temperature: divides the cosine similarities; positive.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)

    @plain_tensors
    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Mean of the two halves, each the mean over its B anchors; 0 for a single sample, which has no neighbor.

        Args:
            z1, z2: embeddings of the two views, (B, D), of any scale.

        Raises:
            ValueError: when z1 and z2 are not both (B, D).
        """
        check_embeddings(z1=z1, z2=z2)
        label1, label2 = shared_components(z1), shared_components(z2)
        half1 = contrast(z1, same(label2), temperature=self.temperature)
        half2 = contrast(z2, same(label1), temperature=self.temperature)
        return (half1 + half2) / 2
