# SPDX-License-Identifier: Apache-2.0
"""The page on views shows what was measured, needs nothing outside, and its figures hold the numbers."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import figure_checks
import numpy as np
import pytest
import torch
import view_samples
from report_pages import Page

from monai_cl_ext.view_report.comparison import auc, compare_views
from monai_cl_ext.view_report.policies import ViewSettings
from monai_cl_ext.view_report.report import NO_FORECAST, _distances, _map, _views, write_views
from monai_cl_ext.view_report.sample import Sample

SETTINGS = ViewSettings(["strong", "gcl"], [0.5, 1], pick="gcl,0.5", size=24)
SAMPLE = view_samples.sample(count=14, channels=3)


@pytest.fixture(scope="module")
def found():
    return compare_views(SETTINGS, SAMPLE)


@pytest.fixture(scope="module")
def folder(found, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("views") / "out"
    assert write_views(SETTINGS, SAMPLE, "MONAI UNet, not trained", found, str(folder)) == folder / "views.html"
    return folder


@pytest.mark.slow
def test_the_page_holds_every_section_and_refers_to_nothing_outside(folder):
    text = (folder / "views.html").read_text()
    page = Page(text)
    assert page.sections == ["views", "distances", "map", "bundle"]
    assert all(value.startswith(("data:image/", "#")) for value in page.references)
    images = [value for value in page.references if value.startswith("data:")]
    names = {f"{kind}_{number}" for kind in ("views", "distances", "map") for number in (1, 2)}
    for suffix in ("png", "svg"):
        assert {path.stem for path in (folder / "figures").glob(f"*.{suffix}")} == names
    assert len(images) == len(set(images)) == 6
    assert "@import" not in text and "url(" not in text and not re.search(r"https?://", text)


def test_the_page_says_what_was_looked_at_and_that_it_predicts_nothing(folder):
    text = " ".join(Page((folder / "views.html").read_text()).text.split())
    looked = ("Made by hand.", "Network: MONAI UNet, not trained. Views of 24 pixels, seed 0.")
    for said in (NO_FORECAST, *looked, "Views: strong", "Map: gcl"):
        assert said in text, said
    assert "suggest" not in text.lower()


def test_tables_and_file_hold_the_distances(found, folder):
    content = json.loads((folder / "views.json").read_text())
    rows = {(row["space"], row["policy"], row["strength"]): row for row in content["distances"]}
    assert len(rows) == 2 * 5
    tables = Page((folder / "views.html").read_text()).tables
    for space, table in zip(("pixels", "network"), tables, strict=True):
        for one, line in zip(found, table[1:], strict=True):
            positive, negative = one.distances[space]
            expected = float(positive.mean()), float(negative.mean()), auc(positive, negative)
            row = rows[space, one.policy, one.strength]
            assert (row["positive"], row["negative"], row["AUC"]) == expected
            assert line == [one.policy, f"{one.strength:g}", *(f"{value:.3f}" for value in expected)]


def test_the_picked_overlay_is_written_and_shown_with_the_option_that_takes_it(folder):
    overlay = (folder / "view_policy.json").read_text()
    assert json.loads(overlay) == SETTINGS.choices()["gcl,0.5"].overlay
    option, shown = re.findall(r"<code>(.*?)</code>", (folder / "views.html").read_text(), flags=re.DOTALL)
    assert json.loads(html.unescape(shown)) == json.loads(overlay)
    assert html.unescape(option).endswith(f"'{(folder / 'view_policy.json').resolve()}']\"")


def test_without_a_pick_no_overlay_is_written_and_the_page_says_how_to_pick(found, tmp_path):
    settings = ViewSettings(["strong"], [1], size=24)
    chosen = [one for one in found if one.policy == "none" or (one.policy, one.strength) == ("strong", 1)]
    page = write_views(settings, SAMPLE, "", chosen, str(tmp_path))
    assert not (tmp_path / "view_policy.json").exists()
    assert "--pick strong,1" in page.read_text()
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"views_1", "distances_1", "map_1"}


def test_nothing_lies_outside_a_figure(found):
    steps = [one for one in found if one.policy in ("none", "strong")]
    for draw in (_views, _distances, _map):
        figure_checks.check_room(draw(steps, SAMPLE, "x_1"))


def test_histograms_hold_the_shares_of_the_pairs_and_the_map_a_dot_for_each_view(found):
    steps = [one for one in found if one.policy in ("none", "strong")]
    axes = _distances(steps, SAMPLE, "x_1").figure.axes
    assert len(axes) == 2 * 2
    for panel, (step, space) in zip(axes, [(one, space) for one in steps[1:] for space in one.distances], strict=True):
        for patch, distances in zip(panel.patches, step.distances[space], strict=True):
            shares = patch.get_data().values
            assert shares.sum() == pytest.approx(1)
            middle = np.linspace(0.02, 1.98, 50) @ shares
            assert middle == pytest.approx(float(distances.mean()), abs=0.02)
    panels = _map(steps, SAMPLE, "x_1").figure.axes[:2]
    for panel in panels:
        assert [len(dots.get_offsets()) for dots in panel.collections] == [20] * 12


def test_pictures_stand_upright_and_slices_as_volumes_are_stored():
    for volumetric, channels in ((False, 1), (False, 3), (True, 1)):
        image = view_samples.smooth(12, channels)
        image[:, :, :4, :] = 0.0  # the first rows are dark
        sample = Sample(image, torch.arange(12), ["x"] * 12, "", volumetric)
        steps = compare_views(ViewSettings(["gcl"], [1], size=32), sample)
        (shown,) = _views(steps, sample, "x_1").figure.axes[0].images
        picture = shown.get_array()
        dark = picture[:, :4] if volumetric else picture[:4]
        assert float(dark.max()) < 0.01 < float(picture.mean())


def test_a_missing_scikit_learn_is_named_with_its_remedy():
    code = "import sys; sys.modules['sklearn'] = None; import monai_cl_ext.view_report.report"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ImportError: pages on views")]
    assert "needs sklearn" in line and "pip install 'monai-cl-ext[report]'" in line
