# SPDX-License-Identifier: Apache-2.0
"""The deterministic preparation of a volume, made of stock MONAI transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.transforms import Compose, ResizeWithPadOrCropd

from monai_cl_ext.arguments import one_of, per_axis, positive_integer, positive_number
from monai_cl_ext.data.loading import LoadCased
from monai_cl_ext.data.scaling import intensity_scaling
from monai_cl_ext.data.spacing import AxisSpacingd


def volume_transform(
    keys: Sequence[str] = ("image", "label"),
    image_size: int | Sequence[int] | None = None,
    pixdim: float | Sequence[float] | None = None,
    slice_axis: int | None = 2,
    label_values: Sequence[float] | None = None,
    color: bool = False,
    num_classes: int | None = None,
    window: Sequence[float] | None = None,
    nonzero: bool = False,
) -> Compose:
    """Loads a volume, scales its intensities, resamples and crops or pads its slices; the slice axis stays as it is.

    Intensities are scaled a channel at a time, see :func:`intensity_scaling`; this happens before padding with 0, so
    padding does not move their percentiles or mean.

    Args:
        keys: the image first; the others are label maps. Keys that a case lacks are passed over.
        image_size: in-plane size in pixels, two numbers or one for both axes, reached by central crop or zero padding;
            None leaves the size.
        pixdim: in-plane spacing in mm, likewise, image bilinear, label nearest; None leaves the spacing.
        slice_axis: axis of the volume that counts the slices; None, for 3D patches, gives size and spacing to all three
            axes.
        label_values, color, num_classes: as in :class:`LoadCased`.
        window, nonzero: as in :func:`intensity_scaling`.

    Raises:
        ValueError: when ``image_size`` or ``pixdim`` is neither one number nor one for each axis, the slice axis is not
            0, 1 or 2, or the window is none.
    """
    axis, dims = (0, 3) if slice_axis is None else (one_of("slice_axis", slice_axis, (0, 1, 2)), 2)
    image, *labels = keys
    transforms = [
        LoadCased(keys, label_values, color, allow_missing_keys=True, num_classes=num_classes),
        intensity_scaling(image, window, nonzero, color),
    ]
    if pixdim is not None:
        modes = ["bilinear"] + ["nearest"] * len(labels)
        spacing = beside_slices("pixdim", pixdim, axis, dims)
        transforms.append(AxisSpacingd(keys, spacing, mode=modes, allow_missing_keys=True))
    if image_size is not None:
        size = beside_slices("image_size", image_size, axis, dims)
        transforms.append(ResizeWithPadOrCropd(keys, spatial_size=size, allow_missing_keys=True))
    return Compose(transforms)


def beside_slices(name: str, value: float | Sequence[float], slice_axis: int, spatial_dims: int = 2) -> list[float]:
    """A size in voxels or a spacing for each axis of a volume, as MONAI takes it.

    Of slices it is given in their plane, and -1, leave alone, stands at the slice axis; of 3D patches for all axes.

    Args:
        name: "image_size" or "pixdim".
        value: as many numbers as ``spatial_dims``, or one for all.
        slice_axis: axis of the volume that counts the slices.
        spatial_dims: 2 for slices, 3 for patches.

    Raises:
        ValueError: when ``value`` has another number of numbers, or one that is not above 0; a size must be whole.
    """
    if isinstance(value, Sequence) and not len(value):
        raise ValueError(f"{name} must be one number, or one for each axis, found {value!r}")
    check: Callable[[str, Any], float] = positive_integer if name == "image_size" else positive_number
    numbers = per_axis(name, value, one_of("spatial_dims", spatial_dims, (2, 3)), check)
    return list(numbers) if spatial_dims == 3 else [*numbers[:slice_axis], -1, *numbers[slice_axis:]]
