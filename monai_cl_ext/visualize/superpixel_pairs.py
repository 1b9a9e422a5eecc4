# SPDX-License-Identifier: Apache-2.0
"""Superpixels on their slices: their boundaries, and what a loss within images attracts and repels."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from torch import Tensor

from monai_cl_ext.visualize.batch_views import place, spread
from monai_cl_ext.visualize.drawing import WIDTH, Drawing, new_figure, show_image, styled
from monai_cl_ext.visualize.pair_map import COLOR_OF, NAME_OF, NEGATIVE, POSITIVE

SLICES, MAPS, COLUMNS = 4, 8, 4
BOUNDARY = "#F0E442"  # Okabe and Ito's yellow: seen on black and on white, and the color of no kind of pair
FILL = np.array(to_rgba(COLOR_OF[POSITIVE], 0.6))
TINT = LinearSegmentedColormap.from_list("negative", ["#3D2A00", COLOR_OF[NEGATIVE]])


@styled
def draw_superpixels(batch: dict[str, Any], name: str = "superpixels") -> Drawing:
    """Some slices of a batch, one a row: the superpixels of view 1, and one of them as a loss within images sees it.

    The superpixel is the one nearest to the center among those that are as bright as the slice, see
    :func:`central_superpixel`.

    Args:
        batch: as ``handlers.RunRecord`` keeps it, with "superpixels".
        name: of the figure's files.
    """
    rows = spread(len(batch["superpixels"]), SLICES)
    views = list(zip(batch["view_names"][:2], batch["views"][:2], strict=True))
    height, width = batch["superpixels"].shape[1:]
    cell = WIDTH / (1 + len(views))
    figure, axes = new_figure(len(rows) * (cell * min(2.0, width / height) + 0.2) + 0.45, len(rows), 1 + len(views))
    for line, row in zip(axes, rows, strict=True):
        image, superpixels = np.asarray(views[0][1][row, 0], dtype=np.float32), np.asarray(batch["superpixels"][row])
        chosen = superpixels == central_superpixel(image, superpixels)
        show_image(line[0], image)
        _outline(line[0], superpixels, BOUNDARY, 0.5)
        for cells, (_, images) in zip(line[1:], views, strict=True):
            show_image(cells, images[row, 0], cmap=TINT)
            show_image(cells, chosen[..., None] * FILL, interpolation="nearest")
            _outline(cells, chosen, COLOR_OF[POSITIVE], 1.0)
        titles = [f"superpixels of {views[0][0]}", *(title for title, _ in views)]
        for cells, title in zip(line, titles, strict=True):
            where = place(batch, row) if cells is line[0] else ""
            cells.set_title(f"{title}\n{where}" if row == rows[0] else where, fontsize=8.5)
    patches = [Patch(facecolor=COLOR_OF[kind], label=NAME_OF[kind]) for kind in (POSITIVE, NEGATIVE)]
    figure.legend(handles=patches, loc="outside upper center", ncols=2, fontsize=8.5, handlelength=1)
    caption = (
        f"{len(rows)} of the first batch's slices, one a row: the boundaries of the superpixels, and a bright "
        "superpixel near the center. A loss within images attracts each position of it (blue, positive) to all others "
        "of it, in both views, and repels it from all other positions of the slice (orange, negative), in both views. "
        "It reads the map at the size of the features, which may be coarser than drawn. Each image is scaled to its "
        "own range."
    )
    return Drawing(name, "Superpixels that attract", caption, figure, photographic=True)


@styled
def draw_superpixel_maps(
    images: Tensor | NDArray[Any], maps: Tensor | NDArray[Any], name: str = "superpixel_maps"
) -> Drawing:
    """At most eight slices, evenly spread, with the boundaries of their superpixels and the number of these.

    Args:
        images: (N, H, W), gray.
        maps: (N, H, W) integer labels, as ``metrics.superpixel_report`` takes them.
        name: of the figure's files.

    Raises:
        ValueError: when the shapes differ or are not (N, H, W).
    """
    pictures, labels = _array(images), _array(maps)
    if pictures.ndim != 3 or pictures.shape != labels.shape or pictures.size == 0:
        raise ValueError(
            f"images and maps must have one shape (N, H, W), found {pictures.shape} and {labels.shape}: leave out "
            "channel axes, and give one slice of a volume"
        )
    shown = spread(len(pictures), MAPS)
    columns = min(COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    height, width = pictures.shape[1:]
    cell = WIDTH / columns
    figure, axes = new_figure(lines * (cell * min(2.0, width / height) + 0.2), lines, columns)
    for cells in axes.flat:
        cells.set_axis_off()
    for cells, number in zip(axes.flat, shown, strict=False):
        show_image(cells, pictures[number])
        _outline(cells, labels[number], BOUNDARY, 0.5)
        cells.set_title(f"{len(np.unique(labels[number]))} segments", fontsize=8.5)
    caption = f"{len(shown)} of {len(pictures)} slices with the boundaries of their superpixels."
    return Drawing(name, "Superpixels", caption, figure, photographic=True)


def central_superpixel(image: NDArray[Any], superpixels: NDArray[Any]) -> int:
    """The label of the superpixel that is drawn: no background, near the center, the same every time.

    Args:
        image: (H, W), gray.
        superpixels: (H, W), integer labels.

    Returns:
        Of the superpixels whose mean is at least that of the image, the one whose centroid is nearest to the center of
        the image; of equals the lowest label.
    """
    labels, segment = np.unique(superpixels, return_inverse=True)
    segment, values = segment.ravel(), image.astype(np.float64).ravel()
    size = np.bincount(segment)
    means = np.bincount(segment, values) / size
    offsets = np.indices(image.shape).reshape(2, -1) - (np.array([image.shape]).T - 1) / 2
    distance = np.hypot(*(np.bincount(segment, offset) / size for offset in offsets))
    distance[means < min(values.mean(), means.max())] = np.inf  # rounding may leave no mean at that of the image
    return int(labels[distance.argmin()])


def _outline(axes: Axes, labels: NDArray[Any], color: str, width: float) -> None:
    """Lines between neighboring pixels of different labels (H, W), over an image that ``show_image`` shows."""
    turned = np.rot90(labels)
    x, top, bottom = _lines((turned[:, 1:] != turned[:, :-1]).T)
    y, left, right = _lines(turned[1:] != turned[:-1])
    upright, level = np.stack([x, top, x, bottom], axis=1), np.stack([left, y, right, y], axis=1)
    ends = np.concatenate([upright, level]).reshape(-1, 2)
    path = Outline(ends, np.tile([Outline.MOVETO, Outline.LINETO], len(ends) // 2))
    look = {"fill": False, "edgecolor": color, "linewidth": width, "capstyle": "projecting"}
    axes.add_patch(PathPatch(path, snap=False, **look))  # snapped to pixels of the file, steps would be uneven


def _lines(changes: NDArray[np.bool_]) -> tuple[NDArray[Any], ...]:
    """Of each run of changes along the last axis: where it lies across them, its beginning and its end."""
    steps = np.diff(np.pad(changes.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    (line, first), (_, stop) = np.nonzero(steps == 1), np.nonzero(steps == -1)
    return line + 0.5, first - 0.5, stop - 0.5


def _array(values: Tensor | NDArray[Any]) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
