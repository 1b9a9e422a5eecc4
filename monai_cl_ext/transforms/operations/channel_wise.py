# SPDX-License-Identifier: Apache-2.0
"""An intensity operation whose parameters are drawn for each channel of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_cl_ext.arguments import positive_integer

from .intensity_range import Limits
from .operation import IntensityOperation


class ChannelWise(IntensityOperation):
    """Draws the parameters of an operation for each channel of each sample, as MONAI's ``channel_wise=True``.

    Whether a sample is augmented is decided once for all its channels, by the operation's own probability. Without this
    the channels share one draw, as in MONAI by default; nnU-Net draws brightness, contrast and gamma for each.

    Args:
        operation: one whose class says ``by_channel``, such as ``IntensityShift``, ``Contrast`` or ``GaussianBlur``.
        channels: of the images.

    Raises:
        TypeError: when the operation acts on all channels together; :func:`channel_wise_policy` passes those over.
        ValueError: when applied, for images with another number of channels.
    """

    def __init__(self, operation: IntensityOperation, channels: int) -> None:
        if not (isinstance(operation, IntensityOperation) and operation.by_channel):
            raise TypeError(
                f"ChannelWise takes an intensity operation that may differ between channels, found {operation!r}; "
                "leave it as it is"
            )
        self.operation, self.channels = operation, positive_integer("channels", channels)
        self.params_on_cpu = operation.params_on_cpu
        super().__init__(operation.identity.repeat(channels), operation.probability)

    @property
    def clips_to(self) -> Limits | None:
        """As the operation."""
        return self.operation.clips_to

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """The parameters of all channels, one behind the other, (B, C P)."""
        return torch.cat([self.operation.draw(batch_size, generator) for _ in range(self.channels)], dim=1)

    def scaled(self, strength: float) -> ChannelWise:
        """The weaker operation, for each channel."""
        weaker = self.operation.scaled(strength)
        assert isinstance(weaker, IntensityOperation)
        return ChannelWise(weaker, self.channels)

    def apply(self, image: Tensor, params: Tensor) -> Tensor:
        """The image, each channel as an image of its own."""
        if image.shape[1] != self.channels:
            raise ValueError(
                f"ChannelWise has {self.channels} channel(s), found an image batch of shape {tuple(image.shape)}; give "
                "it the channels of the images"
            )
        single = image.flatten(0, 1)[:, None]
        return self.operation.apply(single, params.reshape(len(single), -1)).reshape(image.shape)
