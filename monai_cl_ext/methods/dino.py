# SPDX-License-Identifier: Apache-2.0
"""DINO: self-distillation of a student from its EMA teacher, over crops of several sizes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from monai_cl_ext.arguments import positive_integer, positive_number, probability
from monai_cl_ext.losses.centered import CenteredDistillation
from monai_cl_ext.methods.method import Method
from monai_cl_ext.networks import CropNetwork, MomentumTeacher, MultiCropViT, Stages, stages
from monai_cl_ext.types import Losses, Tags, View


class DINO(Method):
    """Self-distillation with no labels (Caron et al., "Emerging properties in self-supervised vision transformers").

    The student, a copy of the network, sees all crops of an image; the teacher, whose parameters are the student's
    moving average, sees the first ones, the global crops. Both end in a head of their own. The student is to give for
    each crop what the teacher gives for another one; centering and a low temperature of the teacher prevent collapse.
    Crops of one size pass the network together.

    The network that is handed over is the teacher, which the papers evaluate: its ``state_dict`` is the result of the
    pre-training at any time. Nothing of it requires a gradient any more. It is a ``MultiCropViT``, whose CLS token is
    the embedding, or of a class that ``networks.stages`` knows, whose embedding is the global average of the
    bottleneck; the paper leaves U-Nets open, and their decoder takes no part.

    Args:
        network: the network to pre-train.
        head: makes a head of the width of the embeddings, such as ``networks.DINOHead`` with its other arguments given.
        loss: such as ``losses.DINOLoss``, between the outputs of both heads.
        global_crops: how many views, the first ones, the teacher sees.
        teacher_temperature: divides the teacher's logits.
        momentum: of the teacher's parameters.

    Attributes:
        teacher_temperature, momentum: numbers that a schedule may set at any time.
        student: the backbone and the head that are trained.
        teacher: those of the teacher, in its ``network``.
    """

    collapse_causes = (
        "a learning rate that is too high, a teacher's temperature that is too high (all outputs alike) or too low, or"
        " a center that follows too slowly (one output wins)"
    )

    def __init__(
        self,
        network: nn.Module,
        head: Callable[[int], nn.Module],
        loss: CenteredDistillation,
        global_crops: int = 2,
        teacher_temperature: float = 0.04,
        momentum: float = 0.996,
    ) -> None:
        super().__init__()
        backbone, width = _backbone(network)
        started = CropNetwork(backbone, head(width))
        self.student = copy.deepcopy(started)
        self.teacher = MomentumTeacher(started)
        self.loss = loss
        self.global_crops = positive_integer("global_crops", global_crops)
        self.teacher_temperature = positive_number("teacher_temperature", teacher_temperature)
        self.momentum = probability("momentum", momentum)

    @property
    def predictor(self) -> nn.Module:
        """The teacher's network, which is the one that was handed over."""
        backbone = self._teacher_network.backbone
        return backbone.network if isinstance(backbone, Stages) else backbone

    def check_views(self, count: int) -> None:
        """Refuses fewer views than the global crops, or a single one."""
        if count < max(self.global_crops, 2):
            raise ValueError(
                f"{type(self).__name__} takes {self.global_crops} global crops and at least two views in all, found"
                f" {count}: give PrepareViews one policy for each"
            )

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The loss of all crops and the teacher's entropy; the global crops are the first views. Tags are not read."""
        crops = [view["image"] for view in views]
        return self.distill(self.student(crops), crops)

    def distill(self, student: Sequence, crops: Sequence[Tensor]) -> Losses:
        """The loss of the student's outputs, and the entropy of the teacher's for the global crops, see the loss."""
        teacher = self.teacher(crops[: self.global_crops])
        entropy = self.loss.teacher_entropy(teacher, self.teacher_temperature)
        return {"loss": self.loss(student, teacher, self.teacher_temperature), "teacher_entropy": entropy}

    def after_step(self) -> None:
        """Moves the teacher towards the student."""
        self.teacher.update(self.student, self.momentum)

    def embed(self, image: Tensor) -> Tensor:
        """The teacher's embedding (B, D), before its head."""
        return self._teacher_network.backbone(image)

    def project(self, embedding: Tensor) -> Tensor:
        """The centered logits of the teacher's head."""
        return self._teacher_network.head(embedding) - self.loss.center

    @property
    def _teacher_network(self) -> CropNetwork:
        return cast(CropNetwork, self.teacher.network)


def _backbone(network: nn.Module) -> tuple[nn.Module, int]:
    """What makes an embedding of an image, and the embedding's width."""
    if isinstance(network, MultiCropViT):
        return network.requires_grad_(True), network.hidden_size
    seen = stages(network)
    network.requires_grad_(False)
    for parameter in seen.encoder_parameters():
        parameter.requires_grad_(True)
    return seen, seen.channels[-1]
