# SPDX-License-Identifier: Apache-2.0
"""Vision transformer for crops of several sizes (DINO)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import DropPath, trunc_normal_
from monai.networks.nets import ViT
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, probability
from monai_cl_ext.extras import need


class MultiCropViT(ViT):
    """MONAI's ViT as DINO's backbone (Caron et al. 2021): the embedding is the CLS token after the final norm.

    Position embeddings belong to images of ``img_size`` and are interpolated for others, bicubic in 2D, trilinear in
    3D. The projection to queries, keys and values has biases, layer norms have epsilon 1e-6, weights are initialized
    truncated-normal with standard deviation 0.02, and every parameter gets a gradient. The CLS token has no position
    embedding. The defaults are ViT-S/16. Building one needs the package einops, as MONAI's ViT does.

    Args:
        in_channels: channels of the images.
        img_size: spatial size of the images that the position embeddings belong to, in pixels; one number or one per
            axis.
        patch_size: side of a patch, in pixels; one number or one per axis.
        hidden_size: width D of the tokens.
        mlp_dim: width of each block's hidden layer.
        num_layers: number of blocks.
        num_heads: of each block's attention.
        spatial_dims: 2 or 3.
        drop_path: stochastic depth, the probability of skipping a branch of the last block in training; it decreases
            linearly to 0 at the first block.

    Raises:
        ValueError: when ``img_size``, or in ``forward`` a spatial size, is no multiple of the patch.
    """

    def __init__(
        self,
        in_channels: int = 3,
        img_size: Sequence[int] | int = 224,
        patch_size: Sequence[int] | int = 16,
        hidden_size: int = 384,
        mlp_dim: int = 1536,
        num_layers: int = 12,
        num_heads: int = 6,
        spatial_dims: int = 2,
        drop_path: float = 0.0,
    ) -> None:
        one_of("spatial_dims", spatial_dims, (2, 3))
        need(type(self).__name__, "vit", "einops")
        super().__init__(
            in_channels, img_size, patch_size, hidden_size, mlp_dim, num_layers, num_heads,
            spatial_dims=spatial_dims, qkv_bias=True,
        )  # fmt: skip
        self.hidden_size = hidden_size
        self.patch_size: list[int] = list(ensure_tuple_rep(patch_size, spatial_dims))
        self.grid = self._grid(list(ensure_tuple_rep(img_size, spatial_dims)))
        self.interpolation = "bicubic" if spatial_dims == 2 else "trilinear"
        self.cls_token = nn.Parameter(torch.empty(1, 1, hidden_size))
        rates = torch.linspace(0, probability("drop_path", drop_path), num_layers).tolist()
        for block, rate in zip(self.blocks, rates, strict=True):
            block.norm_cross_attn = nn.Identity()  # unused, its parameters would get no gradient
            block.attn.use_flash_attention = True  # the same result without the matrix of all pairs of tokens
            if rate > 0:  # the ends of the two branches, dropouts of rate 0
                block.attn.drop_output, block.mlp.drop2 = DropPath(rate), DropPath(rate)
        self.apply(_initialize)
        trunc_normal_(self.cls_token, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (B, D) of the images (B, in_channels, *S); S may be any multiple of the patch."""
        tokens = self._tokens(x)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def last_blocks(self, x: Tensor, count: int = 4) -> Tensor:
        """CLS tokens of the last ``count`` blocks, each after the final norm, concatenated: (B, count * D).

        The last block's token is at the end.

        Raises:
            ValueError: when the network has fewer blocks.
        """
        if count < 1 or count > len(self.blocks):  # TorchScript knows neither one_of nor chained comparisons
            known = ", ".join([str(number) for number in range(1, len(self.blocks) + 1)])
            raise ValueError(f"count must be one of {known}, found {count}")
        tokens = self._tokens(x)
        kept: list[Tensor] = []
        for block in self.blocks:
            tokens = block(tokens)
            kept.append(tokens)
        return torch.cat([self.norm(each)[:, 0] for each in kept[-count:]], dim=1)

    def _tokens(self, x: Tensor) -> Tensor:
        """CLS token and patches with their positions, (B, 1 + N, D)."""
        grid = self._grid(list(x.shape[2:]))
        patches = self.patch_embedding.patch_embeddings(x).flatten(2).transpose(1, 2)
        tokens = patches + self._positions(grid)
        return torch.cat((self.cls_token.expand(x.shape[0], -1, -1), tokens), dim=1)

    def _positions(self, grid: list[int]) -> Tensor:
        """Position embeddings (1, N, D) of a grid of patches."""
        positions = self.patch_embedding.position_embeddings
        if grid == self.grid:
            return positions
        return resampled(positions, self.grid, grid, self.interpolation)

    def _grid(self, size: list[int]) -> list[int]:
        """Patches along each axis of an image."""
        grid: list[int] = []
        for pixels, patch in zip(size, self.patch_size):  # noqa: B905 (TorchScript knows no strict)
            if pixels % patch != 0:
                raise ValueError(f"each spatial size must be a multiple of its patch, {patch}: found {pixels}")
            grid.append(pixels // patch)
        return grid


def resampled(positions: Tensor, grid: list[int], size: list[int], mode: str) -> Tensor:
    """Position embeddings (1, N, D) of a grid of patches, interpolated to another grid.

    Args:
        positions: (1, N, D), row by row.
        grid: patches along each axis, N in all.
        size: those of the result.
        mode: of ``torch.nn.functional.interpolate``.
    """
    image = positions.transpose(1, 2).unflatten(2, grid)
    image = nn.functional.interpolate(image, size=size, mode=mode, align_corners=False)
    return image.flatten(2).transpose(1, 2)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        module.eps = 1e-6
