# SPDX-License-Identifier: Apache-2.0
"""A vision transformer with a linear layer that tells classes, and what loads its backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.networks.checkpoint import read_state
from monai_cl_ext.networks.loading import WRAPPERS, load_pretrained
from monai_cl_ext.networks.vit import MultiCropViT
from monai_cl_ext.networks.vit_weights import load_dino_weights


class ViTClassifier(nn.Module):
    """Logits of classes from the CLS tokens of the last blocks of a ``MultiCropViT`` (Caron et al. 2021, section 4).

    The linear layer starts normal with standard deviation 0.01, its bias at 0, as in DINO's release. Both kinds of
    training have the same ``state_dict``.

    Args:
        num_classes: number of classes.
        blocks: how many of the last blocks are read; DINO's release reads 4 of a ViT-S.
        frozen: the linear probe of the papers: nothing but the linear layer has a gradient, and the backbone stays in
            evaluation mode. False trains everything.
        in_channels, img_size, patch_size, hidden_size, mlp_dim, num_layers, num_heads, spatial_dims, drop_path: of the
            backbone, see :class:`MultiCropViT`.

    Attributes:
        backbone: the ``MultiCropViT``, whose embeddings (B, hidden_size) it gives when called.
        linear: the layer on the tokens.

    Raises:
        ValueError: when there are fewer blocks than are to be read.
    """

    def __init__(
        self,
        num_classes: int,
        blocks: int = 4,
        frozen: bool = False,
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
        super().__init__()
        self.blocks = one_of("blocks", blocks, range(1, positive_integer("num_layers", num_layers) + 1))
        self.frozen = frozen
        self.backbone = MultiCropViT(
            in_channels, img_size, patch_size, hidden_size, mlp_dim, num_layers, num_heads, spatial_dims, drop_path
        )
        self.backbone.requires_grad_(not self.frozen)
        self.linear = nn.Linear(blocks * hidden_size, positive_integer("num_classes", num_classes))
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        self.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) of the images (B, in_channels, *S); S may be any multiple of the patch."""
        return self.linear(self.backbone.last_blocks(x, self.blocks))

    def train(self, mode: bool = True) -> ViTClassifier:
        """Training mode, but for a frozen backbone."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


def with_backbone(net: ViTClassifier, path: str | Path | None) -> ViTClassifier:
    """The classifier with the weights of ``path`` in its backbone, or untouched where it is empty; for use in a config.

    Args:
        net: the classifier; its linear layer is left alone.
        path: weights of a ``MultiCropViT`` or of a whole ``ViTClassifier``, or published ones of DINO or timm (see
            ``load_dino_weights``); None or an empty string loads nothing.

    Raises:
        FileNotFoundError, ImportError, ValueError: see ``load_pretrained`` and ``load_dino_weights``; every tensor of
            the backbone has to be matched.
    """
    if path is None or not str(path).strip():
        return net
    state = read_state(path)
    if any(name.split(".")[-1] == "pos_embed" for name in state):
        load_dino_weights(net.backbone, path)
    else:
        load_pretrained(net, path, prefixes={**dict.fromkeys(WRAPPERS, ""), "": "backbone."}, exclude=["linear"])
    return net
