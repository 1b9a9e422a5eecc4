# SPDX-License-Identifier: Apache-2.0
"""Views, distances and features of a whole sample equal those of single images, compared one by one."""

import json
import math

import pytest
import torch
import view_samples
from monai.bundle import ConfigParser
from monai.networks.nets import BasicUNet

from monai_cl_ext.networks import MultiCropViT, stages
from monai_cl_ext.transforms import IntensityShift, ViewPolicy, identity_policy, scale_policy
from monai_cl_ext.view_report.comparison import (
    auc,
    compare_views,
    features_of,
    make_views,
    network_space,
    pair_distances,
    unit_rows,
)
from monai_cl_ext.view_report.policies import ViewSettings

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
SETTINGS = ViewSettings(["strong", "pcl"], [0.3, 1], size=32)


@pytest.fixture(scope="module")
def found():
    return compare_views(SETTINGS, view_samples.sample(count=40, per_patient=2))


def unit(image, mean):
    centered = [value - middle for value, middle in zip(image.flatten().tolist(), mean, strict=True)]
    length = math.sqrt(sum(value**2 for value in centered))
    return [value / length for value in centered]


def test_pixel_distances_are_those_of_single_images():
    sample = view_samples.sample(count=12, per_patient=2)
    settings = ViewSettings(["strong"], [1.0], size=32)  # 32 pixels: nothing is averaged
    original, strong = compare_views(settings, sample)
    flat = sample.image.flatten(1).tolist()
    mean = [sum(column) / len(flat) for column in zip(*flat, strict=True)]
    assert torch.equal(original.views[:, 0], sample.image[:3])
    rows = [[unit(image, mean) for image in strong.views[:, view]] for view in (0, 1)]
    positive, negative = strong.distances["pixels"]
    assert positive[:3].tolist() == pytest.approx([math.dist(*pair) for pair in zip(*rows, strict=True)], rel=1e-4)
    assert len(positive) == 12 and len(negative) == 12 * 10
    assert float(negative[0]) == pytest.approx(math.dist(rows[0][0], rows[1][2]), rel=1e-4)


def test_strength_0_is_the_image_and_stronger_views_of_it_lie_farther_apart(found):
    assert [(one.policy, one.strength) for one in found] == [
        ("none", 0.0), ("strong", 0.3), ("strong", 1.0), ("pcl", 0.3), ("pcl", 1.0)
    ]  # fmt: skip
    for space in ("pixels", "network"):
        nothing, weak, strong = (one.distances[space] for one in found[:3])
        assert nothing[0].max() == 0 and auc(*nothing) == 1
        assert 0 < weak[0].mean() < strong[0].mean() < strong[1].mean()
        assert 1 > auc(*weak) > auc(*strong) + 0.03


def test_repeated_views_of_an_image_lie_together_and_are_of_unit_length(found):
    original, weak, strong, *_ = (one.rows for one in found)
    assert original.shape[0] == 12 * 20 and torch.allclose(strong.norm(dim=1), torch.ones(240))
    spread = [(rows[:20] - rows[0]).norm(dim=1).mean().item() for rows in (original, weak, strong)]
    assert spread[0] == pytest.approx(0, abs=1e-5) and spread[0] < spread[1] < spread[2]
    assert found[1].views.shape == (3, 2, 1, 32, 32)


def test_the_same_seed_gives_the_same_and_another_seed_other_views(found):
    sample = view_samples.sample(count=40, per_patient=2)
    again = compare_views(SETTINGS, sample)
    other = compare_views(ViewSettings(["strong", "pcl"], [0.3, 1], size=32, seed=1), sample)
    for one, same, different in zip(found[1:], again[1:], other[1:], strict=True):
        assert torch.equal(one.views, same.views) and torch.equal(one.rows, same.rows)
        assert torch.equal(one.distances["network"][1], same.distances["network"][1])
        assert not torch.equal(one.views, different.views)


def test_draws_are_the_same_at_every_strength():
    images = view_samples.smooth(60)  # more than a batch
    policy = ViewPolicy([IntensityShift(-0.5, 0.5)])
    offsets = (make_views(images, policy, 0) - images).mean(dim=(1, 2, 3))
    halved = (make_views(images, scale_policy(policy, 0.5), 0) - images).mean(dim=(1, 2, 3))
    assert torch.allclose(halved, offsets / 2, atol=1e-6) and offsets.std() > 0.1


def test_pairs_of_one_patient_are_no_negative_pairs():
    first, patient = torch.eye(4), torch.tensor([0, 0, 1, 2])
    positive, negative = pair_distances(first, first.flip(0), patient)
    assert positive.tolist() == pytest.approx([math.sqrt(2)] * 4)
    _, negative = pair_distances(first, first, patient)
    assert len(negative) == 4 * 3 - 2 and negative.tolist() == pytest.approx([math.sqrt(2)] * 10)


