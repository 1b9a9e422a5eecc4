# SPDX-License-Identifier: Apache-2.0
"""Scores of written predictions, honest and as the papers computed them."""

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from odd_names import ODD

from monai_cl_ext.csv_files import write_table
from monai_cl_ext.metrics import segmentation_scores
from monai_cl_ext.names import well_formed
from monai_cl_ext.study.paper_compat import paper_compat_scores
from monai_cl_ext.study.problems import Segmentation
from monai_cl_ext.study.scores import find_predictions, read_scores, score_predictions

CLASSES = {1: "one", 2: "two"}
SPACING = (1.5, 2.0, 8.0)


@pytest.fixture
def written(tmp_path):
    """Two cases; the second one's class 2 is missed by the prediction, and so is one slice of the first one's."""
    generator = np.random.default_rng(0)
    cases, arrays = [], []
    for number in range(2):
        label = np.zeros((12, 14, 4), np.uint8)
        label[2:9, 3:10, :3] = 1
        label[4:7, 5:8, 1:3] = 2
        prediction = np.roll(label, generator.integers(1, 3), axis=number)
        prediction[..., 2][prediction[..., 2] == 2] = 0
        if number == 1:
            prediction[prediction == 2] = 0
        affine = np.diag([*SPACING, 1.0])
        name = f"case{number}"
        case = {"image": f"/data/{name}.nii.gz", "label": str(tmp_path / f"{name}.nii.gz"), "patient": name}
        nib.save(nib.Nifti1Image(label, affine), case["label"])
        folder = tmp_path / "eval" / name
        folder.mkdir(parents=True)
        nib.save(nib.Nifti1Image(prediction, affine), folder / f"{name}_trans.nii.gz")
        cases.append(case)
        arrays.append((prediction, label))
    return cases, find_predictions(cases, tmp_path / "eval"), arrays


def test_scores_are_those_of_each_volume_on_its_grid(written):
    cases, predictions, arrays = written
    table = score_predictions(cases, predictions, CLASSES, use_spacing=True, tolerance=2.0)
    assert len(table) == 2 * 2 * 5
    for case, (prediction, label) in zip(cases, arrays, strict=True):
        expected = segmentation_scores(prediction, label, 3, SPACING)
        for index, name in CLASSES.items():
            rows = table[(table["patient"] == case["patient"]) & (table["class"] == name)].set_index("metric")
            for metric in ("dice", "jaccard", "hd95", "asd"):
                assert rows.loc[metric, "value"] == pytest.approx(float(expected[metric][index - 1]))
            assert 0 <= rows.loc["surface_dice", "value"] <= 1
            assert bool(rows.loc["dice", "missed"]) == (case["patient"] == "case1" and name == "two")


def test_surface_dice_grows_with_its_tolerance_and_is_one_for_the_label_itself(written):
    cases, predictions, _ = written

    def surface(found, tolerance):
        table = score_predictions(cases, found, CLASSES, use_spacing=True, tolerance=tolerance)
        return table[table["metric"] == "surface_dice"]["value"].to_numpy()

    assert (surface(predictions, 8.0) >= surface(predictions, 0.5)).all() and surface(predictions, 0.5).max() < 1
    assert surface({case["image"]: case["label"] for case in cases}, 0.5) == pytest.approx(np.ones(4))


def test_distances_in_voxels_where_the_spacing_is_not_known(written):
    cases, predictions, arrays = written
    table = score_predictions(cases, predictions, CLASSES, use_spacing=False, tolerance=1.0)
    expected = segmentation_scores(*arrays[0], 3)["hd95"][0]
    found = table[(table["patient"] == "case0") & (table["class"] == "one") & (table["metric"] == "hd95")]
    assert found["value"].item() == pytest.approx(float(expected))


def test_a_prediction_on_another_grid_is_refused(written, tmp_path):
    cases, predictions, _ = written
    nib.save(nib.Nifti1Image(np.zeros((12, 14, 5), np.uint8), np.eye(4)), predictions[cases[0]["image"]])
    with pytest.raises(
        ValueError, match=r"case0.*: label of \(12, 14, \d\) voxels .* but its image .* \(12, 14, \d\) .*"
    ):
        score_predictions(cases, predictions, CLASSES, True, 1.0)


def test_a_prediction_or_label_with_channels_is_refused(written):
    """The first of them would be taken for all otherwise."""
    cases, predictions, _ = written
    for path in (predictions[cases[0]["image"]], cases[1]["label"]):
        stored = nib.load(path)
        values = np.asarray(stored.dataobj)
        nib.save(nib.Nifti1Image(np.stack([values, values], -1), stored.affine), path)
        with pytest.raises(ValueError, match=rf"{Path(path).name}: expected one class number a voxel, found 2 values"):
            score_predictions(cases, predictions, CLASSES, True, 1.0)
        nib.save(stored.__class__(values, stored.affine), path)


