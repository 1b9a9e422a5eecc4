# SPDX-License-Identifier: Apache-2.0
"""Linear classifier on a vision transformer."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.networks.backbones.vit import MultiCropViT


class ViTClassifier(nn.Module):
    """Linear classifier on the CLS tokens of the last blocks of a ``MultiCropViT`` (Caron et al. 2021, section 4).

    The linear layer is initialized normal with standard deviation 0.01, its bias as 0. The ``state_dict`` has the same
    names whether the backbone is frozen or not.

    Args:
        backbone: the vision transformer.
        num_classes: number of classes.
        blocks: number of last blocks whose tokens are concatenated; 4 for a ViT-S in DINO's release.
        frozen: trains the linear layer only (linear probe): the backbone has no gradient and stays in evaluation mode.
            False trains everything.

    Attributes:
        backbone: gives the embeddings (B, hidden_size) of images when called.
        linear: the layer on the tokens.

    Raises:
        ValueError: when the backbone has fewer blocks.
    """

    def __init__(self, backbone: MultiCropViT, num_classes: int, blocks: int = 4, frozen: bool = False) -> None:
        super().__init__()
        self.blocks = one_of("blocks", blocks, range(1, len(backbone.blocks) + 1))
        self.frozen = frozen
        self.backbone = backbone.requires_grad_(not frozen)
        self.linear = nn.Linear(blocks * backbone.hidden_size, positive_integer("num_classes", num_classes))
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)
        self.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) of the images (B, in_channels, *S); S may be any multiple of the patch."""
        return self.linear(self.backbone.last_blocks(x, self.blocks))

    def train(self, mode: bool = True) -> ViTClassifier:
        """Sets the training mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self
