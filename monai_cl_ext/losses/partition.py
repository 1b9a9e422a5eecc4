# SPDX-License-Identifier: Apache-2.0
"""GCL's global loss: slices at one place of the anatomy attract, slices at other places repel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_number
from monai_cl_ext.losses.forms import pairwise
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.ntxent import NTXentLoss
from monai_cl_ext.losses.rules import Rule, both_known, different, matching, same, same_sample


class PartitionContrastiveLoss(nn.Module):
    """Global contrastive loss over the partitions of volumes (Chaitanya et al. 2020, section 3.2, eqs. 1 and 2).

    Volumes of one kind show the same anatomy at the same place, so each is cut into partitions along an axis. With o,
    v1, v2 for a slice and its two views, and each positive pair against its negatives alone:

    - ``"gr"``: positives are the two views of a slice, negatives all other rows; that is ``NTXentLoss``, and neither
      partition nor volume is asked.
    - ``"gd-"``: positives are (o, v1), (o, v2) and (v1, v2) of a slice; negatives all rows of other partitions.
    - ``"gd"``: positives are also, for slices i and j of one partition in two volumes, (o_i, o_j), (v1_i, v2_j) and
      (v1_j, v2_i).

    The partition strategies take the mean over unordered pairs of l(a, b) + l(b, a), so twice the scale of ``"gr"``, as
    eq. 2 does. A slice of negative partition lies at no known place: for them it is neither positive nor negative. A
    batch of one partition has no negatives; its loss is 0.

    Args:
        strategy: "gr", "gd-" or "gd".
        temperature: divides the cosine similarities; positive.
    """

    def __init__(self, strategy: str, temperature: float = 0.1) -> None:
        super().__init__()
        self.strategy = one_of("strategy", strategy, ("gr", "gd-", "gd"))
        self.temperature = positive_number("temperature", temperature)
        self.ntxent = NTXentLoss(temperature)

    def forward(self, views: Sequence[Tensor], partition: Tensor, volume: Tensor) -> Tensor:
        """The loss of a batch of slices.

        Args:
            views: embeddings (B, D) of original, view 1, view 2; of view 1, view 2 for "gr".
            partition: the slice's partition (B,), the same numbers in all volumes; -1 where it has none.
            volume: the slice's volume (B,), unique over all processes.

        Raises:
            ValueError: for another number of views, or shapes that do not fit; for "gr" also as ``NTXentLoss``.
        """
        self._check(views, partition, volume)
        if self.strategy == "gr":
            return self.ntxent(*views)
        positive, negative = self.rules(partition, volume)
        rows = torch.cat(list(views))
        return 2 * contrast(rows, positive, negative, temperature=self.temperature, form=pairwise)

    def rules(self, partition: Tensor, volume: Tensor) -> tuple[Rule, Rule]:
        """Which pairs attract and which repel, of the rows of all views, view by view.

        Args:
            partition, volume: of each slice (B,), as in ``forward``.

        Returns:
            The rules (positive, negative) of the 3B rows of the partition strategies, the 2B rows of "gr".
        """
        count, device = len(partition), partition.device
        if self.strategy == "gr":
            positive = same_sample(count, 2, device)
            return positive, ~positive
        positive = same_sample(count, 3, device)
        partition, volume = partition.repeat(3), volume.repeat(3)
        if self.strategy == "gd":
            # across volumes an original (version 0) meets originals, a view 1 meets views 2, and a view 2 views 1
            version = torch.arange(3, device=device).repeat_interleave(count)
            partner = (3 - version) % 3
            positive = positive | (same(partition) & different(volume) & matching(partner, version))
        known = both_known(partition)
        return positive & known, different(partition) & known

    def _check(self, views: Sequence[Tensor], partition: Tensor, volume: Tensor) -> None:
        expected = 2 if self.strategy == "gr" else 3
        if len(views) != expected:
            raise ValueError(f"strategy {self.strategy!r} takes {expected} views, found {len(views)}")
        shapes = {tuple(view.shape) for view in views}
        if len(shapes) > 1 or views[0].ndim != 2:
            raise ValueError(f"views must all be (B, D), found {sorted(shapes)}")
        for name, tag in ("partition", partition), ("volume", volume):
            if tag.shape != views[0].shape[:1]:
                raise ValueError(f"{name} must be one number a slice, ({len(views[0])},), found {tuple(tag.shape)}")
