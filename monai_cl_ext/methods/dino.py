# SPDX-License-Identifier: Apache-2.0
"""DINO: a student learns from small and large crops what its slow teacher sees in the large ones."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, positive_number, probability
from monai_cl_ext.losses import DINOLoss
from monai_cl_ext.methods.method import Method, trained_encoder
from monai_cl_ext.networks import DINOHead, MomentumTeacher, MultiCropViT
from monai_cl_ext.types import Losses, Tags, View


class DINO(Method):
    """Self-distillation with no labels (Caron et al., "Emerging properties in self-supervised vision transformers").

    The student, a copy of the network, sees all crops of an image; the teacher, whose parameters are the student's
    moving average, sees the first ones, the global crops. Both end in a head of their own. The student is to give for
    each crop what the teacher gives for another one; centring and a low temperature of the teacher prevent collapse.
    Crops of one size pass the network together.

    The network that is handed over is the teacher, which the papers evaluate: its ``state_dict`` is the result of the
    pre-training at any time. Nothing of it requires a gradient any more. It is a ``MultiCropViT``, whose CLS token is
    the embedding, or of a class that ``networks.stages`` knows, whose embedding is the global average of the
    bottleneck; the paper leaves U-Nets open, and their decoder takes no part.

    Args:
        network: the network to pre-train.
        out_dim: number of outputs of the heads; smaller batches want fewer than the paper's 65,536.
        hidden, bottleneck, normalize_last_layer: see ``networks.DINOHead``.
        global_crops: how many views, the first ones, the teacher sees.
        student_temperature, center_momentum: see ``losses.DINOLoss``.
        teacher_temperature: divides the teacher's logits.
        momentum: of the teacher's parameters.

    Attributes:
        teacher_temperature, momentum: numbers that a schedule may set at any time.
        student: the backbone and the head that are trained.
        teacher: those of the teacher, in its ``network``.
    """

    def __init__(
        self,
        network: nn.Module,
        out_dim: int = 65536,
        hidden: int = 2048,
        bottleneck: int = 256,
        normalize_last_layer: bool = True,
        global_crops: int = 2,
        student_temperature: float = 0.1,
        center_momentum: float = 0.9,
        teacher_temperature: float = 0.04,
        momentum: float = 0.996,
    ) -> None:
        super().__init__()
        backbone, width = _backbone(network)
        head = DINOHead(width, out_dim, hidden, bottleneck, normalize_last_layer)
        started = CropNetwork(backbone, head)
        self.student = copy.deepcopy(started)
        self.teacher = MomentumTeacher(started)
        self.loss = DINOLoss(out_dim, student_temperature, center_momentum)
        self.global_crops = positive_integer("global_crops", global_crops)
        self.teacher_temperature = positive_number("teacher_temperature", teacher_temperature)
        self.momentum = probability("momentum", momentum)

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of all crops; the global ones are the first views. Tags are not read.

        Raises:
            ValueError: when there is no more than one view, or there are fewer than ``global_crops``.
        """
        crops = [view["image"] for view in views]
        seen = crops[: self.global_crops]
        if len(seen) < self.global_crops or len(crops) < 2:
            raise ValueError(
                f"DINO takes {self.global_crops} global crops and at least two views in all, found {len(crops)} views"
            )
        return {"loss": self.loss(self.student(crops), self.teacher(seen), self.teacher_temperature)}

    def after_step(self) -> None:
        """Moves the teacher towards the student."""
        self.teacher.update(self.student, self.momentum)

    def embed(self, image: Tensor) -> Tensor:
        """The teacher's embedding (B, D), before its head."""
        return self.teacher.network.get_submodule("backbone")(image)


class CropNetwork(nn.Module):
    """A backbone and its head, for crops of several sizes.

    Args:
        backbone: from images (B, C, *S) to embeddings (B, D).
        head: from embeddings to outputs (B, out_dim).
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, crops: Sequence[Tensor]) -> list[Tensor]:
        """Outputs of each crop; one pass of the backbone for each size, one of the head for all."""
        embeddings: dict[int, Tensor] = {}
        for size in dict.fromkeys(crop.shape[2:] for crop in crops):
            members = [index for index, crop in enumerate(crops) if crop.shape[2:] == size]
            joined = self.backbone(torch.cat([crops[index] for index in members]))
            embeddings.update(zip(members, joined.chunk(len(members)), strict=True))
        return list(self.head(torch.cat([embeddings[index] for index in range(len(crops))])).chunk(len(crops)))


def _backbone(network: nn.Module) -> tuple[nn.Module, int]:
    """What makes an embedding of an image, and the embedding's width."""
    if isinstance(network, MultiCropViT):
        return network.requires_grad_(True), network.hidden_size
    encoder = trained_encoder(network)
    return encoder, encoder.channels[-1]
