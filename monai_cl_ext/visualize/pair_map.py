# SPDX-License-Identifier: Apache-2.0
"""The pair map of one batch: which rows the loss attracts, which it repels, which it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from monai_cl_ext.names import visible
from monai_cl_ext.visualize.drawing import COLORS, INK, PALE, WIDTH, Drawing, new_figure, shorten, show_image, styled

IGNORED, NEGATIVE, POSITIVE, ITSELF = range(4)
COLOR_OF = (PALE, "#F6CE87", COLORS[0], INK)
NAME_OF = ("ignored", "negative", "positive", "itself")
ANCHORS, POSITIVES = 2, 4
MAXIMUM_GROUPS = 16


@styled
def draw_pair_map(batch: dict[str, Any], name: str = "pair_map") -> Drawing:
    """Rows against rows of one batch, view by view, and in a view by partition and volume.

    Args:
        batch: as ``handlers.RunRecord`` keeps it, with "positive" and "negative".
        name: of the figure's files.

    Returns:
        The drawing. Its ``hover`` has "box", where the map lies in the figure (left, top, width, height as fractions),
        "rows", the name of each row, and "cells", for each row a string with the digit of each pair's kind.
    """
    rows, order = _rows(batch)
    kinds = _kinds(batch)[order][:, order]
    figure, ((axes,),) = new_figure(WIDTH + 0.25)
    axes.imshow(kinds, cmap=ListedColormap(COLOR_OF), vmin=0, vmax=3, interpolation="nearest")
    axes.grid(False)
    _mark_groups(axes, rows)
    axes.set_xlabel("candidate: view and partition")
    axes.set_ylabel("anchor: view and partition")
    counted = np.triu(np.maximum(kinds, kinds.T), 1) + np.tril(np.full_like(kinds, -1))
    patches = [
        Patch(facecolor=COLOR_OF[kind], edgecolor="#888888", label=f"{NAME_OF[kind]} ({(counted == kind).sum()})")
        for kind in (POSITIVE, NEGATIVE, IGNORED)
    ]
    figure.legend(handles=patches, loc="outside upper center", ncols=3, fontsize=8.5, handlelength=1, columnspacing=1)
    figure.canvas.draw()
    box = axes.get_position()
    hover = {
        "box": [box.x0, 1 - box.y1, box.width, box.height],
        "rows": [_title(row) for row in rows],
        "cells": ["".join(str(kind) for kind in line) for line in kinds.tolist()],
        "kinds": list(NAME_OF),
    }
    caption = (
        f"Every row of the batch against every other: {len(rows)} rows, ordered by view, partition (p) and volume; in "
        "brackets the number of pairs."
    )
    return Drawing(name, "Pair map", caption, figure, photographic=True, hover=hover)


@styled
def draw_pair_images(batch: dict[str, Any], name: str = "pairs") -> Drawing:
    """Some anchors of a batch with images that attract them and one that repels them.

    Args:
        batch, name: as for ``draw_pair_map``.
    """
    rows, order = _rows(batch)
    images = torch.cat([view[:, 0] for view in batch["views"]])[order]
    kinds = _kinds(batch)[order][:, order]
    anchors = _anchors(rows, kinds)
    count = max((kinds[anchor] == POSITIVE).sum() for anchor in anchors)
    columns = 3
    lines = -(-(2 + min(POSITIVES, int(count))) // columns)
    cell = WIDTH / columns
    figure, axes = new_figure(len(anchors) * lines * (cell + 0.3), len(anchors) * lines, columns)
    for block, anchor in zip(np.split(axes, len(anchors)), anchors, strict=True):
        attracted = np.flatnonzero(kinds[anchor] == POSITIVE)
        chosen = attracted[np.linspace(0, len(attracted) - 1, min(POSITIVES, len(attracted))).round().astype(int)]
        repelled = np.flatnonzero(kinds[anchor] == NEGATIVE)[:1]
        shown = [("anchor", anchor), *(("positive", row) for row in chosen), *(("negative", row) for row in repelled)]
        for cells in block.flat:
            cells.set_axis_off()
        for cells, (kind, row) in zip(block.flat, shown, strict=False):
            show_image(cells, images[row])
            _frame(cells, kind)
            view, partition, slice_name = rows[row]
            place = f"{shorten(slice_name, 16)}{f' · p{partition}' if partition >= 0 else ''}"
            cells.set_title(f"{kind} · {view}\n{place}", fontsize=8)
    caption = (
        f"{len(anchors)} anchors, each with images that attract it (solid blue frame: positive) and one that repels it "
        "(dashed orange frame: negative)."
    )
    return Drawing(name, "Positives as images", caption, figure, photographic=True)


def _rows(batch: dict[str, Any]) -> tuple[list[tuple[str, int, str]], Tensor]:
    """(view, partition, slice's name) of each row in the order of the map, and that order."""
    count = len(batch["originals"])
    partition = batch.get("partition", torch.full((count,), -1))
    volume = batch.get("volume", torch.arange(count))
    order = sorted(range(count), key=lambda row: (int(partition[row]), int(volume[row]), row))
    views = [(number, row) for number in range(len(batch["views"])) for row in order]
    rows = [(batch["view_names"][number], int(partition[row]), batch["names"][row]) for number, row in views]
    return rows, torch.tensor([number * count + row for number, row in views])


def _kinds(batch: dict[str, Any]) -> np.ndarray:
    kinds = torch.full_like(batch["positive"], IGNORED, dtype=torch.int64)
    kinds[batch["negative"]] = NEGATIVE
    kinds[batch["positive"]] = POSITIVE
    return kinds.fill_diagonal_(ITSELF).numpy()


def _title(row: tuple[str, int, str]) -> str:
    view, partition, name = row
    return f"{visible(name)} · {f'p{partition} · ' if partition >= 0 else ''}{view}"


def _mark_groups(axes: Any, rows: list[tuple[str, int, str]]) -> None:
    """Names runs of rows of one view and partition, or of one view where those would be too many; lines between."""
    labels = [f"{view} p{partition}" if partition >= 0 else view for view, partition, _ in rows]
    if len(set(labels)) > MAXIMUM_GROUPS:
        labels = [view for view, *_ in rows]
    starts = [index for index in range(len(rows)) if index == 0 or labels[index] != labels[index - 1]]
    stops = [*starts[1:], len(rows)]
    middles = [(start + stop - 1) / 2 for start, stop in zip(starts, stops, strict=True)]
    names = [labels[start] for start in starts]
    axes.set_xticks(middles, names, fontsize=8.5, rotation=90)
    axes.set_yticks(middles, names, fontsize=8.5)
    axes.tick_params(length=0)
    for index in starts[1:]:
        new_view = rows[index][0] != rows[index - 1][0]
        for line in (axes.axhline, axes.axvline):
            line(index - 0.5, color="white", linewidth=1.6 if new_view else 0.5)


def _anchors(rows: list[tuple[str, int, str]], kinds: np.ndarray) -> list[int]:
    """Rows with the most positives, of partitions that differ, in the first view that has positives."""
    positives = (kinds == POSITIVE).sum(axis=1)
    first = rows[int((positives > 0).argmax())][0]
    candidates = [index for index, row in enumerate(rows) if row[0] == first]
    candidates.sort(key=lambda index: -positives[index])
    chosen: dict[int, int] = {}
    for index in candidates:
        chosen.setdefault(rows[index][1], index)
    return sorted([*chosen.values(), *(index for index in candidates if index not in chosen.values())][:ANCHORS])


def _frame(axes: Any, kind: str) -> None:
    color, line = {"anchor": (INK, "-"), "positive": (COLORS[0], "-"), "negative": (COLORS[1], "--")}[kind]
    height, width = axes.images[0].get_array().shape[:2]
    axes.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=color, linestyle=line, linewidth=3))
