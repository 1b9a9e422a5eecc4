# SPDX-License-Identifier: Apache-2.0
"""What every method is: views and tags in, losses out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from monai_cl_ext.networks import Stages, stages
from monai_cl_ext.types import Losses, Tags, View


class Method(nn.Module, ABC):
    """A pre-training method: holds the network that it trains, its heads and its losses.

    A method has no clock (schedules are handlers), freezes what it does not train, and leaves the network's
    ``state_dict`` as the only thing that the next stage needs.
    """

    @abstractmethod
    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """Losses of one batch.

        Args:
            views: the views of the batch in the order of the policies, each with "image" (B,C,*S).
            tags: facts of each row, "volume", "position" and "partition", each (B,).

        Returns:
            "loss", the scalar to be minimised, and its parts, each a scalar.
        """

    def embed(self, image: Tensor) -> Tensor:
        """The representation (B,D) of images (B,C,*S) that a probe looks at."""
        raise NotImplementedError(f"{type(self).__name__} gives no embedding of an image; it cannot be probed")

    def pairs(self, views: Sequence[View], tags: Tags) -> tuple[Tensor, Tensor] | None:
        """Which rows the loss attracts and which it repels, for the report page to draw.

        Args:
            views, tags: as in ``forward``; any part of a batch serves.

        Returns:
            (positive, negative), boolean (N, N) over the N rows of all views, view by view; None, the default, where a
            pair is not one of whole images.
        """
        return None

    def after_step(self) -> None:
        """What must move after each optimiser step (a momentum teacher, a queue); nothing by default."""


def trained_encoder(network: nn.Module) -> Stages:
    """The stages of a network whose encoder is to be trained, and nothing else of it."""
    encoder = stages(network)
    network.requires_grad_(False)
    for parameter in encoder.encoder_parameters():
        parameter.requires_grad_(True)
    return encoder
