# SPDX-License-Identifier: Apache-2.0
"""Weights of learned superpixels that saw held-out patients are refused before a study begins."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl_ext.data import write_phantom
from monai_cl_ext.networks import LNSNet
from monai_cl_ext.study.leaks import LeakError
from monai_cl_ext.study.planning import make_plan
from monai_cl_ext.superpixel_training.commands import SuperpixelCommands
from monai_cl_ext.transforms.superpixels.weights import save_weights

SIZES = {"image_size": [32, 32], "pixdim": [5.0, 5.0]}


@pytest.fixture
def phantom(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_CL_EXT_STORE", str(tmp_path / "store"))
    return write_phantom(tmp_path / "phantom", patients=6, seed=0)


def plan(phantom, method="supercl_segmentation+superpixels_lnsnet", **others):
    return make_plan(
        dataset_dir=str(phantom), methods={"method": method}, labelled=[1], draws=1, validation=1, test=1, **others
    )


def train(phantom, file=None, leave_out=()):
    names = {"backend": "lnsnet", "output": file, "leave_out": leave_out}
    SuperpixelCommands().train(str(phantom), n_segments=9, steps=1, device="cpu", **names, **SIZES)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_patient_who_was_trained_on_is_named(part, phantom):
    (split,) = plan(phantom, "supercl_segmentation").splits
    other = {"validation": "test", "test": "validation"}[part]
    patients = {name: sorted({case["patient"] for case in split[name]}) for name in (part, other)}
    train(phantom, leave_out=patients[other])
    with pytest.raises(LeakError, match=f"lnsnet.pt were trained on patient '{patients[part][0]}', who is a {part} .*"):
        plan(phantom)
    assert plan(phantom, transductive=True).transductive
    assert plan(phantom, "supercl_segmentation+superpixels_felzenszwalb").splits == [split]


def test_weights_that_saw_no_held_out_patient_pass_also_by_a_setting(phantom, tmp_path):
    (split,) = plan(phantom, "supercl_segmentation").splits
    held_out = sorted({case["patient"] for part in ("validation", "test") for case in split[part]})
    settings = {"superpixel_backend": "lnsnet"}
    for name, leave_out in (("all.pt", ()), ("some.pt", held_out)):
        train(phantom, str(tmp_path / name), leave_out)
        chosen = {"method_settings": {"method": {**settings, "superpixel_weights": str(tmp_path / name)}}}
        if not leave_out:
            with pytest.raises(LeakError, match=r"^method: the superpixels of .*all\.pt were trained on"):
                plan(phantom, "supercl_segmentation", **chosen)
    assert plan(phantom, "supercl_segmentation", **chosen).method_settings == chosen["method_settings"]


def test_a_copy_that_was_written_anew_is_known_and_weights_without_a_record_are_told(phantom, tmp_path):
    chosen = {"superpixel_backend": "lnsnet", "superpixel_weights": str(tmp_path / "copy.pt")}
    given = {"method": "supercl_segmentation", "method_settings": {"method": chosen}}
    copy = Path(shutil.copytree(phantom, tmp_path / "copy"))
    for path in copy.glob("images*/*.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine), path)
    train(copy, str(tmp_path / "copy.pt"))
    with pytest.raises(LeakError, match=r"copy\.pt were trained on"):
        plan(phantom, **given)
    save_weights(tmp_path / "copy.pt", "lnsnet", {}, LNSNet())
    with pytest.warns(UserWarning, match=r"copy\.pt do not tell which images they were trained on"):
        plan(phantom, **given)


def test_weights_that_are_absent_are_named_before_anything_is_trained(phantom):
    with pytest.raises(ValueError, match="lnsnet.pt: expected a file, found none; .* superpixels train DIR"):
        plan(phantom)


def test_a_device_that_is_not_there_is_named_before_volumes_are_read(tmp_path):
    with pytest.raises(ValueError, match="device: expected one of this machine, such as cpu or cuda, found 'gpu'"):
        SuperpixelCommands().train(str(tmp_path / "absent"), "lnsnet", device="gpu")
