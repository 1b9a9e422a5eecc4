# SPDX-License-Identifier: Apache-2.0
"""The time that a study is told to take: of the steps that most of a training consists of."""

import pytest

from monai_cl_ext.data import find_cases, write_phantom
from monai_cl_ext.methods.two_stages import TwoStages
from monai_cl_ext.study.bundles import find_bundle
from monai_cl_ext.study.probe import STEPS, expected_seconds
from monai_cl_ext.study.task import Run, Task


@pytest.mark.parametrize("name", ["bcp_segmentation", "self_training_segmentation"])
def test_methods_of_two_stages_are_timed_behind_their_warm_up(name, tmp_path, monkeypatch):
    cases = find_cases(write_phantom(tmp_path / "phantom", patients=3))
    labelled = [case for case in cases if case.get("label")][:1]
    split = {"pretrain": cases, "train": labelled, "validation": [], "test": []}
    settings = {
        "pixdim": [5.0, 5.0], "image_size": [32, 32], "network_def#features": [4, 8, 8, 8, 8, 4], "batch_size": 4,
        "epochs": 4, "batches_per_epoch": 10, "num_classes": 4,
    }  # fmt: skip
    stages = []
    after_step = TwoStages.after_step

    def record(self):
        stages.append(self.warming_up)
        after_step(self)

    monkeypatch.setattr(TwoStages, "after_step", record)
    task = Task(
        "cell", str(find_bundle(name).folder), [], [Run(["train"], settings, {"split": split, "labelled": labelled})]
    )
    assert expected_seconds([task])["cell"] > 0
    assert stages == [False] * STEPS
