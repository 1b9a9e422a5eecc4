# SPDX-License-Identifier: Apache-2.0
"""The bundles that come with weights: small, named, whole, and they segment in the first minute."""

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest
from workflows import run

from monai_cl_ext.bundles import copy_bundle, trained_names
from monai_cl_ext.bundles.build import TRAINED
from monai_cl_ext.packing.checks import check_bundle


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
