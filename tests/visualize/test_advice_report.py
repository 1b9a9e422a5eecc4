# SPDX-License-Identifier: Apache-2.0
"""The adviser's page and figures say what was found, and need nothing beside themselves."""

import html
import json
import re
import sys
from pathlib import Path

import figure_checks
import pytest
import torch
from report_pages import Page

sys.path.insert(0, str(Path(__file__).parents[1] / "advise"))
import advice_samples

from monai_cl_ext.advise import Sample, advise, write_advice
from monai_cl_ext.advise.comparison import MEASURES
from monai_cl_ext.advise.suggestion import CAUTION
from monai_cl_ext.visualize.advice_curves import draw_measure, draw_operations
from monai_cl_ext.visualize.advice_histograms import draw_histograms
from monai_cl_ext.visualize.advice_pictures import draw_gallery, draw_map
from monai_cl_ext.visualize.advice_report import write_advice_report


@pytest.fixture(scope="module")
def advice():
    return advise(advice_samples.sample(count=14, channels=3), size=24, strengths=(0.5, 1), progress=False)


@pytest.fixture(scope="module")
def folder(advice, tmp_path_factory) -> Path:
    folder = write_advice(advice, tmp_path_factory.mktemp("advice"))
    assert write_advice_report(advice, folder) == folder / "advice.html"
    return folder


def test_the_page_holds_every_section_and_refers_to_nothing_outside(folder):
    text = (folder / "advice.html").read_text()
    page = Page(text)
    assert page.sections == ["suggestion", "views", "strength", "distances", "map", "operations", "details"]
    assert all(value.startswith(("data:image/", "#")) for value in page.references)
    images = [value for value in page.references if value.startswith("data:")]
    assert len(images) == len(list((folder / "figures").glob("*.png"))) == 1 + 5 + 2 + 1 + 1
    assert len(list((folder / "figures").glob("*.svg"))) == len(images)
    assert "@import" not in text and "url(" not in text and not re.search(r"https?://", text)


def test_the_page_says_what_is_suggested_how_far_it_holds_and_what_was_looked_at(advice, folder):
    page = Page((folder / "advice.html").read_text())
    text = " ".join(page.text.split())
    suggested = f"Suggested strength of the policy strong: {advice.strength:g}."
    looked = ("made by hand.", "Views of 24 × 24 pixels, 3 channels, seed 0.", "untrained weights (seed 0)")
    for said in (suggested, CAUTION, *looked, *advice.why):
        assert said in text, said
    score = page.tables[0]
    assert [row[0] for row in score[1:]] == ["0", "0.5", "1"]
    assert [row[2] for row in score[1:]] == [f"{value:.2f}" for value in advice.scores.values()]
    table = next(table for table in page.tables if table[0][0] == "operation")
    assert [row[0] for row in table[1:]] == [rung.name for rung in advice.operations]
    assert table[1][1] == f"{advice.operations[0].spaces['pixels'].measures['auc']:.3f}"


def test_the_overlay_can_be_copied_from_the_page(advice, folder):
    (code,) = re.findall(r"<code>(.*?)</code>", (folder / "advice.html").read_text(), flags=re.DOTALL)
    assert json.loads(html.unescape(code)) == advice.overlay


def test_axes_are_named_and_nothing_lies_outside(advice):
    above = advice.strengths[1:]
    drawings = [
        draw_gallery(advice), draw_map(advice), draw_operations(advice.operations),
        draw_histograms(above, "pixels", "pixels"),
        *(draw_measure(advice.strengths, measure, advice.strength) for measure in MEASURES),
    ]  # fmt: skip
    for drawing in drawings:
        figure_checks.check_room(drawing)
        if drawing.name != "pixels":  # the panels of histograms share the names of the figure
            figure_checks.check_names(drawing)


def test_lines_bars_and_histograms_are_the_numbers(advice):
    axes = draw_measure(advice.strengths, "alignment", 0.5).figure.axes[0]
    for line, space in zip(axes.lines, ("pixels", "random encoder"), strict=True):
        assert line.get_xdata().tolist() == [0, 0.5, 1]
        assert line.get_ydata().tolist() == [rung.spaces[space].measures["alignment"] for rung in advice.strengths]
    assert draw_measure(advice.strengths, "d_prime", 0.5).figure.axes[0].lines[0].get_xdata().tolist() == [0.5, 1]
    marked = draw_measure(advice.strengths, "auc", 0.4).figure.axes[0].lines[-1]
    assert marked.get_xdata() == [0.4, 0.4]
    bars = draw_operations(advice.operations).figure.axes[0]
    names = [label.get_text() for label in bars.get_yticklabels()]
    lost = {rung.name: 1 - rung.spaces["random encoder"].measures["auc"] for rung in advice.operations}
    assert [lost[name] for name in names] == sorted(lost.values(), reverse=True)
    assert [bar.get_width() for bar in bars.patches[len(names) :]] == [lost[name] for name in names]
    panel = draw_histograms(advice.strengths[1:], "pixels", "pixels").figure.axes[0]
    assert panel.patches[0].get_data().values.tolist() == advice.strengths[1].spaces["pixels"].positive
    assert panel.patches[2].get_data().values.tolist() == advice.strengths[1].spaces["pixels"].negative


def test_photographs_stand_upright_and_slices_as_volumes_are_stored():
    for volumetric, channels in ((False, 1), (False, 3), (True, 1)):
        image = advice_samples.smooth(12, channels)
        image[:, :, :4, :] = 0.0  # the first rows are dark
        sample = Sample(image, torch.arange(12), ["x"] * 12, "", volumetric)
        found = advise(sample, size=32, strengths=[1], progress=False)
        (shown,) = draw_gallery(found).figure.axes[0].images
        picture = shown.get_array()
        dark = picture[:, :4] if volumetric else picture[:4]
        assert float(dark.max()) < 0.01 < float(picture.mean())
