# SPDX-License-Identifier: Apache-2.0
"""The phantom is a heart: nested, closed at the apex, different for every patient and the same for every call."""

import json
import time

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from monai_cl_ext.data import Phantom, find_cases, volume_transform, write_phantom


@pytest.fixture(scope="module")
def patients():
    phantom = Phantom(seed=0, frames=2)
    return [phantom.patient(number) for number in range(1, 25)]


def equal(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("image", "label", "affine"))


def test_a_patient_is_the_same_in_every_call_and_unlike_any_other(patients):
    again = Phantom(seed=0, frames=2)
    assert equal(again.patient(7)[1], patients[6][1])
    assert equal(Phantom(seed=0, frames=1).patient(7)[0], patients[6][0])
    assert not equal(Phantom(seed=1).patient(7)[0], patients[6][0])
    shapes = {patient[0].label.tobytes() for patient in patients}
    assert len(shapes) == len(patients)


def test_size_spacing_and_type_are_those_of_cardiac_mri(patients):
    for patient in patients:
        for volume in patient:
            height, width, slices = volume.image.shape
            assert 128 <= height <= 160 and 128 <= width <= 160 and 8 <= slices <= 12
            assert volume.label.shape == volume.image.shape and volume.label.dtype == np.uint8
            spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
            assert spacing[0] == pytest.approx(spacing[1]) and 1.2 <= spacing[0] <= 1.7 and 8 <= spacing[2] <= 10
            assert volume.image.dtype in (np.uint8, np.int16)
    kinds = {patient[0].image.dtype for patient in patients}
    assert kinds == {np.dtype(np.uint8), np.dtype(np.int16)}
    assert len({patient[0].image.shape for patient in patients}) > 10


