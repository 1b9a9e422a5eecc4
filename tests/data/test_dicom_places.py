# SPDX-License-Identifier: Apache-2.0
"""The slices of a DICOM series stand in the order of their places, and the affine leads to these."""

import warnings

import numpy as np
import pytest
from dicom_writing import COLUMNS, ROWS, change, write_series, write_slice
from monai.data import PydicomReader

from monai_cl_ext.data.dicom import read_series


def first_pixels(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume, order = read_series(folder)
    assert volume.shape == (1, COLUMNS, ROWS, len(order))
    return volume[0, 0, 0].tolist(), order, volume.affine.numpy()


@pytest.mark.parametrize(
    "along, down",
    [((1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, -1)), ((1, 0, 0), (0, 0, -1)), ((0.6, 0.8, 0), (0, 0, 1))],
)
def test_the_affine_of_a_regular_series_is_that_of_monai(along, down, tmp_path):
    generator = np.random.default_rng(0)
    for number in range(5):
        position = [10, 20, 30] + 3.5 * number * np.cross(along, down)
        write_slice(
            tmp_path / f"IM{number}",
            generator.integers(0, 999, (ROWS, COLUMNS), dtype=np.uint16),
            0,
            InstanceNumber=number,
            ImageOrientationPatient=[*along, *down],
            ImagePositionPatient=position.tolist(),
        )
    volume, order = read_series(tmp_path)
    reader = PydicomReader(fname_regex=None)
    array, meta = reader.get_data(reader.read(tmp_path))
    np.testing.assert_array_equal(volume[0], array)
    np.testing.assert_allclose(volume.affine, meta["affine"], atol=1e-9)
    assert order == list(range(5)) and volume.meta["filename_or_obj"] == str(tmp_path)


def test_slices_numbered_downward_are_at_the_same_places_as_monai_puts_them(tmp_path):
    for number in range(4):
        write_slice(tmp_path / f"{number}", number + 1, -3 * number, InstanceNumber=number)
    found, order, affine = first_pixels(tmp_path)
    reader = PydicomReader(fname_regex=None)
    array, meta = reader.get_data(reader.read(tmp_path))
    assert (found, order) == ([4, 3, 2, 1], [3, 2, 1, 0])
    for place in range(4):
        other = 3 - place
        np.testing.assert_allclose(affine @ [2, 3, place, 1], meta["affine"] @ [2, 3, other, 1])
        assert found[place] == array[2, 3, other]


def test_positions_go_before_numbers_and_names(tmp_path):
    for name, place, number in (("2.dcm", 5, 1), ("10.dcm", 0, 2), ("1.dcm", 10, 3)):
        write_slice(tmp_path / name, int(place + 1), place, InstanceNumber=number)
    found, order, affine = first_pixels(tmp_path)
    assert found == [1, 6, 11] and order == [2, 1, 0]  # by name: 1, 2, 10
    np.testing.assert_allclose(affine, [[-2.5, 0, 0, -10], [0, -1.5, 0, -20], [0, 0, 5, 0], [0, 0, 0, 1]])


def test_the_step_is_that_of_positions_not_the_thickness(tmp_path):
    write_series(tmp_path, step=7.0, SliceThickness=5, SpacingBetweenSlices=6)
    assert first_pixels(tmp_path)[2][2, 2] == 7


def test_a_tilted_gantry_shears_the_affine(tmp_path):
    for number in range(4):
        write_slice(tmp_path / f"{number}", number, 0, ImagePositionPatient=[10, 20 + 1.5 * number, 5 * number])
    affine = first_pixels(tmp_path)[2]
    np.testing.assert_allclose(affine[:3, 2], [0, -1.5, 5])
    np.testing.assert_allclose(affine @ [0, 0, 3, 1], [-10, -24.5, 15, 1])


def test_one_slice_is_a_volume_of_its_thickness(tmp_path):
    write_slice(tmp_path / "a", 7, 3, SliceThickness=4, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    found, order, affine = first_pixels(tmp_path)
    assert (found, order) == ([7], [0])
    np.testing.assert_allclose(affine[:3], [[0, 0, 4, -10], [-2.5, 0, 0, -20], [0, -1.5, 0, 3]], atol=1e-9)
    volume, order = read_series(tmp_path / "a")
    assert volume.shape == (1, COLUMNS, ROWS, 1) and order == [0]


# Of 20 slices in steps of 5 mm one is moved; what it is moved by is all that it lies beside the even steps. Small steps
# have a tolerance of a tenth: 0.05 mm of 0.06 would let a missing slice pass.
@pytest.mark.parametrize("step, fits, beside", [(5.0, 0.049, 0.052), (10.0, 0.098, 0.103), (0.06, 0.0058, 0.0062)])
@pytest.mark.parametrize("axis", [1, 2])
def test_uneven_slices_are_refused_beyond_the_tolerance(step, fits, beside, axis, tmp_path):
    write_series(tmp_path, range(1, 21), step=step)
    for moved, ends in ((fits, True), (beside, False)):
        position = np.array([10, 20, 8 * step])
        position[axis] += moved
        change(tmp_path / "9.dcm", ImagePositionPatient=position.tolist())
        if ends:
            assert first_pixels(tmp_path)[0] == list(range(1, 21))
        else:
            with pytest.raises(
                ValueError, match=rf"{tmp_path.name}: .*not evenly spaced: .*9\.dcm.*restore missing files"
            ):
                read_series(tmp_path)


@pytest.mark.parametrize("lost", [2, 10, 19])
@pytest.mark.parametrize("step", [5.0, 1.0, 0.05])
def test_a_missing_slice_is_refused_with_its_neighbors(lost, step, tmp_path):
    write_series(tmp_path, range(1, 21), step=step)
    (tmp_path / f"{lost}.dcm").unlink()
    expected = rf"{2 * step:g} mm between {lost - 1}\.dcm and {lost + 1}\.dcm, expected {step:g} mm .*1 slice\(s\) were"
    with pytest.raises(ValueError, match=expected):
        read_series(tmp_path)


def test_steps_that_drift_are_refused(tmp_path):
    """Each step is within 1 % of the others, but the middle of the volume is 1 mm from where the affine puts it."""
    place = 0.0
    for number in range(100):
        write_slice(tmp_path / f"{number}", number, round(place, 3))
        place += 5.0 if number < 50 else 5.04
    with pytest.raises(ValueError, match=r"not evenly spaced: \d+ lies 0\.9\d* mm beside even steps from 0 to 99"):
        read_series(tmp_path)


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), (None,) * 4])
def test_repeated_places_are_refused(numbers, tmp_path):
    for name, (place, number) in enumerate(zip((0, 5, 0, 5), numbers, strict=True)):
        write_slice(tmp_path / f"{name}.dcm", name, place, InstanceNumber=number)
    with pytest.raises(
        ValueError, match=r"0\.dcm and 2\.dcm lie at one place, found 2 .*4 slices.*a folder of its own"
    ):
        read_series(tmp_path)


