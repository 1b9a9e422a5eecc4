# SPDX-License-Identifier: Apache-2.0
"""Volumes whose axes follow those of the body in another order are told of, once."""

import warnings

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Compose, Orientationd

from monai_cl_ext.data import LoadCased, PatchDataset, RandomPatches, SliceDataset
from monai_cl_ext.data.orientation import axis_codes

VOXELS = np.random.default_rng(0).random((10, 8, 6), np.float32)


def write(folder, name, codes="RAS", degrees=0.0):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) @ np.diag([1.0, 1.0, 3.0])
    image = nib.Nifti1Image(VOXELS, nib.affines.from_matvec(turned))
    order = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    nib.save(image.as_reoriented(order), folder / f"{name}.nii.gz")
    return {"image": str(folder / f"{name}.nii.gz")}


def told(data, make=SliceDataset, transform=None, **arguments):
    """The warnings of axes of a dataset of whole volumes."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        make(data, transform=transform or LoadCased("image"), progress=False, **arguments)
    return [str(one.message) for one in record if "another order" in str(one.message)]


def patches(data, **arguments):
    return PatchDataset(data, RandomPatches((4, 4, 4)), **arguments)


def test_another_order_is_told_once_and_again_from_the_store(tmp_path):
    data = [write(tmp_path, "a"), write(tmp_path, "b", "SAR"), write(tmp_path, "c", "LPS"), write(tmp_path, "d", "IAR")]
    message = r"2 of 4 volume(s) have their axes in another order than most: {} has SAR, {} RAS; "
    expected = message.format(data[1]["image"], data[0]["image"])
    for store in (None, tmp_path / "store", tmp_path / "store"):
        (found,) = told(data, patches, store=store)
        assert found.startswith(expected) and "monai.transforms.Orientation" in found


def test_volumes_that_a_transform_turns_to_one_order_are_not_told_of(tmp_path):
    data = [write(tmp_path, "a"), write(tmp_path, "b", "SAR")]
    assert len(told(data, patches)) == 1
    assert not told(data, patches, Compose([LoadCased("image"), Orientationd("image", "RAS", labels=None)]))
    assert not told([{**data[0]}, write(tmp_path, "c", "LAI")])  # mirrored, in the same order


def test_an_oblique_volume_is_not_compared(tmp_path):
    assert not told([write(tmp_path, "a"), write(tmp_path, "b", degrees=50)], patches)


@pytest.mark.parametrize("degrees, codes", [(0, "RAS"), (30, "RAS"), (40, ""), (60, "SAL"), (90, "SAL")])
def test_codes_of_turned_volumes(degrees, codes, tmp_path):
    assert axis_codes(nib.load(write(tmp_path, "a", degrees=degrees)["image"]).affine) == codes
