# SPDX-License-Identifier: Apache-2.0
"""Stages: the network itself, taken apart; the same parameters, the same results."""

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, SegResNet, UNet
from torch import nn

from monai_cl_ext.networks import GCLUNet, Stages, stages

NETWORKS = {
    "gcl": lambda dims: GCLUNet(1, 3, spatial_dims=dims),
    "basic": lambda dims: BasicUNet(dims, 1, 3, (4, 4, 8, 12, 16, 6), norm=("batch", {})),
    "basic_upsample": lambda dims: BasicUNet(dims, 1, 3, (4, 4, 8, 12, 16, 6), upsample="nontrainable"),
    "segresnet": lambda dims: SegResNet(dims, 8, 1, 3, dropout_prob=0.2, blocks_down=(1, 2, 1), blocks_up=(1, 2)),
    "segresnet_bare": lambda dims: SegResNet(dims, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,), use_conv_final=False),
    "dynunet": lambda dims: DynUNet(dims, 1, 3, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=(4, 6, 8, 10)),
    "dynunet_residual": lambda dims: DynUNet(dims, 1, 3, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), res_block=True),
}
CHANNELS = {
    "gcl": ((16, 32, 64, 128, 128, 128), (128, 128, 64, 32, 16)),
    "basic": ((4, 4, 8, 12, 16), (12, 8, 4, 6)),
    "basic_upsample": ((4, 4, 8, 12, 16), (12, 8, 4, 6)),
    "segresnet": ((8, 16, 32), (16, 8)),
    "segresnet_bare": ((8, 16), (8,)),
    "dynunet": ((4, 6, 8, 10), (8, 6, 4)),
    "dynunet_residual": ((4, 6, 8), (6, 4)),
}


def each(function):
    return pytest.mark.parametrize("dims", [2, 3])(pytest.mark.parametrize("kind", NETWORKS)(function))


def built(kind, dims, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[kind](dims), torch.randn(2, 1, *((32, 64) if dims == 2 else (32, 32, 32)))


@each
@torch.no_grad()
def test_decoding_what_was_encoded_is_the_network(kind, dims):
    net, image = built(kind, dims)
    seen = stages(net.eval())
    features = seen.encode(image)
    assert torch.equal(seen.output(seen.decode(features)), net(image))
    assert torch.equal(seen.output(seen.decode(features, blocks=len(seen.block_prefixes))), net(image))


@each
@torch.no_grad()
def test_widths_sizes_and_embedding(kind, dims):
    net, image = built(kind, dims)
    seen = stages(net.eval())
    features = seen.encode(image)
    channels, decoder_channels = CHANNELS[kind]
    assert seen.channels == channels == tuple(feature.shape[1] for feature in features)
    assert seen.decoder_channels == decoder_channels
    for blocks, width in enumerate(decoder_channels, start=1):
        decoded = seen.decode(features, blocks=blocks)
        assert decoded.shape == (2, width, *features[-1 - blocks].shape[2:])
    expected = torch.stack([features[-1][sample, :].reshape(channels[-1], -1).mean(1) for sample in range(2)])
    torch.testing.assert_close(seen.embed(image), expected)
    assert torch.equal(seen(image), seen.embed(image))
    assert seen.bottleneck_size(image.shape[2:]) == tuple(features[-1].shape[2:])


@each
def test_parameters_of_the_parts_are_those_that_their_results_use(kind, dims):
    net, image = built(kind, dims)
    seen = stages(net.train())

    def used(result):
        gradients = torch.autograd.grad(result.sum(), list(net.parameters()), allow_unused=True)
        return {
            name for (name, _), gradient in zip(net.named_parameters(), gradients, strict=True) if gradient is not None
        }

    def names(parameters):
        wanted = {id(parameter) for parameter in parameters}
        return {name for name, parameter in net.named_parameters() if id(parameter) in wanted}

    assert names(seen.encoder_parameters()) == used(seen.encode(image)[-1])
    for blocks in range(1, len(seen.block_prefixes) + 1):
        features = [feature.detach() for feature in seen.encode(image)]
        assert names(seen.decoder_parameters(blocks)) == used(seen.decode(features, blocks))
    assert names(seen.decoder_parameters()) == names(seen.decoder_parameters(len(seen.block_prefixes)))


def test_a_method_that_holds_the_stages_owns_and_trains_the_network():
    net, image = built("basic", 2)

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = stages(net)

    holder = Holder()
    assert {id(parameter) for parameter in holder.parameters()} == {id(parameter) for parameter in net.parameters()}
    holder.encoder.embed(image).sum().backward()
    assert net.conv_0.conv_0.conv.weight.grad is not None
    holder.eval()
    assert not net.training


def test_encoder_of_an_image_size_that_the_decoder_would_refuse():
    seen = stages(GCLUNet())
    assert seen.bottleneck_size((100, 160)) == (3, 5)
    assert seen.training  # the dry run leaves the mode alone
    assert seen.embed(torch.randn(2, 1, 100, 160)).shape == (2, 128)


def test_unknown_class_lists_the_known_and_a_user_can_add_it():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 5, 3, stride=2, padding=1)

    with pytest.raises(TypeError, match="BasicUNet, DynUNet, GCLUNet, SegResNet.*, found UNet"):
        stages(UNet(2, 1, 2, (4, 8), (2,)))
    stages.register(Mine, lambda net: Stages(net, encoder=("first", "last"), blocks=(), output="last"))
    assert stages(Mine()).embed(torch.zeros(2, 1, 4, 4)).shape == (2, 5)


def test_subclass_of_a_known_class_is_known():
    class Renamed(BasicUNet):
        pass

    assert stages(Renamed(2, 1, 2, (4, 4, 4, 4, 4, 4))).channels == (4, 4, 4, 4, 4)


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match="deep_supervision=False"):
        stages(DynUNet(2, 1, 3, [3] * 4, [1, 2, 2, 2], [2, 2, 2], deep_supervision=True))
    seen = stages(built("basic", 2)[0])
    for blocks in (0, 5, -1):
        with pytest.raises(ValueError, match=f"blocks must be from 1 to 4 for BasicUNet, found {blocks}"):
            seen.decode(seen.encode(torch.zeros(1, 1, 32, 32)), blocks=blocks)
    with pytest.raises(ValueError, match="blocks"):
        list(seen.decoder_parameters(9))
