# SPDX-License-Identifier: Apache-2.0
"""A raw data set of nnU-Net with two channels: stages take it as they are told to, and else refuse it by name."""

import json

import nibabel as nib
import numpy as np
import pytest
from workflows import SMALL, copy_bundle, message_of, run

from monai_cl_ext.data.any_folder import find_images
from monai_cl_ext.view_report.sample import read_sample

TWO = {"in_channels": 2}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw [2]")
    for place in ("imagesTr", "labelsTr"):
        (folder / place).mkdir()
    for number in range(9):
        draw = np.random.default_rng(number)
        for channel in range(2):
            image = nib.Nifti1Image(draw.random((32, 32, 6), np.float32) * 10**channel, np.diag([2, 2, 8, 1]))
            nib.save(image, folder / "imagesTr" / f"c{number}_{channel:04d}.nii.gz")
        label = nib.Nifti1Image(draw.integers(0, 4, (32, 32, 6)).astype(np.uint8), np.diag([2, 2, 8, 1]))
        nib.save(label, folder / "labelsTr" / f"c{number}.nii.gz")
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3}}
    (folder / "dataset.json").write_text(json.dumps({**content, "numTraining": 9, "file_ending": ".nii.gz"}))
    return folder


def test_two_channels_are_pretrained_trained_and_scored(raw, tmp_path):
    root = copy_bundle("gcl_segmentation", tmp_path)
    settings = {**SMALL, "dataset_dir": str(raw), "epochs": 1}
    flow = run(root, ["pretrain_global"], **settings, **TWO)
    assert flow.parser.get_parsed_content("train#dataset")[0]["image"].shape[0] == 2
    start = {"pretrained": f"{root}/models/model_pretrain_global.pt", "batch_size": 4}
    run(root, ["train"], **settings, **TWO, **start)
    run(root, ["train", "evaluate"], **settings, **TWO, batch_size=4)
    assert "c" in (root / "eval" / "metrics.csv").read_text()


def test_other_channels_than_asked_for_are_refused_by_name(raw, tmp_path):
    root = copy_bundle("gcl_segmentation", tmp_path)
    with pytest.raises(RuntimeError) as raised:
        run(root, ["pretrain_global"], **SMALL, dataset_dir=str(raw))
    told = message_of(raised)
    assert "_0001.nii.gz" in told and "found 2 channel(s), expected 1; give --in_channels 2 to every stage" in told


def test_the_page_of_views_takes_the_channels_of_a_volume_together(raw):
    sample = read_sample(find_images(str(raw)), 16, 24)
    assert sample.volumetric and sample.image.shape == (16, 2, 24, 24) and len(sample.patient.unique()) == 9
