# SPDX-License-Identifier: Apache-2.0
"""GCL's global contrastive loss: slices of one partition attract, slices of other partitions repel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_number
from monai_cl_ext.losses.checks import check_tag
from monai_cl_ext.losses.forms import Form, joint, pairwise
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import Rule, Rules, both_known, different, matching, same, sample_tags
from monai_cl_ext.numerics import joined


@dataclass(frozen=True)
class Strategy:
    """Views, rules, form and scale of a strategy.

    Attributes:
        views: number of views of each slice.
        rules: of the sample and the tags of all rows.
        tags: which of "partition" and "volume" it reads.
        form: of the loss.
        factor: of the mean over directed pairs.
    """

    views: int
    rules: Callable[..., Rules]
    tags: tuple[str, ...]
    form: Form
    factor: int


class PartitionContrastiveLoss(nn.Module):
    """Global contrastive loss over the partitions of volumes (Chaitanya et al. 2020, section 3.2, eqs. 1 and 2).

    Volumes of one kind show the same anatomy at the same place, so each is cut into partitions along an axis. With o,
    v1, v2 for a slice and its two views, and each positive pair against its negatives alone:

    - ``"gr"``: positives are the two views of a slice, negatives all other rows. This is ``NTXentLoss``; partition and
      volume are not read.
    - ``"gd-"``: positives are (o, v1), (o, v2) and (v1, v2) of a slice; negatives all rows of other partitions.
    - ``"gd"``: positives are also, for slices i and j of one partition in two volumes, (o_i, o_j), (v1_i, v2_j) and
      (v1_j, v2_i).

    The partition strategies take the mean over unordered pairs of l(a, b) + l(b, a), twice the scale of ``"gr"``, as
    eq. 2 does. A slice of negative partition has no known place: for them it is neither positive nor negative. A
    batch of one partition has no negatives; its loss is 0.

    Args:
        strategy: "gr", "gd-" or "gd".
        temperature: divides the cosine similarities; positive.
    """

    def __init__(self, strategy: str, temperature: float = 0.1) -> None:
        super().__init__()
        self.strategy = one_of("strategy", strategy, STRATEGIES)
        self.views: int = STRATEGIES[strategy].views
        self.temperature = positive_number("temperature", temperature)

    @property
    def tags(self) -> tuple[str, ...]:
        """Which of "partition" and "volume" the strategy reads."""
        return STRATEGIES[self.strategy].tags

    @plain_tensors
    def forward(self, views: Sequence[Tensor], partition: Tensor | None = None, volume: Tensor | None = None) -> Tensor:
        """Mean loss of a batch of slices.

        Args:
            views: embeddings (B, D) of original, view 1, view 2; of view 1, view 2 for "gr".
            partition: the slice's partition (B,), the same numbers in all volumes; -1 where it has none. "gr" does not
                read it.
            volume: the slice's volume (B,), unique over all processes; for "gd" alone.

        Raises:
            TypeError: when a tag that the strategy reads is no tensor.
            ValueError: for another number of views, shapes that do not fit or, on the CPU, tags that are no whole
                numbers; on CUDA that is an assertion of the device.
        """
        shapes = {tuple(view.shape) for view in views}
        if len(shapes) != 1 or views[0].ndim != 2:
            raise ValueError(f"views must all be (B, D), found {sorted(shapes)}")
        given = {"partition": partition, "volume": volume}
        tags = {name: check_tag(name, given[name], len(views[0])) for name in self.tags}
        rules = self.rules(tags, sample_tags(len(views[0]), views[0].device), len(views))
        chosen = STRATEGIES[self.strategy]
        return chosen.factor * contrast(joined(*views), *rules, temperature=self.temperature, form=chosen.form)

    def rules(self, tags: Mapping[str, Tensor], samples: Tensor, views: int) -> Rules:
        """Positive and negative pairs among the rows of all views, view by view.

        Args:
            tags: of each slice (B,), those of "partition" and "volume" that the strategy reads.
            samples: a number for each slice (B,), unique over all processes; see ``sample_tags``.
            views: number of views of each slice.

        Raises:
            ValueError: for another number of views than the strategy's.
        """
        if views != self.views:
            raise ValueError(f"strategy {self.strategy!r} takes {self.views} views, found {views}")
        read = (tags[name] for name in self.tags)
        return STRATEGIES[self.strategy].rules(*(tag.repeat(views) for tag in (samples, *read)))


def _views_of_a_slice(sample: Tensor) -> Rules:
    return same(sample), None


def _against_other_partitions(sample: Tensor, partition: Tensor) -> Rules:
    return _known(same(sample), partition)


def _across_volumes(sample: Tensor, partition: Tensor, volume: Tensor) -> Rules:
    # across volumes an original (version 0) meets originals, a view 1 meets views 2, and a view 2 views 1
    version = torch.arange(3, device=sample.device).repeat_interleave(len(sample) // 3)
    partner = (3 - version) % 3
    across = same(partition) & different(volume) & matching(partner, version)
    return _known(same(sample) | across, partition)


def _known(positive: Rule, partition: Tensor) -> Rules:
    known = both_known(partition)
    return positive & known, different(partition) & known


STRATEGIES = {
    "gr": Strategy(2, _views_of_a_slice, (), joint, 1),
    "gd-": Strategy(3, _against_other_partitions, ("partition",), pairwise, 2),
    "gd": Strategy(3, _across_volumes, ("partition", "volume"), pairwise, 2),
}
