# SPDX-License-Identifier: Apache-2.0
"""Figures of superpixels: lines lie between labels, and what is filled is one superpixel."""

import fabricated
import numpy as np
import pytest
import torch
from matplotlib.text import Text

from monai_cl_ext.visualize import draw_superpixel_maps, draw_superpixels, draw_views
from monai_cl_ext.visualize.superpixel_pairs import FILL, TINT, central_superpixel


def edges_between(labels):
    """Edges between pixels of different labels as pairs of corners; the first axis goes right, the second up."""
    width, height = labels.shape
    found = set()
    for i in range(width):
        for j in range(height):
            x, y = i - 0.5, height - 1.5 - j  # upper left corner of the pixel where row 0 is at the top
            if i + 1 < width and labels[i, j] != labels[i + 1, j]:
                found.add(((x + 1, y), (x + 1, y + 1)))
            if j + 1 < height and labels[i, j] != labels[i, j + 1]:
                found.add(((x, y), (x + 1, y)))
    return found


def drawn_edges(axes):
    """The lines over an image, cut into edges of one pixel."""
    (patch,) = axes.patches
    found = []
    for (x0, y0), (x1, y1) in patch.get_path().vertices.reshape(-1, 2, 2).tolist():
        assert (x0 == x1) != (y0 == y1)
        steps = range(int(max(x1 - x0, y1 - y0)))
        if x0 == x1:
            found += [((x0, y0 + step), (x0, y0 + step + 1)) for step in steps]
        else:
            found += [((x0 + step, y0), (x0 + step + 1, y0)) for step in steps]
    assert len(set(found)) == len(found)
    return set(found)


def test_lines_lie_between_pixels_of_different_labels():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 3, (2, 7, 5), generator=generator)
    maps[1, :, 2:] = maps[1, 0, 0]
    drawing = draw_superpixel_maps(torch.rand(2, 7, 5, generator=generator), maps)
    for axes, labels in zip(drawing.figure.axes, maps.numpy(), strict=True):
        assert drawn_edges(axes) == edges_between(labels)
        assert axes.get_title() == f"{len(np.unique(labels))} segments"


def test_one_superpixel_of_view_1_is_filled_in_both_views():
    batch = fabricated.superpixel_batch()
    drawing = draw_superpixels(batch)
    axes = np.array(drawing.figure.axes).reshape(4, 3)
    for line, row in zip(axes, (0, 1, 3, 4), strict=True):
        superpixels = batch["superpixels"][row].numpy()
        chosen = superpixels == central_superpixel(batch["views"][0][row, 0].float().numpy(), superpixels)
        assert drawn_edges(line[0]) == edges_between(superpixels)
        for cells, view in zip(line[1:], batch["views"][:2], strict=True):
            image, fill = cells.images
            np.testing.assert_array_equal(image.get_array(), np.rot90(view[row, 0].float().numpy()))
            assert image.cmap == TINT
            np.testing.assert_allclose(fill.get_array(), np.rot90(chosen)[..., None] * FILL, rtol=1e-6)
            assert drawn_edges(cells) == edges_between(chosen)
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()] == ["positive", "negative"]
    titles = [cells.get_title() for cells in axes[0]]
    assert titles == ["superpixels of original\npatient0 · p0", "original\n", "view 1\n"]
    assert axes[2, 0].get_title() == "patient1 · p0"


def test_the_superpixel_is_near_the_center_and_no_background():
    superpixels = np.repeat(np.arange(5), 4)[None].repeat(6, 0)  # columns, of which 2 holds the center
    image = np.zeros((6, 20), dtype=np.float32)
    image[superpixels == 0] = 1
    image[superpixels == 3] = 0.9
    assert central_superpixel(image, superpixels) == 3
    assert central_superpixel(1 - image, superpixels) == 2
    assert central_superpixel(np.full_like(image, 0.1), superpixels) == 2
    assert central_superpixel(np.full_like(image, 0.1), superpixels * 0 + 7) == 7
    image[superpixels == 1] = 0.9
    assert central_superpixel(image, superpixels) == 1  # as near as 3


def test_a_grid_of_maps_holds_at_most_eight_spread_slices():
    images, maps = torch.rand(17, 6, 6), torch.zeros(17, 6, 6, dtype=torch.int32)
    for row in range(17):
        maps[row].view(-1)[: row + 1] = torch.arange(row + 1)
    drawing = draw_superpixel_maps(images, maps.numpy(), name="maps")
    shown = [axes for axes in drawing.figure.axes if axes.images]
    assert [int(axes.get_title().split()[0]) for axes in shown] == [max(1, 17 * k // 8 + 1) for k in range(8)]
    assert drawing.name == "maps" and "8 of 17" in drawing.caption
    five = draw_superpixel_maps(images[:5], maps[:5])
    assert [bool(axes.images) for axes in five.figure.axes] == 5 * [True] + 3 * [False]
    assert not any(axes.axison for axes in five.figure.axes)


@pytest.mark.parametrize(
    "images, maps", [((2, 1, 6, 6), (2, 1, 6, 6)), ((2, 6, 6), (2, 6, 5)), ((0, 6, 6), (0, 6, 6)), ((6, 6), (6, 6))]
)
def test_maps_that_do_not_fit_are_refused(images, maps):
    with pytest.raises(ValueError, match=r"one shape \(N, H, W\)"):
        draw_superpixel_maps(torch.rand(images), torch.zeros(maps, dtype=torch.int64))


def test_long_names_lie_inside_the_figure_beside_many_views():
    batch = fabricated.superpixel_batch()
    batch |= {"names": ["a_patient_of_a_name_too_long"] * 6, "view_names": [f"view {n}" for n in range(1, 5)]}
    for drawing, count in ((draw_views(batch), 5 + 3), (draw_superpixels(batch), 3 + 3)):
        drawing.figure.canvas.draw()
        children = [child for axes in drawing.figure.axes for child in axes.get_children()]
        titles = [child for child in children if isinstance(child, Text) and child.get_text().strip()]
        assert len(titles) == count
        for title in titles:
            box = title.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= drawing.figure.bbox.x1, (drawing.name, title.get_text())
