# SPDX-License-Identifier: Apache-2.0
"""Shape checks of embeddings, tags and superpixels."""

from __future__ import annotations

from torch import Tensor

from monai_cl_ext.device_checks import check_values


def check_embeddings(**rows: Tensor) -> None:
    """Raises a ValueError unless all of them, by the names of the arguments, are (B, D) of one shape."""
    shapes = [tuple(each.shape) for each in rows.values()]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2:
        found = ", ".join(f"{name} {shape}" for name, shape in zip(rows, shapes, strict=True))
        raise ValueError(f"{', '.join(rows)} must all be (B, D) of one shape, found {found}")


def check_tag(name: str, tag: Tensor | None, count: int) -> Tensor:
    """The tag; a ValueError unless it is (count,), a TypeError unless it is a tensor.

    On the CPU also a ValueError unless it holds whole numbers; on CUDA that is an assertion of the device.
    """
    if not isinstance(tag, Tensor):
        raise TypeError(f"{name} must be a tensor ({count},), one number per image, found {type(tag).__name__}")
    if tag.shape != (count,):
        raise ValueError(f"{name} must be one number per image, ({count},), found {tuple(tag.shape)}")
    refuse_fractions(name, tag)
    return tag


def refuse_fractions(name: str, tag: Tensor) -> None:
    """Checks that a tag that is compared for equality holds whole numbers, as :func:`check_values` does."""
    if tag.is_floating_point():
        fractions = tag != tag.trunc()
        check_values(
            ~fractions.any(),
            f"{name} must be whole numbers, since they are compared for equality",
            lambda: f"{tag[fractions][0].item():g}",
            "positions belong to PositionContrastiveLoss, and a row without a partner takes a number of its own",
        )


def check_superpixels(features: Tensor, superpixels: Tensor) -> None:
    """Raises a ValueError unless features are (B, C, *S) and superpixels (B, *S)."""
    if features.ndim < 3 or superpixels.shape != features.shape[:1] + features.shape[2:]:
        raise ValueError(
            "features must be (B, C, *S) and superpixels (B, *S), one label for each of their pixels, found"
            f" {tuple(features.shape)} and {tuple(superpixels.shape)}: resize superpixels to the size of the features"
            " by nearest-neighbor interpolation and drop their channel axis"
        )
