# SPDX-License-Identifier: Apache-2.0
"""Views of a policy at each strength, and a map of many views of a few images."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from torch import Tensor

from monai_cl_ext.advise import Advice
from monai_cl_ext.advise.showcase import REPEATED
from monai_cl_ext.visualize.batch_views import spread
from monai_cl_ext.visualize.drawing import WIDTH, Drawing, look, new_figure, shorten, show_image, styled

MAXIMUM_COLUMNS, MAXIMUM_MAPS = 6, 4
PERPLEXITY = 15  # fewer than the views of one image


@styled
def draw_gallery(advice: Advice) -> Drawing:
    """Two views of each of a few images, strengths from left to right; the draws are the same at each strength."""
    views = advice.showcase.views
    columns = spread(len(views), MAXIMUM_COLUMNS)
    images, pair = views.shape[1:3]
    figure, axes = new_figure(images * pair * WIDTH / len(columns) + 0.22 * images, images * pair, len(columns))
    figure.set_layout_engine("constrained", h_pad=0.01, w_pad=0.01, hspace=0.02, wspace=0.02)
    for column, place in enumerate(columns):
        for image in range(images):
            for view in range(pair):
                cells = axes[image * pair + view, column]
                _show(cells, views[place, image, view], views[0, image, 0], advice.volumetric)
                if view == 0:
                    name = shorten(advice.showcase.names[image], 16) if column == 0 else ""
                    strength = f"strength {advice.strengths[place].name}" if image == 0 else ""
                    cells.set_title(f"{name}\n{strength}".strip("\n") or " ", fontsize=7.5, loc="left")
    caption = (
        f"Two views of each of {images} images: the two rows of an image are a positive pair, rows of images of two "
        "patients negative ones. Strength 0 is the image itself."
    )
    return Drawing("gallery", "Views at each strength", caption, figure, photographic=True)


@styled
def draw_map(advice: Advice) -> Drawing:
    """A t-SNE map of repeated views at each strength above 0, as in Fig. 2b of Cheng et al. (arXiv 2501.02451)."""
    above = [place for place, rung in enumerate(advice.strengths) if rung.strength > 0]
    places = [above[index] for index in spread(len(above), MAXIMUM_MAPS)]
    lines = -(-len(places) // 2)
    figure, axes = new_figure(2.35 * lines + 0.15, lines, 2)
    shown = advice.showcase
    for cells in axes.flat[len(places) :]:
        cells.set_axis_off()
    for cells, place in zip(axes.flat, places, strict=False):
        points = TSNE(perplexity=PERPLEXITY, init="pca", random_state=0).fit_transform(shown.rows[place].numpy())
        for image in range(int(shown.image.max()) + 1):
            colour, marker, _ = look(image)
            cells.scatter(*points[shown.image == image].T, color=colour, marker=marker, s=9, linewidths=0)
        cells.set_title(f"strength {advice.strengths[place].name}", loc="left", fontsize=8.5)
        cells.set_axis_off()
    caption = (
        f"{REPEATED} views of each of {int(shown.image.max()) + 1} images, each image with a colour and marker of its "
        f"own; t-SNE of the space: {shown.space}. Where views of an image lie together it can still be told from the "
        "others; distances between groups mean little."
    )
    return Drawing("map", "Repeated views", caption, figure)


def _show(axes: Axes, view: Tensor, original: Tensor, volumetric: bool) -> None:
    """A view in the range of grey of its image, but for the brightest and darkest; photographs in their colours."""
    picture: NDArray[Any] = view.numpy()
    if len(picture) == 3 and not volumetric:
        axes.imshow(np.moveaxis(picture, 0, -1).clip(0, 1), interpolation="bilinear")
        axes.set_axis_off()
        return
    darkest, brightest = np.quantile(original[0].numpy(), (0.01, 0.99))
    upright = picture[0] if volumetric else np.rot90(picture[0], -1)
    show_image(axes, upright, vmin=darkest, vmax=brightest)
