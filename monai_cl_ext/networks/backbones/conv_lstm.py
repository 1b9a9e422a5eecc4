# SPDX-License-Identifier: Apache-2.0
"""Convolutional LSTM that merges two maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvLSTM(nn.Module):
    """Convolutional LSTM (Shi et al. 2015, without peepholes) over a sequence of two maps; gives its last state.

    With the convolutions W of a map x and U of the state h, both 3x3, of them one for each of i, f, g and o,

        c' = f(x, h) c + i(x, h) tanh(g(x, h)),  h' = o(x, h) tanh(c')

    where i, f and o are hard sigmoids, min(max(0.2 (W x + U h + b) + 0.5, 0), 1). State and cell begin as 0. Weights W
    are initialized by He et al. (2015), U as orthogonal matrices, biases as 0, those of f as 1.

    Args:
        in_channels: channels of a map.
        width: channels of the state.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.of_map = nn.Conv2d(in_channels, 4 * width, kernel_size=3, padding=1)
        self.of_state = nn.Conv2d(width, 4 * width, kernel_size=3, padding=1, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initializes the weights anew."""
        nn.init.kaiming_normal_(self.of_map.weight)
        nn.init.orthogonal_(self.of_state.weight)
        bias = self.of_map.bias
        assert bias is not None
        nn.init.zeros_(bias)
        with torch.no_grad():
            bias.chunk(4)[1].fill_(1.0)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """State (B, width, *S) after the maps (B, in_channels, *S), one after the other."""
        add, _, new, show = self.of_map(first).chunk(4, dim=1)  # nothing to forget yet
        cell = hard_sigmoid(add) * new.tanh()
        state = hard_sigmoid(show) * cell.tanh()
        add, keep, new, show = (self.of_map(second) + self.of_state(state)).chunk(4, dim=1)
        cell = hard_sigmoid(keep) * cell + hard_sigmoid(add) * new.tanh()
        return hard_sigmoid(show) * cell.tanh()


def hard_sigmoid(x: Tensor) -> Tensor:
    """That of Keras 2, whose slope is 0.2 where torch's is 1/6."""
    return (0.2 * x + 0.5).clamp(0.0, 1.0)
