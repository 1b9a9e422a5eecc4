# SPDX-License-Identifier: Apache-2.0
"""Bundles start from published weights: --pretrained PATH --weights PRESET."""

import published_files as files
import pytest
import torch
from workflows import message_of, parsed, read

from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.networks import load_pretrained

FEATURES, BLOCKS = (4, 6, 8), (1, 2, 1)
RES_ENC = {"network_def#features": list(FEATURES), "network_def#blocks": list(BLOCKS)}
VOLUMES = {
    "monai_ssl": ("network_swin_unetr", {"network_def#feature_size": 12}, files.monai_ssl),
    "monai_swinvit": ("network_swin_unetr", {"network_def#feature_size": 12}, files.monai_swinvit),
    "openmind": ("network_res_enc", RES_ENC, lambda: files.openmind(FEATURES, BLOCKS)),
    "voco": ("network_swin_unetr", {"network_def#feature_size": 12, "network_def#use_v2": True}, files.voco),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    torch.save(files.openmind(FEATURES, BLOCKS, dims=2), folder / "openmind.pth")
    torch.save(files.mae(width=24, blocks=3), folder / "mae.pth")
    torch.save(files.vit(width=24, blocks=3), folder / "vit.pth")
    return folder


@pytest.mark.parametrize("bundle", bundle_names())
def test_every_bundle_can_name_a_kind_of_file(bundle):
    train = read(bundle, "train")
    assert train["weights"] == "" and train["train"]["settings"]["weights"] == "@weights"
    starts = [each for name, each in train.items() if name.endswith("initial_network")]
    assert starts and all(each["path"] == "@pretrained" and each["preset"] == "@weights" for each in starts)


@pytest.mark.parametrize("bundle, names", [
    ("simclr_segmentation", ["initial_network"]),
    ("cps_segmentation", ["initial_network", "second_initial_network"]),
])  # fmt: skip
def test_segmentation_starts_from_all_that_the_file_holds(bundle, names, path):
    published = str(path / "openmind.pth")
    configs, other = ("train", "network_res_enc"), {**RES_ENC, "in_channels": 2, "num_classes": 3}
    parser = parsed(bundle, *configs, pretrained=published, weights="openmind", **other)
    source = files.openmind(FEATURES, BLOCKS, dims=2)["network_weights"]
    for name in names:
        net = parser.get_parsed_content(name)
        assert torch.equal(net.encoder[2].blocks[0].conv1.conv.weight,
                           source["encoder.stages.2.blocks.0.conv1.conv.weight"])  # fmt: skip
        assert torch.equal(net.decoder[1].up.weight, source["decoder.transpconvs.1.weight"])
        half = source["encoder.stem.convs.0.conv.weight"] / 2  # of one channel, for two
        torch.testing.assert_close(net.encoder[0].stem.conv.weight.detach(), half.expand(-1, 2, -1, -1))
    for weights, message in (("", "does not fit ResEncUNet"), ("voco", "preset 'voco' is for SwinUNETR")):
        with pytest.raises(Exception) as caught:
            parsed(bundle, *configs, pretrained=published, weights=weights, **other).get_parsed_content(names[0])
        assert message in message_of(caught)
    with pytest.raises(Exception) as caught:
        parsed(bundle, *configs, weights="openmind", **other).get_parsed_content(names[0])
    assert "no file is named" in message_of(caught)


@pytest.mark.parametrize("weights", VOLUMES)
def test_an_overlay_has_the_network_of_published_weights_of_volumes(weights, tmp_path):
    overlay, sizes, make = VOLUMES[weights]
    torch.save(make(), tmp_path / "file.pth")
    start = {"pretrained": str(tmp_path / "file.pth"), "weights": weights}
    started = parsed("bcp_segmentation", "train", "volumes", overlay, **sizes, **start)
    net = started.get_parsed_content("initial_network")
    other = parsed("bcp_segmentation", "train", "volumes", overlay, **sizes).get_parsed_content("network_def")
    report = load_pretrained(other, tmp_path / "file.pth", preset=weights)
    assert report.matched and all(
        torch.equal(net.state_dict()[name], other.state_dict()[name]) for name in report.matched
    )


def test_the_residual_encoder_u_net_is_the_published_one():
    parser = parsed("bcp_segmentation", "train", "volumes", "network_res_enc", num_classes=2)
    with torch.device("meta"):
        net = parser.get_parsed_content("network_def")
    assert sum(each.numel() for each in net.parameters()) == 102_348_226


@pytest.mark.parametrize("stage", ["pretrain", "train"])
@pytest.mark.parametrize("file, weights", [("mae", "mae"), ("vit", "dino"), ("vit", "")])
def test_photographs_start_from_published_transformers(stage, file, weights, path):
    small = {"image_size": 48, "patch_size": 8, "hidden_size": 24, "mlp_dim": 96, "num_layers": 3, "num_heads": 2,
             "channels": 1}  # fmt: skip
    if stage == "train":
        small |= {"class_names": ["a", "b"], "network_def#blocks": 2}
    parser = parsed("dino_classification", stage, pretrained=str(path / f"{file}.pth"), weights=weights, **small)
    net = parser.get_parsed_content("initial_network")
    backbone = net.backbone if stage == "train" else net
    assert torch.equal(backbone.blocks[1].mlp.linear1.weight, files.vit()["blocks.1.mlp.fc1.weight"])
    assert backbone.patch_embedding.position_embeddings.shape == (1, 36, 24)
