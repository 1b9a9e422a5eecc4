# SPDX-License-Identifier: Apache-2.0
"""Decoders that upsample in other ways: of every network with stages, what is new in them and what is a copy."""

import pytest
import torch
from monai.networks.nets import BasicUNet, SegResNet, resnet18
from staged_networks import NETWORKS, built, each_network
from torch import nn
from torch.nn.functional import interpolate

from monai_cl_ext.networks import decoder_variants, stages

pytestmark = pytest.mark.filterwarnings("ignore:MONAI's VNet drops whole images")
OWN = {
    **dict.fromkeys(["gcl", "uctrans"], "nearest"),
    **dict.fromkeys(["basic_upsample", "segresnet", "segresnet_bare", "rolling", "ukan"], "linear"),
}
KINDS = ["transposed", "linear", "nearest"]


def kind_of(layer, dims):
    """How a layer of a decoder upsamples; None where it does not."""
    if isinstance(layer, (nn.ConvTranspose2d, nn.ConvTranspose3d)) and max(layer.stride) > 1:
        return "transposed"
    if isinstance(layer, nn.Upsample):
        return {"nearest": "nearest", {2: "bilinear", 3: "trilinear"}[dims]: "linear"}[layer.mode]
    return None


def kinds_in(view, dims):
    parts = [view.network.get_submodule(name) for names in view.block_prefixes for name in names]
    return [kind for part in parts for layer in part.modules() if (kind := kind_of(layer, dims))]


@each_network(marks_in_3d=pytest.mark.slow)
def test_variants_decode_the_features_of_the_networks_encoder(kind, dims):
    net, image = built(kind, dims)
    seen = stages(net.train())
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    variants = decoder_variants(seen, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    own = OWN.get(kind, "transposed")
    assert set(kinds_in(seen, dims)) == {own}
    features = seen.encode(image)
    kept = [feature.detach().clone() for feature in features]
    results = [each.output(each.decode(features)) for each in (seen, *variants)]
    assert all(torch.equal(one, other) for one, other in zip(features, kept, strict=True)), "shared, so left alone"
    for variant, result, wanted in zip(variants, results[1:], [name for name in KINDS if name != own], strict=True):
        corners = {layer.align_corners for layer in variant.modules() if isinstance(layer, nn.Upsample)}
        assert corners == {"transposed": set(), "linear": {True}, "nearest": {None}}[wanted]
        assert kinds_in(variant, dims) == [wanted] * len(kinds_in(seen, dims))
        assert result.shape == results[0].shape == (len(image), seen.out_channels, *image.shape[2:])
        assert not torch.allclose(result, results[0])
        assert [each.shape for each in variant.decoder_maps(features)] == [
            each.shape for each in seen.decoder_maps(features)
        ]
        parameters = list(variant.parameters())
        got = torch.autograd.grad(result.square().sum(), parameters, retain_graph=True, allow_unused=True)
        assert all(each is not None for each in got), "a variant holds nothing that it does not use"
        assert not {id(each) for each in parameters} & {id(each) for each in net.parameters()}


@pytest.mark.parametrize("kind", NETWORKS)
def test_all_but_the_upsampling_is_copied_under_its_name(kind):
    seen = stages(built(kind, 2)[0])
    state = seen.network.state_dict()
    for variant in decoder_variants(seen, 2):
        copied = variant.network.state_dict()
        new = {name for name in copied if name not in state or copied[name].shape != state[name].shape}
        same = set(copied) - new
        assert new and same and all(torch.equal(copied[name], state[name]) for name in same)
        assert not any(name.startswith(f"{prefix}.") for prefix in seen.encoder_prefixes for name in copied)


def test_each_way_is_what_it_is_called():
    torch.manual_seed(0)
    seen = stages(BasicUNet(2, 1, 3, (4, 4, 8, 12, 16, 6)))
    linear, nearest = (each.network.upcat_4.upsample.deconv for each in decoder_variants(seen, 2))
    x = torch.rand(2, 16, 3, 5)
    for layer, arguments in ((linear, {"mode": "bilinear", "align_corners": True}), (nearest, {"mode": "nearest"})):
        convolution = layer[0]
        assert convolution.weight.shape == (8, 16, 1, 1)
        torch.testing.assert_close(layer(x), interpolate(convolution(x), scale_factor=2, **arguments))
    (transposed,) = decoder_variants(stages(SegResNet(2, 8, 1, 3)), 1)
    layer = transposed.network.up_samples[0][1].upsample_non_trainable
    assert layer.weight.shape == (32, 32, 2, 2) and layer.stride == (2, 2)


def test_factors_of_each_axis_are_kept():
    from monai.networks.nets import DynUNet

    net = DynUNet(3, 1, 3, [3] * 3, [1, 2, (1, 2, 2)], [2, (1, 2, 2)], filters=(4, 6, 8))
    seen = stages(net)
    image = torch.rand(1, 1, 8, 16, 16)
    for variant in decoder_variants(seen, 2):
        assert variant.output(variant.decode(seen.encode(image))).shape == (1, 3, 8, 16, 16)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_new_layers_have_the_dtype_and_device_of_the_network(dtype):
    for device in ("cpu", "meta"):
        seen = stages(BasicUNet(2, 1, 3, (4, 4, 8, 12, 16, 6)).to(device, dtype))
        for variant in decoder_variants(seen, 2):
            assert {(each.dtype, each.device.type) for each in variant.parameters()} == {(dtype, device)}


@pytest.mark.parametrize("network, name", [
    (lambda: BasicUNet(2, 1, 3, (4, 4, 8, 12, 16, 6), upsample="pixelshuffle"), "BasicUNet"),
    (lambda: SegResNet(2, 8, 1, 3, upsample_mode="pixelshuffle"), "SegResNet"),
    (lambda: resnet18(spatial_dims=2, n_input_channels=1, num_classes=3), "ResNet"),
])  # fmt: skip
def test_networks_that_upsample_otherwise_are_refused(network, name):
    with pytest.raises(ValueError, match=f"found neither in the decoder of {name}: build it with one of these"):
        decoder_variants(stages(network()))


@pytest.mark.parametrize("count", [0, 3])
def test_there_are_no_more_than_three_ways(count):
    with pytest.raises(ValueError, match=f"count must be .*found {count}"):
        decoder_variants(stages(BasicUNet(2, 1, 3, (4, 4, 8, 12, 16, 6))), count)
