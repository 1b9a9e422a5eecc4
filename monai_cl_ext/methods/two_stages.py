# SPDX-License-Identifier: Apache-2.0
"""Training in two stages: on labels alone, then also on pseudo-labels of an EMA teacher."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import Tensor, nn

from monai_cl_ext.arguments import probability, whole_number
from monai_cl_ext.methods.deep_supervision import maps_of
from monai_cl_ext.methods.semi_supervised import SemiSupervised
from monai_cl_ext.networks.teacher import MomentumTeacher


class TwoStages(SemiSupervised):
    """A warm-up on labeled rows, whose weights then begin both student and EMA teacher.

    The teacher's pseudo-labels are its most likely classes. It normalizes by the statistics of its batch, so that
    running statistics of earlier weights play no part.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S), the student.
        loss: of the stages.
        labelled_per_batch: number of labeled rows, which come first.
        warm_up_steps: optimizer steps of the first stage, of those of the whole run.
        consistency_weight: of the loss on pseudo-labels.
        momentum: of the teacher's parameters in the second stage.
        refine: what is made of the pseudo-labels (U, 1, *S), such as ``transforms.keep_largest_components``.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        warm_up_steps: int,
        consistency_weight: float = 0.5,
        momentum: float = 0.99,
        refine: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight)
        self.teacher = MomentumTeacher(copy.deepcopy(network))
        self.warm_up_steps = whole_number("warm_up_steps", warm_up_steps)
        self.momentum = probability("momentum", momentum)
        self.refine = refine

    @property
    def warming_up(self) -> bool:
        """Whether the next step is one of the first stage."""
        return self.iteration < self.warm_up_steps

    def pseudo_labels(self, image: Tensor) -> Tensor:
        """The teacher's most likely classes, refined, int64 (U, 1, *S)."""
        labels = maps_of(self.teacher(image), image)[0].argmax(1, keepdim=True)
        return labels if self.refine is None else self.refine(labels)

    def after_step(self) -> None:
        """Moves the teacher: it is a copy of the student as long as the warm-up goes on."""
        self.teacher.update(self.network, 0.0 if self.warming_up else self.momentum)
