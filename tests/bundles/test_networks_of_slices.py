# SPDX-License-Identifier: Apache-2.0
"""UCTransNet and BCDU-Net by an overlay each, on slices, in every stage of a bundle."""

from pathlib import Path

import pytest
import torch
from workflows import SMALL, check_served, copy_bundle, evaluated, message_of, parsed, run, served, workflow

from monai_cl_ext.data import write_phantom
from monai_cl_ext.networks import BCDUNet, UCTransNet

KINDS = {"network_bcdunet": BCDUNet, "network_uctransnet": UCTransNet}
TINY = {
    **{name: value for name, value in SMALL.items() if name != "network_def#features"},
    "epochs": 1, "batches_per_epoch": 2, "batch_size": 4, "network_def#width": 4,
}  # fmt: skip
SERVED = ("device", "image_size", "pixdim", "network_def#width")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=6, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("network", KINDS)
def test_supercl_pretrains_it_and_the_rest_follows(network, phantom, tmp_path):
    root, settings = copy_bundle("supercl_segmentation", tmp_path), {**TINY, "dataset_dir": str(phantom)}
    flow = run(root, ["pretrain", network], **settings)
    (losses,) = flow.trainer.state.output
    assert set(losses) == {"loss", "instance", "intra", "inter"} and all(each.isfinite() for each in losses.values())
    start = {"pretrained": f"{root}/models/model_pretrain.pt", "learning_rate": 0.01}
    flow = run(root, ["train", network], **settings, **start)
    trained = flow.parser.get_parsed_content("network")
    assert type(trained) is KINDS[network]
    assert all(parameter.grad is not None for parameter in trained.parameters())
    predictions = evaluated(root, [network], **settings)
    given = {**{name: settings[name] for name in SERVED}, "datalist": list(predictions)}
    check_served(predictions, served(root, [network], tmp_path / "here", **given))


@pytest.mark.parametrize("stage", ["pretrain", "train", "inference"])
@pytest.mark.parametrize("network", KINDS)
def test_the_overlay_follows_channels_classes_and_size(network, stage):
    for size in ([48, 32], 32):
        settings = {"in_channels": 3, "num_classes": 5, "image_size": size}
        built = parsed("supercl_segmentation", stage, network, **settings).get_parsed_content("network_def").to("meta")
        image = torch.empty(2, 3, *([size] * 2 if isinstance(size, int) else size), device="meta")
        assert type(built) is KINDS[network] and built(image).shape == (2, 5, *image.shape[2:])


@pytest.mark.parametrize("network, configs, size, told", [
    ("network_bcdunet", [], [44, 48], "BCDUNet takes no images of [44, 48]; the next larger size that it takes is "
     "[48, 48]"),
    ("network_uctransnet", [], [40, 48], "image_size must be multiples of 16 for UCTransNet, found [40, 48]"),
    ("network_bcdunet", ["volumes"], [32, 32, 32], "the network takes images of 2 dimensions, but is given patches"),
    ("network_uctransnet", ["volumes"], [32, 32, 32], "image_size must be one number, or two"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(network, configs, size, told, phantom, tmp_path):
    root = copy_bundle("simclr_segmentation", tmp_path)
    settings = {**TINY, "image_size": size, "pixdim": [5.0] * len(size)}
    with pytest.raises(RuntimeError) as raised:
        workflow(root, ["pretrain", *configs, network], dataset_dir=str(phantom), **settings)
    assert told in message_of(raised)
