# SPDX-License-Identifier: Apache-2.0
"""The data card of a study reads through the gate of the trainings."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data_check"))
from bad_folders import holding, label_of, save, write_folder

from monai_cl_ext.data import find_cases
from monai_cl_ext.study.card import data_card


def plan(folder, classes=("organ", "lesion")):
    """A plan whose validation and test patients are pre-trained on without their labels."""
    cases = find_cases(folder)
    bare = [{"image": case["image"], "patient": case["patient"]} for case in cases]
    split = {"pretrain": bare, "train": cases[2:], "validation": cases[:1], "test": cases[1:2]}
    return SimpleNamespace(
        problem="segmentation", settings={}, splits=[split], classes=dict(enumerate(classes, start=1))
    )


def test_the_card_counts_labels_where_a_part_has_them(tmp_path):
    card = data_card(plan(write_folder(tmp_path / "data"))).set_index("part")
    assert card["labeled volumes"].to_dict() == {"pretrain": 0, "train": 6, "validation": 1, "test": 1}
    assert card["volumes"].to_dict() == {"pretrain": 8, "train": 6, "validation": 1, "test": 1}
    assert card.loc["train", "volumes with lesion"] == 6 and card.loc["pretrain", "volumes with lesion"] == 0
    assert card.loc["test", "size"] == "24 x 20 x 8" and card.loc["test", "spacing"] == "1.5 x 1.5 x 8"
    assert card.loc["train", "slices"] == 6 * 8


@pytest.mark.parametrize("value, told", [(0.5, "found the value 0.5"), (3, "num_classes 3, found 3"), (-1, "found -1")])
def test_a_label_outside_the_plan_is_refused_with_its_file(value, told, tmp_path):
    folder = write_folder(tmp_path / "data")
    save(holding(value), label_of(folder))
    with pytest.raises(ValueError, match=f"{label_of(folder)}: .*{told}"):
        data_card(plan(folder))


def test_validation_labels_without_any_class_are_refused(tmp_path):
    folder = write_folder(tmp_path / "data")
    save(holding(0) * 0, label_of(folder, "p00"))
    with pytest.raises(ValueError, match=r"split 0: no label of its 1 validation patient\(s\) holds a class"):
        data_card(plan(folder))


def test_a_warning_of_the_gate_is_passed_on(tmp_path):
    folder = write_folder(tmp_path / "data")
    save(holding(1.005), label_of(folder))
    with pytest.warns(UserWarning, match="p03.nii.gz: its class numbers are not whole"):
        data_card(plan(folder))
