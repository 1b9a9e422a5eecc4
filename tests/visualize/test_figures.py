# SPDX-License-Identifier: Apache-2.0
"""Figures show what the records hold, and every axis has a name."""

import math

import fabricated
import numpy as np
import pytest
import torch
from figure_checks import check_names, check_room
from matplotlib.colors import to_rgb

from monai_cl_ext.visualize import (
    curves,
    draw_curves,
    draw_embeddings,
    draw_overlays,
    draw_pair_images,
    draw_pair_map,
    draw_scores,
    draw_superpixel_maps,
    draw_superpixels,
    draw_views,
    find_runs,
)
from monai_cl_ext.visualize.embedding_map import principal_components
from monai_cl_ext.visualize.pair_map import COLOR_OF, IGNORED, ITSELF, NEGATIVE, POSITIVE
from monai_cl_ext.visualize.scores import mean, volume_means

SCORES = {"scratch": fabricated.score_rows(0.0), "pretrained": fabricated.score_rows(0.2)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return find_runs(fabricated.write_runs(tmp_path_factory.mktemp("figures") / "runs"))


def all_drawings(runs):
    batch = fabricated.batch()
    curves = [drawing for drawings in draw_curves(runs).values() for drawing in drawings]
    return [
        draw_views(batch), draw_pair_map(batch), draw_pair_images(batch), *draw_embeddings(fabricated.embeddings()),
        draw_scores(SCORES, "dice"), draw_scores(SCORES, "hd95"), *curves,
        draw_overlays(fabricated.overlays(), SCORES["scratch"], "scratch"),
        draw_superpixels(fabricated.superpixel_batch()), draw_superpixel_maps(*slices()),
    ]  # fmt: skip


def slices(number=6):
    batch = fabricated.superpixel_batch()
    return batch["originals"][:number, 0], batch["superpixels"][:number]


def test_every_figure_has_names_and_room_for_them(runs):
    drawings = all_drawings(runs)
    assert len({drawing.name for drawing in drawings}) == len(drawings)
    for drawing in drawings:
        check_names(drawing)
        check_room(drawing)


def test_figures_are_saved_as_png_and_svg(runs, tmp_path):
    source = draw_pair_map(fabricated.batch()).save(tmp_path / "figures")
    assert source.startswith("data:image/png;base64,iVBOR")
    assert (tmp_path / "figures" / "pair_map.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "figures" / "pair_map.svg").read_text()[:500]
    assert draw_scores(SCORES, "dice").save(tmp_path).startswith("data:image/svg+xml;base64,")


def test_embeddings_of_patches_are_colored_by_each_coordinate():
    record = fabricated.embeddings()
    record["position"] = torch.rand(len(record["partition"]), 3, dtype=torch.float64)
    drawings = draw_embeddings(record)
    assert [drawing.name for drawing in drawings] == ["embeddings_partition"] + [
        f"embeddings_position_along_axis_{axis}" for axis in range(3)
    ]
    assert "24 patches of 2 held-out volumes" in drawings[0].caption
    for axis, drawing in enumerate(drawings[1:]):
        check_names(drawing)
        check_room(drawing)
        colors = drawing.figure.axes[0].collections[0].get_array()
        np.testing.assert_allclose(colors, record["position"][:, axis])


def test_the_pair_map_paints_each_pair_by_its_kind():
    batch = fabricated.batch()
    drawing = draw_pair_map(batch)
    cells = np.array([[int(kind) for kind in line] for line in drawing.hover["cells"]])
    assert cells.shape == (18, 18)
    places = [name.split(" · ") for name in drawing.hover["rows"]]  # patient, partition, view
    for i, (patient, partition, view) in enumerate(places):
        for j, (other, part, seen) in enumerate(places):
            same = (patient, partition) == (other, part)
            expected = ITSELF if i == j else POSITIVE if same else NEGATIVE if partition != part else IGNORED
            assert cells[i, j] == expected, (places[i], places[j], view, seen)
    image = drawing.figure.axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), cells)
    assert image.cmap(image.norm(POSITIVE))[:3] == pytest.approx(to_rgb(COLOR_OF[POSITIVE]))
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend == ["positive (18)", "negative (108)", "ignored (27)"]  # 6·3, 3·6·6, 3·3·3 of the 153 pairs


def test_the_box_of_the_map_is_where_the_map_lies():
    drawing = draw_pair_map(fabricated.batch())
    left, top, width, height = drawing.hover["box"]
    buffer = np.asarray(drawing.figure.canvas.buffer_rgba())[..., :3] / 255
    rows, columns = buffer.shape[:2]
    for row, column in ((0, 0), (17, 17), (17, 0)):
        y = int((top + (row + 0.5) / 18 * height) * rows)
        x = int((left + (column + 0.5) / 18 * width) * columns)
        kind = int(drawing.hover["cells"][row][column])
        assert buffer[y, x] == pytest.approx(to_rgb(COLOR_OF[kind]), abs=0.02)


