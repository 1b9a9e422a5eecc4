# SPDX-License-Identifier: Apache-2.0
"""Draws the figures of the documentation from phantom volumes and from the losses' own rules.

python docs/figures/draw_figures.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, Rectangle
from torch import Tensor

from monai_cl_ext.data import PartitionBatchSampler, SliceDataset, find_cases, volume_transform, write_phantom
from monai_cl_ext.losses import PartitionContrastiveLoss, pair_matrices, sample_tags
from monai_cl_ext.transforms import PrepareViews, gcl_policy, identity_policy
from monai_cl_ext.visualize.drawing import INK
from monai_cl_ext.visualize.pair_map import COLOR_OF

FOLDER = Path(__file__).parent
PARTITION_COLORS = ("#009E73", "#CC79A7", "#8C6D1F", "#56B4E9")
BLUE = "#0072B2"
TAGS = ("volume", "position", "partition")
WIDTH, HEIGHT = 560, 1150  # of the drawing in points; type of 16 points stays readable on a phone
TOPS = (24, 262, 482, 702, 958)
STAGES = (
    ("Volumes", "data", "NIfTI files. Each slice\nknows its volume, its\nposition and its\npartition (color)."),
    ("Batch", "data", "Some volumes, one\nrandom slice of each\npartition."),
    ("Views", "transforms", "All views of a batch\nat once, on the device\n(here of volume 1)."),
    (
        "Loss",
        "methods, losses",
        "Network and head turn\neach view into a row;\nrules say which rows\nattract and which\nrepel each other.",
    ),
    (
        "Weights",
        "networks, metrics",
        "The state_dict of a\nstock MONAI network:\nfine-tuned on few\nlabels and scored for\neach volume.",
    ),
)
STYLE = {"font.size": 16, "svg.fonttype": "path", "svg.hashsalt": "monai_cl_ext", "text.color": INK}


def picture(
    canvas: Axes, image: Tensor, box: tuple[float, float, float], color: str, label: Tensor | None = None
) -> None:
    """One slice (H, W) at (left, top, side) in a frame of its partition's color; classes of a label are laid over."""
    left, top, side = box
    extent = (left, left + side, top + side, top)
    gray = np.rot90(image.float().clamp(0, 1.3))
    canvas.imshow(gray, cmap="gray", extent=extent, interpolation="bilinear", zorder=2)
    if label is not None:
        classes = np.rot90(label)
        overlay = np.ma.masked_equal(classes, 0)
        canvas.imshow(overlay, cmap=ListedColormap(["#E69F00", "#0072B2", "#D55E00"]), vmin=1, vmax=3, extent=extent,
                      interpolation="nearest", alpha=0.6, zorder=3)  # fmt: skip
    canvas.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor=color, linewidth=1.8, zorder=3))


def words(canvas: Axes, top: float, title: str, room: str, text: str) -> None:
    """The right column of one stage."""
    canvas.text(318, top, title, fontsize=19, fontweight="bold", va="top")
    canvas.text(318, top + 29, room, fontsize=14.5, family="monospace", color=BLUE, va="top")
    canvas.text(318, top + 54, text, va="top", linespacing=1.3)


def volumes(canvas: Axes, dataset: SliceDataset, top: float) -> None:
    """Three stacks of slices, each slice framed in the color of its partition."""
    for number in range(3):
        rows = torch.nonzero(dataset.volume == number).flatten().tolist()
        for place, row in enumerate(rows):
            color = PARTITION_COLORS[int(dataset.partition[row])]
            box = (30 + number * 92 + 2.0 * place, top + 10.5 * place, 60)
            picture(canvas, dataset[row]["image"][0], box, color)


def grid(canvas: Axes, lines: list[Tensor], names: list[str], top: float, partition: Tensor) -> None:
    """Lines of slices (4, 1, H, W), one column a partition, each line named at its left."""
    for line, (images, name) in enumerate(zip(lines, names, strict=True)):
        canvas.text(108, top + line * 49 + 23, name, fontsize=14, ha="right", va="center")
        for column, image in enumerate(images):
            color = PARTITION_COLORS[int(partition[column])]
            picture(canvas, image[0], (116 + column * 49, top + line * 49, 45), color)


def kinds(loss: PartitionContrastiveLoss, partition: Tensor, volume: Tensor) -> np.ndarray:
    """0 ignored, 1 negative, 2 positive, 3 the diagonal; rows are ordered view by view."""
    views = 2 if loss.strategy == "gr" else 3
    tags = {"partition": partition, "volume": volume}
    rules = loss.rules(tags, sample_tags(len(partition), partition.device), views)
    positive, negative = pair_matrices(rules, views * len(partition))
    return (negative * 1 + positive * 2).int().fill_diagonal_(3).numpy()


def pairs(canvas: Axes, partition: Tensor, volume: Tensor, top: float) -> None:
    """The pair map of G^D on the batch, ordered by partition, and its key."""
    order = np.argsort(partition.repeat(3).numpy(), kind="stable")
    matrix = kinds(PartitionContrastiveLoss("gd"), partition, volume)[order][:, order]
    left, side = 116, 176
    canvas.imshow(matrix, cmap=ListedColormap(COLOR_OF), vmin=0, vmax=3, interpolation="nearest", zorder=2,
                  extent=(left, left + side, top + side, top))  # fmt: skip
    for number, color in enumerate(PARTITION_COLORS):
        start, length = number * side / 4, side / 4 - 2
        canvas.add_patch(Rectangle((left + start + 1, top - 9), length, 6, color=color))
        canvas.add_patch(Rectangle((left - 9, top + start + 1), 6, length, color=color))
    for line, (kind, name) in enumerate(((2, "attract"), (1, "repel"), (0, "no part"))):
        canvas.add_patch(Rectangle((26, top + 52 + line * 26), 14, 14, facecolor=COLOR_OF[kind], edgecolor="#888888"))
        canvas.text(46, top + 60 + line * 26, name, fontsize=12.5, va="center")


