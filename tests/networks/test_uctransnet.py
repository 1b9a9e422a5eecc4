# SPDX-License-Identifier: Apache-2.0
"""UCTransNet: parameters, the attention over channels, structure, weights of a plain U-Net, refusals, learning."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from backbone_cases import numbers_of, scrambled
from monai.networks.nets import BasicUNet
from overfitting import CLASSES, SIZE, learned_by_heart
from torch import nn

from monai_cl_ext.networks import UCTransNet, load_pretrained, stages
from monai_cl_ext.networks.backbones.channel_transformer import ChannelLayer
from monai_cl_ext.networks.backbones.pcl_unet import PCLDecoderBlock
from monai_cl_ext.networks.backbones.unet_base import UNetBase

EPSILON = 1e-6  # of the layer normalizations


def expected_numbers(channels, classes, size, width):
    """Counted layer by layer."""

    def unit(before, after, side=3):
        return before * after * side**2 + after + 2 * after

    widths, tokens = [width, 2 * width, 4 * width, 8 * width], math.prod(size) // 256
    together = sum(widths)
    total = unit(channels, width) + width * classes + classes
    total += sum(unit(a, b) + unit(b, b) for a, b in itertools.pairwise([*widths, widths[-1]]))
    for each, patch in zip(widths, (16, 8, 4, 2), strict=True):
        total += each * each * patch**2 + each + tokens * each  # embedding
        total += 2 * each + unit(each, each, 1)  # restoration
        attention = 2 * each + 4 * each * each + each * each
        mlp = 2 * each + 4 * each * each + 4 * each + 4 * each * each + each
        total += 4 * (attention + mlp)
    total += 4 * (2 * together + 2 * 4 * together * together)
    for each, after in zip(widths[::-1], [*widths[-2::-1], width], strict=True):
        total += 2 * (each * each + each) + unit(2 * each, after) + unit(after, after)
    return total


@pytest.mark.parametrize("channels, classes, size, width, whole", [
    (3, 1, (224, 224), 64, 66_430_657), (1, 4, (256, 256), 16, 4_213_252),
])  # fmt: skip
def test_the_published_sizes_have_their_parameters(channels, classes, size, width, whole):
    with torch.device("meta"):
        assert numbers_of(UCTransNet(channels, classes, size, width)) == whole
        assert numbers_of(UCTransNet(channels, classes, size[0], width)) == whole
    assert expected_numbers(channels, classes, size, width) == whole


def test_parameter_counts():
    for given in ((1, 2, (32, 64), 4), (3, 5, (16, 16), 6)):
        with torch.device("meta"):
            assert numbers_of(UCTransNet(*given)) == expected_numbers(*given)


def layer_normalized(x, norm):
    """Over the channels of the tokens (tokens, C), by hand."""
    mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + EPSILON) * norm.weight + norm.bias


def attended_by_loops(level, x, together, memory):
    """What a level's attention adds to its tokens x (tokens, C), with ``together`` (tokens, total) of all levels."""
    tokens, width = x.shape
    total = together.shape[1]
    normed, normed_together = layer_normalized(x, level.norm), layer_normalized(together, memory.norm)
    average = torch.zeros(tokens, width, dtype=torch.float64)
    for head in range(4):
        of_level = slice(head * width, (head + 1) * width)
        of_all = slice(head * total, (head + 1) * total)
        query = normed @ level.query.weight[of_level].T
        key, value = (normed_together @ linear.weight[of_all].T for linear in (memory.key, memory.value))
        scores = torch.empty(width, total, dtype=torch.float64)
        for one, other in itertools.product(range(width), range(total)):
            products = [query[token, one].item() * key[token, other].item() for token in range(tokens)]
            scores[one, other] = sum(products) / math.sqrt(total)
        entries = scores.flatten().tolist()
        mean = sum(entries) / len(entries)
        deviation = math.sqrt(sum((entry - mean) ** 2 for entry in entries) / len(entries) + 1e-5)
        for one in range(width):
            powers = [math.exp((scores[one, other].item() - mean) / deviation) for other in range(total)]
            for token, other in itertools.product(range(tokens), range(total)):
                average[token, one] += powers[other] / sum(powers) * value[token, other].item() / 4
    return average @ level.projection.weight.T


@torch.no_grad()
def test_attention_over_channels_equals_loops():
    torch.manual_seed(0)
    layer = scrambled(ChannelLayer((2, 3, 5), heads=4))
    tokens = [torch.randn(2, 6, width, dtype=torch.float64) for width in (2, 3, 5)]
    found = layer(tokens)
    for sample, (level, x, result) in itertools.product(range(2), zip(layer.levels, tokens, found, strict=True)):
        expected = x[sample] + attended_by_loops(
            level, x[sample], torch.cat([each[sample] for each in tokens], dim=1), layer.memory
        )
        first, last = level.mlp[1], level.mlp[3]
        hidden = layer_normalized(expected, level.mlp[0]) @ first.weight.T + first.bias
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        torch.testing.assert_close(
            result[sample], expected + hidden @ last.weight.T + last.bias, rtol=1e-10, atol=1e-12
        )