def test_an_absent_or_ambiguous_prediction_is_named(written, tmp_path):
    cases, predictions, _ = written
    path = predictions[cases[0]["image"]]
    path.rename(path.with_name("case0_other.nii.gz"))
    assert find_predictions(cases, tmp_path / "eval")[cases[0]["image"]].name == "case0_other.nii.gz"
    (path.parent / "case0_again.nii.gz").touch()
    with pytest.raises(ValueError, match="found 2 predictions of case0"):
        find_predictions(cases, tmp_path / "eval")
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match="found no prediction case0_"):
        find_predictions(cases, tmp_path / "eval")


def test_the_papers_formulas_by_explicit_loops(written):
    cases, predictions, arrays = written
    table = paper_compat_scores(cases, predictions, CLASSES).set_index(["class", "metric"])["value"]
    for index, name in CLASSES.items():
        both = predicted = labelled = 0
        slices = []
        for prediction, label in arrays:
            both += ((prediction == index) & (label == index)).sum()
            predicted += (prediction == index).sum()
            labelled += (label == index).sum()
            for number in range(label.shape[2]):
                pair = prediction[..., number] == index, label[..., number] == index
                found = segmentation_scores(pair[0].astype(int), pair[1].astype(int), 2)["hd95"]
                slices.append(float(found[0]) if pair[0].any() and pair[1].any() else 0.0)
        assert table[name, "dice"] == pytest.approx(2 * both / (predicted + labelled))
        assert table[name, "jaccard"] == pytest.approx(both / (predicted + labelled - both))
        assert table[name, "hd95"] == pytest.approx(sum(slices) / len(slices))
        assert not math.isnan(table[name, "asd"])


def test_the_papers_distances_reward_a_missed_organ(written):
    """Why they are kept out of the other table."""
    cases, predictions, _ = written
    honest = score_predictions(cases, predictions, CLASSES, False, 1.0)
    honest = honest[(honest["metric"] == "hd95") & (honest["class"] == "two")].set_index("patient")["value"]
    papers = paper_compat_scores(cases[1:], predictions, CLASSES).set_index(["class", "metric"])["value"]
    assert papers["two", "hd95"] == 0 < honest["case0"] < honest["case1"]


def test_scores_of_odd_names_come_back_from_their_file(tmp_path):
    names = [well_formed(name) for name in ODD]
    table = pd.DataFrame(dict.fromkeys(("method", "volume", "patient", "class"), names))
    table = table.assign(labelled=1, metric="dice", value=[-0.5, np.nan, *(0.25 for _ in names[2:])], missed=False)
    write_table(tmp_path / "scores.csv", table)
    pd.testing.assert_frame_equal(read_scores(tmp_path / "scores.csv"), table, check_dtype=False)


def test_a_volume_whose_name_is_no_utf8_is_scored(tmp_path):
    name = "no\udce9utf8"
    for suffix in (".nii.gz", "_label.nii.gz", "_trans.nii.gz"):
        nib.save(nib.Nifti1Image(np.ones((4, 4, 2), np.uint8), np.eye(4)), tmp_path / f"{name}{suffix}")
    case = {"image": f"{tmp_path}/{name}.nii.gz", "label": f"{tmp_path}/{name}_label.nii.gz", "patient": name}
    scores = score_predictions([case], {case["image"]: tmp_path / f"{name}_trans.nii.gz"}, {1: name}, True, 1.0)
    assert set(scores["volume"]) == set(scores["patient"]) == set(scores["class"]) == {r"no\udce9utf8"}
    write_table(tmp_path / "scores.csv", scores)
    assert len(read_scores(tmp_path / "scores.csv")) == len(scores) == 5


def test_names_under_which_one_prediction_would_replace_another_are_refused(tmp_path):
    cases = [{"image": f"/data/case_{number}/imaging.nii.gz", "patient": f"case_{number}"} for number in range(2)]
    with pytest.raises(ValueError, match="/data/case_0/imaging.nii.gz and /data/case_1/.* same name, by which predict"):
        find_predictions(cases, tmp_path)
    split = {"pretrain": cases, "train": cases, "validation": cases[:1], "test": cases[1:]}
    Segmentation().refuse_unscored(split, {})  # parts are predicted apart
    with pytest.raises(ValueError, match="one would replace the other; give each image a name of its own"):
        Segmentation().refuse_unscored({**split, "test": cases}, {})
