# SPDX-License-Identifier: Apache-2.0
"""A study of volumes with a file for each channel, as nnU-Net has them."""

import json
import shutil
from pathlib import Path

import pytest
from launcher import here

from monai_cl_ext.data import write_phantom
from monai_cl_ext.study.cells import tasks
from monai_cl_ext.study.collection import collect_scores, write_tables
from monai_cl_ext.study.commands import keep_plan
from monai_cl_ext.study.leaks import LeakError, refuse_leaks
from monai_cl_ext.study.planning import make_plan
from monai_cl_ext.study.report.page import write_study_report
from monai_cl_ext.study.scheduler import run_cells

SMALL = {"image_size": [32, 32], "pixdim": [5.0, 5.0], "network_def#features": [4, 8, 8, 8, 8, 4], "in_channels": 4}
SHORT = {"epochs": 1, "batches_per_epoch": 2}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "phantom"
    return write_phantom(folder, patients=7, seed=0, channels=4, channel_files=True)


def arguments(phantom: Path, **others) -> dict:
    return {
        "dataset_dir": str(phantom), "methods": ["scratch", "simclr_segmentation"], "labelled": [2], "draws": 1,
        "scratch_learning_rates": [], "validation": 2, "test": 2, "settings": SMALL, "pretrain_settings": SHORT,
        "train_settings": SHORT, **others,
    }  # fmt: skip


@pytest.mark.slow
def test_the_channels_of_a_volume_are_studied_together(phantom, tmp_path):
    root = tmp_path / "study"
    plan = keep_plan(root, arguments(phantom))
    assert keep_plan(root, {}) == plan and all(len(case["image"]) == 4 for case in plan.splits[0]["pretrain"])
    cells = tasks(plan, root)
    run_cells(cells, root, here, 1)
    scores = collect_scores(cells, root)
    assert len(scores) == 2 * 2 * 3 * 5 and scores[scores["metric"] == "dice"]["value"].between(0, 1).all()
    card = (root / "data_card.csv").read_text()
    assert "volumes with LV" in card
    write_tables(cells, root)
    assert "No overlays: the study" not in write_study_report(root).read_text()


def test_a_channel_that_is_gone_is_told(phantom, tmp_path):
    content = json.loads(make_plan(**arguments(phantom)).to_json())
    content["splits"][0]["test"][0]["image"][3] = str(tmp_path / "gone_0003.nii.gz")
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match="gone_0003.nii.gz, which does not exist; bring the volumes back"):
        keep_plan(tmp_path, {})


def test_two_patients_with_one_image_are_told_by_its_first_channel(phantom, tmp_path):
    (split,) = make_plan(**arguments(phantom)).splits
    seen, tested = split["train"][0]["image"], split["test"][0]
    copied = shutil.copy(seen[0], tmp_path / "copied_0000.nii.gz")
    split["test"][0] = {**tested, "image": [str(copied), *tested["image"][1:]]}
    with pytest.raises(LeakError, match="have the same image"):
        refuse_leaks(split)
