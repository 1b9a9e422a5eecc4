# SPDX-License-Identifier: Apache-2.0
"""Volumes whose channels lie in files of their own, ``case_0000.nii.gz`` and ``case_0001.nii.gz``, as in nnU-Net."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cl_ext.data.file_names import PICTURES, case_name
from monai_cl_ext.names import first_names

CHANNEL = re.compile(r"(.+)_(\d{4})\Z", re.DOTALL)
MOST_CHANNELS = 8  # more numbers behind one name are patients, slices or moments


@dataclass(frozen=True)
class Volume:
    """The files of a volume, one a channel, and its name without the number of the channel."""

    name: str
    files: list[Path]

    @property
    def image(self) -> str | list[str]:
        """What a case has as "image": a path, or a list of those of the channels."""
        return str(self.files[0]) if len(self.files) == 1 else [str(path) for path in self.files]


def volumes_of(files: Sequence[Path], labels: Collection[str] = ()) -> list[Volume]:
    """Puts the channels of a volume together, where the names of all files end in numbers of channels.

    They do where labels have the names without these numbers, and none has a whole name. Without labels, they do where
    the numbers count from 0000 on alike for several names; several channels are then warned of.

    Args:
        files: of images.
        labels: names of the labels.

    Raises:
        ValueError: when a volume lacks a channel.
    """
    names = [case_name(path) for path in files]
    groups: dict[tuple[Path, str], dict[int, Path]] = {}
    for path, name in zip(files, names, strict=True):
        match = CHANNEL.match(name)
        if match:
            groups.setdefault((path.parent, match[1]), {})[int(match[2])] = path
    stems = {name for _, name in groups}
    whole = bool(set(names) & set(labels))
    certain = bool(stems & set(labels)) and not whole
    everywhere = sum(map(len, groups.values())) == len(files)
    if not everywhere or whole or not (certain or _counted_alike(groups.values())):
        return [Volume(name, [path]) for path, name in zip(files, names, strict=True)]
    found = [Volume(name, [group[number] for number in sorted(group)]) for (_, name), group in groups.items()]
    refuse_missing_channels(found, max(len(volume.files) for volume in found))
    if len(found[0].files) > 1 and not certain:
        warnings.warn(
            f"{found[0].files[0]}: the last four digits of the names are taken as numbers of {len(found[0].files)} "
            "channels, as in nnU-Net; rename the files if they are something else",
            stacklevel=5,
        )
    return found


def named_volumes(files: Sequence[Path]) -> list[Volume]:
    """The volumes of files whose names are known to end in numbers of channels; others are a volume each."""
    groups: dict[str, list[Path]] = {}
    for path in files:
        match = CHANNEL.match(case_name(path))
        groups.setdefault(match[1] if match else case_name(path), []).append(path)
    return [Volume(name, paths) for name, paths in groups.items()]


def refuse_missing_channels(volumes: Sequence[Volume], expected: int) -> None:
    """Refuses volumes without exactly the channels 0000, 0001, ... of which there are ``expected``.

    Raises:
        ValueError: names the file.
    """
    for volume in volumes:
        numbers = [int(match[2]) for path in volume.files if (match := CHANNEL.match(case_name(path)))]
        if numbers != list(range(expected)):
            last = "" if expected == 1 else f" to _{expected - 1:04d}"
            raise ValueError(
                f"{volume.files[0]}: expected of {volume.name!r} {expected} channel(s), files that end in _0000{last} "
                f"as in nnU-Net, found {first_names(path.name for path in volume.files)}; restore those that are "
                "missing"
            )
        if expected > 1 and volume.files[0].name.lower().endswith(PICTURES):
            raise ValueError(
                f"{volume.files[0]}: a picture for each of {expected} channels is not read; write them to one picture, "
                "or as NIfTI"
            )


def _counted_alike(groups: Collection[dict[int, Path]]) -> bool:
    counts = [len(group) for group in groups]
    alike = all(sorted(group) == list(range(counts[0])) for group in groups)
    return alike and (counts[0] == 1 or (len(counts) > 1 and counts[0] <= MOST_CHANNELS))
