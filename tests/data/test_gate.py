# SPDX-License-Identifier: Apache-2.0
"""What a case must be, whatever stage reads it: units, axes, class numbers, intensities, spacing, cropping."""

import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Spacingd

from monai_cl_ext.data import AxisSpacingd, LoadCased, SliceDataset, read_nifti, volume_transform
from monai_cl_ext.data.class_numbers import whole_classes
from monai_cl_ext.data.cropping import cut_away
from monai_cl_ext.data.intensities import check_intensities, is_sparse

SHAPE = (12, 10, 6)
VOXELS = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)


def write(path, voxels=VOXELS, affine=None, unit="mm", kind=nib.Nifti1Image):
    image = kind(voxels, np.diag([1.5, 1.5, 8.0, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, path)
    return str(path)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("unit, factor", [("meter", 1e-3), ("mm", 1), ("micron", 1e3), ("unknown", 1)])
def test_lengths_are_in_mm_whatever_the_unit_of_the_header(unit, factor, kind, tmp_path):
    affine = nib.affines.from_matvec(np.array([[0, 1.5, 0], [-1.5, 0, 0], [0, 0, 8.0]]), [3, -7, 11])
    path = write(tmp_path / "a.nii.gz", affine=np.diag([factor, factor, factor, 1]) @ affine, unit=unit, kind=kind)
    image = read_nifti(path)
    np.testing.assert_allclose(image.affine, affine, rtol=1e-5)
    np.testing.assert_allclose(image.header.get_zooms(), [1.5, 1.5, 8], rtol=1e-5)
    np.testing.assert_allclose(LoadCased("image")({"image": path})["image"].affine, affine, rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(image.dataobj), VOXELS)


def test_a_label_in_another_unit_lies_where_its_image_does(tmp_path):
    case = {"image": write(tmp_path / "a.nii"), "label": write(
        tmp_path / "b.nii", (VOXELS > 100).astype(np.uint8), np.diag([1500, 1500, 8000, 1.0]), "micron")}  # fmt: skip
    assert LoadCased()(case)["label"].sum() == (VOXELS > 100).sum()


@pytest.mark.parametrize("behind", [(1,), (1, 1), (1, 1, 1, 1)])
def test_axes_of_length_one_behind_the_third_are_left_out(behind, tmp_path):
    path = write(tmp_path / "a.nii.gz", VOXELS.reshape(SHAPE + behind))
    assert read_nifti(path).shape == SHAPE
    assert LoadCased("image", channels=1)({"image": path})["image"].shape == (1, *SHAPE)
    flat = write(tmp_path / "b.nii", VOXELS[:, :, :1])
    assert read_nifti(flat).shape == (12, 10, 1)


def test_channels_behind_an_axis_of_length_one_are_channels(tmp_path):
    """As ITK and ANTs write images of several channels: the fourth axis is for time."""
    channels = np.random.default_rng(1).random((*SHAPE, 3), np.float32)
    path = write(tmp_path / "a.nii.gz", channels[..., None, :])
    np.testing.assert_array_equal(np.asarray(read_nifti(path).dataobj), channels)
    image = LoadCased("image", channels=3)({"image": path})["image"]
    np.testing.assert_array_equal(image.as_tensor(), np.moveaxis(channels, -1, 0))
    np.testing.assert_array_equal(image.affine, np.diag([1.5, 1.5, 8.0, 1.0]))


def test_a_header_without_volume_is_refused(tmp_path):
    path = tmp_path / "a.nii"
    write(path)
    content = bytearray(path.read_bytes())
    content[312:328] = bytes(16)  # srow_z
    content[88:92] = bytes(4)  # pixdim of the third axis
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"a\.nii: its header (gives voxels no volume|places voxels|is not valid)"):
        read_nifti(path)


@pytest.mark.parametrize(
    "values, told", [([0, 1, 2], None), ([0, 1.00001], None), ([0, 1.0039], "1.0039"), ([0.991], "0.991")]
)
def test_class_numbers_near_whole_ones_are_rounded_and_told(values, told):
    label = torch.tensor(values)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = whole_classes(label, "mask.nii")
    assert torch.equal(found, label.round())
    assert [told in str(warning.message) and "mask.nii" in str(warning.message) for warning in seen] == [True] * bool(
        told
    )


@pytest.mark.parametrize(
    "values, classes, found",
    [([0, 0.5], None, "0.5"), ([1.011], None, "1.011"), ([float("nan"), 1], None, "nan"), ([float("inf")], None, "inf"),
     ([-1, 0], None, "-1"), ([0, 300], None, "300"), ([0, 4], 4, "4"), ([0, 1, 7, 9], 2, "7, 9")],
)  # fmt: skip
def test_values_that_are_no_class_are_refused_with_file_and_value(values, classes, found):
    for dtype in (torch.float32, torch.float64):
        with pytest.raises(ValueError, match=rf"mask\.nii: expected .*found .*{found}"):
            whole_classes(torch.tensor(values, dtype=dtype), "mask.nii", classes)


def test_a_class_beyond_num_classes_is_refused_by_the_reader(tmp_path):
    case = {"image": write(tmp_path / "a.nii"), "label": write(tmp_path / "b.nii", np.full(SHAPE, 4, np.uint8))}
    with pytest.raises(ValueError, match=r"b\.nii: expected the classes 0 to 3 of num_classes 4, found 4"):
        LoadCased(num_classes=4)(case)
    LoadCased(num_classes=5)(case)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_voxel_that_is_not_finite_is_enough(value, tmp_path):
    voxels = VOXELS.copy()
    voxels[3, 4, 5] = value
    with pytest.raises(ValueError, match=r"a\.nii: 1 voxel\(s\) are NaN or infinite"):
        LoadCased("image")({"image": write(tmp_path / "a.nii", voxels)})


@pytest.mark.parametrize("share, sparse", [(0.0, True), (0.005, True), (0.009, True), (0.012, False), (0.3, False)])
def test_sparse_volumes_are_those_whose_percentiles_coincide(share, sparse):
    values = torch.zeros(1, 40, 40, 40)
    flat = values.view(-1)
    flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(0))[: round(share * len(flat))]] = 9.0
    low, high = np.percentile(values.numpy(), [1, 99])
    assert (low == high) == sparse == is_sparse(values)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check_intensities(values, "a.nii")
    assert ["a.nii" in str(warning.message) for warning in seen] == [True] * sparse


