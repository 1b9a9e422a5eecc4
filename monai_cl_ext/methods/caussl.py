# SPDX-License-Identifier: Apache-2.0
"""CauSSL: two networks that teach each other, and are kept from becoming one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.optim import Adam, Optimizer

from monai_cl_ext.arguments import positive_integer, weight, whole_number
from monai_cl_ext.losses import FilterIndependenceLoss
from monai_cl_ext.methods.adversary import Adversary
from monai_cl_ext.methods.cross_pseudo_supervision import CrossPseudoSupervision
from monai_cl_ext.types import Losses, Tags, View


class CauSSL(CrossPseudoSupervision):
    """Causality-inspired semi-supervised learning (Miao et al., ICCV 2023), of cross pseudo-supervision.

    What two networks agree on says more, the less they depend on each other. An adversary holds for each convolution
    the coefficients by which one network's filters copy the other's best: after every ``every`` steps it takes so many
    steps of Adam that raise ``losses.FilterIndependenceLoss`` in both directions, which both networks lower at every
    step.

    Args:
        network: from images (B, C, *S) to logits (B, classes, *S), the result.
        second: another such network of the same architecture, whose initial weights differ.
        loss: of the logits and the classes of labeled rows.
        labelled_per_batch: number of labeled rows, which come first.
        consistency_weight: of the cross pseudo-supervision; ramp it up.
        independence_weight: of the dependence of each network on the other.
        begin: steps before it counts; with 0 the first ``every`` steps have coefficients that were never fitted.
        every: steps between two turns of the adversary, and its steps in one.

    Raises:
        ValueError: when the two are one network, have equal weights, or other convolutions.
    """

    def __init__(
        self,
        network: nn.Module,
        second: nn.Module,
        loss: nn.Module,
        labelled_per_batch: int,
        consistency_weight: float = 0.03,
        independence_weight: float = 3.0,
        begin: int = 500,
        every: int = 60,
    ) -> None:
        super().__init__(network, second, loss, labelled_per_batch, consistency_weight)
        self.independence_weight = weight("independence_weight", independence_weight)
        self.begin = whole_number("begin", begin)
        self.every = positive_integer("every", every)
        own = filters(network)
        dependence = _MutualDependence([len(each) for each in own]).to(own[0].device)
        dependence(own, filters(second))  # refuses networks that differ
        self.adversary = Adversary(dependence, partial(Adam, lr=2e-2))

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """That of the coefficients."""
        return {"independence": self.adversary.optimizer}

    def forward(self, views: Sequence[View], tags: Tags) -> Losses:
        """The losses of cross pseudo-supervision, and from step ``begin`` on "independence", added to "loss"."""
        losses = super().forward(views, tags)
        if self.iteration < self.begin:
            return losses
        independence = self.adversary(filters(self.network), filters(self.second))
        loss = losses["loss"] + self.independence_weight * independence
        return {**losses, "loss": loss, "independence": independence}

    def after_step(self) -> None:
        """Every so many steps the coefficients are fitted anew to the networks."""
        made = self.iteration + 1 - self.begin
        if made < 0 or made % self.every:
            return
        own, other = ([each.detach() for each in filters(network)] for network in (self.network, self.second))
        for _ in range(self.every):
            self.adversary.learn(lambda dependence: -dependence(own, other))
            self.adversary.step()


class _MutualDependence(nn.Module):
    """The dependence of a first network's filters on a second one's and the reverse, added up."""

    def __init__(self, counts: Sequence[int]) -> None:
        super().__init__()
        self.of_first, self.of_second = FilterIndependenceLoss(counts), FilterIndependenceLoss(counts)

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        return self.of_first(first, second) + self.of_second(second, first)


def filters(network: nn.Module) -> list[Tensor]:
    """The weights of all convolutions of a network, output channels first."""
    layers = [module for module in network.modules() if isinstance(module, _ConvNd)]
    return [layer.weight.transpose(0, 1) if isinstance(layer, _ConvTransposeNd) else layer.weight for layer in layers]
