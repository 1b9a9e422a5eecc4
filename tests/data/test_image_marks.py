# SPDX-License-Identifier: Apache-2.0
"""An image is known again by its mark, whatever its name and folder, and no other is taken for it."""

import gzip
import os

import numpy as np
import pytest
from bad_files import plain

from monai_cl_ext.data.image_marks import image_marks


def parts(content: bytes) -> bytes:
    """As bgzip writes, in parts of which the last is empty."""
    return b"".join(map(gzip.compress, (content[:500], content[500:], b"")))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, parts])
def test_copies_have_one_mark_and_other_images_another(pack, tmp_path):
    contents = [pack(plain(number, (64, 64, 40))) for number in range(4)]
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        for number, content in enumerate(contents):
            (tmp_path / folder / f"{folder}_{number}.nii").write_bytes(content)
    first, second = (
        list(image_marks(str(path) for path in sorted((tmp_path / folder).iterdir())).values())
        for folder in ("one", "other")
    )
    assert first == second and len(set(first)) == 4 and {len(mark) for mark in first} == {16}


def test_a_series_is_known_by_its_images_and_not_by_what_lies_beside_them(tmp_path):
    for number in range(5):
        series = tmp_path / f"series_{number}"
        (series / "VIEWER").mkdir(parents=True)
        for library in range(9):
            (series / "VIEWER" / f"{library}.dll").write_bytes(b"the same everywhere")
        for place in range(3):
            (series / f"{place}.dcm").write_bytes(np.random.default_rng([number % 2, place]).bytes(500))
            (series / f"._{place}.dcm").write_bytes(b"of macOS")
    marks = image_marks(str(path) for path in sorted(tmp_path.glob("series*")))
    assert len(marks) == 5 and len(set(marks.values())) == 2


def test_what_cannot_be_read_has_no_mark(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop.nii").symlink_to("loop.nii")
    assert image_marks((str(tmp_path / "empty"), str(tmp_path / "loop.nii"), "absent.nii", "null\0.nii")) == {}


def test_an_image_that_was_replaced_has_a_mark_of_its_own(tmp_path):
    path = str(tmp_path / "image.nii")
    marks = []
    for content in (b"first", b"other", b"longer"):
        (tmp_path / "image.nii").write_bytes(content)
        os.utime(path, ns=(0, len(marks)))
        marks.append(image_marks([path])[path])
    assert len({*marks}) == 3