@pytest.mark.parametrize(
    "elements, message",
    [
        ({"SeriesInstanceUID": "1.2.4"}, r"1\.dcm and 3\.dcm differ in SeriesInstanceUID, expected one of 2"),
        ({"PatientID": "other"}, r"1\.dcm and 3\.dcm differ in PatientID, (?!.*other)"),
        ({"FrameOfReferenceUID": "1.9"}, ".* differ in FrameOfReferenceUID"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, r"3\.dcm has the orientation .* 1\.dcm .*localizer"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.99995, 0.01]}, r"3\.dcm has the orientation"),
        ({"PixelSpacing": [1.5, 2.51]}, r"3\.dcm has the spacing \[1\.5, 2\.51\], but 1\.dcm \[1\.5, 2\.5\]"),
        ({"PixelSpacing": None}, r"3\.dcm has the spacing of no known value, but"),
        ({"Rows": COLUMNS, "Columns": ROWS}, rf"3\.dcm has the size \[{COLUMNS}, {ROWS}\], but 1\.dcm \[{ROWS}"),
        ({"ImagePositionPatient": None}, r"3\.dcm lacks ImagePositionPatient"),
    ],
)
def test_mixtures_are_refused(elements, message, tmp_path):
    write_series(tmp_path, PatientID="one", FrameOfReferenceUID="1.8")
    change(tmp_path / "3.dcm", **elements)
    with pytest.raises(ValueError, match=rf"{tmp_path.name}: {message}.*give each series a folder of its own"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    "tag, value, message",
    [
        ("PixelSpacing", [1.5], r"expected 2 finite number\(s\) as PixelSpacing"),
        ("PixelSpacing", [0, 1], "expected positive lengths as PixelSpacing"),
        ("ImagePositionPatient", [1, 2], r"expected 3 finite number\(s\) as ImagePositionPatient"),
        ("ImageOrientationPatient", [0] * 6, "expected two unit vectors at right angles"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "expected two unit vectors at right angles"),
    ],
)
def test_numbers_that_make_no_place_are_named(tag, value, message, tmp_path):
    write_series(tmp_path)
    change(tmp_path / "3.dcm", **{tag: value})
    with pytest.raises(ValueError, match=rf"3\.dcm: {message}.*correct the header"):
        read_series(tmp_path)