SHEARED = np.array([[1.0, 0, 0.6, 4], [0, 1, 0, -3], [0, 0, 3, 9], [0, 0, 0, 1]])  # slices shift by 0.6 mm each 3 mm


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sheared_slices_stay_apart(axis, tmp_path):
    slices = [number + np.random.default_rng(0).random((16, 16)) / 10 for number in range(5)]
    columns = np.insert(SHEARED[:, :2], axis, SHEARED[:, 2], axis=1)
    affine = np.hstack([columns, SHEARED[:, 3:]])
    image = LoadCased("image")({"image": write(tmp_path / "a.nii", np.stack(slices, axis).astype(np.float32), affine)})
    pixdim = np.insert([2.0, 2.0], axis, -1)

    def spread(volume):
        planes = volume["image"][0].movedim(axis, 0)
        return max(float(plane.max() - plane.min()) for plane in planes), len(planes)

    ours = AxisSpacingd("image", pixdim, mode="bilinear")(image)
    assert spread(ours)[0] <= 0.1 and spread(ours)[1] == 5
    np.testing.assert_allclose(ours["image"].affine[:3, axis], SHEARED[:3, 2])
    assert axis != 0 or spread(Spacingd("image", pixdim)(image))[0] > 0.3  # what MONAI makes of it


@pytest.mark.parametrize("affine", [np.diag([-1.5, 1.5, 8, 1]), nib.affines.from_matvec(
    np.array([[0.2, 1.4, 0], [-1.4, 0.2, 0], [0, 0, 6.0]]), [5, 6, 7])], ids=["flipped", "turned"])  # fmt: skip
