# SPDX-License-Identifier: Apache-2.0
"""Lists a raw data set of nnU-Net: imagesTr, labelsTr and imagesTs, a file for each channel."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl_ext.data.channels import CHANNEL, Volume, named_volumes, refuse_missing_channels
from monai_cl_ext.data.file_names import PICTURES, VOLUMES, by_case, case_name, files_in
from monai_cl_ext.names import first_names

IMAGES, LABELS, TEST = "imagesTr", "labelsTr", "imagesTs"
LISTED = "dataset"  # where dataset.json may list files that lie elsewhere


def is_raw(content: Mapping[str, Any]) -> bool:
    """Whether a ``dataset.json`` is one of nnU-Net, version 2, which lists no files."""
    return "training" not in content and ("channel_names" in content or "file_ending" in content)


def raw_cases(folder: Path, content: Mapping[str, Any], source: str) -> list[tuple[str, dict[str, Any]]]:
    """``{"image": path or paths of the channels, "label"?: path}`` of each case with its name.

    Args:
        folder: of the data set.
        content: of its ``dataset.json``, of version 2.
        source: what errors name.

    Raises:
        FileNotFoundError: when there is no image, or a listed file is absent.
        ValueError: when a case lacks a channel, a label has no image, or files of that ending are not read.
    """
    channels = content.get("channel_names", content.get("modality"))
    expected = len(channels) if isinstance(channels, (dict, list)) and channels else None
    if LISTED in content:
        return _listed(folder, content[LISTED], source, expected)
    suffixes = _suffixes(content.get("file_ending"), source)
    volumes = _volumes(folder / IMAGES, suffixes, expected)
    if not volumes:
        raise FileNotFoundError(
            f"{source}: a data set of nnU-Net, but {folder / IMAGES} holds no {' or '.join(suffixes)} file; restore it"
        )
    labels = by_case(files_in(folder / LABELS, suffixes)) if (folder / LABELS).is_dir() else {}
    cases = [(volume.name, {"image": volume.image, **_label(labels, volume.name)}) for volume in volumes]
    orphans = sorted(set(labels) - {name for name, _ in cases})
    if orphans:
        raise ValueError(
            f"{folder / LABELS}: no image for {first_names(orphans)}; nnU-Net names the channels of a label "
            "case.nii.gz case_0000.nii.gz, case_0001.nii.gz, ...; restore the image, or remove the label"
        )
    told = content.get("numTraining")
    if isinstance(told, int) and told != len(cases):
        warnings.warn(f"{source}: numTraining is {told}, found {len(cases)} cases in {folder / IMAGES}", stacklevel=4)
    return cases + [(volume.name, {"image": volume.image}) for volume in _volumes(folder / TEST, suffixes, expected)]


def channels_by_name(folder: Path, suffix: str) -> dict[str, list[Path]]:
    """The files ``case_0000.nii.gz``, ... of each image that ``dataset.json`` lists as ``case.nii.gz``, in order."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files_in(folder, (suffix,)) if folder.is_dir() else ():
        if match := CHANNEL.match(case_name(path)):
            found[match[1]].append(path)
    return found


def _volumes(folder: Path, suffixes: tuple[str, ...], expected: int | None) -> list[Volume]:
    files = files_in(folder, suffixes) if folder.is_dir() else []
    by_case(files)
    found = named_volumes(files)
    refuse_missing_channels(found, expected or max((len(volume.files) for volume in found), default=1))
    return found


def _suffixes(ending: Any, source: str) -> tuple[str, ...]:
    if ending is None:
        return VOLUMES
    if ending not in (*VOLUMES, *PICTURES):
        raise ValueError(
            f"{source}: file_ending is {ending!r}, expected one of {', '.join((*VOLUMES, *PICTURES))}; convert the "
            "files to NIfTI"
        )
    return (str(ending),)


def _label(labels: Mapping[str, Path], name: str) -> dict[str, str]:
    return {"label": str(labels[name])} if name in labels else {}


def _listed(folder: Path, entries: Any, source: str, expected: int | None) -> list[tuple[str, dict[str, Any]]]:
    cases = []
    for name, entry in entries.items() if isinstance(entries, dict) else [("", entries)]:
        images, label = (entry.get("images"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        if not isinstance(images, list) or not images or not isinstance(label, str):
            raise ValueError(
                f'{source}: expected in "dataset" for each case {{"images": [path of each channel], "label": path}}, '
                f"found {str(entry)[:200]} for {name!r}; repair that entry"
            )
        if len(images) != (expected or len(images)):
            raise ValueError(f"{source}: {name!r} lists {len(images)} image(s) for {expected} channels; repair it")
        paths = [folder / str(path) for path in images]
        for path in (*paths, folder / label):
            if not path.is_file():
                raise FileNotFoundError(f"{path}: listed in {source}, found no such file; restore it")
        cases.append((str(name), {"image": Volume(name, paths).image, "label": str(folder / label)}))
    return cases
