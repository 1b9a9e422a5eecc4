# SPDX-License-Identifier: Apache-2.0
"""Segmentation losses written out voxel by voxel, in float64 and with gradient."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor


def voxels(logits: Tensor) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Row and place of every voxel of the logits (B, C, *S)."""
    for row, *place in product(range(len(logits)), *map(range, logits.shape[2:])):
        yield row, tuple(place)


def probability(logits: Tensor, row: int, number: int, place: tuple[int, ...]) -> Tensor:
    exponents = [torch.exp(logits[(row, each, *place)]) for each in range(logits.shape[1])]
    return exponents[number] / sum(exponents)


def masked_dice_ce(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """(Dice + CE) / 2 of the voxels with mask 1: the pages' formulas, class by class."""
    inside = [(row, place) for row, place in voxels(logits) if mask[(row, 0, *place)] == 1]
    dice = []
    for number in range(logits.shape[1]):
        overlap, squares = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for row, place in inside:
            p = probability(logits, row, number, place)
            y = float(target[(row, 0, *place)] == number)
            overlap, squares = overlap + p * y, squares + p * p + y * y
        dice.append(1 - (2 * overlap + 1e-10) / (squares + 1e-10))
    entropy = torch.zeros((), dtype=torch.float64)
    for row, place in inside:
        entropy = entropy - torch.log(probability(logits, row, int(target[(row, 0, *place)]), place))
    return (sum(dice) / len(dice) + entropy / (len(inside) + 1e-16)) / 2


def most_likely(logits: Tensor, row: int, place: tuple[int, ...]) -> int:
    values = [logits[(row, number, *place)].item() for number in range(logits.shape[1])]
    return values.index(max(values))


def cross_pseudo_supervision(logits1: Tensor, logits2: Tensor) -> Tensor:
    """CE of each with the other's most likely classes, each the mean over voxels."""
    terms = []
    for row, place in voxels(logits1):
        terms.append(-torch.log(probability(logits1, row, most_likely(logits2, row, place), place)))
        terms.append(-torch.log(probability(logits2, row, most_likely(logits1, row, place), place)))
    return sum(terms) / (len(terms) / 2)


def dual_task(signed_distance: Tensor, logits: Tensor, k: float) -> Tensor:
    """Mean of (1 / (1 + exp(k distance)) - p)^2 over voxels and foreground classes."""
    terms = []
    for row, place in voxels(logits):
        for number in range(1, logits.shape[1]):
            mask = 1 / (1 + torch.exp(k * signed_distance[(row, number - 1, *place)]))
            terms.append((mask - probability(logits, row, number, place)) ** 2)
    return sum(terms) / len(terms)
