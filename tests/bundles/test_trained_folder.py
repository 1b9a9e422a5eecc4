# SPDX-License-Identifier: Apache-2.0
"""A bundle's folder that was trained in: its weights are those of the last run, used as they were trained."""

import nibabel as nib
import numpy as np
import pytest
import torch
from workflows import SMALL, copy_bundle, run

from monai_cl_ext.data import write_phantom
from monai_cl_ext.files import load_tensors
from monai_cl_ext.packing.pack import pack
from monai_cl_ext.recipes.predict import predict

SETTINGS = {**SMALL, "batch_size": 4, "epochs": 1, "test_patients": 1, "validation_patients": 1}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_run_without_validation_patients_leaves_its_last_weights_and_not_those_of_the_run_before(tmp_path):
    data = write_phantom(tmp_path / "data", patients=4, seed=0)
    root = copy_bundle("supervised_segmentation", tmp_path)
    best, final = root / "models" / "model.pt", root / "models" / "model_final.pt"
    run(root, ["train"], **SETTINGS, dataset_dir=str(data))
    first = load_tensors(best)
    assert same(first, load_tensors(final))  # one epoch, so the best is the last
    run(root, ["train"], **{**SETTINGS, "validation_patients": 0}, dataset_dir=str(data), seed=5)
    assert same(load_tensors(best), load_tensors(final)) and not same(load_tensors(best), first)

    images, out = data / "imagesTr", str(tmp_path / "out")
    with pytest.raises(
        ValueError, match=r"inference.json is not that of its training, expected .*image_size \[32, 32\]"
    ):
        predict(str(root), str(images), out)
    packed = tmp_path / "packed"
    pack(str(root), str(packed), exports=False)
    assert predict(str(packed), str(images), out) == 4


def test_images_whose_axes_run_in_other_directions_than_those_trained_on_are_named(tmp_path, capsys):
    data = write_phantom(tmp_path / "data", patients=3, seed=0)
    for path in [*data.glob("imagesTr/*"), *data.glob("labelsTr/*")]:  # straight, as the phantom is not
        nib.save(nib.Nifti1Image(np.asarray(nib.load(path).dataobj), np.diag([-1.4, -1.4, 7.0, 1.0])), path)
    root = copy_bundle("supervised_segmentation", tmp_path)
    run(root, ["train"], **SETTINGS, dataset_dir=str(data))
    pack(str(root), str(tmp_path / "packed"), exports=False)
    first, *_ = sorted((data / "imagesTr").iterdir())
    nib.save(nib.load(first).slicer[::-1], first)  # the same image, its first axis the other way round
    capsys.readouterr()
    assert predict(str(tmp_path / "packed"), str(data / "imagesTr"), str(tmp_path / "out")) == 3
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    name = first.name.removesuffix(".nii.gz")
    assert f"axes of 1 image(s) run in other directions than those trained on, LPS: {name} RPS; " in told
