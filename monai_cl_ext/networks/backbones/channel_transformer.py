# SPDX-License-Identifier: Apache-2.0
"""Channel-wise cross-attention between the levels of an encoder, the skip connections of UCTransNet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-6  # of the layer normalizations
DROPOUT = 0.1


class ChannelTransformer(nn.Module):
    """Channel-wise cross-fusion transformer (CCT) of "UCTransNet" (Wang et al. 2022, section on CTrans, and release).

    A convolution whose kernel is its stride embeds each level, so that all levels have the same tokens, those of the
    grid, and their channels are what is attended to: see :class:`ChannelAttention`.

    Args:
        widths: channels of the levels, from shallow to deep.
        patches: side of a token's patch in the map of each level, in pixels.
        grid: tokens along each axis.
        layers: number of layers.
        heads: of each attention.
    """

    def __init__(
        self, widths: Sequence[int], patches: Sequence[int], grid: Sequence[int], layers: int = 4, heads: int = 4
    ) -> None:
        super().__init__()
        tokens = math.prod(grid)
        self.embeddings = nn.ModuleList(
            TokenEmbedding(width, patch, tokens) for width, patch in zip(widths, patches, strict=True)
        )
        self.layers = nn.ModuleList(ChannelLayer(widths, heads) for _ in range(layers))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Tokens (B, tokens, width) of each level from the maps (B, width, *S) of the levels, shallow to deep."""
        tokens: list[Tensor] = []
        for index, embedding in enumerate(self.embeddings):
            tokens.append(embedding(maps[index]))
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class TokenEmbedding(nn.Module):
    """Tokens of a level: patches without overlap, and a learned vector of each position, 0 at first.

    Args:
        width: channels of map and tokens.
        patch: side of a patch in pixels.
        tokens: how many an image has.
    """

    def __init__(self, width: int, patch: int, tokens: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(width, width, kernel_size=patch, stride=patch)
        self.position = nn.Parameter(torch.zeros(1, tokens, width))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, tokens, width) of the map (B, width, *S)."""
        return self.dropout(self.patches(x).flatten(2).transpose(1, 2) + self.position)


class ChannelLayer(nn.Module):
    """A layer: the channels of every level attend to those of all levels.

    Args:
        widths: channels of the levels.
        heads: of each attention.
    """

    def __init__(self, widths: Sequence[int], heads: int) -> None:
        super().__init__()
        self.memory = ChannelMemory(sum(widths), heads)
        self.levels = nn.ModuleList(ChannelAttention(width, sum(widths), heads) for width in widths)

    def forward(self, tokens: list[Tensor]) -> list[Tensor]:
        """Tokens (B, tokens, width) of each level, from those before."""
        keys, values = self.memory(torch.cat(tokens, dim=2))
        results: list[Tensor] = []
        for index, level in enumerate(self.levels):
            results.append(level(tokens[index], keys, values))
        return results


class ChannelMemory(nn.Module):
    """Keys and values of all levels' channels together.

    Args:
        total: channels of all levels.
        heads: of the attention; each has all channels.
    """

    def __init__(self, total: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(total, eps=EPSILON)
        self.key = nn.Linear(total, heads * total, bias=False)
        self.value = nn.Linear(total, heads * total, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, tokens, total), both, of the tokens (B, tokens, total)."""
        x = self.norm(x)
        return of_heads(self.key(x), self.heads), of_heads(self.value(x), self.heads)


class ChannelAttention(nn.Module):
    """Attention of one level's channels to those of all levels, and an MLP, both residual.

    With queries Q (tokens, width), keys K and values V (tokens, total) of a head, its attention is A V^T with

        A = softmax(InstanceNorm(Q^T K / sqrt(total))),

    a matrix (width, total) that is normalized over all its entries, then by the softmax along each row. The heads, each
    as wide as the level, are averaged, then projected.

    Args:
        width: channels of the level.
        total: channels of all levels.
        heads: of the attention.
    """

    def __init__(self, width: int, total: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = total**-0.5
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.query = nn.Linear(width, heads * width, bias=False)
        self.dropout = nn.Dropout(DROPOUT)
        self.projection = nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width, eps=EPSILON), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Tokens (B, tokens, width) from those before, and the keys and values (B, heads, tokens, total)."""
        queries = of_heads(self.query(self.norm(x)), self.heads)
        scores = F.instance_norm(queries.transpose(2, 3) @ keys * self.scale)
        attended = self.dropout(scores.softmax(dim=3)) @ values.transpose(2, 3)
        x = x + self.dropout(self.projection(attended.mean(dim=1).transpose(1, 2)))
        return x + self.mlp(x)


def of_heads(x: Tensor, heads: int) -> Tensor:
    """(B, heads, tokens, C) of the rows (B, tokens, heads * C)."""
    return x.unflatten(2, [heads, x.shape[2] // heads]).transpose(1, 2)
