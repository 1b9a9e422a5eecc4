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


def masked_consistency(student: Tensor, teacher: Tensor, uncertainty: Tensor, threshold: float) -> Tensor:
    """Sum of squared differences where the uncertainty is below the threshold, over twice the number of voxels."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for row, place in voxels(student):
        if uncertainty[(row, 0, *place)].item() < threshold:
            count += 1
            for number in range(student.shape[1]):
                total = total + (student[(row, number, *place)] - teacher[(row, number, *place)].item()) ** 2
    return total / (2 * count + 1e-16)


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


def pyramid_consistency(logits: list[Tensor]) -> Tensor:
    """Rectified squared difference to the mean probability plus mean divergence, averaged over scales."""
    places, classes, scales = list(voxels(logits[0])), logits[0].shape[1], len(logits)
    terms = []
    for scale in range(scales):
        squares, certainties, divergences = [], [], []
        for row, place in places:
            own = [probability(logits[scale], row, number, place) for number in range(classes)]
            mean = [sum(probability(each, row, number, place) for each in logits) / scales for number in range(classes)]
            divergence = sum(q * torch.log(q / p) for q, p in zip(mean, own, strict=True))
            certainty = torch.exp(-divergence)
            squares.append(sum((q - p) ** 2 for q, p in zip(mean, own, strict=True)) / classes * certainty)
            certainties.append(certainty)
            divergences.append(divergence)
        count = len(places)
        rectified = (sum(squares) / count) / (sum(certainties) / count + 1e-8)
        terms.append(rectified + sum(divergences) / count)
    return sum(terms) / scales


def sharpened(p: Tensor, temperature: float) -> Tensor:
    exponent = 1 / temperature
    return p**exponent / (p**exponent + (1 - p) ** exponent)


def mutual_consistency(logits: list[Tensor], temperature: float) -> Tensor:
    """Mean squared error of each prediction and each other one, sharpened."""
    total = torch.zeros((), dtype=torch.float64)
    for i, own in enumerate(logits):
        for j, other in enumerate(logits):
            for row, place in voxels(own) if i != j else ():
                for number in range(own.shape[1]):
                    target = sharpened(probability(other, row, number, place), temperature)
                    total = total + (probability(own, row, number, place) - target) ** 2
    return total / logits[0].numel()


def dual_task(signed_distance: Tensor, logits: Tensor, k: float) -> Tensor:
    """Mean of (1 / (1 + exp(k distance)) - p)^2 over voxels and foreground classes."""
    terms = []
    for row, place in voxels(logits):
        for number in range(1, logits.shape[1]):
            mask = 1 / (1 + torch.exp(k * signed_distance[(row, number - 1, *place)]))
            terms.append((mask - probability(logits, row, number, place)) ** 2)
    return sum(terms) / len(terms)
