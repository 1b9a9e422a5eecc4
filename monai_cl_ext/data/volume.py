# SPDX-License-Identifier: Apache-2.0
"""One volume of a data set: prepared, checked, and kept slices first in compact types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from torch import Tensor

from monai_cl_ext.data.cropping import ClassCounts, cut_away
from monai_cl_ext.data.file_names import case_files, files_of, image_file
from monai_cl_ext.data.intensities import is_sparse
from monai_cl_ext.data.loading import refuse_other_shape
from monai_cl_ext.data.orientation import axis_codes
from monai_cl_ext.errors import MISTAKES, first_cause, raised_here, root_cause

Transform = Callable[[dict[str, Any]], Mapping[str, Any]]


class Volume(NamedTuple):
    """A prepared volume.

    Attributes:
        spacing: in the units of the affine, axes as in the volume.
        axes: the direction in which each runs, see :func:`axis_codes`; "" where no affine tells.
        image: float16 (slices, C, H, W).
        label: uint8 (slices, 1, H, W), or None.
        constant: whether all voxels have one intensity, or nearly all; such a volume may hold nothing else.
        cut: what cropping cuts away of the label.
    """

    spacing: tuple[float, ...]
    axes: str
    image: Tensor
    label: Tensor | None
    constant: bool
    cut: ClassCounts


def read_volume(case: Mapping[str, Any], transform: Transform, slice_axis: int) -> Volume:
    """Prepares one volume.

    Args:
        case: {"image": path or paths of the channels, "label"?: path, "patient"?: id}.
        transform: of the whole volume, ends in channel-first tensors.
        slice_axis: axis of the volume that counts the slices.

    Raises:
        FileNotFoundError, PermissionError: when a file is absent or may not be read.
        ValueError: when the volume cannot be read or prepared; every message names the file.
    """
    file = image_file(case)
    given = {key: value for key, value in case.items() if value is not None}
    failure: BaseException | None = None
    steps = transform if isinstance(transform, Compose) else Compose(transform)
    try:
        loaded = steps(given, end=1)
        if isinstance(transform, Compose) and _is_sparse(loaded.get("image")):  # others may pad as they load
            return Volume((1.0, 1.0, 1.0), "", torch.empty(0), None, constant=True, cut={})
        prepared = steps(loaded, start=1)
    except Exception as error:
        failure = error_with_files(error, case)
    if failure is not None:
        raise failure  # not while MONAI's wrappers are being handled: they would be shown first
    for key in ("image", "label") if case.get("label") else ("image",):
        if not hasattr(prepared.get(key), "ndim"):
            raise ValueError(
                f"{file}: the transform left {key!r} unread, found {prepared.get(key)!r}; "
                "add the key to its LoadCased or LoadImaged, or leave it out of data"
            )
    image = prepared["image"]
    if image.ndim != 4:
        raise ValueError(
            f"{file}: expected (channels, *three axes) after the transform, found shape {tuple(image.shape)}; "
            "give 3D volumes and ensure_channel_first to LoadImaged, or load 2D pictures with LoadCased"
        )
    spacing, axes = (1.0, 1.0, 1.0), ""
    if isinstance(image, MetaTensor):
        spacing, axes = tuple(image.pixdim.tolist()), axis_codes(image.affine.double().cpu().numpy())
    label = _compact_label(prepared["label"], image, case, slice_axis) if case.get("label") else None
    pixels = _compact_image(image, file, slice_axis)
    constant = bool(pixels.amin() == pixels.amax())
    cut = _cut_away(loaded["label"], prepared["label"]) if case.get("label") else {}
    return Volume(spacing, axes, pixels, label, constant, cut)


def _is_sparse(image: Any) -> bool:
    """Whether an image that the first step has loaded cannot be scaled."""
    return isinstance(image, Tensor) and image.is_floating_point() and image.numel() > 0 and is_sparse(image)


def _cut_away(before: Any, after: Any) -> ClassCounts:
    """What cropping cuts away, where both labels tell their place."""
    if isinstance(before, MetaTensor) and isinstance(after, MetaTensor) and before.ndim == after.ndim == 4:
        return cut_away(before, after)
    return {}


def error_with_files(error: BaseException, case: Mapping[str, Any]) -> BaseException:
    """The error of this package that tells which file is wrong and why; one of another's is put beside the files."""
    cause = first_cause(error)
    files = case_files(case)
    if isinstance(cause, MISTAKES) and raised_here(cause) and any(file in str(cause) for file in files):
        return cause
    failure = ValueError(
        f"{_told(case)}: cannot be read or prepared ({root_cause(error)}); "
        "check that the file is whole and fits the transform"
    )
    failure.__cause__ = error
    return failure


def _told(case: Mapping[str, Any]) -> str:
    """The files of a case in words."""
    return " or its label ".join(" and ".join(files_of(case[key])) for key in ("image", "label") if case.get(key))


def _compact_image(image: Tensor, file: str, slice_axis: int) -> Tensor:
    plain = _plain(image)
    half = _slices_first(plain, slice_axis).half()
    if not torch.isfinite(half).all():
        wrong = int((~torch.isfinite(plain)).sum())
        found = f"{wrong} voxel(s) are NaN or infinite" if wrong else f"intensities reach {plain.abs().max():.3g}"
        remedy = "repair or leave out the file" if wrong else "scale the intensities in the transform"
        raise ValueError(f"{file}: {found} after the transform, expected finite numbers below 65504; {remedy}")
    return half


def _compact_label(label: Tensor, image: Tensor, case: Mapping[str, Any], slice_axis: int) -> Tensor:
    for found, expected in ((label.shape, image.shape), (_file_shape(label), _file_shape(image))):
        refuse_other_shape(found, expected, case["label"], case["image"])
    plain = _plain(label)
    classes = plain.to(torch.uint8)
    if not torch.equal(classes.to(plain.dtype), plain):
        raise ValueError(
            f"{case['label']}: expected whole class numbers from 0 to 255, found values from {plain.min():g} to "
            f"{plain.max():g}; renumber the classes, and resample labels with mode nearest"
        )
    return _slices_first(classes, slice_axis)


def _file_shape(volume: Tensor) -> tuple[int, ...]:
    """(channels, *axes) as read from the file, where a MetaTensor still tells: cropping would hide a wrong label."""
    if isinstance(volume, MetaTensor) and "spatial_shape" in volume.meta:
        return (1, *(int(length) for length in volume.meta["spatial_shape"]))
    return (1,)


def _plain(volume: Any) -> Tensor:
    return volume.as_tensor() if isinstance(volume, MetaTensor) else torch.as_tensor(volume)


def _slices_first(volume: Tensor, slice_axis: int) -> Tensor:
    return volume.movedim(slice_axis + 1, 0)
