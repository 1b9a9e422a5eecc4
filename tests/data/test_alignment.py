# SPDX-License-Identifier: Apache-2.0
import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_cl_ext.data import LoadCased
from monai_cl_ext.data.alignment import on_image_grid

SHAPE = (10, 8, 6)
AFFINE = nib.affines.from_matvec(np.array([[1.5, 0.2, 0], [-0.2, 1.5, 0], [0, 0, 5.0]]), [-20, 7, 31])
MASK = (np.random.default_rng(0).random(SHAPE) < 0.3).astype(np.uint8) * np.arange(1, 7, dtype=np.uint8)
ORDERS = [nib.orientations.axcodes2ornt(codes) for codes in ("RAS", "LAS", "LPS", "SAR", "IPL", "ASR", "PIR")]


def write(folder, label, affine, image_affine=AFFINE, shape=SHAPE):
    nib.save(nib.Nifti1Image(np.random.default_rng(1).random(shape, np.float32), image_affine), folder / "image.nii.gz")
    nib.save(nib.Nifti1Image(label, affine), folder / "mask.nii.gz")
    return {"image": str(folder / "image.nii.gz"), "label": str(folder / "mask.nii.gz")}


def refused(case, found):
    with pytest.raises(ValueError, match=rf"mask\.nii\.gz: label of .*image\.nii\.gz.*{found}"):
        LoadCased()(case)


@pytest.mark.parametrize("orientation", ORDERS, ids=lambda ornt: str(ornt.astype(int).tolist()))
def test_other_axes_are_undone_silently_and_exactly(orientation, tmp_path):
    stored = nib.Nifti1Image(MASK, AFFINE).as_reoriented(orientation)
    case = write(tmp_path, np.asarray(stored.dataobj), stored.affine)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*mask.*")
        loaded = LoadCased()(case)
    assert torch.equal(loaded["label"][0].as_tensor(), torch.as_tensor(MASK, dtype=torch.float32))
    assert torch.equal(loaded["label"].affine, loaded["image"].affine)
    assert tuple(loaded["label"].meta["spatial_shape"]) == SHAPE


@pytest.mark.parametrize("voxels, silent", [(0.09, True), (0.11, False)])
def test_affines_within_a_tenth_of_a_voxel_are_equal(voxels, silent, tmp_path):
    moved = AFFINE @ nib.affines.from_matvec(np.eye(3), [voxels, 0, 0])
    case = write(tmp_path, MASK, moved)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loaded = LoadCased()(case)
    assert [str(warning.message) for warning in seen if "mask.nii.gz" in str(warning.message)] == [] or not silent
    assert torch.equal(loaded["label"].affine, loaded["image"].affine)
    assert torch.equal(loaded["label"][0].as_tensor(), torch.as_tensor(MASK, dtype=torch.float32))


@pytest.mark.parametrize("factors", [(2, 2, 1), (1, 1, 2), (2, 1, 3)])
def test_another_sampling_of_the_box_is_resampled_by_nearest_neighbor_with_a_warning(factors, tmp_path):
    coarse = MASK[tuple(slice(None, None, factor) for factor in factors)]
    finer = coarse
    for axis, factor in enumerate(factors):
        finer = finer.repeat(factor, axis)
    scale = np.diag([*factors, 1.0])
    scale[:3, 3] = (np.array(factors) - 1) / 2  # the edges of both boxes lie on each other
    case = write(tmp_path, coarse, AFFINE @ scale)
    with pytest.warns(UserWarning, match=r"mask\.nii\.gz: sampled on another grid") as seen:
        loaded = LoadCased()(case)
    assert sum("mask.nii.gz" in str(warning.message) for warning in seen) == 1
    assert torch.equal(loaded["label"][0].as_tensor(), torch.as_tensor(finer, dtype=torch.float32))


def test_a_sampling_with_other_axes_is_undone_too(tmp_path):
    scale = np.diag([0.5, 0.5, 1.0, 1.0])
    scale[:3, 3] = [-0.25, -0.25, 0]
    fine = nib.Nifti1Image(MASK.repeat(2, 0).repeat(2, 1), AFFINE @ scale)
    stored = fine.as_reoriented(ORDERS[4])
    case = write(tmp_path, np.asarray(stored.dataobj), stored.affine)
    with pytest.warns(UserWarning, match=r"mask\.nii\.gz: sampled on another grid"):
        loaded = LoadCased()(case)
    assert torch.equal(loaded["label"][0].as_tensor(), torch.as_tensor(MASK, dtype=torch.float32))


@pytest.mark.parametrize("shift", [(0.7, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0, 40)])
def test_a_label_that_lies_elsewhere_is_refused(shift, tmp_path):
    refused(write(tmp_path, MASK, AFFINE @ nib.affines.from_matvec(np.eye(3), shift)), "same box")


def test_rotated_cropped_and_stretched_labels_are_refused(tmp_path):
    turned = AFFINE @ nib.affines.from_matvec(nib.eulerangles.euler2mat(z=0.3))
    refused(write(tmp_path, MASK, turned), "same box")
    refused(write(tmp_path, MASK[:, :, :5], AFFINE), "same box")
    refused(write(tmp_path, MASK[1:-1], AFFINE), "same box")
    refused(write(tmp_path, MASK, AFFINE @ np.diag([1.2, 1.2, 1, 1])), "same box")


def test_an_identity_header_beside_a_real_one_is_told(tmp_path):
    refused(write(tmp_path, MASK, np.eye(4)), r"header of the label holds no position")
    refused(write(tmp_path, MASK, AFFINE, image_affine=np.eye(4)), r"header of the image holds no position")
    LoadCased()(write(tmp_path, MASK, np.eye(4), image_affine=np.eye(4)))


def test_volumes_of_other_axes_are_refused():
    image = MetaTensor(torch.zeros(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"mask: label of \(4, 4\) voxels"):
        on_image_grid(MetaTensor(torch.zeros(1, 4, 4)), image, "mask", "image")


def test_in_two_dimensions():
    label = torch.arange(12.0).reshape(1, 3, 4)
    image = MetaTensor(torch.zeros(1, 4, 3), affine=torch.eye(4, dtype=torch.float64))
    swapped = torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    found = on_image_grid(MetaTensor(label, affine=swapped), image, "mask", "image")
    assert torch.equal(found.as_tensor(), label.transpose(1, 2))
