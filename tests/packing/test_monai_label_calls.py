# SPDX-License-Identifier: Apache-2.0
"""What MONAI Label 0.8.5 does with a bundle, step by step: text as device, keys of its own, overrides of training.

Its package is not installed with this one; docs/monai_label.md tells of the real server.
"""

import json
import shutil

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import LoadImaged, SaveImaged
from workflows import run

from monai_cl_ext.packing.pack import pack


@pytest.fixture
def bundle(packed, tmp_path):
    """A copy, in whose folder may be trained."""
    return shutil.copytree(packed.folder, tmp_path / packed.folder.name)


def test_inference_as_its_task_runs_it(bundle, phantom, tmp_path):
    image = sorted((phantom / "imagesTr").glob("*.nii.gz"))[0]
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.config.update({"bundle_root": str(bundle)})
    parser.config["use_click"] = False
    network = parser.get_parsed_content("network_def", instantiate=True)
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    key_image, _ = next(iter(metadata["network_data_format"]["inputs"].items()))
    key_pred, pred = next(iter(metadata["network_data_format"]["outputs"].items()))
    assert {name: int(number) for number, name in pred["channel_def"].items()}["wall"] == 2
    parser.config.update({"device": "cpu"})  # a text, and set after the first parsing
    parser.parse(True)
    data = {"image": str(image), "image_path": str(image), "device": "cpu", "model": bundle.name, "id": "x"}
    before = parser.get_parsed_content("preprocessing", instantiate=True).transforms
    for transform in before:
        if isinstance(transform, LoadImaged):
            transform._loader.image_only = False
        data = transform(data)
    inferer = parser.get_parsed_content("inferer", instantiate=True)
    with torch.no_grad():
        data[key_pred] = inferer(torch.as_tensor(data[key_image])[None], network.eval())[0]
    after = parser.get_parsed_content("postprocessing", instantiate=True).transforms
    for transform in (each for each in after if not isinstance(each, SaveImaged)):
        data = transform(data)
    run(bundle, ["inference"], "infer", device="cpu", datalist=[str(image)], output_dir=str(tmp_path / "out"))
    (written,) = (tmp_path / "out").rglob("*_trans.nii.gz")
    assert (np.asarray(nib.load(written).dataobj) == np.asarray(data[key_pred][0])).all()


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_training_as_its_task_runs_it(bundle, phantom, device):
    labels = sorted((phantom / "labelsTr").glob("*.nii.gz"))[:3]
    listed = [{"image": str(phantom / "imagesTr" / path.name), "label": str(path)} for path in labels]
    path = bundle / "configs" / "train.json"
    parser = ConfigParser()
    parser.read_config(str(path))
    handlers = parser.get("train#handlers", [])
    weights = bundle / "models" / "model.pt"
    loader = {"_target_": "CheckpointLoader", "load_path": str(weights), "load_dict": {"model": "$@network"}}
    before = torch.load(weights, weights_only=True)
    monai.bundle.run(
        run_id="run",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(path),
        **{
            "bundle_root": str(bundle), "train#trainer#max_epochs": 1, "train#dataset#data": listed[:2],
            "device": device, "train#handlers": [{**loader, "strict": False}, *handlers],
            "validate#dataset#data": listed[2:],
        },
    )  # fmt: skip
    after = torch.load(weights, weights_only=True)
    assert before.keys() == after.keys()
    changed = [float((after[name].float() - before[name].float()).abs().max()) for name in before]
    assert 0 < max(changed[:2]) < 0.5  # it went on from the weights, and learned
    record = json.loads((bundle / "eval" / "run_train.json").read_text())
    assert record["data"]["training"]["volumes"] == 2 and record["data"]["validation"]["volumes"] == 1
    again = pack(str(bundle), str(bundle.parent / "corrected_segmentation"), exports=False).folder
    own, packed_again = (json.loads((root / "configs" / "train.json").read_text()) for root in (bundle, again))
    own["train"]["trainer"]["max_epochs"] = 1
    assert packed_again == own  # no list of volumes, and no path of the weights that it began with


def test_the_model_is_the_only_one_to_be_chosen(packed):
    """It offers every models/*.pt, to infer with and to start from: weights of pre-training would be among them."""
    assert [path.name for path in (packed.folder / "models").glob("*.pt")] == ["model.pt"]
    assert "segmentation" in packed.folder.name
