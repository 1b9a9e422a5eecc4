# SPDX-License-Identifier: Apache-2.0
"""Distances of positive pairs (two views of one image) and negative pairs (views of images of two patients)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

SMALLEST_SCALE = 1e-3
"""Of the largest: what hardly varies over the images is not blown up."""


@dataclass(frozen=True)
class Standard:
    """Brings features to unit length about the mean of the images as they are.

    Attributes:
        mean: of each feature, (G, K).
        scale: standard deviation of each group of features, (G, 1).
    """

    mean: Tensor
    scale: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Rows of unit length, (N, G * K), of features (N, G, K)."""
        return normalize(((features - self.mean) / self.scale).flatten(1), dim=1)


def standard_of(features: Tensor) -> Standard:
    """The mean and scale of features (N, G, K) of images as they are; the K features of a group share a scale.

    Raises:
        ValueError: when all rows are equal.
    """
    mean = features.mean(dim=0)
    scale = (features - mean).square().mean(dim=(0, 2)).sqrt()[:, None]
    if not scale.max() > 0:
        raise ValueError("all images of the sample look the same; give images that differ")
    return Standard(mean, scale.clamp_min(SMALLEST_SCALE * float(scale.max())))


def positive_distances(first: Tensor, second: Tensor) -> Tensor:
    """|z_i - z'_i| of the two views of each image, (N,).

    Args:
        first, second: rows of the first and the second views, (N, D).
    """
    return (first - second).norm(dim=1)


def negative_distances(first: Tensor, second: Tensor, patient: Tensor) -> Tensor:
    """|z_i - z'_j| of all ordered pairs of images i, j of two patients, (pairs,).

    Args:
        first, second: rows of the first and the second views, (N, D).
        patient: of each image, (N,).
    """
    distances = torch.cdist(first.double(), second.double())  # by a product of matrices, which float32 makes coarse
    return distances[patient[:, None] != patient[None, :]]
