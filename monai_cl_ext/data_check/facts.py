# SPDX-License-Identifier: Apache-2.0
"""What is known of a case once it was read, and what was found wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monai_cl_ext.data.folders import case_name
from monai_cl_ext.names import first_names

ERROR, WARNING, NOTE = "error", "warning", "note"
LEVELS = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """One thing that a user should know.

    Attributes:
        level: "error" where training cannot start, "warning" where it may go wrong, or "note".
        message: one sentence with files, what was found, and a remedy.
        files: all that it is about; the message names the first ones.
    """

    level: str
    message: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Intensities:
    """Of the voxels of one channel, or of those of them that have a label."""

    minimum: float
    percentile_00_5: float
    median: float
    percentile_99_5: float
    maximum: float
    mean: float
    std: float

    @property
    def width(self) -> float:
        """From the 0.5th to the 99.5th percentile."""
        return self.percentile_99_5 - self.percentile_00_5


@dataclass(frozen=True)
class ImageFacts:
    """Of an image as it is loaded.

    Attributes:
        shape: (axis 0, axis 1, axis 2) in voxels.
        spacing: in mm, axes as in the shape.
        orientation: the direction in which each axis runs, such as "RAS"; the nearest one where axes are oblique.
        directions: unit vectors of the axes in the world, one a column of (3, 3).
        channels: their number.
        dtype: of the voxels in the file; "" where the format does not tell.
        placed: whether the header tells spacing and position; otherwise 1 mm stands for what is not known.
        nonzero_shape: the shape after cropping to voxels that are not 0.
        intensities: of each channel.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    orientation: str
    directions: tuple[tuple[float, ...], ...]
    channels: int
    dtype: str
    placed: bool
    nonzero_shape: tuple[int, ...]
    intensities: list[Intensities]


@dataclass(frozen=True)
class LabelFacts:
    """Of a label map on the grid of its image.

    Attributes:
        voxels: of each class that is there, background included.
        milliliters: of the same classes; None where the spacing is not known.
        box: first voxel and the one behind the last, along each axis, of all foreground; empty where there is none.
        intensities: of the image's foreground, each channel.
        sample: intensities (channels, n) of at most 1,000 voxels of the foreground.
    """

    voxels: dict[int, int]
    milliliters: dict[int, float] | None
    box: tuple[tuple[int, int], ...]
    intensities: list[Intensities]
    sample: np.ndarray = field(repr=False, compare=False)


@dataclass
class CaseFacts:
    """Of one case; ``volume`` and ``segmentation`` are None where image and label cannot be read.

    ``image`` is the first file where each channel has its own.
    """

    image: str
    label: str | None
    patient: str
    volume: ImageFacts | None = None
    segmentation: LabelFacts | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def error(self) -> Finding | None:
        """The finding that refused the case, if any."""
        return next((finding for finding in self.findings if finding.level == ERROR), None)


def named(files: Sequence[str], total: int | None = None) -> str:
    """The names of the first files, and how many more there are: "a, b, c and 4 more"; with a total "5 of 9 (...)"."""
    names = first_names(map(case_name, files), 3)
    return names if total is None else f"{len(files)} of {total} ({names})"