def test_the_cavity_is_wrapped_in_muscle_and_the_ventricle_ends_before_the_apex(patients):
    for patient in patients:
        for volume in patient:
            found = volume.label
            assert set(np.unique(found)) == {0, 1, 2, 3}
            for i in range(found.shape[2]):
                cavity = found[:, :, i] == 3
                around = binary_dilation(cavity) & ~cavity
                assert (found[:, :, i][around] == 2).mean() >= 0.95 if cavity.any() else True
            present = [np.flatnonzero((found == c).any((0, 1))) for c in (1, 2, 3)]
            assert present[0].max() < present[1].max() and present[2].max() <= present[1].max()
            cavity_area = (found == 3).sum((0, 1))[present[2]]
            assert cavity_area[-1] < 0.5 * cavity_area[: len(cavity_area) // 2].mean()


def test_muscle_and_cavity_are_one_piece_in_the_middle(patients):
    for patient in patients:
        found = patient[0].label
        middle = found[:, :, found.shape[2] // 2]
        for c in (1, 2, 3):
            pieces, count = label(middle == c)
            sizes = np.bincount(pieces.ravel())[1:]
            assert sizes.max() >= 0.9 * sizes.sum(), (c, count)


def test_end_systole_has_less_blood(patients):
    for diastole, systole in patients:
        assert (systole.label == 3).sum() < 0.85 * (diastole.label == 3).sum()
        np.testing.assert_array_equal(diastole.affine, systole.affine)


def test_contrast_differs_and_organs_look_like_the_heart(patients):
    ratios = []
    for patient in patients:
        volume = patient[0]
        blood, muscle = (volume.image[volume.label == c].mean() for c in (3, 2))
        ratios.append(blood / muscle)
        outside = volume.image[volume.label == 0]
        assert ((outside > 0.9 * blood) & (outside < 1.1 * blood)).sum() > 0.2 * (volume.label == 3).sum()
    assert min(ratios) > 1.0 and max(ratios) > 1.6 and any(ratio < 1.5 for ratio in ratios)


def test_files_are_in_msd_layout_with_true_affines(tmp_path):
    folder = write_phantom(tmp_path / "new" / "data", patients=3, seed=4, frames=2)
    cases = find_cases(folder)
    assert len(cases) == 6 and {case["patient"] for case in cases} == {"patient001", "patient002", "patient003"}
    assert all("label" in case for case in cases)
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 6
    volume = Phantom(seed=4, frames=2).patient(2)[0]
    image, found = nib.load(cases[2]["image"]), nib.load(cases[2]["label"])
    np.testing.assert_array_equal(np.asarray(image.dataobj), volume.image)
    np.testing.assert_array_equal(np.asarray(found.dataobj), volume.label)
    np.testing.assert_allclose(image.affine, volume.affine, atol=1e-4)
    np.testing.assert_allclose(image.affine, found.affine)
    assert image.header.get_xyzt_units()[0] == "mm" and np.abs(image.affine[:3, 3]).min() > 1


def test_resampling_in_the_plane_keeps_the_slices_of_an_oblique_stack(tmp_path):
    for case in find_cases(write_phantom(tmp_path / "data", patients=4)):
        shape = nib.load(case["image"]).shape
        prepared = volume_transform(pixdim=(2.0, 2.0))(case)
        assert prepared["image"].shape == prepared["label"].shape
        assert prepared["image"].shape[3] == shape[2]
        spacing = nib.load(case["image"]).header.get_zooms()
        for found, before, mm in zip(prepared["image"].shape[1:3], shape, spacing, strict=False):
            assert abs(found - before * mm / 2) <= 1


def test_channels_show_one_anatomy_in_contrasts_of_their_own_on_a_background_of_zero():
    (many,) = Phantom(seed=2, channels=4).patient(3)
    (one,) = Phantom(seed=2).patient(3)
    assert np.array_equal(many.label, one.label) and many.image.shape == (*one.label.shape, 4)
    outside = many.image == 0
    air = outside.all(axis=-1)
    assert 0.05 < air.mean() < 0.9 and outside[air].all() and not air[many.label > 0].any()
    assert (outside.any(axis=-1) & ~air).mean() < 0.01  # zero in a channel is air, in nearly all voxels
    body = many.image[~air].astype(float)
    correlation = np.corrcoef(body.T)
    assert (np.abs(correlation[np.triu_indices(4, 1)]) < 0.97).all()
    blood, muscle = (many.image[many.label == number].mean(axis=0) for number in (3, 2))
    assert blood[0] > muscle[0] and blood[1] < muscle[1]  # bright blood, black blood
    again = Phantom(seed=2, channels=4, frames=2).patient(3)
    assert np.array_equal(again[0].image, many.image) and not np.array_equal(again[1].image, many.image)


@pytest.mark.parametrize("channel_files", [False, True])
def test_channels_are_the_fourth_axis_of_a_file_or_a_file_each(channel_files, tmp_path):
    folder = write_phantom(tmp_path / "data", 2, seed=1, channels=3, channel_files=channel_files)
    cases = find_cases(folder)
    assert [case["patient"] for case in cases] == ["patient001", "patient002"] and all(
        "label" in case for case in cases
    )
    for case, number in zip(cases, (1, 2), strict=True):
        expected = Phantom(seed=1, channels=3).patient(number)[0].image
        files = case["image"] if channel_files else [case["image"]]
        found = [np.asarray(nib.load(path).dataobj).reshape(*expected.shape[:3], -1) for path in files]
        assert len(files) == (3 if channel_files else 1)
        np.testing.assert_array_equal(np.concatenate(found, axis=-1), expected)
    described = json.loads((folder / "dataset.json").read_text())
    assert len(described["channel_names" if channel_files else "modality"]) == 3


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "precious.txt").touch()
    with pytest.raises(FileExistsError, match="not an empty folder; give another"):
        write_phantom(tmp_path, patients=1)
    with pytest.raises(FileExistsError, match="precious"):
        write_phantom(tmp_path / "precious.txt", patients=1)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"seed": -1}, {"seed": 0.5}, {"frames": 3}, {"channels": 0}])
def test_wrong_numbers_are_named_before_anything_is_written(wrong, tmp_path):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        write_phantom(tmp_path / "data", **wrong)
    assert not (tmp_path / "data").exists()


def test_several_patients_a_second(tmp_path):
    start = time.perf_counter()
    write_phantom(tmp_path / "data", patients=6)
    rate = 6 / (time.perf_counter() - start)
    print(f"{rate:.1f} patients a second")
    assert rate > 1  # about 8 on an idle core; shared machines are slower
