# SPDX-License-Identifier: Apache-2.0
"""What holds for the files of every bundle: the zoo's checks, names in full, a README that names what there is."""

import json
import re

import jsonschema
import pytest
import torch
from monai.bundle import ckpt_export, verify_net_in_out
from workflows import BUNDLES, parsed, read

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.packing.checks import SCHEMA

NAMES = bundle_names()

TINY = {
    "segmentation": {"network_def#features": [4, 8, 8, 8, 8, 4]},
    "classification": {"patch_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_layers": 2, "num_heads": 2,
                       "network_def#blocks": 2,
                       "image_size": 16, "class_names": ["a", "b", "c"]},
}  # fmt: skip


def configs_of(name: str) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (BUNDLES / name / "configs").glob("*.json")}


@pytest.mark.parametrize("name", NAMES)
def test_the_files_that_the_zoo_requires_are_there(name):
    for file in ("LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json",
                 "configs/evaluate.json", "configs/multi_gpu_train.json", "configs/logging.conf", "docs/README.md",
                 "docs/data_license.txt"):  # fmt: skip
        assert (BUNDLES / name / file).is_file(), file
    assert (BUNDLES / name / "LICENSE").read_text() == (BUNDLES.parent / "LICENSE").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_metadata_is_valid_and_its_version_is_in_the_changelog(name):
    metadata = read(name, "metadata")
    jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))
    assert metadata["schema"].endswith(SCHEMA.name)
    assert metadata["version"] in metadata["changelog"] and metadata["supported_apps"] == {}
    assert metadata["references"] and all(metadata[key] for key in ("name", "task", "description"))
    assert all(f"{stage}_data_format" in metadata for stage in metadata["pretrain_stages"])


@pytest.mark.parametrize("name", NAMES)
def test_own_classes_are_named_in_full(name):
    for config, text in configs_of(name).items():
        assert all("." in target for target in re.findall(r'"_target_": "([^"]+)"', text)), config


@pytest.mark.parametrize("name", NAMES)
def test_inference_names_nothing_of_ours_but_its_gate_its_progress_and_what_a_classifier_needs(name):
    expected = {"monai_cl_ext", "monai_cl_ext.data.LoadCased", "monai_cl_ext.data.AxisSpacingd"}
    if name.endswith("classification"):
        names = (
            "data.picture_dataset",
            "networks.ViTClassifier",
            "networks.MultiCropViT",
            "metrics.PredictionTable",
        )
        expected = {f"monai_cl_ext.{name}" for name in names}
    expected |= {"monai_cl_ext.handlers.Progress"}
    assert set(re.findall(r"monai_cl_ext[\w.]*", configs_of(name)["inference"])) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_configs_that_exist(name):
    page = (BUNDLES / name / "docs" / "README.md").read_text()
    known = {*configs_of(name), *read(name, "metadata")["overlays"]}
    named = set(re.findall(r"(\w+)\.json", page)) - {"dataset", "class_names"}  # files that are no configs
    assert named <= known and known - named <= {"metadata"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_verify_net_in_out_and_torchscript_export(name, tmp_path):
    override = TINY[name.rsplit("_", 1)[1]]
    files = {kind: f"{BUNDLES / name}/configs/{file}.json" for kind, file in
             (("meta_file", "metadata"), ("config_file", "inference"))}  # fmt: skip
    verify_net_in_out("network_def", **files, device="cpu", **override)
    network = parsed(name, "inference", **override).get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), tmp_path / "model.pt")
    exported = str(tmp_path / "model.ts")
    ckpt_export("network_def", filepath=exported, ckpt_file=str(tmp_path / "model.pt"), **files, **override)
    image = torch.rand(1, 3 if name.endswith("classification") else 1, 32, 32)
    torch.testing.assert_close(torch.jit.load(exported)(image), network(image))
