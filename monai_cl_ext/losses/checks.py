# SPDX-License-Identifier: Apache-2.0
"""Shape checks of embeddings, tags and superpixels."""

from __future__ import annotations

from torch import Tensor


def check_embeddings(**rows: Tensor) -> None:
    """Raises a ValueError unless all of them, by the names of the arguments, are (B, D) of one shape."""
    shapes = [tuple(each.shape) for each in rows.values()]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2:
        found = ", ".join(f"{name} {shape}" for name, shape in zip(rows, shapes, strict=True))
        raise ValueError(f"{', '.join(rows)} must all be (B, D) of one shape, found {found}")


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
