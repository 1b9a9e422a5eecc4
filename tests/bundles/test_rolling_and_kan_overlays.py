# SPDX-License-Identifier: Apache-2.0
"""Rolling-UNet and U-KAN by an overlay each, in every stage of SuperCL's bundle; sizes and patches are refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from workflows import SMALL, check_served, copy_bundle, evaluated, message_of, parsed, run, served, workflow

from monai_cl_ext.data import write_phantom

NAME = "supercl_segmentation"
NARROW = {"network_rolling_unet": {"network_def#width": 4}, "network_ukan": {"network_def#widths": [16, 20, 24]}}
CLASSES = {"network_rolling_unet": "RollingUNet", "network_ukan": "UKAN"}
TINY = {
    **{name: value for name, value in SMALL.items() if name != "network_def#features"},
    "epochs": 1, "batch_size": 4, "image_size": [64, 64], "pixdim": [2.5, 2.5],
}  # fmt: skip
SERVED = ("device", "image_size", "pixdim")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=6, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("network", NARROW)
def test_it_is_pretrained_by_supercl_trained_scored_and_served(network, phantom, tmp_path):
    root, settings = copy_bundle(NAME, tmp_path), {**TINY, **NARROW[network], "dataset_dir": str(phantom)}
    flow = workflow(root, ["pretrain", network], **settings)
    pretrained = flow.parser.get_parsed_content("network_def")
    assert type(pretrained).__name__ == CLASSES[network]
    before = {name: value.clone() for name, value in pretrained.named_parameters()}
    flow.run()
    flow.finalize()
    (losses,) = flow.trainer.state.output
    assert all(torch.isfinite(losses[part]) for part in ("instance", "intra", "inter"))
    moved = {name for name, value in pretrained.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("encoder.")}
    start = {"pretrained": f"{root}/models/model_pretrain.pt", "learning_rate": 0.01, "batches_per_epoch": 30}
    flow = run(root, ["train", network], **{**settings, **start})
    trained = flow.parser.get_parsed_content("network")
    assert all(parameter.grad is not None for parameter in trained.parameters())
    predictions = evaluated(root, [network], **settings)
    assert any(len(np.unique(prediction)) > 1 for prediction in predictions.values())  # equal is not equally empty
    given = {**{name: settings[name] for name in SERVED}, **NARROW[network], "datalist": list(predictions)}
    written: dict[str, nib.Nifti1Image] = served(root, [network], tmp_path / "here", **given)
    check_served(predictions, written)


@pytest.mark.parametrize("stage", ["pretrain", "train", "inference"])
def test_the_overlays_give_the_papers_widths(stage):
    numbers = {"network_rolling_unet": 1_782_161, "network_ukan": 6_356_689}
    for network, expected in numbers.items():
        given = {"in_channels": 3, "num_classes": 1}
        built = parsed(NAME, stage, network, **given).get_parsed_content("network_def").to("meta")
        assert sum(parameter.numel() for parameter in built.parameters()) == expected
        assert built(torch.empty(2, 3, 96, 64, device="meta")).shape == (2, 1, 96, 64)


@pytest.mark.parametrize("name, stage", [(NAME, "pretrain"), ("bcp_segmentation", "train")])
@pytest.mark.parametrize("network, larger", [("network_rolling_unet", [48, 32]), ("network_ukan", [64, 32])])
def test_sizes_and_patches_that_it_cannot_take_are_refused(name, stage, network, larger, phantom, tmp_path):
    root, settings = copy_bundle(name, tmp_path), {**TINY, **NARROW[network], "dataset_dir": str(phantom)}
    with pytest.raises(RuntimeError) as raised:
        workflow(root, [stage, network], **{**settings, "image_size": [40, 32]})
    told = f"{CLASSES[network]} takes no images of [40, 32]; the next larger size that it takes is {larger}"
    assert told in message_of(raised)
    patches = {"image_size": [32, 32, 32], "pixdim": [5.0, 5.0, 5.0]}
    with pytest.raises(RuntimeError) as raised:
        workflow(root, [stage, "volumes", network], **{**settings, **patches})
    assert "the network takes images of 2 dimensions, but is given patches of volumes" in message_of(raised)
