# SPDX-License-Identifier: Apache-2.0
"""The page on views: pictures of them, histograms of the distances of their pairs, a t-SNE of repeated views."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from sklearn.manifold import TSNE

from monai_cl_ext.files import write_text
from monai_cl_ext.view_report.comparison import PICTURED, REPEATED, Measured, auc
from monai_cl_ext.view_report.policies import ViewSettings
from monai_cl_ext.view_report.sample import Sample
from monai_cl_ext.visualize.drawing import WIDTH, Drawing, look, new_figure, shorten, show_image, styled
from monai_cl_ext.visualize.page import Section, saved, write_page
from monai_cl_ext.visualize.table import Table

KINDS, HEAD = ("positive", "negative"), ["policy", "strength", "d⁺", "d⁻", "AUC"]
NO_FORECAST = (
    "Nothing here predicts the result of a training: a score made of the AUC was checked four times over five "
    "strengths, and its rank correlation with the result was -0.10, -0.30, +0.90 and -0.60."
)
VIEWS = "The two rows of an image are two views of it; strength 0 is the image itself."
DISTANCES = (
    "Blue: d⁺, of two views of one image. Orange: d⁻, of views of images of two patients. AUC: the chance that a "
    "negative pair is farther apart than a positive one; 1 where all are, 0.5 where the two kinds do not differ."
)
MAP = f"t-SNE of {REPEATED} views of each of a few images, each with a color and marker of its own."


def write_views(settings: ViewSettings, sample: Sample, network: str, found: list[Measured], output: str) -> Path:
    """Writes views.html, views.json, figures/ and the picked view_policy.json on what ``compare_views`` found.

    Returns where the page is; ``network`` names the one whose features are compared.
    """
    (original, *steps), folder = found, Path(output)
    ladders = [[original, *(one for one in steps if one.policy == name)] for name in {one.policy: 0 for one in steps}]
    sections = []
    for title, text, draw in (("Views", VIEWS, _views), ("Distances", DISTANCES, _distances), ("Map", MAP, _map)):
        drawings = [draw(ladder, sample, f"{title.lower()}_{number}") for number, ladder in enumerate(ladders, 1)]
        sections.append(Section(title.lower(), title, [text], groups=[("", saved(drawings, folder / "figures"))]))
    numbers: list[dict[str, Any]] = [
        {"space": space, "policy": one.policy, "strength": one.strength, "AUC": auc(*one.distances[space]),
         **{kind: float(pairs.mean()) for kind, pairs in zip(KINDS, one.distances[space], strict=True)}}
        for space in original.distances for one in found
    ]  # fmt: skip
    for space in original.distances:
        rows = [[row["policy"], f"{row['strength']:g}", *(f"{row[name]:.3f}" for name in (*KINDS, "AUC"))]
                for row in numbers if row["space"] == space]  # fmt: skip
        sections[1].tables.append(Table(f"Mean distances and AUC, {space}", HEAD, rows))
    choices = settings.choices(sample.image.shape[1], sample.volumetric)
    use = [f"None is picked yet. The same command with --pick {next(iter(choices))} writes the overlay of that policy."]
    if settings.pick:
        path, overlay = folder / "view_policy.json", json.dumps(choices[settings.pick].overlay, indent=4)
        write_text(path, overlay + "\n")
        use = [f"Picked: {settings.pick}. {path.name} beside this page goes after the bundle's own files:",
               Markup("<code>{}</code>").format(f"--config_file \"['configs/pretrain.json','{path.resolve()}']\""),
               Markup("<code>{}</code>").format(overlay)]  # fmt: skip
    notes = [sample.told, f"Network: {network}. Views of {settings.size} pixels, seed {settings.seed}."]
    write_text(folder / "views.json", json.dumps({"notes": notes, "distances": numbers}, indent=1) + "\n")
    page = [*sections, Section("bundle", "In a bundle", use)]
    return write_page(folder / "views.html", "view comparison", "Views of your images", [], page, [NO_FORECAST, *notes])


@styled
def _views(steps: Sequence[Measured], sample: Sample, name: str) -> Drawing:
    """Two views of each of a few images, strengths from left to right."""
    figure, axes = new_figure(2 * PICTURED * WIDTH / len(steps) + 0.22 * PICTURED, 2 * PICTURED, len(steps))
    figure.set_layout_engine("constrained", h_pad=0.01, w_pad=0.01, hspace=0.02, wspace=0.02)
    for (line, column), cells in np.ndenumerate(axes):
        shown, original = (one.views[line // 2, line % 2].numpy() for one in (steps[column], steps[0]))
        if len(shown) == 3 and not sample.volumetric:
            cells.imshow(np.moveaxis(shown, 0, -1).clip(0, 1))
            cells.set_axis_off()
        else:
            low, high = np.quantile(original[0], (0.01, 0.99))  # at every strength
            show_image(cells, shown[0] if sample.volumetric else np.rot90(shown[0], -1), vmin=low, vmax=high)
        title = shorten(sample.names[line // 2], 16) if column == line % 2 == 0 else ""
        cells.set_title(title + f"\nstrength {steps[column].strength:g}" * (line == 0), fontsize=7.5, loc="left")
    return Drawing(name, f"{name.partition('_')[0].capitalize()}: {steps[-1].policy}", "", figure, photographic=True)


@styled
def _distances(steps: Sequence[Measured], sample: Sample, name: str) -> Drawing:
    """Histograms of the distances of positive and negative pairs above strength 0, a column for each space."""
    figure, axes = new_figure(0.7 + 0.95 * len(steps[1:]), len(steps) - 1, len(steps[0].distances))
    for step, line in zip(steps[1:], axes, strict=True):
        for (space, pairs), cells in zip(step.distances.items(), line, strict=True):
            for number, distances in enumerate(pairs):
                shares, edges = np.histogram(distances.numpy(), bins=50, range=(0, 2))  # of rows of unit length
                cells.stairs(shares / len(distances), edges, fill=True, color=look(number)[0], alpha=0.5)
            cells.set_title(f"{space}, strength {step.strength:g}", loc="left", fontsize=8.5)
    figure.supxlabel("distance of two views (unit length: 0 to 2)", fontsize=9.5)
    figure.supylabel("share of the pairs", fontsize=9.5)
    return Drawing(name, f"{name.partition('_')[0].capitalize()}: {steps[-1].policy}", "", figure)


@styled
def _map(steps: Sequence[Measured], sample: Sample, name: str) -> Drawing:
    """A t-SNE of repeated views at each strength above 0, a color and marker for each image."""
    figure, axes = new_figure(2.35 * (len(steps) // 2) + 0.15, len(steps) // 2, 2)
    for cells in axes.flat:
        cells.set_axis_off()
    for cells, step in zip(axes.flat, steps[1:], strict=False):
        points = TSNE(perplexity=15, init="pca", random_state=0).fit_transform(step.rows.numpy())
        for image, group in enumerate(np.split(points, len(points) // REPEATED)):
            color, marker, _ = look(image)
            cells.scatter(*group.T, color=color, marker=marker, s=9, linewidths=0)
        cells.set_title(f"strength {step.strength:g}", loc="left", fontsize=8.5)
    return Drawing(name, f"{name.partition('_')[0].capitalize()}: {steps[-1].policy}", "", figure)
