# SPDX-License-Identifier: Apache-2.0
"""DICOM is read alike with pydicom 2.4, which MONAI Label needs, and with pydicom 3."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from monai_cl_ext.data.dicom import versions
from monai_cl_ext.data.dicom.slices import check_elements


@pytest.fixture
def two(monkeypatch):
    """What pydicom 2.4 has, the parts that are asked for."""
    decoders = [
        SimpleNamespace(supports_transfer_syntax=lambda syntax: syntax.name == "RLE", is_available=lambda: False),
        SimpleNamespace(supports_transfer_syntax=lambda syntax: syntax.name != "MPEG", is_available=lambda: True),
        SimpleNamespace(supports_transfer_syntax=lambda syntax: syntax.name == "JPEG", is_available=lambda: False),
    ]
    monkeypatch.setattr(versions, "IS_THREE", False)
    monkeypatch.setattr(versions, "config", SimpleNamespace(pixel_data_handlers=decoders))
    return decoders


def test_a_decoder_is_one_of_those_for_the_syntax(two):
    assert versions.can_decode(SimpleNamespace(name="RLE"))
    two[1].is_available = lambda: False
    assert not versions.can_decode(SimpleNamespace(name="JPEG"))
    with pytest.raises(NotImplementedError, match="MPEG"):
        versions.can_decode(SimpleNamespace(name="MPEG"))


def test_bits_above_those_stored_are_taken_off(two):
    for kind, expected in ((np.uint16, [5, 4095, 2048]), (np.int16, [5, -1, -2048])):
        stored = np.array([0x5005, 0x5FFF, 0x5800], dtype=np.uint16).view(kind)
        found = versions.pixels_of(SimpleNamespace(pixel_array=stored, BitsStored=12))
        assert found.tolist() == expected and found.dtype == kind
    real = np.array([0.5, 2.0])
    assert versions.pixels_of(SimpleNamespace(pixel_array=real)) is real


@pytest.mark.parametrize("little", [True, False])
def test_a_look_up_table_is_told_its_byte_order(little, two, monkeypatch):
    monkeypatch.setattr(versions, "apply_modality_lut", lambda pixels, header: pixels + header.is_little_endian)
    header = SimpleNamespace(file_meta=SimpleNamespace(TransferSyntaxUID=SimpleNamespace(is_little_endian=little)))
    assert versions.with_modality_lut(np.array([3]), header).tolist() == [3 + little]


def test_the_encoding_has_other_names(two):
    assert versions.encoding_of(SimpleNamespace(read_implicit_vr=True, read_little_endian=False)) == (True, False)


class OfTwo(dict):
    """A data set of which each element counts two values, as pydicom 2.4 counts the items of a sequence."""

    def __getitem__(self, tag):
        return SimpleNamespace(VM=2)


def test_items_of_a_sequence_are_no_further_values():
    check_elements(OfTwo(PerFrameFunctionalGroupsSequence=["first", "second"]), Path("a.dcm"))
    with pytest.raises(ValueError, match="a.dcm: expected one Rows"):
        check_elements(OfTwo(Rows=[4, 5]), Path("a.dcm"))
