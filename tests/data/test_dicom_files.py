# SPDX-License-Identifier: Apache-2.0
"""DICOM files are known by their content, and what else lies in their folder is left out or named."""

import sys
import threading

import numpy as np
import pytest
from dicom_writing import COLUMNS, ROWS, plain_dataset, write_series, write_slice
from PIL import Image

from monai_cl_ext.data import LoadCased, SliceDataset
from monai_cl_ext.data.dicom import read_series, series
from monai_cl_ext.data.picture_volumes import pictures_of


def picture(path):
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4)).save(path)


@pytest.mark.parametrize(
    "pattern", ["IM000{}", "{}.IMA", "MR.1.2.{}", "{}.dcm", "1.2.840.{}.DCM", "slice {}.dat", "[{}]"]
)
def test_names_do_not_matter(pattern, tmp_path):
    for number in range(1, 4):
        write_slice(tmp_path / pattern.format(number), number, 5 * number)
    assert LoadCased("image")({"image": tmp_path})["image"][0, 0, 0].tolist() == [1, 2, 3]


def test_what_lies_beside_a_series_is_left_out(tmp_path):
    write_series(tmp_path)
    for name in ("preview.jpg", "thumb.png", "1.png"):
        picture(tmp_path / name)
    (tmp_path / "README.txt").write_text("exported by a workstation\n")
    (tmp_path / "Thumbs.db").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    (tmp_path / "._1.dcm").write_bytes(b"Mac OS X")
    (tmp_path / "empty.log").touch()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder.dcm").mkdir()
    other_kinds(tmp_path)
    volume, order = read_series(tmp_path)
    assert volume[0, 0, 0].tolist() == [1, 2, 3, 4] and order == [0, 1, 2, 3]


def other_kinds(folder):
    """DICOM files without pixels."""
    import pydicom

    kinds = {
        "DICOMDIR": pydicom.uid.MediaStorageDirectoryStorage,
        "report": pydicom.uid.BasicTextSRStorage,
        "state": pydicom.uid.GrayscaleSoftcopyPresentationStateStorage,
        "contours": pydicom.uid.RTStructureSetStorage,
        "notes": "1.3.12.2.1107.5.9.1",  # Siemens CSA Non-Image Storage
    }
    for name, kind in kinds.items():
        dataset = pydicom.Dataset()
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(kind)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.SeriesInstanceUID = "1.2.99"
        dataset.save_as(folder / name, enforce_file_format=True)


def test_a_folder_of_pictures_stays_one(tmp_path):
    for number in (1, 2):
        picture(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("x" * 200)
    assert [path.name for path in pictures_of(tmp_path)] == ["1.png", "2.png"]
    write_slice(tmp_path / "IM1", 1, 0)
    assert pictures_of(tmp_path) == []


@pytest.mark.parametrize("implicit, little", [(True, True), (False, True), (False, False)])
def test_files_without_preamble_are_read(implicit, little, tmp_path):
    pixels = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)
    for number in (1, 2):
        stored = (pixels + number).astype("<u2" if little else ">u2")
        dataset = plain_dataset(pixels, ImagePositionPatient=[0, 0, number], PixelData=stored.tobytes())
        del dataset.file_meta
        dataset.save_as(tmp_path / f"IM{number}", implicit_vr=implicit, little_endian=little)
    assert (tmp_path / "IM1").read_bytes()[128:132] != b"DICM"
    found = LoadCased("image")({"image": tmp_path})["image"][0].numpy()
    np.testing.assert_array_equal(found, np.stack([pixels.T + 1, pixels.T + 2], axis=-1))


