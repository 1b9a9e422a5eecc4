# SPDX-License-Identifier: Apache-2.0
"""SASSNet: its losses by hand, which network each trains, and the evaluator's view of signed distances."""

import copy

import pytest
import torch
from monai.networks.nets import DynUNet
from semi_supervised_cases import SUPERVISED, evaluator, gradients, parts, unet, views
from torch import nn

from monai_cl_ext.methods import SASSNet
from monai_cl_ext.transforms import signed_distance


def made(dtype=torch.float64, network=None, **more):
    torch.manual_seed(5)
    network = unet(dtype=dtype) if network is None else network
    return SASSNet(network, SUPERVISED, 2, evaluator(2), **more).to(dtype).train()


def without_dropout(module):
    for layer in module.modules():
        if isinstance(layer, nn.Dropout2d):
            layer.p = 0.0
    return module


def minus_log(verdict, kinds):
    """Mean cross-entropy of two logits a row, row by row."""
    total = sum(torch.log(torch.exp(row).sum()) - row[kind] for row, kind in zip(verdict, kinds, strict=True))
    return total / len(kinds)


def test_the_losses_and_gradients_are_those_of_the_formulas():
    method, (view,) = made(consistency_weight=0.7, distance_weight=0.4), views(dtype=torch.float64)
    without_dropout(method)
    copied = copy.deepcopy(method)
    judge = copied.adversary.discriminator
    losses = method([view], {})
    maps, distance = copied.predict(view["image"])
    label = view["label"][:2].long()
    squares = (distance[:2] - signed_distance(label, 3)) ** 2
    supervised = SUPERVISED(maps[0][:2], label) + 0.4 * squares.mean()
    consistency = minus_log(judge(distance[2:], view["image"][2:]), [1, 1])
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    expected = minus_log(judge(distance, view["image"]), [1, 1, 0, 0])
    torch.testing.assert_close(losses["evaluator"], expected.detach(), rtol=0, atol=1e-9)
    for own, other in ((method.network, copied.network), (method.head, copied.head)):
        wanted = gradients(supervised + 0.7 * consistency, other)
        for found, each in zip(gradients(losses["loss"], own), wanted, strict=True):
            torch.testing.assert_close(found, each, rtol=0, atol=1e-6)


def test_the_evaluator_learns_from_its_own_loss_and_moves_after_the_step():
    method, (view,) = made(), views(dtype=torch.float64)
    without_dropout(method)
    judge = copy.deepcopy(method.adversary.discriminator).requires_grad_(True)
    before = copy.deepcopy(method.network.state_dict())
    method([view], {})["loss"].backward()
    assert all(parameter.grad is None for parameter in method.adversary.parameters())
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3, (0.9, 0.99))
    method.network.load_state_dict(before)
    with torch.no_grad():
        _, distance = method.predict(view["image"])
    minus_log(judge(distance, view["image"]), [1, 1, 0, 0]).backward()
    optimizer.step()
    weights = [parameter.clone() for parameter in method.network.parameters()]
    method.after_step()
    assert all(map(torch.equal, method.network.parameters(), weights))
    for one, other in zip(method.adversary.discriminator.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_the_consistency_trains_the_distances_and_leaves_the_classes_head_alone():
    method, (view,) = made(), views(dtype=torch.float64)
    losses = method([view], {})
    assert all(each.abs().max() > 0 for each in gradients(losses["consistency"], method.head))
    final = list(method.network.final_conv.parameters())
    assert torch.autograd.grad(losses["consistency"], final, retain_graph=True, allow_unused=True) == (None, None)
    changed = {**view, "label": view["label"].clone()}
    changed["label"][2:] = 255
    assert torch.equal(method([changed], {})["consistency"], losses["consistency"])


def test_dropout_is_for_the_evaluators_learning_alone():
    method, losses = made(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        losses.append(method(views(dtype=torch.float64), {}))
    assert torch.equal(losses[0]["consistency"], losses[1]["consistency"])
    assert not torch.equal(losses[0]["evaluator"], losses[1]["evaluator"])
    assert all(module.training for module in method.modules())


def test_out_of_training_nothing_is_learned():
    method = made().eval()
    before = copy.deepcopy(method.adversary.state_dict())
    with torch.no_grad():
        method(views(dtype=torch.float64), {})
    method.after_step()
    assert all(torch.equal(value, before[key]) for key, value in method.adversary.state_dict().items())
    assert not any(module.training for module in method.modules())


def test_a_network_with_deep_supervision_trains_all_its_maps():
    torch.manual_seed(0)
    network = DynUNet(
        2, 1, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=(4, 6, 8, 10), deep_supervision=True, deep_supr_num=2
    )
    method = made(torch.float32, network)
    method(views(), {})["loss"].backward()
    assert all(each.grad is not None for module in (network, method.head) for each in module.parameters())


def test_autocast_changes_little():
    method = without_dropout(made(torch.float32))
    expected = method(views(), {})
    with torch.autocast("cpu", torch.bfloat16):
        found = method(views(), {})
    for key, value in found.items():
        assert value.dtype == torch.float32 and value.item() == pytest.approx(expected[key].item(), rel=0.05), key


def test_it_names_the_evaluators_optimizer_for_a_resume():
    method = made()
    assert method.optimizers == {"evaluator": method.adversary.optimizer}
    with pytest.raises(ValueError, match="consistency_weight must be a finite number of at least 0, found -1"):
        made(consistency_weight=-1)
