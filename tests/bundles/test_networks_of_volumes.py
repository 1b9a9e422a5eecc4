# SPDX-License-Identifier: Apache-2.0
"""Networks that serve 3D patches and slices alike, by an overlay each, in every stage of a bundle."""

from pathlib import Path

import pytest
import torch
from workflows import (
    SMALL,
    check_served,
    copy_bundle,
    evaluated,
    message_of,
    parsed,
    refuse_this_package,
    run,
    served,
    workflow,
)

from monai_cl_ext.data import write_phantom
from monai_cl_ext.networks.image_size import check_image_size

PATCHES = {"image_size": [64, 32, 32], "pixdim": [5.0, 5.0, 5.0]}
NARROW = {
    "network_dynunet": {"network_def#filters": [4, 4, 8, 8, 8]},
    "network_res_enc": {"network_def#features": [4, 4, 4, 8, 8, 8], "network_def#blocks": [1, 1, 1, 1, 1, 1]},
    "network_swin_unetr": {"network_def#feature_size": 12, "network_def#depths": [1, 1, 1, 1]},
}
CLASSES = {"network_dynunet": "DynUNet", "network_res_enc": "ResEncUNet", "network_swin_unetr": "SwinUNETR"}
TINY = {
    **{name: value for name, value in SMALL.items() if name != "network_def#features"},
    "epochs": 1, "batch_size": 2, **PATCHES,
}  # fmt: skip
SERVED = ("device", "image_size", "pixdim")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", patients=6, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("network", NARROW)
def test_the_network_passes_all_stages_and_is_served_as_it_was_scored(network, phantom, tmp_path, monkeypatch):
    root, overlays = copy_bundle("simclr_segmentation", tmp_path), ["volumes", network]
    settings = {**TINY, **NARROW[network], "dataset_dir": str(phantom)}
    run(root, ["pretrain", *overlays], **settings)
    start = {"pretrained": f"{root}/models/model_pretrain.pt", "learning_rate": 0.01, "batches_per_epoch": 6}
    flow = run(root, ["train", *overlays], **{**settings, **start})
    trained = flow.parser.get_parsed_content("network")
    assert type(trained).__name__ == CLASSES[network]
    assert all(parameter.grad is not None for parameter in trained.parameters() if parameter.requires_grad)
    predictions = evaluated(root, overlays, **settings)
    given = {**{name: settings[name] for name in SERVED}, **NARROW[network], "datalist": list(predictions)}
    check_served(predictions, served(root, overlays, tmp_path / "here", **given))
    if network != "network_res_enc":  # which is of this package
        refuse_this_package(monkeypatch)
        check_served(predictions, served(root, overlays, tmp_path / "alone", **given))


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("stage", ["pretrain", "train", "inference"])
def test_the_overlays_serve_slices_and_patches(stage, spatial_dims):
    for network, given in NARROW.items():
        settings = {**given, "spatial_dims": spatial_dims, "in_channels": 3, "num_classes": 5}
        built = parsed("simclr_segmentation", stage, network, **settings).get_parsed_content("network_def").to("meta")
        image = torch.empty(2, 3, *[64] * spatial_dims, device="meta")
        assert built.eval()(image).shape == (2, 5, *[64] * spatial_dims)
        if network == "network_dynunet":
            assert built.train()(image).shape == (2, 3, 5, *[64] * spatial_dims)


@pytest.mark.parametrize("name, stage", [("simclr_segmentation", "pretrain"), ("bcp_segmentation", "train")])
@pytest.mark.parametrize("network, size, told", [
    ("network_swin_unetr", [48, 48, 16], "SwinUNETR takes no images of [48, 48, 16]; the next larger size that it "
     "takes is [64, 64, 32]"),
    ("network_dynunet", [40, 32, 32], "DynUNet takes no images of [40, 32, 32]; the next larger size that it takes is "
     "[48, 32, 32]"),
    ("network_res_enc", [64, 64, 16], "ResEncUNet takes no images of [64, 64, 16]; the next larger size that it takes "
     "is [64, 64, 32]"),
])  # fmt: skip
def test_a_size_that_does_not_fit_is_refused(name, stage, network, size, told, phantom, tmp_path):
    root = copy_bundle(name, tmp_path)
    settings = {**TINY, **NARROW[network], "image_size": size, "batch_size": 4}
    with pytest.raises(RuntimeError) as raised:
        workflow(root, [stage, "volumes", network], dataset_dir=str(phantom), **settings)
    assert told in message_of(raised)


def test_a_network_that_fails_at_every_size_is_left_to_its_own_error():
    class Failing(torch.nn.Conv2d):
        def forward(self, image):
            raise NotImplementedError("no shapes without values")

    check_image_size(Failing(1, 1, 3), 32, 2)