def test_elements_of_another_kind_are_named(tmp_path):
    write_series(tmp_path)
    for old, new, message in (
        (b"1.5\\2.5 ", b"1.5\\abc ", r"expected 2 finite number\(s\) as PixelSpacing, found"),
        (b"IS\x02\x003 ", b"IS\x02\x00x ", r"expected 1 finite number\(s\) as InstanceNumber, found x"),
    ):
        content = (tmp_path / "3.dcm").read_bytes()
        assert content.count(old) == 1
        (tmp_path / "3.dcm").write_bytes(content.replace(old, new))
        with pytest.raises(ValueError, match=rf"3\.dcm: {message}"):
            read_series(tmp_path)
        (tmp_path / "3.dcm").write_bytes(content)


def test_without_positions_the_numbers_count(tmp_path):
    write_series(tmp_path, ImagePositionPatient=None, SliceThickness=3, SpacingBetweenSlices=4)
    (tmp_path / "1.dcm").rename(tmp_path / "9.dcm")
    with pytest.warns(
        UserWarning, match=f"{tmp_path.name}: .* lack ImagePositionPatient .* 4 mm apart as SpacingBetween"
    ):
        volume, order = read_series(tmp_path)
    assert volume[0, 0, 0].tolist() == [1, 2, 3, 4] and order == [3, 0, 1, 2]
    np.testing.assert_allclose(np.diag(volume.affine), [-2.5, -1.5, 4, 1])
    change(tmp_path / "2.dcm", InstanceNumber=1)
    with pytest.raises(
        ValueError, match=r"by InstanceNumber.* 2\.dcm has 1 twice in 9\.dcm; .*give each series a folder"
    ):
        read_series(tmp_path)
    (tmp_path / "2.dcm").unlink()
    with pytest.raises(ValueError, match=r"by InstanceNumber, .* 9\.dcm has 1 and next 3 in 3\.dcm; restore missing"):
        read_series(tmp_path)
    change(tmp_path / "3.dcm", InstanceNumber=None)
    with pytest.raises(ValueError, match=r"3\.dcm lacks ImagePositionPatient and InstanceNumber"):
        read_series(tmp_path)


def test_without_orientation_or_thickness_a_guess_is_told(tmp_path):
    write_series(tmp_path, ImageOrientationPatient=None)
    with pytest.warns(UserWarning, match="1 mm apart as no file names it; .*nor are left and right"):
        volume, _ = read_series(tmp_path)
    np.testing.assert_allclose(np.diag(volume.affine), [-2.5, -1.5, 1, 1])


def test_spacing_of_the_detector_serves_and_none_is_told(tmp_path):
    write_series(tmp_path, PixelSpacing=None, ImagerPixelSpacing=[0.3, 0.2])
    np.testing.assert_allclose(np.diag(first_pixels(tmp_path)[2]), [-0.2, -0.3, 5, 1])
    write_series(tmp_path, PixelSpacing=None)
    with pytest.warns(UserWarning, match=f"{tmp_path.name}: its DICOM files lack PixelSpacing, so 1 mm is taken"):
        volume, _ = read_series(tmp_path)
    np.testing.assert_allclose(np.diag(volume.affine), [-1, -1, 5, 1])
