# SPDX-License-Identifier: Apache-2.0
"""An encoder and its projection head, followed by an EMA teacher: what MoCo, BYOL and their kin share."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from monai_cl_ext.arguments import probability
from monai_cl_ext.methods.method import NetworkMethod
from monai_cl_ext.networks import MomentumTeacher


class MomentumMethod(NetworkMethod):
    """A student, the encoder of the network that is handed over and a projection head, and its EMA teacher.

    Args:
        network: the network to pre-train, of a class that ``networks.stages`` knows.
        projection_head: on the embedding, the global average of the bottleneck, (B, channels[-1]).
        momentum: of the teacher's parameters.

    Attributes:
        momentum: a number that a schedule may set at any time.
        teacher: from images (B, C, *S) to its projections, without gradient; it has no decoder.
    """

    collapse_causes = "a learning rate that is too high, or a teacher that follows too fast (momentum)"

    def __init__(self, network: nn.Module, projection_head: nn.Module, momentum: float) -> None:
        super().__init__(network)
        self.projection_head = projection_head
        self.momentum = probability("momentum", momentum)
        self.teacher = MomentumTeacher(nn.Sequential(self.stages.encoder_copy(), copy.deepcopy(projection_head)))

    def project(self, embedding: Tensor) -> Tensor:
        """The student's projections of embeddings."""
        return self.projection_head(embedding)

    def after_step(self) -> None:
        """Moves the teacher towards the student."""
        self.teacher.update(self._student, self.momentum)

    @property
    def _student(self) -> nn.Sequential:
        return nn.Sequential(self.stages, self.projection_head)
