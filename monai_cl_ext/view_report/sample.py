# SPDX-License-Identifier: Apache-2.0
"""A sample of a folder's images, spread over its patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data import PictureDataset, SliceDataset, volume_transform
from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.seeds import mix_seed

FEWEST, MOST_VOLUMES = 10, 100  # distances of fewer images would be chance; more volumes would tell no more


@dataclass(frozen=True)
class Sample:
    """Images (N, C, side, side) float16, patient (N,) and name of each, what they are, whether slices of volumes."""

    image: Tensor
    patient: Tensor
    names: Sequence[str]
    told: str
    volumetric: bool = False


def read_sample(cases: Sequence[dict[str, Any]], images: int, side: int, slice_axis: int = 2, seed: int = 0) -> Sample:
    """Reads at most ``images`` pictures or slices: one of each patient, drawn at random, before a second of any.

    Pictures keep their colors, or have one channel where all are gray, and lie in [0, 1]. Slices have the intensities
    of ``data.volume_transform`` and are spread evenly over each of at most 100 volumes. The middle square of each image
    is resized to ``side`` pixels without aliasing; pixels are taken as square.

    Raises:
        ValueError: when a file cannot be read, an argument is wrong, or there are too few images.
    """
    positive_integer("images", images), positive_integer("side", side), one_of("slice_axis", slice_axis, (0, 1, 2))
    volumetric = all(image_file(case).lower().endswith((".nii", ".nii.gz")) for case in cases)
    owners = [str(case["patient"]) for case in cases]
    most = min(images, MOST_VOLUMES) if volumetric else images
    chosen = [{key: cases[place][key] for key in ("image", "patient")} for place in spread_over(owners, most, seed)]
    if volumetric:
        load, count = volume_transform(("image",), slice_axis=slice_axis), -(-images // len(chosen))
        squares = lambda case: middle_squares(load(case), count, side, slice_axis)  # noqa: E731
        slices = SliceDataset(chosen, squares, slice_axis, partitions=1)
        shown = [slices.patients[volume] for volume in slices.volume.tolist()]
        order = spread_over(shown, images, seed)
        image = torch.stack([slices[place]["image"].half() for place in order])
        names = shown = [shown[place] for place in order]
    else:
        pictures = PictureDataset(chosen, side)
        image = torch.stack([pictures[place]["image"].half() for place in range(len(pictures))])
        image = image[:, :1] if (image == image[:, :1]).all() else image
        shown, names = [str(case["patient"]) for case in chosen], [Path(case["image"]).stem for case in chosen]
    patients = len(set(shown))
    if len(image) < FEWEST or patients < 2:
        raise ValueError(
            f"found {len(image)} image(s) of {patients} patient(s); give {FEWEST} or more, of at least two patients"
        )
    kind = f"slices along axis {slice_axis}" if volumetric else "pictures"
    told = f"Found {len(cases)} files of {len(set(owners))} patients; used: {len(image)} {kind} of {patients} patients."
    return Sample(image, torch.from_numpy(np.unique(shown, return_inverse=True)[1]), names, told, volumetric)


def spread_over(owners: Sequence[str], wanted: int, seed: int) -> list[int]:
    """At most ``wanted`` places in ``owners``: one of each owner, drawn at random, before a second of any."""
    places: dict[str, list[int]] = {}
    for place in np.random.default_rng(mix_seed(seed)).permutation(len(owners)).tolist():
        places.setdefault(owners[place], []).append(place)
    return [place for turn in zip_longest(*places.values()) for place in turn if place is not None][:wanted]


def middle_squares(case: dict[str, Any], count: int, side: int, slice_axis: int) -> dict[str, Any]:
    """Keeps of a volume (C, *three axes) at most ``count`` slices with contrast, evenly spread, as middle squares."""
    slices = case["image"].as_tensor().movedim(slice_axis + 1, 0)
    contrasted = slices.flatten(1).amax(1) > slices.flatten(1).amin(1)
    slices = slices[contrasted] if contrasted.any() else slices  # the dataset drops a constant volume by its name
    count = min(count, len(slices))
    slices = slices[[(2 * part + 1) * len(slices) // (2 * count) for part in range(count)]]
    shorter = min(slices.shape[2:])
    top, left = ((length - shorter) // 2 for length in slices.shape[2:])
    squares = slices[..., top : top + shorter, left : left + shorter]
    resized = interpolate(squares, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    return {**case, "image": resized.movedim(0, slice_axis + 1)}
