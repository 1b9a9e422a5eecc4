# SPDX-License-Identifier: Apache-2.0
"""Auxiliary heads of a decoder: which maps they see, how these are perturbed, and for which networks."""

import pytest
import torch
from staged_networks import built, each_network
from torch import nn
from torch.nn.functional import conv2d, conv3d, interpolate

from monai_cl_ext.networks import PyramidHeads, stages
from monai_cl_ext.networks.perturbations import FeatureDropout, FeatureNoise

pytestmark = pytest.mark.filterwarnings("ignore:MONAI's VNet drops whole images")
SHALLOW = ("segresnet_bare", "unet_shallow", "attention_shallow")


@each_network(leave_out=SHALLOW, marks_in_3d=pytest.mark.slow)
@torch.no_grad()
def test_each_head_convolves_its_map_and_resizes_it(kind, dims):
    net, image = built(kind, dims)
    seen = stages(net.eval())
    heads = PyramidHeads(seen).eval()
    maps = seen.decoder_maps(seen.encode(image))
    assert torch.equal(seen.output(maps[-1]), net(image))
    count = min(3, len(maps) - 1)
    found = heads(maps)
    assert len(found) == len(heads.heads) == count
    convolve = conv2d if dims == 2 else conv3d
    for logits, head, each in zip(found, heads.heads, maps[-1 - count : -1], strict=True):
        assert logits.shape == (2, 3, *image.shape[2:]) and head[1].weight.shape[2:] == (3,) * dims
        expected = convolve(each, head[1].weight, head[1].bias, padding=1)
        torch.testing.assert_close(logits, interpolate(expected, image.shape[2:], mode="nearest"))


@pytest.mark.parametrize("kind", SHALLOW)
def test_a_decoder_without_coarser_maps_is_refused(kind):
    with pytest.raises(ValueError, match="need a decoder of at least two blocks, found 1 in"):
        PyramidHeads(stages(built(kind, 2)[0]))


def test_an_encoder_is_refused():
    from monai.networks.nets import resnet18

    with pytest.raises(ValueError, match="need a decoder of at least two blocks, found 0 in ResNet"):
        PyramidHeads(stages(resnet18(spatial_dims=2, n_input_channels=1, num_classes=3)))


@pytest.mark.parametrize("kind, kinds", [
    ("pcl", [nn.Dropout, FeatureDropout, FeatureNoise]), ("gcl", [nn.Dropout, FeatureDropout, FeatureNoise]),
    ("dynunet", [FeatureDropout, FeatureNoise]), ("segresnet", [FeatureNoise]),
])  # fmt: skip
def test_perturbations_go_from_coarse_to_fine(kind, kinds):
    heads = PyramidHeads(stages(built(kind, 2)[0]))
    assert [type(head[0]) for head in heads.heads] == kinds
    image = torch.rand(2, 1, 64, 64)
    seen = stages(built(kind, 2)[0].eval())
    with torch.no_grad():
        maps = seen.decoder_maps(seen.encode(image))
        for training in (True, False):
            first, second = (heads.train(training)(maps) for _ in range(2))
            assert all(torch.equal(*pair) != training for pair in zip(first, second, strict=True))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_places_that_respond_most_are_dropped(dims):
    """Those at 0.9 of the largest response always, those below 0.7 of it never, whatever the scale of an image."""
    torch.manual_seed(0)
    features = torch.rand(3, 4, *[8] * dims) * torch.tensor([1.0, 10.0, 0.1]).view(3, *[1] * (dims + 1))
    dropped = FeatureDropout()(features)
    response = features.mean(1)
    share = response / response.flatten(1).amax(1).view(3, *[1] * dims)
    gone = (dropped == 0).all(1)
    assert gone[share >= 0.9].all() and not gone[share < 0.7].any() and gone.flatten(1).any(1).all()
    assert torch.equal(dropped[~gone.unsqueeze(1).expand_as(dropped)], features[~gone.unsqueeze(1).expand_as(features)])
    counts = {int((FeatureDropout()(features) == 0).all(1).sum()) for _ in range(20)}
    assert len(counts) > 3, "the share is drawn anew"
    assert torch.equal(FeatureDropout().eval()(features), features)


def test_one_share_serves_the_batch():
    features = torch.rand(1, 4, 32, 32).expand(5, -1, -1, -1)
    for each in FeatureDropout()(features)[1:]:
        assert torch.equal(each, FeatureDropout().eval()(features)[0] * (each != 0))


@pytest.mark.parametrize("dims", [2, 3])
def test_noise_is_of_each_feature_and_shared_by_the_batch(dims):
    torch.manual_seed(0)
    features = torch.rand(3, 4, *[8] * dims) + 1
    factor = FeatureNoise()(features) / features
    torch.testing.assert_close(factor, factor[:1].expand_as(factor))
    assert factor.min() >= 0.7 - 1e-6 and factor.max() <= 1.3 + 1e-6
    assert factor[0].std().item() == pytest.approx(0.6 / 12**0.5, rel=0.15) and factor[0].unique().numel() > 200
    assert torch.equal(FeatureNoise().eval()(features), features)
