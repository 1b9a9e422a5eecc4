# SPDX-License-Identifier: Apache-2.0
"""What a page shows of the views: some of them, and the features of many views of a few images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_cl_ext.advise.comparison import Comparer
from monai_cl_ext.advise.settings import Setting
from monai_cl_ext.advise.views import view_batches

PICTURED, MAPPED, REPEATED = 3, 12, 20
PICTURE_VIEWS, MAP_VIEW = (1, 2), 3


@dataclass(frozen=True)
class Showcase:
    """Views at each strength of a ladder.

    Attributes:
        views: float32 (strengths, images, 2, C, H, W), the same draws at each strength.
        names: of these images.
        space: in which the rows lie.
        rows: (strengths, images * 20, D), unit rows of 20 views of each of some images.
        image: number of the image of each row, (images * 20,).
    """

    views: Tensor
    names: list[str]
    space: str
    rows: Tensor
    image: Tensor


def show(compare: Comparer, settings: Sequence[Setting], space: str) -> Showcase:
    """The showcase of a ladder; its images are the first of the sample, of as many patients as there are.

    Args:
        compare: of the sample.
        settings: the ladder.
        space: of the rows.
    """
    sample = compare.sample
    few, more = sample.image[:PICTURED], sample.image[:MAPPED]
    views = [
        torch.stack([_views(compare, few, setting, view) for view in PICTURE_VIEWS], dim=1) for setting in settings
    ]
    many = more.repeat_interleave(REPEATED, dim=0)
    rows = [compare.rows(many, setting.policy, MAP_VIEW)[space] for setting in settings]
    image = torch.arange(len(more)).repeat_interleave(REPEATED)
    return Showcase(torch.stack(views), list(sample.names[:PICTURED]), space, torch.stack(rows), image)


def _views(compare: Comparer, images: Tensor, setting: Setting, view: int) -> Tensor:
    return torch.cat(list(view_batches(images, setting.policy, compare.size, compare.seed, view)))
