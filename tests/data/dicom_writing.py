# SPDX-License-Identifier: Apache-2.0
"""Writes DICOM files as scanners do, and as faulty exports do."""

from pathlib import Path

import numpy as np
import pytest

ROWS, COLUMNS = 6, 4


def plain_dataset(pixels, **elements):
    """An MR slice of unsigned 16 bit; an element given as None is left out."""
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs pip install .[dicom]")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    values = {
        "SOPClassUID": pydicom.uid.MRImageStorage,
        "SeriesInstanceUID": "1.2.3",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelSpacing": [1.5, 2.5],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelData": pixels.astype(np.uint16).tobytes(),
        **elements,
    }
    if values["BitsStored"] is not None:
        values.setdefault("HighBit", values["BitsStored"] - 1)
    for tag, value in values.items():
        if value is not None:
            setattr(dataset, tag, value)
    dataset.file_meta.MediaStorageSOPClassUID = values["SOPClassUID"]
    return dataset


def write_slice(path, value, place, **elements):
    """One slice at ``place`` mm along the body, all of whose pixels are ``value``, or which are an array."""
    pixels = np.broadcast_to(
        np.asarray(value, dtype=None if isinstance(value, np.ndarray) else np.uint16), (ROWS, COLUMNS)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    plain_dataset(pixels, **{"ImagePositionPatient": [10, 20, place], **elements}).save_as(
        path, enforce_file_format=True
    )


def write_series(folder, values=(1, 2, 3, 4), step=5.0, **elements):
    """Slices 1.dcm, 2.dcm, ..."""
    for number, value in enumerate(values):
        write_slice(Path(folder) / f"{number + 1}.dcm", value, step * number, InstanceNumber=number + 1, **elements)
    return Path(folder)


def change(path, **elements):
    """Sets elements of a file, or removes those given as None."""
    import pydicom

    dataset = pydicom.dcmread(path)
    for tag, value in elements.items():
        if value is None:
            del dataset[tag]
        else:
            setattr(dataset, tag, value)
    dataset.save_as(path)
