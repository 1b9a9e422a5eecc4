# SPDX-License-Identifier: Apache-2.0
"""Stages: the network itself, taken apart; the same parameters, the same results."""

import copy
import pickle
import pydoc
import subprocess
import sys

import pytest
import torch
from monai.networks.nets import AttentionUnet, BasicUNet, DynUNet, SegResNet, SwinUNETR, UNet, VNet
from monai.networks.nets.unet import CheckpointUNet
from torch import Tensor, nn

from monai_cl_ext.networks import GCLUNet, PCLUNet, Stages, load_pretrained, stages


def swin(dims, **arguments):
    arguments = {"depths": (2, 1, 1, 1), "num_heads": (3, 3, 6, 6), "window_size": 4, "feature_size": 12} | arguments
    return SwinUNETR(1, 3, spatial_dims=dims, **arguments)


NETWORKS = {
    "gcl": lambda dims: GCLUNet(1, 3, spatial_dims=dims),
    "basic": lambda dims: BasicUNet(dims, 1, 3, (4, 4, 8, 12, 16, 6), norm=("batch", {})),
    "basic_upsample": lambda dims: BasicUNet(dims, 1, 3, (4, 4, 8, 12, 16, 6), upsample="nontrainable"),
    "segresnet": lambda dims: SegResNet(dims, 8, 1, 3, dropout_prob=0.2, blocks_down=(1, 2, 1), blocks_up=(1, 2)),
    "segresnet_bare": lambda dims: SegResNet(dims, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,), use_conv_final=False),
    "dynunet": lambda dims: DynUNet(dims, 1, 3, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=(4, 6, 8, 10)),
    "dynunet_residual": lambda dims: DynUNet(dims, 1, 3, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), res_block=True),
    "dynunet_deep": lambda dims: DynUNet(
        dims, 1, 3, [3] * 4, [1, 2, 2, 2], [2, 2, 2], filters=(4, 6, 8, 10), deep_supervision=True, deep_supr_num=2
    ),
    "pcl": lambda dims: PCLUNet(1, 3, 2, spatial_dims=dims),
    "unet": lambda dims: UNet(dims, 1, 3, (4, 6, 8, 10), (2, 1, 2)),
    "unet_residual": lambda dims: UNet(dims, 1, 3, (4, 6, 8, 10), (2, 2, 2), num_res_units=2, norm="batch"),
    "unet_shallow": lambda dims: UNet(dims, 1, 3, (4, 6), (2,), num_res_units=1),
    "unet_checkpointed": lambda dims: CheckpointUNet(dims, 1, 3, (4, 6, 8), (2, 2), num_res_units=1),
    "attention": lambda dims: AttentionUnet(dims, 1, 3, (4, 6, 8, 10), (2, 2, 2)),
    "attention_shallow": lambda dims: AttentionUnet(dims, 1, 3, (4, 6), (2,)),
    "swin": swin,
    "swin_v2": lambda dims: swin(dims, use_v2=True, normalize=False, patch_norm=True, depths=(1, 1, 1, 1)),
}
# widths of the features, widths of the decoder's maps, and how many times smaller than the image these maps are
SHAPES = {
    "gcl": ((16, 32, 64, 128, 128, 128), (128, 128, 64, 32, 16), (16, 8, 4, 2, 1)),
    "basic": ((4, 4, 8, 12, 16), (12, 8, 4, 6), (8, 4, 2, 1)),
    "basic_upsample": ((4, 4, 8, 12, 16), (12, 8, 4, 6), (8, 4, 2, 1)),
    "segresnet": ((8, 16, 32), (16, 8), (2, 1)),
    "segresnet_bare": ((8, 16), (8,), (1,)),
    "dynunet": ((4, 6, 8, 10), (8, 6, 4), (4, 2, 1)),
    "dynunet_residual": ((4, 6, 8), (6, 4), (2, 1)),
    "dynunet_deep": ((4, 6, 8, 10), (8, 6, 4), (4, 2, 1)),
    "pcl": ((2, 4, 8, 16, 32), (16, 8, 4, 2), (8, 4, 2, 1)),
    "unet": ((4, 6, 8, 10), (6, 4, 3), (2, 2, 1)),
    "unet_residual": ((4, 6, 8, 10), (6, 4, 3), (4, 2, 1)),
    "unet_shallow": ((4, 6), (3,), (1,)),
    "unet_checkpointed": ((4, 6, 8), (4, 3), (2, 1)),
    "attention": ((4, 6, 8, 10), (8, 6, 4), (4, 2, 1)),
    "attention_shallow": ((4, 6), (4,), (1,)),
    "swin": ((1, 12, 24, 48, 96, 192), (96, 48, 24, 12, 12), (16, 8, 4, 2, 1)),
    "swin_v2": ((1, 12, 24, 48, 96, 192), (96, 48, 24, 12, 12), (16, 8, 4, 2, 1)),
}


