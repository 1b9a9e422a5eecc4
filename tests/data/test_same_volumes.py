# SPDX-License-Identifier: Apache-2.0
"""One volume under two patients is warned of at every split, cheaply."""

import gzip
import re
import time
import warnings

import numpy as np
import pytest
from bad_files import plain

from monai_cl_ext.data import find_cases, folded_split, released_split, same_volumes, split_by_patient, split_patients
from monai_cl_ext.data.same_volumes import same_volumes as groups_of

SPLITS = {
    "split_patients": lambda cases: split_patients(cases, 1, 1),
    "split_by_patient": lambda cases: split_by_patient(cases, ["patient001"], ["patient002"], ["patient003"]),
    "folded_split": lambda cases: folded_split(cases, 1, validation=1),
    "released_split": lambda cases: released_split(cases, "acdc", 1, allow_absent=True),
}


@pytest.fixture
def folder(tmp_path):
    """Volumes of one length, all patients that released_split needs, no two alike."""
    for number in (1, 2, 3, 7, 11, 71):
        (tmp_path / f"patient{number:03d}_frame01.nii.gz").write_bytes(gzip.compress(plain(number), 1))
    return tmp_path


def told(call) -> list[str]:
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        call()
    return [str(found.message) for found in record if "same image" in str(found.message)]


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_warns_once_of_a_copy_and_never_without(split, folder):
    assert told(lambda: SPLITS[split](find_cases(folder))) == []
    (folder / "patient072_frame01.nii.gz").write_bytes((folder / "patient001_frame01.nii.gz").read_bytes())
    (message,) = told(lambda: SPLITS[split](find_cases(folder)))
    expected = r"'patient001' \(patient001_frame01\.nii\.gz\) and 'patient072' \(patient072_frame01\.nii\.gz\)"
    assert re.search(rf"{expected}.*remove one, or give both the same patient", message)


def fast(content: bytes) -> bytes:
    return gzip.compress(content, 1)


def bgzip(content: bytes) -> bytes:
    """Parts, the last one empty."""
    return b"".join(map(gzip.compress, (content[:500], content[500:], b"")))


@pytest.mark.parametrize(
    "first, second",
    [
        (("a.nii.gz", gzip.compress), ("b.nii.gz", fast)),
        (("a.nii.gz", gzip.compress), ("b.nii", bytes)),
        (("a.nii", bytes), ("b.nii", bytes)),
        (("a.nii.gz", bgzip), ("b.nii.gz", bgzip)),
    ],
    ids=["two levels", "packed and plain", "plain", "bgzip"],
)
def test_equal_content_is_found_however_it_is_packed(first, second, tmp_path):
    content, other = plain(1, (64, 64, 40)), plain(2, (64, 64, 40))
    for name, pack in (first, second):
        (tmp_path / name).write_bytes(pack(content))
        (tmp_path / f"other_{name}").write_bytes(pack(content[:150000] + other[150000:]))
    found = groups_of(find_cases(tmp_path))
    assert sorted([case["patient"] for case in group] for group in found) == [["a", "b"], ["other_a", "other_b"]]


def test_two_frames_of_one_patient_and_files_that_cannot_be_read_are_no_matter(folder):
    (folder / "patient001_frame02.nii.gz").write_bytes((folder / "patient001_frame01.nii.gz").read_bytes())
    for name in ("empty", "short", "cut", "cut_again"):
        content = {"empty": b"", "short": b"\x1f\x8b"}.get(name, gzip.compress(plain())[:500])
        (folder / f"{name}.nii.gz").write_bytes(content)
    (folder / "loop.nii.gz").symlink_to("loop.nii.gz")
    cases = [*find_cases(folder), {"image": "absent.nii", "patient": "x"}, {"image": ["a", "b"], "patient": "y"}]
    assert told(lambda: split_patients(cases, 1, 1)) == []


def test_many_copies_make_one_short_warning(tmp_path):
    for number in range(60):
        (tmp_path / f"p{number:02d}.png").write_bytes(b"picture" + bytes([number % 20]))
    (message,) = told(lambda: split_patients(find_cases(tmp_path), 1, 1))
    assert "and 17 more" in message and len(message) < 600


def test_two_hundred_volumes_take_well_under_a_second(tmp_path, monkeypatch):
    content = gzip.compress(plain(), 1)
    for number in range(200):
        trailer = number.to_bytes(4, "little") + content[-4:]
        (tmp_path / f"{number}.nii.gz").write_bytes(content[:-8] + np.random.default_rng(number).bytes(99) + trailer)
    cases = find_cases(tmp_path)
    monkeypatch.setattr(same_volumes, "_hash", lambda file: pytest.fail("a volume was read whole without a suspicion"))
    begin = time.perf_counter()
    assert groups_of(cases) == [] and time.perf_counter() - begin < 0.5


def test_the_two_patients_of_acdc_are_warned_of_and_stay_usable(real_data):
    cases = find_cases(real_data / "ACDC")
    (message,) = told(lambda: split_patients(cases, 0.1, 0.25))
    assert "'patient074' (patient074_frame01.nii.gz) and 'patient076' (patient076_frame01.nii.gz)" in message
    assert "'patient074' (patient074_frame02.nii.gz)" in message and "more" not in message