def test_files_that_only_begin_alike_are_left_out(tmp_path):
    write_series(tmp_path)
    (tmp_path / "other").write_bytes(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100")
    (tmp_path / "table").write_bytes(b"\x02\x00\x01\x00" * 50)
    assert read_series(tmp_path)[0].shape[-1] == 4


@pytest.mark.parametrize(
    "name, content", [("5.dcm", b"version https://git-lfs.github.com/spec/v1\n"), ("IM0005", bytes(900))]
)
def test_a_damaged_file_among_slices_is_named(name, content, tmp_path):
    """At the end of a series no gap tells that it is missing."""
    for number in range(1, 5):
        write_slice(tmp_path / name.replace("5", str(number)), number, number)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: called like a DICOM file, found other bytes; copy or download"):
        read_series(tmp_path)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{name}: the file is empty"):
        read_series(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("objects")
    with pytest.raises(FileNotFoundError, match=rf"{name}: a link to objects, where there is no file"):
        read_series(tmp_path)


def test_folders_without_images_are_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path.name}: found no DICOM file and no picture; give the folder"):
        read_series(tmp_path)
    write_series(tmp_path / "inner")
    with pytest.raises(ValueError, match=f"{tmp_path.name}: found no DICOM file and no picture; give the folder"):
        read_series(tmp_path)
    other_kinds(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path.name}: expected DICOM images, found other .*such as DICOMDIR;"):
        read_series(tmp_path)


def test_a_missing_package_is_named_where_there_is_dicom(tmp_path, monkeypatch):
    write_series(tmp_path / "series")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ValueError, match="found no DICOM file"):
        read_series(tmp_path)
    with pytest.raises(ImportError, match=r"needs pydicom: .*\[dicom\]"):
        read_series(tmp_path / "series")


def test_masks_by_name_belong_to_files_by_name(tmp_path):
    """Names run against positions, and numbers against both."""
    for number, (name, place) in enumerate((("10", 5), ("9", 10), ("1", 0))):
        write_slice(tmp_path / "a" / f"IM{name}", place, place, InstanceNumber=number)
        (tmp_path / "b").mkdir(exist_ok=True)
        Image.fromarray(np.full((ROWS, COLUMNS), place, np.uint8)).save(tmp_path / "b" / f"mask{name}.png")
    picture(tmp_path / "a" / "preview.jpg")
    case = LoadCased()({"image": tmp_path / "a", "label": tmp_path / "b"})
    assert case["image"][0, 0, 0].tolist() == case["label"][0, 0, 0].tolist() == [0, 5, 10]
    np.testing.assert_array_equal(case["image"].affine, case["label"].affine)


@pytest.mark.parametrize("names", [("1", "2", "3"), ("3", "1", "2")])
def test_a_label_may_be_a_series(names, tmp_path):
    """As of 3D-IRCADb: its numbers are classes, however they are to be shown."""
    for place, name in enumerate(names):
        mask = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS) % (place + 2)
        write_slice(tmp_path / "a" / f"{place}", 100 * mask, place)
        write_slice(
            tmp_path / "b" / name, 255 * (mask > 0), place, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0
        )
    case = LoadCased(label_values=[0, 255])({"image": tmp_path / "a", "label": tmp_path / "b"})
    np.testing.assert_array_equal(case["label"], case["image"] > 0)
    one = LoadCased(label_values=[0, 255])({"image": tmp_path / "a" / "1", "label": tmp_path / "b" / names[1]})
    np.testing.assert_array_equal(one["label"], case["label"][..., 1:2])


def test_threads_do_not_mix_their_series(tmp_path, monkeypatch):
    """Both threads have read their files before either goes on."""
    lengths = {"long": 7, "short": 4}
    for name, count in lengths.items():
        for place in range(count):
            pixels = np.random.default_rng([count, place]).integers(0, 999, (ROWS, COLUMNS)).astype(np.uint16)
            write_slice(tmp_path / name / f"{place}", pixels, place)
    data = [{"image": str(tmp_path / name)} for name in lengths]
    alone = SliceDataset(data, progress=False, partitions=1, workers=1)
    both, read = threading.Barrier(2, timeout=60), series.read_files

    def waiting(folder):
        found = read(folder)
        both.wait()
        return found

    monkeypatch.setattr(series, "read_files", waiting)
    together = SliceDataset(data, progress=False, partitions=1, workers=2)
    assert together.volume.bincount().tolist() == [7, 4]
    assert all((alone[place]["image"] == together[place]["image"]).all() for place in range(11))
