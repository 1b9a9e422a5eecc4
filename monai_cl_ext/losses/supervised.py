# SPDX-License-Identifier: Apache-2.0
"""Supervised contrastive loss: rows of one label attract, all other rows repel."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from monai_cl_ext.arguments import positive_number
from monai_cl_ext.losses.base_temperature import temperature_factor
from monai_cl_ext.losses.checks import refuse_fractions
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import Rules, same, sample_tags


class SupervisedContrastiveLoss(nn.Module):
    """Supervised contrastive loss, positives averaged outside the logarithm (Khosla et al. 2020, eq. 2).

    Args:
        temperature: divides the cosine similarities; positive.
        base_temperature: multiplies the loss by temperature / base_temperature, as the released code does with 0.07;
            None leaves it out, as the paper does.
    """

    def __init__(self, temperature: float = 0.1, base_temperature: float | None = None) -> None:
        super().__init__()
        self.temperature = positive_number("temperature", temperature)
        self.factor = temperature_factor(self.temperature, base_temperature)

    @plain_tensors
    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Mean loss over the anchors that share their label with another row.

        Args:
            z: embeddings (N, D), of any scale; several views of a sample are rows with one label.
            labels: whole numbers (N,), compared for equality.

        Raises:
            TypeError: when labels are no tensor.
            ValueError: when there is not one label for each row or, on the CPU, when one is no whole number; on CUDA
                that is an assertion of the device.
        """
        if not isinstance(labels, Tensor):
            raise TypeError(f"labels must be a tensor (N,), found {type(labels).__name__}: give torch.as_tensor of it")
        if z.ndim != 2 or labels.shape != z.shape[:1]:
            raise ValueError(f"z must be (N, D) and labels (N,), found {tuple(z.shape)} and {tuple(labels.shape)}")
        refuse_fractions("labels", labels)
        rules = self.rules({"label": labels}, sample_tags(len(z), z.device), views=1)
        return self.factor * contrast(z, *rules, temperature=self.temperature)

    def rules(self, tags: Mapping[str, Tensor], samples: Tensor, views: int) -> Rules:
        """Positive and negative pairs among the rows of all views, view by view.

        Args:
            tags: "label" of each sample (B,).
            samples: a number for each sample (B,); not read.
            views: number of views of each sample.
        """
        return same(tags["label"].repeat(views)), None
