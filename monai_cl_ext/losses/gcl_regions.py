# SPDX-License-Identifier: Apache-2.0
"""Regions of the local loss in GCL's released code, and the negatives of each (Chaitanya et al. 2020).

The release has maps of slices. In a volume the same layout has 3 x 3 x 3 regions in place of 3 x 3, and 2 x 2 x 2
quarter points in place of 2 x 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from monai_cl_ext.arguments import one_of

# A place is a letter for each axis: 0 is its low end, e the far end, and q, h and t are a quarter, half and three
# quarters of the way. In a plane the order is the release's.
_PLACES = {
    axes: ["".join(letters) for ends in ("0he", "qt") for letters in product(ends, repeat=axes)] for axes in (2, 3)
}
_AXES = {9: 2, 13: 2, 27: 3, 35: 3}

# The negatives of each region, in the order of the regions; those for K = 3 name places beyond the 13 as well.
_NEGATIVES_OF_9 = """
    0h h0 hh 0e e0 | 00 0e h0 hh he | 00 0h hh he ee | 00 0h hh e0 eh | 00 0h h0 he eh | 0h 0e hh eh ee
    00 h0 hh eh ee | h0 hh he e0 ee | 0e hh he e0 eh"""
_NEGATIVES_OF_13 = {
    1: """
    0h h0 hh qq qt | 00 0e hh qq qt | 0h hh he tq qt | 00 hh e0 qq tq | qq qt tq tt h0 | 0e hh ee qt tt
    h0 hh eh tq qq | hh e0 ee tq tt | hh he eh tt tq | 00 0h h0 hh qt | 0h 0e hh he tt | h0 hh e0 0h qq
    hh he eh ee qt""",
    3: """
    0h qq qh h0 hq | 00 0e qq qt hh | 0h qh qt ht he | 00 qq hh e0 tq | qq qt tq tt h0 | 0e hh ee qt tt
    h0 hq eh tq th | hh e0 ee tq tt | ht he eh tt th | 00 0h h0 hh qt | 0h 0e qq hh he | h0 hh e0 eh tt
    hh he eh ee tq""",
}


def region_places(regions: int) -> list[str]:
    """Names of the 9 or 13 regions of the release, in its order, or of the 27 or 35 of a volume.

    Raises:
        ValueError: when ``regions`` is another number.
    """
    return _PLACES[_AXES[one_of("regions", regions, _AXES)]][:regions]


def released_negatives(regions: int, region_size: int) -> list[list[str]]:
    """Names of the negatives of each region in the release; some are places beyond the regions.

    Raises:
        ValueError: when the release has no such table: 9 regions have one for any size, 13 for 1 and 3 pixels.
    """
    if regions == 13 and region_size not in _NEGATIVES_OF_13:
        raise ValueError(
            f"negatives 'released' exist for 13 regions of region_size 1 and 3, found {region_size}:"
            " use negatives='all', or 9 regions"
        )
    table = _NEGATIVES_OF_9 if regions == 9 else _NEGATIVES_OF_13[region_size]
    names = table.replace("|", " ").split()
    return [names[first : first + 5] for first in range(0, len(names), 5)]


def place_corners(places: Sequence[str], region_size: int, size: Sequence[int]) -> list[tuple[int, ...]]:
    """Lowest corners of ``places`` on a map of spatial size ``size``, in pixels; the far end is size - 4 for K = 3.

    Raises:
        ValueError: when the map is so small that two places coincide.
    """
    ends = [axis - (4 if region_size == 3 else region_size) for axis in size]
    marks = [{"0": 0, "q": end // 4, "h": end // 2, "t": 3 * end // 4, "e": end} for end in ends]
    corners = [tuple(mark[letter] for mark, letter in zip(marks, place, strict=True)) for place in places]
    if min(ends) < 0 or len(set(corners)) < len(corners):
        raise ValueError(
            f"a map of {tuple(size)} is too small for {len(places)} places of {region_size} pixel(s): their corners lie"
            f" between 0 and {tuple(ends)} and must differ; take a later decoder block, larger images, a smaller"
            " region_size, or give the corners themselves as regions"
        )
    return corners
