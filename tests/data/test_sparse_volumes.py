# SPDX-License-Identifier: Apache-2.0
"""Volumes that cannot be scaled are found by their own values, in any number of threads, under any warning filter."""

import warnings

import nibabel as nib
import numpy as np
import pytest

from monai_cl_ext.data import SliceDataset, volume_transform

SPARSE = {  # share of the voxels that differ from the others: the 1st and the 99th percentile coincide in all
    "constant": 0.0, "one_bright": 1e-3, "few_bright": 0.009, "few_dark": -0.009,
}  # fmt: skip
GOOD = {"bright": 0.02, "dark": -0.02, "half": 0.5}


def save(path, share):
    image = np.full(1000, 7.0, dtype=np.float32)
    image[: round(abs(share) * 1000)] = 7 + 100 * np.sign(share)
    nib.save(nib.Nifti1Image(np.random.default_rng(1).permutation(image).reshape(10, 10, 10), np.eye(4)), path)
    return {"image": str(path), "patient": path.name.partition(".")[0]}


@pytest.fixture
def data(tmp_path):
    kinds = [*SPARSE.items(), *GOOD.items()] * 4
    return [save(tmp_path / f"{name}{number}.nii.gz", share) for number, (name, share) in enumerate(kinds)]


@pytest.mark.parametrize("workers", [1, 6])
@pytest.mark.parametrize("action", ["always", "ignore"])
def test_those_that_cannot_be_scaled_are_dropped_by_name(workers, action, data):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(action)
        slices = SliceDataset(data, volume_transform(), workers=workers, progress=False)
    kept = [case["patient"] for case in data if case["patient"].rstrip("0123456789") in GOOD]
    assert slices.patients == kept and len(slices) == 10 * len(kept)
    highest = max(slices[index]["image"].max() for index in range(len(slices)))
    assert highest == pytest.approx(1.0)  # scaled by the percentiles, each volume by its own
    told = [str(warning.message) for warning in seen]
    assert not any("Divide by zero" in message for message in told)  # MONAI's, which goes on with the unscaled volume
    assert any("16 of 28 volume(s) are dropped" in message for message in told) == (action == "always")


def test_the_warnings_of_other_threads_are_left_alone(data):
    """A filter set while volumes are read would hold for the whole process."""
    before: list = []
    changed = []

    def watch(case):
        changed.append(warnings.filters != before)
        return transform(case)

    transform = volume_transform()
    with pytest.warns(UserWarning, match="dropped"):
        before = list(warnings.filters)
        SliceDataset(data, watch, workers=4, progress=False)
    assert changed == [False] * len(data)
