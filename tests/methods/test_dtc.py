# SPDX-License-Identifier: Apache-2.0
"""DTC: its loss by hand, and signed distances from a second head on any network."""

import copy

import pytest
import torch
from monai.networks.nets import DynUNet, ResNet
from semi_supervised_cases import SUPERVISED, gradients, parts, unet, views
from staged_networks import SHAPES, built, each_network
from torch.nn.functional import mse_loss

from monai_cl_ext.methods import DTC
from monai_cl_ext.networks import stages
from monai_cl_ext.transforms import signed_distance


def made(network=None, **more):
    torch.manual_seed(5)
    network = unet(dtype=torch.float64) if network is None else network
    return DTC(network, SUPERVISED, 2, **more).to(next(network.parameters()).dtype).train()


def test_the_loss_and_its_gradients_are_those_of_the_formula():
    method, (view,) = made(consistency_weight=0.7, distance_weight=0.4, k=20.0), views(dtype=torch.float64)
    network, head = copy.deepcopy(method.network), copy.deepcopy(method.head)
    losses = method([view], {})
    known = stages(network)
    last = known.decode(known.encode(view["image"]))
    logits, label = network.final_conv(last), view["label"][:2].long()
    distance = torch.tanh(torch.einsum("oc,bchw->bohw", head.weight[:, :, 0, 0], last) + head.bias[:, None, None])
    squares = (distance[:2] - signed_distance(label, 3)) ** 2
    supervised = SUPERVISED(logits[:2], label) + 0.4 * squares.mean()
    consistency = ((torch.sigmoid(-20 * distance) - logits.softmax(1)[:, 1:]) ** 2).mean()
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for own, other in ((method.network, network), (method.head, head)):
        wanted = gradients(supervised + 0.7 * consistency, other)
        for found, expected in zip(gradients(losses["loss"], own), wanted, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_consistency_moves_both_heads_and_looks_at_unlabeled_rows():
    method, (view,) = made(k=20.0), views(dtype=torch.float64)
    losses = method([view], {})
    for head in (method.head, method.network.final_conv):
        assert all(each.abs().max() > 0 for each in gradients(losses["consistency"], head))
    changed = {**view, "image": view["image"].clone(), "label": view["label"].clone()}
    changed["label"][2:] = 255
    assert torch.equal(method([changed], {})["loss"], losses["loss"])  # labels of unlabeled rows are not read
    changed["image"][2:] += torch.rand(2, 1, 16, 16)
    assert not torch.equal(method([changed], {})["consistency"], losses["consistency"])


def test_the_distances_of_unlabeled_rows_have_no_target():
    """What the distances learn of labels is their squared error on labeled rows, times its weight."""
    without, with_it = (made(distance_weight=each, consistency_weight=0.0) for each in (0.0, 2.0))
    (view,) = views(dtype=torch.float64)
    supervised = [method([view], {})["supervised"] for method in (without, with_it)]
    maps, distance = with_it.predict(view["image"])
    expected = 2 * mse_loss(distance[:2], signed_distance(view["label"][:2], 3).double())
    torch.testing.assert_close(supervised[1] - supervised[0], expected, rtol=0, atol=1e-6)


@each_network(leave_out=("unetr_plain", "swin_v2"))
def test_a_head_on_every_network_that_has_stages(kind, dims):
    network, image = built(kind, dims)
    method = DTC(network, SUPERVISED, 1).eval()
    with torch.no_grad():
        maps, distance = method.predict(image)
        expected = network(image)
    classes = SHAPES[kind][1][-1] if kind == "segresnet_bare" else 3
    assert torch.equal(maps[0], expected) and distance.shape == (2, classes - 1, *image.shape[2:])
    assert distance.abs().max() <= 1 and method.predictor is network
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_network_with_deep_supervision_trains_all_its_maps():
    torch.manual_seed(0)
    network = DynUNet(
        2, 1, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=(4, 6, 8, 10), deep_supervision=True, deep_supr_num=2
    )
    method, (view,) = made(network), views()
    losses = method([view], {})
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    maps, distance = method.predict(view["image"])
    assert len(maps) == 3 and distance.shape == (4, 2, 16, 16)
    expected = sum(share * SUPERVISED(each[:2], view["label"][:2].long())
                   for share, each in zip((1, 0.5, 0.25), maps, strict=True))  # fmt: skip
    target = signed_distance(view["label"][:2], 3)
    torch.testing.assert_close(losses["supervised"], expected + 0.3 * mse_loss(distance[:2], target))


def test_distances_stay_exact_under_autocast():
    method, (view,) = made(unet()), views()
    expected = method([view], {})
    with torch.autocast("cpu", torch.bfloat16):
        _, distance = method.predict(view["image"])
        losses = method([view], {})
    assert distance.dtype == torch.float32
    for name, loss in losses.items():
        assert loss.dtype == torch.float32 and loss.item() == pytest.approx(expected[name].item(), rel=0.05), name


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="ResNet is an encoder and has no decoder blocks"):
        DTC(ResNet("basic", [1] * 4, [4, 4, 4, 4], 2, 1), SUPERVISED, 2)
    with pytest.raises(TypeError, match="net must be one of .*, found Conv2d"):
        DTC(torch.nn.Conv2d(1, 3, 1), SUPERVISED, 2)
    with pytest.raises(ValueError, match="distance_weight must be a finite number of at least 0, found -1"):
        made(distance_weight=-1)
    with pytest.raises(ValueError, match="k must be a finite number above 0, found 0"):
        made(k=0)