def network(canvas: Axes, image: Tensor, label: Tensor, top: float) -> None:
    """A U of blocks, its encoder and first decoder blocks filled, and a segmented slice."""
    heights = (78, 58, 40, 24)
    for level, height in enumerate((*heights, *heights[-2::-1])):
        filled = level < 6
        face = BLUE if filled else "white"
        place = (52 + level * 17, top + 45 - height / 2)
        canvas.add_patch(Rectangle(place, 11, height, edgecolor=BLUE, facecolor=face, linewidth=1.5))
    canvas.text(108, top + 104, "filled: pre-trained", fontsize=12.5, ha="center", va="center")
    arrow(canvas, 174, top + 45, 22, 0)
    picture(canvas, image, (206, top + 2, 86), INK, label)


def arrow(canvas: Axes, left: float, top: float, across: float, down: float) -> None:
    """An arrow from one stage to the next."""
    shape = {"width": 2.4, "head_width": 10, "head_length": 9, "length_includes_head": True}
    canvas.add_patch(FancyArrow(left, top, across, down, color="#555555", zorder=4, **shape))


def draw_way(dataset: SliceDataset) -> Figure:
    """The way of the data, from volumes to weights."""
    sampler = PartitionBatchSampler(dataset.volume, dataset.partition, volumes_per_batch=3, seed=3)
    chosen = next(iter(sampler))
    batch: dict[str, Any] = {name: torch.as_tensor([dataset[row][name] for row in chosen]) for name in TAGS}
    batch["image"] = torch.stack([dataset[row]["image"] for row in chosen])
    views, tags, *_ = PrepareViews([identity_policy(), gcl_policy(), gcl_policy()], seed=1)(batch)
    partition = tags["partition"]
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
    canvas = figure.add_axes((0, 0, 1, 1))
    volumes(canvas, dataset, TOPS[0] + 4)
    grid(canvas, list(batch["image"].split(4)), ["volume 1", "volume 2", "volume 3"], TOPS[1] + 14, partition)
    grid(canvas, [view["image"][:4] for view in views], ["original", "view 1", "view 2"], TOPS[2] + 14, partition)
    pairs(canvas, partition, tags["volume"], TOPS[3] + 24)
    network(canvas, dataset[chosen[5]]["image"][0], dataset[chosen[5]]["label"][0], TOPS[4] + 14)
    for top, (title, room, text) in zip(TOPS, STAGES, strict=True):
        words(canvas, top, title, room, text)
    for top in TOPS[1:]:
        arrow(canvas, 204, top - 27, 0, 22)
    step = Rectangle((14, TOPS[1] - 14), WIDTH - 28, TOPS[4] - 36 - TOPS[1], fill=False, edgecolor=BLUE, linewidth=1.5)
    step.set_linestyle((0, (5, 4)))
    canvas.add_patch(step)
    canvas.text(WIDTH - 24, TOPS[4] - 58, "engines: one step of the trainer", fontsize=14, color=BLUE, ha="right")
    canvas.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    canvas.set_axis_off()
    return figure


def draw_pairs() -> Figure:
    """The pairs of the three global strategies on a batch of two volumes and three partitions."""
    partition, volume = torch.arange(3).repeat(2), torch.arange(2).repeat_interleave(3)
    figure = Figure(figsize=(WIDTH / 72, 250 / 72))
    for number, (strategy, title) in enumerate((("gr", "G$^R$"), ("gd-", "G$^{D-}$"), ("gd", "G$^D$"))):
        axes = figure.add_axes((0.02 + 0.33 * number, 0.2, 0.3, 0.68))
        matrix = kinds(PartitionContrastiveLoss(strategy), partition, volume)
        axes.imshow(matrix, cmap=ListedColormap(COLOR_OF), vmin=0, vmax=3, interpolation="nearest")
        for line in np.arange(0.5, len(matrix) - 1):
            wide = 2.0 if (line + 0.5) % 6 == 0 else 0.5
            axes.axhline(line, color="white", linewidth=wide)
            axes.axvline(line, color="white", linewidth=wide)
        axes.set_title(title, fontsize=17)
        axes.set_axis_off()
    keys = [Rectangle((0, 0), 1, 1, facecolor=COLOR_OF[kind], edgecolor="#888888") for kind in (3, 2, 1, 0)]
    figure.legend(keys, ["itself", "positive", "negative", "no part"], loc="lower center", ncols=4, frameon=False,
                  fontsize=15, handlelength=0.9, handletextpad=0.4, columnspacing=1.2)  # fmt: skip
    return figure


def main() -> None:
    """Writes the figures beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        cases = find_cases(write_phantom(Path(folder) / "phantom", patients=3, seed=4))
        dataset = SliceDataset(cases, volume_transform(image_size=(72, 72), pixdim=(2.0, 2.0)))
    with matplotlib.rc_context(STYLE):
        draw_way(dataset).savefig(FOLDER / "way_of_the_data.svg", metadata={"Date": None})
        draw_pairs().savefig(FOLDER / "gcl_pairs.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
