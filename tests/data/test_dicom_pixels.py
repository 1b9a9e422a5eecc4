# SPDX-License-Identifier: Apache-2.0
"""Gray values of DICOM images are those that the scanner measured, brighter where they are higher."""

import warnings

import numpy as np
import pytest
from dicom_writing import COLUMNS, ROWS, change, plain_dataset, write_series, write_slice

from monai_cl_ext.data import LoadCased
from monai_cl_ext.data.dicom import read_series

PIXELS = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS) * 40


def values_of(path):
    """(rows, columns, slices), after any warning became an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_series(path)[0][0].numpy().transpose(1, 0, 2)


def one(path, pixels=PIXELS, **elements):
    write_slice(path / "a.dcm", pixels, 0, **elements)
    return path


@pytest.mark.parametrize(
    "elements, turned",
    [
        ({}, False),
        ({"PresentationLUTShape": "IDENTITY"}, False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}, True),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "Modality": "MR", "RescaleSlope": 1, "RescaleIntercept": 0},
            True,
        ),
        ({"PhotometricInterpretation": "MONOCHROME1", "Modality": "CT"}, True),
    ],
)
def test_higher_is_brighter(elements, turned, tmp_path):
    np.testing.assert_array_equal(values_of(one(tmp_path, **elements))[..., 0], 920.0 - PIXELS if turned else PIXELS)


def test_slices_are_turned_by_one_number_and_a_mixture_is_refused(tmp_path):
    series = write_series(tmp_path, (100, 300, 500), PhotometricInterpretation="MONOCHROME1")
    assert values_of(series)[0, 0].tolist() == [400, 200, 0]
    change(tmp_path / "2.dcm", PhotometricInterpretation="MONOCHROME2")
    with pytest.raises(ValueError, match=r"1\.dcm is MONOCHROME1 or INVERSE, but 2\.dcm is not; give each series"):
        read_series(series)


@pytest.mark.parametrize("elements", [{"Modality": "CT"}, {"Modality": "PT"}, {"RescaleType": "HU"}])
def test_quantities_keep_their_numbers_and_this_is_told(elements, tmp_path):
    one(tmp_path, PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=-1024, **elements)
    with pytest.warns(UserWarning, match=f"{tmp_path.name}: its files are MONOCHROME1.*left as it is"):
        volume, _ = read_series(tmp_path)
    np.testing.assert_array_equal(volume[0, :, :, 0].T, PIXELS * 2.0 - 1024)


def test_presentation_luts_for_a_screen_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.dcm: expected PresentationLUTShape .* found PresentationLUTShape LIN OD"):
        read_series(one(tmp_path, PresentationLUTShape="LIN OD"))
    table = lut([3, 2, 1, 0], 0, 8)
    with pytest.raises(ValueError, match=r"a\.dcm: .* found a PresentationLUTSequence"):
        read_series(one(tmp_path, PresentationLUTSequence=[table]))


def lut(entries, first, bits):
    import pydicom

    table = pydicom.Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [len(entries), first, bits], "US"
    table.add_new("LUTData", "US", entries)
    return table


def test_slope_and_intercept_are_those_of_each_slice(tmp_path):
    series = write_series(tmp_path, (100, 100, 100))
    for number, (slope, intercept) in enumerate([(1, 0), (0.5, 7), (-2, 3.25)]):
        change(series / f"{number + 1}.dcm", RescaleSlope=slope, RescaleIntercept=intercept, Modality="PT")
    assert values_of(series)[2, 1].tolist() == [100, 57, -196.75]


@pytest.mark.parametrize(
    "elements", [{"RescaleSlope": 2}, {"RescaleIntercept": 2}, {"RescaleSlope": 0, "RescaleIntercept": 1}]
)
def test_half_a_rescaling_is_refused(elements, tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path.name}: a\.dcm: expected finite numbers for both .*Rescale"):
        read_series(one(tmp_path, **elements))


def test_a_modality_lut_is_applied(tmp_path):
    stored = np.array([[-4, -3], [-2, 9]], dtype=np.int16)
    stored = np.tile(stored, (ROWS // 2, COLUMNS // 2))
    found = values_of(one(tmp_path, stored, ModalityLUTSequence=[lut([10, 500, 30], -3, 16)]))[..., 0]
    assert found[:2, :2].tolist() == [[10, 10], [500, 30]]
    with pytest.raises(ValueError, match=r"a\.dcm: .*a modality LUT that cannot be applied"):
        read_series(one(tmp_path, ModalityLUTSequence=[lut([10, 500, 30], 0, 12)]))


def test_the_window_is_not_applied(tmp_path):
    np.testing.assert_array_equal(values_of(one(tmp_path, WindowCenter=200, WindowWidth=10))[..., 0], PIXELS)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_are_no_pixels(signed, tmp_path):
    expected = np.tile(
        np.array([[5, 2047], [-2048, -1]] if signed else [[5, 4095], [2048, 1]]), (ROWS // 2, COLUMNS // 2)
    )
    stored = (expected & 0x0FFF) | 0x5000  # an overlay, where a sign would be extended
    found = values_of(one(tmp_path, stored.astype(np.uint16), BitsStored=12, PixelRepresentation=int(signed)))
    np.testing.assert_array_equal(found[..., 0], expected)
    with pytest.raises(ValueError, match=r"a\.dcm: expected HighBit 11 for 12 bits stored, found 15"):
        read_series(one(tmp_path, BitsStored=12, HighBit=15))


def test_bytes_and_floats_are_read(tmp_path):
    small = (PIXELS // 4).astype(np.uint8)
    found = values_of(one(tmp_path, small, BitsAllocated=8, BitsStored=8, PixelData=small.tobytes()))
    np.testing.assert_array_equal(found[..., 0], small)
    real = (PIXELS / 7).astype(np.float32)
    no_integers = dict.fromkeys(("BitsStored", "PixelRepresentation", "PixelData"))
    found = values_of(one(tmp_path, real, BitsAllocated=32, FloatPixelData=real.tobytes(), **no_integers))
    np.testing.assert_array_equal(found[..., 0], real)


@pytest.mark.parametrize(
    "elements, padded, expected",
    [
        ({"PixelPaddingValue": -2000}, -2000, 120),  # below all others
        ({"PixelPaddingValue": -2000, "RescaleSlope": 1, "RescaleIntercept": -1024}, -2000, -904),
        ({"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 3900}, 3950, 120),
        ({"PixelPaddingValue": 3000, "PhotometricInterpretation": "MONOCHROME1"}, 3000, 0),
        ({"PixelPaddingValue": 200}, 200, 200),  # a number that tissue has as well
        ({}, -2000, -2000),
    ],
)
def test_padding_is_as_dark_as_the_darkest_measured(elements, padded, expected, tmp_path):
    stored = PIXELS.astype(np.int16) - 40
    stored[0] = padded
    found = values_of(one(tmp_path, stored, **elements))[..., 0]
    assert (found[0] == expected).all() and len(np.unique(found[1:])) == stored[1:].size
    if padded == 3000:
        np.testing.assert_array_equal(found[1:], stored[1:].max() - stored[1:].astype(float))


def test_padding_is_that_of_the_whole_volume(tmp_path):
    """A number below those of its own slice may lie within those of others."""
    write_series(tmp_path, (100, 300, 500))
    write_slice(tmp_path / "4.dcm", 200, 15, PixelPaddingValue=200)
    write_slice(tmp_path / "5.dcm", 50, 20, PixelPaddingValue=50)
    assert values_of(tmp_path)[0, 0].tolist() == [100, 300, 500, 200, 100]


def test_padding_alone_is_left(tmp_path):
    assert (values_of(one(tmp_path, np.full((ROWS, COLUMNS), 7), PixelPaddingValue=7)) == 7).all()


@pytest.mark.parametrize(
    "elements, found",
    [
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB with 3"),
        ({"PhotometricInterpretation": "YBR_FULL_422", "SamplesPerPixel": 3}, "YBR_FULL_422 with 3"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR with 1"),
    ],
)
def test_colors_are_refused(elements, found, tmp_path):
    with pytest.raises(ValueError, match=rf"a\.dcm: expected gray pixels, MONOCHROME1 or .*, found {found} sample"):
        read_series(one(tmp_path, **elements))


def test_mosaics_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.dcm: a mosaic, .* dcm2niix"):
        read_series(one(tmp_path, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]))


def test_segmentations_are_no_images(tmp_path):
    with pytest.raises(ValueError, match=r"a\.dcm: expected an image, found a DICOM SEG object"):
        read_series(one(tmp_path, Modality="SEG"))


@pytest.mark.parametrize(
    "tag", ["Rows", "Columns", "PhotometricInterpretation", "SamplesPerPixel", "BitsStored", "PixelData"]
)
def test_what_is_missing_is_named(tag, tmp_path):
    write_series(tmp_path)
    change(tmp_path / "2.dcm", **{tag: None})
    with pytest.raises(ValueError, match=rf"2\.dcm: expected a DICOM image, found none of {tag}; the file is cut off"):
        read_series(tmp_path)


@pytest.mark.parametrize("end", range(-48, 0))
def test_a_file_that_is_cut_off_is_named(end, tmp_path):
    """Anywhere in its pixels."""
    assert PIXELS.nbytes == 48
    path = write_series(tmp_path) / "3.dcm"
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match=r"3\.dcm: .*copy or download"):
        read_series(tmp_path)


def test_a_file_that_is_cut_off_in_its_header_is_named(tmp_path):
    path = write_series(tmp_path) / "3.dcm"
    content = path.read_bytes()
    for end in range(133, len(content) - 48, 7):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"3\.dcm: "):
            read_series(tmp_path)


def test_compressed_pixels_are_read_where_pydicom_can(tmp_path):
    import pydicom

    dataset = plain_dataset(PIXELS, ImagePositionPatient=[0, 0, 0])
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(values_of(tmp_path)[..., 0], PIXELS)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"a\.dcm: its pixels cannot be decoded \(RLE.*pip install pylibjpeg"):
        read_series(tmp_path)


@pytest.mark.parametrize(
    "syntax, name, remedy",
    [
        ("1.2.840.10008.1.2.4.70", "JPEG Lossless", "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"),
        ("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", "pip install pylibjpeg"),
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile", "convert the series"),
    ],
)
def test_a_decoder_that_is_missing_is_named(syntax, name, remedy, tmp_path, monkeypatch):
    import pydicom

    dataset = plain_dataset(PIXELS, ImagePositionPatient=[0, 0, 0])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    if "MPEG" not in name:
        decoder = pydicom.pixels.get_decoder(pydicom.uid.UID(syntax))
        monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(ValueError, match=rf"^\S*a\.dcm: its pixels are (compressed|written) as {name}.*{remedy}"):
        read_series(tmp_path)


# enhanced files


def enhanced(path, places, values=None, shared_slope=None, **elements):
    """Frames at places in mm, with what is shared by all as scanners write it."""
    import pydicom

    def group(**values):
        item = pydicom.Dataset()
        for tag, value in values.items():
            setattr(item, tag, value)
        return [item]

    values = range(1, len(places) + 1) if values is None else values
    frames = np.stack([np.full((ROWS, COLUMNS), value, np.uint16) for value in values])
    alone = dict.fromkeys(("PixelSpacing", "ImageOrientationPatient"))
    dataset = plain_dataset(frames, NumberOfFrames=len(frames), InstanceNumber=1, **alone, **elements)
    shared = pydicom.Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[1.5, 2.5], SliceThickness=9)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    if shared_slope is not None:
        shared.PixelValueTransformationSequence = group(RescaleSlope=shared_slope, RescaleIntercept=1)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for place in places:
        frame = pydicom.Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=[10, 20, place])
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    dataset.save_as(path, enforce_file_format=True)
    return dataset, group


@pytest.mark.parametrize("as_file", [False, True])
def test_frames_of_an_enhanced_file_are_one_stack(as_file, tmp_path):
    path = tmp_path / "IM1"
    enhanced(path, (10, 0, 5), shared_slope=2)
    volume, order = read_series(path if as_file else tmp_path)
    assert volume[0, 0, 0].tolist() == [5, 7, 3] and order == [1, 2, 0] and volume.shape == (1, COLUMNS, ROWS, 3)
    np.testing.assert_allclose(volume.affine, [[-2.5, 0, 0, -10], [0, -1.5, 0, -20], [0, 0, 5, 0], [0, 0, 0, 1]])


def test_values_of_frames_have_their_own_slopes(tmp_path):
    dataset, group = enhanced(tmp_path / "IM1", (0, 5, 10), values=(4, 4, 4), shared_slope=2)
    frame = dataset.PerFrameFunctionalGroupsSequence[1]
    frame.PixelValueTransformationSequence = group(RescaleSlope=10, RescaleIntercept=0)
    dataset.save_as(tmp_path / "IM1")
    assert values_of(tmp_path)[0, 0].tolist() == [9, 40, 9]


def test_frames_that_make_no_stack_are_refused(tmp_path):
    enhanced(tmp_path / "IM1", (0, 5, 0, 5))
    with pytest.raises(ValueError, match=r"IM1 frame 1 and IM1 frame 3 lie at one place"):
        read_series(tmp_path)
    dataset, group = enhanced(tmp_path / "IM1", (0, 5, 10))
    frame = dataset.PerFrameFunctionalGroupsSequence[1]
    frame.PlaneOrientationSequence = group(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    dataset.save_as(tmp_path / "IM1")
    with pytest.raises(ValueError, match=r"IM1 frame 2 has the orientation"):
        read_series(tmp_path)
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.save_as(tmp_path / "IM1")
    with pytest.raises(ValueError, match=r"IM1: 3 frames, but places for 0, as of a film; give single slices"):
        read_series(tmp_path)


def test_a_file_and_a_list_of_files_as_image(tmp_path):
    write_series(tmp_path, PhotometricInterpretation="MONOCHROME1")
    image = LoadCased("image")({"image": str(one(tmp_path / "one", PhotometricInterpretation="MONOCHROME1") / "a.dcm")})
    np.testing.assert_array_equal(image["image"][0, :, :, 0].T, 920.0 - PIXELS)
    with pytest.raises(ValueError, match=r"1\.dcm: a DICOM file in a list of 2; give the folder of the series"):
        LoadCased("image")({"image": [str(tmp_path / "1.dcm"), str(tmp_path / "2.dcm")]})