def each(function):
    return pytest.mark.parametrize("dims", [2, 3])(pytest.mark.parametrize("kind", NETWORKS)(function))


def built(kind, dims, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[kind](dims), torch.randn(2, 1, *((32, 64) if dims == 2 else (32, 32, 64)))


@pytest.mark.slow
@each
@torch.no_grad()
def test_decoding_what_was_encoded_is_the_network(kind, dims):
    net, image = built(kind, dims)
    seen = stages(net.eval())
    features = seen.encode(image)
    assert torch.equal(seen.output(seen.decode(features)), net(image))
    assert torch.equal(seen.output(seen.decode(features, blocks=len(seen.block_prefixes))), net(image))


@pytest.mark.slow
@each
@torch.no_grad()
def test_widths_sizes_and_embedding(kind, dims):
    net, image = built(kind, dims)
    seen = stages(net.eval())
    features = seen.encode(image)
    channels, decoder_channels, scales = SHAPES[kind]
    assert seen.channels == channels == tuple(feature.shape[1] for feature in features)
    assert seen.decoder_channels == decoder_channels
    for blocks, (width, scale) in enumerate(zip(decoder_channels, scales, strict=True), start=1):
        decoded = seen.decode(features, blocks=blocks)
        assert decoded.shape == (2, width, *(size // scale for size in image.shape[2:]))
    expected = torch.stack([features[-1][sample, :].reshape(channels[-1], -1).mean(1) for sample in range(2)])
    torch.testing.assert_close(seen.embed(image), expected)
    assert torch.equal(seen(image), seen.embed(image))
    assert torch.equal(seen.pooled(features[-1]), seen.embed(image))
    assert seen.bottleneck_size(image.shape[2:]) == tuple(features[-1].shape[2:])


@pytest.mark.slow
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


@each
def test_prefixes_part_the_tensors(kind, dims):
    net, _ = built(kind, dims)
    seen = stages(net)
    parts = [seen.encoder_prefixes, *seen.block_prefixes, () if seen.output_prefix is None else (seen.output_prefix,)]
    owners: dict[int, set[int]] = {}
    for name, tensor in net.state_dict(keep_vars=True).items():
        within = (number for number, part in enumerate(parts) for prefix in part if name.startswith(f"{prefix}."))
        owners.setdefault(id(tensor), set()).update(within)  # DynUNet names a tensor twice
    counts = [len(owner) for owner in owners.values()]
    assert max(counts) == 1, "no tensor is in two parts"
    # The one keeps an output layer that it does not use, the other has heads beside its result.
    if kind not in ("segresnet_bare", "dynunet_deep"):
        assert min(counts) == 1, "every tensor is in one"


@pytest.mark.parametrize("kind", ["pcl", "unet", "unet_residual", "unet_checkpointed", "attention", "swin", "swin_v2"])
def test_what_the_parts_compute_is_what_loading_them_brings(kind):
    source, image = built(kind, 2)
    source.train()(image)  # moves running statistics
    seen = stages(source.eval())
    for blocks in range(len(seen.block_prefixes) + 1):
        net = built(kind, 2, seed=1)[0].eval()
        before = {name: tensor.clone() for name, tensor in net.named_parameters()}
        load_pretrained(net, source.state_dict(), part="encoder", blocks=blocks)

        def computed(view: Stages, blocks: int = blocks) -> Tensor:
            features = view.encode(image)
            return view.decode(features, blocks) if blocks else features[-1]

        result = computed(stages(net))
        assert torch.equal(result, computed(seen))
        parameters = dict(net.named_parameters())
        gradients = torch.autograd.grad(result.sum(), list(parameters.values()), allow_unused=True)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            assert gradient is not None or torch.equal(parameter, before[name]), name


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


def test_the_image_size_is_one_number_or_one_for_each_axis():
    seen = stages(built("basic", 3)[0])
    assert seen.bottleneck_size(32) == seen.bottleneck_size([32, 32, 32]) == (2, 2, 2)
    with pytest.raises(ValueError, match=r"image_size must be one number, or three, .* found \[32, 32\]"):
        seen.bottleneck_size([32, 32])


def test_the_last_map_of_deep_supervision_is_the_result_in_training_too():
    net, image = built("dynunet_deep", 2)
    seen = stages(net.train())
    assert net(image).shape == (2, 3, 3, 32, 64)  # with the maps of two heads
    torch.testing.assert_close(seen.output(seen.decode(seen.encode(image))), net(image)[:, 0])


def test_unknown_class_lists_the_known_and_a_user_can_add_it():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 5, 3, stride=2, padding=1)

    known = "AttentionUnet, BasicUNet, DynUNet, GCLUNet, .*PCLUNet, SegResNet, SwinUNETR, UNet"
    with pytest.raises(TypeError, match=f"{known}, found VNet"):
        stages(VNet(spatial_dims=2))
    stages.register(Mine, lambda net: Stages(net, encoder=("first", "last"), blocks=(), output="last"))
    assert stages(Mine()).embed(torch.zeros(2, 1, 4, 4)).shape == (2, 5)


def test_subclass_of_a_known_class_is_known():
    class Renamed(BasicUNet):
        pass

    assert stages(Renamed(2, 1, 2, (4, 4, 4, 4, 4, 4))).channels == (4, 4, 4, 4, 4)


def test_what_cannot_be_done_is_said():
    seen = stages(built("basic", 2)[0])
    for blocks in (0, 5, -1):
        with pytest.raises(ValueError, match=f"blocks must be from 1 to 4 for BasicUNet, found {blocks}"):
            seen.decode(seen.encode(torch.zeros(1, 1, 32, 32)), blocks=blocks)
    with pytest.raises(ValueError, match="blocks"):
        list(seen.decoder_parameters(9))


NAMES = """
import sys
import monai_cl_ext.networks.stages
import monai_cl_ext.networks.stages as imported
from monai_cl_ext.networks.stages.unet import UNetStages
from monai_cl_ext.networks.stages import Stages, stages as exported
from monai_cl_ext.networks import stages
assert stages is exported is imported is monai_cl_ext.networks.stages
assert callable(stages) and issubclass(UNetStages, Stages)
assert sys.modules["monai_cl_ext.networks.stages"].stages is stages
"""


@pytest.mark.parametrize("dims", [2, 3])
def test_a_map_is_pooled_over_its_spatial_axes(dims):
    features = torch.rand(2, 5, *range(3, 3 + dims), dtype=torch.float64)
    torch.testing.assert_close(Stages.pooled(features), features.mean(dim=tuple(range(2, 2 + dims))))


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_copy_of_the_encoder_embeds_alike_and_holds_nothing_else(kind):
    seen = stages(NETWORKS[kind](2)).eval()
    copied, image = seen.encoder_copy(), torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(copied(image), seen(image), rtol=0, atol=0)
    decoder = {id(parameter) for parameter in seen.decoder_parameters()}
    kept = {name for name, parameter in seen.named_parameters() if id(parameter) not in decoder}
    assert decoder and {name for name, _ in copied.named_parameters()} <= kept


def test_the_name_stages_is_the_function_whatever_is_imported_first():
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert pydoc.locate("monai_cl_ext.networks.stages") is stages  # how a configuration finds it


@pytest.mark.parametrize("kind", ["gcl", "basic", "segresnet", "unet", "attention"])
def test_stages_can_be_pickled_and_copied(kind):
    net, image = built(kind, 2)
    seen = stages(net.eval())
    for other in (pickle.loads(pickle.dumps(seen)), copy.deepcopy(seen)):
        assert type(other) is type(seen) and torch.equal(other.embed(image), seen.embed(image))
    assert pickle.loads(pickle.dumps(stages)) is stages
