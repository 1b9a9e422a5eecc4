# SPDX-License-Identifier: Apache-2.0
"""A slice of each volume that something was found of, its label drawn on it."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from monai_cl_ext.data.folders import case_name
from monai_cl_ext.data_check.examine import Load
from monai_cl_ext.data_check.facts import ERROR, CaseFacts, Finding
from monai_cl_ext.visualize.drawing import WIDTH, Drawing, new_figure, shorten, show_image, styled
from monai_cl_ext.visualize.overlays import painted

MOST, COLUMNS = 12, 3  # pictures of a page
TALLEST = 2.5  # times as high as wide, or the other way round


def chosen_cases(facts: Sequence[CaseFacts], findings: Sequence[Finding]) -> list[CaseFacts]:
    """The cases that are named by findings, errors first and one of each finding before a second of any."""
    of_file = {file: one for one in facts for file in (one.image, one.label) if file}
    ordered = sorted(findings, key=lambda finding: finding.level != ERROR)
    turns = [[finding.files[turn] for finding in ordered if turn < len(finding.files)] for turn in range(MOST)]
    cases = [of_file[file] for turn in turns for file in turn if file in of_file]
    return list({one.image: one for one in cases if one.volume is not None}.values())[:MOST]


def draw_cases(cases: Sequence[CaseFacts], slice_axis: int, load: Load) -> Drawing | None:
    """A slice of each case, the one with the most labeled voxels or the middle one; None without any case."""
    shown = [(one, found) for one in cases if (found := _slice(one, slice_axis, load)) is not None]
    return _drawn(shown, slice_axis) if shown else None


@styled
def _drawn(shown: Sequence[tuple[CaseFacts, tuple[np.ndarray, np.ndarray | None]]], slice_axis: int) -> Drawing:
    rows = -(-len(shown) // COLUMNS)
    figure, axes = new_figure(rows * (WIDTH / COLUMNS + 0.3), rows, COLUMNS)
    for cells in axes.flat:
        cells.set_axis_off()
    for cells, (one, (image, label)) in zip(axes.flat, shown, strict=False):
        low, high = np.percentile(image, (1, 99))
        aspect = _aspect(one, slice_axis, image.shape)
        show_image(cells, image, vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
        if label is not None:
            show_image(cells, painted(label), interpolation="nearest", aspect=aspect)
        kind = "" if label is not None else "\nno label" if one.label is None else "\nlabel refused"
        cells.set_title(shorten(case_name(one.image), 22) + kind, fontsize=7.5, loc="left")
    caption = (
        f"Of each the slice along axis {slice_axis} with the most labeled voxels, or the middle one; gray from the 1st "
        "to the 99th percentile of the slice, classes in color."
    )
    return Drawing("found", "Volumes that something was found of", caption, figure, photographic=True)


def _slice(one: CaseFacts, axis: int, load: Load) -> tuple[np.ndarray, np.ndarray | None] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told already
        label: dict[Hashable, Any] = {"label": one.label} if one.segmentation is not None else {}
        try:
            loaded: Any = load({"image": one.image, **label})
        except Exception:  # a file that went away meanwhile
            return None
    image = loaded["image"].as_tensor().numpy()[0]
    classes = loaded["label"].as_tensor().numpy()[0].astype(np.uint8) if "label" in loaded else None
    place = image.shape[axis] // 2
    if classes is not None and classes.any():
        place = int((classes > 0).sum(axis=tuple(other for other in range(3) if other != axis)).argmax())
    return image.take(place, axis), None if classes is None else classes.take(place, axis)


def _aspect(one: CaseFacts, axis: int, shape: tuple[int, ...]) -> float:
    """Height of a pixel by its width, bounded so that the slice stays a picture."""
    assert one.volume is not None
    across, up = (step for other, step in enumerate(one.volume.spacing) if other != axis)
    extent = (up * shape[1]) / (across * shape[0])
    return float(np.clip(extent, 1 / TALLEST, TALLEST) * shape[0] / shape[1])
