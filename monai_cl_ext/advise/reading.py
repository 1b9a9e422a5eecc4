# SPDX-License-Identifier: Apache-2.0
"""Reads a sample of a folder of photographs or volumes, and says which of them it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, ScaleIntensityRangePercentilesd

from monai_cl_ext.advise.sample import Sample, numbered, spread_over
from monai_cl_ext.advise.slices import SpreadSlicesd
from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data import LoadCased, PictureDataset, SliceDataset, find_cases, find_pictures
from monai_cl_ext.data.folders import PATIENT_PATTERN, PICTURES, VOLUMES, case_name, files_in
from monai_cl_ext.data.pictures import TABLE
from monai_cl_ext.seeds import mix_seed

MOST_VOLUMES = 100
"""Volumes that are read at most: slices of more patients would not tell more in the time that they take."""

SOURCE = 2
"""Side of the images over that of their views, so that a crop of a quarter of an image is still sharp."""

Case = dict[str, Any]


def read_sample(
    data_dir: str | Path,
    images: int = 500,
    size: int = 96,
    seed: int = 0,
    *,
    slice_axis: int = 2,
    table: str | Path | None = None,
    series: str | None = None,
    patient_pattern: str | None = None,
    progress: bool = True,
) -> Sample:
    """A sample of a folder, spread over its patients.

    Photographs keep their colours, or have one channel where all of them are grey, and lie in [0, 1]. Slices have the
    intensities of ``data.volume_transform``; they are spread evenly over each volume, and of many volumes at most 100
    are read. Of all, the shorter side is resized to ``2 * size`` without aliasing and the middle square is cut out;
    pixels are taken as square.

    Args:
        data_dir: a folder with a table ``labels.csv`` or of class folders (``find_pictures``), of pictures, of NIfTI
            volumes or with a ``dataset.json`` (``find_cases``).
        images: how many at most.
        size: side of the views that will be made, in pixels.
        seed: of the draw.
        slice_axis: axis of a volume that counts the slices.
        table: the table of the photographs, when it is another file.
        series: pattern below ``data_dir`` of folders that hold one volume each, such as DICOM series.
        patient_pattern: see ``find_cases``; a table has a column of patients instead, and in class folders every
            picture counts as a patient.
        progress: shows bars.

    Raises:
        FileNotFoundError: when the folder is absent or holds none of these.
        ValueError: when a file cannot be read, an argument does not fit what the folder holds, or the sample is too
            small, see :class:`Sample`.
    """
    positive_integer("images", images), positive_integer("size", size), one_of("slice_axis", slice_axis, (0, 1, 2))
    folder = Path(data_dir)
    kind, cases = find_images(folder, table, series, patient_pattern)
    patients = [str(case["patient"]) for case in cases]
    found = f"{kind} ({len(cases)} of {len(set(patients))} patients)"
    if kind != "volumes":
        chosen = [cases[place] for place in spread_over(patients, images, mix_seed(seed))]
        return _pictures(chosen, SOURCE * size, f"{folder}: {found}", progress)
    chosen = [cases[place] for place in spread_over(patients, min(images, MOST_VOLUMES), mix_seed(seed))]
    count = -(-images // len(chosen))
    return _slices(chosen, count, images, SOURCE * size, slice_axis, seed, f"{folder}: {found}", progress)


def find_images(
    folder: Path, table: str | Path | None, series: str | None, patient_pattern: str | None
) -> tuple[str, list[Case]]:
    """What a folder holds, in words ("volumes", or a kind of photographs), and its cases with "image" and "patient".

    Raises:
        FileNotFoundError: when the folder is absent or holds nothing that is known.
        ValueError: when a pattern of patients is given that would not be used, or a table and a pattern of series.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"data_dir {folder}: expected a folder, found {'a file' if folder.exists() else 'none'}"
        )
    pattern = patient_pattern or PATIENT_PATTERN
    if series is not None and table is not None:
        raise ValueError("found series and table; series is for volumes and table for photographs, give one of them")
    if table is not None or (series is None and (folder / TABLE).is_file()):
        kind, cases = "photographs of a table", find_pictures(folder, table)
    elif series is not None or (folder / "dataset.json").is_file() or files_in(folder, VOLUMES):
        return "volumes", [dict(case) for case in find_cases(folder, series=series, patient_pattern=pattern)]
    elif files_in(folder, PICTURES):
        return "photographs of a folder", [dict(case) for case in find_cases(folder, patient_pattern=pattern)]
    elif any(files_in(inner, PICTURES) for inner in folder.iterdir() if inner.is_dir()):
        kind, cases = "photographs of class folders", find_pictures(folder)
    else:
        raise FileNotFoundError(
            f"{folder}: found no {TABLE}, dataset.json, NIfTI file, picture or folder of pictures; give the folder "
            "that holds the images, and for folders of DICOM files a pattern of theirs as series"
        )
    if patient_pattern is not None:
        raise ValueError(f"patient_pattern is not for {kind}, found in {folder}; give patients in a column of a table")
    return kind, cases


def _pictures(cases: list[Case], side: int, found: str, progress: bool) -> Sample:
    dataset = PictureDataset(cases, side, progress=progress)
    image = torch.stack([dataset[place]["image"].half() for place in range(len(dataset))])
    if (image == image[:, :1]).all():
        image = image[:, :1]
    patients = [str(case["patient"]) for case in cases]
    names = [case_name(case["image"]) for case in cases]
    told = f"{found}; looked at: {len(cases)} of {len(set(patients))} patients."
    return Sample(image, numbered(patients), names, told)


def _slices(
    cases: list[Case], count: int, images: int, side: int, slice_axis: int, seed: int, found: str, progress: bool
) -> Sample:
    steps = [
        LoadCased("image"),
        ScaleIntensityRangePercentilesd("image", lower=1, upper=99, b_min=0.0, b_max=1.0, clip=False),
        SpreadSlicesd("image", count, side, slice_axis),
    ]
    data = [{"image": case["image"], "patient": case["patient"]} for case in cases]
    dataset = SliceDataset(data, Compose(steps), slice_axis, partitions=1, progress=progress)
    owners = [dataset.patients[volume] for volume in dataset.volume.tolist()]
    order = spread_over(owners, images, mix_seed(seed, 1))
    patients = [owners[place] for place in order]
    image = torch.stack([dataset[place]["image"].half() for place in order])
    told = f"{found}; looked at: {len(order)} slices along axis {slice_axis} of {len(set(patients))} patients."
    return Sample(image, numbered(patients), patients, told, volumetric=True)
