# SPDX-License-Identifier: Apache-2.0
"""Each kind of leak is refused with the patient and the two places."""

import gzip
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl_ext.study.leaks import LeakError, refuse_leaks
from monai_cl_ext.study.splits import with_held_out_patients


def write(path: Path, seed: int) -> str:
    voxels = np.random.default_rng(seed).integers(0, 200, (6, 6, 3)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    return str(path)


@pytest.fixture
def split(tmp_path):
    parts = {"pretrain": ["a", "b"], "train": ["a"], "validation": ["v"], "test": ["t"]}
    names = sorted({name for part in parts.values() for name in part})
    images = {name: write(tmp_path / f"{name}_frame01.nii.gz", seed) for seed, name in enumerate(names)}
    return {part: [{"image": images[name], "patient": name} for name in names] for part, names in parts.items()}


def test_a_clean_split_passes_and_labelled_patients_may_be_pretrained_on(split):
    refuse_leaks(split)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ("train", "test", "patient 'a' is a labeled patient and a test patient"),
        ("train", "validation", "patient 'a' is a labeled patient and a validation patient"),
        ("validation", "test", "patient 'v' is a validation patient and a test patient"),
    ],
)
def test_a_patient_in_two_places_is_refused(split, first, second, sentence):
    split[second] = [*split[second], split[first][0]]
    for transductive in (False, True):
        with pytest.raises(LeakError, match=sentence):
            refuse_leaks(with_held_out_patients(split) if transductive else split, transductive)


@pytest.mark.parametrize(("part", "place"), [("test", "test"), ("validation", "validation")])
def test_held_out_patients_in_pretraining_are_refused_unless_transductive(split, part, place):
    split["pretrain"] = [*split["pretrain"], *split[part]]
    patient = split[part][0]["patient"]
    with pytest.raises(LeakError, match=f"'{patient}' is a pre-training patient and a {place} patient.*--transductive"):
        refuse_leaks(split)
    refuse_leaks(split, transductive=True)


def test_two_volumes_of_a_patient_in_two_places_are_refused(split, tmp_path):
    other = {"image": write(tmp_path / "a_frame02.nii.gz", 9), "patient": "a"}
    split["test"] = [*split["test"], other]
    with pytest.raises(LeakError, match=r"'a' is a labeled .* test .*a_frame01.nii.gz and a_frame02.nii.gz"):
        refuse_leaks(split)


@pytest.mark.parametrize("part", ["pretrain", "train", "validation"])
def test_one_image_under_two_patients_is_refused(split, tmp_path, part):
    with gzip.open(split["test"][0]["image"]) as packed, open(tmp_path / "z.nii", "wb") as plain:
        shutil.copyfileobj(packed, plain)  # other bytes, the same voxels
    split[part] = [*split[part], {"image": str(tmp_path / "z.nii"), "patient": "z"}]
    with pytest.raises(LeakError, match=r"'t' \(t_frame01.nii.gz\).*same image|'z' \(z.nii\).*same image"):
        refuse_leaks(split)


def test_one_image_under_two_patients_in_one_place_is_a_warning(split, tmp_path):
    shutil.copy(split["test"][0]["image"], tmp_path / "z.nii.gz")
    split["test"] = [*split["test"], {"image": str(tmp_path / "z.nii.gz"), "patient": "z"}]
    with pytest.warns(UserWarning, match="'t'.*'z'.*counts twice"):
        refuse_leaks(split)
