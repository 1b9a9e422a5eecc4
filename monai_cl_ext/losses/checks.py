# SPDX-License-Identifier: Apache-2.0
"""Shape checks of embeddings, tags and superpixels."""

from __future__ import annotations

from torch import Tensor


def check_embeddings(z1: Tensor, z2: Tensor) -> None:
    """Raises a ValueError unless z1 and z2 are both (B, D)."""
    if z1.shape != z2.shape or z1.ndim != 2:
        raise ValueError(f"z1 and z2 must both be (B, D), found {tuple(z1.shape)} and {tuple(z2.shape)}")


def check_tag(name: str, tag: Tensor | None, count: int) -> Tensor:
    """The tag; a ValueError unless it is (count,), a TypeError unless it is a tensor of integers."""
    if not isinstance(tag, Tensor):
        raise TypeError(f"{name} must be a tensor ({count},), one number per image, found {type(tag).__name__}")
    if tag.shape != (count,):
        raise ValueError(f"{name} must be one number per image, ({count},), found {tuple(tag.shape)}")
    refuse_fractions(name, tag)
    return tag


def refuse_fractions(name: str, tag: Tensor) -> None:
    """A TypeError where a tag that is compared for equality is in floating point."""
    if tag.is_floating_point():
        raise TypeError(
            f"{name} must be integers, since they are compared for equality, found {tag.dtype}: give .long() of it"
        )


def check_superpixels(features: Tensor, superpixels: Tensor) -> None:
    """Raises a ValueError unless features are (B, C, *S) and superpixels (B, *S)."""
    if features.ndim < 3 or superpixels.shape != features.shape[:1] + features.shape[2:]:
        raise ValueError(
            "features must be (B, C, *S) and superpixels (B, *S), one label for each of their pixels, found"
            f" {tuple(features.shape)} and {tuple(superpixels.shape)}: resize superpixels to the size of the features"
            " by nearest-neighbor interpolation and drop their channel axis"
        )
