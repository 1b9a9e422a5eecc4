# SPDX-License-Identifier: Apache-2.0
"""The networks that papers compare with, by an overlay each, on slices, in every stage of a bundle."""

from pathlib import Path

import numpy as np
import pytest
import torch
from workflows import SMALL, check_served, copy_bundle, evaluated, message_of, parsed, run, served, workflow

from monai_cl_ext.data import write_phantom
from monai_cl_ext.networks import UKAN, BCDUNet, RollingUNet, UCTransNet

CLASSES = {
    "network_bcdunet": BCDUNet,
    "network_rolling_unet": RollingUNet,
    "network_ukan": UKAN,
    "network_uctransnet": UCTransNet,
}
NARROW = {
    "network_bcdunet": {"network_def#width": 4},
    "network_rolling_unet": {"network_def#width": 4},
    "network_ukan": {"network_def#widths": [16, 20, 24], "image_size": [64, 64], "pixdim": [2.5, 2.5]},
    "network_uctransnet": {"network_def#width": 4},
}
TINY = {
    **{name: value for name, value in SMALL.items() if name != "network_def#features"}, "epochs": 1, "batch_size": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=6, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("network", CLASSES)
def test_it_is_pretrained_by_supercl_trained_scored_and_served(network, phantom, tmp_path):
    root = copy_bundle("supercl_segmentation", tmp_path)
    settings = {**TINY, **NARROW[network], "dataset_dir": str(phantom)}
    flow = workflow(root, ["pretrain", network], **settings)
    pretrained = flow.parser.get_parsed_content("network_def")
    assert type(pretrained) is CLASSES[network]
    before = {name: value.clone() for name, value in pretrained.named_parameters()}
    flow.run()
    flow.finalize()
    (losses,) = flow.trainer.state.output
    assert set(losses) == {"loss", "instance", "intra", "inter"} and all(each.isfinite() for each in losses.values())
    moved = {name for name, value in pretrained.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("encoder.")}
    start = {"pretrained": f"{root}/models/model_pretrain.pt", "learning_rate": 0.01, "batches_per_epoch": 30}
    flow = run(root, ["train", network], **{**settings, **start})
    trained = flow.parser.get_parsed_content("network")
    assert all(parameter.grad is not None for parameter in trained.parameters())
    predictions = evaluated(root, [network], **settings)
    assert any(len(np.unique(prediction)) > 1 for prediction in predictions.values())  # equal is not equally empty
    served_with = {name: settings[name] for name in ("device", "image_size", "pixdim")}
    written = served(
        root, [network], tmp_path / "here", **{**served_with, **NARROW[network], "datalist": list(predictions)}
    )
    check_served(predictions, written)


@pytest.mark.parametrize("stage", ["pretrain", "train", "inference"])
@pytest.mark.parametrize("network", CLASSES)
def test_the_overlay_follows_channels_classes_and_size(network, stage):
    for size in ([64, 32], 32):
        settings = {"in_channels": 3, "num_classes": 5, "image_size": size}
        built = parsed("supercl_segmentation", stage, network, **settings).get_parsed_content("network_def").to("meta")
        image = torch.empty(2, 3, *([size] * 2 if isinstance(size, int) else size), device="meta")
        assert type(built) is CLASSES[network] and built(image).shape == (2, 5, *image.shape[2:])


@pytest.mark.parametrize("network, parameters", [("network_rolling_unet", 1_782_161), ("network_ukan", 6_356_689)])
def test_the_overlay_has_the_papers_width(network, parameters):
    built = parsed("supercl_segmentation", "train", network, in_channels=3, num_classes=1)
    assert sum(each.numel() for each in built.get_parsed_content("network_def").parameters()) == parameters


@pytest.mark.parametrize("name, stage", [("supercl_segmentation", "pretrain"), ("bcp_segmentation", "train")])
@pytest.mark.parametrize("network, told", [
    ("network_bcdunet", "BCDUNet takes no images of [44, 32]; the next larger size that it takes is [48, 32]"),
    ("network_rolling_unet", "RollingUNet takes no images of [44, 32]; the next larger size that it takes is [48, 32]"),
    ("network_ukan", "UKAN takes no images of [44, 32]; the next larger size that it takes is [64, 32]"),
    ("network_uctransnet", "image_size must be multiples of 16 for UCTransNet, found [44, 32]"),
])  # fmt: skip
def test_a_size_that_it_cannot_take_is_refused(name, stage, network, told, phantom, tmp_path):
    settings = {**TINY, **NARROW[network], "dataset_dir": str(phantom), "image_size": [44, 32]}
    with pytest.raises(RuntimeError) as raised:
        workflow(copy_bundle(name, tmp_path), [stage, network], **settings)
    assert told in message_of(raised)


@pytest.mark.parametrize("name, stage", [("supercl_segmentation", "pretrain"), ("bcp_segmentation", "train")])
@pytest.mark.parametrize("network", CLASSES)
def test_patches_of_volumes_are_refused(name, stage, network, phantom, tmp_path):
    patches = {"image_size": [32, 32, 32], "pixdim": [5.0, 5.0, 5.0]}
    with pytest.raises(RuntimeError) as raised:
        workflow(
            copy_bundle(name, tmp_path), [stage, "volumes", network],
            **{**TINY, **NARROW[network], "dataset_dir": str(phantom), **patches},
        )  # fmt: skip
    told = "image_size must be one number, or two" if network == "network_uctransnet" else (
        "the network takes images of 2 dimensions, but is given patches of volumes"
    )  # fmt: skip
    assert told in message_of(raised)
