# SPDX-License-Identifier: Apache-2.0
"""Photographs: how they are listed, and what the dataset serves."""

import csv
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from monai_cl_ext.data import PictureDataset, classes_of, find_pictures


def write(path, size=(20, 10), color=(255, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    picture[:, : size[0] // 2] = color
    Image.fromarray(picture).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("b2/x.png", "b10/y.png", "b10/z.png"):
        write(tmp_path / name)
    return tmp_path


def test_folders_are_classes_in_the_order_of_their_names(folder):
    cases = find_pictures(folder)
    assert [(case["class"], case["class_name"], case["patient"]) for case in cases] == [
        (1, "b10", "b10/y"), (1, "b10", "b10/z"), (0, "b2", "b2/x")
    ]  # fmt: skip
    assert classes_of(cases) == ["b2", "b10"]


def test_a_table_names_classes_and_patients(folder):
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "label", "patient"], ["b2/x.png", "sick", "p1"], ["b10/y.png", "", ""]])
    first, second = find_pictures(folder)
    assert "class" not in first and first["patient"] == "y"
    assert (second["class"], second["class_name"], second["patient"]) == (0, "sick", "p1")
    with pytest.raises(ValueError, match="has no class"):
        classes_of([first])
    (folder / "other.csv").write_text("file,grade\nb2/x.png,3\n")
    (case,) = find_pictures(folder, folder / "other.csv", {"image": "file", "label": "grade"})
    assert case["class_name"] == "3"


def test_the_middle_square_is_served_with_its_tags(tmp_path):
    write(tmp_path / "a" / "left.png", (40, 20))
    write(tmp_path / "a" / "right.png", (20, 40), (0, 255, 0))
    cases = [{**case, "patient": "one"} for case in find_pictures(tmp_path)]
    dataset = PictureDataset(cases, size=10)
    item = dataset[0]
    assert item["image"].shape == (3, 10, 10) and item["image"].dtype == torch.float32
    assert item["image"][0, :, :4].min() > 0.95 and item["image"][0, :, 6:].max() < 0.05 and item["image"].max() <= 1
    assert {key: item[key] for key in ("class", "volume", "position", "partition")} == {
        "class": 0, "volume": 0, "position": 1.0, "partition": 0
    }  # fmt: skip
    assert dataset[1]["volume"] == 0 and dataset.patients == ["one"] and len(dataset.files) == 2
    assert PictureDataset(cases, 10, channels=1)[0]["image"].shape == (1, 10, 10)


def test_folders_of_images_and_labels_are_no_classes(tmp_path):
    for name in ("images/x.png", "masks/x.png"):
        write(tmp_path / name)
    with pytest.raises(ValueError, match=r"found one of labels, masks; .*dataset_dir and .*masks as label_dir"):
        find_pictures(tmp_path)


def test_mistakes_are_named(folder):
    with pytest.raises(FileNotFoundError, match="expected a folder"):
        find_pictures(folder / "nothing")
    with pytest.raises(FileNotFoundError, match="table .*none.csv: found no such file"):
        find_pictures(folder, folder / "none.csv")
    (folder / "labels.csv").write_text("picture\nb2/x.png\n")
    with pytest.raises(ValueError, match="expected the column 'image', found picture"):
        find_pictures(folder)
    (folder / "labels.csv").write_text("image\nb3/x.png\n")
    with pytest.raises(FileNotFoundError, match="names 'b3/x.png', found no such file"):
        find_pictures(folder)
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="no folder of pictures"):
        find_pictures(empty)
    (folder / "broken.png").write_text("no picture")
    with pytest.raises(ValueError, match="broken.png: cannot be read as a picture"):
        PictureDataset([{"image": folder / "broken.png", "patient": "p"}], 8)
    with pytest.raises(ValueError, match="found none"):
        PictureDataset([], 8)


@pytest.mark.parametrize("place", [".ipynb_checkpoints/a.png", "__MACOSX/a.png", "@eaDir/a.png", "b2/._x.png",
                                   "b2/.ipynb_checkpoints/x.png", "b2/@eaDir/x.png"])  # fmt: skip
def test_hidden_folders_and_files_are_no_classes_and_no_pictures(place, folder):
    write(folder / place)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cases = find_pictures(folder)
    assert len(cases) == 3 and classes_of(cases) == ["b2", "b10"]


def test_pictures_deeper_in_class_folders_are_told_of(folder):
    write(folder / "b2" / "patient1" / "x.png")
    with pytest.warns(UserWarning, match="b2/patient1: its pictures are not read"):
        assert len(find_pictures(folder)) == 3


def test_a_file_under_two_classes_or_patients_is_refused_by_both_names(folder):
    (folder / "b2" / "link.png").symlink_to(folder / "b10" / "y.png")
    expected = r"b2/link\.png \(class 'b2', patient 'b2/link'\) is the same file as .*b10/y\.png \(class 'b10', patient"
    with pytest.raises(ValueError, match=expected):
        find_pictures(folder)
    (folder / "labels.csv").write_text("image,label,patient\nb10/y.png,ill,p\nb10/../b10/y.png,ill,q\n")
    with pytest.raises(ValueError, match=r"lines 2 and 3 both name .*y\.png', with another class or patient"):
        find_pictures(folder)


def test_paths_are_no_cases():
    with pytest.raises(TypeError, match="data: expected cases, .*found .a.png.; find_cases and find_pictures"):
        PictureDataset(["a.png"], 16)