def test_pair_images_frame_positives_and_negatives_of_each_anchor():
    drawing = draw_pair_images(fabricated.batch())
    titles = [axes.get_title().split(" · ")[0] for axes in drawing.figure.axes if axes.get_title()]
    assert titles == 2 * ["anchor", "positive", "positive", "negative"]
    partitions = [axes.get_title()[-1] for axes in drawing.figure.axes if axes.get_title()]
    for anchor in (0, 4):
        assert partitions[anchor] == partitions[anchor + 1] == partitions[anchor + 2] != partitions[anchor + 3]


def test_anchors_are_of_the_first_view_that_has_pairs():
    batch = fabricated.batch()
    for kind in ("positive", "negative"):
        batch[kind][:6] = batch[kind][:, :6] = False
    titles = [axes.get_title().split("\n")[0] for axes in draw_pair_images(batch).figure.axes if axes.get_title()]
    assert titles == 2 * ["anchor · view 1", "positive · view 2", "negative · view 1"]


def test_principal_components_tell_the_variance():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    points, explained = principal_components(rows)
    unit = rows / rows.norm(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh(torch.cov(unit.T))
    assert explained == pytest.approx((values.flip(0) / values.sum())[:2].tolist())
    expected = (unit - unit.mean(0)) @ vectors.flip(1)[:, :2]
    torch.testing.assert_close(points.abs(), expected.abs())
    assert principal_components(torch.ones(3, 4))[1] == pytest.approx((0.0, 0.0))


def test_score_dots_are_the_volumes_and_lines_the_means():
    drawing = draw_scores(SCORES, "hd95")
    axes = drawing.figure.axes[0]
    dots = sorted(x for found in axes.collections for x, _ in found.get_offsets().tolist())
    values = [row["hd95"] for rows in SCORES.values() for row in rows if not math.isnan(row["hd95"])]
    assert dots == pytest.approx(sorted(values))
    lines = [line.get_xdata()[0] for line in axes.lines]
    expected = [mean([row["hd95"] for row in rows if row["class"] == label]) for rows in SCORES.values()
                for label in fabricated.CLASSES]  # fmt: skip
    assert lines == pytest.approx(expected)
    assert "Hollow" in drawing.caption and "4 volumes" in drawing.caption
    assert "voxels" in draw_scores(SCORES, "hd95", "voxels").figure.axes[0].get_xlabel()


def test_means_leave_absent_classes_out():
    assert mean([1.0, math.nan, 2.0]) == 1.5 and math.isnan(mean([math.nan]))
    assert volume_means(SCORES["scratch"], "dice") == pytest.approx({"case0": 0.4, "case1": 0.225, "case2": 0.45,
                                                                     "case3": 0.5})  # fmt: skip


def test_overlays_are_the_best_the_median_and_the_worst():
    drawing = draw_overlays(fabricated.overlays(), SCORES["scratch"], "scratch")
    titles = [axes.get_title("left") for axes in drawing.figure.axes if axes.get_title("left")]
    assert titles == ["best: case3, Dice 0.50", "median: case0, Dice 0.40", "worst: case1, Dice 0.22"]
    assert draw_overlays(fabricated.overlays(), fabricated.score_rows(0.0, 0), "none") is None
    one = draw_overlays(fabricated.overlays(1), SCORES["scratch"], "one")
    assert len(one.figure.axes) == 3


def test_curves_are_those_of_the_event_files(runs):
    drawings = draw_curves(runs)
    assert list(drawings) == ["pretrain_global", "train"]
    probe = next(drawing for drawing in drawings["pretrain_global"] if "partition_probe" in drawing.name)
    curve, chance = probe.figure.axes[0].lines
    assert curve.get_ydata() == pytest.approx([0.3, 0.5, 0.9], abs=1e-6)
    assert set(chance.get_ydata()) == {0.25}
    assert probe.figure.axes[0].get_xlabel() == "epoch"
    rank = next(drawing for drawing in drawings["pretrain_global"] if "effective_rank" in drawing.name)
    assert rank.figure.axes[0].lines[0].get_xdata().tolist() == [1, 3]  # nan is left out
    loss = drawings["pretrain_global"][0].figure.axes[0]
    assert loss.get_xlabel() == "iteration" and len(loss.lines) == 2 and len(loss.lines[0].get_xdata()) == 60
    steps, values = loss.lines[1].get_data()
    assert values[0] == pytest.approx(np.mean([1 / step for step in range(1, 7)])) and steps[0] == 3
    dice = drawings["train"][1]
    assert [text.get_text() for text in dice.figure.legends[0].get_texts()] == ["pretrained", "scratch"]


@pytest.mark.parametrize("epochs", [(15, 30), (30, 15)])
def test_curves_of_runs_of_different_lengths_count_epochs(epochs, tmp_path):
    record = {"max_epochs": epochs[0], "settings": {}}, {"max_epochs": epochs[1], "settings": {}}
    shown = {str(n): (record[n], [(epoch, 0.5) for epoch in range(1, epochs[n] + 1)]) for n in range(2)}
    assert curves._draw("train", "mean_dice", shown).figure.axes[0].get_xlabel() == "epoch"
