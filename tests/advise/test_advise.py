# SPDX-License-Identifier: Apache-2.0
"""The adviser from images to advice, and its files."""

import json
from functools import cache

import advice_samples
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from monai_cl_ext.advise import Advice, advise, write_advice
from monai_cl_ext.advise.spaces import checkpoint_space, random_space
from monai_cl_ext.advise.suggestion import CAUTION, score, suggested_strength
from monai_cl_ext.networks import MultiCropViT, stages

UNET = {
    "_target_": "monai.networks.nets.BasicUNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "features": [4, 4, 8, 8, 8, 4],
}
VIT = {
    "_target_": "monai_cl_ext.networks.MultiCropViT", "in_channels": 1, "img_size": 32, "patch_size": 8,
    "hidden_size": 12, "mlp_dim": 24, "num_layers": 1, "num_heads": 2,
}  # fmt: skip


@cache
def advice(**options) -> Advice:
    return advise(advice_samples.sample(count=16), size=32, strengths=(0.5, 1), progress=False, **options)


def test_the_suggestion_follows_from_the_curve_of_the_random_encoder():
    found = advice()
    aucs = [rung.spaces["random encoder"].measures["auc"] for rung in found.strengths]
    assert [rung.strength for rung in found.strengths] == [0, 0.5, 1] == list(found.scores)
    assert aucs[0] == 1 and list(found.scores.values()) == [score(auc) for auc in aucs]
    assert found.strength == suggested_strength([0, 0.5, 1], aucs)
    assert found.overlay["strength"] == found.strength
    assert ConfigParser(found.overlay).get_parsed_content("view_policy").operations
    assert [rung.name for rung in found.operations] == ["AreaCropResize", "Mirror", "IntensityScaling", "Contrast",
                                                        "GaussianBlur"]  # fmt: skip
    assert found.facts["images"] == 16 and set(found.facts["spaces"]) == {"pixels", "random encoder"}


def test_the_same_seed_gives_the_same_advice_and_another_seed_other_views():
    again = advise(advice_samples.sample(count=16), size=32, strengths=(0.5, 1), progress=False)
    assert again.strengths == advice().strengths and again.operations == advice().operations
    assert advice(seed=1).strengths != advice().strengths


def test_the_showcase_holds_the_same_draws_at_every_strength():
    shown = advice().showcase
    assert shown.views.shape == (3, 3, 2, 1, 32, 32) and shown.space == "random encoder"
    assert torch.equal(shown.views[0, :, 0], shown.views[0, :, 1])
    assert not torch.equal(shown.views[2, :, 0], shown.views[2, :, 1])
    assert shown.rows.shape[:2] == (3, 12 * 20) and torch.allclose(shown.rows.norm(dim=2), torch.ones(3, 240))
    near = [(rows[:20] - rows[0]).norm(dim=1).mean().item() for rows in shown.rows]
    assert near[0] == pytest.approx(0, abs=1e-5) and near[1] < near[2]


def test_the_random_encoder_is_the_same_every_time_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = random_space(3)
    assert torch.equal(torch.rand(3), expected)
    views = advice_samples.smooth(2, 3, 64)
    assert torch.equal(first.features(views), random_space(3).features(views))
    assert first.features(advice_samples.smooth(2, 3, 200)).shape == (2, 256, 1)


@pytest.mark.parametrize("network", [UNET, VIT], ids=["stages", "vit"])
def test_a_checkpoint_is_a_third_space(network, tmp_path):
    (tmp_path / "net.json").write_text(json.dumps({"network_def": network}))
    net = ConfigParser({"network_def": network}).get_parsed_content("network_def")
    torch.save({"model": net.state_dict()}, tmp_path / "net.pt")
    found = checkpoint_space(tmp_path / "net.pt", tmp_path / "net.json")
    views = advice_samples.smooth(2, 1, 32)
    with torch.no_grad():
        expected = net.eval()(views) if isinstance(net, MultiCropViT) else stages(net.eval()).embed(views)
        assert torch.equal(found.features(views)[:, :, 0], expected)
    files = {"checkpoint": tmp_path / "net.pt", "network": tmp_path / "net.json"}
    whole = advise(advice_samples.sample(), "gcl", size=32, strengths=[1], progress=False, **files)
    assert set(whole.strengths[1].spaces) == {"pixels", "random encoder", "checkpoint"}
    assert whole.showcase.space == "checkpoint" and "net.pt" in whole.facts["spaces"]["checkpoint"]


def test_a_network_sees_views_as_its_configuration_standardises_them(tmp_path):
    standard = {"_target_": "monai_cl_ext.transforms.Standardization", "mean": [0.5], "std": [0.2]}
    (tmp_path / "net.json").write_text(json.dumps({"network_def": VIT, "standardisation": standard}))
    net = ConfigParser({"network_def": VIT}).get_parsed_content("network_def").eval()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    views = advice_samples.smooth(2, 1, 32)
    with torch.no_grad():
        features = checkpoint_space(tmp_path / "net.pt", tmp_path / "net.json").features(views)
        assert torch.allclose(features[:, :, 0], net((views - 0.5) / 0.2), atol=1e-6)


@pytest.mark.parametrize("content, message", [
    ({}, "expected an entry 'network_def'"),
    ({"network_def": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}}, "net must be one of"),
    ({"network_def": {**UNET, "features": [4, 4, 8, 8, 16, 4]}}, "does not fit BasicUNet"),
])  # fmt: skip
def test_a_network_that_does_not_fit_is_refused(content, message, tmp_path):
    (tmp_path / "net.json").write_text(json.dumps(content))
    torch.save(BasicUNet(2, 1, features=UNET["features"]).state_dict(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match=message):
        checkpoint_space(tmp_path / "net.pt", tmp_path / "net.json")


def test_a_network_that_does_not_take_the_views_is_refused(tmp_path):
    (tmp_path / "net.json").write_text(json.dumps({"network_def": UNET}))
    torch.save(ConfigParser({"network_def": UNET}).get_parsed_content("network_def").state_dict(), tmp_path / "net.pt")
    space = checkpoint_space(tmp_path / "net.pt", tmp_path / "net.json")
    with pytest.raises(
        ValueError, match=r"net.json: does not take views of \(3, 32, 32\), channels first \(.* channels"
    ):
        space.features(advice_samples.smooth(2, 3, 32))


def test_mistakes_are_found_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="policy must be one of"):
        advise(tmp_path, "storng")
    with pytest.raises(ValueError, match="strengths must"):
        advise(tmp_path, strengths=[2])
    with pytest.raises(ValueError, match="checkpoint and network belong together"):
        advise(tmp_path, checkpoint="x.pt")
    with pytest.raises(ValueError, match="size must be"):
        advise(tmp_path, size=0)


def test_the_files_hold_the_numbers_and_the_overlay(tmp_path):
    found = advice()
    folder = write_advice(found, tmp_path / "out")
    numbers = json.loads((folder / "advice.json").read_text())
    assert numbers["suggestion"]["caution"] == CAUTION and numbers["suggestion"]["strength"] == found.strength
    assert numbers["scores"] == [{"strength": key, "score": value} for key, value in found.scores.items()]
    for written, rung in zip(numbers["strengths"] + numbers["operations"], found.strengths + found.operations,
                             strict=True):  # fmt: skip
        assert written["name"] == rung.name
        for space, comparison in rung.spaces.items():
            assert written["spaces"][space]["measures"] == comparison.measures
            assert sum(written["spaces"][space]["positive"]) == pytest.approx(1)
    assert json.loads((folder / "view_policy.json").read_text()) == found.overlay
