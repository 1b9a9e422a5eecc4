# SPDX-License-Identifier: Apache-2.0
"""A map of the embeddings of held-out slices, colored by partition and by position."""

from __future__ import annotations

from typing import Any

import matplotlib
import torch
from torch import Tensor
from torch.nn.functional import normalize

from monai_cl_ext.visualize.drawing import MARKERS, Drawing, new_figure, styled


@styled
def draw_embeddings(record: dict[str, Any], name: str = "embeddings") -> list[Drawing]:
    """Maps of the same points: by partition, and by position in the volume, of patches along each axis.

    Args:
        record: "embeddings" (N, D), "partition", "volume" (N,) and "position" (N,) or (N, 3), as
            ``handlers.EmbeddingRecord`` keeps them.
        name: beginning of the names of the figures' files.
    """
    points, explained = principal_components(record["embeddings"])
    volumes, position = len(torch.unique(record["volume"])), record["position"]
    along = {"position": (position, "position in the volume (1: last slice)")}
    if position.ndim == 2:
        along = {
            f"position along axis {axis}": (coordinate, f"position along axis {axis} (1: end of the volume)")
            for axis, coordinate in enumerate(position.unbind(1))
        }
    rows = "slices" if position.ndim == 1 else "patches"
    caption = (
        f"{len(points)} {rows} of {volumes} held-out volumes at the last validation: the first two principal "
        f"components of the embeddings (unit length), {sum(explained):.0%} of their variance."
    )
    drawings = []
    for by in ("partition", *along):
        figure, ((axes,),) = new_figure(3.6)
        if by == "partition":
            _by_partition(figure, axes, points, record["partition"])
        else:
            color, label = along[by]
            dots = axes.scatter(*points.T, c=color, cmap="viridis", vmin=0, vmax=1, s=22, linewidths=0)
            figure.colorbar(dots, ax=axes, label=label, shrink=0.9)
        axes.set_xlabel(f"component 1 ({explained[0]:.0%} of variance)")
        axes.set_ylabel(f"component 2 ({explained[1]:.0%} of variance)")
        said = caption if by == "partition" else "The same points."
        drawings.append(Drawing(f"{name}_{by.replace(' ', '_')}", f"Embeddings by {by}", said, figure))
    return drawings


def principal_components(embeddings: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """The first two components (N, 2) of the rows, brought to unit length, and the part of variance that each tells.

    The sign of a component is that which makes its largest value positive.
    """
    rows = normalize(embeddings.double(), dim=1)
    u, s, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    points = torch.zeros(len(rows), 2, dtype=torch.float64)
    kept = min(2, len(s))
    points[:, :kept] = (u * s)[:, :kept]
    largest = points.gather(0, points.abs().argmax(0, keepdim=True))
    variance = torch.zeros(2, dtype=torch.float64)
    variance[:kept] = (s**2 / (s**2).sum().clamp_min(1e-30))[:kept]
    return points * torch.where(largest < 0, -1.0, 1.0), (variance[0].item(), variance[1].item())


def _by_partition(figure: Any, axes: Any, points: Tensor, partition: Tensor) -> None:
    numbers = sorted(set(partition.tolist()))
    colors = matplotlib.colormaps["viridis"]
    for index, number in enumerate(numbers):
        chosen = points[partition == number]
        color = colors(index / max(1, len(numbers) - 1)) if number >= 0 else "#BBBBBB"
        label = f"p{number}" if number >= 0 else "none"
        axes.scatter(*chosen.T, color=color, marker=MARKERS[index % len(MARKERS)], s=22, linewidths=0, label=label)
    figure.legend(
        loc="outside upper center", ncols=5, fontsize=8.5, title="partition", columnspacing=1, handletextpad=0.2
    )
