# SPDX-License-Identifier: Apache-2.0
"""Positive against negative pairs of a setting, in every space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_cl_ext.advise import measures
from monai_cl_ext.advise.distances import Standard, negative_distances, positive_distances, standard_of
from monai_cl_ext.advise.sample import Sample
from monai_cl_ext.advise.settings import Setting
from monai_cl_ext.advise.spaces import Space
from monai_cl_ext.advise.views import view_batches
from monai_cl_ext.transforms import ViewPolicy, identity_policy

MEASURES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "auc": measures.auc,
    "d_prime": measures.d_prime,
    "histogram_overlap": measures.histogram_overlap,
    "alignment": lambda positive, negative: measures.alignment(positive),
    "uniformity": lambda positive, negative: measures.uniformity(negative),
}


@dataclass(frozen=True)
class Comparison:
    """One setting in one space.

    Attributes:
        measures: by their names in :data:`MEASURES`.
        positive, negative: shares of the distances in each bin, see ``measures.histogram``.
    """

    measures: dict[str, float]
    positive: list[float]
    negative: list[float]


@dataclass(frozen=True)
class Rung:
    """One setting in all spaces.

    Attributes:
        name, strength: of the setting.
        spaces: the comparison in each space, by its name.
    """

    name: str
    strength: float
    spaces: dict[str, Comparison]


class Comparer:
    """Makes two views of every image of a sample and compares their distances.

    Args:
        sample: the images.
        spaces: in which distances are measured.
        size: side of the views, in pixels.
        seed: of the views.
    """

    def __init__(self, sample: Sample, spaces: Sequence[Space], size: int, seed: int) -> None:
        self.sample, self.spaces, self.size, self.seed = sample, list(spaces), size, seed
        originals = self._features(sample.image, identity_policy(), view=0)
        self.standards: dict[str, Standard] = {name: standard_of(rows) for name, rows in originals.items()}

    def __call__(self, setting: Setting) -> Rung:
        """Measures and histograms of a setting."""
        first, second = (self.rows(self.sample.image, setting.policy, view) for view in (1, 2))
        found = {}
        for name in first:
            positive = positive_distances(first[name], second[name])
            negative = negative_distances(first[name], second[name], self.sample.patient)
            found[name] = Comparison(
                {measure: function(positive, negative) for measure, function in MEASURES.items()},
                measures.histogram(positive).tolist(),
                measures.histogram(negative).tolist(),
            )
        return Rung(setting.name, setting.strength, found)

    def rows(self, images: Tensor, policy: ViewPolicy, view: int) -> dict[str, Tensor]:
        """Rows of unit length (N, D) of views of images (N, C, H, W), by space."""
        return {name: self.standards[name](rows) for name, rows in self._features(images, policy, view).items()}

    @torch.inference_mode()
    def _features(self, images: Tensor, policy: ViewPolicy, view: int) -> dict[str, Tensor]:
        batches: dict[str, list[Tensor]] = {space.name: [] for space in self.spaces}
        for views in view_batches(images, policy, self.size, self.seed, view):
            for space in self.spaces:
                batches[space.name].append(space.features(views))
        return {name: torch.cat(found) for name, found in batches.items()}
