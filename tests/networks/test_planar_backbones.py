# SPDX-License-Identifier: Apache-2.0
"""What holds of the papers' networks for images alone: export, gradients, precision, weights, refusals, learning."""

import numpy as np
import pytest
import torch
from backbone_cases import normalized_biases, scrambled
from monai.data import MetaTensor
from monai.losses import DiceCELoss

from monai_cl_ext.data.phantom import Phantom
from monai_cl_ext.networks import UKAN, RollingUNet, load_pretrained, stages
from monai_cl_ext.networks.image_size import check_image_size
from monai_cl_ext.networks.on_device import on_device

SMALL = {
    "rolling": lambda *channels: RollingUNet(*channels, width=4, dropout=0.0),
    "ukan": lambda *channels: UKAN(*channels, widths=(16, 20, 24)),
}
MULTIPLE = {"rolling": 16, "ukan": 32}
NORMALIZED = {"rolling": 6 + 1 + 6, "ukan": 6 + 6 + 10 + 6}  # convolutions with a batch normalization behind them
each_kind = pytest.mark.parametrize("kind", SMALL)


@each_kind
@torch.no_grad()
def test_scripted_network_gives_the_same_at_two_sizes(kind):
    net, side = scrambled(SMALL[kind](2, 3)).float(), MULTIPLE[kind]
    scripted = torch.jit.script(net)
    for image in (torch.randn(1, 2, 2 * side, side), torch.randn(2, 2, side, 3 * side)):
        assert torch.equal(scripted(image), net(image))
        assert net(image).shape == (len(image), 3, *image.shape[2:])


@each_kind
def test_gradient_reaches_every_parameter(kind):
    torch.manual_seed(0)
    net = SMALL[kind](1, 2).train()
    net(torch.randn(2, 1, 2 * MULTIPLE[kind], 3 * MULTIPLE[kind])).square().sum().backward()
    biases = normalized_biases(net)
    assert len(biases) == NORMALIZED[kind]
    for name, parameter in net.named_parameters():
        # normalization takes a convolution's bias out again: its gradient is rounding
        assert any(parameter is bias for bias in biases) or parameter.grad.abs().sum() > 0, name


@each_kind
@torch.no_grad()
def test_precision_and_memory_format_change_rounding_alone(kind):
    net = scrambled(SMALL[kind](1, 3))
    image = torch.randn(2, 1, 64, 64, dtype=torch.float64)
    exact = net(image)
    single = net.float()(image.float())
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4)
    last = on_device(net, "cpu", image_size=64)(image.float().to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, single, rtol=0, atol=1e-4)
    assert isinstance(net(MetaTensor(image.float())), MetaTensor)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = net(image.float())
    whole = net.bfloat16()(image.bfloat16())
    for result in (mixed, whole):
        assert result.dtype == torch.bfloat16
        assert (result.double() - exact).square().mean() < 0.002 * exact.var()


@each_kind
def test_a_training_step_needs_no_values(kind):
    """What asks for a value of a tensor, and so would wait for a GPU, fails on the meta device."""
    net = SMALL[kind](1, 2).to("meta").train()
    net(torch.empty(2, 1, 64, 64, device="meta")).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@each_kind
@torch.no_grad()
def test_a_pretrained_encoder_goes_into_a_network_of_other_classes(kind, tmp_path):
    torch.manual_seed(0)
    source, net = scrambled(SMALL[kind](1, 3)).float(), SMALL[kind](1, 5).eval()
    torch.save(source.state_dict(), tmp_path / "model.pt")
    image, head = torch.randn(2, 1, 64, 64), net.output.state_dict()
    report = load_pretrained(net, tmp_path / "model.pt", part="encoder", blocks=2)
    assert report.fraction == 1 and {name.split(".")[0] for name in report.matched} == {"encoder", "decoder"}
    found, expected = stages(net), stages(source)
    assert torch.equal(found.embed(image), expected.embed(image))
    assert torch.equal(*(each.decode(each.encode(image), blocks=2) for each in (found, expected)))
    assert all(torch.equal(tensor, net.output.state_dict()[name]) for name, tensor in head.items())
    with pytest.raises(ValueError, match="does not fit"):
        load_pretrained(net, tmp_path / "model.pt")


@each_kind
def test_wrong_sizes_and_arguments(kind):
    net, multiple = SMALL[kind](1, 2), MULTIPLE[kind]
    with pytest.raises(ValueError, match=f"multiple of {multiple}, found 40"):
        net(torch.zeros(1, 1, multiple, 40))
    larger = {16: 48, 32: 64}[multiple]
    told = rf"takes no images of \[40, 96\]; the next larger size that it takes is \[{larger}, 96\]"
    with pytest.raises(ValueError, match=told):
        check_image_size(net, [40, 96], 2)
    check_image_size(net, multiple, 2)
    for arguments in ((0, 2), (1, 0)):
        with pytest.raises(ValueError, match="channels must be an integer of at least 1, found 0"):
            SMALL[kind](*arguments)


def phantom_slices(size=32):
    """Slices (N, 1, size, size) of the heart in one volume, in [0, 1], and their labels, at half of the resolution."""
    volume = Phantom(seed=0).patient(1)[0]
    image, label = (np.moveaxis(each, -1, 0)[:, ::2, ::2] for each in (volume.image, volume.label))
    first = [int(places.mean()) - size // 2 for places in np.nonzero(label)[1:]]
    rows, columns = (slice(place, place + size) for place in first)
    image, label = image[:, None, rows, columns] / image.max(), label[:, None, rows, columns]
    return torch.from_numpy(image).float(), torch.from_numpy(label.astype(np.int64))


def foreground_dice(logits, label):
    found = logits.argmax(1, keepdim=True)
    classes = label.unique()[1:]
    return np.mean([
        (2 * ((found == c) & (label == c)).sum() / ((found == c).sum() + (label == c).sum())).item() for c in classes
    ])  # fmt: skip


@pytest.mark.slow
@each_kind
def test_it_learns_one_labeled_volume_by_heart(kind):
    image, label = phantom_slices()
    assert len(label.unique()) == 4
    loss, scores = DiceCELoss(softmax=True, to_onehot_y=True), []
    for seed in range(2):
        torch.manual_seed(seed)
        net = {"rolling": RollingUNet, "ukan": UKAN}[kind](1, 4).train()
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(60):
            optimizer.zero_grad()
            loss(net(image), label).backward()
            optimizer.step()
        with torch.no_grad():
            scores.append(foreground_dice(net(image), label))
    assert np.mean(scores) > 0.9, scores