def test_features_are_centered_scaled_by_group_and_of_unit_length():
    features = torch.tensor([[[1.0, 3.0], [0.0, 0.0]], [[3.0, 1.0], [0.0, 20.0]]])
    expected = torch.tensor([-1, 1, 0, -10 / math.sqrt(50)])
    assert torch.allclose(unit_rows(features, features)[0], expected / expected.norm())
    with pytest.raises(ValueError, match="look the same"):
        unit_rows(features, torch.ones(3, 2, 2))


def test_what_hardly_varies_over_the_images_is_not_blown_up():
    originals = torch.tensor([[[1.0], [1e-9]], [[-1.0], [-1e-9]]])
    assert unit_rows(torch.tensor([[[1.0], [1e-5]]]), originals)[0, 1] < 0.02


def test_auc_counts_comparisons():
    positive, negative = torch.tensor([0.1, 0.4, 0.4, 0.9, 1.3]), torch.tensor([0.4, 0.8, 1.0, 1.1, 1.3, 1.9, 0.05])
    won = sum(1.0 if far > near else 0.5 if far == near else 0.0 for far in negative for near in positive)
    assert auc(positive, negative) == pytest.approx(won / (5 * 7))
    assert auc(torch.zeros(4), torch.ones(3)) == 1 and auc(torch.ones(4), torch.zeros(3)) == 0
    assert auc(torch.ones(4), torch.ones(3)) == 0.5


def test_a_space_that_separates_nothing_is_at_chance():
    noise = torch.Generator().manual_seed(0)
    settings = ViewSettings(["gcl"], [1], size=8)
    _, one = compare_views(
        settings, view_samples.sample(count=100), lambda views: torch.randn(len(views), 8, 1, generator=noise)
    )
    assert abs(auc(*one.distances["network"]) - 0.5) < 0.1


def test_the_random_network_is_the_same_every_time_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = network_space(3)
    assert torch.equal(torch.rand(3), expected)
    views = view_samples.smooth(2, 3, 64)
    assert torch.equal(features_of(views, first), features_of(views, network_space(3)))
    assert features_of(views, first).shape == (2, 256, 1)


def written(folder, network, **entries):
    """The network's configuration and weights as files, and the network."""
    (folder / "net.json").write_text(json.dumps({"network_def": network, **entries}))
    net = ConfigParser({"network_def": network}).get_parsed_content("network_def")
    torch.save({"model": net.state_dict()}, folder / "net.pt")
    return net.eval(), folder / "net.json", folder / "net.pt"


@pytest.mark.parametrize("network", [UNET, VIT], ids=["stages", "vit"])
def test_a_given_network_is_compared_in_its_embedding(network, tmp_path):
    net, config, weights = written(tmp_path, network)
    views = view_samples.smooth(2, 1, 32)
    with torch.no_grad():
        expected = net(views) if isinstance(net, MultiCropViT) else stages(net).embed(views)
        assert torch.equal(features_of(views, network_space(config, weights))[:, :, 0], expected)
        untrained = features_of(views, network_space(config))
    assert torch.equal(untrained, features_of(views, network_space(config)))
    assert not torch.equal(untrained[:, :, 0], expected)


def test_a_network_sees_views_as_its_configuration_standardizes_them(tmp_path):
    standard = {"_target_": "monai_cl_ext.transforms.Standardization", "mean": [0.5], "std": [0.2]}
    net, config, weights = written(tmp_path, VIT, standardization=standard)
    views = view_samples.smooth(2, 1, 32)
    with torch.no_grad():
        features = features_of(views, network_space(config, weights))
        assert torch.allclose(features[:, :, 0], net((views - 0.5) / 0.2), atol=1e-6)


@pytest.mark.parametrize("content, message", [
    ({}, "no JSON file whose network_def makes a known one .*network_def"),
    ({"network_def": {"_target_": "monai.networks.nets.NoNet"}}, "known one .*NoNet"),
    ({"network_def": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}}, "net must be one of"),
    ({"network_def": {**UNET, "features": [4, 4, 8, 8, 16, 4]}}, "does not fit BasicUNet"),
])  # fmt: skip
def test_a_network_that_does_not_fit_is_refused(content, message, tmp_path):
    (tmp_path / "net.json").write_text(json.dumps(content))
    torch.save(BasicUNet(2, 1, features=UNET["features"]).state_dict(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match=message):
        network_space(tmp_path / "net.json", tmp_path / "net.pt")


def test_a_network_that_does_not_take_the_views_is_refused(tmp_path):
    _, config, weights = written(tmp_path, UNET)
    with pytest.raises(
        ValueError, match=r"net.json: does not take views of \(3, 32, 32\), channels first \(.* channels"
    ):
        features_of(view_samples.smooth(2, 3, 32), network_space(config, weights))


def test_identity_views_are_the_images():
    images = view_samples.smooth(3)
    assert torch.equal(make_views(images, identity_policy(32), 0), images)