@pytest.mark.parametrize("pixdim", [(2.0, 2.5, -1), (0.7, 1.5, 3.0)])
def test_at_right_angles_it_is_the_spacing_of_monai(affine, pixdim, tmp_path):
    case = {"image": write(tmp_path / "a.nii", VOXELS, affine), "label": write(
        tmp_path / "b.nii", (VOXELS > 100).astype(np.uint8), affine)}  # fmt: skip
    loaded = LoadCased()(case)
    ours, theirs = (
        form(("image", "label"), pixdim, mode=["bilinear", "nearest"])(loaded) for form in (AxisSpacingd, Spacingd)
    )
    for key in ("image", "label"):
        assert ours[key].shape == theirs[key].shape
        torch.testing.assert_close(ours[key].as_tensor(), theirs[key].as_tensor(), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(ours[key].affine, theirs[key].affine)


@pytest.mark.parametrize("unit, pixdim, warned", [
    ("unknown", (2.0, 2.0, -1.0), True), ("mm", (2.0, 2.0, -1.0), False), ("unknown", (1.0, 1.0, -1.0), False),
])  # fmt: skip
def test_resampling_where_no_header_tells_a_spacing_is_warned_of(unit, pixdim, warned, tmp_path, recwarn):
    image = nib.Nifti1Image(np.random.default_rng(0).random((8, 8, 3), dtype=np.float32), np.eye(4))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii.gz")
    loaded = LoadCased("image")({"image": str(tmp_path / "a.nii.gz")})
    AxisSpacingd("image", pixdim)(loaded)
    assert any("tells no spacing are resampled" in str(found.message) for found in recwarn) == warned


def test_resampling_is_undone(tmp_path):
    loaded = LoadCased("image")({"image": write(tmp_path / "a.nii", affine=SHEARED)})
    transform = AxisSpacingd("image", (0.5, 0.5, -1))
    back = transform.inverse(transform(loaded))["image"]
    assert back.shape == (1, *SHAPE)
    torch.testing.assert_close(back.affine, loaded["image"].affine)
    torch.testing.assert_close(
        back.as_tensor()[:, 1:-1, 1:-1], loaded["image"].as_tensor()[:, 1:-1, 1:-1], rtol=0, atol=30
    )


def test_what_cropping_cuts_away_is_counted():
    label = torch.zeros(1, 20, 16, 4)
    label[:, :5], label[:, 8:12, 4:12] = 1, 2
    before = MetaTensor(label, affine=torch.diag(torch.tensor([-2.0, 1, 5, 1], dtype=torch.float64)))
    after = before[:, 3:17, 2:14]
    assert cut_away(before, MetaTensor(after, affine=before.affine @ shift(3, 2, 0))) == {
        1: (3 * 64 + 2 * 4 * 4, 320),
        2: (0, 128),
    }
    assert cut_away(before, before) == {}
    padded = MetaTensor(torch.zeros(1, 30, 20, 4), affine=before.affine @ shift(-5, -2, 0))
    assert cut_away(before, padded) == {}


def shift(*voxels):
    return torch.from_numpy(nib.affines.from_matvec(np.eye(3), voxels))


def test_the_dataset_tells_the_share_of_each_class_once(tmp_path):
    label = np.zeros((40, 40, 4), np.uint8)
    label[:4, 10:20], label[18:22, 18:22] = 1, 2
    cases = []
    for number in range(3):
        voxels = np.random.default_rng(number).normal(0, 1, label.shape).astype(np.float32)
        cases.append(
            {"image": write(tmp_path / f"i{number}.nii", voxels), "label": write(tmp_path / f"l{number}.nii", label)}
        )
    with pytest.warns(UserWarning) as seen:
        SliceDataset(cases, volume_transform(image_size=(36, 36)), progress=False)
    told = [str(warning.message) for warning in seen if "cuts away" in str(warning.message)]
    assert len(told) == 1 and "50.0% of class 1" in told[0] and "class 2" not in told[0]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        SliceDataset(cases, volume_transform(image_size=(40, 44)), progress=False)
    assert not [warning for warning in seen if "cuts away" in str(warning.message)]
