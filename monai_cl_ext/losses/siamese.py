# SPDX-License-Identifier: Apache-2.0
"""Losses of two networks, or of a network and its predictor, that agree on views without negative pairs."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl_ext.losses.checks import check_embeddings
from monai_cl_ext.losses.negative_cosine import negative_cosine
from monai_cl_ext.losses.plain_tensors import plain_tensors


class BYOLLoss(nn.Module):
    """Bootstrap your own latent (Grill et al. 2020, eq. 2): the squared distance of normalized vectors, both ways.

    (2 - 2 cos(p1, z2)) + (2 - 2 cos(p2, z1)), the mean over rows; targets get no gradient.
    """

    @plain_tensors
    def forward(self, p1: Tensor, z2: Tensor, p2: Tensor, z1: Tensor) -> Tensor:
        """The loss, from 0 to 8.

        Args:
            p1, p2: predictions of the online network for the views 1 and 2, (B, D), of any scale.
            z2, z1: projections of the target network for the views 2 and 1, likewise.

        Raises:
            ValueError: when they are not all (B, D).
        """
        check_embeddings(p1=p1, z2=z2, p2=p2, z1=z1)
        return 2 * (negative_cosine(p1, z2, offset=1.0) + negative_cosine(p2, z1, offset=1.0))


class SimSiamLoss(nn.Module):
    """SimSiam (Chen and He 2021, eq. 2 and 4): the mean of both ways' negative cosine; targets get no gradient."""

    @plain_tensors
    def forward(self, p1: Tensor, z2: Tensor, p2: Tensor, z1: Tensor) -> Tensor:
        """The loss, from -1 to 1.

        Args:
            p1, p2: predictions for the views 1 and 2, (B, D), of any scale.
            z2, z1: projections of the views 2 and 1, likewise.

        Raises:
            ValueError: when they are not all (B, D).
        """
        check_embeddings(p1=p1, z2=z2, p2=p2, z1=z1)
        return (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2


class SimTripletLoss(nn.Module):
    """SimTriplet (Liu et al. 2021): SimSiam of two views of an image, and of one of them and a neighboring image.

    Half of the sum of the pairs (1, 2) and (1, 3), each the sum of both ways' negative cosine.
    """

    @plain_tensors
    def forward(self, p1: Tensor, z1: Tensor, p2: Tensor, z2: Tensor, p3: Tensor, z3: Tensor) -> Tensor:
        """The loss, from -2 to 2.

        Args:
            p1, p2, p3: predictions for two views of an image and one of its neighbor, (B, D), of any scale.
            z1, z2, z3: their projections, which get no gradient.

        Raises:
            ValueError: when they are not all (B, D).
        """
        check_embeddings(p1=p1, z1=z1, p2=p2, z2=z2, p3=p3, z3=z3)
        views = negative_cosine(p1, z2) + negative_cosine(p2, z1)
        return (views + negative_cosine(p1, z3) + negative_cosine(p3, z1)) / 2
