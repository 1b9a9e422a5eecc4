# SPDX-License-Identifier: Apache-2.0
"""BCDU-Net: parameters, the convolutional LSTM, structure, start, refusals, learning."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from backbone_cases import normalized_biases, numbers_of, scrambled
from overfitting import CLASSES, learned_by_heart
from torch import nn

from monai_cl_ext.networks import BCDUNet, load_pretrained, stages
from monai_cl_ext.networks.backbones.conv_lstm import ConvLSTM

RELEASED = {"bidirectional": False, "norm": False}


def expected_numbers(channels, classes, width, blocks, bidirectional, norm):
    """Counted layer by layer: kernels, biases, and scale and shift of the normalization."""

    def unit(before, after):
        return 9 * before * after + after + (2 * after if norm else 0)

    widths = [width, 2 * width, 4 * width, 8 * width]
    total = sum(unit(a, b) + unit(b, b) for a, b in itertools.pairwise([channels, *widths]))
    total += sum(unit(block * widths[-1], widths[-1]) + unit(widths[-1], widths[-1]) for block in range(1, blocks))
    for below, after in itertools.pairwise(widths[::-1]):
        half = after // 2
        total += 4 * below * after + after + 2 * after  # upsampling is normalized whatever norm says
        total += (1 + bidirectional) * 4 * (9 * after * half + 9 * half * half + half)
        total += unit((1 + bidirectional) * half, after) + unit(after, after)
    return total + (unit(width, 2) + 3 if classes == 1 else width * classes + classes)


@pytest.mark.parametrize("blocks, whole", [(1, 8_860_293), (3, 20_658_821)])
def test_the_released_network_has_its_parameters(blocks, whole):
    with torch.device("meta"):
        assert numbers_of(BCDUNet(1, 1, dense_blocks=blocks, **RELEASED)) == whole


def test_parameter_counts():
    cases = [(1, 1, 4, 1, True, True), (3, 4, 6, 2, True, False), (2, 3, 4, 4, False, True), (1, 1, 6, 2, False, False)]
    for given in cases:
        with torch.device("meta"):
            assert numbers_of(BCDUNet(*given)) == expected_numbers(*given), given


def test_the_second_direction_adds_its_lstms_and_widens_what_merges_them():
    with torch.device("meta"):
        both, one = BCDUNet(1, 1, norm=False), BCDUNet(1, 1, **RELEASED)
    assert sum(numbers_of(block.skip_then_up) for block in both.decoder) == 2_323_328
    assert numbers_of(both) - numbers_of(one) == 2_323_328 + 9 * (128 * 256 + 64 * 128 + 32 * 64)


def test_the_lstm_equals_loops():
    torch.manual_seed(0)
    lstm = ConvLSTM(3, 2).double()
    maps = 2 * torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)  # sequence, batch, channels
    kernel, bias, inner = lstm.of_map.weight, lstm.of_map.bias.detach().normal_(), lstm.of_state.weight

    def convolved(x, weight, sample, gate, row, column):
        total = 0.0
        for channel in range(weight.shape[1]):
            for i, j in itertools.product(range(3), range(3)):
                y, z = row + i - 1, column + j - 1
                if 0 <= y < 4 and 0 <= z < 5:
                    total += weight[gate, channel, i, j].item() * x[sample, channel, y, z].item()
        return total

    def hard(value):
        return min(max(0.2 * value + 0.5, 0.0), 1.0)

    state = cell = torch.zeros(2, 2, 4, 5, dtype=torch.float64)
    gates, places = [], list(itertools.product(range(2), range(2), range(4), range(5)))
    for x in maps:
        next_state, next_cell = torch.empty_like(state), torch.empty_like(cell)
        for sample, width, row, column in places:
            at = (sample, width, row, column)
            add, keep, new, show = (
                convolved(x, kernel, sample, 2 * gate + width, row, column)
                + convolved(state, inner, sample, 2 * gate + width, row, column)
                + bias[2 * gate + width].item()
                for gate in range(4)
            )
            gates += [hard(add), hard(keep), hard(show)]
            next_cell[at] = hard(keep) * cell[at].item() + hard(add) * math.tanh(new)
            next_state[at] = hard(show) * math.tanh(next_cell[at].item())
        state, cell = next_state, next_cell
    torch.testing.assert_close(lstm(maps[0], maps[1]), state, rtol=1e-12, atol=1e-12)
    assert 0.0 in gates and 1.0 in gates, "both ends of the hard sigmoid are reached"


@pytest.mark.parametrize("classes, blocks, bidirectional, norm", [(4, 3, True, True), (1, 1, False, False)])
def test_forward_equals_the_network_written_out(classes, blocks, bidirectional, norm):
    net = scrambled(BCDUNet(2, classes, 4, blocks, bidirectional, norm))
    parameters = iter(net.state_dict().items())

    def take(kind):
        name, tensor = next(parameters)
        assert name.endswith(kind), name
        return tensor

    def along(values):
        return values[:, None, None]

    def convolved(x, bias=True):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), take("weight"), take("bias") if bias else None)

    def normalized(x):
        scale, shift, mean, variance = take("weight"), take("bias"), take("running_mean"), take("running_var")
        take("num_batches_tracked")
        return (x - along(mean)) / torch.sqrt(along(variance) + 1e-5) * along(scale) + along(shift)

    def unit(x):
        x = convolved(x)
        return (normalized(x) if norm else x).clamp(min=0)

    def pooled(x):
        return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)

    def doubled(x):
        kernel, bias = take("weight"), take("bias")
        x = torch.einsum("bihw,ioyx->bohywx", x, kernel)  # each pixel becomes a patch of two by two
        return x.flatten(4, 5).flatten(2, 3) + along(bias)

    def read(lstm, first, second):
        take("of_map.weight"), take("of_map.bias"), take("of_state.weight")
        return lstm(first, second)

    x = image = torch.randn(2, 2, 16, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    skips = []
    for level in range(3):
        x = unit(unit(pooled(x) if level else x))
        skips.append(x)
    results = [unit(unit(pooled(x)))]
    for _ in range(blocks - 1):
        results.append(unit(unit(torch.cat(results[::-1], dim=1))))
    x = results[-1]
    for block in net.decoder:
        skip, x = skips.pop(), normalized(doubled(x)).clamp(min=0)
        states = [read(block.up_then_skip, x, skip)]
        if bidirectional:
            states.append(read(block.skip_then_up, skip, x))
        x = unit(unit(torch.cat(states, dim=1)))
    x = unit(x) if classes == 1 else x
    x = F.conv2d(x, take("weight"), take("bias"))
    assert next(parameters, None) is None
    torch.testing.assert_close(net(image), x, rtol=1e-10, atol=1e-12)


def test_start():
    net = BCDUNet(1, 4, 32)
    for module in net.modules():
        if isinstance(module, ConvLSTM):
            rows = module.of_state.weight.flatten(1)
            torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)))
            add, keep, new, show = module.of_map.bias.chunk(4)
            assert (keep == 1).all() and not torch.cat([add, new, show]).any()
    inner = {id(module.of_state) for module in net.modules() if isinstance(module, ConvLSTM)}
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and id(module) not in inner:
            fan_in = module.weight.shape[1] * math.prod(module.kernel_size)
            if module.weight.numel() > 5_000:
                assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.04)


def test_values_are_dropped_after_dense_blocks_and_in_the_deepest_skip_alone():
    torch.manual_seed(0)
    net, image = BCDUNet(1, 2, 8, dense_blocks=2).train(), torch.randn(2, 1, 32, 32)
    layers = {name: module.p for name, module in net.named_modules() if isinstance(module, nn.Dropout)}
    assert layers == {"encoder.3.1.blocks.0.2": 0.5, "encoder.3.1.blocks.1.2": 0.5, "decoder.0.dropout": 0.5}
    seen = stages(net)
    first, second = seen.encode(image), seen.encode(image)
    assert all(torch.equal(one, other) for one, other in zip(first[:-1], second[:-1], strict=True))
    assert not torch.equal(first[-1], second[-1])
    assert not torch.equal(seen.decode(first, 1), seen.decode(first, 1))  # of the skip, for the same features


@pytest.mark.parametrize("given", [{}, {"dense_blocks": 3}, RELEASED])
@pytest.mark.parametrize("classes", [1, 3])
def test_script_gives_the_same_at_two_sizes(given, classes):
    net = scrambled(BCDUNet(2, classes, 4, **given)).float()
    scripted = torch.jit.script(net)
    for size in ((16, 24), (8, 8)):
        image = torch.randn(2, 2, *size)
        with torch.no_grad():
            assert torch.equal(scripted(image), net(image)) and net(image).shape == (2, classes, *size)


@pytest.mark.parametrize("given", [{}, {"dense_blocks": 2}, RELEASED])
def test_gradient_reaches_every_parameter(given):
    torch.manual_seed(0)
    net = BCDUNet(1, 2, 4, **given).train()
    net(torch.randn(2, 1, 32, 16)).square().sum().backward()
    biases = normalized_biases(net)
    for name, parameter in net.named_parameters():
        assert any(parameter is bias for bias in biases) or parameter.grad.abs().sum() > 0, name


def test_a_step_asks_the_device_for_nothing():
    with torch.device("meta"):  # where no value can be read
        net = BCDUNet(1, 4, dense_blocks=3)
        net(torch.empty(2, 1, 64, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("given", [{"dense_blocks": 2}, RELEASED])
def test_an_encoder_is_loaded_and_the_decoder_stays_fresh(given):
    torch.manual_seed(0)
    source, net = BCDUNet(1, 2, 4, **given), BCDUNet(1, 4, 4, **given)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    report = load_pretrained(net, source.state_dict(), part="encoder")
    image = torch.randn(2, 1, 24, 16)
    assert report.fraction == 1 and torch.equal(stages(net.eval()).embed(image), stages(source.eval()).embed(image))
    rest = [name for name in before if not name.startswith("encoder.")]
    assert rest and all(torch.equal(net.state_dict()[name], before[name]) for name in rest)


@pytest.mark.parametrize("given, message", [
    ({"in_channels": 0}, "in_channels"), ({"out_channels": 0}, "out_channels"), ({"dense_blocks": 0}, "dense_blocks"),
    ({"width": 0}, "width"), ({"width": 5}, "width must be even, .* found 5: take 6"),
])  # fmt: skip
def test_wrong_arguments(given, message):
    with pytest.raises(ValueError, match=message):
        BCDUNet(**{"in_channels": 1, "out_channels": 2, **given})


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 8, found 20: crop or pad the images"):
        BCDUNet(1, 2, 4)(torch.zeros(1, 1, 16, 20))


@pytest.mark.slow
def test_it_learns_a_volume_by_heart():
    scores = []
    for seed in range(2):
        torch.manual_seed(seed)
        scores.append(learned_by_heart(BCDUNet(1, CLASSES, 8)))
    assert sum(scores) / len(scores) > 0.9
