# SPDX-License-Identifier: Apache-2.0
"""Networks that predict signed distances of the foreground classes beside the classes: what DTC and SASSNet share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from monai_cl_ext.arguments import weight
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.methods.restoration import image_head
from monai_cl_ext.methods.semi_supervised import MixedRows, SemiSupervised
from monai_cl_ext.networks import stages
from monai_cl_ext.numerics import at_least_float32
from monai_cl_ext.transforms import signed_distance


class SignedDistances(SemiSupervised):
    """A second head, a 1x1 convolution and tanh, predicts the signed distance map of each foreground class.

    It stands on the map that the network's output layer takes, or on the logits where that layer is a decoder block, as
    in MONAI's UNet. Labeled rows learn their classes and, by mean squared error, ``transforms.signed_distance`` of
    them. The head is thrown away.

    Args:
        network: of a class that ``networks.stages`` knows, with a decoder; from images (B, C, *S) to logits
            (B, classes, *S).
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        consistency_weight: of the loss of unlabeled rows; ramp it up.
        distance_weight: of the squared error of the distances of labeled rows.

    Raises:
        TypeError: when the network has no known stages.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        consistency_weight: float,
        distance_weight: float = 0.3,
    ) -> None:
        super().__init__(network, loss, labelled_per_batch, consistency_weight)
        known = stages(network)
        known.decoder_parameters()  # refuses an encoder
        self.output_layer = known.output_prefix
        self.classes = known.out_channels
        self.head = image_head(known, self.classes - 1)
        self.distance_weight = weight("distance_weight", distance_weight)

    def predict(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """The network's maps of logits, the finest first, and the signed distances (B, classes - 1, *S)."""
        if self.output_layer is None:
            maps = maps_of(self.network(image), image)
            last = maps[0]
        else:
            taken: list[Tensor] = []
            layer = self.network.get_submodule(self.output_layer)
            with layer.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0])):
                maps = maps_of(self.network(image), image)
            (last,) = taken
        distance = self.head(last)
        return maps, distance.to(at_least_float32(distance.dtype)).tanh()

    def supervised(self, maps: list[Tensor], distance: Tensor, rows: MixedRows) -> Tensor:
        """The loss of labeled rows: of their classes, and the weighted one of their signed distances."""
        count = self.labelled_per_batch
        classes = supervised_loss(self.loss, [logits[:count] for logits in maps], rows.label)
        target = signed_distance(rows.label, self.classes).to(distance.dtype)
        return classes + self.distance_weight * mse_loss(distance[:count], target)
