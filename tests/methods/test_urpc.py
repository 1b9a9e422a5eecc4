# SPDX-License-Identifier: Apache-2.0
"""URPC: its loss by hand, heads that are trained, and networks that it refuses."""

import copy

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet
from semi_supervised_cases import SUPERVISED, gradients, parts, unet, views
from torch.nn.functional import conv2d, dropout, interpolate, kl_div

from monai_cl_ext.methods import URPC
from monai_cl_ext.networks import stages


def made(**more):
    return URPC(unet(dtype=torch.float64), SUPERVISED, 2, **more).double().train()


def scales_of(network, heads, image):
    """Logits of the network and of three heads on perturbed maps, in the order in which the method draws."""
    seen = stages(network)
    features = seen.encode(image)
    first, second, third, last = (seen.decode(features, blocks=number) for number in (1, 2, 3, 4))
    perturbed = [dropout(first, 0.5)]
    response = second.mean(1, keepdim=True)
    largest = torch.stack([row.max() for row in response]).view(-1, 1, 1, 1)
    perturbed.append(second * (response < largest * torch.empty(1, 1, 1, 1, dtype=image.dtype).uniform_(0.7, 0.9)))
    perturbed.append(third * (1 + torch.empty_like(third[:1]).uniform_(-0.3, 0.3)))
    logits = [
        conv2d(each, head[1].weight, head[1].bias, padding=1) for each, head in zip(perturbed, heads, strict=True)
    ]
    return [seen.output(last), *(interpolate(each, image.shape[2:]) for each in logits)]


def test_the_loss_and_its_gradients_are_those_of_the_formula():
    method, (view,) = made(consistency_weight=0.7), views(dtype=torch.float64)
    network, heads = copy.deepcopy(method.network), copy.deepcopy(method.heads)
    torch.manual_seed(5)
    losses = method([view], {})
    torch.manual_seed(5)
    scales = scales_of(network, heads.heads, view["image"])
    supervised = sum(SUPERVISED(each[:2], view["label"][:2]) for each in scales) / 4
    probabilities = [each[2:].softmax(1) for each in scales]
    mean, terms = sum(probabilities) / 4, []
    for own in probabilities:
        variance = kl_div(own.log(), mean, reduction="none").sum(1, keepdim=True)
        certainty = (-variance).exp()
        squares = (mean - own) ** 2 * certainty
        terms.append(squares.mean() / (certainty.mean() + 1e-8) + variance.mean())
    consistency = sum(terms) / 4
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for own, other in ((method.network, network), (method.heads, heads)):
        wanted = gradients(supervised + 0.7 * consistency, other)
        for found, expected in zip(gradients(losses["loss"], own), wanted, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_labels_and_consistency_train_network_and_heads():
    method = made()
    losses = method(views(dtype=torch.float64), {})
    for name in ("supervised", "consistency"):
        for part in (method.network, method.heads):
            assert any(gradient.any() for gradient in gradients(losses[name], part)), name
    assert all(parameter.requires_grad for parameter in method.heads.parameters())
    assert len(method.heads.heads) == 3


def test_labels_of_unlabeled_rows_are_not_looked_at():
    method, (view,) = made(), views(dtype=torch.float64)
    ignored = {**view, "label": view["label"].clone()}
    ignored["label"][2:] = 255
    found = []
    for each in (view, ignored):
        torch.manual_seed(0)
        found.append(method([each], {})["loss"])
    assert torch.equal(*found)


def test_networks_without_coarser_maps_or_with_heads_of_their_own_are_refused():
    shallow = SegResNet(2, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,))
    with pytest.raises(ValueError, match="a decoder of at least two blocks, found 1 in SegResNet: take a deeper"):
        URPC(shallow, SUPERVISED, 2)
    deep = DynUNet(2, 1, 3, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), deep_supervision=True, deep_supr_num=1)
    with pytest.raises(ValueError, match="URPC trains one map of logits of DynUNet, which was built with deep"):
        URPC(deep, SUPERVISED, 2)