@torch.no_grad()
def test_what_attends_are_channels_so_that_tokens_may_be_in_any_order():
    torch.manual_seed(0)
    layer = scrambled(ChannelLayer((2, 4), heads=4))
    tokens = [torch.randn(2, 6, width, dtype=torch.float64) for width in (2, 4)]
    order = torch.randperm(6)
    moved = layer([each[:, order] for each in tokens])
    for one, other in zip(layer(tokens), moved, strict=True):
        torch.testing.assert_close(one[:, order], other)


@torch.no_grad()
def test_forward_equals_the_network_written_out():
    torch.manual_seed(0)
    net = scrambled(UCTransNet(2, 3, (32, 48), 4))
    for embedding in net.transformer.embeddings:
        assert not embedding.position.any()
        embedding.position.normal_()
    state = net.state_dict()

    def along(values):
        return values[:, None, None]

    def unit(x, name, padding=1):
        x = F.conv2d(F.pad(x, (padding,) * 4), state[f"{name}.conv.weight"], state[f"{name}.conv.bias"])
        norm = {key: along(state[f"{name}.adn.N.{key}"]) for key in ("weight", "bias", "running_mean", "running_var")}
        x = (x - norm["running_mean"]) / torch.sqrt(norm["running_var"] + 1e-5)
        return (x * norm["weight"] + norm["bias"]).clamp(min=0)

    def both(x, name):
        return unit(unit(x, f"{name}.conv_0"), f"{name}.conv_1")

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    image = torch.randn(2, 2, 32, 48, dtype=torch.float64)
    features = [unit(image, "encoder.0")]
    for level in range(1, 5):
        corners = [features[-1][..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        features.append(both(torch.stack(corners).amax(0), f"encoder.{level}.convs"))
    assert [each.shape[1] for each in features] == [4, 8, 16, 32, 32]
    tokens = []
    for level, (x, patch) in enumerate(zip(features, (16, 8, 4, 2), strict=False)):
        patches = x.unfold(2, patch, patch).unfold(3, patch, patch)
        kernel, bias = (state[f"transformer.embeddings.{level}.patches.{key}"] for key in ("weight", "bias"))
        embedded = torch.einsum("bchwyx,ocyx->bhwo", patches, kernel) + bias
        tokens.append(embedded.flatten(1, 2) + state[f"transformer.embeddings.{level}.position"])
    for layer in net.transformer.layers:
        tokens = layer(tokens)
    x = features[-1]
    for block in range(4):
        level, patch = 3 - block, (2, 4, 8, 16)[block]
        rows = torch.stack([layer_normalized(each, net.restorations[level].norm) for each in tokens[level]])
        grid = rows.transpose(1, 2).reshape(2, -1, 2, 3).repeat_interleave(patch, 2).repeat_interleave(patch, 3)
        skip = unit(grid, f"restorations.{level}.unit", padding=0) + features[level]
        name = f"decoder.{block}"
        gate = (linear(skip.mean((2, 3)), f"{name}.from_skip") + linear(x.mean((2, 3)), f"{name}.from_below")) / 2
        up = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = both(torch.cat([(skip / (1 + torch.exp(-gate))[..., None, None]).clamp(min=0), up], 1), f"{name}.units")
    x = torch.einsum("bihw,oi->bohw", x, state["output.weight"].flatten(1)) + along(state["output.bias"])
    torch.testing.assert_close(net(image), x, rtol=1e-9, atol=1e-11)


def test_dropout():
    net = UCTransNet(1, 2, 32, 4)
    layers = [(name, module.p) for name, module in net.named_modules() if isinstance(module, nn.Dropout) and module.p]
    assert len(layers) == 4 + 4 * 4 and {rate for _, rate in layers} == {0.1}
    assert all(name.startswith("transformer.") for name, _ in layers)


def test_script_gives_the_same():
    for size in ((32, 16), (16, 48)):
        net = scrambled(UCTransNet(2, 3, size, 4)).float()
        image = torch.randn(2, 2, *size)
        with torch.no_grad():
            assert torch.equal(torch.jit.script(net)(image), net(image)) and net(image).shape == (2, 3, *size)
    with pytest.raises(torch.jit.Error, match="found .*32, 32"):
        torch.jit.script(net)(torch.zeros(1, 2, 32, 32))


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    net = UCTransNet(1, 2, (32, 48), 4).train()
    net(torch.randn(2, 1, 32, 48)).square().sum().backward()
    for name, parameter in net.named_parameters():
        # normalization takes a convolution's bias out again: its gradient is rounding
        assert name.endswith("conv.bias") or parameter.grad.abs().sum() > 0, name


def test_a_step_asks_the_device_for_nothing():
    with torch.device("meta"):  # where no value can be read
        net = UCTransNet(1, 4, 64, 8)
        net(torch.empty(2, 1, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_bfloat16_under_autocast_is_close():
    torch.manual_seed(0)
    net, image = UCTransNet(1, 2, 32, 8).eval(), torch.randn(2, 1, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = net(image).float()
    with torch.no_grad():
        expected = net(image)
    assert (found - expected).abs().mean() < 0.05 * expected.abs().mean()


def plain_unet(classes, width):
    """A U-Net with UCTransNet's encoder and plain skips, which takes images of any multiple of 16."""
    blocks = [PCLDecoderBlock(2, below * width, skip * width) for below, skip in ((8, 8), (8, 4), (4, 2), (2, 1))]
    return UNetBase(UCTransNet(1, classes, 16, width).encoder, blocks, nn.Conv2d(width, classes, kernel_size=1))


def fresh(net, before):
    """Names of the tensors that are as they were."""
    return {name for name, tensor in net.state_dict().items() if torch.equal(tensor, before[name])}


def test_an_encoder_is_loaded_whatever_the_size_of_its_images():
    torch.manual_seed(0)
    source, net = UCTransNet(1, 2, 64, 4), UCTransNet(1, 4, (32, 48), 4)
    report = load_pretrained(net, source.state_dict(), part="encoder")
    image = torch.randn(2, 1, 48, 80)  # the encoder alone takes any
    assert report.fraction == 1 and torch.equal(stages(net.eval()).embed(image), stages(source.eval()).embed(image))
    with pytest.raises(ValueError, match=r"position \(1, 16, 4\) for \(1, 6, 4\)"):
        load_pretrained(net, source.state_dict(), part="encoder", blocks=1)


def test_weights_of_a_plain_unet_fill_the_encoder_and_leave_the_transformer_fresh():
    torch.manual_seed(0)
    source, net = plain_unet(2, 4), UCTransNet(1, 4, 32, 4)
    image = torch.randn(2, 1, 32, 32)
    source.train()(image).square().sum().backward()  # moves running statistics
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    report = load_pretrained(net, source.state_dict(), part="encoder")
    assert report.fraction == 1 and all(name.startswith("encoder.") for name in report.matched)
    kept = fresh(net, before)
    assert kept >= {name for name in before if not name.startswith("encoder.")}
    expected = image
    for level in source.eval().encoder:
        expected = level(expected)
    assert torch.equal(stages(net.eval()).encode(image)[-1], expected)


def test_weights_of_a_basic_unet_fill_the_encoder_by_other_names():
    torch.manual_seed(0)
    source = BasicUNet(2, 1, 2, (4, 8, 16, 32, 32, 4), norm="batch", act="relu")
    net, image = UCTransNet(1, 4, 32, 4), torch.randn(2, 1, 32, 32)
    source.train()(image)
    names = {"conv_0.conv_0.": "encoder.0.", **{f"down_{level}.": f"encoder.{level}." for level in range(1, 5)}}
    report = load_pretrained(net, source.state_dict(), part="encoder", prefixes=names)
    assert report.fraction == 1 and "conv_0.conv_1.conv.weight" in report.unused  # UCTransNet's first level is one unit
    source.conv_0.conv_1 = nn.Identity()
    assert torch.equal(stages(net.eval()).embed(image), stages(source.eval()).embed(image))


@pytest.mark.parametrize("given, message", [
    ({"in_channels": 0}, "in_channels"), ({"out_channels": 0}, "out_channels"), ({"width": 0}, "width"),
    ({"image_size": (40, 32)}, r"image_size must be multiples of 16 .* found \[40, 32\].* \[48, 32\]"),
    ({"image_size": 0}, "image_size must be an integer"),
    ({"image_size": (32, 32, 32)}, "image_size must be one number, or two"),
])  # fmt: skip
def test_wrong_arguments(given, message):
    with pytest.raises(ValueError, match=message):
        UCTransNet(**{"in_channels": 1, "out_channels": 2, "image_size": 32, **given})


@pytest.mark.parametrize("size", [(48, 32), (32, 32, 32), (8, 8)])
def test_images_of_another_size_are_refused(size):
    net = UCTransNet(1, 2, (32, 48), 4)
    message = rf"UCTransNet takes images of the size \[32, 48\] .* found \[{', '.join(map(str, size))}\]: crop or pad"
    with pytest.raises(ValueError, match=message):
        net(torch.zeros(1, 1, *size))
    if size == (48, 32):  # as many tokens
        seen = stages(net)
        with pytest.raises(ValueError, match=message):
            seen.decode(seen.encode(torch.zeros(1, 1, *size)), blocks=1)


@pytest.mark.slow
def test_it_learns_a_volume_by_heart():
    scores = []
    for seed in range(2):
        torch.manual_seed(seed)
        scores.append(learned_by_heart(UCTransNet(1, CLASSES, SIZE, 8)))
    assert sum(scores) / len(scores) > 0.9
