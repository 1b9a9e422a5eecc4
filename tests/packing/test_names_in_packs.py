# SPDX-License-Identifier: Apache-2.0
"""Names of patients, volumes and places are found wherever a bundle would tell them, and words are none."""

import json
import zipfile

import pytest

from monai_cl_ext.packing.names import refuse_names


@pytest.fixture
def bundle(tmp_path):
    """A folder with one text and one config."""
    for folder in ("configs", "docs", "models"):
        (tmp_path / folder).mkdir()
    (tmp_path / "docs" / "README.md").write_text("scanned as patient07_scan03 in May, Dice 0.8613")
    config = {"epochs": 2731, "overlay": ["imagesTr/1234.nii.gz"], "map": {"Müller_t1": 1}, "gain": 0.5432}
    (tmp_path / "configs" / "train.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    "name, file",
    [
        ("patient07", "docs/README.md"), ("scan03", "docs/README.md"), ("patient07_scan03", "docs/README.md"),
        ("1234", "configs/train.json"), ("Müller", "configs/train.json"),
    ],
)  # fmt: skip
def test_a_name_by_itself_is_refused(bundle, name, file):
    with pytest.raises(ValueError, match=f"{file} would hold '{name}'"):
        refuse_names(bundle, {"patient99", name})


def test_what_only_looks_like_a_name_is_not(bundle):
    told = refuse_names(bundle, {"patient0", "scan", "8613", "2731", "5432", "May", "1"})
    assert told.startswith("names: 5 of patients") and told.endswith(": 1, May")


def test_patients_in_numbers_are_found_where_a_list_holds_nothing_else(bundle):
    path = bundle / "configs" / "paper.json"
    path.write_text(json.dumps({"size": [1024, 1024], "window": [1023, 3000], "epochs": 1023}))
    refuse_names(bundle, {"1023", "1024", "1025"})
    path.write_text(json.dumps({"train": {"held_out": [1023, 1025]}}))
    with pytest.raises(ValueError, match=r"paper\.json would hold '1023'"):
        refuse_names(bundle, {"1023", "1024", "1025"})
    path.write_text(json.dumps({"train": {"held_out": [7, 1023, 1025]}}))  # 7 alone is not looked for
    with pytest.raises(ValueError, match=r"paper\.json would hold '1023'"):
        refuse_names(bundle, {"7", "1023", "1025"})


def test_words_of_the_packages_own_bundles_are_no_names(bundle):
    (bundle / "docs" / "data_license.txt").write_text("images of the heart, 2015; volumes 2015 to 2731")
    told = refuse_names(bundle, {"2015", "image", "heart"})
    assert told.startswith("names: 0 of") and told.endswith(": 2015, heart, image")
    with pytest.raises(ValueError, match="would hold '2731'"):  # so a list of patients is found by its other names
        refuse_names(bundle, {"2015", "2731"})


def test_places_are_found_in_weights(bundle):
    (bundle / "models" / "model.onnx").write_bytes(b"\x00/home/jane/venv/torch/nn\xff patient99")
    refuse_names(bundle, {"patient99", "/home/joe"})
    with pytest.raises(ValueError, match="models/model.onnx would hold '/home/jane'"):
        refuse_names(bundle, {"/home/jane"})
    (bundle / "models" / "model.onnx").unlink()
    with zipfile.ZipFile(bundle / "models" / "model.ts", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/code/net.py.debug_pkl", b"/home/jane/net.py" * 9)
    with pytest.raises(ValueError, match="models/model.ts would hold '/home/jane'"):
        refuse_names(bundle, {"/home/jane"})


@pytest.mark.parametrize("name, content", [("labels.bin", b"\x00\xff"), ("paper.json", b"{'epochs': 3}")])
def test_a_file_that_cannot_be_searched_is_named(bundle, name, content):
    (bundle / "configs" / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"configs/{name}: expected text"):
        refuse_names(bundle, {"patient99"})
