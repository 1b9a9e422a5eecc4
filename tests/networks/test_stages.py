# SPDX-License-Identifier: Apache-2.0
"""Stages: the network itself, taken apart; the same parameters, the same results."""

import copy
import pickle
import pydoc
import subprocess
import sys
import warnings

import pytest
import torch
from monai.networks.nets import AutoEncoder, BasicUNet, VNet
from staged_networks import NETWORKS, PLANAR, SHAPES, SIZES, built, each_network, unetr
from torch import Tensor, nn

from monai_cl_ext.networks import GCLUNet, Stages, load_pretrained, stages

pytestmark = pytest.mark.filterwarnings("ignore:MONAI's VNet drops whole images")
ADDED = ("unetr", "unetr_plain", "vnet", "uamt")


each = each_network()


def each_at_two_sizes(function):
    return pytest.mark.parametrize("place", [0, 1])(each(function))


def check_decoding(net, image):
    seen = stages(net.eval())
    features = seen.encode(image)
    assert torch.equal(seen.output(seen.decode(features)), net(image))
    assert torch.equal(seen.output(seen.decode(features, blocks=len(seen.block_prefixes))), net(image))


@pytest.mark.slow
@each_at_two_sizes
@torch.no_grad()
def test_decoding_what_was_encoded_is_the_network(kind, dims, place):
    check_decoding(*built(kind, dims, size=SIZES[dims][place]))


@pytest.mark.parametrize("kind", [*ADDED, "dynunet_deep"])
@torch.no_grad()
def test_decoding_what_was_encoded_is_the_network_of_volumes(kind):
    check_decoding(*built(kind, 3, size=(16, 32, 16)))


@each
def test_stages_leave_the_network_and_its_state_alone(kind, dims):
    net, image = built(kind, dims)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    seen = stages(net.eval())
    seen.encoder_copy()
    assert seen.bottleneck_size(image.shape[2:]) and seen.network is net
    assert list(net.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.slow
@each
@torch.no_grad()
def test_a_loaded_encoder_embeds_as_its_source(kind, dims):
    (source, image), (net, _) = built(kind, dims, size=(32,) * dims), built(kind, dims, seed=1, size=(32,) * dims)
    report = load_pretrained(net, source.state_dict(), part="encoder")
    seen, prefixes = stages(net.eval()), stages(source.eval()).encoder_prefixes
    assert report.fraction == 1 and torch.equal(seen.embed(image), stages(source).embed(image))
    assert report.matched and all(any(name.startswith(f"{prefix}.") for prefix in prefixes) for name in report.matched)


@pytest.mark.slow
@each_at_two_sizes
@torch.no_grad()
def test_widths_sizes_and_embedding(kind, dims, place):
    net, image = built(kind, dims, size=SIZES[dims][place])
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
@each_at_two_sizes
def test_parameters_of_the_parts_are_those_that_their_results_use(kind, dims, place):
    net, image = built(kind, dims, size=SIZES[dims][place])
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
    # An output layer that is not used, heads beside the result, norms for the cross-attention that there is not.
    if kind not in ("segresnet_bare", "dynunet_deep", "unetr", "unetr_plain"):
        assert min(counts) == 1, "every tensor is in one"


@pytest.mark.parametrize(
    "kind",
    [*PLANAR, "pcl", "unet", "unet_residual", "unet_checkpointed", "attention", "swin", "swin_v2", *ADDED],
)
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

    known = (
        "AttentionUnet, BCDUNet, BasicUNet, DynUNet, GCLUNet, .*PCLUNet, ResEncUNet, ResNet, RollingUNet, SegResNet,"
        " SwinUNETR, UAMTVNet, UCTransNet, UKAN, UNETR, UNet"
    )
    with pytest.raises(TypeError, match=f"{known}, VNet, found AutoEncoder"):
        stages(AutoEncoder(2, 1, 1, (4, 8), (2, 2)))
    stages.register(Mine, lambda net: Stages(net, encoder=("first", "last"), blocks=(), output="last"))
    assert stages(Mine()).embed(torch.zeros(2, 1, 4, 4)).shape == (2, 5)


def test_subclass_of_a_known_class_is_known():
    class Renamed(BasicUNet):
        pass

    assert stages(Renamed(2, 1, 2, (4, 4, 4, 4, 4, 4))).channels == (4, 4, 4, 4, 4)


def test_unetr_says_which_size_it_takes():
    seen = stages(unetr(3, (32, 16, 16)))
    assert seen.bottleneck_size((32, 16, 16)) == (2, 1, 1)
    for image in (torch.zeros(1, 1, 16, 16, 32), torch.zeros(1, 1, 32, 32, 16)):
        with pytest.raises(ValueError, match=r"size \(32, 16, 16\) .* found .*crop or resize"):
            seen.encode(image)
    with pytest.raises(ValueError, match=r"size \(32, 16, 16\) .* found \(32, 32, 32\)"):
        seen.bottleneck_size(32)


@pytest.mark.parametrize("arguments", [{}, {"dropout_dim": 2}])
def test_a_vnet_that_drops_whole_images_is_warned_of(arguments):
    net = VNet(2, **arguments)
    assert set(net.down_tr128.dropout(torch.ones(64, 4, 2, 2)).flatten(1).std(1).tolist()) == {0.0}, "MONAI's trap"
    with pytest.warns(UserWarning, match="VNet drops whole images of a batch in 2D.*dropout_prob_down=None"):
        stages(net)
    for module in net.modules():
        if isinstance(module, nn.Dropout3d):
            module.p = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stages(net)
        stages(VNet(3))


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
    net, image = built(kind, 2, size=(64, 64))
    seen = stages(net).eval()
    copied = seen.encoder_copy()
    torch.testing.assert_close(copied(image), seen(image), rtol=0, atol=0)
    decoder = {id(parameter) for parameter in seen.decoder_parameters()}
    kept = {name for name, parameter in seen.named_parameters() if id(parameter) not in decoder}
    assert decoder and {name for name, _ in copied.named_parameters()} <= kept


def test_the_name_stages_is_the_function_whatever_is_imported_first():
    done = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert pydoc.locate("monai_cl_ext.networks.stages") is stages  # how a configuration finds it


@pytest.mark.parametrize("kind", ["gcl", "basic", "segresnet", "unet", "attention", "unetr", "uamt", *PLANAR])
def test_stages_can_be_pickled_and_copied(kind):
    net, image = built(kind, 2)
    seen = stages(net.eval())
    for other in (pickle.loads(pickle.dumps(seen)), copy.deepcopy(seen)):
        assert type(other) is type(seen) and torch.equal(other.embed(image), seen.embed(image))
    assert pickle.loads(pickle.dumps(stages)) is stages
