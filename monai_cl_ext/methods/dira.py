# SPDX-License-Identifier: Apache-2.0
"""DiRA: discriminative, restorative and adversarial learning of one encoder and decoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

from monai_cl_ext.arguments import positive_integer, weight
from monai_cl_ext.methods.adversary import Adversary
from monai_cl_ext.methods.method import Method
from monai_cl_ext.methods.moco import MoCo
from monai_cl_ext.methods.restoration import image_head, restored_image
from monai_cl_ext.numerics import at_least_float32
from monai_cl_ext.types import Losses, Tags, View


class DiRA(Method):
    """Discriminative, restorative and adversarial learning (Haghighi et al., CVPR 2022), united with MoCo v2.

    Three views: an image, a distorted copy of it, and a distorted second view. The distorted copy is the query of the
    contrast, the second view its key. The decoder restores the image from the copy's features, through a 1x1
    convolution that is thrown away, and a discriminator tells restored images from real ones. With the weights l,

        L = l_contrast L_contrast + l_restoration (restored - image)^2 + l_adversarial (D(restored) - 1)^2,

    and the discriminator minimizes ((D(image) - 1)^2 + D(restored)^2) / 2; all are means. Without an adversary it is
    the paper's first stage.

    Args:
        moco: the contrast of queries and keys; it holds the network.
        adversary: the discriminator with its optimizer; None leaves out the last term.
        channels: of the images.
        contrast_weight, restoration_weight, adversarial_weight: of the terms.
    """

    views = 3
    aligned_views = slice(2)
    collapse_causes = MoCo.collapse_causes

    def __init__(
        self,
        moco: MoCo,
        adversary: Adversary | None = None,
        channels: int = 1,
        contrast_weight: float = 1.0,
        restoration_weight: float = 10.0,
        adversarial_weight: float = 0.001,
    ) -> None:
        super().__init__()
        self.moco = moco
        for parameter in moco.stages.decoder_parameters():
            parameter.requires_grad_(True)
        self.head = image_head(moco.stages, positive_integer("channels", channels))
        self.adversary = adversary
        self.contrast_weight = weight("contrast_weight", contrast_weight)
        self.restoration_weight = weight("restoration_weight", restoration_weight)
        self.adversarial_weight = weight("adversarial_weight", adversarial_weight)

    @property
    def predictor(self) -> nn.Module:
        """The network of the contrast."""
        return self.moco.predictor

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Those of the contrast, and that of the discriminator."""
        own = {} if self.adversary is None else {"discriminator": self.adversary.optimizer}
        return {**super().optimizers, **own}

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The losses; views are (image, its distorted copy, a distorted second view); tags are not read.

        Returns:
            "loss" and its terms "contrast", "restoration" and "adversarial", not weighted; "discriminator", the loss
            that the adversary minimizes. The last two are there with an adversary only.

        Raises:
            ValueError: when the restored image has another shape than the image.
        """
        image, query, key = (view["image"] for view in views)
        features = self.moco.stages.encode(query)
        restored = restored_image(self.moco.stages, self.head, features, image)
        queries = self.project(self.moco.stages.pooled(features[-1]))
        losses = {
            "contrast": self.moco.contrast(queries, self.moco.teacher(key)),
            "restoration": mse_loss(restored, image.to(restored.dtype)),
        }
        loss = self.contrast_weight * losses["contrast"] + self.restoration_weight * losses["restoration"]
        if self.adversary is not None:
            losses["adversarial"] = _squares(self.adversary(restored), 1)
            losses["discriminator"] = self._discriminate(image, restored.detach())
            loss = loss + self.adversarial_weight * losses["adversarial"]
        return {"loss": loss, **losses}

    def _discriminate(self, image: Tensor, restored: Tensor) -> Tensor:
        """The discriminator's loss, from which it learns."""
        assert self.adversary is not None
        return self.adversary.learn(lambda verdict: (_squares(verdict(image), 1) + _squares(verdict(restored), 0)) / 2)

    def after_step(self) -> None:
        """Moves the teacher and the discriminator."""
        super().after_step()
        if self.adversary is not None:
            self.adversary.step()

    def embed(self, image: Tensor) -> Tensor:
        """Global average of the bottleneck."""
        return self.moco.embed(image)

    def project(self, embedding: Tensor) -> Tensor:
        """The queries of embeddings."""
        return self.moco.project(embedding)


def _squares(verdict: Tensor, target: int) -> Tensor:
    """Mean squared distance of a verdict from 1, real, or 0, restored (LSGAN, Mao et al. 2017)."""
    return (verdict.to(at_least_float32(verdict.dtype)) - target).square().mean()
