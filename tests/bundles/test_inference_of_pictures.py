# SPDX-License-Identifier: Apache-2.0
"""Inference reads pictures as training does."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from workflows import copy_bundle, message_of, parsed, run

from monai_cl_ext.data import find_pictures
from monai_cl_ext.data.picture_dataset import read_picture

NAME = "dino_classification"
COLORS = np.kron(np.random.default_rng(0).integers(0, 255, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
DEEP = COLORS[..., 0].astype(np.uint16) * 16 + 300
EXIF = Image.Exif()
EXIF[274] = 6
PICTURES = {
    "colors.png": (COLORS, {}), "colors.webp": (COLORS, {}), "colors.tif": (COLORS, {}),
    "turned.jpg": (COLORS, {"exif": EXIF}),
    "gray.png": (COLORS[..., 0], {}), "clear.png": (np.dstack([COLORS, COLORS[..., :1]]), {}), "deep.png": (DEEP, {}),
    "deep.tif": (DEEP, {"exif": EXIF}), "float.tif": (DEEP.astype(np.float32) / 7 - 9, {}),
    "flat.png": (np.full((9, 9), 700, np.uint16), {}),
}  # fmt: skip


def reader(**settings):
    return parsed(NAME, "inference", class_names=["a", "b"], image_size=24, **settings).get_parsed_content("read")


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_read_as_in_training(channels, tmp_path):
    read = reader(channels=channels)
    for name, (values, options) in PICTURES.items():
        path = str(tmp_path / name)
        Image.fromarray(values).save(path, **options)
        found = read(path)
        assert torch.equal(found.as_tensor(), read_picture(path, 24, channels)), name
        assert found.meta["filename_or_obj"] == path


def test_the_same_files_are_listed_as_for_training(tmp_path):
    for name in ("a/x.png", "a/y.TIF", "b/z.webp", "b/@eaDir/x.png", "__MACOSX/x.png", ".cache/x.png", "b/._z.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(COLORS).save(tmp_path / name)
    found = parsed(NAME, "inference", dataset_dir=str(tmp_path)).get_parsed_content("datalist")
    assert found == [case["image"] for case in find_pictures(tmp_path)] and len(found) == 3


def test_inference_serves_and_names_a_bad_picture(tmp_path):
    root = copy_bundle(NAME, tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("deep.tif", "turned.jpg"):
        Image.fromarray(PICTURES[name][0]).save(tmp_path / "in" / name, **PICTURES[name][1])
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 24, 2))
    (root / "models").mkdir()
    torch.save(network.state_dict(), root / "models" / "model.pt")
    settings = {
        "dataset_dir": str(tmp_path / "in"), "image_size": 24, "device": "$torch.device('cpu')",
        "class_names": ["a", "b"],
        "network_def": "$torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 24 * 24, 2))",
    }  # fmt: skip
    table = root / "eval" / "inference" / "predictions.csv"
    run(root, ["inference"], "infer", **settings)
    first = list(csv.reader(table.open()))
    assert len(first) == 3
    pages = [Image.fromarray(COLORS)] * 2
    pages[0].save(tmp_path / "in" / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(RuntimeError) as raised:
        run(root, ["inference"], "infer", **settings)
    assert "pages.tif: expected one picture, found 2 pages or frames" in message_of(raised)
