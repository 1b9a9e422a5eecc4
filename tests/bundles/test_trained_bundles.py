# SPDX-License-Identifier: Apache-2.0
"""The bundles that come with weights: small, named, whole, and they segment in the first minute."""

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest
from workflows import run

from monai_cl_ext.bundles import bundle_files, copy_bundle, trained_names
from monai_cl_ext.bundles.build import TRAINED
from monai_cl_ext.packing.checks import check_bundle

SETTINGS = {
    "spatial_dims", "slice_axis", "image_size", "pixdim", "num_classes", "network_def", "batch_size",
    "batches_per_epoch", "epochs", "learning_rate", "val_interval", "class_names",
}  # fmt: skip


@pytest.mark.parametrize("name", trained_names())
def test_they_are_small_and_whole(name):
    folder = TRAINED / name
    check_bundle(folder)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 2**20
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    (known,) = metadata["weights_sha256"].items()
    assert known == ("models/model.pt", hashlib.sha256((folder / "models" / "model.pt").read_bytes()).hexdigest())
    assert "CC-BY-SA" in (folder / "docs" / "data_license.txt").read_text() and "ACDC" not in str(metadata)


@pytest.mark.parametrize("name", trained_names())
def test_they_are_what_is_packed_today(name):
    """But for the settings of their training, the configs are those of the bundle that trained them."""
    files, folder = bundle_files("supervised_segmentation"), TRAINED / name
    for path in (folder / "configs").glob("*.json"):
        own, origin = json.loads(path.read_text()), json.loads(files[f"configs/{path.name}"])
        assert own.keys() - {"training_packages_version", "weights_sha256"} == origin.keys(), path.name
        if path.stem != "metadata":
            assert {key for key in own if own[key] != origin[key]} <= SETTINGS, path.name
    page = (folder / "docs" / "README.md").read_text()
    assert all(text in page for text in ("Scores over the 49 patients", "| all classes |", "--output_dir OUT"))
    formats = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]
    image = formats["inputs"]["image"]
    assert image["is_patch_data"] == (len(image["spatial_shape"]) == 3)


@pytest.mark.parametrize("name", trained_names())
def test_they_say_which_license_holds_for_what(name):
    text = (TRAINED / name / "LICENSE").read_text()
    assert "models/model.pt, the weights: Creative Commons Attribution-ShareAlike 4.0" in text
    assert text.endswith((TRAINED.parents[2] / "LICENSE").read_text())


@pytest.mark.parametrize("name", trained_names())
def test_they_segment_what_they_were_trained_for(name, real_data, tmp_path):
    """Ten volumes of the data; a sanity check of the weights, whose scores on test patients the page tells."""
    root = copy_bundle(name, tmp_path)
    labels = sorted((real_data / "Task04_Hippocampus" / "labelsTr").glob("hippo*.nii.gz"))[:10]
    images = [str(path.parents[1] / "imagesTr" / path.name) for path in labels]
    run(root, ["inference"], "infer", device="cpu", datalist=images)
    scores = []
    for path in labels:
        (written,) = (root / "eval").rglob(f"{path.name.removesuffix('.nii.gz')}_trans.nii.gz")
        found, wanted = (np.asarray(nib.load(each).dataobj) > 0 for each in (written, path))
        scores.append(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))
    assert np.mean(scores) > 0.75
