# SPDX-License-Identifier: Apache-2.0
"""The images that are to be predicted: each one file, or a file a channel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from monai_cl_ext.data.channels import CHANNEL, Volume, named_volumes, refuse_missing_channels
from monai_cl_ext.data.file_names import VOLUMES, by_case, case_name, files_in
from monai_cl_ext.data.label_names import split_labels, without_series
from monai_cl_ext.names import first_names

FIRST = "_0000"  # the first channel, here and where inference.json lists files


def listed_images(images: str, channels: int = 1) -> dict[str, Volume]:
    """The images of a file or a folder by their names without suffix.

    Args:
        images: a NIfTI file, the first of an image's channels, or a folder.
        channels: that the network takes. Files case_0000, case_0001, ... are those of one image where several are, and
            where at least one image has as many files.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when two have one name, or an image lacks a channel.
    """
    path = Path(images).expanduser().absolute()
    if path.is_file() and path.name.lower().endswith(VOLUMES):
        files = [path, *_other_channels(path)]
        return _volumes(files if len(files) == channels else [path], channels)
    found, labels = split_labels(without_series(files_in(path, VOLUMES))) if path.is_dir() else ([], [])
    if labels:
        warnings.warn(
            f"{len(labels)} file(s) named like label maps are not predicted: "
            f"{first_names(path.name for path in labels)}; give an image of such a name by itself, or rename it",
            stacklevel=3,
        )
    if not found:
        empty = "a folder without them (folders in it are not searched; give one of these)"
        held = empty if path.is_dir() else "another file" if path.exists() else "nothing"
        raise FileNotFoundError(f"images {path}: expected a .nii or .nii.gz file or a folder of them, found {held}")
    return _volumes(found, channels)


def _other_channels(path: Path) -> list[Path]:
    """The files beside the first channel of an image that are named as its others."""
    stem = case_name(path).removesuffix(FIRST)
    if stem == case_name(path):
        return []
    names = {other: CHANNEL.match(case_name(other)) for other in files_in(path.parent, VOLUMES) if other != path}
    return [other for other, match in names.items() if match and match[1] == stem]


def _volumes(files: Sequence[Path], channels: int) -> dict[str, Volume]:
    """The images of these files by name."""
    found = by_case(files)
    volumes = named_volumes([found[name] for name in sorted(found)])
    several = channels > 1 and any(len(volume.files) == channels for volume in volumes)
    if several and all(case_name(volume.files[0]).endswith(FIRST) for volume in volumes):
        refuse_missing_channels(volumes, channels)
        return {volume.name: volume for volume in volumes}
    return {name: Volume(name, [file]) for name, file in found.items()}
