# SPDX-License-Identifier: Apache-2.0
"""GCL's local contrastive loss: corresponding regions of feature maps attract, other regions repel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from numbers import Integral

import torch
from torch import Tensor, nn

from monai_cl_ext.arguments import one_of, positive_integer, positive_number
from monai_cl_ext.losses.checks import check_tag
from monai_cl_ext.losses.forms import groupwise, pairwise
from monai_cl_ext.losses.gcl_regions import place_corners, region_places, released_negatives
from monai_cl_ext.losses.kernel import contrast
from monai_cl_ext.losses.plain_tensors import plain_tensors
from monai_cl_ext.losses.rules import Rule, both_known, different, same, sample_tags
from monai_cl_ext.numerics import joined, without_autocast


class LocalContrastiveLoss(nn.Module):
    """Local contrastive loss over the regions of decoder maps (Chaitanya et al. 2020, section 3.3, eqs. 3 and 4).

    A region is a patch of K pixels a side of a map, flattened to K * ... * K * C values, channels last. For a pair of
    spatially aligned maps, region r of one attracts region r of the other, against the other regions of both maps:

    - ``"lr"``: the pairs are the two views of an image.
    - ``"ld"``: the pairs are also, in both views, the images of one partition in different volumes. An image of
      negative partition has no known place and is paired with its own other view only.

    The loss is the mean over directed terms, both directions of every pair. 9 and 13 regions lie as in the release: on
    a grid of halves of each axis and, for 13, the quarter points. The paper has slices alone; in a volume regions are
    cubes, and the same layouts have 27 and 35 of them. Over several processes "lr" contrasts within each
    process and "ld" across all of them; the mean is over the terms of all.

    Args:
        strategy: "lr" or "ld".
        region_size: K in pixels, the same along every axis.
        regions: 9 or 13 for the release's regions of a 2D map, 27 or 35 for their like in a 3D one; or their lowest
            corners in pixels, (y, x) or (z, y, x) each.
        negatives: "all" other regions of both maps (the paper); for "lr" and 9 or 13 regions also "released", the five
            negatives that the released code lists for each region, in both maps.
        temperature: divides the cosine similarities; positive.
        projection: a module that maps each flattened region to the vector that is contrasted, trained with the
            network; None contrasts the flattened regions themselves.

    Raises:
        ValueError: when an argument is out of range, or the release has no such negatives.
    """

    def __init__(
        self,
        strategy: str = "lr",
        region_size: int = 1,
        regions: int | Sequence[Sequence[int]] = 13,
        negatives: str = "all",
        temperature: float = 0.1,
        projection: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.strategy = one_of("strategy", strategy, ("lr", "ld"))
        self.region_size = positive_integer("region_size", region_size)
        self.negatives = one_of("negatives", negatives, ("all", "released"))
        self.temperature = positive_number("temperature", temperature)
        self.projection = projection
        count = int(regions) if isinstance(regions, Integral) else None
        self.corners = _checked_corners(regions) if count is None else None  # type: ignore[arg-type]
        self.places = [] if count is None else region_places(count)
        self.regions = len(self.corners or self.places)
        self._pixels: dict[tuple[tuple[int, ...], torch.device], Tensor] = {}
        self.listed: Tensor | None
        self.register_buffer("listed", None, persistent=False)
        if negatives == "released":
            self.places, self.listed = self._released()

    @plain_tensors
    def forward(self, f1: Tensor, f2: Tensor, partition: Tensor | None = None, volume: Tensor | None = None) -> Tensor:
        """Mean loss of a batch of images.

        Args:
            f1, f2: maps of the two views, (B, C, *S), spatially aligned.
            partition: for "ld" the image's partition (B,), the same numbers in all volumes; -1 where it has none.
            volume: for "ld" the image's volume (B,), unique over all processes.

        Raises:
            ValueError: when shapes do not fit, the regions do not fit the maps, or "ld" lacks partition or volume.
        """
        self._check(f1, f2)
        with without_autocast(f1.device):  # it joins no maps of another half precision than its own
            maps = torch.cat([f1, f2])
        vectors = self._vectors(maps)
        if self.strategy == "lr":
            return self._within_images(joined(*vectors.chunk(2), dim=1))
        tags = [_required(name, tag, len(f1)) for name, tag in (("partition", partition), ("volume", volume))]
        return self._across_images(vectors, *(tag.repeat(2) for tag in tags))

    def _vectors(self, maps: Tensor) -> Tensor:
        """Vectors (M, places, D) of the maps (M, C, *S); regions first, then places that are negatives only."""
        where = (tuple(maps.shape[2:]), maps.device)
        if where not in self._pixels:  # once per size: a copy at every step would synchronize with the device
            self._pixels[where] = self._pixels_of(*where)
        vectors = maps.flatten(2)[..., self._pixels[where]].permute(0, 2, 3, 1).flatten(2)
        return vectors if self.projection is None else self.projection(vectors)

    def _pixels_of(self, size: tuple[int, ...], device: torch.device) -> Tensor:
        """Row-major indices (places, K * ... * K) of the pixels of each region."""
        corner = torch.tensor(self._corners_on(size))
        offset = torch.cartesian_prod(*[torch.arange(self.region_size)] * len(size))
        stride = torch.tensor([prod(size[axis + 1 :]) for axis in range(len(size))])
        return ((corner[:, None] + offset) * stride).sum(-1).to(device)

    def _within_images(self, z: Tensor) -> Tensor:
        """Each image is contrasted on its own; its rows (B, 2 * places, D) are those of view 1, then of view 2."""
        place = torch.arange(z.shape[1] // 2, device=z.device).repeat(2)
        positive, negative = same(place), different(place)
        if self.listed is not None:
            listed = self.listed.to(z.device, non_blocking=True)
            positive &= both_known(place.where(place < self.regions, -1))
            negative = Rule((place,), lambda anchor, candidate: listed[anchor[0], candidate[0]])
        return contrast(z, positive, negative, temperature=self.temperature, form=pairwise)

    def _across_images(self, z: Tensor, partition: Tensor, volume: Tensor) -> Tensor:
        """All maps (2B, regions, D), view by view, are contrasted; each group of rows is a map."""
        sample = sample_tags(len(z) // 2, z.device).repeat(2)
        across_volumes = same(partition) & both_known(partition) & different(volume)
        related = _by_group(same(sample) | across_volumes, self.regions)
        region = torch.arange(self.regions, dtype=torch.int32, device=z.device).repeat(len(z))
        positive, negative = related & same(region), related & different(region)
        return contrast(z.flatten(0, 1), positive, negative, temperature=self.temperature, form=groupwise(self.regions))

    def _released(self) -> tuple[list[str], Tensor]:
        """Regions and places that are negatives only; whether a place (column) is a negative of a region (row)."""
        if self.strategy == "ld" or self.regions not in (9, 13) or not self.places:
            raise ValueError(
                "negatives 'released' exist for strategy 'lr' with 9 or 13 regions, found strategy"
                f" {self.strategy!r} with {self.regions} {'regions' if self.places else 'corners'}: use negatives='all'"
            )
        lists = released_negatives(self.regions, self.region_size)
        places = list(dict.fromkeys([*self.places, *(name for names in lists for name in names)]))
        no_negatives: list[list[str]] = [[]] * (len(places) - len(lists))
        return places, torch.tensor([[place in names for place in places] for names in lists + no_negatives])

    def _corners_on(self, size: Sequence[int]) -> Sequence[Sequence[int]]:
        if self.corners is None:
            return place_corners(self.places, self.region_size, size)
        for corner in self.corners:
            if any(low + self.region_size > axis for low, axis in zip(corner, size, strict=True)):
                last = tuple(axis - self.region_size for axis in size)
                raise ValueError(
                    f"the region of {self.region_size} pixel(s) at {corner} leaves the map of {tuple(size)}: give"
                    f" corners up to {last}, or contrast the maps of another decoder block"
                )
        return self.corners

    def _check(self, f1: Tensor, f2: Tensor) -> None:
        axes = len((self.corners or self.places)[0])
        if f1.shape != f2.shape or f1.ndim != 2 + axes:
            raise ValueError(
                f"f1 and f2 must both be (B, C, *S) with {axes} spatial axes, as the regions have, found"
                f" {tuple(f1.shape)} and {tuple(f2.shape)}"
                + ("; in 3D give 27 or 35 regions, or their corners" if self.corners is None and f1.ndim == 5 else "")
            )


def _checked_corners(regions: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    corners = [
        tuple(int(number) if isinstance(number, Integral) else number for number in corner) for corner in regions
    ]
    numbers = [number for corner in corners for number in corner]
    if {len(corner) for corner in corners} not in ({2}, {3}) or not all(
        isinstance(number, int) and number >= 0 for number in numbers
    ):
        raise ValueError(
            f"regions must be 9, 13, 27, 35 or corners of 2 or 3 integers of at least 0 each, found {regions!r}"
        )
    if len(set(corners)) < max(2, len(corners)):
        raise ValueError(f"regions must be at least two different corners, found {regions!r}")
    return corners


def _required(name: str, tag: Tensor | None, count: int) -> Tensor:
    if tag is None:
        raise ValueError(f"strategy 'ld' needs the {name} of each image: call loss(f1, f2, partition, volume)")
    return check_tag(name, tag, count)


def _by_group(rule: Rule, size: int) -> Rule:
    """A rule on tags of groups, for rows in groups of ``size``; the candidates' groups are evaluated once each."""
    return Rule(
        tuple(tag.repeat_interleave(size) for tag in rule.tags),
        lambda anchor, candidate: rule.holds(anchor, tuple(tag[..., ::size] for tag in candidate)).repeat_interleave(
            size, -1
        ),
    )
