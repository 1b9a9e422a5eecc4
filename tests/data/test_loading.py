# SPDX-License-Identifier: Apache-2.0
"""Pictures and DICOM series become volumes whose labels lie where their images do."""

import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import LoadImaged, SaveImage
from PIL import Image

from monai_cl_ext.data import LoadCased, SliceDataset, find_cases, volume_transform

GRAY_VALUES = [0, 63, 126, 189, 252]
ROWS, COLUMNS, SLICES = 12, 9, 11
STEP = (1.5, 2.5, 7.0)  # mm between rows, columns and slices


def masks(seed=0):
    """Class numbers (slices, rows, columns) without any symmetry."""
    generator = np.random.default_rng(seed)
    return np.kron(generator.integers(0, 5, (SLICES, ROWS // 3, COLUMNS // 3)), np.ones((1, 3, 3))).astype(int)


def write_slice(path, pixels, number, along, direction):
    """One file; ``along`` and ``direction`` are the orientation's rows, ``number`` counts along their normal."""
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs pip install .[dicom]")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    if number is not None:
        dataset.InstanceNumber = number
    dataset.PixelSpacing = list(STEP[:2])
    dataset.ImageOrientationPatient = [*along, *direction]
    dataset.ImagePositionPatient = list(
        np.array([10.0, 20.0, 30.0]) + (number or 0) * STEP[2] * np.cross(along, direction)
    )
    dataset.save_as(path, enforce_file_format=True)


def patient(folder, name="1", seed=0, along=(1.0, 0.0, 0.0), direction=(0.0, 1.0, 0.0)):
    """A patient as in CHAOS; the names of the files run against their places, and are not padded with zeros."""
    series, ground = folder / name / "T2SPIR" / "DICOM_anon", folder / name / "T2SPIR" / "Ground"
    series.mkdir(parents=True)
    ground.mkdir()
    for place, mask in enumerate(masks(seed)):
        stem = f"IMG-0004-{SLICES - place}"
        write_slice(series / f"{stem}.dcm", 100 * mask + place + 1, place + 1, along, direction)
        Image.fromarray(np.array(GRAY_VALUES, np.uint8)[mask]).save(ground / f"{stem}.png")
    return {"image": str(series), "label": str(ground), "patient": name}


def picture(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return str(path)


def dataset(data, transform=None, **arguments):
    return SliceDataset(data, transform, progress=False, **arguments)


# DICOM


def test_a_series_and_its_masks_are_one_volume_in_the_order_of_places(tmp_path):
    case = LoadCased(label_values=GRAY_VALUES)(patient(tmp_path))
    image, label = case["image"], case["label"]
    assert image.shape == label.shape == (1, COLUMNS, ROWS, SLICES) and image.dtype == torch.float32
    for place, mask in enumerate(masks()):
        np.testing.assert_array_equal(label[0, :, :, place], mask.T)
        np.testing.assert_array_equal(image[0, :, :, place], 100 * mask.T + place + 1)
    assert image.meta["filename_or_obj"].endswith("DICOM_anon") and case["patient"] == "1"


@pytest.mark.parametrize(
    "along, direction", [((1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, -1)), ((0.6, 0.8, 0), (0, 0, 1))]
)
def test_the_affine_leads_to_the_places_that_the_headers_name(along, direction, tmp_path):
    case = LoadCased()(patient(tmp_path, along=along, direction=direction))
    along, direction = np.array(along, float), np.array(direction, float)
    column, row, place = 4, 7, 5
    first = np.array([10.0, 20.0, 30.0]) + STEP[2] * np.cross(along, direction)
    left_posterior = first + column * STEP[1] * along + row * STEP[0] * direction
    left_posterior = left_posterior + place * STEP[2] * np.cross(along, direction)
    for volume in (case["image"], case["label"]):
        found = volume.affine.numpy() @ [column, row, place, 1]
        np.testing.assert_allclose(found[:3], left_posterior * [-1, -1, 1], atol=1e-4)
        np.testing.assert_allclose(volume.pixdim, [STEP[1], STEP[0], STEP[2]], rtol=1e-5)


def test_resampled_slices_and_labels_still_agree(tmp_path):
    transform = volume_transform(image_size=(40, 40), pixdim=(0.5, 0.5), label_values=GRAY_VALUES)
    slices = dataset([patient(tmp_path)], transform)
    assert len(slices) == SLICES and slices.spacings[0] == pytest.approx((0.5, 0.5, 7.0), rel=1e-4)
    for item in (slices[2], slices[9]):
        image, label = item["image"][0], item["label"][0]
        means = torch.stack([image[label == number].median() for number in label.unique()])
        assert len(means) > 3 and (means.diff() > 0).all()  # brighter where the class is higher
        expected = means[torch.searchsorted(label.unique(), label)]
        assert torch.corrcoef(torch.stack([image.flatten(), expected.flatten()]))[0, 1] > 0.9


def test_folders_that_are_no_series_are_named(tmp_path):
    load = LoadCased()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: found no DICOM file and no picture"):
        load({"image": tmp_path / "empty", "label": tmp_path / "empty"})
    case = patient(tmp_path)
    series, ground = tmp_path / "1" / "T2SPIR" / "DICOM_anon", tmp_path / "1" / "T2SPIR" / "Ground"
    (ground / "IMG-0004-3.png").rename(tmp_path / "away.png")
    with pytest.raises(ValueError, match=r"Ground: found 10 picture\(s\) for 11 slices"):
        load(case)
    (tmp_path / "away.png").rename(ground / "IMG-0004-3.png")
    write_slice(series / "again.dcm", masks()[0], 4, (1, 0, 0), (0, 1, 0))
    with pytest.raises(ValueError, match="DICOM_anon: .* lie at one place.*give each series a folder"):
        load(case)
    with pytest.raises(ValueError, match="^[^ ]*DICOM_anon: .* lie at one place.*give each series a folder"):
        dataset([case])


# pictures


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp"])
def test_a_picture_is_a_volume_of_one_slice(suffix, tmp_path):
    pixels = np.kron(np.random.default_rng(0).integers(0, 255, (2, 3)), np.ones((8, 8))).astype(np.uint8)
    mask = (pixels > 128).astype(np.uint8) * 255
    data = {"image": picture(tmp_path / f"a{suffix}", pixels), "label": picture(tmp_path / "a_mask.png", mask)}
    case = LoadCased(label_values=[0, 255])(data)
    assert case["image"].shape == case["label"].shape == (1, 24, 16, 1)
    np.testing.assert_allclose(case["image"][0, :, :, 0], pixels.T, atol=3)
    np.testing.assert_array_equal(case["label"][0, :, :, 0], mask.T // 255)
    slices = dataset([data], volume_transform(label_values=[0, 255]), partitions=1)
    assert len(slices) == 1 and slices[0]["image"].shape == (1, 24, 16)
    assert (slices[0]["position"], slices[0]["partition"]) == (1.0, 0)
    assert slices.patients == ["a"] and slices[0]["label"].unique().tolist() == [0, 1]


def test_colors_become_gray_unless_they_are_asked_for(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (6, 4, 3), dtype=np.uint8)
    path = picture(tmp_path / "a.png", pixels)
    gray = LoadCased("image")({"image": path})["image"]
    np.testing.assert_allclose(gray[0, :, :, 0], (pixels @ [0.299, 0.587, 0.114]).T, atol=1)
    color = LoadCased("image", color=True)({"image": path})["image"]
    np.testing.assert_array_equal(color[..., 0], pixels.transpose(2, 1, 0))
    red = picture(tmp_path / "b.png", np.full((6, 4), 9, np.uint8))
    assert LoadCased("image", color=True)({"image": red})["image"].shape == (3, 4, 6, 1)


def test_numbers_of_other_kinds_of_pictures_are_kept(tmp_path):
    deep = np.arange(24, dtype=np.uint16).reshape(6, 4) * 2000
    case = {"image": picture(tmp_path / "deep.png", deep)}
    np.testing.assert_array_equal(LoadCased("image")(case)["image"][0, :, :, 0], deep.T)
    classes = (np.arange(24, dtype=np.uint8) % 3).reshape(6, 4)
    palette = Image.fromarray(classes, mode="P")
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0])
    palette.save(tmp_path / "palette.png")
    bits = picture(tmp_path / "bits.png", classes * 127, "1")
    label = LoadCased()({**case, "label": tmp_path / "palette.png"})["label"]
    np.testing.assert_array_equal(label[0, :, :, 0], classes.T)
    assert LoadCased()({**case, "label": bits})["label"].unique().tolist() == [0, 1]


def test_a_folder_of_pictures_is_a_volume(tmp_path):
    for number in (10, 9, 1):
        picture(tmp_path / "a" / f"slice{number}.png", np.full((6, 4), number, np.uint8))
    volume = LoadCased("image")({"image": tmp_path / "a"})["image"]
    assert volume.shape == (1, 4, 6, 3) and volume[0, 0, 0].tolist() == [1, 9, 10]
    picture(tmp_path / "a" / "slice2.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"slice2\.png: a slice of \(6, 4\) pixels, but .*slice1\.png has \(4, 6\)"):
        LoadCased("image")({"image": tmp_path / "a"})


def test_values_that_no_class_has_are_named(tmp_path):
    image = picture(tmp_path / "a.png", np.eye(4, dtype=np.uint8))
    label = picture(tmp_path / "b.png", np.arange(16, dtype=np.uint8).reshape(4, 4) // 4 * 85)
    with pytest.raises(ValueError, match=r"b\.png: found 2 value\(s\) that label_values \[0, 255\].*85, 170"):
        LoadCased(label_values=[0, 255])({"image": image, "label": label})
    for wrong in ([], [0, 0]):
        with pytest.raises(ValueError, match="label_values must name"):
            LoadCased(label_values=wrong)


def test_a_mask_of_another_size_is_named(tmp_path):
    image = picture(tmp_path / "a.png", np.eye(8, dtype=np.uint8))
    label = picture(tmp_path / "b.png", np.ones((8, 6), np.uint8))
    with pytest.raises(ValueError, match=r"b\.png: label of shape \(6, 8, 1\).*a\.png has \(8, 8, 1\)"):
        dataset([{"image": image, "label": label}], volume_transform(image_size=(8, 8)), partitions=1)


# saving, NIfTI, and what is missing


@pytest.mark.parametrize("color", [False, True])
def test_what_is_made_of_a_picture_is_saved_on_its_grid(color, tmp_path):
    path = picture(tmp_path / "a.png", np.arange(24, dtype=np.uint8).reshape(6, 4))
    batch = next(iter(DataLoader(Dataset([{"image": path}], LoadCased("image", color=color)))))
    image = decollate_batch(batch)[0]["image"]
    SaveImage(tmp_path, output_dtype=np.uint8, separate_folder=False, print_log=False)(image[:1])
    saved = nib.load(tmp_path / "a_trans.nii.gz")
    np.testing.assert_array_equal(np.squeeze(saved.dataobj), np.arange(24).reshape(6, 4).T)
    np.testing.assert_array_equal(saved.affine, np.eye(4))


def test_volumes_load_as_monai_loads_them(real_data):
    case = find_cases(real_data / "Task04_Hippocampus")[0]
    assert_loaded_alike(case)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_meta_data_and_voxels_are_those_of_monai(dtype, suffix, kind, tmp_path):
    generator = np.random.default_rng(0)
    affine = nib.affines.from_matvec(np.array([[0, 2, 0.1], [-3, 0, 0], [0, 0.2, 4]]), [5, 6, 7])
    header = kind.header_class(endianness=">" if suffix == ".nii" else "<")
    for key, shape in (("image", (6, 5, 4, 2)), ("label", (6, 5, 4))):
        values = generator.random(shape) * 99
        image = kind((np.rint(values) if key == "label" else values).astype(dtype), affine, header)
        image.header.set_slope_inter(*((2, 1) if dtype == np.int16 else (None, None)))
        nib.save(image, tmp_path / f"{key}{suffix}")
    assert_loaded_alike({key: str(tmp_path / f"{key}{suffix}") for key in ("image", "label")})
    both = [str(tmp_path / f"label{suffix}")] * 2
    assert_loaded_alike({"image": both, "label": both[0]})


def assert_loaded_alike(case):
    ours = LoadCased()(case)
    stock = LoadImaged(["image", "label"], ensure_channel_first=True)(case)
    for key in ("image", "label"):
        assert isinstance(ours[key], MetaTensor) and torch.equal(ours[key], stock[key])
        assert torch.equal(ours[key].affine, stock[key].affine) and ours[key].dtype == stock[key].dtype
        assert ours[key].meta.keys() == stock[key].meta.keys()
        for name, value in stock[key].meta.items():
            assert type(ours[key].meta[name]) is type(value), name
            np.testing.assert_array_equal(ours[key].meta[name], value, err_msg=name)


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    case = patient(tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"DICOM_anon.*: needs pydicom: .*\[dicom\]"):
        LoadCased()(case)
    with pytest.raises(ImportError, match=r"Ground.*png: needs PIL: .*\[pictures\]"):
        LoadCased("image")({"image": case["label"]})


def test_keys_that_a_case_lacks(tmp_path):
    image = picture(tmp_path / "a.png", np.eye(4, dtype=np.uint8))
    assert set(LoadCased(allow_missing_keys=True)({"image": image})) == {"image"}
    with pytest.raises(KeyError):
        LoadCased()({"image": image})
