# SPDX-License-Identifier: Apache-2.0
"""Stages of MONAI's ResNet: the network taken apart, and no decoder."""

from itertools import product

import pytest
import torch
from monai.networks.nets import ResNet, ResNetFeatures
from torch import nn

from monai_cl_ext.methods import GCLLocal, Restoration, SimCLR
from monai_cl_ext.networks import load_pretrained, stages

KINDS = {
    "basic": {"layers": [1, 2, 1, 1]},
    "bottleneck": {"block": "bottleneck", "layers": [2, 1, 1, 1]},
    "averaged": {"layers": [1, 1, 1, 1], "shortcut_type": "A", "no_max_pool": True},
    "features": {"layers": [1, 1, 1, 1], "feed_forward": False, "conv1_t_stride": 2, "bias_downsample": False},
}
WIDTHS = {"bottleneck": (4, 16, 24, 32, 40)}  # of four planes each
SCALES = {"averaged": (1, 1, 2, 4, 8), "features": (2, 4, 8, 16, 32)}
SIZES = {2: ((64, 32), (32, 96)), 3: ((32, 32, 64), (64, 32, 32))}
CASES = [(kind, dims, size) for kind, dims in product(KINDS, SIZES) for size in SIZES[dims]]

each = pytest.mark.parametrize("kind,dims,size", CASES)


def made(kind, dims, seed=0):
    torch.manual_seed(seed)
    arguments = {"block": "basic", "block_inplanes": [4, 6, 8, 10], "n_input_channels": 1, "num_classes": 5}
    return ResNet(spatial_dims=dims, **arguments | KINDS[kind])


@each
def test_encoding_is_the_network(kind, dims, size):
    net, image = made(kind, dims).eval(), torch.randn(2, 1, *size)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    seen = stages(net)
    features = seen.encode(image)
    assert torch.equal(seen.output(features[-1]), net(image))
    assert seen.channels == WIDTHS.get(kind, (4, 4, 6, 8, 10)) == tuple(level.shape[1] for level in features)
    scales = SCALES.get(kind, (1, 2, 4, 8, 16))
    assert [tuple(level.shape[2:]) for level in features] == [tuple(side // scale for side in size) for scale in scales]
    torch.testing.assert_close(seen.embed(image), net.avgpool(features[-1]).flatten(1))
    assert seen.spatial_dims == dims and seen.bottleneck_size(size) == tuple(features[-1].shape[2:])
    assert torch.equal(seen.encoder_copy()(image), seen(image))
    state = net.state_dict()
    assert list(state) == list(before) and all(torch.equal(state[name], before[name]) for name in before)


@each
def test_a_loss_at_the_bottleneck_reaches_the_encoder_and_nothing_else(kind, dims, size):
    net = made(kind, dims).train()
    seen = stages(net)
    seen.embed(torch.randn(2, 1, *size)).square().sum().backward()
    reached = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    named = {id(parameter) for parameter in seen.encoder_parameters()}
    assert reached == {name for name, parameter in net.named_parameters() if id(parameter) in named}
    assert reached == {name for name, _ in net.named_parameters() if not name.startswith("fc.")}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_encoder_loads_from_a_network_of_other_classes(kind, dims):
    source, target, image = made(kind, dims).eval(), made(kind, dims, seed=1).eval(), torch.randn(2, 1, *[32] * dims)
    if target.fc is not None:
        target.fc = nn.Linear(target.fc.in_features, 2)
    assert load_pretrained(target, source.state_dict(), part="encoder").fraction == 1
    assert torch.equal(stages(target).embed(image), stages(source).embed(image))


@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_its_features_are_those_of_monai_s_resnet_features(dims):
    net, image = ResNetFeatures("resnet10", pretrained=False, spatial_dims=dims).eval(), torch.randn(1, 1, *[32] * dims)
    features = stages(net).encode(image)
    assert stages(net).channels == (64, 64, 128, 256, 512)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(features, net(image), strict=True))


def test_a_decoder_that_is_asked_for_is_missed_at_once():
    seen = stages(made("basic", 2))
    features = seen.encode(torch.zeros(1, 1, 32, 32))
    expected = "ResNet is an encoder and has no decoder blocks: .* such as BasicUNet"
    for asked in (
        lambda: seen.decode(features),
        lambda: seen.decode(features, blocks=1),
        lambda: list(seen.decoder_parameters()),
        lambda: GCLLocal(made("basic", 2)),
        lambda: Restoration(made("basic", 2)),
    ):
        with pytest.raises(ValueError, match=expected):
            asked()


def test_a_contrast_pretrains_it():
    net = made("bottleneck", 3)
    method = SimCLR(net)
    images = torch.randn(2, 2, 1, 32, 32, 32)
    method([{"image": image} for image in images], {})["loss"].backward()
    assert net.layer4[0].conv1.weight.grad.abs().sum() > 0 and not net.fc.weight.requires_grad
