# SPDX-License-Identifier: Apache-2.0
"""Tells label maps and 4-D series among images by their names, and pairs the label maps."""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from monai_cl_ext.data.channels import Volume
from monai_cl_ext.data.file_names import case_name
from monai_cl_ext.names import first_names

_LABEL = r"gt|seg|segm|dseg|mask|masks|label|labels|segmentation|segmentations|groundtruth|ground_truth|annotation"
_IMAGE = r"image|images|img|imaging|volume|vol|raw|orig"
_BEFORE_DIGITS = {_LABEL: "mask|label|segmentation", _IMAGE: "image|img|volume|vol"}
SERIES = re.compile(r"(?i)(.+)_4d\Z", re.DOTALL)


def without_series(files: Sequence[Path]) -> list[Path]:
    """The files but for those named ``..._4d``, which are warned of; all, where there are no others."""
    series = {path: None for path in files if SERIES.match(case_name(path))}
    others = [path for path in files if path not in series]
    if not series or not others:
        return list(files)
    warnings.warn(
        f"{len(series)} file(s) named like 4-D series are left out: {first_names(path.name for path in series)}; write "
        "each time point to a file of its own to read them",
        stacklevel=5,
    )
    return others


def split_labels(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The images, and the files that a word such as ``_gt`` or ``segmentation-`` in their names makes label maps.

    Where all are named like label maps, all are images, with a warning.
    """
    labels = {path: None for path in files if _without(case_name(path), _LABEL) is not None}
    if labels and len(labels) == len(files):
        warnings.warn(
            f"{first_names(labels)}: named like label maps, and taken as images, since there is no other file; if they "
            "are labels, give the folder of the images as dataset_dir and this one as label_dir",
            stacklevel=5,
        )
        return list(files), []
    return [path for path in files if path not in labels], list(labels)


def pair_beside(volumes: Sequence[Volume], labels: Sequence[Path]) -> dict[str, Path]:
    """The label of each volume that has one beside it, by the volume's first file; what was done is warned of."""
    folders: dict[Path, _Folder] = defaultdict(_Folder)
    for volume in volumes:
        folders[volume.files[0].parent].add(volume)
    owners = {label: folders[label.parent].owners(label) for label in labels}
    single = {label: str(found[0].files[0]) for label, found in owners.items() if len(found) == 1}
    claims = Counter(single.values())
    paired = {image: label for label, image in single.items() if claims[image] == 1}
    if paired:
        warnings.warn(
            f"{len(paired)} file(s) named like label maps, such as {next(iter(paired.values())).name}, are taken as "
            "labels of the images beside them; if they are none, give images and labels folders of their own",
            stacklevel=5,
        )
    taken = set(paired.values())
    warn_of_left_labels([label for label in labels if label not in taken])
    return paired


def warn_of_left_labels(labels: Sequence[Path]) -> None:
    """Warns of label maps among images that are neither images nor labels of one."""
    if labels:
        warnings.warn(
            f"{len(labels)} file(s) named like label maps are left out, since no one image fits their names: "
            f"{first_names(path.name for path in labels)}; name them after their images, or give label_dir and "
            "label_suffix",
            stacklevel=6,
        )


class _Folder:
    """The volumes of one folder: all, by their names, and by what stands before a separator in them."""

    def __init__(self) -> None:
        self.volumes: list[Volume] = []
        self.named: dict[str, list[Volume]] = defaultdict(list)
        self.longer: dict[str, list[Volume]] = defaultdict(list)

    def add(self, volume: Volume) -> None:
        """One more volume."""
        self.volumes.append(volume)
        for name in {volume.name, _without(volume.name, _IMAGE)} - {None}:
            self.named[str(name)].append(volume)
        for separator in re.finditer(r"[_.\- ]", volume.name):
            self.longer[volume.name[: separator.start()]].append(volume)

    def owners(self, label: Path) -> list[Volume]:
        """The volumes that a label may belong to: those of its name or, where there are none, of a longer one."""
        key = _without(case_name(label), _LABEL)
        return self.named.get(key, []) or self.longer.get(key, []) if key else self.volumes


def _without(name: str, words: str) -> str | None:
    """The rest of a name without a word at its end or beginning, or None where it has none."""
    end = re.match(rf"(?i)(?:(.*?)[_.\- ])?(?:{words})\Z", name, re.DOTALL)
    begin = re.match(rf"(?i)(?:(?:{words})[_.\- ](.+)|(?:{_BEFORE_DIGITS[words]})(\d.*))\Z", name, re.DOTALL)
    found = end or begin
    return None if found is None else next((part for part in found.groups() if part), "")
