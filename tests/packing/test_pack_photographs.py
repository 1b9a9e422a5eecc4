# SPDX-License-Identifier: Apache-2.0
"""A packed bundle of classification predicts what the run's evaluation scored, and tells nothing of patients."""

import csv
import json
import shutil

import pytest
import torch
from monai.bundle import ConfigParser
from workflows import BUNDLES, copy_bundle, run, write_pictures

from monai_cl_ext.networks import ViTClassifier
from monai_cl_ext.packing.checks import check_bundle
from monai_cl_ext.packing.kinds import KINDS
from monai_cl_ext.packing.metadata import Origin
from monai_cl_ext.packing.pack import pack
from monai_cl_ext.packing.trained_run import trained_run
from monai_cl_ext.packing.zoo import write_pull_request

NAME = "dino_classification"
GIVEN = {
    "image_size": 16, "channels": 3, "patch_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_layers": 2, "num_heads": 2,
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.25],
}  # fmt: skip
SETTINGS = {
    **GIVEN, "device": "$torch.device('cpu')", "network_def#blocks": 2, "picture_size": 20, "batch_size": 4,
    "epochs": 2, "batches_per_epoch": 3, "log_interval": 1, "validation_patients": 4, "test_patients": 4,
}  # fmt: skip
CLASSES = ["falling", "rising"]


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two of each patient, by a table of their classes."""
    folder = write_pictures(tmp_path_factory.mktemp("data") / "pictures", {"falling": 1.0, "rising": -1.0}, 16)
    rows = [
        [f"{name}/{number}.png", name, f"patient{label}{number // 2}"]
        for label, name in enumerate(CLASSES)
        for number in range(16)
    ]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "label", "patient"], *rows])
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photographs):
    root = copy_bundle(NAME, tmp_path_factory.mktemp("private place"))
    settings = SETTINGS | {"dataset_dir": str(photographs), "table": str(photographs / "labels.csv")}
    run(root, ["train"], **settings)
    run(root, ["train", "evaluate"], **settings, neighbors=3)
    return root


@pytest.fixture(scope="module")
def packed(trained, tmp_path_factory):
    output = str(tmp_path_factory.mktemp("packed") / "stripe_classification")
    return pack(str(trained), output, Origin(data_license="public domain"))


def test_without_options_it_predicts_what_the_evaluation_scored(packed, trained, photographs, tmp_path):
    root = shutil.copytree(packed.folder, tmp_path / "elsewhere")
    run(root, ["inference"], "infer", dataset_dir=str(photographs), device="$torch.device('cpu')")
    served = {row["image"]: row for row in table(root / "eval" / "inference" / "predictions.csv")}
    scored = table(trained / "eval" / "predictions.csv")
    assert len(served) == 32 and len(scored) == 8
    for row in scored:
        for name in CLASSES:
            assert float(served[row["image"]][name]) == pytest.approx(float(row[name]), abs=1e-6)


def test_the_network_of_its_config_takes_its_weights(packed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where no models/ tells the classes
    parser = ConfigParser(ConfigParser.load_config_file(str(packed.folder / "configs" / "inference.json")))
    assert all(parser[key] == value for key, value in GIVEN.items())
    assert parser.get_parsed_content("class_names") == CLASSES
    network = parser.get_parsed_content("network_def")
    assert isinstance(network, ViTClassifier) and network.blocks == 2
    network.load_state_dict(torch.load(packed.folder / "models" / "model.pt", weights_only=True))


def test_what_it_trains_on_is_what_is_given(packed, photographs, trained):
    """Places, table and classes of the run are left out: those of other data are taken."""
    train, evaluate = (
        json.loads((packed.folder / "configs" / f"{name}.json").read_text()) for name in ("train", "evaluate")
    )
    own = json.loads((trained / "configs" / "train.json").read_text())
    assert all(train[name] == own[name] for name in ("dataset_dir", "table", "class_names", "cases", "split"))
    assert train["epochs"] == 2 and evaluate["neighbors"] == 3 and "class_names" not in evaluate
    parser = ConfigParser(ConfigParser.load_config_file(str(packed.folder / "configs" / "pretrain.json")))
    assert all(parser[key] == value for key, value in GIVEN.items())


def test_metadata_and_page_tell_classes_and_scores(packed, trained):
    metadata = json.loads((packed.folder / "configs" / "metadata.json").read_text())
    formats = metadata["network_data_format"]
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "falling", "1": "rising"}
    assert formats["inputs"]["image"]["spatial_shape"] == [16, 16]
    assert formats["inputs"]["image"]["value_range"] == [-2.5, 3.0]
    assert metadata["task"] == "Classification of photographs as falling, rising"
    assert "training: 16 photograph(s) of 8 patient(s); validation: 8 photo" in metadata["data_source"]
    assert "monai-cl-ext" in metadata["required_packages_version"]
    assert {"models/model.pt", "models/class_names.json"} <= metadata["weights_sha256"].keys()
    rows = {
        (row["score"], row["class"]): row
        for row in table(trained / "eval" / "metrics.csv")
        if row["classifier"] == "network"
    }
    found = metadata["eval_metrics"]
    for key, row in ((f"{score}_{name}".replace("_all", "_mean"), row) for (score, name), row in rows.items()):
        for end, column in (("", "value"), ("_95_low", "low"), ("_95_high", "high")):
            assert found[key + end] == pytest.approx(float(row[column]), abs=1e-4)
    page = (packed.folder / "docs" / "README.md").read_text()
    assert "4 patients of the test part" in page and "| class | AUROC | AUPR | Accuracy |" in page
    assert f"| all classes | {float(rows['auroc', 'all']['value']):.3g} [" in page
    assert "label map" not in page and "NIfTI" not in page and "mean" in page


def test_gray_photographs_have_one_channel():
    known = json.loads((BUNDLES / NAME / "configs" / "metadata.json").read_text())
    told = KINDS["classes"].metadata(known, ["a$", "b"], "", {"channels": 1, "mean": [0.5], "std": [0.25]})
    image, found = (
        told["network_data_format"][part][name] for part, name in (("inputs", "image"), ("outputs", "pred"))
    )
    assert (image["num_channels"], image["channel_def"], image["value_range"]) == (1, {"0": "gray"}, [-2.0, 2.0])
    assert found["num_channels"] == 2 and told["label_classes"] == "0 a_, 1 b"


def test_it_tells_neither_patients_nor_places(packed, trained, photographs):
    for path in (path for path in packed.folder.rglob("*") if path.is_file() and path.suffix != ".pt"):
        text = path.read_bytes()
        assert not any(name in text for name in (b"patient0", b"patient1", bytes(trained), bytes(photographs)))
    assert any(line.startswith("names: ") for line in packed.checks)
    root = shutil.copytree(trained, packed.folder.parent / "leaky")
    (root / "configs" / "paper.json").write_text('{"left_out": ["patient03"]}')
    with pytest.raises(ValueError, match=r"paper\.json would hold 'patient03'"):
        pack(str(root), str(packed.folder.parent / "out"), exports=False)


def test_scores_of_other_photographs_are_left_out(trained, tmp_path):
    root = shutil.copytree(trained, tmp_path / NAME)
    path = root / "eval" / "run_evaluate.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"settings": record["settings"] | {"test_dir": "/elsewhere"}}))
    assert trained_run(str(root)).unscored == "evaluated on the images of another folder, test_dir"
    path.write_text(json.dumps(record))
    path = root / "eval" / "config_evaluate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mean": [0.1, 0.2, 0.3]}))
    assert trained_run(str(root)).unscored == "evaluated at mean [0.1, 0.2, 0.3], trained at [0.5, 0.4, 0.3]"


def test_a_bundle_of_another_kind_is_refused(trained, tmp_path):
    root = shutil.copytree(trained, tmp_path / NAME)
    path = root / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    metadata["network_data_format"]["outputs"]["pred"]["format"] = "embedding"
    path.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="whose format is segmentation or classes, found 'embedding'"):
        pack(str(root), str(tmp_path / "out"))


def test_a_pull_request_to_the_zoo(packed, tmp_path, monkeypatch):
    folder, large, test = write_pull_request(str(packed.folder), "https://example.org/weights", str(tmp_path))
    assert "models/class_names.json" in large.read_text()
    shutil.copytree(packed.folder / "models", folder / "models")  # as the zoo downloads them
    assert check_bundle(folder)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(test.read_text(), str(test), "exec"), names)  # as the zoo runs it, in this process
    names["TestInference"]("test_probabilities_of_the_classes_are_written").debug()
