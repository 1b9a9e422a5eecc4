# SPDX-License-Identifier: Apache-2.0
"""Every kind of bad data is found, with its file and a remedy, and good data raise no alarm."""

import re
from functools import partial

import numpy as np
import pytest
from bad_folders import BAD, COUNT, KINDS, SHAPE, affine, image_of, label_of, save, volume, write_folder
from PIL import Image

from monai_cl_ext.data import LoadCased, find_cases
from monai_cl_ext.data_check.check import check_folder
from monai_cl_ext.data_check.examine import examine
from monai_cl_ext.data_check.looking import look_at_all


def found(checked, level):
    return [finding for finding in checked.findings if finding.level == level]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return check_folder(write_folder(tmp_path_factory.mktemp("clean") / "data"))


def test_good_data_raise_no_alarm(clean):
    assert clean.findings == [] and clean.drawing is None and not clean.errors


def test_the_card_holds_the_numbers_of_the_files(clean):
    card, first = clean.card, clean.cases[0]
    assert (card["patients"], card["volumes"], card["labeled_volumes"], card["refused_volumes"]) == (
        COUNT,
        COUNT,
        COUNT,
        0,
    )
    assert card["shape"]["median"] == list(SHAPE) and card["spacing"]["median"] == pytest.approx([1.5, 1.5, 8.0])
    assert card["orientations"] == {"RAS": COUNT} and card["types"] == {"int16": COUNT}
    assert card["classes"]["1"]["voxels"]["median"] == 8 * 5 * 4 and card["classes"]["2"]["patients"] == COUNT
    assert card["classes"]["2"]["milliliters"]["max"] == pytest.approx(3 * 3 * 3 * 1.5 * 1.5 * 8 / 1000)
    values = volume(0).astype(float)
    intensities = first.volume.intensities[0]
    assert intensities.percentile_99_5 == pytest.approx(np.percentile(values, 99.5))
    assert intensities.mean == pytest.approx(values.mean()) and intensities.std == pytest.approx(values.std())
    inside = values[4:12, 6:11, 2:6].ravel().tolist() + values[12:15, 6:9, 2:5].ravel().tolist()
    assert first.segmentation.intensities[0].median == pytest.approx(np.median(inside))
    assert first.segmentation.box == ((4, 15), (6, 11), (2, 6))
    pooled = [first.segmentation.sample for first in clean.cases]
    assert card["foreground_intensities"][0]["mean"] == pytest.approx(np.concatenate(pooled, axis=1).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_bad_data_is_found_with_file_and_remedy(kind, tmp_path):
    spoil, level, text, remedy, file = KINDS[kind]
    spoil(write_folder(tmp_path / "data"))
    checked = check_folder(tmp_path / "data", slice_axis=2)
    told = [finding for finding in found(checked, level) if re.search(text, finding.message)]
    assert len(told) == 1, checked.findings
    assert re.search(remedy, told[0].message) and file in told[0].message
    assert not file or any(file in name for name in told[0].files)
    assert bool(checked.errors) == (level == "error")
    assert checked.card["volumes"] == COUNT


def test_all_bad_files_are_listed_and_the_rest_is_measured(tmp_path):
    folder = write_folder(tmp_path / "data")
    for name in ("p01", "p02", "p06"):
        image_of(folder, name).write_bytes(b"no volume")
    checked = check_folder(folder)
    assert [finding.files for finding in checked.errors] == [(str(image_of(folder, n)),) for n in ("p01", "p02", "p06")]
    assert checked.card["refused_volumes"] == 3 and checked.card["orientations"] == {"RAS": COUNT - 3}


def test_an_image_is_measured_though_its_label_is_refused(tmp_path):
    folder = write_folder(tmp_path / "data")
    label_of(folder).write_bytes(b"no label")
    checked = check_folder(folder)
    bad = next(one for one in checked.cases if one.patient == BAD)
    assert bad.error.files == (str(label_of(folder)),) and bad.segmentation is None and bad.volume.shape == SHAPE
    assert checked.drawing is not None and checked.drawing.figure.axes[0].get_title(loc="left").startswith(BAD)
    assert "label refused" in checked.drawing.figure.axes[0].get_title(loc="left")


def test_classes_outside_a_given_number_are_refused_in_every_label(tmp_path):
    checked = check_folder(write_folder(tmp_path / "data"), num_classes=2)
    assert len(checked.errors) == COUNT and all("num_classes 2" in finding.message for finding in checked.errors)


def test_no_labels_are_a_note_and_too_few_patients_an_error(tmp_path):
    checked = check_folder(write_folder(tmp_path / "a", labels=False))
    assert [finding.level for finding in checked.findings] == ["note"] and "pre-training" in checked.findings[0].message
    assert "num_classes" not in checked.suggestion.settings
    checked = check_folder(write_folder(tmp_path / "b", count=2))
    assert "leave no patient for training" in checked.errors[0].message


def test_nothing_readable_is_told(tmp_path):
    folder = write_folder(tmp_path / "data", count=4)
    for number in range(4):
        image_of(folder, f"p{number:02}").write_bytes(b"no volume")
    checked = check_folder(folder)
    assert checked.suggestion is None and "no volume can be read" in checked.errors[-1].message


def test_headers_without_spacing_are_placeholders(tmp_path):
    for number in range(4):
        save(volume(number), tmp_path / f"v{number}.nii.gz", np.eye(4), "unknown")
    checked = check_folder(tmp_path)
    assert checked.card["spacing"] is None and checked.suggestion.settings["pixdim"] is None
    assert any("no header tells a spacing" in finding.message for finding in found(checked, "note"))
    for number in range(4):  # the same affine is true where the header says mm
        save(volume(number), tmp_path / f"v{number}.nii.gz", np.eye(4), "mm")
    assert check_folder(tmp_path).suggestion.settings["pixdim"] == [1.0, 1.0]


def test_oblique_volumes_are_not_said_to_be_turned(tmp_path):
    """Codes of short-axis heart volumes, about 45 degrees to the body's axes, change from patient to patient."""
    for number in range(6):
        angle = np.radians(38 + 3 * number)
        place = affine()
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        place[:3, :3] = turn @ place[:3, :3]
        save(volume(number), tmp_path / f"v{number}.nii.gz", place)
    checked = check_folder(tmp_path)
    assert len(checked.card["orientations"]) > 1 and not found(checked, "warning")
    place[:3, 0] *= -1
    save(volume(5), tmp_path / "v5.nii.gz", place)
    (told,) = found(check_folder(tmp_path), "warning")
    assert "other directions" in told.message and told.files == (str(tmp_path / "v5.nii.gz"),)


def test_processes_and_this_one_find_the_same(tmp_path):
    folder = write_folder(tmp_path / "data", count=14)
    label_of(folder).write_bytes(b"no label")
    cases = find_cases(folder)
    look = partial(examine, load=LoadCased(allow_missing_keys=True))
    alone, together = (look_at_all(cases, look, workers, progress=False) for workers in (1, 2))
    assert alone == together and [one.image for one in alone] == [case["image"] for case in cases]
    assert alone[3].error.files == (str(label_of(folder)),)


def test_photographs_are_checked(tmp_path):
    generator = np.random.default_rng(0)
    for name, count in (("healthy", 6), ("ill", 5), ("rare", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            pixels = generator.integers(0, 255, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    clean = check_folder(tmp_path)
    assert [finding.message.partition(":")[2] for finding in clean.findings] == [
        " class 'rare' has 1 patient(s); a split cannot have it in training, validation and test; add pictures, or "
        "merge the class"
    ]
    assert clean.card["classes"]["healthy"] == {"pictures": 6, "patients": 6} and clean.card["size"]["max"] == [50, 40]
    path = tmp_path / "healthy"
    (path / "0.png").write_bytes((path / "0.png").read_bytes()[:500])
    (path / "1.png").write_bytes(b"")
    Image.new("L", (50, 40), 9).save(path / "2.png")
    Image.fromarray(generator.integers(0, 255, (400, 500, 3), dtype=np.uint8)).save(path / "3.png")
    (path / "4.png").write_bytes((path / "5.png").read_bytes())
    checked = check_folder(tmp_path)
    assert [finding.files for finding in checked.errors] == [(str(path / f"{number}.png"),) for number in (0, 1)]
    warned = " ".join(finding.message for finding in found(checked, "warning"))
    for said in ("2.png: nearly all pixels have one gray", "other colors than the rest (9 RGB, 1 L)",
                 "'healthy/4' and 'healthy/5' have the same image", "shorter side off the median"):  # fmt: skip
        assert said in warned, said


def test_the_share_of_a_volume_that_is_not_zero_is_told(tmp_path):
    folder = write_folder(tmp_path / "data")
    for number in range(COUNT):
        values = volume(number)
        values[:6] = 0
        save(values, image_of(folder, f"p{number:02}"))
    checked = check_folder(folder)
    assert checked.card["nonzero_share"] == 0.75 and checked.card["nonzero_shape"]["max"] == [18, 20, 8]
    assert any("leaves 75% of the median volume" in sentence for sentence in checked.sentences)


def test_several_channels_are_measured_each_and_many_are_taken_for_time_points(tmp_path):
    for number in range(5):
        values = np.stack([volume(number), 10 * volume(number)], axis=-1)
        save(values, tmp_path / f"v{number}.nii.gz")
    checked = check_folder(tmp_path)
    first, second = checked.card["intensities"]
    assert second["mean"]["median"] == pytest.approx(10 * first["mean"]["median"])
    assert not found(checked, "warning") and checked.suggestion.settings["in_channels"] == 2
    for number in range(5):
        values = np.stack([volume(number + channel) for channel in range(9)], axis=-1)
        save(values, tmp_path / f"v{number}.nii.gz")
    (told,) = found(check_folder(tmp_path), "warning")
    assert "9 channels; if they are time points" in told.message and len(told.files) == 5


def test_real_volumes_raise_one_alarm(real_data, tmp_path):
    """Patients 074 and 076 of ACDC have the same images; no header tells a spacing."""
    for number in (2, 5, 74, 76, 15):
        for path in (real_data / "ACDC" / "imagesTr").glob(f"patient{number:03}_*"):
            (tmp_path / path.name).symlink_to(path)
    checked = check_folder(tmp_path)
    (told,) = found(checked, "warning")
    assert "'patient074' and 'patient076' have the same image" in told.message and len(told.files) == 4
    assert checked.suggestion.settings["pixdim"] is None and checked.suggestion.settings["slice_axis"] == 2


@pytest.mark.parametrize("table", ["patient,grade\np01,3\n", "image,label\np01.nii.gz,3\n"])
def test_a_clinical_table_beside_volumes_makes_them_no_pictures(table, tmp_path):
    folder = write_folder(tmp_path / "data")
    images, labels = tmp_path / "images", tmp_path / "labels"
    (folder / "imagesTr").rename(images)
    (folder / "labelsTr").rename(labels)
    (images / "labels.csv").write_text(table)
    for layout in ({"label_dir": str(labels)}, {}):
        checked = check_folder(images, **layout)
        assert not checked.errors and len(checked.cases) == COUNT and checked.suggestion
