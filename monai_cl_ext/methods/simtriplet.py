# SPDX-License-Identifier: Apache-2.0
"""SimTriplet: SimSiam, and the same of an image and its neighbor."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_cl_ext.device_checks import check_values
from monai_cl_ext.losses import SimTripletLoss
from monai_cl_ext.methods.simsiam import SimSiam
from monai_cl_ext.types import Losses, Tags, View


class SimTriplet(SimSiam):
    """SimTriplet (Liu et al., MICCAI 2021): SimSiam of two views of an image, and of a view and one of a neighbor.

    The paper's neighbors are adjacent tiles of a pathology slide. Here the rows 2 k and 2 k + 1 of a batch are
    neighbors, such as adjacent slices of one volume, which ``data.NeighborBatchSampler`` draws: each is an image with
    two views, and the second view of the other one is its third. So three views cost no more than two.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        features: width of projections and predictions.
        hidden: width of the prediction head's hidden layer.
    """

    def __init__(self, network: nn.Module, features: int = 2048, hidden: int = 512) -> None:
        super().__init__(network, features, hidden)
        self.loss = SimTripletLoss()

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of two views, from -2 to 2; of the tags "volume" is looked at, where there is one.

        Raises:
            ValueError: when the number of rows is odd or, on the CPU, when a pair is of two volumes; on CUDA that is an
                assertion of the device, for which the host does not wait.
        """
        _check_pairs(len(views[0]["image"]), tags.get("volume"))
        z1, z2, p1, p2 = self.branches(views)
        return {"loss": self.loss(p1, z1, p2, z2, _of_neighbors(p2), _of_neighbors(z2))}


def _of_neighbors(rows: Tensor) -> Tensor:
    """The rows (B, D) in the order 1, 0, 3, 2, ..."""
    return rows.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def _check_pairs(rows: int, volume: Tensor | None) -> None:
    remedy = "give the loader the batches of data.NeighborBatchSampler"
    if rows % 2:
        raise ValueError(f"SimTriplet takes pairs of neighbors, an even number of rows, found {rows}: {remedy}")
    if volume is not None:
        apart = volume[::2] != volume[1::2]
        check_values(
            ~apart.any(),
            "the rows 2k and 2k + 1 of a batch must be neighbors of one volume",
            lambda: f"{int(apart.sum())} of {rows // 2} pairs of two volumes",
            remedy,
        )
