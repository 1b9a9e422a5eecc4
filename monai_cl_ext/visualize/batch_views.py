# SPDX-License-Identifier: Apache-2.0
"""One batch: the originals and each view of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from monai_cl_ext.visualize.drawing import WIDTH, Drawing, new_figure, shorten, show_image, styled

SLICES = 4


@styled
def draw_views(batch: dict[str, Any], name: str = "views") -> Drawing:
    """Some slices of a batch, one a row: the original and its views.

    Args:
        batch: as ``handlers.RunRecord`` keeps it.
        name: of the figure's files.
    """
    columns = {"original": batch["originals"]}
    columns |= dict(zip(batch["view_names"], batch["views"], strict=True))
    rows = spread(len(batch["originals"]), SLICES)
    height, width = batch["originals"].shape[2:]
    cell = WIDTH / len(columns)
    figure, axes = new_figure(len(rows) * (cell * min(2.0, width / height) + 0.2) + 0.2, len(rows), len(columns))
    for line, row in zip(axes, rows, strict=True):
        for cells, (title, images) in zip(line, columns.items(), strict=True):
            show_image(cells, images[row, 0])
            first = row == rows[0]
            where = place(batch, row) if title == "original" else ""
            side = "left" if title == "original" else "center"  # a name may be wider than its column
            cells.set_title(f"{title}\n{where}" if first else where, fontsize=8.5, loc=side)
    caption = (
        f"{len(rows)} of the first batch's slices, one a row, as they were shown to the network; p is the "
        "partition, counted from 0. Each image is scaled to its own range of gray."
    )
    return Drawing(name, "Originals and views", caption, figure, photographic=True)


def spread(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` of the numbers below ``count``, evenly spread."""
    return [index * count // min(count, wanted) for index in range(min(count, wanted))]


def place(batch: dict[str, Any], row: int) -> str:
    """The name of a row's patient or volume and, where it is known, its partition."""
    name = shorten(batch["names"][row], 16)
    partition: Tensor | None = batch.get("partition")
    return name if partition is None or partition[row] < 0 else f"{name} · p{int(partition[row])}"
