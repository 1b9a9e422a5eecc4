# SPDX-License-Identifier: Apache-2.0
"""GCL's local losses written out region by region, in float64, with the released tables as coordinates."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import torch
from contrast_oracles import cosine
from torch import Tensor

# Released code, read off region by region; (row, column), e the far corner, h, q, t = int(e / 2, e / 4, 3 e / 4).
REGIONS = "(0,0)(0,h)(0,e)(h,0)(h,h)(h,e)(e,0)(e,h)(e,e)(q,q)(q,t)(t,q)(t,t)"
NEGATIVES_OF_9 = [
    [1, 3, 4, 2, 6], [0, 2, 3, 4, 5], [0, 1, 4, 5, 8], [0, 1, 4, 6, 7], [0, 1, 3, 5, 7], [1, 2, 4, 7, 8],
    [0, 3, 4, 7, 8], [3, 4, 5, 6, 8], [2, 4, 5, 6, 7],
]  # fmt: skip
NEGATIVES_OF_13 = {
    1: """0:(0,h)(h,0)(h,h)(q,q)(q,t) 1:(0,0)(0,e)(h,h)(q,q)(q,t) 2:(0,h)(h,h)(h,e)(t,q)(q,t)
    3:(0,0)(h,h)(e,0)(q,q)(t,q) 4:(q,q)(q,t)(t,q)(t,t)(h,0) 5:(0,e)(h,h)(e,e)(q,t)(t,t) 6:(h,0)(h,h)(e,h)(t,q)(q,q)
    7:(h,h)(e,0)(e,e)(t,q)(t,t) 8:(h,h)(h,e)(e,h)(t,t)(t,q) 9:(0,0)(0,h)(h,0)(h,h)(q,t) 10:(0,h)(0,e)(h,h)(h,e)(t,t)
    11:(h,0)(h,h)(e,0)(0,h)(q,q) 12:(h,h)(h,e)(e,h)(e,e)(q,t)""",
    3: """0:(0,h)(q,q)(q,h)(h,0)(h,q) 1:(0,0)(0,e)(q,q)(q,t)(h,h) 2:(0,h)(q,h)(q,t)(h,t)(h,e)
    3:(0,0)(q,q)(h,h)(e,0)(t,q) 4:(q,q)(q,t)(t,q)(t,t)(h,0) 5:(0,e)(h,h)(e,e)(q,t)(t,t) 6:(h,0)(h,q)(e,h)(t,q)(t,h)
    7:(h,h)(e,0)(e,e)(t,q)(t,t) 8:(h,t)(h,e)(e,h)(t,t)(t,h) 9:(0,0)(0,h)(h,0)(h,h)(q,t) 10:(0,h)(0,e)(q,q)(h,h)(h,e)
    11:(h,0)(h,h)(e,0)(e,h)(t,t) 12:(h,h)(h,e)(e,h)(e,e)(t,q)""",
}

Corner = tuple[int, ...]


def coordinates(text: str, k: int, size: Sequence[int]) -> list[Corner]:
    """The corners "(row,column)(row,column)..." on a map of ``size``."""
    axes = []
    for length in size:
        e = {1: length - 1, 3: length - 4}.get(k, length - k)
        axes.append({"0": 0, "q": int(e / 4), "h": int(e / 2), "t": int(3 * e / 4), "e": e})
    return [(axes[0][row], axes[1][column]) for row, column in re.findall(r"\((\w),(\w)\)", text)]


def released_regions(count: int, k: int, size: Sequence[int]) -> list[Corner]:
    return coordinates(REGIONS, k, size)[:count]


def released_negatives(count: int, k: int, size: Sequence[int]) -> list[list[Corner]]:
    if count == 9:
        corners = released_regions(9, k, size)
        return [[corners[index] for index in listed] for listed in NEGATIVES_OF_9]
    lists = re.split(r"\d+:", NEGATIVES_OF_13[k])[1:]
    return [coordinates(text, k, size) for text in lists]


def region(map_: Tensor, corner: Corner, k: int) -> Tensor:
    """The values of a region of the map (C, *S), pixel by pixel."""
    pixels = itertools.product(*[range(low, low + k) for low in corner])
    return torch.cat([map_[(slice(None), *pixel)] for pixel in pixels])


def directed(a: Tensor, b: Tensor, corner: Corner, others: list[Corner], k: int, temperature: float) -> Tensor:
    """l(a, b) at a corner: b's region there against the ``others`` of both maps."""
    anchor = region(a, corner, k)
    attracted = torch.exp(cosine(anchor, region(b, corner, k)) / temperature)
    repelled = sum(torch.exp(cosine(anchor, region(m, other, k)) / temperature) for m in (a, b) for other in others)
    return -torch.log(attracted / (attracted + repelled))


def local_oracle(
    pairs: list[tuple[Tensor, Tensor]],
    corners: list[Corner],
    k: int,
    temperature: float = 0.1,
    negatives: list[list[Corner]] | None = None,
) -> Tensor:
    """Mean over pairs of maps, regions and both directions."""
    lists = negatives or [[other for other in corners if other != corner] for corner in corners]
    terms = []
    for first, second in pairs:
        for corner, others in zip(corners, lists, strict=True):
            terms.append(directed(first, second, corner, others, k, temperature))
            terms.append(directed(second, first, corner, others, k, temperature))
    return sum(terms) / len(terms)


def related_pairs(
    f1: Tensor, f2: Tensor, partition: Sequence[int], volume: Sequence[int]
) -> list[tuple[Tensor, Tensor]]:
    """The pairs of maps of L^D: views of an image, and any views of images of one partition in two volumes."""
    images = range(len(f1))
    pairs = [(f1[i], f2[i]) for i in images]
    for i, j in itertools.combinations(images, 2):
        if partition[i] == partition[j] >= 0 and volume[i] != volume[j]:
            pairs += [(first[i], second[j]) for first in (f1, f2) for second in (f1, f2)]
    return pairs
